"""Train, load and evaluate a single network, without a search."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resbuilder.common.files import write_json
from resbuilder.config import TrainConfig
from resbuilder.costs import cost
from resbuilder.datasets import DataRecord, check_found, folder_of, is_own_folder
from resbuilder.datasets.batches import Batches
from resbuilder.datasets.layout import TRAIN, find
from resbuilder.model import image_shape, load_network
from resbuilder.model_card import ModelCard, read_keras_card, write_architecture
from resbuilder.progress import SearchProgress, notice
from resbuilder.run import BEST_MODEL, DataEvent, Run, read_config, read_data, read_journal
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
    check_factory(callbacks)
    if scale_to_budget and flops is None:
        raise ValueError("scale_to_budget needs a FLOPs budget per image; give flops=")
    if flops is not None and not 0 < flops < math.inf:
        raise ValueError(f"flops must be a positive number of FLOPs, got {flops}")
    require_tensorboard(config)
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
    with Run.create(out, config, overwrite, data.record()) as run, SearchProgress(1) as progress:
        title = Path(config.start).stem
        run.journal.step(DataEvent, "data", lambda: DataEvent.from_json(data.fingerprint()))
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
        ValueError: If there is no such file.
    """
    path = Path(path)
    file = path / BEST_MODEL if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{file} does not exist; give a .keras file or a finished run")
    return file


def evaluate_single(
    path: str | Path, part: str, dataset: str | None = None, data_dir: str | None = None
) -> dict:
    """Return loss, accuracy and balanced accuracy of a saved model on a part of a dataset.

    Args:
        path: A run folder, or a ``.keras`` file of a model from raw pixels to logits.
        part: ``"train"``, ``"validation"`` or ``"test"``. The first two need a run folder, because
            only a run records how the images were split.
        dataset: Name of a dataset, or a folder of images; by default that of the run. A folder that
            is not divided into parts is evaluated as a whole.
        data_dir: Folder of ``.npz`` files; by default that of the run.

    Returns:
        ``accuracy``, ``loss`` and ``balanced_accuracy``, and the number of ``images``.

    Raises:
        ValueError: If the model or the data cannot be read or do not fit each other, the names of
            the classes differ from the network's, the data have changed since the run began, or
            the split into parts is unknown.
    """
    path = Path(path)
    given = {"dataset": dataset, "data_dir": data_dir}
    given = {name: value for name, value in given.items() if value is not None}
    settings, record = given, None
    if path.is_dir():
        names = TrainConfig.__dataclass_fields__
        settings = {k: v for k, v in read_config(path).items() if k in names} | given
        record = read_data(path, other_data=dataset is not None)
        if dataset is not None and folder_of(dataset, settings.get("data_dir")) is None:
            # How the run reads image files does not matter for arrays.
            settings = {k: v for k, v in settings.items() if k not in OF_FOLDERS}
    elif (card := read_keras_card(model_file(path))) is not None and card.reading is not None:
        record = DataRecord(card.classes, card.reading, files=None)
    if not path.is_dir() and part != "test":
        raise ValueError(
            f"a model file does not say which images are its {part} images; give the run folder, "
            "or evaluate on the test part"
        )
    if part != "test" and dataset is not None:
        raise ValueError(f"the {part} images are those of the run; leave out dataset=")
    if dataset is not None:
        check_found(dataset, settings.get("data_dir"))
    if "dataset" not in settings:
        raise ValueError(
            f"{path} is a model file, which does not say on which images to evaluate; give dataset="
        )
    model = load_model(path)
    data = TrainingData.load(TrainConfig.from_mapping(settings), record)
    images, classes, shape = data.dataset.input_shape, data.dataset.classes, image_shape(model)
    if (shape, model.output_shape[1:]) != (images, (classes,)):
        raise ValueError(
            f"the model takes images of shape {shape} and returns {model.output_shape[1:]} logits, "
            f"but {data.dataset.name} has images of shape {images} and {classes} classes"
        )
    _check_classes(path, data)
    if path.is_dir() and dataset is None:
        _check_unchanged(path, data)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy"), BalancedAccuracy(classes)],
    )
    d = data.dataset
    if dataset is not None and _is_undivided(dataset, settings.get("data_dir")):
        x, y = np.concatenate([d.x_train, d.x_test]), np.concatenate([d.y_train, d.y_test])
        batches, count = Batches(x, y, batch_size=BATCH), len(y)
    else:
        batches = data.batches(part, BATCH)
        count = len(d.y_test) if part == "test" else len(getattr(data.split, part))
    result = model.evaluate(batches, return_dict=True, verbose=0)
    scores = {key: float(result[key]) for key in ("accuracy", "loss", "balanced_accuracy")}
    return scores | {"images": count}


def _is_undivided(dataset: str, data_dir: str | None) -> bool:
    """Return whether a dataset is a user's folder of images without folders for parts."""
    folder = folder_of(dataset, data_dir)
    if folder is None or not is_own_folder(dataset, data_dir):
        return False
    return find(folder).parts.keys() == {TRAIN}


def _check_classes(path: Path, data: TrainingData) -> None:
    """Raise ValueError if a network's classes are not those of the data, in the same order."""
    card = read_keras_card(model_file(path))
    if card is None:
        warnings.warn(
            f"{path} does not name its classes, so their order could not be compared with that of "
            f"{data.dataset.name}",
            stacklevel=3,
        )
        return
    for output, (ours, theirs) in enumerate(
        zip(card.classes, data.dataset.class_names, strict=True)
    ):
        if ours != theirs:
            raise ValueError(
                f"output {output} of the network {path} is the class {ours!r}, but class {output} "
                f"of {data.dataset.name} is {theirs!r}; give the classes their former names, or "
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
        data.check_same(recorded.sha256, run)
    except ValueError as error:
        raise ValueError(f"{error}, or name other data to evaluate on with dataset=") from None
