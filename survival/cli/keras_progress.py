"""Progress on the terminal while a network is trained or computes risk scores."""

from __future__ import annotations

import time
from typing import Self

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochProgress(keras.callbacks.Callback):
    """Show bars for epochs and steps on a terminal, and print a line after each epoch.

    Without a terminal, only the lines are printed. Use it as a context manager.

    Args:
        epochs: Number of epochs of the training.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self._bars = _bars()
        self._epochs = self._bars.add_task("epochs", total=epochs, visible=False)
        self._steps = self._bars.add_task("steps", total=None, visible=False)
        self._total, self._began = epochs, 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Update both bars."""
        self._began = time.monotonic()
        self._bars.update(self._epochs, completed=epoch, visible=True)
        self._bars.reset(self._steps, total=self.params["steps"], visible=True)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Update the bar of the steps."""
        self._bars.update(self._steps, completed=batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Print the epoch's loss, metrics and duration."""
        self._bars.update(self._epochs, completed=epoch + 1)
        parts = [f"{name} {value:.4f}" for name, value in (logs or {}).items()]
        seconds = f"{time.monotonic() - self._began:.1f} s"
        self._bars.console.print(
            f"epoch {epoch + 1}/{self._total}: {', '.join([*parts, seconds])}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class PredictionProgress(keras.callbacks.Callback):
    """Show a bar over the batches of a prediction. Use it as a context manager."""

    def __init__(self):
        super().__init__()
        self._bars = _bars()
        self._batches = self._bars.add_task("computing risk scores", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def on_predict_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Update the bar."""
        self._bars.update(self._batches, completed=batch + 1, total=self.params["steps"])


def _bars() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
