"""Keras callbacks that a user adds to each training; they must not change its result."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import keras

from resbuilder.architecture import Architecture
from resbuilder.config import TrainConfig


@dataclass(frozen=True)
class TrainingInfo:
    """The training for which callbacks are created.

    Attributes:
        name: Name that is unique in the run and valid as a file name, such as
            ``"003_no_reg_ri"``; ``"training"`` if the run has only one training.
        title: Name for people, such as ``"No Reg RI, architecture 3"``.
        run: The run folder.
        architecture: The architecture.
        config: The settings. In a race, ``epochs``, ``schedule``, ``warmup`` and ``ema`` are those
            of this training.
        index: Number of the architecture in the run.
        variant: Variant of the training: ``"with_reg"``, ``"no_reg_wi"`` or ``"no_reg_ri"``; in a
            race ``"trial"``, ``"cooldown"`` or ``"whole"``; otherwise ``"training"``.
    """

    name: str
    title: str
    run: Path
    architecture: Architecture
    config: TrainConfig
    index: int = 0
    variant: str = "training"


#: Called once for each training, in the process that runs it.
CallbackFactory = Callable[[TrainingInfo], Iterable[keras.callbacks.Callback]]


def require_tensorboard(config: TrainConfig) -> None:
    """Check that TensorBoard is installed if it is wanted; Keras would do so only in the training.

    Raises:
        ValueError: If it is not.
    """
    # Keras' callback writes its logs with TensorFlow on every backend.
    for package in ("tensorboard", "tensorflow") if config.tensorboard else ():
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f"TensorBoard logs need {package}, which is not installed: pip install "
                f"'resbuilder[{package}]', or leave tensorboard out"
            )


def check_factory(factory: CallbackFactory | None, workers: int = 1) -> None:
    """Check what a user gave as ``callbacks=``, before anything is trained.

    Args:
        factory: The function, or None.
        workers: Number of trainings at the same time; other processes get a copy of the function.

    Raises:
        ValueError: If it is not a function, or cannot be sent to other processes.
    """
    if factory is None:
        return
    if not callable(factory) or isinstance(factory, keras.callbacks.Callback):
        raise ValueError(
            "callbacks must be a function that takes a training and returns a list of Keras "
            f"callbacks, such as lambda training: [...], got {type(factory).__name__}"
        )
    if workers > 1:
        try:
            ForkingPickler.dumps(factory)
        except Exception as error:  # Pickling can raise any exception.
            raise ValueError(
                f"callbacks cannot be pickled to send it to the processes of {workers} workers "
                f"({error}); define it with def at the top level of a module, or use one worker"
            ) from None


def callbacks_for(
    factory: CallbackFactory | None, training: TrainingInfo
) -> list[keras.callbacks.Callback]:
    """Return a user's callbacks for a training.

    Raises:
        ValueError: If the function returns anything but callbacks.
    """
    if factory is None:
        return []
    made = factory(training)
    made = list(made) if isinstance(made, Iterable) else [made]
    for callback in made:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                f"callbacks must return a list of Keras callbacks, but for {training.name} it "
                f"returned {callback!r}"
            )
    return made


def refuse_to_stop(result: dict, config: TrainConfig) -> None:
    """Raise an error if a callback stopped a training, which makes it incomparable with others.

    Args:
        result: The result of :meth:`.Trainer.fit`.
        config: The settings of the training.

    Raises:
        ValueError: If the training had fewer epochs than its settings say, and did not diverge.
    """
    if result["finite"] and result["epochs"] < config.epochs:
        raise ValueError(
            f"a callback stopped a training after {result['epochs']} of {config.epochs} epochs, "
            "but a search compares trainings of equal length; remove the callback that stops them, "
            "such as EarlyStopping"
        )
