"""The journal of a run: one JSON object a line, appended, and the memory that resuming rests on.

A run is a sequence of *steps*, each with a key. A step whose key is in the journal is not done
again: its recorded outcome is returned. So a resumed run walks through the same code as a fresh
one, takes the same decisions, and starts computing where the journal ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from resbuilder.common.files import parse_json
from resbuilder.run.entry import Entry
from resbuilder.run.events import Event
from resbuilder.run.records import RecordChecks

E = TypeVar("E", bound=Event)


class Journal:
    """Appends entries to ``journal.jsonl`` and remembers the steps that are done.

    Args:
        path: The file; made when missing. A last line that was cut short, as a crash or a full
            disk leaves it, is dropped with a warning.

    Attributes:
        entries: All entries, in order.

    Raises:
        ValueError: If a line before the last is not an entry.
    """

    def __init__(self, path: Path):
        self.path = path
        self.entries, whole = read_journal(path)
        if path.exists() and whole < path.stat().st_size:
            warnings.warn(
                f"{path} ended in the middle of a line; that line is dropped and its step done "
                "again",
                stacklevel=2,
            )
            with open(path, "r+b") as file:
                file.truncate(whole)
        self._events = {entry.key: entry.event for entry in self.entries}

    def step(self, kind: type[E], key: str, compute: Callable[[], E]) -> E:
        """Do a step once: return its event, computing and appending it if it is not there yet.

        Args:
            kind: What the step gives.
            key: Of the step.
            compute: Does it.

        Raises:
            ValueError: If the journal has another kind of event for this step, or the event holds
                what a journal must not hold, such as NaN. Nothing is written then.
        """
        if key not in self._events:
            self._append(key, compute())
        return self.get(kind, key)

    def has(self, key: str) -> bool:
        """Return whether a step is done."""
        return key in self._events

    def get(self, kind: type[E], key: str) -> E:
        """Return the event of a step that is done.

        Raises:
            ValueError: If it is of another kind.
        """
        event = self._events[key]
        if not isinstance(event, kind):
            raise ValueError(
                f"{self.path}: the step {key!r} is of the kind {event.name!r}, expected "
                f"{kind.name!r}; the file was changed or damaged: restore it, or start a new run"
            )
        return event

    @property
    def events(self) -> list[Event]:
        """All events, in order."""
        return [entry.event for entry in self.entries]

    def of(self, kind: type[E]) -> Iterator[E]:
        """Yield the events of one kind, in order."""
        return (entry.event for entry in self.entries if isinstance(entry.event, kind))

    def _append(self, key: str, event: Event) -> None:
        n, time = len(self.entries), datetime.now(UTC).isoformat("T", "seconds")
        line = json.dumps(Entry(n, time, key, event).to_json(), ensure_ascii=False, allow_nan=False)
        # What a resumed run would read, not what this one computed: the two must not differ.
        entry = Entry.from_json(json.loads(line), n)
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)
            raise
        self.entries.append(entry)
        self._events[key] = entry.event


def read_journal(path: Path) -> tuple[list[Entry], int]:
    """Read a journal without changing it.

    Returns:
        The entries, and how many bytes of the file they take up: less than its size when the last
        line was cut short.

    Raises:
        ValueError: If a line before the last is not JSON, or an entry lacks something or does not
            follow those before it.
    """
    entries: list[Entry] = []
    whole, checks = 0, RecordChecks()
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            data = parse_json(line)
            if not line.endswith(b"\n"):
                raise ValueError("not a whole record")
        except ValueError as error:
            if number == len(lines):
                break
            raise _damaged(path, number, error) from None
        try:
            entry = Entry.from_json(data, len(entries))
            checks.check(entry)
        except ValueError as error:
            raise _damaged(path, number, error) from None
        entries.append(entry)
        whole += len(line)
    return entries, whole


def _damaged(path: Path, number: int, error: Exception) -> ValueError:
    return ValueError(
        f"{path}, line {number}, is not a record of a run ({error}); the file was changed or "
        "damaged: restore it, or start a new run"
    )
