"""Evaluate a saved network on the data of its run, or on others."""

import contextlib
import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from resbuilder.common.words import composed, some
from resbuilder.config import TrainConfig
from resbuilder.datasets import DataRecord, Dataset, check_found, folder_of, is_own_folder, load
from resbuilder.datasets.batches import Batches
from resbuilder.datasets.folder import read_unseen
from resbuilder.model import image_shape, load_network
from resbuilder.model_card import read_keras_card
from resbuilder.pixel_range import check_range
from resbuilder.run import (
    BEST_MODEL,
    DataEvent,
    check_same_data,
    read_config,
    read_data,
    read_journal,
)
from resbuilder.single import model_file
from resbuilder.training import TrainingData
from resbuilder.training.balance import BalancedAccuracy

BATCH = 128
# Settings that only folders of images have.
OF_FOLDERS = ("image_size", "fit", "ela_quality")


def evaluate(
    path: str | Path, part: str, dataset: str | None = None, data_dir: str | None = None
) -> dict:
    """Return loss, accuracy and balanced accuracy of a saved model on a part of a dataset.

    Args:
        path: A run folder, or a ``.keras`` file of a model from raw pixels to logits.
        part: ``"train"``, ``"validation"`` or ``"test"``. The first two need a run folder, because
            only a run records how the images were split.
        dataset: Name of a dataset, or a folder of images; by default that of the run. Of a folder,
            the test part is evaluated, or all images if it has none, but never an image with which
            the run has trained or validated the network. Classes are matched by their names, and
            the data may lack some of the network's.
        data_dir: Folder of ``.npz`` files; by default that of the run.

    Returns:
        ``accuracy``, ``loss`` and ``balanced_accuracy``, the number of ``images``, and their
        ``part``, which is ``"all images"`` for a folder without a test part.

    Raises:
        ValueError: If the model or the data cannot be read or do not fit each other, the data
            have a class that the network does not know, they have changed since the run began, or
            the split into parts is unknown.
    """
    path = Path(path)
    file = model_file(path)
    given = {"dataset": dataset, "data_dir": data_dir}
    given = {name: value for name, value in given.items() if value is not None}
    if not path.is_dir() and part != "test":
        raise ValueError(
            f"a model file does not say which images are its {part} images; give the run folder, "
            "or evaluate on the test part"
        )
    if part != "test" and dataset is not None:
        raise ValueError(f"the {part} images are those of the run; leave out dataset=")
    settings = given
    if path.is_dir():
        names = TrainConfig.__dataclass_fields__
        settings = {k: v for k, v in read_config(path).items() if k in names} | given
    if dataset is not None:
        recorded = settings.get("data_dir")
        if data_dir is None and recorded is not None and not Path(recorded).is_dir():
            settings.pop("data_dir")  # The run's own data have moved; these may be elsewhere.
        check_found(dataset, settings.get("data_dir"))
    if "dataset" not in settings:
        raise ValueError(
            f"{path} is a model file, which does not say on which images to evaluate; give dataset="
        )
    model, card = load_network(file), read_keras_card(file)
    shape = image_shape(model)
    if dataset is None:
        images = _of_run(path, settings, part)
    elif not is_own_folder(dataset, settings.get("data_dir")):
        images = _of_dataset(path, settings)
    else:
        if card is not None:
            card.reading_of_files(path, "give an .npz file of such arrays")
        images = _of_folder(path, settings)
    if card is None:
        warnings.warn(
            f"{path} does not name its classes, so their order could not be compared with that of "
            f"{images.name}",
            stacklevel=2,
        )
    elif dataset is None:
        _check_classes(path, card.classes, images)
    else:
        images = _in_the_order_of(path, card.classes, images)
    classes = len(images.class_names)
    if (shape, model.output_shape[1:]) != (images.shape, (classes,)):
        raise ValueError(
            f"the model takes images of shape {shape} and returns {model.output_shape[1:]} logits, "
            f"but {images.name} has images of shape {images.shape} and {classes} classes"
        )
    check_range(model, images.range, images.name)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy"), BalancedAccuracy(classes)],
    )
    result = model.evaluate(images.batches, return_dict=True, verbose=0)
    if not math.isfinite(result["loss"]):
        raise ValueError(
            f"the network {path} has no accuracy on these images, because its outputs are not "
            "finite; probably its training diverged"
        )
    scores = {key: float(result[key]) for key in ("accuracy", "loss", "balanced_accuracy")}
    return scores | {"images": images.count, "part": images.part}


@dataclass(frozen=True)
class _Images:
    """Images to evaluate on.

    Attributes:
        name: Name of the dataset.
        part: ``"train"``, ``"validation"``, ``"test"`` or ``"all images"``.
        class_names: Names of the classes.
        shape: Height, width and channels of an image.
        count: Number of images.
        range: Lowest and highest pixel.
        batches: The images and their labels.
    """

    name: str
    part: str
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    count: int
    range: tuple[float, float]
    batches: Batches


def _of_folder(path: Path, settings: dict) -> _Images:
    """Return the images of a user's folder, without those that the network has seen."""
    config = TrainConfig.from_mapping(settings)
    folder = folder_of(config.dataset, config.data_dir)
    assert folder is not None
    record = _record(path, other=True)
    if record is None or record.files is None:
        why = ", as in earlier versions" if path.is_dir() else "; give the run folder instead"
        warnings.warn(
            f"{path} does not say with which images the network was trained{why}. Some of them may "
            "be among these",
            stacklevel=3,
        )
    found = read_unseen(folder, config.image_sides, config.ela_quality, config.fit, record)
    return _Images(
        folder.resolve().name,
        "all images" if found.whole else "test",
        found.classes,
        found.x.shape[1:],
        len(found.y),
        (float(found.x.min()), float(found.x.max())),
        Batches(found.x, found.y, batch_size=BATCH),
    )


def _of_dataset(path: Path, settings: dict) -> _Images:
    """Return the test part of a dataset that is neither a user's folder nor the run's own."""
    record = _record(path, other=True)
    if record is not None:
        record = replace(record, files=None)
        if folder_of(settings["dataset"], settings.get("data_dir")) is None:
            # How the run reads image files does not matter for arrays.
            settings = {k: v for k, v in settings.items() if k not in OF_FOLDERS}
    config = TrainConfig.from_mapping(settings)
    read = (config.image_sides, config.ela_quality, config.fit, record)
    data = load(config.dataset, config.data_dir, *read)
    return _images(data, "test", Batches(data.x_test, data.y_test, batch_size=BATCH))


def _of_run(path: Path, settings: dict, part: str) -> _Images:
    """Return a part of a run's own data."""
    data = TrainingData.load(TrainConfig.from_mapping(settings), _record(path, other=False))
    _check_unchanged(path, data)
    return _images(data.dataset, part, data.batches(part, BATCH))


def _images(data: Dataset, part: str, batches: Batches) -> _Images:
    return _Images(
        data.name,
        part,
        data.class_names,
        data.input_shape,
        len(batches.indices),
        (float(data.x_test.min()), float(data.x_test.max())),
        batches,
    )


def _record(path: Path, other: bool) -> DataRecord | None:
    """Return what a run or a model file says about its data; ``other`` data may be evaluated."""
    if path.is_dir():
        return read_data(path, required=not other)
    run = path.absolute().parent.parent
    if run / BEST_MODEL == path.absolute():
        # Any folder may be called models.
        with contextlib.suppress(ValueError):
            if record := read_data(run, required=False):
                return record
    card = read_keras_card(model_file(path))
    if card is None or card.reading is None:
        return None
    return DataRecord(card.classes, card.reading, files=None)


def _in_the_order_of(path: Path, classes: tuple[str, ...], images: _Images) -> _Images:
    """Return images of other data with the labels of a network's outputs, by the classes' names.

    The data may lack some of the network's classes: accuracies are then those of the others.
    """
    outputs = {composed(name): output for output, name in enumerate(classes)}
    names = [composed(name) for name in images.class_names]
    if unknown := [name for name in names if name not in outputs]:
        raise ValueError(
            f"{images.name} has classes that the network {path} was not trained on: "
            f"{some(unknown)}; its classes are {some(classes, 20)}. Give the classes the names "
            "of the network's, or leave out the others"
        )
    given = images.batches
    labels = np.array([outputs[name] for name in names])[given.y]
    present = set(labels[given.indices].tolist())
    if lacking := [name for name, output in outputs.items() if output not in present]:
        warnings.warn(
            f"{images.name} has no images of these classes of the network: {some(lacking)}",
            stacklevel=3,
        )
    batches = Batches(given.x, labels, given.indices, BATCH)
    return replace(images, class_names=classes, batches=batches)


def _check_classes(path: Path, classes: tuple[str, ...], images: _Images) -> None:
    """Raise ValueError if a network's classes are not those of its data, in the same order."""
    ours, theirs = (tuple(map(composed, names)) for names in (classes, images.class_names))
    if ours != theirs:
        raise ValueError(
            f"the network {path} has the classes {some(classes, 20)}, but {images.name} has "
            f"{some(images.class_names, 20)}; give the classes their former names and order, or "
            "the accuracy would mean nothing"
        )


def _check_unchanged(run: Path, data: TrainingData) -> None:
    """Raise ValueError if the data are not those that a run recorded when it began."""
    entries, _ = read_journal(run / "journal.jsonl")
    recorded = next((e.event for e in entries if isinstance(e.event, DataEvent)), None)
    if recorded is None:
        warnings.warn(
            f"{run} does not record which images it was trained on, so they could not be compared "
            "with these",
            stacklevel=3,
        )
        return
    try:
        check_same_data(recorded, data.fingerprint(), data.dataset.name, run)
    except ValueError as error:
        raise ValueError(f"{error}, or name other data to evaluate on with dataset=") from None
