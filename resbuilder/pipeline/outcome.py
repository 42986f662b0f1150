"""The end of a search: save the best network and compute its confusion matrix."""

from __future__ import annotations

import shutil

from sklearn.metrics import confusion_matrix

from resbuilder.common.files import atomically
from resbuilder.config import SearchConfig
from resbuilder.model import load_network
from resbuilder.model_card import ModelCard, write_architecture
from resbuilder.pipeline.trainings import network_file
from resbuilder.run import (
    ArchitectureEvent,
    FinishedEvent,
    Run,
    TrainingEvent,
    Winner,
    best_training,
)
from resbuilder.training import TrainingData


def finish(run: Run[SearchConfig], data: TrainingData, reason: str) -> FinishedEvent:
    """Save the best network as ``models/best.keras``, and return the last event of the search."""
    d, journal = data.dataset, run.journal
    best = best_training(journal.events, run.config.flops)
    confusion = None
    if best is not None:
        with atomically(run.best) as part:
            name = network_file(best.index, best.variant)
            shutil.copyfile(run.models / name, part)
        winner = next(e for e in journal.of(ArchitectureEvent) if e.index == best.index)
        write_architecture(run.path, winner.architecture, ModelCard.of(d))
        network = load_network(run.best)
        batches = data.batches("test", run.config.batch_size)
        predicted = network.predict(batches, verbose=0).argmax(axis=1)
        counts = confusion_matrix(d.y_test, predicted, labels=range(d.classes))
        confusion = tuple(map(tuple, counts.tolist()))
    return FinishedEvent(
        reason=reason,
        seconds=round(sum(event.seconds for event in journal.of(TrainingEvent)), 1),
        best=_winner(best),
        best_any_size=_winner(best_training(journal.events, None)),
        confusion=confusion,
        class_names=d.class_names,
    )


def _winner(training: TrainingEvent | None) -> Winner | None:
    # A training whose validation accuracy is not finite is never the best.
    if training is None or training.validation.accuracy is None:
        return None
    return Winner(
        index=training.index,
        variant=training.variant,
        accuracy_validation=training.validation.accuracy,
        accuracy_test=training.test.accuracy,
    )
