"""The thesis' search: grow by random blocks, prune with LayerLasso and MorphNet (fig. 4.3).

::

    repeat n_M times:
        train from scratch with all regularizers → remove blocks
        repeat n_Λ times:   insert a block → continue training → remove blocks
        MorphNet: shrink to the alive channels, expand to the FLOPs budget
    train the result of the last MorphNet step

Every architecture is trained *With Reg*. Two more trainings follow, whose results the loop does not
need: *No Reg WI* starts from the With-Reg weights, *No Reg RI* from random weights. Decisions use
validation accuracy; test accuracy is only reported.

Each training and each decision is a step of the journal (:mod:`resbuilder.run.journal`). The work
of the steps is in :mod:`resbuilder.pipeline.steps`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

import numpy as np

from resbuilder.architecture import Architecture
from resbuilder.config import SearchConfig
from resbuilder.costs import cost
from resbuilder.pipeline.background import BackgroundTrainings, Ways, train_no_reg
from resbuilder.pipeline.steps import Steps
from resbuilder.pipeline.trainings import Channels, Node, architecture_key, training_key
from resbuilder.progress import SearchProgress, accuracy_text
from resbuilder.run import (
    ArchitectureEvent,
    BreakDownEvent,
    EvaluationEvent,
    ExhaustedEvent,
    FinishedEvent,
    MorphNetEvent,
    MorphNetStep,
    Place,
    RemovalEvent,
    Run,
    TrainingEvent,
)
from resbuilder.run.events import INSERTION, MORPHNET, REMOVAL, START
from resbuilder.surgery import BreakDown, draw_insertion, remove_blocks
from resbuilder.training import CallbackFactory, TrainingData
from resbuilder.variants import NO_REG_RI, NO_REG_WI, VARIANTS, WITH_REG


class Loop:
    """Executes a search step by step; steps that are in the journal are not executed again."""

    def __init__(
        self,
        run: Run[SearchConfig],
        data: TrainingData,
        start: Architecture,
        progress: SearchProgress | None,
        executor: Executor | None = None,
        workers: int = 1,
        callbacks: CallbackFactory | None = None,
    ):
        self.run, self.journal, self.config, self.start = run, run.journal, run.config, start
        c = self.config
        trainings = (c.rounds * (1 + c.insertions) + 1) * len(VARIANTS)
        self.progress = progress or SearchProgress(trainings)
        self.steps = Steps(run, data, self.progress, callbacks)
        self.background = BackgroundTrainings(
            run,
            Ways(
                self.steps.train_and_judge,
                self.steps.train_no_reg,
                partial(train_no_reg, callbacks=callbacks),
            ),
            self.progress,
            self.training,
            executor,
            workers,
        )
        self.nodes: list[Node] = []
        self.round = 0

    def go(self) -> FinishedEvent:
        """Search until all rounds are done or no network is left; return the last event."""
        with self.progress:
            try:
                self.rounds()
                self.background.collect()
                reason = "all rounds are done"
            except BreakDown as error:
                self.background.collect()
                reason = f"break-down: {error}"
                event = BreakDownEvent(index=self.nodes[-1].index, reason=str(error))
                self.journal.step(BreakDownEvent, "breakdown", lambda: event)
                self.progress.say(reason)
            last = self.journal.step(FinishedEvent, "finished", lambda: self.steps.finish(reason))
            self.run.keep_models()  # The best is in a file of its own.
            return last

    def rounds(self) -> None:
        """Execute the loops of fig. 4.3."""
        c = self.config
        node = self.add(self.start, START)
        parent: Node | None = None
        channels: Channels | None = None
        for self.round in range(c.rounds + 1):
            self.train(node, parent, channels)
            if self.round == c.rounds:
                return
            node = self.prune(node, gain=None)
            for done in range(c.insertions):
                grown = self.insert(node)
                if grown is None:
                    self.progress.say("no positions are left for a new block in this round")
                    self.progress.fewer((c.insertions - done) * len(VARIANTS))
                    break
                self.train(grown, node)
                node = self.prune(grown, self.gain(grown, node))
            before = node
            node, channels = self.morphnet(before)
            # Without channels to inherit, the result is trained from scratch.
            parent = None if channels is None else before

    # -- the steps -------------------------------------------------------------------------------

    def add(
        self,
        architecture: Architecture,
        origin: str,
        parent: Node | None = None,
        *,
        inserted: tuple[str, ...] = (),
        removed: tuple[str, ...] = (),
        position: Place | None = None,
    ) -> Node:
        """Record a new architecture."""
        index, counted = len(self.nodes), cost(architecture)
        parent_index = None if parent is None else parent.index
        source = parent.source if parent and origin == REMOVAL else index
        node = Node(index, architecture, parent_index, source)
        self.nodes.append(node)
        event = ArchitectureEvent(
            index=index,
            round=self.round + (origin == MORPHNET),
            origin=origin,
            parent=parent_index,
            inserted=inserted,
            removed=removed,
            position=position,
            architecture=architecture,
            flops=counted.flops,
            parameters=counted.parameters,
            activations=counted.activations,
            depth=architecture.depth,
        )
        self.journal.step(ArchitectureEvent, architecture_key(index), lambda: event)
        size = f"{counted.flops / 1e6:.3g} MFLOPs, depth {architecture.depth}"
        self.progress.say(f"{index:3d} {origin}, {size}: {architecture}")
        return node

    def train(self, node: Node, parent: Node | None, channels: Channels | None = None) -> None:
        """Train the three variants of an architecture."""
        inserted = self.journal.get(ArchitectureEvent, architecture_key(node.index)).inserted
        training = self.training(
            node,
            WITH_REG,
            lambda: self.steps.train_with_reg(node, parent, channels, inserted),
        )
        if not training.finite:
            raise BreakDown(f"the training of architecture {node.index} did not stay finite")
        for variant in (NO_REG_WI, NO_REG_RI):
            done = self.journal.has(training_key(node.index, variant))
            self.background.begin(node, variant, done)
        self.background.collect(until=node)

    def training(
        self, node: Node, variant: str, compute: Callable[[], TrainingEvent]
    ) -> TrainingEvent:
        """Do one training, and remove the models that are no longer needed."""
        key = training_key(node.index, variant)
        replayed = self.journal.has(key)
        event = self.journal.step(TrainingEvent, key, compute)
        self.steps.tidy()
        of = "" if node is self.nodes[-1] else f" of {node.index}"
        validation, test = event.validation.accuracy, event.test.accuracy
        what = f"{VARIANTS[variant]}{of}"
        self.progress.trained(what, validation, test, event.seconds, replayed)
        return event

    def insert(self, node: Node) -> Node | None:
        """Insert a block at random; return None if no position gives a new architecture."""
        index = len(self.nodes)
        trained = {n.architecture for n in self.nodes if n.source == n.index}
        rng = np.random.default_rng(self.steps.seed(index, "position"))
        most = self.config.block_flops
        drawn = draw_insertion(node.architecture, trained, f"n{index}", rng, most)
        if drawn is None:
            event = ExhaustedEvent(round=self.round)
            self.journal.step(ExhaustedEvent, f"exhausted {index}", lambda: event)
            return None
        architecture, where = drawn
        place = Place(where.stage, where.position)
        return self.add(architecture, INSERTION, node, inserted=(f"n{index}",), position=place)

    def prune(self, node: Node, gain: float | None) -> Node:
        """Remove the blocks that LayerLasso has driven below τ_Λ, unless momentum keeps them."""
        judged = self.journal.step(
            RemovalEvent,
            f"removal {node.index}",
            lambda: self.steps.blocks_to_remove(node, gain),
        )
        if judged.kept_by_momentum and gain is not None:
            self.progress.say(
                f"  momentum keeps all blocks: validation accuracy rose by {100 * gain:.2f} points"
            )
        if not judged.removed:
            return node
        architecture = remove_blocks(node.architecture, judged.removed)
        pruned = self.add(architecture, REMOVAL, node, removed=judged.removed)
        evaluated = self.journal.step(
            EvaluationEvent, f"evaluation {pruned.index}", lambda: self.steps.evaluate(pruned)
        )
        results = accuracy_text(evaluated.validation.accuracy, evaluated.test.accuracy)
        self.progress.say(f"  before further training: {results}")
        return pruned

    def morphnet(self, node: Node) -> tuple[Node, Channels | None]:
        """Shrink and expand a network; return the result, and the channels that it inherits."""
        # Leave room for the blocks of the next round.
        coming = self.config.insertions if self.round + 1 < self.config.rounds else 0
        budget = self.config.flops - coming * (self.config.block_flops or 0)
        step = self.journal.step(
            MorphNetEvent,
            f"morphnet {self.round}",
            lambda: self.steps.channels_to_keep(node, self.round, budget),
        )
        if not isinstance(step, MorphNetStep):
            raise BreakDown(step.dead)
        before, shrunk, after = (
            flops / 1e6 for flops in (step.flops_before, step.flops_shrunk, step.flops_after)
        )
        alive = sum(step.alive[name] for name in step.widths_before)
        self.progress.say(
            f"MorphNet {self.round + 1} of {self.config.rounds}: {alive} of "
            f"{sum(step.widths_before.values())} channels alive, {before:.3g} → {shrunk:.3g} "
            f"MFLOPs; scaled to {after:.3g}"
        )
        result = self.add(step.result, MORPHNET, node, removed=step.removed_blocks)
        return result, step.channels if self.config.inherit_channels else None

    def gain(self, grown: Node, node: Node) -> float:
        """Return the gain in validation accuracy by an insertion."""
        return self.accuracy(grown) - self.accuracy(node)

    def accuracy(self, node: Node) -> float:
        """Return the validation accuracy after the training that gave a node its weights.

        For a network that has just lost blocks, this is the accuracy before the removal. Right
        after the removal it may be far worse, and then any insertion would look like a gain.
        """
        training = self.journal.get(TrainingEvent, training_key(node.source, WITH_REG))
        if training.validation.accuracy is None:
            raise BreakDown(f"the accuracy of architecture {node.source} is not finite")
        return training.validation.accuracy
