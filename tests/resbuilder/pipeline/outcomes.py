"""What two runs of a search are compared by."""

from pathlib import Path

import keras
import numpy as np


def weights(path: Path) -> list[np.ndarray]:
    """Of the winner in a run folder."""
    model = keras.models.load_model(path / "models" / "best.keras", compile=False)
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


def logged(training) -> list[keras.callbacks.Callback]:
    """Callbacks of a training, as users have them: a CSV file of its own beside the run."""
    folder = training.run.with_name(f"{training.run.name}_logs")
    folder.mkdir(exist_ok=True)
    return [keras.callbacks.CSVLogger(str(folder / f"{training.name}.csv"))]
