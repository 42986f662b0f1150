"""Which callbacks a user may give, and which are refused before anything is trained."""

import functools
from pathlib import Path

import keras
import pytest

from resbuilder import TrainConfig, minimal_architecture
from resbuilder.training import TrainingInfo
from resbuilder.training.callbacks import callbacks_for, check_factory
from tests.resbuilder.pipeline.outcomes import logged

TRAINING = TrainingInfo(
    "003_no_reg_ri",
    "No Reg RI, architecture 3",
    Path("runs/mine"),
    minimal_architecture((8, 8, 1), 10, width=2),
    TrainConfig(dataset="digits"),
    index=3,
    variant="no_reg_ri",
)


def test_callback_objects_cannot_be_shared_by_several_trainings():
    for given in ([keras.callbacks.CSVLogger("log.csv")], keras.callbacks.TerminateOnNaN()):
        with pytest.raises(ValueError, match="must be a function that takes a training"):
            check_factory(given)


def test_a_function_that_cannot_be_pickled_is_refused_only_with_several_workers():
    local = lambda training: []  # noqa: E731
    check_factory(local)
    with pytest.raises(ValueError, match="cannot be pickled to send it to the processes of 2"):
        check_factory(local, workers=2)
    check_factory(logged, workers=2)
    check_factory(functools.partial(print, "training"), workers=3)


def test_what_a_function_returns_is_checked():
    callback = keras.callbacks.TerminateOnNaN()
    assert callbacks_for(lambda training: (callback,), TRAINING) == [callback]
    assert callbacks_for(lambda training: callback, TRAINING) == [callback]
    for wrong in (None, ["log.csv"], [[callback]]):
        with pytest.raises(ValueError, match="list of Keras callbacks, but for 003_no_reg_ri it"):
            callbacks_for(lambda training, wrong=wrong: wrong, TRAINING)
