"""One training on several devices: each batch is divided among them, and the result is the same."""

from __future__ import annotations

import functools
import warnings
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar

import keras
from keras import ops, tree

# 1 where the device at work has rows of the batch, 0 where it was left with none. TensorFlow
# traces each device's part in a thread of its own.
_present = ContextVar("present", default=1.0)


def strategy_scope(strategy: str, batch_size: int) -> AbstractContextManager:
    """Where a model must be made that shall be trained with a strategy.

    Args:
        strategy: ``"one_device"``, or ``"mirrored"`` for all GPUs of the machine (all logical CPU
            devices, if it has none), each with a copy of the weights.
        batch_size: Images in a batch, on all devices together.

    Raises:
        ValueError: If Keras does not run on TensorFlow, or there are more devices than images.
    """
    if strategy == "one_device":
        return nullcontext()
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f'strategy "mirrored" is TensorFlow\'s, and Keras runs on {keras.backend.backend()}; '
            'set KERAS_BACKEND=tensorflow, or take strategy "one_device"'
        )
    mirrored = _mirrored()
    devices = mirrored.num_replicas_in_sync
    if batch_size < devices:
        raise ValueError(
            f"a batch of {batch_size} cannot be divided among {devices} devices; make batch_size "
            f"(of all devices together) at least {devices}, or name fewer in CUDA_VISIBLE_DEVICES"
        )
    return mirrored.scope()


@functools.cache
def _mirrored():
    """The strategy of the whole process: TensorFlow's collectives stand no second one."""
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        warnings.warn('strategy "mirrored" finds one device only and trains on it', stacklevel=3)
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def replicas() -> int:
    """Among how many devices the batches of a model made here and now are divided."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def gather(x):
    """Rows of all devices in their order, (N, ...), of those of each, (n, ...); on one just ``x``.

    Every device then computes the same from them. The gradient goes back to the device that a row
    came from, summed over devices; so each must count for its share, one in their number.
    """
    if x is None or replicas() == 1:
        return x
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    # None while Keras builds a model, before there are parts of a batch.
    if context is None:
        return x
    # Gathering forgets all sizes.
    return tf.ensure_shape(context.all_gather(x, axis=0), (None, *x.shape[1:]))


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
