"""Progress of a search or a training: bars with the remaining time, and a line for each event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class SearchProgress:
    """Two bars on a terminal, for trainings and for epochs, and a line for each event.

    Without a terminal, only the lines are written. Use it as a context manager.

    Args:
        trainings: The most trainings that the search may have, or its total number of epochs.
        console: Where to write; standard error by default, so that results can be piped.
        unit: What the first bar counts: ``"training"`` or ``"epoch"``.
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
        """Return a callback that shows a training's epochs and steps in the second bar.

        Without a terminal, the callback prints a line at the end of an epoch, at most once a
        minute.
        """
        return _StepBar(self, what, epochs)

    def trained(
        self,
        what: str,
        validation: float | None,
        test: float | None,
        seconds: float,
        replayed: bool = False,
        epochs: float = 1,
    ) -> None:
        """Print the result of a training and advance the first bar.

        Args:
            what: Which training.
            validation: Accuracy in 0..1 on validation data; None if it was not finite.
            test: Accuracy in 0..1 on test data; None if it was not finite.
            seconds: How long the training took.
            replayed: Whether the result was read from the journal of a resumed run.
            epochs: Number of epochs, which may be a fraction; ignored if the first bar counts
                trainings.
        """
        counts_epochs = self._unit == "epoch"
        self._bars.advance(self._trainings, epochs if counts_epochs else 1)
        task = self._bars.tasks[self._trainings]
        took = "  (from the journal)" if replayed else f"{seconds:7.1f} s"
        of = "of" if counts_epochs else "of at most"
        count = f"{self._unit} {task.completed:g} {of} {self._total}"
        self.say(f"  {what:<10} {accuracy_text(validation, test)} {took}   {count}")
        if replayed:
            # The remaining time is estimated from the trainings done in this process.
            done = task.completed
            self._bars.reset(self._trainings, start=True)
            self._bars.update(self._trainings, completed=done)

    def fewer(self, trainings: int) -> None:
        """Reduce the total of the first bar by a number of trainings."""
        self._total -= trainings
        self._bars.update(self._trainings, total=self._total)


@contextmanager
def step_bar(
    label: str, total: int, console: Console | None = None
) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal until the block ends; yield a function that takes the steps done.

    Args:
        label: What is done.
        total: Number of steps.
        console: Where to show it; standard error by default.
    """
    console = console or Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)


def notice(text: str) -> None:
    """Print a line on standard error, before there is a progress bar."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


def accuracy_text(validation: float | None, test: float | None) -> str:
    """Return ``validation 91.2 %, test 90.8 %`` of a training or evaluation."""
    return f"validation {percent(validation)}, test {percent(test)}"


def percent(accuracy: float | None) -> str:
    """Return an accuracy in per cent, right-aligned, or a dash for None."""
    return "     –" if accuracy is None else f"{100 * accuracy:5.2f} %"


class _StepBar(keras.callbacks.Callback):
    """Shows the steps of one training in the second bar."""

    def __init__(self, progress: SearchProgress, what: str, epochs: int):
        super().__init__()
        self._progress, self._bars, self._task = progress, progress._bars, progress._steps
        self._what, self._epochs = what, epochs

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._steps = self.params.get("steps") or 0
        total = self._steps * self._epochs or None
        self._bars.reset(self._task, total=total, visible=True, description=self._what)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        text = f"{self._what}, epoch {epoch + 1} of {self._epochs}"
        self._before = epoch * self._steps
        self._bars.update(self._task, description=text, completed=self._before)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        progress = self._progress
        if not progress.console.is_terminal and time.monotonic() - progress._said > 60:
            progress.say(f"  {self._what}, epoch {epoch + 1} of {self._epochs} done")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Several steps may be executed at once; then `batch` can exceed the steps of an epoch.
        done = min(batch + 1, self._steps) if self._steps else batch + 1
        self._bars.update(self._task, completed=self._before + done)

    def on_train_end(self, logs: dict | None = None) -> None:
        self._bars.update(self._task, visible=False)
