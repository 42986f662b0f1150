"""The search: grow by random blocks, prune by LayerLasso and MorphNet (thesis fig. 4.3).

::

    repeat n_M times:
        train from scratch with all regularizers
        repeat n_Λ times:   insert one block → train on → remove blocks
        MorphNet: shrink to the alive channels, expand to the FLOPs budget
    train what the last MorphNet step left

Every architecture is trained *With Reg*. Two trainings follow that nothing waits for: *No Reg WI*
from the With-Reg weights and *No Reg RI* from random initialisation. Decisions use validation
accuracy; test accuracy is only reported.

Each training and each decision is a step of the journal (:mod:`resbuilder.run.journal`); what a
step computes is in :mod:`resbuilder.pipeline.steps`.
"""

from __future__ import annotations

import numpy as np

from resbuilder.architecture import Architecture
from resbuilder.costs import cost
from resbuilder.pipeline.background import BackgroundTrainings
from resbuilder.pipeline.steps import Node, Steps
from resbuilder.progress import SearchProgress, accuracy_text
from resbuilder.run import Run
from resbuilder.surgery import BreakDown, draw_insertion, remove_blocks
from resbuilder.training import TrainingData
from resbuilder.variants import NO_REG_RI, NO_REG_WI, VARIANTS, WITH_REG


class Loop:
    """Walks through a search step by step; steps that the journal has are not done again."""

    def __init__(
        self, run: Run, data: TrainingData, start: Architecture, progress, executor=None, workers=1
    ):
        self.run, self.journal, self.config, self.start = run, run.journal, run.config, start
        c = self.config
        trainings = (c.rounds * (1 + c.insertions) + 1) * len(VARIANTS)
        self.progress = progress or SearchProgress(trainings)
        self.steps = Steps(run, data, self.progress)
        self.background = BackgroundTrainings(self.steps, self.training, executor, workers)
        self.nodes: list[Node] = []
        self.round = 0

    def go(self) -> dict:
        """Search until all rounds are done or the network breaks down; the closing record."""
        with self.progress:
            try:
                self.rounds()
                self.background.collect()
                reason = "all rounds are done"
            except BreakDown as error:
                self.background.collect()
                reason = f"break-down: {error}"
                where = {"index": self.nodes[-1].index, "reason": str(error)}
                self.journal.step("breakdown", "breakdown", lambda: where)
                self.progress.say(reason)
            return self.journal.step("finished", "finished", lambda: self.steps.finish(reason))

    def rounds(self) -> None:
        """The loops of fig. 4.3."""
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

    def add(self, architecture: Architecture, origin: str, parent: Node | None = None, **details):
        """Record a new architecture."""
        index, counted = len(self.nodes), cost(architecture)
        parent_index = None if parent is None else parent.index
        source = parent.source if origin == "removal" else index
        node = Node(index, architecture, parent_index, source)
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

    def train(self, node: Node, parent: Node | None, channels: dict | None = None) -> None:
        """Train the three variants of an architecture."""
        inserted = self.journal.get(f"architecture {node.index}")["inserted"]
        record = self.training(
            node,
            WITH_REG,
            lambda: self.steps.train_with_reg(node, parent, channels, inserted),
        )
        if not record["finite"]:
            raise BreakDown(f"the training of architecture {node.index} did not stay finite")
        for variant in (NO_REG_WI, NO_REG_RI):
            self.background.begin(node, variant, self.journal.has(_key(node, variant)))
        self.background.collect(before=node)

    def training(self, node: Node, variant: str, compute) -> dict:
        """One training, and the models that are no longer needed cleared away."""
        key = _key(node, variant)
        replayed = self.journal.has(key)
        record = self.journal.step("training", key, compute)
        self.steps.tidy()
        of = "" if node is self.nodes[-1] else f" of {node.index}"
        self.progress.trained(f"{VARIANTS[variant]}{of}", record, replayed)
        return record

    def insert(self, node: Node) -> Node | None:
        """Insert one block at random; None when no place gives a new architecture."""
        index = len(self.nodes)
        trained = {n.architecture for n in self.nodes if n.source == n.index}
        rng = np.random.default_rng(self.steps.seed(index, "position"))
        most = self.config.block_flops
        drawn = draw_insertion(node.architecture, trained, f"n{index}", rng, most)
        if drawn is None:
            self.journal.step("exhausted", f"exhausted {index}", lambda: {"round": self.round})
            return None
        architecture, where = drawn
        return self.add(
            architecture, "insertion", node, inserted=[f"n{index}"], position=where._asdict()
        )

    def prune(self, node: Node, gain: float | None) -> Node:
        """Remove the blocks that LayerLasso drove below τ_Λ, unless the momentum forbids it."""
        record = self.journal.step(
            "removal", f"removal {node.index}", lambda: self.steps.blocks_to_remove(node, gain)
        )
        if record["kept_by_momentum"]:
            self.progress.say(f"  momentum: validation accuracy rose by {100 * gain:.2f} points")
        if not record["removed"]:
            return node
        architecture = remove_blocks(node.architecture, record["removed"])
        pruned = self.add(architecture, "removal", node, removed=record["removed"])
        evaluated = self.journal.step(
            "evaluation", f"evaluation {pruned.index}", lambda: self.steps.evaluate(pruned)
        )
        self.progress.say(f"  as it stands: {accuracy_text(evaluated)}")
        return pruned

    def morphnet(self, node: Node) -> tuple[Node, dict | None]:
        """Shrink and expand; the second value says which channels to inherit, if any."""
        coming = self.config.insertions if self.round + 1 < self.config.rounds else 0
        budget = self.config.flops - coming * (self.config.block_flops or 0)
        record = self.journal.step(
            "morphnet",
            f"morphnet {self.round}",
            lambda: {"round": self.round, **self.steps.channels_to_keep(node, budget)},
        )
        if record["dead"]:
            raise BreakDown(record["dead"])
        before, shrunk, after = (
            record[f"flops_{when}"] / 1e6 for when in ("before", "shrunk", "after")
        )
        alive = sum(record["alive"][name] for name in record["widths_before"])
        self.progress.say(
            f"MorphNet {self.round + 1} of {self.config.rounds}: {alive} of "
            f"{sum(record['widths_before'].values())} channels alive, {before:.3g} → {shrunk:.3g} "
            f"MFLOPs; scaled to {after:.3g}"
        )
        architecture = Architecture.from_json(record["result"])
        result = self.add(
            architecture,
            "morphnet",
            node,
            removed=record["removed_blocks"],
            round=self.round + 1,
        )
        return result, record["channels"] if self.config.inherit_channels else None

    def accuracy(self, node: Node) -> float:
        """Validation accuracy after the With-Reg training that gave a node its weights.

        For a network that has just lost blocks this is that of the training before: as it stands it
        may be far worse, and the next insertion would seem good whatever it is worth.
        """
        return self.journal.get(f"training {node.source} {WITH_REG}")["validation"]["accuracy"]


def _key(node: Node, variant: str) -> str:
    return f"training {node.index} {variant}"
