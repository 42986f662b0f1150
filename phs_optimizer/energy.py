"""Energy of a training: kinetic, potential, total, and what friction has taken."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from phs_optimizer import checks
from phs_optimizer.lookup import phs_of
from phs_optimizer.optimizer import PHS
from phs_optimizer.task_loss import TaskLoss

COLUMNS = ("step", "kinetic", "potential", "total", "dissipated", "friction")


def kinetic_energy(optimizer: PHS) -> float:
    """Return ‖p‖²/(2 m s) over all weights, in units of the loss.

    s is 1 without a step schedule. With one, the weights move like a body of mass m/s. NaN where
    s is 0: the mass is infinite then.
    """
    squares = 0.0
    for momentum in optimizer.momenta:
        if momentum is not None:
            # In float32, as the square of a half may overflow.
            p = keras.ops.convert_to_numpy(momentum).astype("float32").ravel()
            squares += float(np.dot(p, p))
    scale = optimizer.force_scale()
    return squares / (2 * optimizer.mass * scale) if scale > 0 else math.nan


def dissipation_rate(optimizer: PHS, kinetic: float | None = None) -> float:
    """Return the energy that friction takes in a unit of time, r ‖p‖²/(m s).

    Along the equations of motion (thesis eq. 3.3) dH/dt = −r ‖p‖²/m with r = γ/m or γ. A step
    lasts the time α, so it dissipates α times this, up to terms of order α².

    Args:
        optimizer: The optimizer.
        kinetic: Its kinetic energy, where that is known already.
    """
    friction = float(keras.ops.convert_to_numpy(optimizer.friction))
    kinetic = kinetic_energy(optimizer) if kinetic is None else kinetic
    return 2 * optimizer.decay_rate(friction) * kinetic


class EnergyLogger(keras.callbacks.Callback):
    """Logs the energies of a training with a :class:`phs_optimizer.PHS` optimizer.

    H = ‖p‖²/(2m) + L(w): the kinetic energy at the time of a record, the potential as the mean
    task loss (without the weights' regularization terms) of the steps since the record before,
    and the energy dissipated since the beginning, integrated over the records by the trapezoidal
    rule: where it matters, record every few 1/(α r) steps, the memory of the momentum. Under a
    step schedule with the factor s the mass is m/s, so that all energies are in units of the loss.

    Records and file are of one training, which is what one optimizer has done:

    - An optimizer that has taken no step begins both again.
    - A second ``fit`` goes on in both.
    - A model that goes on from a ``.keras`` file, or under ``BackupAndRestore``, goes on in the
      file, and the records are read from it. Rows of steps beyond the saved one are dropped.

    Args:
        every: Steps between records; None records at the end of every epoch.
        monitor: What is the potential: ``"loss"``, or the name of a metric in Keras' logs.
        csv_path: A file for the records.
        optimizer: The PHS optimizer, where a model has several; by default the one that the model
            was compiled with, or the only PHS in its ``MultiOptimizer``.
        **kwargs: Nothing else is allowed.

    Attributes:
        records: One dict each: ``step`` (batches that the optimizer has seen), ``kinetic``,
            ``potential``, ``total``, ``dissipated``, ``friction``; energies in units of the loss.

    Raises:
        ValueError: Bad values; in ``fit``, a model without a PHS optimizer, or a file to go on in
            that is not of this callback.

    Example:
        >>> import keras, numpy as np
        >>> from phs_optimizer import PHS, plot_energy
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(PHS(), "mse")
        >>> energy = EnergyLogger(every=50)
        >>> x = np.random.default_rng(0).normal(size=(3200, 3))
        >>> history = model.fit(x, x.sum(axis=1), epochs=2, verbose=0, callbacks=[energy])
        >>> [record["step"] for record in energy.records]
        [50, 100, 150, 200]
        >>> plot_energy(energy.records).savefig("energy.png")
    """

    def __init__(
        self,
        every: int | None = None,
        monitor: str = "loss",
        csv_path: str | Path | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        **kwargs: Any,
    ):
        super().__init__()
        checks.no_unknown("EnergyLogger", kwargs, type(self).__init__)
        self.every = None if every is None else checks.count("every", every)
        self.csv_path = None if csv_path is None else Path(csv_path)
        self.optimizer = optimizer
        self.records: list[dict] = []
        self._task_loss = TaskLoss(monitor, refresh=self.every or 100)
        self._of: PHS | None = None  # whose training the records are of
        self._training = False  # between the first epoch's beginning and the training's end
        self._step = 0
        self._losses = np.zeros(2)  # sum of losses and of steps since the last record
        self._updates, self._rate, self._dissipated = 0, 0.0, 0.0  # at the last record

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Check the optimizer."""
        self._phs()
        self._training = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Begin or go on with records and file at first; begin a new running mean."""
        if not self._training:
            # Only here: BackupAndRestore, behind this callback, restores in on_train_begin.
            self._take_up()
        self._training = True
        self._task_loss.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Record if a record is due."""
        before = self._step
        loss, steps = self._task_loss.read(self, batch, logs)
        self._losses += loss * steps, steps
        self._step += steps
        if self.every and self._step // self.every > before // self.every:
            self._record()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Record, unless ``every`` is set."""
        if self.every is None:
            self._record()

    def _take_up(self) -> None:
        """Go on with the records of this optimizer, or begin."""
        optimizer = self._phs()
        step = optimizer.steps_taken()
        if optimizer is not self._of or not step:
            self._of, self._step = optimizer, step
            self.records = self._stored(step) if step else []
            self._losses[:] = 0
            if self.records:
                latest = self.records[-1]
                self._dissipated = latest["dissipated"]
                self._updates = latest["step"] // (optimizer.gradient_accumulation_steps or 1)
                self._rate = 2 * optimizer.decay_rate(latest["friction"]) * latest["kinetic"]
            else:
                self._dissipated = 0.0
                self._updates, self._rate = _updates(optimizer), dissipation_rate(optimizer)
            if self.csv_path is not None:
                with self.csv_path.open("w", newline="", encoding="utf-8") as file:
                    csv.writer(file).writerow(COLUMNS)
                    csv.writer(file).writerows([r[name] for name in COLUMNS] for r in self.records)
        self._step = max(self._step, step)  # it may have trained without this callback

    def _stored(self, step: int) -> list[dict]:
        """The records that the file has up to a step."""
        if self.csv_path is None or not self.csv_path.exists():
            return []
        text, header = self.csv_path.read_text(encoding="utf-8"), ",".join(COLUMNS) + "\n"
        if not (text.startswith(header) or header.startswith(text)):
            raise ValueError(
                f"{self.csv_path} is not a file of EnergyLogger, whose first line is "
                f"{','.join(COLUMNS)}: give another csv_path, or remove it"
            )
        # A crash may have cut off the last line, also within a number, which then still is one.
        rows = list(csv.reader(text.rpartition("\n")[0].splitlines()))[1:]
        numbers = [[float(cell) for cell in row] for row in rows if len(row) == len(COLUMNS)]
        records = [dict(zip(COLUMNS, row, strict=True)) for row in numbers]
        return [r | {"step": int(r["step"])} for r in records if r["step"] <= step]

    def _record(self) -> None:
        if not self._losses[1]:
            return
        optimizer = self._phs()
        updates, kinetic = _updates(optimizer), kinetic_energy(optimizer)
        rate = dissipation_rate(optimizer, kinetic)
        potential = float(self._losses[0] / self._losses[1])
        self._losses[:] = 0
        # Updates, not steps: gradient accumulation makes one of several.
        elapsed = (updates - self._updates) * optimizer.time_step()
        mean = (rate + self._rate) / 2
        self._dissipated += 0.0 if math.isnan(mean) else elapsed * mean
        self._updates, self._rate = updates, rate
        record = {
            "step": self._step,
            "kinetic": kinetic,
            "potential": potential,
            "total": kinetic + potential,
            "dissipated": self._dissipated,
            "friction": float(keras.ops.convert_to_numpy(optimizer.friction)),
        }
        self.records.append(record)
        if self.csv_path is not None:
            with self.csv_path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(record[name] for name in COLUMNS)

    def _phs(self) -> PHS:
        return phs_of(self.model, "EnergyLogger", self.optimizer)


def _updates(optimizer: PHS) -> int:
    return int(keras.ops.convert_to_numpy(optimizer.iterations))
