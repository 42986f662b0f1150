"""A network on a part of a batch: no rows at all, and statistics over all devices."""

from __future__ import annotations

import functools
from contextvars import ContextVar

import keras
from keras import ops, tree

# 1 where the device at work has rows of the batch, 0 where it was left with none. TensorFlow
# traces each device's part in a thread of its own.
_present = ContextVar("present", default=1.0)


def call_part(network: keras.Model, inputs, training):
    """Outputs of a network for the rows of this device, of which there may be none.

    TensorFlow's convolutions do not all stand an empty batch, so a row of zeros is computed with
    in its place, which counts neither in the outputs nor in what :func:`normalize_together` takes.
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
    """Let batch normalization, in training, take mean and variance over the rows of all devices.

    Keras' own ``synchronized=True`` would be saved with the network, which then only TensorFlow
    could load; and it takes the difference of two means for the variance, which rounds more.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._moments = functools.partial(_moments, layer._reduction_axes)


def _moments(axes, x, mask=None):
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
