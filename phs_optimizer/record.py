"""The record of a training: what braking did, and the average loss, in memory and in a file."""

from __future__ import annotations

import json
import math
from pathlib import Path

from phs_optimizer.state import BrakingState


class Record:
    """Events of braking, and points of the average loss.

    Args:
        path: File to which each event and each epoch is appended as a line of JSON, or None.

    Attributes:
        events: One dict for each event, in order.
        trace: Pairs of step and average loss, for the plot.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.clear()

    def clear(self) -> None:
        """Forget all events and points, as those of another training. The file keeps its lines."""
        self.events: list[dict] = []
        self.trace: list[tuple[int, float]] = []
        self._after_epoch: list[dict] = []  # the events that were decided at the end of an epoch

    def open(self) -> None:
        """Create the file; fail now, not after an epoch, if the path is not writable."""
        if self.path is not None:
            self.path.touch()

    def add(self, event: dict, after_epoch: bool) -> None:
        """Record and log an event.

        Args:
            event: What happened, at which ``step``, and more.
            after_epoch: Whether it was decided at the end of an epoch, not within one.
        """
        self.events.append(event)
        if after_epoch:
            self._after_epoch.append(event)
        self.log(event)

    def undo_after(self, state: BrakingState) -> None:
        """Remove the events and points that a restored state has not seen.

        An event of the state's own last step stays, unless it was decided at the end of an epoch
        that has not ended in the state.
        """
        undone = [] if math.isinf(state.epoch) else self._after_epoch
        self.events = [
            event
            for event in self.events
            if event["step"] < state.steps or (event["step"] == state.steps and event not in undone)
        ]
        self.trace = [point for point in self.trace if point[0] <= state.steps]

    def log(self, line: dict) -> None:
        """Append a line to the file. What is not finite becomes null: JSON has no such numbers."""
        if self.path is None:
            return
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in line.items()
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite) + "\n")
