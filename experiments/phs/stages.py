"""The trainings of one job in sequence, each resumable at any epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import keras

from experiments.checkpoints import Checkpoint
from experiments.phs.loop import Loop, Snapshot


class Kept(Protocol):
    """A watcher of a training whose state must survive an interruption."""

    def state(self) -> dict:
        """Return what :meth:`restore` needs."""

    def restore(self, state: dict) -> None:
        """Continue from a state that :meth:`state` returned."""


class Stages:
    """The stages of a job; a stage that an earlier process finished is not repeated.

    Args:
        job: The settings, with ``checkpoint``: the file of the state.
        kept: Watchers whose state is saved and restored with the trainings.
    """

    def __init__(self, job: dict, kept: Sequence[Kept] = ()):
        self._checkpoint = Checkpoint(job.get("checkpoint"))
        self._kept = list(kept)
        state = self._checkpoint.load() or {"done": {}, "running": None, "kept": []}
        self._done: dict[str, list[dict]] = state["done"]
        self._running = state["running"]
        for watcher, found in zip(self._kept, state["kept"], strict=False):
            watcher.restore(found)

    def run(
        self,
        name: str,
        loop: Loop,
        epochs: int,
        start: Snapshot | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        last_epoch: Callable[[], float] | None = None,
    ) -> list[dict]:
        """Run one stage, or the rest of it, and return its history.

        Args:
            name: Name of the stage, unique in the job.
            loop: The training.
            epochs: See :meth:`Loop.run`.
            start: Where the stage starts; by default at the present state of ``loop``.
            callbacks: Keras callbacks.
            last_epoch: See :meth:`Loop.run`.
        """
        if name in self._done:
            return self._done[name]
        if self._running and self._running["name"] == name:
            start = Snapshot(**self._running["snapshot"])
        if start is not None:
            loop.restore(start)

        def keep() -> None:
            if self._checkpoint.due:
                self._save({"name": name, "snapshot": vars(loop.snapshot())})

        self._done[name] = loop.run(epochs, callbacks, keep, last_epoch)
        self._save(None)
        return self._done[name]

    def _save(self, running: dict | None) -> None:
        kept = [watcher.state() for watcher in self._kept]
        self._checkpoint.save({"done": self._done, "running": running, "kept": kept})
