"""Run a network on one device's part of a batch, which may be empty, with common statistics."""

from __future__ import annotations

import functools
from contextvars import ContextVar

import keras
from keras import ops, tree

# 1 if the current device has rows of the batch, 0 if it has none. A context variable, because
# TensorFlow traces each device's part in a separate thread.
_present = ContextVar("present", default=1.0)


def call_part(network: keras.Model, inputs, training):
    """Return the outputs of a network for the rows of this device, which may be none.

    Some of TensorFlow's convolutions fail on an empty batch. So an empty batch is replaced by a row
    of zeros, which counts neither in the outputs nor in the statistics of
    :func:`normalize_together`.
    """
    rows = ops.shape(tree.flatten(inputs)[0])[0]
    filled = tree.map_structure(
        lambda x: ops.concatenate([x, ops.zeros((1, *x.shape[1:]), x.dtype)])[
            : ops.maximum(rows, 1)
        ],
        inputs,
    )
    before = _present.set(ops.cast(rows > 0, "float32"))
    try:
        outputs = network(filled, training=training)
    finally:
        _present.reset(before)
    return tree.map_structure(lambda y: y[:rows], outputs)


def normalize_together(network: keras.Model) -> None:
    """Make batch normalization, in training, use the mean and variance of all devices' rows.

    Keras' own ``synchronized=True`` would be saved with the network, which then only TensorFlow
    could load. It also computes the variance as E[x²] − E[x]², which has larger rounding errors
    than the two passes here.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._moments = functools.partial(_moments, layer._reduction_axes)


def _moments(axes, x, mask=None):
    """Return mean and variance over the given axes and over the rows of all devices."""
    import tensorflow as tf

    def total(*parts):
        return tf.distribute.get_replica_context().all_reduce("SUM", list(parts))

    present = ops.cast(_present.get(), x.dtype)
    count = present * ops.cast(ops.prod([ops.shape(x)[axis] for axis in axes]), x.dtype)
    sums, count = total(present * ops.sum(x, axes), count)
    mean = sums / count
    shape = [1 if axis in axes else -1 for axis in range(len(x.shape))]
    (squares,) = total(present * ops.sum(ops.square(x - ops.reshape(mean, shape)), axes))
    return mean, squares / count
