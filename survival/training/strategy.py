"""One training on several devices: each batch is divided among them, and the result is the same."""

from __future__ import annotations

import functools
import warnings
from contextlib import AbstractContextManager, nullcontext

import keras

STRATEGIES = ("one_device", "mirrored")


def devices(strategy: str, batch_size: int) -> int:
    """How many devices a strategy has.

    Args:
        strategy: ``"one_device"``, or ``"mirrored"`` for all GPUs of the machine (all logical CPU
            devices, if it has none), each with a copy of the weights.
        batch_size: Slides in a batch, on all devices together.

    Raises:
        ValueError: If Keras does not run on TensorFlow, or there are more devices than slides.
    """
    if strategy == "one_device":
        return 1
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"strategy mirrored is TensorFlow's, and Keras runs on {keras.backend.backend()}: "
            "set KERAS_BACKEND=tensorflow, or take the strategy one_device"
        )
    number = _mirrored().num_replicas_in_sync
    if batch_size < number:
        raise ValueError(
            f"a batch of {batch_size} slides cannot be divided among {number} devices: make the "
            f"batch size (of all devices together) at least {number}, or name fewer devices in "
            "CUDA_VISIBLE_DEVICES"
        )
    return number


def scope(strategy: str) -> AbstractContextManager:
    """Where a model must be made that shall be trained with a strategy."""
    return nullcontext() if strategy == "one_device" else _mirrored().scope()


@functools.cache
def _mirrored():
    """The strategy of the whole process: TensorFlow's collectives stand no second one."""
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) == 1:
        warnings.warn("strategy mirrored finds one device only and trains on it", stacklevel=3)
    return tf.distribute.MirroredStrategy([device.name for device in found])
