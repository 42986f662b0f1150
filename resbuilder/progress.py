"""What a person sees while a search or a training runs: where it is and how long it still takes."""

from __future__ import annotations

import time
from typing import Self

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class SearchProgress:
    """Two bars on a terminal, trainings and epochs; a line for each event everywhere.

    Args:
        trainings: How many trainings the search will have at most, or epochs in all.
        console: Where to write; standard error by default, so that results can be piped.
        unit: ``"training"``, or ``"epoch"`` where all epochs of the search are counted.

    Use as a context manager.
    """

    def __init__(self, trainings: int, console: Console | None = None, unit: str = "training"):
        self.console = console or Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._said = time.monotonic()
        self._total, self._unit = trainings, unit
        self._trainings = self._bars.add_task(f"{unit}s", total=trainings)
        self._steps = self._bars.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self.console.print(text, markup=False, soft_wrap=True)
        self._said = time.monotonic()

    def training(self, what: str, epochs: int) -> keras.callbacks.Callback:
        """A callback that shows a training's epochs and steps in the second bar.

        Where there is no terminal, a line tells of every epoch that ends a minute or more after
        the last line.
        """
        return _StepBar(self, what, epochs)

    def trained(
        self,
        what: str,
        validation: float | None,
        test: float | None,
        seconds: float,
        replayed: bool = False,
        epochs: int = 1,
    ) -> None:
        """Tell the outcome of a training and move the first bar on.

        Args:
            what: Which training.
            validation: Accuracy in 0..1 on validation data; None if it was not finite.
            test: Likewise on test data.
            seconds: How long it took.
            replayed: Whether it was done before the run was resumed.
            epochs: How many it had; ignored where trainings are counted.
        """
        counts_epochs = self._unit == "epoch"
        self._bars.advance(self._trainings, epochs if counts_epochs else 1)
        task = self._bars.tasks[self._trainings]
        took = "  (from the journal)" if replayed else f"{seconds:7.1f} s"
        of = "of" if counts_epochs else "of ≤"
        count = f"{self._unit} {task.completed:.0f} {of} {self._total}"
        self.say(f"  {what:<10} {accuracy_text(validation, test)} {took}   {count}")
        if replayed:
            # The remaining time is estimated from the trainings done in this process.
            self._bars.reset(self._trainings, completed=int(task.completed), start=True)

    def fewer(self, trainings: int) -> None:
        """The search will need so many trainings less than announced."""
        self._total -= trainings
        self._bars.update(self._trainings, total=self._total)


def notice(text: str) -> None:
    """Print a line on standard error, before there is a bar."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


def accuracy_text(validation: float | None, test: float | None) -> str:
    """Return ``validation 91.2 %, test 90.8 %`` of a training or evaluation."""
    return f"validation {percent(validation)}, test {percent(test)}"


def percent(accuracy: float | None) -> str:
    """Return an accuracy in per cent, right-aligned; a dash where it is not finite."""
    return "     –" if accuracy is None else f"{100 * accuracy:5.2f} %"


class _StepBar(keras.callbacks.Callback):
    def __init__(self, progress: SearchProgress, what: str, epochs: int):
        super().__init__()
        self._progress, self._bars, self._task = progress, progress._bars, progress._steps
        self._what, self._epochs = what, epochs

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._in_epoch = steps = self.params.get("steps") or 0
        total = steps * self._epochs or None
        self._bars.reset(self._task, total=total, visible=True, description=self._what)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        text = f"{self._what}, epoch {epoch + 1} of {self._epochs}"
        self._bars.update(self._task, description=text, completed=epoch * self._in_epoch)
        self._before = epoch * self._in_epoch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        progress = self._progress
        if not progress.console.is_terminal and time.monotonic() - progress._said > 60:
            progress.say(f"  {self._what}, epoch {epoch + 1} of {self._epochs} done")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Several steps may end at once, and the last ones of an epoch are fewer.
        done = min(batch + 1, self._in_epoch) if self._in_epoch else batch + 1
        self._bars.update(self._task, completed=self._before + done)

    def on_train_end(self, logs: dict | None = None) -> None:
        self._bars.update(self._task, visible=False)
