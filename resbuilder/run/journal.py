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
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from resbuilder.common.files import parse_json
from resbuilder.run.records import RecordChecks


class Journal:
    """Appends records to ``journal.jsonl`` and remembers the steps that are done.

    Args:
        path: The file; made when missing. A last line that was cut short, as a crash or a full
            disk leaves it, is dropped with a warning.

    Raises:
        ValueError: If a line before the last is not a record.
    """

    def __init__(self, path: Path):
        self.path = path
        self.records, whole = read_records(path)
        if path.exists() and whole < path.stat().st_size:
            warnings.warn(
                f"{path} ended in the middle of a line; that line is dropped and its step done "
                "again",
                stacklevel=2,
            )
            with open(path, "r+b") as file:
                file.truncate(whole)
        self._steps = {record["key"]: record for record in self.records}

    def step(self, event: str, key: str, compute: Callable[[], dict]) -> dict:
        """Do a step once: return its record, computing and appending it if it is not there yet."""
        if key not in self._steps:
            self._append({"event": event, "key": key, **compute()})
        return self._steps[key]

    def has(self, key: str) -> bool:
        """Whether a step is done."""
        return key in self._steps

    def get(self, key: str) -> dict:
        """The record of a step that is done."""
        return self._steps[key]

    def _append(self, record: dict) -> None:
        head = {
            "n": len(self.records),
            "time": datetime.now(UTC).isoformat("T", "seconds"),
        }
        line = json.dumps(head | record, ensure_ascii=False, allow_nan=False)
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
        # What a resumed run would read, not what this one computed: the two must not differ.
        record = json.loads(line)
        self.records.append(record)
        self._steps[record["key"]] = record


def read_records(path: Path) -> tuple[list[dict], int]:
    """Read a journal without changing it.

    Returns:
        The records, and how many bytes of the file they take up: less than its size when the last
        line was cut short.

    Raises:
        ValueError: If a line before the last is not JSON, or a record lacks something or does not
            follow those before it.
    """
    records, whole, checks = [], 0, RecordChecks()
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            record = parse_json(line)
            if not line.endswith(b"\n"):
                raise ValueError("not a whole record")
        except ValueError as error:
            if number == len(lines):
                break
            raise _damaged(path, number, error) from None
        try:
            checks.check(record)
        except ValueError as error:
            raise _damaged(path, number, error) from None
        records.append(record)
        whole += len(line)
    return records, whole


def _damaged(path: Path, number: int, error: Exception) -> ValueError:
    return ValueError(
        f"{path}, line {number}, is not a record of a run ({error}); the file was changed or "
        "damaged: restore it, or start a new run"
    )
