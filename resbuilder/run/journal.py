"""The journal of a run: a file to which one JSON object per line is appended, for resuming.

A run is a sequence of *steps*, each with a key. A step whose key is in the journal is not executed
again: its recorded event is returned. So a resumed run executes the same code as a new one, takes
the same decisions, and starts computing where the journal ends.
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
    """The finished steps of a run, in ``journal.jsonl``.

    Args:
        path: The file; created if missing. An incomplete last line, after a crash or on a full
            disk, is dropped with a warning.

    Attributes:
        entries: All entries, in order.

    Raises:
        ValueError: If a line before the last one is not an entry.
    """

    def __init__(self, path: Path):
        self.path = path
        self.entries, complete = read_journal(path)
        if path.exists() and complete < path.stat().st_size:
            warnings.warn(
                f"{path} ended in the middle of a line; the line is dropped, and its step is "
                "executed again",
                stacklevel=2,
            )
            with open(path, "r+b") as file:
                file.truncate(complete)
        self._events = {entry.key: entry.event for entry in self.entries}

    def step(self, kind: type[E], key: str, compute: Callable[[], E]) -> E:
        """Return the event of a step; compute and append it first if the journal lacks it.

        Args:
            kind: Class of the event.
            key: Key of the step.
            compute: Executes the step.

        Raises:
            ValueError: If the journal has a different kind of event for this step, or the event has
                a value that a journal must not contain, such as NaN. Nothing is written then.
        """
        if key not in self._events:
            self._append(key, compute())
        return self.get(kind, key)

    def has(self, key: str) -> bool:
        """Return whether a step is done."""
        return key in self._events

    def get(self, kind: type[E], key: str) -> E:
        """Return the event of a finished step.

        Raises:
            ValueError: If it is a different kind of event.
        """
        event = self._events[key]
        if not isinstance(event, kind):
            raise ValueError(
                f"{self.path}: the step {key!r} has an event {event.name!r}, expected "
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
        # Use what a resumed run would read, and not what was computed, so that both are equal.
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
        The entries, and their length in bytes, which is less than the file's size if the last line
        is incomplete.

    Raises:
        ValueError: If a line before the last one is not JSON, or an entry is invalid or contradicts
            those before it.
    """
    entries: list[Entry] = []
    complete, checks = 0, RecordChecks()
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            data = parse_json(line)
            if not line.endswith(b"\n"):
                raise ValueError("the line is incomplete")
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
        complete += len(line)
    return entries, complete


def _damaged(path: Path, number: int, error: Exception) -> ValueError:
    return ValueError(
        f"{path}, line {number}, is not a valid entry ({error}); the file was changed or damaged: "
        "restore it, or start a new run"
    )
