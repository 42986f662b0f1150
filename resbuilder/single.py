"""One network without a search: train it, load it, evaluate it."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import keras

from resbuilder.card import ModelCard, read_keras_card, write_architecture
from resbuilder.common.files import write_json
from resbuilder.config import TrainConfig
from resbuilder.costs import cost
from resbuilder.datasets import DataRecord
from resbuilder.model import image_shape, load_network
from resbuilder.progress import SearchProgress, notice
from resbuilder.run import BEST_MODEL, DataEvent, Run, read_config, read_data, read_journal
from resbuilder.start_network import start_architecture
from resbuilder.suggestions import with_image_size
from resbuilder.surgery import scaling
from resbuilder.training import CallbackFactory, Trainer, TrainingData, TrainingInfo
from resbuilder.training.balance import BalancedAccuracy
from resbuilder.training.callbacks import callbacks_for, check_factory

BATCH = 128


def train(
    config: TrainConfig,
    out: str | Path,
    flops: float | None = None,
    scale_to_budget: bool = False,
    overwrite: bool = False,
    callbacks: CallbackFactory | None = None,
) -> dict:
    """Train one architecture from random initialisation with L2 alone (*No Reg RI*).

    Args:
        config: What to train on what, and how.
        out: Run folder to make; it gets ``models/best.keras``, ``architecture.json``,
            ``labels.txt`` and ``result.json``.
        flops: ζ, FLOPs for one image that the network may need; None: any.
        scale_to_budget: Whether to scale the start network's widths to ζ first.
        overwrite: Whether an existing run folder may be replaced.
        callbacks: A function that is called with the :class:`.TrainingInfo` and returns Keras
            callbacks, as for :func:`resbuilder.search`. Here one of them may end the training.

    Returns:
        The result: cost, history, loss and accuracy on validation and test data.

    Raises:
        ValueError: If the data cannot be read, the budget is too small or missing, or the folder
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
        raise ValueError("scale_to_budget needs the budget: give flops, for one image")
    if flops is not None and not 0 < flops < math.inf:
        raise ValueError(f"flops must be a positive number of FLOPs, got {flops}")
    config = with_image_size(config.resolved(), flops, notice)
    data = TrainingData.load(config)
    architecture = start_architecture(config, data.dataset)
    if scale_to_budget and flops is not None:
        architecture = scaling.scale_to_budget(architecture, int(flops))
    elif flops is not None and cost(architecture).flops > flops:
        raise ValueError(
            f"{config.start} needs {cost(architecture).flops:,} FLOPs for one image, above the "
            f"{flops:,.0f} given; scale it to them (scale_to_budget), or take a smaller width"
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
                f"the training diverged, see {run.path / 'result.json'}; lower the learning rate"
            )
        trainer.save(run.best)
    return result


def load_model(path: str | Path) -> keras.Model:
    """Load a ``.keras`` file, or the best model of a run folder.

    Raises:
        ValueError: If there is none or it cannot be read; code in a file is never run.
    """
    return load_network(model_file(path))


def model_file(path: str | Path) -> Path:
    """Return a ``.keras`` file, or that of the best model of a run folder.

    Raises:
        ValueError: If there is none.
    """
    path = Path(path)
    file = path / BEST_MODEL if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"there is no model {file}; give a .keras file or a finished run")
    return file


def evaluate_single(
    path: str | Path, part: str, dataset: str | None = None, data_dir: str | None = None
) -> dict:
    """Return loss, accuracy and balanced accuracy of a saved model on a part of a dataset.

    Args:
        path: A run folder, or a ``.keras`` file of a model from raw pixels to logits.
        part: ``"train"``, ``"validation"`` or ``"test"``. Which images trained and which validated
            is known of a run folder only.
        dataset: Name of a dataset or an image folder; by default that of the run.
        data_dir: Folder of ``.npz`` files; by default that of the run.

    Raises:
        ValueError: If the model or data cannot be read or do not fit each other, the classes have
            other names than the network's, the data of the run have changed since it began, or the
            part is not known.
    """
    path = Path(path)
    given = {"dataset": dataset, "data_dir": data_dir}
    given = {name: value for name, value in given.items() if value is not None}
    settings, record = given, None
    if path.is_dir():
        names = TrainConfig.__dataclass_fields__
        settings = {k: v for k, v in read_config(path).items() if k in names} | given
        record = read_data(path, other_data=dataset is not None)
    elif (card := read_keras_card(model_file(path))) is not None and card.reading is not None:
        record = DataRecord(card.classes, card.reading, files=None)
    if not path.is_dir() and part != "test":
        raise ValueError(
            f"which images were for {part} is known of a run folder only; give that, or evaluate "
            "the model file on the test part"
        )
    if part != "test" and dataset is not None:
        raise ValueError(f"the {part} part is that of the run; leave out the dataset")
    if "dataset" not in settings:
        raise ValueError(f"which images? {path} is a model file: give a dataset")
    model = load_model(path)
    data = TrainingData.load(TrainConfig.from_mapping(settings), record)
    images, classes, shape = data.dataset.input_shape, data.dataset.classes, image_shape(model)
    if (shape, model.output_shape[1:]) != (images, (classes,)):
        raise ValueError(
            f"the model takes images {shape} and gives {model.output_shape[1:]} "
            f"logits; {data.dataset.name} has images {images} and {classes} classes"
        )
    _check_classes(path, data)
    if path.is_dir() and dataset is None:
        _check_unchanged(path, data)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy"), BalancedAccuracy(classes)],
    )
    result = model.evaluate(data.batches(part, BATCH), return_dict=True, verbose=0)
    return {key: float(result[key]) for key in ("accuracy", "loss", "balanced_accuracy")}


def _check_classes(path: Path, data: TrainingData) -> None:
    """Raise ValueError where a network's outputs mean other classes than the data have."""
    card = read_keras_card(model_file(path))
    if card is None:
        warnings.warn(
            f"{path} does not say the names of its classes: whether their order is that of "
            f"{data.dataset.name} cannot be checked",
            stacklevel=3,
        )
        return
    for output, (ours, theirs) in enumerate(
        zip(card.classes, data.dataset.class_names, strict=True)
    ):
        if ours != theirs:
            raise ValueError(
                f"output {output} of the network {path} is the class {ours!r}, but class {output} "
                f"of {data.dataset.name} is {theirs!r}: its classes have other names or another "
                "order, and the accuracy would mean nothing; rename them as they were"
            )


def _check_unchanged(run: Path, data: TrainingData) -> None:
    """Raise ValueError where the data are not those that a run recorded when it began."""
    entries, _ = read_journal(run / "journal.jsonl")
    recorded = next((e.event for e in entries if isinstance(e.event, DataEvent)), None)
    if recorded is None:
        warnings.warn(
            f"{run} does not say which images it was trained on: whether these are the same "
            "cannot be checked",
            stacklevel=3,
        )
        return
    try:
        data.check_same(recorded.sha256, run)
    except ValueError as error:
        raise ValueError(f"{error}, or name other data to evaluate on with dataset=") from None
