"""One network without a search: train it, load it, evaluate it."""

from __future__ import annotations

from pathlib import Path

import keras

from resbuilder.config import TrainConfig
from resbuilder.costs import cost
from resbuilder.datasets import Batches, Split, load
from resbuilder.progress import SearchProgress
from resbuilder.run import BEST_MODEL, Run, write_json
from resbuilder.starts import start_architecture
from resbuilder.surgery import scale_to_budget
from resbuilder.training import Trainer, TrainingData


def train_single(
    config: TrainConfig, out: str | Path, scale_to: float | None = None, overwrite: bool = False
) -> dict:
    """Train one architecture from random initialisation with L2 alone (*No Reg RI*).

    Args:
        config: What to train on what, and how.
        out: Run folder to make; it gets ``models/best.keras``, ``architecture.json`` and
            ``result.json``.
        scale_to: Scale the start network's widths to this many FLOPs first.
        overwrite: Whether an existing run folder may be replaced.

    Returns:
        The result: cost, history, loss and accuracy on validation and test data.

    Raises:
        ValueError: If the data cannot be had, the budget is too small, or the folder exists.
    """
    data = TrainingData.load(config)
    architecture = start_architecture(config, data.dataset)
    if scale_to is not None:
        architecture = scale_to_budget(architecture, scale_to)
    run = Run.create(out, config, overwrite)
    trainer = Trainer(architecture, data, config, config.seed, regularized=False)
    with SearchProgress(1) as progress:
        callbacks = [progress.training(config.start, config.epochs)]
        if config.tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(run.path / "tensorboard"))
        record = trainer.fit(config.seed, regularize=False, callbacks=callbacks)
    trainer.save(run.best)
    counted = cost(architecture)
    result = {
        "architecture": str(architecture),
        "flops": counted.flops,
        "parameters": counted.parameters,
        "depth": architecture.depth,
        **record,
    }
    write_json(run.path / "architecture.json", architecture.to_json())
    write_json(run.path / "result.json", result)
    return result


def load_model(path: str | Path) -> keras.Model:
    """Load a ``.keras`` file, or the best model of a run folder.

    Raises:
        ValueError: If there is none or it cannot be read.
    """
    path = Path(path)
    file = path / BEST_MODEL if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"there is no model {file}; give a .keras file or a finished run")
    try:
        return keras.models.load_model(file, compile=False)
    except Exception as error:  # Keras raises whatever the broken part of the file leads to.
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{file} is not a Keras model that can be read: {first_line}") from None


def evaluate_single(
    path: str | Path,
    part: str,
    dataset: str,
    data_dir: str | None = None,
    seed: int = 0,
    validation_fraction: float = 0.2,
    batch_size: int = 128,
) -> dict:
    """Loss and accuracy of a saved model on a part of a dataset.

    Args:
        path: A ``.keras`` file of a model from raw pixels to logits, or a run folder.
        part: ``"train"``, ``"validation"`` or ``"test"``; the first two as split by ``seed`` and
            ``validation_fraction`` from the training images.
        dataset: Name of a dataset or an image folder.
        data_dir: Folder of ``.npz`` files.
        seed: Seed of the split.
        validation_fraction: Share of the training images that validates.
        batch_size: Images in a batch.

    Raises:
        ValueError: If model or data cannot be had or do not fit each other.
    """
    model, data = load_model(path), load(dataset, data_dir)
    if (model.input_shape[1:], model.output_shape[1:]) != (data.input_shape, (data.classes,)):
        raise ValueError(
            f"the model takes images {model.input_shape[1:]} and gives {model.output_shape[1:]} "
            f"logits; {data.name} has images {data.input_shape} and {data.classes} classes"
        )
    if part == "test":
        batches = Batches(data.x_test, data.y_test, batch_size=batch_size)
    else:
        split = Split.stratified(data.y_train, validation_fraction, seed)
        batches = Batches(data.x_train, data.y_train, getattr(split, part), batch_size)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )
    result = model.evaluate(batches, return_dict=True, verbose=0)
    return {key: float(result[key]) for key in ("accuracy", "loss")}
