"""Train a network from scratch as a contender of a race is trained."""

from __future__ import annotations

import keras

from resbuilder import Architecture, SearchConfig
from resbuilder.pipeline.race_trainings import WARMUP
from resbuilder.race import training_config
from resbuilder.training import Trainer, TrainingData


def trained(
    architecture: Architecture, data: TrainingData, config: SearchConfig, epochs: int, seed: int
) -> tuple[Trainer, dict]:
    """Train a network while its learning rate falls to 0.

    Returns:
        The trainer, and the results of :meth:`resbuilder.training.Trainer.fit` without test data.
    """
    keras.backend.clear_session()
    settings = training_config(config, epochs=epochs, schedule="cosine", warmup=WARMUP, ema=None)
    trainer = Trainer(architecture, data, settings, seed, regularized=False)
    return trainer, trainer.fit(seed, regularize=False, test=False)
