"""The trainings of a race, which need the run folder but not its journal.

So they can run in other processes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from resbuilder.architecture import Architecture
from resbuilder.common.files import atomically
from resbuilder.config import SearchConfig, TrainConfig
from resbuilder.model import load_network
from resbuilder.pipeline.background import data_of, use_precision_of
from resbuilder.pipeline.trainings import Node, Trainings, network_file
from resbuilder.race import RacePlan, averaging_decay, training_config
from resbuilder.run import RunFolder, TrainingEvent
from resbuilder.surgery import inherit, inherit_trunk
from resbuilder.training import CallbackFactory, Trainer, TrainingData
from resbuilder.training.callbacks import refuse_to_stop
from resbuilder.variants import COMBINED, COOLDOWN, RACE_VARIANTS, TRIAL, WHOLE

# Fraction of a contender's steps in which its learning rate rises.
WARMUP = 0.05


@dataclass(frozen=True)
class Entrant(Node):
    """A candidate, a contender, or the winner.

    Attributes:
        label: Its name.
        origin: ``"candidate"``, ``"contender"`` or ``"winner"``.
        plan: The epochs of the race.
    """

    label: str
    origin: str
    plan: RacePlan


class RaceTrainings(Trainings):
    """Trains candidates and contenders and saves them in a run folder."""

    def train(self, node: Node, variant: str) -> TrainingEvent:
        """Execute one training of an entrant, starting from the training before it."""
        if not isinstance(node, Entrant):
            raise TypeError(f"only entrants race, got {type(node).__name__}")
        self._trainer = None
        self._clear()
        trial = variant == TRIAL
        config = training_config(
            self.config,
            epochs=node.plan.epochs(variant),
            schedule="constant" if trial else "cosine",
            warmup=WARMUP if variant == WHOLE else 0.0,
            # Averages gain nothing when the learning rate falls to 0.
            ema=self._decay() if trial else None,
        )
        seed = self.seed(node.index, "weights")
        trainer = Trainer(node.architecture, self.data, config, seed, regularized=False)
        models = self.folder.models
        if variant == COOLDOWN and node.plan.trial:
            source = load_network(models / network_file(node.index, TRIAL), True)
            inherit(trainer.network, source, None, trainer.optimizer, source.optimizer)
        callbacks = self._callbacks(
            node, variant, f"{RACE_VARIANTS[variant]}, {node.label}", config
        )
        # The decision after the trial does not use test data.
        result = trainer.fit(self.seed(node.index, variant), False, callbacks, test=not trial)
        refuse_to_stop(result, config)
        if variant != WHOLE:
            batches = self.data.batches("validation", self.config.batch_size)
            with atomically(models / logits_file(node.index, variant)) as part:
                # NumPy's files do not know bfloat16, and means of logits need more precision.
                np.save(part, trainer.network.predict(batches, verbose=0).astype("float32"))
        trainer.save(models / network_file(node.index, variant), for_resuming=trial)
        return TrainingEvent.from_json({"index": node.index, "variant": variant, **result})

    def join(self, winner: Entrant, best: list[Entrant]) -> TrainingEvent:
        """Save and evaluate the network that has the best candidates as its trunks."""
        began = time.monotonic()
        self._clear()
        models = self.folder.models
        networks = [load_network(models / network_file(node.index, COOLDOWN)) for node in best]
        trainer = joined(winner.architecture, networks, self.data, training_config(self.config))
        trainer.save(models / network_file(winner.index, COMBINED))
        result = {part: trainer.evaluate(part) for part in ("validation", "test")}
        return TrainingEvent.from_json(
            {
                "index": winner.index,
                "variant": COMBINED,
                "epochs": 0,
                "seconds": round(time.monotonic() - began, 2),
                "finite": True,
                "history": {},
                **result,
            }
        )

    def _decay(self) -> float:
        """Return the decay of the averages, which only ``search`` records in the settings."""
        images = len(self.data.split.train)
        return self.config.ema or averaging_decay(images, self.config.batch_size)


def logits_file(index: int, variant: str) -> str:
    """Return the name of the file of a candidate's logits on validation data after a training."""
    return f"{Path(network_file(index, variant)).stem}.npy"


def joined(
    architecture: Architecture,
    networks: Sequence[keras.Model],
    data: TrainingData,
    config: TrainConfig,
) -> Trainer:
    """Return the trainer of a network whose trunks are trained networks, in the same order."""
    trainer = Trainer(architecture, data, config, config.seed, regularized=False)
    for prefix, network in zip(architecture.trunks, networks, strict=True):
        inherit_trunk(trainer.network, network, prefix)
    return trainer


def train_entrant(
    folder: RunFolder[SearchConfig], node: Node, variant: str, callbacks: CallbackFactory | None
) -> TrainingEvent:
    """Execute a training in another process."""
    use_precision_of(folder)
    return RaceTrainings(folder, data_of(folder), None, callbacks).train(node, variant)
