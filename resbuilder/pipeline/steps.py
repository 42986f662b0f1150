"""The work of each step of a thesis search: trainings, decisions, evaluations.

Every public method that does a step returns the event for the journal.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from resbuilder.architecture import Architecture
from resbuilder.config import SearchConfig
from resbuilder.costs import cost
from resbuilder.model import build_model
from resbuilder.pipeline.outcome import finish
from resbuilder.pipeline.trainings import Node, Trainings, network_file
from resbuilder.progress import SearchProgress
from resbuilder.run import (
    BlockPlace,
    EvaluationEvent,
    FinishedEvent,
    MorphNetEvent,
    MorphNetStep,
    RemovalEvent,
    Run,
    Scores,
    TrainingEvent,
    best_training,
)
from resbuilder.surgery import BreakDown, inherit, morph
from resbuilder.training import CallbackFactory, Trainer, TrainingData, layer_lasso_of, morphnet_of
from resbuilder.variants import VARIANTS, WITH_REG


class Steps(Trainings):
    """Does the work of a search, for which it also reads the journal.

    Args:
        run: The run.
        data: The data to train on.
        progress: Where to show a training's epochs, or None.
        callbacks: Function that returns a user's callbacks for a training, or None.
    """

    def __init__(
        self,
        run: Run[SearchConfig],
        data: TrainingData,
        progress: SearchProgress | None,
        callbacks: CallbackFactory | None = None,
    ):
        super().__init__(run, data, progress, callbacks)
        self.run, self.journal = run, run.journal

    def train_and_judge(self, node: Node, variant: str) -> TrainingEvent:
        """Train without the MorphNet and LayerLasso terms; save the network if it is the best.

        Another process cannot know the best network so far. So it saves each network, and
        :meth:`tidy` removes it once its event is in the journal.
        """
        trainer, event = self._train_no_reg(node, variant)
        if self.best(and_then=event) is event:
            self._save(trainer, node, variant)
        return event

    def blocks_to_remove(self, node: Node, gain: float | None) -> RemovalEvent:
        """Decide which blocks to remove (thesis sec. 4.2).

        Args:
            node: The trained architecture.
            gain: Gain in validation accuracy by the last insertion; None without one.
        """
        c = self.config
        lasso = layer_lasso_of(self._load(node.source), node.architecture, c)
        removable = lasso.removable()
        good = c.momentum and gain is not None and gain >= c.tau_momentum
        return RemovalEvent(
            index=node.index,
            values=lasso.values(),
            positions=_positions(node.architecture),
            threshold=c.tau_layer,
            gain=gain,
            kept_by_momentum=good and bool(removable),
            removed=() if good else tuple(removable),
        )

    def evaluate(self, node: Node) -> EvaluationEvent:
        """Evaluate an architecture right after a removal, with the remaining weights."""
        trainer = Trainer(node.architecture, self.data, self.config, 0, regularized=False)
        inherit(trainer.network, self._load(node.source))
        validation, test = (Scores(**trainer.evaluate(p)) for p in ("validation", "test"))
        return EvaluationEvent(index=node.index, validation=validation, test=test)

    def channels_to_keep(self, node: Node, round: int, budget: float) -> MorphNetEvent:
        """Decide which channels to keep, and find widths that fill a FLOPs budget again."""
        c, a = self.config, node.architecture
        network = build_model(a, self.data.preprocessing)
        inherit(network, self._load(node.source))
        regularizer = morphnet_of(network, c)
        alive = regularizer.alive()
        decision = MorphNetEvent(
            round=round,
            index=node.index,
            alive={name: int(mask.sum()) for name, mask in alive.items()},
            widths_before=a.widths(),
            flops_before=cost(a).flops,
            dead=None,
        )
        try:
            step = morph(a, alive, regularizer.group_values(), int(budget), c.intensity)
        except BreakDown as error:
            return replace(decision, dead=str(error))
        return MorphNetStep(
            **vars(decision),
            widths_shrunk=step.shrunk.widths(),
            widths_after=step.result.widths(),
            flops_shrunk=cost(step.shrunk).flops,
            flops_after=cost(step.result).flops,
            kappa=step.kappa,
            removed_blocks=step.removed,
            channels={name: tuple(old) for name, old in step.channels.items()},
            result=step.result,
        )

    def finish(self, reason: str) -> FinishedEvent:
        """End the search, see :func:`.outcome.finish`."""
        return finish(self.run, self.data, reason)

    def best(
        self, any_size: bool = False, and_then: TrainingEvent | None = None
    ) -> TrainingEvent | None:
        """Return the best No-Reg training so far.

        Args:
            any_size: Whether to ignore the budget.
            and_then: A training that is not yet in the journal.
        """
        events = [*self.journal.events, *(() if and_then is None else (and_then,))]
        return best_training(events, None if any_size else self.config.flops)

    def tidy(self) -> None:
        """Remove networks except the best one, the last With-Reg one, and those still in use."""
        trainings = list(self.journal.of(TrainingEvent))
        with_reg = [event for event in trainings if event.variant == WITH_REG]
        count = Counter(event.index for event in trainings)
        at_work = tuple(f"{e.index:03d}_" for e in with_reg if count[e.index] < len(VARIANTS))
        needed = [*with_reg[-1:], *filter(None, [self.best()])]
        names = (network_file(event.index, event.variant) for event in needed)
        self.run.keep_models(*names, at_work=at_work)


def _positions(architecture: Architecture) -> dict[str, BlockPlace]:
    """Return the position of each block: in its stage, and among all convolutions."""
    order = list(architecture.widths())
    return {
        block.name: BlockPlace(
            stage=index,
            position=position,
            relative=order.index(f"{block.name}_conv1") / (len(order) - 1),
        )
        for index, stage in enumerate(architecture.stages)
        for position, block in enumerate(stage.blocks)
    }
