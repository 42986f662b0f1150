"""A user's own Keras callbacks: made for each training, which learns nothing from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import keras

from resbuilder.architecture import Architecture
from resbuilder.config import TrainConfig


@dataclass(frozen=True)
class TrainingInfo:
    """Which training callbacks are made for.

    Attributes:
        name: Unique in the run and fit for a file's name, such as ``"003_no_reg_ri"``;
            ``"training"`` where there is only one.
        title: The same for people: ``"No Reg RI, architecture 3"``.
        run: The run folder.
        architecture: The network.
        config: The settings. In a race ``epochs``, ``schedule``, ``warmup`` and ``ema`` are those
            of this training.
        index: Number of the architecture in the run.
        variant: Which of its trainings: ``"with_reg"``, ``"no_reg_wi"`` or ``"no_reg_ri"``; in a
            race ``"rung_1"`` and so on, ``"cooldown"`` or ``"whole"``; else ``"training"``.
    """

    name: str
    title: str
    run: Path
    architecture: Architecture
    config: TrainConfig
    index: int = 0
    variant: str = "training"


#: Called once for each training, in the process that does it.
CallbackFactory = Callable[[TrainingInfo], Iterable[keras.callbacks.Callback]]


def check_factory(factory: CallbackFactory | None, workers: int = 1) -> None:
    """Check what a user gave as ``callbacks=``, before anything is trained.

    Args:
        factory: The function, or None.
        workers: Trainings at the same time; those in other processes get a copy of it.

    Raises:
        ValueError: If it is not a function, or cannot be sent to the other processes.
    """
    if factory is None:
        return
    if not callable(factory) or isinstance(factory, keras.callbacks.Callback):
        raise ValueError(
            "callbacks must be a function that is called for each training and returns its Keras "
            f"callbacks, such as lambda training: [...], got {type(factory).__name__}"
        )
    if workers > 1:
        try:
            ForkingPickler.dumps(factory)
        except Exception as error:  # Whatever the parts of a callable raise.
            raise ValueError(
                f"callbacks must be a function of a module to reach the processes of {workers} "
                f"workers, and this one cannot be pickled ({error}); define it with def at the "
                "top of a file, or take one worker"
            ) from None


def callbacks_for(
    factory: CallbackFactory | None, training: TrainingInfo
) -> list[keras.callbacks.Callback]:
    """Return a user's callbacks for a training.

    Raises:
        ValueError: If the function returns something else.
    """
    if factory is None:
        return []
    made = factory(training)
    made = list(made) if isinstance(made, Iterable) else [made]
    for callback in made:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                f"callbacks must return a list of Keras callbacks for {training.name}, and there "
                f"is {callback!r} among what it returned"
            )
    return made


def refuse_to_stop(result: dict, config: TrainConfig) -> None:
    """Refuse a training of a search that a callback ended: it could not be compared with others.

    Args:
        result: What :meth:`.Trainer.fit` returned.
        config: The settings of the training.

    Raises:
        ValueError: If it had fewer epochs than its settings say, and did not diverge.
    """
    if result["finite"] and result["epochs"] < config.epochs:
        raise ValueError(
            f"a callback ended a training after {result['epochs']} of {config.epochs} epochs; a "
            "search compares trainings of equal length: leave it out (EarlyStopping, for instance)"
        )
