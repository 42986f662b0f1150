"""Exponential moving averages of a network's weights over the steps of a training.

At a constant learning rate the weights oscillate around a minimum, and their average has a lower
loss. Keras' own ``use_ema`` averages only trainable weights. Here the moving statistics of batch
normalization are averaged too, so that they fit the averaged kernels.

After step n with weights w, the average is a ← d·a + (1 − d)·w with decay
d = min(ema, (1 + n)/(10 + n)). At first it covers about the last tenth of the steps, so that it
soon forgets the initial weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops


class AveragedWeights:
    """Averages of all weights of a network, kept as weights of the model that trains it.

    Args:
        owner: The model that is trained; it gets one weight for each weight of the network.
        network: The network whose weights are averaged.
        ema: The largest decay per step, in (0, 1).
    """

    def __init__(self, owner: keras.Model, network: keras.Model, ema: float):
        self._ema = ema
        self._in_use = False  # whether the network has the averages, and these the weights
        self._begun = False
        self._weights = list(network.weights)
        self._averages = [
            owner.add_weight(
                shape=weight.shape,
                initializer="zeros",
                trainable=False,
                # The weights are the same on all devices.
                aggregation="only_first_replica",
                name=f"average_{number}",
            )
            for number, weight in enumerate(self._weights)
        ]

    def restart(self) -> None:
        """Reset the averages to the current weights."""
        self._in_use, self._begun = False, True
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign(ops.convert_to_numpy(weight))

    def update(self, steps: Any) -> None:
        """Update the averages with the weights after a step.

        Args:
            steps: Number of steps done, a float scalar.
        """
        decay = ops.minimum(self._ema, (1 + steps) / (10 + steps))
        for average, weight in zip(self._averages, self._weights, strict=True):
            new = ops.stop_gradient(ops.convert_to_tensor(weight))
            old = ops.convert_to_tensor(average)
            average.assign(old + (1 - decay) * (new - old))

    def swap(self) -> None:
        """Exchange weights and averages."""
        self._in_use = not self._in_use
        for average, weight in zip(self._averages, self._weights, strict=True):
            kept = ops.convert_to_numpy(weight)
            weight.assign(ops.convert_to_numpy(average))
            average.assign(kept)

    @contextmanager
    def chosen(self, averaged: bool) -> Iterator[None]:
        """Give the network its averages, or the weights of the last step, within a block.

        This does nothing before the first training, which creates the averages.
        """
        exchange = self._begun and averaged != self._in_use
        if exchange:
            self.swap()
        try:
            yield
        finally:
            if exchange:
                self.swap()


class JudgedByAverages(keras.callbacks.Callback):
    """Makes ``fit`` validate the averages instead of the current weights."""

    def __init__(self, averages: AveragedWeights):
        super().__init__()
        self._averages = averages

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Exchange weights and averages."""
        self._averages.swap()

    def on_test_end(self, logs: dict | None = None) -> None:
        """Exchange them back."""
        self._averages.swap()
