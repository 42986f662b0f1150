"""Averages of a network's weights over the steps of a training.

At a constant learning rate the weights wander around a minimum, and their average lies deeper in
it. Keras' own ``use_ema`` averages what is trained alone. Here batch normalization's moving
statistics are averaged too, so that they fit the averaged kernels.

With n steps done the decay is min(ema, (1 + n)/(10 + n)): at first the average covers about the
last tenth of the steps, so that the start is soon forgotten.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


class AveragedWeights:
    """Averages of all weights of a network, kept as weights of the model that trains it.

    Args:
        owner: The model that is trained; it gets a weight for each of the network's.
        network: What is averaged.
        ema: The decay per step that is not exceeded, in (0, 1).
    """

    def __init__(self, owner: keras.Model, network: keras.Model, ema: float):
        self._ema = ema
        self._weights = list(network.weights)
        self._averages = [
            owner.add_weight(
                shape=weight.shape,
                initializer="zeros",
                trainable=False,
                # All devices have the same weights.
                aggregation="only_first_replica",
                name=f"average_{number}",
            )
            for number, weight in enumerate(self._weights)
        ]

    def restart(self) -> None:
        """Begin with the present weights."""
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign(_copy(weight))

    def update(self, steps: Any) -> None:
        """Take in the weights after a step; ``steps`` are done, a float scalar."""
        decay = ops.minimum(self._ema, (1 + steps) / (10 + steps))
        for average, weight in zip(self._averages, self._weights, strict=True):
            new = ops.stop_gradient(ops.convert_to_tensor(weight))
            old = ops.convert_to_tensor(average)
            average.assign(old + (1 - decay) * (new - old))

    def swap(self) -> None:
        """Exchange weights and averages."""
        for average, weight in zip(self._averages, self._weights, strict=True):
            kept = _copy(weight)
            weight.assign(_copy(average))
            average.assign(kept)


class JudgedByAverages(keras.callbacks.Callback):
    """Puts the averages in place of the weights while `fit` validates."""

    def __init__(self, averages: AveragedWeights):
        super().__init__()
        self._averages = averages

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Exchange them."""
        self._averages.swap()

    def on_test_end(self, logs: dict | None = None) -> None:
        """Exchange them back."""
        self._averages.swap()


def _copy(variable: keras.Variable) -> np.ndarray:
    """The value, in memory of its own: torch's arrays share theirs with the variable."""
    return np.array(ops.convert_to_numpy(variable))
