"""What a network predicts for the slides of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from resbuilder.common.words import some
from survival.cohort import Cohort
from survival.cohort.identity import check_contents, known_slides
from survival.images import CanvasImages, at_a_time
from survival.run import EVALUATIONS, Run, write_table

# Decimals of a log-hazard. What lies behind them is rounding noise of float32, which depends on a
# slide's place in its batch: equal slides must have equal risks.
DIGITS = 6


def evaluate(
    run: Run | str | Path,
    cohort: Cohort,
    images: str | Path,
    name: str,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Predict a cohort that a network was not trained on, and keep that in the run's folder.

    Args:
        run: A training's folder.
        cohort: Slides and follow-up, of another scanner for example.
        images: Folder of their images, as ``survival preprocess`` wrote it.
        name: What the evaluation is called; one of that name before is replaced.
        callbacks: Keras callbacks of the prediction.

    Returns:
        The table that :attr:`survival.run.Run.predictions` describes.

    Raises:
        ValueError: Images that are missing, or of another size than the network takes; one slide
            that stands for two patients; or slides to be judged (the split ``test``, or all if
            there is none) on which the network was trained or its epoch chosen; or times in
            another unit.
    """
    run = run if isinstance(run, Run) else Run(run)
    if not name or Path(name).name != name or name.startswith("."):
        raise ValueError(f"name must be a file's name without folders, not {name!r}")
    units = run.settings.get("time_unit"), cohort.time_unit
    if None not in units and units[0] != units[1]:
        raise ValueError(
            f"the network of {run.path} was trained with times in {units[0]}, and those of the "
            f"cohort are in {units[1]}: convert them"
        )
    pictures = CanvasImages(images, cohort.slide)
    check_contents(cohort, pictures.contents)
    _refuse_known_slides(run, cohort, pictures)
    network = run.model()
    if (wanted := tuple(network.input_shape[1:])) != pictures.shape:
        raise ValueError(
            f"the network of {run.path} takes images of {wanted[1]}x{wanted[0]}, those in {images} "
            f"have {pictures.shape[1]}x{pictures.shape[0]}: preprocess the slides with "
            f"--canvas {wanted[1]}x{wanted[0]}"
        )
    table = prediction_table(cohort, pictures, predict(network, pictures, callbacks))
    (run.path / EVALUATIONS).mkdir(exist_ok=True)
    write_table(run.path / EVALUATIONS / f"{name}.csv", table)
    return table


def _refuse_known_slides(run: Run, cohort: Cohort, pictures: CanvasImages) -> None:
    tested = cohort.split == "test"
    rows = tested if tested.any() else np.ones(len(cohort), bool)
    before = run.predictions[run.predictions["split"].isin(["train", "validation"])]
    known = known_slides(
        cohort.slide[rows].tolist(),
        pictures.select(rows).contents,
        before["slide"].tolist(),
        before["content"].tolist() if "content" in before else [],
    )
    if known:
        raise ValueError(
            f"the network of {run.path} was trained, or its epoch chosen, on {len(known)} of the "
            f"{int(rows.sum())} slides to be judged ({some(known)}), so that nothing said about "
            "them would hold for others: judge it by other slides, or give its cohort with the "
            'split, of which "test" is judged'
        )


def predict(
    network: keras.Model,
    images: CanvasImages,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> np.ndarray:
    """Return the log-hazards of all images, rounded to :data:`DIGITS`; higher is more risk.

    Args:
        network: From images to log-hazards of shape (n, 1).
        images: n images.
        callbacks: Keras callbacks of the prediction.

    Returns:
        float64, shape (n,).

    Raises:
        ValueError: The network's predictions are no numbers.
    """
    log_hazard = log_hazards(network, images, callbacks)
    if not np.isfinite(log_hazard).all():
        raise ValueError(
            f"{np.sum(~np.isfinite(log_hazard))} of {len(log_hazard)} predictions are no finite "
            "numbers: the network is broken"
        )
    return log_hazard


def log_hazards(
    network: keras.Model,
    images: CanvasImages,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> np.ndarray:
    """Return what :func:`predict` does, finite or not."""
    found = network.predict(OrderedBatches(images), verbose=0, callbacks=list(callbacks))
    return np.round(np.asarray(found, "float64").reshape(-1), DIGITS)


class OrderedBatches(keras.utils.PyDataset):
    """Images in their order, as many at a time as fit into the memory.

    Args:
        images: n images.
    """

    def __init__(self, images: CanvasImages):
        super().__init__(workers=images.threads)
        self._images = images
        self._size = min(at_a_time(images.shape), 64)

    def __len__(self) -> int:
        return -(-len(self._images) // self._size)

    def __getitem__(self, number: int):
        rows = range(number * self._size, min((number + 1) * self._size, len(self._images)))
        return (np.stack([self._images[row] for row in rows]),)


def prediction_table(cohort: Cohort, images: CanvasImages, log_hazard: np.ndarray) -> pd.DataFrame:
    """Return the table that :attr:`survival.run.Run.predictions` describes."""
    return pd.DataFrame(
        {
            "slide": cohort.slide,
            "patient": cohort.patient,
            "dataset": cohort.dataset,
            "split": cohort.split,
            "time": cohort.time,
            "event": cohort.event.astype(int),
            **({"entry": cohort.entry} if cohort.entry.any() else {}),
            "log_hazard": log_hazard,
            "image": [str(path.absolute()) for path in images.paths],
            "content": images.contents,
        }
    )
