"""The work behind each step of a search: trainings, judgements, evaluations.

Every method returns the event that the journal keeps.
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
    """Does the work of a search, and knows from the journal what was done before.

    Args:
        run: The run.
        data: What is trained on.
        progress: Where to show a training's epochs, or None.
        callbacks: Makes a user's own callbacks for a training, or None.
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
        """Train without MorphNet's and LayerLasso's terms; save the network if it is the best.

        In a process beside the search nobody knows which is the best: there each network is saved,
        and :meth:`tidy` removes it when the journal has its event.
        """
        trainer, event = self._train_no_reg(node, variant)
        if self.best(and_then=event) is event:
            self._save(trainer, node, variant)
        return event

    def blocks_to_remove(self, node: Node, gain: float | None) -> RemovalEvent:
        """Judge which blocks go, after a gain in accuracy or None (thesis sec. 4.2)."""
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
        """Evaluate an architecture as a removal left it, with the weights that stay."""
        trainer = Trainer(node.architecture, self.data, self.config, 0, regularized=False)
        inherit(trainer.network, self._load(node.source))
        validation, test = (Scores(**trainer.evaluate(p)) for p in ("validation", "test"))
        return EvaluationEvent(index=node.index, validation=validation, test=test)

    def channels_to_keep(self, node: Node, round: int, budget: float) -> MorphNetEvent:
        """Judge which channels stay, and find the widths that fill a budget of FLOPs again."""
        c, a = self.config, node.architecture
        network = build_model(a, self.data.preprocessing)
        inherit(network, self._load(node.source))
        regularizer = morphnet_of(network, c)
        alive = regularizer.alive()
        judged = MorphNetEvent(
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
            return replace(judged, dead=str(error))
        return MorphNetStep(
            **vars(judged),
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
        """Return the best No-Reg training so far, or as it would be with one more."""
        events = [*self.journal.events, *(() if and_then is None else (and_then,))]
        return best_training(events, None if any_size else self.config.flops)

    def tidy(self) -> None:
        """Keep the best network, the weights to go on from, and those of running trainings."""
        trainings = list(self.journal.of(TrainingEvent))
        with_reg = [event for event in trainings if event.variant == WITH_REG]
        count = Counter(event.index for event in trainings)
        at_work = tuple(f"{e.index:03d}_" for e in with_reg if count[e.index] < len(VARIANTS))
        needed = [*with_reg[-1:], *filter(None, [self.best()])]
        names = (network_file(event.index, event.variant) for event in needed)
        self.run.keep_models(*names, at_work=at_work)


def _positions(architecture: Architecture) -> dict[str, BlockPlace]:
    """Return where each block is: stage, place in it, and place among all convolutions."""
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
