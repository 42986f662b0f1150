"""Energies during training: kinetic, potential, total, and dissipated by friction."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from phs_optimizer import checks
from phs_optimizer.lookup import friction_of, phs_of
from phs_optimizer.optimizer import PHS
from phs_optimizer.task_loss import TaskLoss

COLUMNS = ("step", "kinetic", "potential", "total", "dissipated", "friction")


def kinetic_energy(optimizer: PHS) -> float:
    """Return the kinetic energy ‖p‖²/(2 m s) of all weights, in units of the loss.

    The factor s is 1 without a step schedule.

    With a step schedule, dw/dt = p/m and dp/dt = −r p − s g. In terms of P = p/s these are the
    equations of a body of mass m/s, whose kinetic energy is ‖P‖²/(2 m/s) = ‖p‖²/(2 m s). The
    result is NaN if s is 0, because that mass is infinite.
    """
    squares = 0.0
    for momentum in optimizer.momenta:
        if momentum is not None:
            # In float32, because squares of float16 numbers may overflow.
            p = keras.ops.convert_to_numpy(momentum).astype("float32").ravel()
            squares += float(np.dot(p, p))
    scale = optimizer.force_scale()
    return squares / (2 * optimizer.mass * scale) if scale > 0 else math.nan


def dissipation_rate(optimizer: PHS, kinetic: float | None = None) -> float:
    """Return the energy that friction dissipates per unit of time, r ‖p‖²/(m s) ≥ 0.

    Along the equations of motion (thesis eq. 3.3), dH/dt = −r ‖p‖²/m with r = γ/m or γ. A step
    takes the time α, so it dissipates α times this rate, up to terms of order α².

    Args:
        optimizer: The optimizer.
        kinetic: Its kinetic energy, if already known.
    """
    friction = friction_of(optimizer)
    kinetic = kinetic_energy(optimizer) if kinetic is None else kinetic
    return 2 * optimizer.decay_rate(friction) * kinetic


class EnergyLogger(keras.callbacks.Callback):
    """Log the energies of a training with a :class:`phs_optimizer.PHS` optimizer.

    The total energy is H = ‖p‖²/(2m) + L(w). Each record has the kinetic energy at that step and,
    as the potential energy, the mean task loss of the steps since the previous record (without
    the weights' regularization terms). It also has the energy dissipated since the beginning (in
    steps with this callback), integrated over the records by the trapezoidal rule. If its accuracy
    matters, record at least every few multiples of 1/(α r) steps, the memory of the momentum. With
    a step schedule of factor s the mass is m/s, so that all energies are in units of the loss.

    Records and file belong to one training, that is, to the steps of one optimizer:

    - An optimizer that has taken no step starts both again.
    - A second ``fit`` continues both.
    - A model resumed from a ``.keras`` file, or under ``BackupAndRestore``, continues the file,
      and the records are read from it. Rows of steps after the saved one are dropped.

    Args:
        every: Steps between records; None records at the end of each epoch.
        monitor: What to use as the potential: ``"loss"``, or the name of a metric in Keras' logs.
        csv_path: A CSV file for the records.
        optimizer: The PHS optimizer to log if the model has several. By default the one that the
            model was compiled with, or the only PHS in its ``MultiOptimizer``.
        **kwargs: Not accepted. An unknown name raises an error that lists the known ones.

    Attributes:
        records: One dict for each record: ``step`` (:meth:`phs_optimizer.PHS.steps_taken`),
            ``kinetic``, ``potential``, ``total``, ``dissipated``, ``friction``. Energies are in
            units of the loss.

    Raises:
        ValueError: If a value is out of range or an option is unknown. In ``fit``: if the model
            has no PHS optimizer, or if the file to continue was not written by this callback.

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
        self._of: PHS | None = None  # the optimizer that the records belong to
        self._training = False  # from the start of the first epoch to the end of the training
        self._step = 0  # batches, which decide when a record is due
        self._skipped = 0  # batches that a LossScaleOptimizer did not pass on
        self._losses = np.zeros(2)  # sum of losses, and number of steps, since the last record
        self._updates, self._rate, self._dissipated = 0, 0.0, 0.0  # at the last record

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Check the optimizer."""
        self._phs()
        self._training = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start or continue records and file before the first epoch; start a new running mean."""
        if not self._training:
            # Not earlier: BackupAndRestore restores in on_train_begin, perhaps after this callback.
            self._task_loss.forget_terms()
            self._start_or_continue()
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
        self._skipped = self._step - self._phs().steps_taken()

    def _start_or_continue(self) -> None:
        """Continue the records of this optimizer, or start new ones."""
        optimizer = self._phs()
        step = optimizer.steps_taken()
        # BackupAndRestore may have undone steps after an interruption.
        expected, self._skipped = self._step - self._skipped, 0
        undone = optimizer is self._of and step < expected
        if undone or optimizer is not self._of or not step:
            records = self.records if undone else self._stored()
            self._of, expected = optimizer, step
            self.records = [record for record in records if step and record["step"] <= step]
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
        self._step = step
        if step > expected:  # It was trained without this callback: those steps do not count.
            self._updates, self._rate = _updates(optimizer), dissipation_rate(optimizer)
            self._losses[:] = 0

    def _stored(self) -> list[dict]:
        """Return the records in the file."""
        if self.csv_path is None or not self.csv_path.exists():
            return []
        text, header = self.csv_path.read_text(encoding="utf-8"), ",".join(COLUMNS) + "\n"
        # Drop an unfinished last line: a crash may have cut a number short, unnoticeably.
        rows = list(csv.reader(text.rpartition("\n")[0].splitlines()))[1:]
        try:
            if not (text.startswith(header) or header.startswith(text)):
                raise ValueError(f"its first line is not {','.join(COLUMNS)}")
            numbers = [[float(cell) for cell in row] for row in rows]
            records = [dict(zip(COLUMNS, row, strict=True)) for row in numbers]
        except ValueError as error:
            raise ValueError(
                f"{self.csv_path} was not written by EnergyLogger ({error}): give another "
                "csv_path, or remove the file"
            ) from None
        return [r | {"step": int(r["step"])} for r in records]

    def _record(self) -> None:
        if not self._losses[1]:
            return
        optimizer = self._phs()
        updates, kinetic = _updates(optimizer), kinetic_energy(optimizer)
        rate = dissipation_rate(optimizer, kinetic)
        potential = float(self._losses[0] / self._losses[1])
        self._losses[:] = 0
        # Count updates, not steps: gradient accumulation makes one update from several steps.
        elapsed = (updates - self._updates) * optimizer.time_step()
        mean = (rate + self._rate) / 2
        self._dissipated += 0.0 if math.isnan(mean) else elapsed * mean
        self._updates, self._rate = updates, rate
        record = {
            "step": optimizer.steps_taken(),
            "kinetic": kinetic,
            "potential": potential,
            "total": kinetic + potential,
            "dissipated": self._dissipated,
            "friction": friction_of(optimizer),
        }
        self.records.append(record)
        if self.csv_path is not None:
            with self.csv_path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(record[name] for name in COLUMNS)

    def _phs(self) -> PHS:
        return phs_of(self.model, "EnergyLogger", self.optimizer)


def _updates(optimizer: PHS) -> int:
    return int(keras.ops.convert_to_numpy(optimizer.iterations))
