"""Code and commands that use the best network on this machine, to be copied from the report."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from resbuilder.datasets import folder_of
from resbuilder.model_card import ModelCard, read_keras_card
from resbuilder.report.history import History
from resbuilder.run import BEST_MODEL


@dataclass(frozen=True)
class Usage:
    """Code and commands for a user.

    Attributes:
        python: A Python program.
        shell: Shell commands.
        pictures: Whether the network can classify image files.
    """

    python: str
    shell: str
    pictures: bool


def usage_of(history: History) -> Usage | None:
    """Return how to use the best network of a run; None if it does not name its classes."""
    run = history.run_dir.resolve()
    try:
        card = read_keras_card(run / BEST_MODEL) if (run / BEST_MODEL).is_file() else None
    except ValueError:  # A damaged model file must not prevent the report.
        card = None
    if card is None:
        return None
    dataset = str(history.config.get("dataset", ""))
    export = shlex.join(["resbuilder", "export", str(run), "model.onnx", "--format", "onnx"])
    photos = _photos(dataset, history.config.get("data_dir"))
    if card.reading is None or photos is None:
        return Usage(_with_arrays(run, dataset, history, card), export, card.reading is not None)
    predict = shlex.join(["resbuilder", "predict", str(run), photos, "--csv", "predictions.csv"])
    return Usage(_with_pictures(run, photos), f"{predict}\n{export}", True)


def _photos(dataset: str, data_dir: str | None) -> str | None:
    """Return the folder of images of a run, which may be on another machine; None for arrays."""
    try:
        folder = folder_of(dataset, data_dir)
    except ValueError:  # The run's data folder is not on this machine.
        folder = None
    if folder is not None:
        return str(folder)
    path = Path(dataset)
    return dataset if path.is_absolute() and path.suffix != ".npz" else None


def _with_pictures(run: Path, dataset: str) -> str:
    return f"""from itertools import islice
from resbuilder import Predictor

network = Predictor({str(run)!r})
photos = {dataset!r}  # image files, or folders of them
for found in islice(network.predict(photos), 10):
    print(found.file, found.label, f"{{found.probability:.1%}}")"""


def _with_arrays(run: Path, dataset: str, history: History, card: ModelCard) -> str:
    data_dir = history.config.get("data_dir")
    where = f", data_dir={data_dir!r}" if data_dir else ""
    shape = ", ".join(map(str, card.input_shape))
    return f"""from resbuilder import Predictor
from resbuilder.datasets import load

network = Predictor({str(run)!r})
images = load({dataset!r}{where}).x_test[:10]  # raw pixels (n, {shape})
for row in network.probabilities(images):
    print(network.classes[row.argmax()], f"{{row.max():.1%}}")"""
