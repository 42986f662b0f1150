"""Checkpoints of long jobs, so that an interruption costs minutes and not hours."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from resbuilder.common.files import atomically

# Seconds between two saves; an interruption costs at most this much work.
INTERVAL = 300.0


class Checkpoint:
    """The state of one job on disk: nested dictionaries and lists of numbers, strings and arrays.

    Args:
        path: The file, ``*.npz``; with None, nothing is saved.
        interval: Seconds after which a save is due.
    """

    def __init__(self, path: str | Path | None, interval: float = INTERVAL):
        self.path = None if path is None else Path(path)
        self.interval = interval
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether an interval has passed since the last save, or since the start."""
        return self.path is not None and time.monotonic() - self._saved >= self.interval

    def save(self, state: dict) -> None:
        """Replace the file with a state, atomically."""
        if self.path is None:
            return
        arrays: dict[str, np.ndarray] = {}
        tree = np.array(json.dumps(_without_arrays(state, arrays)))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomically(self.path) as part:
            np.savez(part, tree=tree, **arrays)
        self._saved = time.monotonic()

    def load(self) -> dict | None:
        """Return the saved state with tuples as lists, or None without a file."""
        if self.path is None or not self.path.exists():
            return None
        with np.load(self.path, allow_pickle=False) as file:
            return _with_arrays(json.loads(str(file["tree"])), file)

    def remove(self) -> None:
        """Delete the file, once the job's result is written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _without_arrays(value, arrays: dict[str, np.ndarray]):
    """Move every array into ``arrays`` and replace it with its key."""
    if isinstance(value, np.ndarray):
        key = f"array{len(arrays)}"
        arrays[key] = value
        return {"array": key}
    if isinstance(value, dict):
        return {key: _without_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(item, arrays) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(value, arrays):
    """Put the arrays back; the inverse of :func:`_without_arrays`."""
    if isinstance(value, dict):
        if value.keys() == {"array"}:
            return arrays[value["array"]]
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    return value
