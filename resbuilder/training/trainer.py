"""Train one architecture, with or without regularizers, from any initial weights."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from resbuilder.architecture import Architecture
from resbuilder.common.files import atomically
from resbuilder.common.strategy import strategy_scope
from resbuilder.costs import cost
from resbuilder.datasets import Augmentation
from resbuilder.layer_lasso import LayerLasso
from resbuilder.model import build_model
from resbuilder.model_card import ModelCard, write_keras_card
from resbuilder.morphnet import NativeRegularizer
from resbuilder.morphnet.regularizer import ENGINES
from resbuilder.training.averaging import JudgedByAverages
from resbuilder.training.balance import BalancedAccuracy, balanced_weights
from resbuilder.training.data import TrainingData
from resbuilder.training.regularized import NEEDS_JIT, RegularizedModel
from resbuilder.training.schedule import RateSchedule

# Pixels per batch in evaluation: 256 images of 32×32. Larger batches are not faster.
EVALUATED_PIXELS = 2**18
# FLOPs, and steps, after which training returns to Python: well below a second on one core.
EXECUTED_FLOPS, MOST_STEPS = 4 * 10**9, 16


class Trainer:
    """Trains one architecture; the training step is compiled once for all variants.

    The three variants differ only in their initial weights and in λ. λ are weights of the trainer,
    so the same traced training step serves all variants.

    Args:
        architecture: The architecture to train.
        data: The data.
        config: A :class:`resbuilder.TrainConfig`. The regularizers need a
            :class:`resbuilder.SearchConfig`.
        seed: Seed of the initial weights.
        regularized: Whether the compiled step includes the MorphNet and LayerLasso terms.
    """

    def __init__(self, architecture: Architecture, data: TrainingData, config, seed, regularized):
        self.architecture, self.data, self.config = architecture, data, config
        # Spans of resident data work neither with XLA nor on several devices.
        resident = config.strategy == "one_device" and not config.jit_compile
        self._resident = data.resident if resident else None
        c = config
        self._augmentation = Augmentation(c.shift, c.flip) if c.shift or c.flip else None
        with strategy_scope(config.strategy, config.batch_size):
            self._build(seed, regularized)
        self._initial = [keras.ops.convert_to_numpy(w) for w in self.network.weights]
        self._fresh = [keras.ops.convert_to_numpy(v) for v in self.optimizer.variables]

    def _model(self, terms) -> RegularizedModel:
        c = self.config
        cosine = c.schedule == "cosine"
        changing = cosine or c.warmup
        options = {
            "label_smoothing": c.label_smoothing,
            "schedule": RateSchedule(c.learning_rate, cosine, c.warmup) if changing else None,
            "ema": c.ema,
            "class_weights": self._class_weights(),
        }
        if self._resident is None:
            return RegularizedModel(self.network, terms, **options)
        from resbuilder.training.resident import ResidentModel

        moved = self._augmentation is not None
        return ResidentModel(self.network, terms, self._resident, moved, **options)

    def _build(self, seed, regularized) -> None:
        architecture, config = self.architecture, self.config
        self.network = build_model(architecture, self.data.preprocessing, seed)
        terms = {"l2": self._l2}
        if regularized:
            terms["morphnet"] = morphnet_of(self.network, config).regularization_term
            terms["layer_lasso"] = layer_lasso_of(
                self.network, architecture, config
            ).regularization_term
        self.model = self._model(terms)
        optimizer = _optimizer(self.network, config)
        _release_traces(optimizer)
        self.model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[
                keras.metrics.SparseCategoricalAccuracy("accuracy"),
                BalancedAccuracy(self.data.dataset.classes),
            ],
            jit_compile=config.jit_compile or NEEDS_JIT,
            steps_per_execution=self._steps_per_execution(),
        )
        # In float16, Keras wraps the optimizer in one that scales the loss and has a state, too.
        self.optimizer = self.model.optimizer
        self.optimizer.build(self.model.trainable_variables)

    def reset(self, weights: Path | None = None) -> None:
        """Reset the optimizer, and the weights to the initial ones or those of a saved network."""
        if weights is None:
            for variable, value in zip(self.network.weights, self._initial, strict=True):
                variable.assign(value)
        else:
            self.network.load_weights(weights)
        for variable, value in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def fit(self, seed: int, regularize: bool, callbacks=(), test: bool = True) -> dict:
        """Train for the configured epochs from the current weights and optimizer state.

        With ``ema``, the network has the averaged weights afterwards, and the results are theirs.

        Args:
            seed: Seed of shuffling and augmentation.
            regularize: Whether to use the MorphNet and LayerLasso terms. L2 is always used.
            callbacks: Further Keras callbacks.
            test: Whether to evaluate on test data; otherwise its loss and accuracies are None.

        Returns:
            What the journal records: epochs, seconds, whether losses and weights stayed finite,
            the history by epoch, and loss, accuracy and balanced accuracy on validation and test
            data, which are None if the training diverged.
        """
        c = self.config
        strengths = {"l2": c.lambda_l2}
        if regularize:
            strengths |= {"morphnet": c.lambda_morphnet, "layer_lasso": c.lambda_layer}
        self.model.set_strengths(**strengths)
        # A user's callback may end the training with other weights, as EarlyStopping does.
        may_restore = any(not type(c).__module__.startswith("resbuilder.") for c in callbacks)
        callbacks = [*callbacks, keras.callbacks.TerminateOnNaN()]
        averages = self.model.averages
        if averages is not None:
            callbacks.append(JudgedByAverages(averages))
        batches, shuffling = self.shuffled(seed)
        self.model.begin(c.epochs * len(batches))
        began = time.monotonic()
        # Everything random gets its own seed. Setting a global seed would make TensorFlow trace all
        # compiled steps again, which takes as long as a short training.
        history = self.model.fit(
            batches,
            validation_data=self.unchanged("validation"),
            epochs=c.epochs,
            shuffle=False,  # Batches are shuffled already, by seed and epoch.
            verbose=0,
            callbacks=[*callbacks, *shuffling],
        ).history
        seconds = round(time.monotonic() - began, 2)
        if averages is not None:
            averages.swap()
        curves = {
            key: [_number(v) for v in history.get(key, ())]
            for key in ("loss", "accuracy", "val_loss", "val_accuracy")
        }
        if may_restore:
            validation = self.evaluate("validation")
        else:  # The last epoch has already evaluated these weights.
            validation = {key: curves[f"val_{key}"][-1] for key in ("accuracy", "loss")}
            balanced = history.get("val_balanced_accuracy", (math.nan,))
            validation["balanced_accuracy"] = _number(balanced[-1])
        finite = self._finite(history)
        return {
            "epochs": len(history["loss"]),
            "seconds": seconds,
            "finite": finite,
            "history": curves,
            "validation": validation if finite else dict(_NOTHING),
            "test": self.evaluate("test") if test and finite else dict(_NOTHING),
        }

    def evaluate(self, part: str) -> dict:
        """Return loss (cross-entropy only), accuracy and balanced accuracy on a part.

        All are None if the loss is not finite, because the largest of NaN is class 0.
        """
        result = self.model.evaluate(self.unchanged(part), return_dict=True, verbose=0)
        if not math.isfinite(result["loss"]):
            return dict(_NOTHING)
        return {key: float(result[key]) for key in _NOTHING}

    def shuffled(self, seed: int) -> tuple[Any, list[keras.callbacks.Callback]]:
        """Return training batches for ``model.fit``, and the callbacks that they need."""
        batch_size = self.config.batch_size
        batches = self.data.batches("train", batch_size, self._augmentation, seed)
        if self._resident is None:
            return batches, []
        return self._resident.spans("train", batch_size), [self._resident.shuffled(batches)]

    def unchanged(self, part: str) -> Any:
        """Return a part in large batches for ``model.evaluate``, in order and not augmented."""
        height, width, _ = self.data.dataset.input_shape
        size = max(self.config.batch_size, EVALUATED_PIXELS // (height * width))
        batches = self.data.batches if self._resident is None else self._resident.spans
        return batches(part, size)

    def save(self, path: Path, for_resuming: bool = False) -> None:
        """Write the network, its model card and the optimizer's state atomically to ``.keras``.

        Args:
            path: The file.
            for_resuming: Whether to save the network for further training. After a training with
                ``ema``, this saves the weights of the last step, which the optimizer's state
                belongs to, instead of their averages.
        """
        with atomically(path) as part:
            self.model.save(part, averaged=not for_resuming)
            write_keras_card(part, ModelCard.of(self.data.dataset))

    def _steps_per_execution(self) -> int:
        """Return how many steps TensorFlow executes before it returns to Python.

        Only small networks gain from more than one step, and progress is shown only after each
        execution.
        """
        if self._resident is None:
            return 1
        # A training step needs about three times the FLOPs of a forward pass.
        flops = 3 * self.config.batch_size * cost(self.architecture).flops
        return min(MOST_STEPS, 1 + EXECUTED_FLOPS // flops)

    def _class_weights(self) -> np.ndarray | None:
        if self.config.class_weights is None:
            return None
        d = self.data.dataset
        return balanced_weights(d.y_train[self.data.split.train], d.classes)

    def _l2(self):
        kernels = (w for w in self.network.trainable_weights if w.path.endswith("kernel"))
        return sum(keras.ops.sum(keras.ops.square(keras.ops.cast(k, "float32"))) for k in kernels)

    def _finite(self, history: dict) -> bool:
        losses = [*history["loss"], *history.get("val_loss", ())]
        weights = (keras.ops.convert_to_numpy(w) for w in self.network.weights)
        return bool(np.isfinite(losses).all() and all(np.isfinite(w).all() for w in weights))


_NOTHING: dict[str, float | None] = dict.fromkeys(("accuracy", "loss", "balanced_accuracy"))


def morphnet_of(network: keras.Model, config) -> NativeRegularizer:
    """Return the MorphNet regularizer that a configuration describes.

    It does without the checks of ``MorphNetRegularizer``: a search changes architectures, not
    models, and the thesis applies group lasso before normalizations.
    """
    return ENGINES[config.engine](
        network,
        algorithm=config.algorithm,
        resource=config.resource,
        threshold=config.tau_morphnet,
        peak_flops=config.peak_flops,
        bandwidth=config.bandwidth,
    )


def layer_lasso_of(network: keras.Model, architecture: Architecture, config) -> LayerLasso:
    """Return the LayerLasso that a configuration describes."""
    return LayerLasso(
        network, architecture.block_convolutions(), config.tau_layer, config.layer_statistic
    )


def _optimizer(network: keras.Model, config) -> keras.optimizers.Optimizer:
    """Return Adam, or AdamW with decay of the kernels only."""
    if not config.weight_decay:
        return keras.optimizers.Adam(config.learning_rate)
    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
    others = [w for w in network.trainable_weights if not w.path.endswith("kernel")]
    optimizer.exclude_from_weight_decay(var_list=others)
    return optimizer


def _release_traces(optimizer) -> None:
    """Avoid a memory leak: TensorFlow would keep every training step that was ever traced.

    The optimizer sums gradients over devices, which on one device does nothing but leave a
    reference to the traced graph that is never freed (Keras 3.15 on TensorFlow 2.21; about 30 MB
    for a ResNet-20). A search traces one graph per architecture. On one device, the sum is skipped.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        optimizer._all_reduce_sum_gradients = list


def _number(value) -> float | None:
    """Return a number for JSON, or None if it is not finite."""
    value = float(value)
    return value if math.isfinite(value) else None
