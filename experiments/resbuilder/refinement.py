"""Refine the candidates that a race has chosen, by the moves of the thesis.

A candidate, which fills its part of ζ, has two variants within the same part:

- **inserted**: it gets a block near the identity at a random position. After half of its epochs the
  least important channels of all layers are pruned, so that it fits again.
- **other widths**: the least important channels are pruned to four fifths of the FLOPs. Then one
  factor widens all layers. So layers with more important channels become wider.

Both inherit all weights and the optimizer's state, and pruning folds the mean output of a removed
channel into the layers that read it. Candidate and variants train for the same number of epochs, at
the constant rate of the trial. The one with the lowest validation loss of averaged weights remains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import keras
import numpy as np

from resbuilder import Architecture
from resbuilder.architecture import side_by_side
from resbuilder.model import load_network
from resbuilder.morphnet import expand_model, prune
from resbuilder.pipeline.race import Race
from resbuilder.pipeline.race_trainings import Entrant
from resbuilder.pipeline.trainings import network_file
from resbuilder.race import averaging_decay, training_config
from resbuilder.surgery import draw_insertion, inherit, initialize_block, scale_to_budget
from resbuilder.training import Trainer
from resbuilder.variants import COOLDOWN, TRIAL

UNCHANGED, INSERTED, OTHER_WIDTHS = "unchanged", "inserted", "other widths"
VARIANTS = (UNCHANGED, INSERTED, OTHER_WIDTHS)
#: The fraction of a candidate's remaining epochs for these three together.
SHARE = 0.45
# The most FLOPs of a new block, and what pruning leaves before widening, as parts of the whole.
BLOCK, LEFT = 0.2, 0.8
# Training images on which pruning measures the mean outputs of channels.
MEASURED = 512
NEW = "refined"


@dataclass
class _Trained:
    architecture: Architecture
    loss: float | None
    network: keras.Model


class Refinement:
    """Refines the candidates that remain after a trial, beside the race itself.

    Args:
        race: The race, whose trial is over.
    """

    def __init__(self, race: Race):
        self._race, self._data, self._config = race, race.data, race.run.config
        self._rng = np.random.default_rng([self._config.seed, 1])
        seen = np.random.default_rng(0).permutation(self._data.split.train)[:MEASURED]
        self._images = self._data.dataset.x_train[np.sort(seen)]

    def go(self, best: list[Entrant]) -> dict:
        """Refine the candidates, train them for the rest of the epochs, and join them.

        Returns:
            Accuracies on ``validation`` and ``test`` images, the ``architecture``, and ``moves``:
            for each candidate its ``label``, the ``epochs`` of each variant, and by variant
            the validation ``losses`` (None if not finite) and ``architectures``.
        """
        trainings, moves, refined = self._race.trainings, [], []
        for node in best:
            epochs = max(1, round(SHARE * node.plan.cooldown / len(VARIANTS)))
            variants = self._variants(node, epochs)
            chosen = min(variants.values(), key=lambda v: math.inf if v.loss is None else v.loss)
            entrant = replace(
                node,
                index=len(self._race.nodes) + 1 + len(refined),  # one that the race does not use
                architecture=chosen.architecture,
                plan=replace(node.plan, cooldown=node.plan.cooldown - epochs * len(VARIANTS)),
            )
            chosen.network.save(self._file(entrant))
            refined.append(entrant)
            moves.append(
                {
                    "label": node.label,
                    "epochs": epochs,
                    "losses": {name: v.loss for name, v in variants.items()},
                    "architectures": {name: str(v.architecture) for name, v in variants.items()},
                }
            )
        for entrant in refined:
            trainings.train(entrant, COOLDOWN)
        architecture = side_by_side(entrant.architecture for entrant in refined)
        last = replace(refined[-1], index=refined[-1].index + 1, architecture=architecture)
        event = trainings.join(last, refined)
        return {
            "validation": event.validation.accuracy,
            "test": event.test.accuracy,
            "architecture": str(architecture),
            "moves": moves,
        }

    def _variants(self, node: Entrant, epochs: int) -> dict[str, _Trained]:
        source = load_network(self._file(node), True)
        part = int(self._config.flops / node.plan.trunks)
        original = node.architecture
        # An odd epoch is for the network that fits.
        before = epochs // 2
        drawn = draw_insertion(original, (original,), NEW, self._rng, BLOCK * part)
        if drawn is None:
            raise ValueError(f"no block can be inserted into {node.label}: {original}")
        deeper = self._train(drawn[0], source, before)
        small = prune(deeper.network, flops=part, data=self._images, verbose=False)
        inserted = drawn[0].with_widths(_widths(small, drawn[0]))
        left = prune(source, flops=LEFT, data=self._images, verbose=False)
        other = scale_to_budget(original.with_widths(_widths(left, original)), part)
        return {
            UNCHANGED: self._train(original, source, epochs),
            INSERTED: self._train(inserted, small, epochs - before),
            OTHER_WIDTHS: self._train(other, expand_model(left, other.widths()), epochs),
        }

    def _train(self, architecture: Architecture, source: keras.Model, epochs: int) -> _Trained:
        """Train a network that inherits from another at the constant rate of the trial."""
        keras.backend.clear_session()
        config = training_config(
            self._config,
            epochs=max(1, epochs),
            schedule="constant",
            warmup=0.0,
            ema=averaging_decay(len(self._data.split.train), self._config.batch_size),
        )
        seed = int(self._rng.integers(2**31))
        trainer = Trainer(architecture, self._data, config, seed, regularized=False)
        inherit(trainer.network, source, None, trainer.optimizer, source.optimizer)
        known = {layer.name for layer in source.layers}
        if any(b.name == NEW for b in architecture.blocks) and f"{NEW}_conv1" not in known:
            initialize_block(trainer.network, NEW, "last_gamma", seed)
        loss = None
        if epochs:
            result = trainer.fit(seed, regularize=False, test=False)
            if result["finite"]:
                loss = result["validation"]["loss"]
            # The next training continues from the weights of the last step, not from averages.
            trainer.model.averages.swap()
        trainer.network.compile(trainer.optimizer, trainer.model.loss)
        return _Trained(architecture, loss, trainer.network)

    def _file(self, node: Entrant):
        return self._race.run.models / network_file(node.index, TRIAL)


def _widths(network: keras.Model, architecture: Architecture) -> dict[str, int]:
    """Return the widths of a network's convolutions by the names of an architecture."""
    return {name: network.get_layer(name).filters for name in architecture.widths()}
