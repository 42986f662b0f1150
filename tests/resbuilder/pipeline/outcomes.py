"""What the tests compare between two runs of a search."""

from pathlib import Path

import keras
import numpy as np


def weights(path: Path) -> list[np.ndarray]:
    """Return the weights of the winner in a run folder."""
    model = keras.models.load_model(path / "models" / "best.keras", compile=False)
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


def logged(training) -> list[keras.callbacks.Callback]:
    """Return a user's callbacks for a training: a CSV file per training, next to the run folder."""
    folder = training.run.with_name(f"{training.run.name}_logs")
    folder.mkdir(exist_ok=True)
    return [keras.callbacks.CSVLogger(str(folder / f"{training.name}.csv"))]
