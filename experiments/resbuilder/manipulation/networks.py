"""Train a network on generated images, and evaluate it on photographs not used in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from sklearn.metrics import roc_auc_score

from experiments.provenance import this_version
from experiments.resbuilder.columns import FROM_SCRATCH, trainings
from experiments.resbuilder.manipulation.compared import CHANNELS
from experiments.resbuilder.manipulation.generate import IMAGES, LABELS
from experiments.resbuilder.manipulation.kinds import KINDS
from resbuilder import (
    Architecture,
    SearchConfig,
    SearchResult,
    TrainConfig,
    cost,
    resume,
    search,
)
from resbuilder.datasets import Augmentation
from resbuilder.morphnet import MorphNetRegularizer
from resbuilder.progress import SearchProgress
from resbuilder.report import read_history
from resbuilder.run import read_config
from resbuilder.start_network import start_architecture
from resbuilder.suggestions import with_image_size
from resbuilder.training import Trainer, TrainingData

_EFFICIENTNETS = {
    "efficientnet-b0": keras.applications.EfficientNetB0,
    "efficientnet-b4": keras.applications.EfficientNetB4,
}
_PREDICT = 128  # images in a batch


def train_and_judge(job: dict) -> dict:
    """Train one network, or do one search, with or without error levels.

    Args:
        job: ``network`` and ``channels``, keys of :data:`.compared.NETWORKS` and
            :data:`.compared.CHANNELS`; ``training``, settings of a :class:`resbuilder.TrainConfig`;
            ``search``, further settings of a :class:`resbuilder.SearchConfig`; ``seed``;
            ``data_dir``, the folder with the generated folders ``seed0``, ``seed1``, …

    Returns:
        ``parameters``, ``flops`` (for one image, 2 for each multiply-add), ``accuracy`` and ``auc``
        on the test images, ``auc_by_kind`` (that kind against all authentic images),
        ``validation_accuracy`` and ``epochs`` of the weights. A search also has ``architecture``,
        and the same numbers for that architecture trained from scratch for as many epochs as the
        given networks.
    """
    folder = Path(job["data_dir"]) / f"seed{job['seed']}"
    settings = job["training"] | {
        "dataset": str(folder / IMAGES),
        "ela_quality": CHANNELS[job["channels"]],
        "seed": job["seed"],
    }
    # The same for all networks, so that a run folder's settings can be compared with it.
    config = with_image_size(TrainConfig(**settings), None, lambda text: None)
    settings["image_size"] = config.image_size
    data = TrainingData.load(config)

    def judged(found: dict, model: keras.Model) -> dict:
        logits = model.predict(data.batches("test", _PREDICT), verbose=0)
        return found | judge(logits, data.dataset.y_test, test_kinds(folder))

    if job["network"] == "resnet-18":
        architecture = start_architecture(replace(config, start="rb-r18"), data.dataset)
        return judged(*_trained(architecture, config, data))
    if job["network"] != "resbuilder":
        return judged(*_efficientnet(config, data, job["network"]))
    result, found = _search(SearchConfig(**settings | job["search"]), job, folder)
    as_found = judged(found, result.model())
    scratch = judged(*_trained(result.architecture, config, data))
    return as_found | {"architecture": str(result.architecture), FROM_SCRATCH: scratch}


def judge(logits: np.ndarray, labels: np.ndarray, kinds: list[str]) -> dict:
    """Return accuracy and areas under the ROC curve.

    Args:
        logits: Shape (n, 2).
        labels: 0 authentic, 1 manipulated; shape (n,).
        kinds: Kinds of the manipulated images, in their order.

    Returns:
        ``accuracy``, ``auc``, ``auc_by_kind``.
    """
    score = logits[:, 1] - logits[:, 0]
    authentic, manipulated = score[labels == 0], score[labels == 1]
    kinds = np.array(kinds)
    return {
        "accuracy": float(((score > 0) == labels).mean()),
        "auc": float(roc_auc_score(labels, score)),
        "auc_by_kind": {
            kind: _auc(authentic, manipulated[kinds == kind])
            for kind in KINDS
            if (kinds == kind).any()
        },
    }


def test_kinds(folder: Path) -> list[str]:
    """Return the kinds of the manipulated test images, in the order in which a folder is read."""
    files = sorted((folder / IMAGES / "test" / LABELS[1]).glob("*.jpg"))
    return [file.stem.split("_", 1)[1] for file in files]


def _auc(authentic: np.ndarray, manipulated: np.ndarray) -> float:
    labels = np.repeat([0, 1], [len(authentic), len(manipulated)])
    return float(roc_auc_score(labels, np.concatenate([authentic, manipulated])))


def _trained(
    architecture: Architecture, config: TrainConfig, data: TrainingData
) -> tuple[dict, keras.Model]:
    trainer = Trainer(architecture, data, config, config.seed, regularized=False)
    result = trainer.fit(config.seed, regularize=False)
    counted = cost(architecture)
    found = {
        "parameters": counted.parameters,
        "flops": counted.flops,
        "validation_accuracy": result["validation"]["accuracy"],
        "epochs": config.epochs,
    }
    return found, trainer.network


def _efficientnet(config: TrainConfig, data: TrainingData, name: str) -> tuple[dict, keras.Model]:
    """Train Keras' EfficientNet from random weights, with the same options as the others.

    Pixels are standardized by channel, and batch normalization has momentum 0.9: with Keras' 0.99,
    its running means would not converge in so few steps.
    """
    keras.utils.set_random_seed(config.seed)
    network = _EFFICIENTNETS[name](
        weights=None,
        input_shape=data.dataset.input_shape,
        classes=data.dataset.classes,
        classifier_activation=None,
    )
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
        if isinstance(layer, keras.layers.Normalization):  # it follows a division by 255
            layer.adapt(data.dataset.x_train[data.split.train] / np.float32(255))
    network.compile(
        keras.optimizers.Adam(config.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )
    augmentation = Augmentation(config.shift, config.flip)
    network.fit(
        data.batches("train", config.batch_size, augmentation, config.seed),
        epochs=config.epochs,
        shuffle=False,
        verbose=0,
    )
    validated = network.evaluate(data.batches("validation", _PREDICT), return_dict=True, verbose=0)
    found = {
        "parameters": sum(int(np.prod(w.shape)) for w in network.trainable_weights),
        "flops": MorphNetRegularizer(network, threshold=0).exact_cost(),
        "validation_accuracy": float(validated["accuracy"]),
        "epochs": config.epochs,
    }
    return found, network


def _search(config: SearchConfig, job: dict, folder: Path) -> tuple[SearchResult, dict]:
    """Do the search, or resume it; its run folder is next to the images."""
    run = folder / f"searches_{this_version()}" / job["channels"]
    run.parent.mkdir(exist_ok=True)
    with open(run.with_suffix(".log"), "a", encoding="utf-8") as log:
        total = trainings(config.rounds, config.insertions)
        progress = SearchProgress(total, Console(file=log, width=100))
        if (run / "config.json").exists():
            if read_config(run) != config.resolved().to_json():
                raise ValueError(f"{run} was started with other settings: remove it")
            result = resume(run, progress)
        else:
            result = search(config, run, progress=progress)
    if result.architecture is None:
        raise ValueError(f"{run} has no network within {config.flops:g} FLOPs: {result.reason}")
    counted = cost(result.architecture)
    history = read_history(run)
    return result, {
        "parameters": counted.parameters,
        "flops": counted.flops,
        "validation_accuracy": result.best.accuracy_validation,
        "epochs": history.epochs_behind(history.best()),
    }
