"""Train, load and evaluate a single network, without a search."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import keras

from resbuilder.common.files import write_json
from resbuilder.common.words import composed, some
from resbuilder.config import SearchConfig, TrainConfig
from resbuilder.costs import cost
from resbuilder.datasets import DataRecord, check_found, folder_of, is_own_folder
from resbuilder.datasets.batches import Batches
from resbuilder.datasets.folder import read_unseen
from resbuilder.model import image_shape, load_network
from resbuilder.model_card import ModelCard, read_keras_card, write_architecture
from resbuilder.pixel_range import check_range
from resbuilder.progress import SearchProgress, notice
from resbuilder.run import (
    BEST_MODEL,
    DataEvent,
    Run,
    check_beginning,
    check_same_data,
    place_of,
    read_config,
    read_data,
    read_journal,
)
from resbuilder.saved_network import is_onnx, is_saved_model
from resbuilder.start_network import start_architecture
from resbuilder.suggestions import with_image_size
from resbuilder.surgery import scaling
from resbuilder.training import CallbackFactory, Trainer, TrainingData, TrainingInfo
from resbuilder.training.balance import BalancedAccuracy
from resbuilder.training.callbacks import callbacks_for, check_factory, require_tensorboard

BATCH = 128
# Settings that only folders of images have.
OF_FOLDERS = ("image_size", "fit", "ela_quality")


def train(
    config: TrainConfig,
    out: str | Path,
    flops: float | None = None,
    scale_to_budget: bool = False,
    overwrite: bool = False,
    callbacks: CallbackFactory | None = None,
) -> dict:
    """Train one architecture from random weights, with L2 regularization only (*No Reg RI*).

    Args:
        config: The network, the data and how to train.
        out: Run folder to create; it gets ``models/best.keras``, ``architecture.json``,
            ``labels.txt`` and ``result.json``.
        flops: ζ, the FLOPs budget per image; None for no budget.
        scale_to_budget: Whether to scale the start network's widths to ζ first.
        overwrite: Whether an existing run folder may be replaced.
        callbacks: A function that takes the :class:`.TrainingInfo` and returns Keras callbacks, as
            for :func:`resbuilder.search`. Here a callback may stop the training.

    Returns:
        The result: cost, history, and loss and accuracy on validation and test data.

    Raises:
        ValueError: If the data cannot be read, the budget is too small or missing, the run folder
            exists, or ``callbacks`` is not such a function.

    Example:
        >>> from keras.callbacks import CSVLogger
        >>> config = TrainConfig(dataset="digits", width=4, epochs=1, train_limit=200)
        >>> def to_csv(training):
        ...     return [CSVLogger(f"{training.name}.csv")]
        >>> result = train(config, "runs/single", callbacks=to_csv)
        >>> open("training.csv").readline().startswith("epoch,accuracy,")
        True
    """
    if isinstance(config, SearchConfig):
        raise ValueError("train takes a TrainConfig, got a SearchConfig; call search with it")
    check_factory(callbacks)
    if scale_to_budget and flops is None:
        raise ValueError("scale_to_budget needs a FLOPs budget per image; give flops=")
    if flops is not None and not (isinstance(flops, Real) and 0 < flops < math.inf):
        raise ValueError(f"flops must be a positive number of FLOPs, got {flops!r}")
    require_tensorboard(config)
    place_of(out, overwrite, config)
    config = with_image_size(config.resolved(), flops, notice)
    data = TrainingData.load(config)
    architecture = start_architecture(config, data.dataset)
    if scale_to_budget and flops is not None:
        architecture = scaling.scale_to_budget(architecture, int(flops))
    elif flops is not None and cost(architecture).flops > flops:
        raise ValueError(
            f"{config.start} needs {cost(architecture).flops:,} FLOPs per image, but the budget is "
            f"{flops:,.0f}; give scale_to_budget to fit the widths, or start from a smaller network"
        )
    trainer = Trainer(architecture, data, config, config.seed, regularized=False)
    counted = cost(architecture)
    result: dict[str, Any] = {
        "architecture": str(architecture),
        "flops": counted.flops,
        "parameters": counted.parameters,
        "depth": architecture.depth,
    }
    budget: dict[str, Any] = (
        {} if flops is None else {"flops": flops, "scale_to_budget": scale_to_budget}
    )
    created = Run.create(out, config, overwrite, data.record(), budget)
    with created as run, SearchProgress(1) as progress:
        title = Path(config.start).stem
        check_beginning(run, data.dataset.name, data.fingerprint())
        watching = [progress.training(title, config.epochs)]
        if config.tensorboard:
            logs = run.path / "tensorboard"
            watching.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
        training = TrainingInfo("training", title, run.path, architecture, config)
        watching += callbacks_for(callbacks, training)
        result |= trainer.fit(config.seed, regularize=False, callbacks=watching)
        validation, test = (result[part]["accuracy"] for part in ("validation", "test"))
        progress.trained("training", validation, test, result["seconds"])
        write_architecture(run.path, architecture, ModelCard.of(data.dataset))
        write_json(run.path / "result.json", result)
        if not result["finite"]:
            raise ValueError(
                f"the training diverged (see {run.path / 'result.json'}); lower the learning rate"
            )
        trainer.save(run.best)
    return result


def load_model(path: str | Path) -> keras.Model:
    """Load a ``.keras`` file, or the best model of a run folder.

    Raises:
        ValueError: If the model does not exist or cannot be read. Code in a file is never executed.
    """
    return load_network(model_file(path))


def model_file(path: str | Path) -> Path:
    """Return the path of a ``.keras`` file: the one given, or a run folder's best model.

    Raises:
        ValueError: If the file does not exist, or is an ONNX file or a SavedModel.
    """
    path = Path(path)
    _refuse_exported(path)
    file = path / BEST_MODEL if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{file} does not exist; give a .keras file or a finished run")
    return file


def _refuse_exported(path: Path) -> None:
    """Raise ValueError if a path is a network in a format that Keras cannot load."""
    kind = "a SavedModel" if is_saved_model(path) else "an ONNX file" if is_onnx(path) else None
    if kind:
        raise ValueError(
            f"{path} is {kind}, which only `resbuilder predict` takes; give the run folder or the "
            ".keras file of the network"
        )


def evaluate_single(
    path: str | Path, part: str, dataset: str | None = None, data_dir: str | None = None
) -> dict:
    """Return loss, accuracy and balanced accuracy of a saved model on a part of a dataset.

    Args:
        path: A run folder, or a ``.keras`` file of a model from raw pixels to logits.
        part: ``"train"``, ``"validation"`` or ``"test"``. The first two need a run folder, because
            only a run records how the images were split.
        dataset: Name of a dataset, or a folder of images; by default that of the run. Of a folder,
            the test part is evaluated, or all images if it has none, but never an image with which
            the run has trained or validated the network.
        data_dir: Folder of ``.npz`` files; by default that of the run.

    Returns:
        ``accuracy``, ``loss`` and ``balanced_accuracy``, the number of ``images``, and their
        ``part``, which is ``"all images"`` for a folder without a test part.

    Raises:
        ValueError: If the model or the data cannot be read or do not fit each other, the names of
            the classes differ from the network's, the data have changed since the run began, or
            the split into parts is unknown.
    """
    path = Path(path)
    _refuse_exported(path)
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
    model = load_model(path)
    if dataset is not None and is_own_folder(dataset, settings.get("data_dir")):
        images = _of_folder(path, settings)
    else:
        images = _of_dataset(path, settings, part, dataset is not None)
    shape, classes = image_shape(model), len(images.class_names)
    _check_classes(path, images)
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


def _of_dataset(path: Path, settings: dict, part: str, other: bool) -> _Images:
    """Return a part of a dataset: of a run's own, or of another that is not a user's folder."""
    record = _record(path, other)
    if record is not None and other:
        record = replace(record, files=None)
        if folder_of(settings["dataset"], settings.get("data_dir")) is None:
            # How the run reads image files does not matter for arrays.
            settings = {k: v for k, v in settings.items() if k not in OF_FOLDERS}
    data = TrainingData.load(TrainConfig.from_mapping(settings), record)
    if path.is_dir() and not other:
        _check_unchanged(path, data)
    d = data.dataset
    return _Images(
        d.name,
        part,
        d.class_names,
        d.input_shape,
        len(d.y_test) if part == "test" else len(getattr(data.split, part)),
        (float(d.x_test.min()), float(d.x_test.max())),
        data.batches(part, BATCH),
    )


def _record(path: Path, other: bool) -> DataRecord | None:
    """Return what a run or a model file says about its data; ``other`` data may be evaluated."""
    if path.is_dir():
        return read_data(path, required=not other)
    run = path.absolute().parent.parent
    if run / BEST_MODEL == path.absolute() and (record := read_data(run, required=False)):
        return record
    card = read_keras_card(model_file(path))
    if card is None or card.reading is None:
        return None
    return DataRecord(card.classes, card.reading, files=None)


def _check_classes(path: Path, images: _Images) -> None:
    """Raise ValueError if a network's classes are not those of the data, in the same order."""
    card = read_keras_card(model_file(path))
    if card is None:
        warnings.warn(
            f"{path} does not name its classes, so their order could not be compared with that of "
            f"{images.name}",
            stacklevel=3,
        )
        return
    if len(card.classes) != len(images.class_names):
        odd = sorted(set(map(composed, card.classes)) ^ set(images.class_names))
        raise ValueError(
            f"the network {path} and {images.name} must have the same classes, but only one of "
            f"them has {some(odd)}"
        )
    for output, (ours, theirs) in enumerate(zip(card.classes, images.class_names, strict=True)):
        if composed(ours) != theirs:
            raise ValueError(
                f"output {output} of the network {path} is the class {ours!r}, but class {output} "
                f"of {images.name} is {theirs!r}; give the classes their former names, or "
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
