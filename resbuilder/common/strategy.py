"""Data-parallel training: each batch is divided among the devices of one machine."""

from __future__ import annotations

import functools
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

STRATEGIES = ("one_device", "mirrored")


def devices(strategy: str, batch_size: int) -> int:
    """Return the number of devices of a strategy.

    Args:
        strategy: ``"one_device"``, or ``"mirrored"`` for all GPUs of the machine (all logical CPU
            devices, if it has no GPU), each with a copy of the weights.
        batch_size: Rows of a batch, over all devices.

    Raises:
        ValueError: If ``"mirrored"`` is used without TensorFlow as the backend, or with more
            devices than a batch has rows.
    """
    import keras

    if strategy == "one_device":
        return 1
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f'strategy "mirrored" needs TensorFlow, but Keras runs on {keras.backend.backend()}; '
            'set KERAS_BACKEND=tensorflow, or choose strategy "one_device"'
        )
    number = _mirrored().num_replicas_in_sync
    if batch_size < number:
        raise ValueError(
            f"a batch of {batch_size} cannot be divided among {number} devices; make batch_size "
            f"(over all devices) at least {number}, or name fewer devices in CUDA_VISIBLE_DEVICES"
        )
    return number


def strategy_scope(strategy: str, batch_size: int) -> AbstractContextManager:
    """Return the context in which to build a model to train it with a strategy.

    Args:
        strategy: As in :func:`devices`.
        batch_size: As in :func:`devices`.

    Raises:
        ValueError: As in :func:`devices`.
    """
    devices(strategy, batch_size)
    return nullcontext() if strategy == "one_device" else _mirrored().scope()


@functools.cache
def _mirrored() -> Any:
    """Return this process's only strategy: TensorFlow's collectives break with a second one."""
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) == 1:
        warnings.warn('strategy "mirrored" found only one device and trains on it', stacklevel=4)
    return tf.distribute.MirroredStrategy([device.name for device in found])


def replicas() -> int:
    """Return the number of devices that share the batches of a model built in this context."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def gather(x: Any) -> Any:
    """Return the rows of all devices in their order; on one device ``x`` itself.

    Every device can then compute the same loss L from all rows. The gradient of a row returns to
    the device that it came from, summed over the D devices. So if each device minimizes L/D, a
    device gets D · ∂(L/D)/∂x = ∂L/∂x for its own rows.

    Args:
        x: Tensor of this device, shape (n, ...); n may differ between devices. It may be None.

    Returns:
        Tensor of shape (N, ...) with the N rows of all devices, or None.
    """
    if x is None or replicas() == 1:
        return x
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    # None while Keras builds a model.
    if context is None:
        return x
    # all_gather loses the static shape.
    return tf.ensure_shape(context.all_gather(x, axis=0), (None, *x.shape[1:]))
