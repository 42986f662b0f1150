"""Checkpoints after every epoch, from which a training resumes, and the best weights."""

from __future__ import annotations

import math
import re
import shutil
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from resbuilder.common.files import atomically, remove_leftovers
from survival.run import HISTORY, read_history, write_table

FOLDER = "checkpoint"
_EPOCH = re.compile(r"epoch_(\d+)\.npz")


class Checkpoint(keras.callbacks.Callback):
    """Save history, weights and optimizer after every epoch, and the best epoch's weights.

    The best epoch is the one with the highest ``val_cindex``, the first of equals; without
    validation data it is the last one. The file ``epoch_N.npz`` is written last and completes a
    checkpoint. A training that is killed at any time therefore resumes after the last complete
    epoch.

    Args:
        run: The run folder.
        network: The network within the trained model.

    Raises:
        ValueError: During training, if the loss is no longer finite.
    """

    def __init__(self, run: Path, network: keras.Model):
        super().__init__()
        self.folder = run / FOLDER
        self.table = run / HISTORY
        self.network = network
        self.history: list[dict] = []
        self._began = 0.0

    def restore(self, model: keras.Model) -> int:
        """Restore the model's state from the last checkpoint.

        Returns:
            The number of finished epochs.

        Raises:
            ValueError: If the checkpoint or the history is damaged.
        """
        remove_leftovers(self.folder)
        self.folder.mkdir(exist_ok=True)
        matches = (_EPOCH.fullmatch(path.name) for path in self.folder.iterdir())
        done = max((int(match[1]) for match in matches if match), default=0)
        if done:
            history = read_history(self.table.parent)
            if len(history) < done:
                raise ValueError(
                    f"{self.table} has {len(history)} epochs, but {self.folder} has {done}: the "
                    "run folder was changed or damaged; choose another folder, or delete this one"
                )
            _load(self._state(done), _state_of(model))
            self.history = history.head(done).to_dict("records")
        return done

    @property
    def best(self) -> int:
        """The best epoch so far, counted from 1."""
        if "val_cindex" not in self.history[-1]:
            return len(self.history)
        return 1 + max(range(len(self.history)), key=lambda i: self.history[i]["val_cindex"])

    def load_best(self) -> None:
        """Load the weights of the best epoch into the network."""
        _load(self._best(self.best), self.network.weights)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Record the time at which the epoch starts."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the checkpoint; the state is written last, because it completes the epoch."""
        values = {name: float(value) for name, value in (logs or {}).items()}
        if not all(map(math.isfinite, values.values())):
            raise ValueError(
                f"the training has diverged: epoch {epoch + 1} has "
                + ", ".join(f"{name} {value:g}" for name, value in values.items())
                + "; use a smaller learning rate"
            )
        seconds = round(time.perf_counter() - self._began, 2)
        self.history.append({"epoch": epoch + 1} | values | {"seconds": seconds})
        best = self.best
        if best == epoch + 1:
            _save(self._best(best), self.network.weights)
        write_table(self.table, pd.DataFrame(self.history))
        _save(self._state(epoch + 1), _state_of(self.model))
        for path in self.folder.iterdir():
            if path not in (self._best(best), self._state(epoch + 1)):
                path.unlink()

    def _state(self, epoch: int) -> Path:
        return self.folder / f"epoch_{epoch}.npz"

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best_{epoch}.npz"


def _state_of(model: keras.Model) -> list:
    """Return weights, states of random number generators, and the optimizer's variables."""
    return [*model.variables, *model.optimizer.variables]


def _save(path: Path, variables: list) -> None:
    """Write variables in their order. Keras' HDF5 files are not used: they crash on a full disk."""
    with atomically(path) as part:
        np.savez(part, *map(keras.ops.convert_to_numpy, variables))


def _load(path: Path, variables: list) -> None:
    try:
        with np.load(path, allow_pickle=False) as file:
            values = [file[name] for name in file.files]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    except Exception as error:  # A damaged archive can cause any exception.
        raise ValueError(
            f"{path} cannot be loaded ({error}): it was changed or damaged; choose another run "
            "folder, or delete this one"
        ) from None


def remove_checkpoint(run: Path) -> None:
    """Remove the checkpoints of a run, which are not needed after the training."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)
