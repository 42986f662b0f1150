"""Train a single network, without a search, and load a saved one."""

from __future__ import annotations

import math
from numbers import Real
from pathlib import Path
from typing import Any

import keras

from resbuilder.common.files import write_json
from resbuilder.config import SearchConfig, TrainConfig
from resbuilder.costs import cost
from resbuilder.model import load_network
from resbuilder.model_card import ModelCard, write_architecture
from resbuilder.progress import SearchProgress, notice
from resbuilder.run import BEST_MODEL, Run, check_beginning, place_of, read_config
from resbuilder.saved_network import is_onnx, is_saved_model
from resbuilder.start_network import start_architecture
from resbuilder.suggestions import with_image_size
from resbuilder.surgery import scaling
from resbuilder.training import CallbackFactory, Trainer, TrainingData, TrainingInfo
from resbuilder.training.callbacks import callbacks_for, check_factory, require_tensorboard


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
    kind = "a SavedModel" if is_saved_model(path) else "an ONNX file" if is_onnx(path) else None
    if kind:
        raise ValueError(
            f"{path} is {kind}, which only `resbuilder predict` takes; give the run folder or the "
            ".keras file of the network"
        )
    file = path / BEST_MODEL if path.is_dir() else path
    if not file.is_file():
        if path.is_dir():
            read_config(path)  # says so if the folder is not a run at all
        raise ValueError(f"{file} does not exist; give a .keras file or a finished run")
    return file
