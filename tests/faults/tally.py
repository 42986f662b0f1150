"""How often a fault was caused, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class Tally:
    """What one kind of fault came to.

    Attributes:
        fault: What was done, as the table names it.
        outcomes: How often each outcome came, all of them right.
        wrong: What must not happen, a line for each time it did.
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
        """Counts one fault: its outcome, or what went wrong."""
        if wrong is None:
            self.outcomes[outcome] += 1
        else:
            self.wrong.append(wrong)
        Tally.listener(self)

    def line(self) -> str:
        """Outcomes with their counts, as in "40 refused, 2 hardly changed"."""
        return ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
