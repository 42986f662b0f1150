"""The race: train candidates, drop the worse ones, and join the best to one network that fills ζ.

The schedule is in :mod:`resbuilder.race.schedule`. Decisions use the cross-entropy of averaged
weights on validation data. Contenders, if there are any, do not take part in the race. Each is
trained for as many epochs as the whole race, with the same options and its own cosine schedule, so
that the result of the race can be compared with each of them at equal cost.

Each training and each decision is a step of the journal (:mod:`resbuilder.run.journal`). A training
starts from the file that the training before it has saved, so a resumed run computes exactly the
same as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial

import numpy as np

from resbuilder.architecture import Architecture, side_by_side
from resbuilder.config import SearchConfig
from resbuilder.costs import cost
from resbuilder.pipeline.background import BackgroundTrainings, Ways
from resbuilder.pipeline.outcome import finish
from resbuilder.pipeline.race_trainings import (
    Entrant,
    RaceTrainings,
    logits_file,
    train_entrant,
)
from resbuilder.pipeline.trainings import (
    Node,
    architecture_key,
    training_key,
)
from resbuilder.progress import SearchProgress, percent
from resbuilder.race import (
    best_together,
    candidates,
    contenders,
    race_plan,
)
from resbuilder.run import (
    BreakDownEvent,
    EntrantEvent,
    FinishedEvent,
    Run,
    SelectionEvent,
    TrainingEvent,
)
from resbuilder.run.events import CANDIDATE, CONTENDER, WINNER
from resbuilder.surgery import BreakDown
from resbuilder.training import CallbackFactory, TrainingData
from resbuilder.variants import COMBINED, COOLDOWN, RACE_VARIANTS, TRIAL, WHOLE


def entrants(config: SearchConfig, data: TrainingData) -> list[Entrant]:
    """Return the candidates of a race, and then its contenders.

    Raises:
        ValueError: If the budget is too small for the candidates or a contender, a contender cannot
            be read or does not fit the images, or there are too few epochs.
    """
    dataset = data.dataset
    shape, classes, depths = dataset.input_shape, dataset.classes, config.candidate_depths
    space = candidates(shape, classes, config.flops, depths, config.block_order)
    against = contenders(config, dataset)
    return _entrants(
        config,
        [
            *((CANDIDATE, c.label, c.architecture) for c in space),
            *((CONTENDER, label, network) for label, network in against.items()),
        ],
    )


def entrants_of(run: Run[SearchConfig], data: TrainingData) -> list[Entrant]:
    """Return the candidates and contenders of a race that has begun.

    They are those in the journal once it has the contenders, which come last: their files may have
    changed since, and the run itself may be one of them that it has replaced.
    """
    recorded = [
        (event.origin, event.label, event.architecture)
        for event in run.journal.of(EntrantEvent)
        if event.origin != WINNER
    ]
    against = [label for origin, label, _ in recorded if origin == CONTENDER]
    trained = next(run.journal.of(TrainingEvent), None) is not None
    if trained or (against and len(against) == len(run.config.contender_names)):
        return _entrants(run.config, recorded)
    return entrants(run.config, data)


def _entrants(config: SearchConfig, networks: list[tuple[str, str, Architecture]]) -> list[Entrant]:
    """Return numbered entrants from their origins, labels and architectures."""
    count = sum(origin == CANDIDATE for origin, *_ in networks)
    plan = race_plan(config.total_epochs or 0, count)
    return [
        Entrant(index, network, None, index, label, origin, plan)
        for index, (origin, label, network) in enumerate(networks)
    ]


class Race:
    """Executes a race step by step; steps that are in the journal are not executed again."""

    def __init__(
        self,
        run: Run[SearchConfig],
        data: TrainingData,
        nodes: list[Entrant],
        progress: SearchProgress | None,
        executor: Executor | None = None,
        workers: int = 1,
        callbacks: CallbackFactory | None = None,
    ):
        self.run, self.journal, self.data, self.nodes = run, run.journal, data, nodes
        self.plan = nodes[0].plan
        self.candidates = [node for node in nodes if node.origin == CANDIDATE]
        self.contenders = [node for node in nodes if node.origin == CONTENDER]
        self.winner = len(nodes)  # its index
        epochs = self.plan.total * (1 + len(self.contenders))
        self.progress = progress or SearchProgress(epochs, unit="epoch")
        self.trainings = RaceTrainings(run, data, self.progress, callbacks)
        elsewhere = partial(train_entrant, callbacks=callbacks)
        ways = Ways(self.trainings.train, self.trainings.train, elsewhere)
        self.background = BackgroundTrainings(
            run, ways, self.progress, self.training, executor, workers
        )

    def go(self) -> FinishedEvent:
        """Execute the race until all epochs are spent; return the last event."""
        with self.progress:
            self.introduce()
            reason = "all epochs are spent"
            best: list[Entrant] = []
            try:
                best = self.trial()
                self.train(best, COOLDOWN)
            except BreakDown as error:
                reason = self.break_down(self.candidates[-1], str(error))
            self.train(self.contenders, WHOLE)
            self.background.collect()
            if best and (trunks := self.select(best, COOLDOWN)):
                self.join(trunks)
            elif best:
                why = "no loss stayed finite in the cooldown; lower the learning rate"
                reason = self.break_down(best[0], why)
            last = self.journal.step(
                FinishedEvent, "finished", lambda: finish(self.run, self.data, reason)
            )
            self.tidy([], last)
            return last

    def break_down(self, node: Entrant, why: str) -> str:
        """Record that the race found no network; return the reason for its end."""
        event = BreakDownEvent(index=node.index, reason=why)
        self.journal.step(BreakDownEvent, "breakdown", lambda: event)
        reason = f"break-down: {why}"
        self.progress.say(reason)
        return reason

    def introduce(self) -> None:
        """Print the epochs of the race, and record its candidates and contenders.

        Raises:
            ValueError: If they differ from the journal, as the file of a contender has changed.
        """
        others = len(self.contenders)
        self.progress.say(
            f"race: {self.plan}"
            + (f", and {others} × {self.plan.total} for contenders" if others else "")
        )
        for node in self.nodes:
            self.record(node)

    def record(self, node: Entrant) -> None:
        """Print and record an entrant.

        Raises:
            ValueError: If it differs from the journal.
        """
        counted = cost(node.architecture)
        event = EntrantEvent(
            index=node.index,
            round=0,
            origin=node.origin,
            parent=None,
            inserted=(),
            removed=(),
            position=None,
            architecture=node.architecture,
            flops=counted.flops,
            parameters=counted.parameters,
            activations=counted.activations,
            depth=node.architecture.depth,
            label=node.label,
        )
        key = architecture_key(node.index)
        recorded = self.journal.step(EntrantEvent, key, lambda: event)
        if recorded != event:
            remedy = "start a new run, as this version has other candidates"
            if node.origin == CONTENDER:
                remedy = "restore the file from which it was read, or start a new run"
            raise ValueError(
                f"{node.origin} {node.label} is now {node.architecture}, but the journal of "
                f"{self.run.path} has {recorded.label}: {recorded.architecture}; {remedy}"
            )
        size = f"{counted.flops / 1e6:.3g} MFLOPs, depth {event.depth}"
        self.progress.say(
            f"{node.index:3d} {node.origin} {node.label}, {size}: {node.architecture}"
        )

    def trial(self) -> list[Entrant]:
        """Train all candidates; return those that remain, with all epochs that are left.

        If losses were not finite, fewer candidates remain than planned, and each has more epochs.
        """
        plan, remaining = self.plan, self.candidates
        if plan.trial:
            # The widest begin at the lowest resolution and learn fast, so a good network is there
            # early. The order does not change the result.
            self.train(sorted(remaining, key=lambda node: -node.architecture.stem.width), TRIAL)
            self.background.collect()
            remaining = self.select(remaining, TRIAL)
            if not remaining:
                raise BreakDown("no candidate's loss stayed finite; lower the learning rate")
            self.tidy([*remaining, *self.contenders])
        left = plan.total * plan.trunks - plan.trial * plan.candidates
        plan = replace(plan, cooldown=left // len(remaining))
        return [replace(node, plan=plan) for node in remaining]

    def select(self, nodes: list[Entrant], after: str) -> list[Entrant]:
        """Decide which candidates remain after the trial or the cooldown."""

        def decide() -> SelectionEvent:
            data, losses = self.data, [self.loss(node, after) for node in nodes]
            files = [self.run.models / logits_file(node.index, after) for node in nodes]
            labels = data.dataset.y_train[data.split.validation]
            kept, loss = best_together(
                losses, list(map(np.load, files)), labels, self.plan.trunks, after == COOLDOWN
            )
            return SelectionEvent(
                indices=tuple(node.index for node in nodes),
                losses=tuple(losses),
                kept=tuple(nodes[place].index for place in kept),
                loss=loss,
                after=after,
            )

        key = "selection" if after == TRIAL else f"selection {after}"
        selection = self.journal.step(SelectionEvent, key, decide)
        by_index = {node.index: node for node in nodes}
        remaining = [by_index[index] for index in selection.kept]
        if remaining:
            self.progress.say(
                f"after the {after}, by validation loss ({selection.loss:.3f} together): "
                + ", ".join(node.label for node in remaining)
            )
        return remaining

    def join(self, best: list[Entrant]) -> None:
        """Make the final network, with the best candidates as its trunks, and evaluate it."""
        winner = Entrant(
            index=self.winner,
            architecture=side_by_side(node.architecture for node in best),
            parent=None,
            source=best[0].index,
            label=" ∥ ".join(node.label for node in best),
            origin=WINNER,
            plan=self.plan,
        )
        self.nodes.append(winner)
        self.record(winner)
        self.training(winner, COMBINED, lambda: self.trainings.join(winner, best))

    def loss(self, node: Entrant, variant: str) -> float | None:
        """Return the validation loss after a finished training; None if it diverged."""
        training = self.journal.get(TrainingEvent, training_key(node.index, variant))
        return training.validation.loss if training.finite else None

    def train(self, nodes: list[Entrant], variant: str) -> None:
        """Begin trainings that are independent of each other."""
        for node in nodes:
            self.background.begin(
                node, variant, self.journal.has(training_key(node.index, variant))
            )

    def training(self, node: Node, variant: str, compute: Callable[[], TrainingEvent]) -> None:
        """Record one training."""
        key = training_key(node.index, variant)
        replayed = self.journal.has(key)
        event = self.journal.step(TrainingEvent, key, compute)
        validation = event.validation
        loss = "–" if validation.loss is None else f"{validation.loss:.3f}"
        self.progress.trained(
            f"{RACE_VARIANTS[variant]}, {self.nodes[node.index].label}: loss {loss},",
            validation.accuracy,
            event.test.accuracy,
            event.seconds,
            replayed,
            self.plan.cost(variant, event.epochs),
        )

    def tidy(self, nodes: list[Entrant], last: FinishedEvent | None = None) -> None:
        """Remove the networks that dropped out; at the end, all but the best."""
        at_work = [node.index for node in nodes]
        if last is None:
            at_work.append(self.winner)  # A resumed race may have it already.
        elif last.best is not None:
            self.progress.say(
                f"best validation accuracy: {percent(last.best.accuracy_validation).strip()}, by "
                f"{self.nodes[last.best.index].label}"
            )
        self.run.keep_models(at_work=tuple(f"{index:03d}_" for index in at_work))
