"""The trainings of a search: what they need is a run folder, not its journal.

So No-Reg trainings can also run in processes beside the search. Every training reads its weights
from the run folder, also those of a network trained a moment ago: a resumed run computes exactly
what an uninterrupted one does.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from resbuilder.architecture import Architecture
from resbuilder.config import SearchConfig, TrainConfig
from resbuilder.model import load_network
from resbuilder.progress import SearchProgress
from resbuilder.run import RunFolder, TrainingEvent
from resbuilder.surgery import inherit, initialise_block
from resbuilder.training import CallbackFactory, Trainer, TrainingData, TrainingInfo
from resbuilder.training.callbacks import callbacks_for, refuse_to_stop
from resbuilder.variants import NO_REG_WI, VARIANTS, WITH_REG

#: For each channel of a convolution which channel of the network before it is, or -1.
Channels = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Node:
    """An architecture of the run, and the With-Reg weights that it carries.

    Attributes:
        index: Number of the architecture.
        architecture: The network.
        parent: Number of the architecture it was made from; None for the start.
        source: Number of the architecture whose With-Reg training gave it its weights.
    """

    index: int
    architecture: Architecture
    parent: int | None
    source: int


class Trainings:
    """Trains networks in a run folder and saves them there.

    Args:
        folder: Where networks lie, and how to train.
        data: What is trained on.
        progress: Where to show a training's epochs, or None.
        callbacks: Makes a user's own callbacks for a training, or None.
    """

    def __init__(
        self,
        folder: RunFolder[SearchConfig],
        data: TrainingData,
        progress: SearchProgress | None,
        callbacks: CallbackFactory | None = None,
    ):
        self.folder, self.config, self.data, self.progress = folder, folder.config, data, progress
        self._own_callbacks = callbacks
        self._trainer: Trainer | None = None

    def train_with_reg(
        self,
        node: Node,
        parent: Node | None,
        channels: Channels | None,
        inserted: Sequence[str],
    ) -> TrainingEvent:
        """Train with all terms: from scratch, or from what the parent's weights have in common.

        Args:
            node: What to train.
            parent: Whose With-Reg weights and optimizer state to go on from; None for scratch.
            channels: The channels to inherit after a MorphNet step, else None.
            inserted: Names of the blocks that are new.
        """
        trainer = self._trainer_of(node)
        trainer.reset()
        if parent is not None:
            source = self._load(parent.source, compile=True)
            maps = None
            if channels is not None:
                maps = {name: np.asarray(old) for name, old in channels.items()}
            inherit(trainer.network, source, maps, trainer.optimizer, source.optimizer)
            seed = self.seed(node.index, "insert")
            for block in inserted:
                initialise_block(trainer.network, block, self.config.insert_init, seed)
        event = self._fit(trainer, node, WITH_REG)
        self._save(trainer, node, WITH_REG)
        return event

    def train_no_reg(self, node: Node, variant: str) -> TrainingEvent:
        """Train without MorphNet's and LayerLasso's terms, and save the network."""
        trainer, event = self._train_no_reg(node, variant)
        self._save(trainer, node, variant)
        return event

    def seed(self, *what: object) -> int:
        """Return a seed of its own for each purpose, whatever was drawn before."""
        text = "/".join(map(str, (self.config.seed, *what)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1

    def _train_no_reg(self, node: Node, variant: str) -> tuple[Trainer, TrainingEvent]:
        trainer = self._trainer_of(node)
        weights = self.folder.models / network_file(node.index, WITH_REG)
        trainer.reset(weights if variant == NO_REG_WI else None)
        return trainer, self._fit(trainer, node, variant)

    def _fit(self, trainer: Trainer, node: Node, variant: str) -> TrainingEvent:
        callbacks = self._callbacks(node, variant, VARIANTS[variant], self.config)
        result = trainer.fit(self.seed(node.index, variant), variant == WITH_REG, callbacks)
        refuse_to_stop(result, self.config)
        return TrainingEvent.from_json({"index": node.index, "variant": variant, **result})

    def _trainer_of(self, node: Node) -> Trainer:
        """Return the trainer of an architecture, one for all variants; keep only the last."""
        if self._trainer is None or self._trainer.architecture is not node.architecture:
            self._trainer = None
            self._clear()
            seed = self.seed(node.index, "weights")
            self._trainer = Trainer(node.architecture, self.data, self.config, seed, True)
        return self._trainer

    def _callbacks(
        self, node: Node, variant: str, what: str, config: TrainConfig
    ) -> list[keras.callbacks.Callback]:
        """Return what shows and logs a training of a node, and a user's own callbacks."""
        callbacks: list[keras.callbacks.Callback] = []
        if self.progress is not None:
            callbacks.append(self.progress.training(what, config.epochs))
        name = Path(network_file(node.index, variant)).stem
        if config.tensorboard:
            logs = self.folder.path / "tensorboard" / name
            callbacks.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
        training = TrainingInfo(
            name=name,
            title=f"{what}, architecture {node.index}",
            run=self.folder.path,
            architecture=node.architecture,
            config=config,
            index=node.index,
            variant=variant,
        )
        return [*callbacks, *callbacks_for(self._own_callbacks, training)]

    def _clear(self) -> None:
        """Free the memory of unused networks."""
        keras.backend.clear_session()
        gc.collect()

    def _save(self, trainer: Trainer, node: Node, variant: str) -> None:
        trainer.save(self.folder.models / network_file(node.index, variant))

    def _load(self, index: int, compile: bool = False) -> keras.Model:
        return load_network(self.folder.models / network_file(index, WITH_REG), compile)


def network_file(index: int, variant: str) -> str:
    """Return the name of a saved network."""
    return f"{index:03d}_{variant}.keras"
