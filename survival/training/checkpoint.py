"""What a training leaves after every epoch, so that it can go on, and its best weights."""

from __future__ import annotations

import math
import re
import shutil
import time
from pathlib import Path

import keras
import pandas as pd

from survival.files import atomically, remove_leftovers
from survival.run import HISTORY, write_table

FOLDER = "checkpoint"
_EPOCH = re.compile(r"epoch_(\d+)\.weights\.h5")


class Checkpoint(keras.callbacks.Callback):
    """Writes history, weights and optimizer after every epoch, and keeps the best epoch's weights.

    The best epoch is the one with the highest ``val_cindex``, the earliest of equals; without
    validation data it is the last. A checkpoint is what its last file, ``epoch_N``, says: killed
    at whatever instant, the training goes on from the last epoch that is whole.

    Args:
        run: The training's folder.
        network: The network within the model that is trained.

    Raises:
        ValueError: While training, when the loss is not finite any more.
    """

    def __init__(self, run: Path, network: keras.Model):
        super().__init__()
        self.folder = run / FOLDER
        self.table = run / HISTORY
        self.network = network
        self.history: list[dict] = []
        self._began = 0.0

    def restore(self, model: keras.Model) -> int:
        """Puts the model where the training stopped.

        Returns:
            The number of epochs that are done.
        """
        remove_leftovers(self.folder)
        self.folder.mkdir(exist_ok=True)
        matches = (_EPOCH.fullmatch(path.name) for path in self.folder.iterdir())
        done = max((int(match[1]) for match in matches if match), default=0)
        if done:
            model.load_weights(self._state(done))
            self.history = pd.read_csv(self.table).head(done).to_dict("records")
        return done

    @property
    def best(self) -> int:
        """The best epoch so far, from 1."""
        if "val_cindex" not in self.history[-1]:
            return len(self.history)
        return 1 + max(range(len(self.history)), key=lambda i: self.history[i]["val_cindex"])

    def load_best(self) -> None:
        """Gives the network the weights of the best epoch."""
        self.network.load_weights(self._best(self.best))

    def remove(self) -> None:
        """What is not needed any more when the training has ended."""
        shutil.rmtree(self.folder)

    def on_epoch_begin(self, epoch, logs=None):
        """Looks at the clock."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Writes everything; the state, which makes the epoch count, last."""
        values = {name: float(value) for name, value in logs.items()}
        if not all(map(math.isfinite, values.values())):
            raise ValueError(
                f"the training has diverged: epoch {epoch + 1} has "
                + ", ".join(f"{name} {value:g}" for name, value in values.items())
                + "; give a smaller learning rate"
            )
        seconds = round(time.perf_counter() - self._began, 2)
        self.history.append({"epoch": epoch + 1} | values | {"seconds": seconds})
        best = self.best
        if best == epoch + 1:
            _save(self.network, self._best(best))
        write_table(self.table, pd.DataFrame(self.history))
        _save(self.model, self._state(epoch + 1))
        for path in self.folder.iterdir():
            if path not in (self._best(best), self._state(epoch + 1)):
                path.unlink()

    def _state(self, epoch: int) -> Path:
        return self.folder / f"epoch_{epoch}.weights.h5"

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best_{epoch}.weights.h5"


def _save(model: keras.Model, path: Path) -> None:
    with atomically(path) as part:
        written = part.with_suffix(".weights.h5")  # Keras insists on this ending.
        model.save_weights(written)
        written.rename(part)
