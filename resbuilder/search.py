"""The search: grow by random blocks, prune by LayerLasso and MorphNet (thesis fig. 4.3).

::

    repeat n_M times:
        train from scratch with all regularizers
        repeat n_Λ times:   insert one block → train on → remove blocks
        MorphNet: shrink to the alive channels, expand to the FLOPs budget
    train what the last MorphNet step left

Every architecture is trained *With Reg*; two leaves that nothing waits for follow, *No Reg WI* from
the With-Reg weights and *No Reg RI* from random initialisation. Decisions use validation accuracy;
test accuracy is only reported.

Each training and each decision is a step of the journal (:mod:`resbuilder.journal`). A step reads
its network from disk, also when it was trained a moment ago, so that a resumed run computes exactly
what an uninterrupted one does.
"""

from __future__ import annotations

import gc
import hashlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import confusion_matrix

from resbuilder.architecture import Architecture
from resbuilder.config import SearchConfig
from resbuilder.cost import cost
from resbuilder.model import build_model
from resbuilder.progress import VARIANT_NAMES, SearchProgress, accuracy_text
from resbuilder.run import BEST_MODEL, Run
from resbuilder.scaling import BreakDown, least_architecture, morph
from resbuilder.standing import best_training
from resbuilder.starts import start_architecture
from resbuilder.surgery import draw_insertion, inherit, initialise_block, remove_blocks
from resbuilder.training import NO_REG_RI, NO_REG_WI, VARIANTS, WITH_REG, Trainer, TrainingData
from resbuilder.training.trainer import layer_lasso_of, morphnet_of


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves.

    Attributes:
        run: The run folder.
        best: Record of the winner: ``index``, ``variant``, ``accuracy_validation``,
            ``accuracy_test``; None if nothing within the budget was trained.
        architecture: The winning architecture, or None.
        reason: Why the search ended.
    """

    run: Path
    best: dict | None
    architecture: Architecture | None
    reason: str

    def model(self) -> keras.Model:
        """Load the winning network: raw pixels in, logits out."""
        return keras.models.load_model(self.run / BEST_MODEL, compile=False)


@dataclass(frozen=True)
class _Node:
    """An architecture of the run, and the With-Reg weights that it carries."""

    index: int
    architecture: Architecture
    parent: int | None
    source: int


def search(
    config: SearchConfig,
    out: str | Path,
    overwrite: bool = False,
    progress: SearchProgress | None = None,
) -> SearchResult:
    """Search an architecture.

    Args:
        config: All settings.
        out: The run folder to make.
        overwrite: Whether an existing run folder may be replaced.
        progress: Where to show progress; on standard error by default.

    Returns:
        The result; everything else is in the run folder.

    Raises:
        ValueError: If the data cannot be had, the budget is too small for the start network, or the
            folder exists. Nothing is written then.

    Example:
        >>> result = search(SearchConfig(dataset="digits", flops=1e6, epochs=5), "runs/digits")
        >>> print(result.architecture)
    """
    data = TrainingData.load(config)
    start = start_architecture(config, data.dataset)
    _check_budget(start, config)
    run = Run.create(out, config, overwrite)
    return _Search(run, data, start, progress).go()


def resume(run_folder: str | Path, progress: SearchProgress | None = None) -> SearchResult:
    """Go on with a search that was interrupted, or return the result of a finished one.

    Raises:
        ValueError: If this is not the folder of a search, or its data can no longer be had.
    """
    run = Run.open(run_folder)
    data = TrainingData.load(run.config)
    return _Search(run, data, start_architecture(run.config, data.dataset), progress).go()


class _Search:
    def __init__(self, run: Run, data: TrainingData, start: Architecture, progress):
        self.run, self.journal, self.config = run, run.journal, run.config
        self.data, self.start = data, start
        c = self.config
        total = (c.rounds * (1 + c.insertions) + 1) * len(VARIANTS)
        self.progress = progress or SearchProgress(total)
        self.nodes: list[_Node] = []
        self.round = 0
        self._trainer: Trainer | None = None

    def go(self) -> SearchResult:
        began = time.monotonic()
        with self.progress:
            try:
                self.rounds()
                reason = "all rounds are done"
            except BreakDown as error:
                reason = f"break-down: {error}"
                self.journal.step("breakdown", "breakdown", lambda: self.about(reason=reason))
                self.progress.say(reason)
            record = self.journal.step(
                "finished", "finished", lambda: self.finish(reason, time.monotonic() - began)
            )
        best = record["best"]
        architecture = self.nodes[best["index"]].architecture if best else None
        return SearchResult(self.run.path, best, architecture, record["reason"])

    def rounds(self) -> None:
        c = self.config
        node, channels = self.add(self.start, "start"), None
        for self.round in range(c.rounds + 1):
            self.train(node, channels and self.nodes[node.parent], channels)
            if self.round == c.rounds:
                return
            node = self.prune(node, gain=None)
            for done in range(c.insertions):
                grown = self.insert(node)
                if grown is None:
                    self.progress.say("no new place for a block is left in this round")
                    self.progress.fewer((c.insertions - done) * len(VARIANTS))
                    break
                self.train(grown, node)
                node = self.prune(grown, self.accuracy(grown) - self.accuracy(node))
            node, channels = self.morphnet(node)

    # -- the steps -------------------------------------------------------------------------------

    def add(self, architecture: Architecture, origin: str, parent: _Node | None = None, **details):
        """Record a new architecture."""
        index, counted = len(self.nodes), cost(architecture)
        parent_index = None if parent is None else parent.index
        source = parent.source if origin == "removal" else index
        node = _Node(index, architecture, parent_index, source)
        self.nodes.append(node)
        self.journal.step(
            "architecture",
            f"architecture {index}",
            lambda: {
                "index": index,
                "round": self.round,
                "origin": origin,
                "parent": parent_index,
                "inserted": [],
                "removed": [],
                "position": None,
                **details,
                "architecture": architecture.to_json(),
                "flops": counted.flops,
                "parameters": counted.parameters,
                "activations": counted.activations,
                "depth": architecture.depth,
            },
        )
        size = f"{counted.flops / 1e6:.3g} MFLOPs, depth {architecture.depth}"
        self.progress.say(f"{index:3d} {origin}, {size}: {architecture}")
        return node

    def train(self, node: _Node, parent: _Node | None, channels: dict | None = None) -> None:
        """Train the three variants of an architecture."""
        record = self.training(node, WITH_REG, lambda: self.train_with_reg(node, parent, channels))
        self.tidy(node)
        if not record["finite"]:
            raise BreakDown(f"the training of architecture {node.index} did not stay finite")
        for variant in (NO_REG_WI, NO_REG_RI):
            self.training(node, variant, lambda v=variant: self.train_leaf(node, v))
            self.tidy(node)

    def training(self, node: _Node, variant: str, compute) -> dict:
        record = self.journal.step("training", f"training {node.index} {variant}", compute)
        self.progress.trained(VARIANT_NAMES[variant], record)
        return record

    def train_with_reg(self, node: _Node, parent: _Node | None, channels: dict | None) -> dict:
        trainer = self.trainer(node)
        trainer.reset()
        if parent is not None:
            source = self.load(parent.source, compile=True)
            inherit(trainer.network, source, channels, trainer.optimizer, source.optimizer)
            for block in self.journal.of("architecture")[node.index]["inserted"]:
                seed = self.seed(node.index, "insert")
                initialise_block(trainer.network, block, self.config.insert_init, seed)
        record = self.fit(trainer, node, WITH_REG)
        trainer.save(self.run.models / _file(node.index, WITH_REG))
        return record

    def train_leaf(self, node: _Node, variant: str) -> dict:
        trainer = self.trainer(node)
        weights = self.run.models / _file(node.index, WITH_REG)
        trainer.reset(weights if variant == NO_REG_WI else None)
        record = self.fit(trainer, node, variant)
        standing = self.best(self.journal.records)
        if self.best([*self.journal.records, record | {"event": "training"}]) != standing:
            trainer.save(self.run.models / _file(node.index, variant))
        return record

    def fit(self, trainer: Trainer, node: _Node, variant: str) -> dict:
        callbacks = [self.progress.training(VARIANT_NAMES[variant], self.config.epochs)]
        if self.config.tensorboard:
            logs = self.run.path / "tensorboard" / f"{node.index:03d}_{variant}"
            callbacks.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
        record = trainer.fit(self.seed(node.index, variant), variant == WITH_REG, callbacks)
        return {"index": node.index, "variant": variant, **record}

    def insert(self, node: _Node) -> _Node | None:
        """Insert one block at random; None when no place gives a new architecture."""
        index = len(self.nodes)
        trained = {n.architecture for n in self.nodes if n.source == n.index}
        rng = np.random.default_rng(self.seed(index, "position"))
        drawn = draw_insertion(node.architecture, trained, f"n{index}", rng)
        if drawn is None:
            self.journal.step("exhausted", f"exhausted {index}", lambda: {"round": self.round})
            return None
        architecture, where = drawn
        return self.add(
            architecture, "insertion", node, inserted=[f"n{index}"], position=where._asdict()
        )

    def prune(self, node: _Node, gain: float | None) -> _Node:
        """Remove the blocks that LayerLasso drove below τ_Λ, unless the momentum forbids it."""
        record = self.journal.step(
            "removal", f"removal {node.index}", lambda: self.judge_blocks(node, gain)
        )
        if record["kept_by_momentum"]:
            self.progress.say(f"  momentum: validation accuracy rose by {100 * gain:.2f} points")
        if not record["removed"]:
            return node
        architecture = remove_blocks(node.architecture, record["removed"])
        pruned = self.add(architecture, "removal", node, removed=record["removed"])
        evaluated = self.journal.step(
            "evaluation", f"evaluation {pruned.index}", lambda: self.evaluate(pruned)
        )
        self.progress.say(f"  as it stands: {accuracy_text(evaluated)}")
        return pruned

    def judge_blocks(self, node: _Node, gain: float | None) -> dict:
        c = self.config
        lasso = layer_lasso_of(self.load(node.source), node.architecture, c)
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

    def evaluate(self, node: _Node) -> dict:
        trainer = Trainer(node.architecture, self.data, self.config, 0, regularized=False)
        inherit(trainer.network, self.load(node.source))
        return {"index": node.index} | {p: trainer.evaluate(p) for p in ("validation", "test")}

    def morphnet(self, node: _Node) -> tuple[_Node, dict | None]:
        """Shrink and expand; the second value says which channels to inherit, if any."""
        record = self.journal.step(
            "morphnet", f"morphnet {self.round}", lambda: self.judge_channels(node)
        )
        if record["dead"]:
            raise BreakDown(record["dead"])
        before, shrunk, after = (
            record[f"flops_{when}"] / 1e6 for when in ("before", "shrunk", "after")
        )
        self.progress.say(
            f"MorphNet {self.round + 1} of {self.config.rounds}: {before:.3g} → {shrunk:.3g} → "
            f"{after:.3g} MFLOPs"
        )
        architecture = Architecture.from_json(record["result"])
        grown = self.add(architecture, "morphnet", node, removed=record["removed_blocks"])
        return grown, record["channels"] if self.config.inherit_channels else None

    def judge_channels(self, node: _Node) -> dict:
        c, a = self.config, node.architecture
        network = build_model(a, self.data.preprocessing)
        inherit(network, self.load(node.source))
        regularizer = morphnet_of(network, c)
        alive = regularizer.alive()
        record = self.about(
            index=node.index,
            alive={name: int(mask.sum()) for name, mask in alive.items()},
            widths_before=a.widths(),
            flops_before=cost(a).flops,
        )
        try:
            step = morph(a, alive, regularizer.group_values(), int(c.flops), c.intensity)
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

    def finish(self, reason: str, seconds: float) -> dict:
        """Put the winner in its place and count what it confuses on the test data."""
        d = self.data.dataset
        best, any_size = (self.best(self.journal.records, size) for size in (False, True))
        record = {
            "reason": reason,
            "seconds": round(seconds, 1),
            "best": _summary(best),
            "best_any_size": _summary(any_size),
            "confusion": None,
            "class_names": list(d.class_names),
        }
        if best is None:
            return record
        shutil.copyfile(self.run.models / _file(best["index"], best["variant"]), self.run.best)
        network = keras.models.load_model(self.run.best, compile=False)
        batches = self.data.batches("test", self.config.batch_size)
        predicted = network.predict(batches, verbose=0).argmax(axis=1)
        labels = range(d.classes)
        counts = confusion_matrix(d.y_test, predicted, labels=labels)
        return record | {"confusion": counts.tolist()}

    # -- small things ----------------------------------------------------------------------------

    def about(self, **details) -> dict:
        return {"round": self.round, "index": self.nodes[-1].index, **details}

    def accuracy(self, node: _Node) -> float:
        """Validation accuracy of the With-Reg weights of an architecture as it stands."""
        records = self.journal.of("training") + self.journal.of("evaluation")
        return next(
            r["validation"]["accuracy"]
            for r in records
            if r["index"] == node.index and r.get("variant", WITH_REG) == WITH_REG
        )

    def best(self, records: list[dict], any_size: bool = False) -> dict | None:
        return best_training(records, None if any_size else self.config.flops)

    def seed(self, *what) -> int:
        """A seed of its own for each purpose, whatever was drawn before."""
        text = "/".join(map(str, (self.config.seed, *what)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1

    def trainer(self, node: _Node) -> Trainer:
        """The trainer of an architecture, one for all variants; only the last is kept."""
        if self._trainer is None or self._trainer.architecture is not node.architecture:
            self._trainer = None
            keras.backend.clear_session()
            gc.collect()
            seed = self.seed(node.index, "weights")
            self._trainer = Trainer(node.architecture, self.data, self.config, seed, True)
        return self._trainer

    def load(self, index: int, compile: bool = False) -> keras.Model:
        path = self.run.models / _file(index, WITH_REG)
        return keras.models.load_model(path, compile=compile)

    def tidy(self, node: _Node) -> None:
        """Keep the With-Reg weights that the search goes on from, and the best leaf."""
        best = self.best(self.journal.records)
        leaf = [_file(best["index"], best["variant"])] if best else []
        self.run.keep_models(_file(node.index, WITH_REG), *leaf)


def _file(index: int, variant: str) -> str:
    return f"{index:03d}_{variant}.keras"


def _check_budget(start: Architecture, config: SearchConfig) -> None:
    least = cost(least_architecture(start)).flops
    if config.flops < least:
        raise ValueError(
            f"a budget of {config.flops:,.0f} FLOPs is too small: the smallest {config.start} for "
            f"these images, with one channel in every layer, needs {least:,}; raise the budget"
        )


def _positions(architecture: Architecture) -> dict[str, dict]:
    """Where each block lies: stage, place in it, and depth relative to the whole network."""
    blocks = len(architecture.blocks)
    places = [
        (s, p) for s, stage in enumerate(architecture.stages) for p in range(len(stage.blocks))
    ]
    return {
        block.name: {"stage": s, "position": p, "relative": n / max(blocks - 1, 1)}
        for n, (block, (s, p)) in enumerate(zip(architecture.blocks, places, strict=True))
    }


def _summary(training: dict | None) -> dict | None:
    return training and {
        "index": training["index"],
        "variant": training["variant"],
        "accuracy_validation": training["validation"]["accuracy"],
        "accuracy_test": training["test"]["accuracy"],
    }
