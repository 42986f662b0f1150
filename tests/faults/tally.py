"""Counts of injected faults and their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class Tally:
    """The outcomes of one kind of fault.

    Attributes:
        fault: Name of the fault in the table.
        outcomes: Counts of the right outcomes.
        wrong: One line for each wrong outcome.
        listener: Called after each fault; a progress bar sets it.
    """

    fault: str
    outcomes: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    listener: ClassVar[Callable[[Tally], None]] = staticmethod(lambda tally: None)

    @property
    def tried(self) -> int:
        return self.outcomes.total() + len(self.wrong)

    def add(self, outcome: str, wrong: str | None = None) -> None:
        """Count one fault: its outcome, or what went wrong."""
        if wrong is None:
            self.outcomes[outcome] += 1
        else:
            self.wrong.append(wrong)
        Tally.listener(self)

    def line(self) -> str:
        """Format outcomes with their counts, such as "40 rejected, 2 hardly changed"."""
        return ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
