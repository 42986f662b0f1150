"""The work behind each step of a search: trainings, judgements, evaluations.

Every method reads its networks from the run folder, also one trained a moment ago, and returns the
record that the journal keeps: a resumed run computes exactly what an uninterrupted one does.
"""

from __future__ import annotations

import gc
import hashlib
import shutil
from collections import Counter
from dataclasses import dataclass

import keras
from sklearn.metrics import confusion_matrix

from resbuilder.architecture import Architecture
from resbuilder.common.files import atomically, write_json
from resbuilder.costs import cost
from resbuilder.model import build_model, load_network
from resbuilder.run import Run, RunFolder, best_training
from resbuilder.surgery import BreakDown, inherit, initialise_block, morph
from resbuilder.training import Trainer, TrainingData, layer_lasso_of, morphnet_of
from resbuilder.variants import NO_REG_WI, VARIANTS, WITH_REG


@dataclass(frozen=True)
class Node:
    """An architecture of the run, and the With-Reg weights that it carries."""

    index: int
    architecture: Architecture
    parent: int | None
    source: int


class Steps:
    """Does the work of a search in a run folder.

    Args:
        run: The run; its folder is enough for No-Reg trainings without judging them.
        data: What is trained on.
        progress: Where to show a training's epochs, or None.
    """

    def __init__(self, run: Run | RunFolder, data: TrainingData, progress):
        self.run, self.config, self.data, self.progress = run, run.config, data, progress
        self._trainer: Trainer | None = None

    def train_with_reg(
        self, node: Node, parent: Node | None, channels: dict | None, inserted: list[str]
    ) -> dict:
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
            inherit(trainer.network, source, channels, trainer.optimizer, source.optimizer)
            seed = self.seed(node.index, "insert")
            for block in inserted:
                initialise_block(trainer.network, block, self.config.insert_init, seed)
        record = self._fit(trainer, node, WITH_REG)
        trainer.save(self.run.models / _file(node.index, WITH_REG))
        return record

    def train_no_reg(self, node: Node, variant: str, judge: bool = True) -> dict:
        """Train without MorphNet's and LayerLasso's terms; keep the network if it is the best.

        Without a judgement it is kept, and :meth:`tidy` removes it when the journal has its record.
        """
        trainer = self._trainer_of(node)
        weights = self.run.models / _file(node.index, WITH_REG)
        trainer.reset(weights if variant == NO_REG_WI else None)
        record = self._fit(trainer, node, variant)
        if not judge or self.best(and_then=record) is not self.best():
            trainer.save(self.run.models / _file(node.index, variant))
        return record

    def blocks_to_remove(self, node: Node, gain: float | None) -> dict:
        """Which blocks LayerLasso removes, after a gain in accuracy or None (thesis sec. 4.2)."""
        c = self.config
        lasso = layer_lasso_of(self._load(node.source), node.architecture, c)
        removable = lasso.removable()
        good = c.momentum and gain is not None and gain >= c.tau_momentum
        return {
            "index": node.index,
            "values": lasso.values(),
            "positions": _positions(node.architecture),
            "threshold": c.tau_layer,
            "gain": gain,
            "kept_by_momentum": good and bool(removable),
            "removed": [] if good else removable,
        }

    def evaluate(self, node: Node) -> dict:
        """Accuracy of an architecture as a removal left it, with the weights that stay."""
        trainer = Trainer(node.architecture, self.data, self.config, 0, regularized=False)
        inherit(trainer.network, self._load(node.source))
        return {"index": node.index} | {p: trainer.evaluate(p) for p in ("validation", "test")}

    def channels_to_keep(self, node: Node, budget: float) -> dict:
        """Which channels MorphNet keeps, and the widths that fill a budget of FLOPs again."""
        c, a = self.config, node.architecture
        network = build_model(a, self.data.preprocessing)
        inherit(network, self._load(node.source))
        regularizer = morphnet_of(network, c)
        alive = regularizer.alive()
        record = {
            "index": node.index,
            "alive": {name: int(mask.sum()) for name, mask in alive.items()},
            "widths_before": a.widths(),
            "flops_before": cost(a).flops,
        }
        try:
            step = morph(a, alive, regularizer.group_values(), int(budget), c.intensity)
        except BreakDown as error:
            return record | {"dead": str(error)}
        return record | {
            "dead": None,
            "widths_shrunk": step.shrunk.widths(),
            "widths_after": step.result.widths(),
            "flops_shrunk": cost(step.shrunk).flops,
            "flops_after": cost(step.result).flops,
            "kappa": step.kappa,
            "removed_blocks": list(step.removed),
            "channels": step.channels,
            "result": step.result.to_json(),
        }

    def finish(self, reason: str) -> dict:
        """Put the winner in its place and count what it confuses on the test data."""
        d = self.data.dataset
        best, any_size = self.best(), self.best(any_size=True)
        trainings = (r for r in self.run.journal.records if r["event"] == "training")
        record = {
            "reason": reason,
            "seconds": round(sum(r["seconds"] for r in trainings), 1),
            "best": _summary(best),
            "best_any_size": _summary(any_size),
            "confusion": None,
            "class_names": list(d.class_names),
        }
        if best is None:
            return record
        with atomically(self.run.best) as part:
            shutil.copyfile(self.run.models / _file(best["index"], best["variant"]), part)
        architectures = (r for r in self.run.journal.records if r["event"] == "architecture")
        winner = next(r for r in architectures if r["index"] == best["index"])
        write_json(self.run.path / "architecture.json", winner["architecture"])
        network = load_network(self.run.best)
        batches = self.data.batches("test", self.config.batch_size)
        predicted = network.predict(batches, verbose=0).argmax(axis=1)
        labels = range(d.classes)
        counts = confusion_matrix(d.y_test, predicted, labels=labels)
        return record | {"confusion": counts.tolist()}

    def seed(self, *what) -> int:
        """A seed of its own for each purpose, whatever was drawn before."""
        text = "/".join(map(str, (self.config.seed, *what)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1

    def best(self, any_size: bool = False, and_then: dict | None = None) -> dict | None:
        """The best No-Reg training so far, or as it would be with one record more."""
        records = self.run.journal.records
        if and_then is not None:
            records = [*records, {"event": "training", **and_then}]
        return best_training(records, None if any_size else self.config.flops)

    def tidy(self) -> None:
        """Keep the best network, the weights to go on from, and those of running trainings."""
        trainings = [r for r in self.run.journal.records if r["event"] == "training"]
        needed = [r for r in trainings if r["variant"] == WITH_REG][-1:] + [self.best()]
        count = Counter(r["index"] for r in trainings)
        begun = (r["index"] for r in trainings if r["variant"] == WITH_REG)
        at_work = tuple(f"{i:03d}_" for i in begun if count[i] < len(VARIANTS))
        names = (_file(r["index"], r["variant"]) for r in needed if r)
        self.run.keep_models(*names, at_work=at_work)

    def _fit(self, trainer: Trainer, node: Node, variant: str) -> dict:
        callbacks = []
        if self.progress is not None:
            callbacks.append(self.progress.training(VARIANTS[variant], self.config.epochs))
        if self.config.tensorboard:
            logs = self.run.path / "tensorboard" / f"{node.index:03d}_{variant}"
            callbacks.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
        record = trainer.fit(self.seed(node.index, variant), variant == WITH_REG, callbacks)
        return {"index": node.index, "variant": variant, **record}

    def _trainer_of(self, node: Node) -> Trainer:
        """The trainer of an architecture, one for all variants; only the last is kept."""
        if self._trainer is None or self._trainer.architecture is not node.architecture:
            self._trainer = None
            keras.backend.clear_session()
            gc.collect()
            seed = self.seed(node.index, "weights")
            self._trainer = Trainer(node.architecture, self.data, self.config, seed, True)
        return self._trainer

    def _load(self, index: int, compile: bool = False) -> keras.Model:
        return load_network(self.run.models / _file(index, WITH_REG), compile)


def _file(index: int, variant: str) -> str:
    return f"{index:03d}_{variant}.keras"


def _positions(architecture: Architecture) -> dict[str, dict]:
    """Where each block lies: stage, place in it, and its place among all convolutions, 0 to 1."""
    order = list(architecture.widths())
    return {
        block.name: {
            "stage": index,
            "position": position,
            "relative": order.index(f"{block.name}_conv1") / (len(order) - 1),
        }
        for index, stage in enumerate(architecture.stages)
        for position, block in enumerate(stage.blocks)
    }


def _summary(training: dict | None) -> dict | None:
    return training and {
        "index": training["index"],
        "variant": training["variant"],
        "accuracy_validation": training["validation"]["accuracy"],
        "accuracy_test": training["test"]["accuracy"],
    }
