"""Risk scores of a network for the slides of a cohort."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from resbuilder.common.words import some
from survival.cohort import Cohort
from survival.cohort.duplicates import check_contents, known_slides
from survival.cohort.plausible import same_unit, warn_of_units
from survival.images import CanvasImages, at_a_time, slides_in, warn_without_image
from survival.run import EVALUATIONS, Run, write_table

__all__ = ["evaluate", "predict", "risk_scores"]

# Decimals of a log-hazard. Further digits are rounding errors of float32 that depend on a slide's
# position in its batch, whereas equal slides must have equal scores.
DIGITS = 6


def evaluate(
    run: Run | str | Path,
    cohort: Cohort,
    images: str | Path,
    name: str,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Compute the risk scores of a cohort that a network was not trained on, and store them.

    They are written to the folder ``evaluations`` of the run.

    Args:
        run: The run, or its folder.
        cohort: Slides and follow-up, for example of another scanner.
        images: Output folder of ``survival preprocess`` with their images.
        name: Name of the evaluation; an existing one of that name is replaced.
        callbacks: Keras callbacks of the prediction.

    Returns:
        A table as described at :attr:`survival.run.Run.predictions`.

    Raises:
        ValueError: An image is missing or does not have the network's input size; one slide
            belongs to two patients; slides to evaluate (the split ``test``, or all if there is
            none) were in the network's training or validation split; or the unit of time differs.

    Warns:
        UserWarning: If the images have another scale than those the network was trained on, or the
            times may have another unit.
    """
    run = run if isinstance(run, Run) else Run(run)
    if not name or Path(name).name != name or name.startswith("."):
        raise ValueError(f"name must be a file name without folders, not {name!r}")
    _check_unit(run, cohort)
    pictures = CanvasImages(images, cohort.slide)
    check_contents(cohort, pictures.contents)
    _refuse_known_slides(run, cohort, pictures)
    network = _network_for(run, pictures)
    table = prediction_table(cohort, pictures, predict(network, pictures, callbacks))
    table = table.assign(
        time_column=cohort.time_column,
        event_column=cohort.event_column,
        microns_per_pixel=pictures.scales,
    )
    (run.path / EVALUATIONS).mkdir(exist_ok=True)
    write_table(run.path / EVALUATIONS / f"{name}.csv", table)
    return table


def risk_scores(
    run: Run | str | Path,
    images: str | Path,
    slides: Sequence[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Compute the risk scores of slides, whose follow-up need not be known.

    Args:
        run: The run, or its folder.
        images: Output folder of ``survival preprocess`` with the slides' images.
        slides: Names of the slides; by default all with an image in the folder's manifest.
        callbacks: Keras callbacks of the prediction.

    Returns:
        One row per slide: ``slide``, ``log_hazard`` (a higher value means a higher risk),
        ``microns_per_pixel`` of its image (NaN if unknown) and ``image`` (its file).

    Raises:
        ValueError: An image is missing or does not have the network's input size; or no slide has
            an image.

    Warns:
        UserWarning: If slides of the manifest have no image, or if the images have another scale
            than those the network was trained on.
    """
    run = run if isinstance(run, Run) else Run(run)
    if slides is None:
        slides, without = slides_in(images)
        warn_without_image(without)
    names = list(slides)
    pictures = CanvasImages(images, names)
    network = _network_for(run, pictures)
    return pd.DataFrame(
        {
            "slide": names,
            "log_hazard": predict(network, pictures, callbacks),
            "microns_per_pixel": pictures.scales,
            "image": [str(path.absolute()) for path in pictures.paths],
        }
    )


def _check_unit(run: Run, cohort: Cohort) -> None:
    """Check that the times of a cohort are in the unit with which the network was trained."""
    trained, here = run.settings.get("time_unit"), cohort.time_unit
    if None not in (trained, here) and not same_unit(trained, here):
        raise ValueError(
            f"the network in {run.path} was trained with times in {trained}, but those of the "
            f"cohort are in {here}: convert them"
        )
    if not same_unit(trained, here):
        known = f"the network was trained with times in {trained}, but the cohort states"
        if trained is None:
            known = f"the times of the cohort are in {here}, but the network's training states"
        warnings.warn(f"{known} no unit of time: make sure that it is the same", stacklevel=3)
    warn_of_units({"the network's slides": run.predictions["time"], "the cohort": cohort.time})


def _network_for(run: Run, pictures: CanvasImages) -> keras.Model:
    """Return a run's network, after a comparison of the images with its input."""
    network = run.model()
    if (wanted := tuple(network.input_shape[1:])) != pictures.shape:
        raise ValueError(
            f"the network in {run.path} needs images of {wanted[1]}x{wanted[0]} pixels, but those "
            f"in {pictures.folder} have {pictures.shape[1]}x{pictures.shape[0]}: preprocess the "
            f"slides with --canvas {wanted[1]}x{wanted[0]}"
        )
    pictures.warn_of_scales(run.settings.get("microns_per_pixel"))
    return network


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
            f"{len(known)} of the {int(rows.sum())} slides to evaluate ({some(known)}) were in the "
            f"training or validation split of the network in {run.path}, so the results would be "
            "too optimistic: evaluate other slides. `survival report` evaluates the network's own "
            "test split"
        )


def predict(
    network: keras.Model,
    images: CanvasImages,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> np.ndarray:
    """Return the log-hazards of all images, rounded to :data:`DIGITS` decimals.

    Args:
        network: A model from images to log-hazards of shape (n, 1).
        images: n images.
        callbacks: Keras callbacks of the prediction.

    Returns:
        float64, shape (n,); a higher value means a higher risk.

    Raises:
        ValueError: A log-hazard is not finite.
    """
    log_hazard = log_hazards(network, images, callbacks)
    if not np.isfinite(log_hazard).all():
        raise ValueError(
            f"{np.sum(~np.isfinite(log_hazard))} of {len(log_hazard)} risk scores are not finite: "
            "the network is broken"
        )
    return log_hazard


def log_hazards(
    network: keras.Model,
    images: CanvasImages,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> np.ndarray:
    """Return the log-hazards as :func:`predict` does, but accept values that are not finite."""
    found = network.predict(OrderedBatches(images), verbose=0, callbacks=list(callbacks))
    return np.round(np.asarray(found, "float64").reshape(-1), DIGITS)


class OrderedBatches(keras.utils.PyDataset):
    """Images in their order, in batches that fit into memory.

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
    """Return a table as described at :attr:`survival.run.Run.predictions`."""
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
