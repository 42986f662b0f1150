"""Fixtures shared by the tests of the optimizer."""

import keras
import numpy as np
import pytest


@pytest.fixture
def walk():
    """Take steps on a loss with a known gradient, in a custom training loop."""

    def walk(optimizer, gradient, start, steps):
        """Return weights and momenta before the first step and after each, as float64."""
        weight = keras.Variable(np.array(start, "float32"))
        optimizer.build([weight])

        def state():
            values = (weight, optimizer.momenta[0])
            return [np.array(keras.ops.convert_to_numpy(v), "float64") for v in values]

        path = [state()]
        for step in range(steps):
            slope = np.array(gradient(path[-1][0], step), "float32")
            optimizer.apply([keras.ops.convert_to_tensor(slope)], [weight])
            path.append(state())
        weights, momenta = zip(*path, strict=True)
        return np.array(weights), np.array(momenta)

    return walk
