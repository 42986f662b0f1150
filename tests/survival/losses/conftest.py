"""Fixtures: gradients on every backend, and the partial likelihood by its definition."""

import keras
import numpy as np
import pytest


@pytest.fixture(scope="session")
def value_and_gradient():
    """Return a function that computes a scalar function's value and gradient at some numbers."""

    def run(function, at):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            at = tf.constant(at)
            with tf.GradientTape() as tape:
                tape.watch(at)
                value = function(at)
            gradient = tape.gradient(value, at, unconnected_gradients="none")
        elif keras.backend.backend() == "jax":
            import jax

            value, gradient = jax.value_and_grad(function)(jax.numpy.asarray(at))
        else:
            import torch

            at = torch.tensor(at, requires_grad=True)
            value = function(at)
            value.backward()
            gradient = at.grad
        assert gradient is not None, "the loss is not connected to the log-hazards"
        return float(keras.ops.convert_to_numpy(value)), keras.ops.convert_to_numpy(gradient)

    return run


@pytest.fixture(scope="session")
def brute_force():
    """Return a function for the likelihood and its gradient, in float64, per risk set."""

    def log_sum_exp(h, factors):
        peak = h.max()
        terms = factors * np.exp(h - peak)
        return peak + np.log(terms.sum()), terms / terms.sum()

    def run(y, h, ties="breslow"):
        y, h = np.asarray(y, "float64"), np.asarray(h, "float64").reshape(-1)
        stratum = y[:, 2] if y.shape[1] > 2 else np.zeros(len(y))
        weight = y[:, 3] if y.shape[1] > 3 else np.ones(len(y))
        entry = np.where(y[:, 4] > 0, y[:, 4], -1) if y.shape[1] > 4 else np.full(len(y), -1)
        value, gradient = 0.0, np.zeros(len(y))
        for s in np.unique(stratum):
            inside = (stratum == s) & (weight > 0)
            for t in np.unique(y[inside & (y[:, 1] == 1), 0]):
                at_risk = np.flatnonzero(inside & (entry < t) & (t <= y[:, 0]))
                died = np.flatnonzero(inside & (y[:, 0] == t) & (y[:, 1] == 1))
                for rank in range(len(died)):
                    share = rank / len(died) if ties == "efron" else 0
                    factors = weight[at_risk] * (1 - share * np.isin(at_risk, died))
                    log_sum, part = log_sum_exp(h[at_risk], factors)
                    value += weight[died].mean() * log_sum
                    gradient[at_risk] += weight[died].mean() * part
                value -= weight[died] @ h[died]
                gradient[died] -= weight[died]
        return value, gradient

    return run
