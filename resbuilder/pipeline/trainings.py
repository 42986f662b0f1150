"""The trainings of a search, which need the run folder but not its journal.

So No-Reg trainings can run in other processes. Every training reads its initial weights from the
run folder, even those of a network that was just trained, so that a resumed run computes exactly
the same as an uninterrupted one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from resbuilder.architecture import Architecture
from resbuilder.config import SearchConfig, TrainConfig
from resbuilder.keras_session import clear_session
from resbuilder.model import load_network
from resbuilder.progress import SearchProgress
from resbuilder.run import RunFolder, TrainingEvent
from resbuilder.surgery import inherit, initialize_block
from resbuilder.training import CallbackFactory, Trainer, TrainingData, TrainingInfo
from resbuilder.training.callbacks import callbacks_for, refuse_to_stop
from resbuilder.variants import NO_REG_WI, VARIANTS, WITH_REG

#: For each convolution, the old index of each channel, or -1 for a new channel.
Channels = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Node:
    """An architecture of the run and the source of its With-Reg weights.

    Attributes:
        index: Number of the architecture.
        architecture: The architecture.
        parent: Number of the architecture from which it was made; None for the start.
        source: Number of the architecture whose With-Reg training gave it its weights.
    """

    index: int
    architecture: Architecture
    parent: int | None
    source: int


class Trainings:
    """Trains networks and saves them in a run folder.

    Args:
        folder: The run folder, with the settings.
        data: The data to train on.
        progress: Where to show a training's epochs, or None.
        callbacks: Function that returns a user's callbacks for a training, or None.
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
        """Train with all terms, from scratch or from inherited weights.

        Args:
            node: The architecture to train.
            parent: The node whose With-Reg weights and optimizer state to inherit; None to train
                from scratch.
            channels: The channels to inherit after a MorphNet step; otherwise None.
            inserted: Names of the new blocks.
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
                initialize_block(trainer.network, block, self.config.insert_init, seed)
        event = self._fit(trainer, node, WITH_REG)
        self._save(trainer, node, WITH_REG)
        return event

    def train_no_reg(self, node: Node, variant: str) -> TrainingEvent:
        """Train without the MorphNet and LayerLasso terms, and save the network."""
        trainer, event = self._train_no_reg(node, variant)
        self._save(trainer, node, variant)
        return event

    def seed(self, *what: object) -> int:
        """Return a seed that depends only on the run's seed and the purpose."""
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
        """Return the callbacks that show and log a training, and those of the user."""
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
        clear_session()

    def _save(self, trainer: Trainer, node: Node, variant: str) -> None:
        trainer.save(self.folder.models / network_file(node.index, variant))

    def _load(self, index: int, compile: bool = False) -> keras.Model:
        return load_network(self.folder.models / network_file(index, WITH_REG), compile)


def network_file(index: int, variant: str) -> str:
    """Return the file name of a saved network."""
    return f"{index:03d}_{variant}.keras"


def architecture_key(index: int) -> str:
    """Return the key of the step that records an architecture."""
    return f"architecture {index}"


def training_key(index: int, variant: str) -> str:
    """Return the key of a training's step."""
    return f"training {index} {variant}"
