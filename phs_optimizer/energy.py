"""Energy of a training: kinetic, potential, total, and what friction has taken."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np

from phs_optimizer import checks
from phs_optimizer.optimizer import PHS, phs_of
from phs_optimizer.task_loss import TaskLoss

COLUMNS = ("step", "kinetic", "potential", "total", "dissipated", "friction")


def kinetic_energy(optimizer: PHS) -> float:
    """‖p‖²/(2m) over all weights, in units of the loss."""
    squares = 0.0
    for momentum in optimizer.momenta:
        if momentum is not None:
            # In float32, as the square of a half may overflow.
            p = keras.ops.convert_to_numpy(momentum).astype("float32").ravel()
            squares += float(np.dot(p, p))
    return squares / (2 * optimizer.mass)


def dissipation_rate(optimizer: PHS, kinetic: float | None = None) -> float:
    """Energy that friction takes in a unit of time, r ‖p‖²/m.

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
    rule: where it matters, record every few 1/(α r) steps, the memory of the momentum.

    Args:
        every: Steps between records; None records at the end of every epoch.
        monitor: What is the potential: ``"loss"``, or the name of a metric in Keras' logs.
        csv_path: A file to write the records to, anew in every ``fit``.
        **kwargs: Nothing else is allowed.

    Attributes:
        records: One dict each: ``step``, ``kinetic``, ``potential``, ``total``, ``dissipated``,
            ``friction``; energies in units of the loss.

    Raises:
        ValueError: Bad values; in ``fit``, a model without a PHS optimizer.

    Example:
        >>> energy = EnergyLogger(every=50)
        >>> model.fit(x, y, callbacks=[energy])
        >>> plot_energy(energy.records).savefig("energy.png")
    """

    def __init__(
        self,
        every: int | None = None,
        monitor: str = "loss",
        csv_path: str | Path | None = None,
        **kwargs: Any,
    ):
        super().__init__()
        checks.no_unknown("EnergyLogger", kwargs, type(self).__init__)
        self.every = None if every is None else checks.count("every", every)
        self.csv_path = None if csv_path is None else Path(csv_path)
        self.records: list[dict] = []
        self._task_loss = TaskLoss(monitor, refresh=self.every or 100)
        self._step = 0
        self._losses = np.zeros(2)  # sum of losses and of steps since the last record
        self._updates, self._rate, self._dissipated = 0, 0.0, 0.0  # at the last record

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Checks the optimizer and begins the file."""
        optimizer = phs_of(self.model, "EnergyLogger")
        self._updates, self._rate = _updates(optimizer), dissipation_rate(optimizer)
        if self.csv_path is not None:
            with self.csv_path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(COLUMNS)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """A new running mean."""
        self._task_loss.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Records if a record is due."""
        before = self._step
        loss, steps = self._task_loss.read(self, batch, logs)
        self._losses += loss * steps, steps
        self._step += steps
        if self.every and self._step // self.every > before // self.every:
            self._record()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Records, unless every so many steps were asked for."""
        if self.every is None:
            self._record()

    def _record(self) -> None:
        if not self._losses[1]:
            return
        optimizer = phs_of(self.model, "EnergyLogger")
        updates, kinetic = _updates(optimizer), kinetic_energy(optimizer)
        rate = dissipation_rate(optimizer, kinetic)
        potential = float(self._losses[0] / self._losses[1])
        self._losses[:] = 0
        # Updates, not steps: gradient accumulation makes one of several.
        step = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        self._dissipated += (updates - self._updates) * step * (rate + self._rate) / 2
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


def _updates(optimizer: PHS) -> int:
    return int(keras.ops.convert_to_numpy(optimizer.iterations))
