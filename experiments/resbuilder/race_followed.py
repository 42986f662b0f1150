"""A race, KerasTuner's Hyperband and random search, followed over their processor time."""

from __future__ import annotations

import contextlib
import io
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
from rich.console import Console

from experiments.resbuilder.from_scratch import trained
from resbuilder import Architecture, SearchConfig
from resbuilder.architecture import side_by_side
from resbuilder.model import load_network
from resbuilder.pipeline.race import Race, entrants
from resbuilder.pipeline.race_trainings import joined
from resbuilder.progress import SearchProgress
from resbuilder.race import Candidate, averaging_decay, candidates, training_config
from resbuilder.race.schedule import TRUNKS
from resbuilder.run import Run
from resbuilder.surgery import inherit, scale_to_budget
from resbuilder.training import Trainer, TrainingData

FACTOR, SHARE = 3, 0.6


class Clock:
    """Processor time since its creation, without the time for test images."""

    def __init__(self):
        self._began = time.process_time()
        self.networks: list[dict] = []

    def seconds(self) -> float:
        """Return the time in seconds."""
        return time.process_time() - self._began

    def result(self) -> dict:
        """Return the noted networks, and the time until now."""
        return {"networks": self.networks, "seconds": self.seconds()}

    def note(self, validation: float, model: keras.Model, test) -> None:
        """Note a network with its validation accuracy, and evaluate it on test images for free."""
        seconds, began = self.seconds(), time.process_time()
        accuracy = model.evaluate(test, return_dict=True, verbose=0)["accuracy"]
        self.networks.append({"seconds": seconds, "validation": validation, "test": accuracy})
        self._began += time.process_time() - began


class _Noted(keras.callbacks.Callback):
    """Notes the network after each epoch, with the averaged weights if there are any."""

    def __init__(self, clock: Clock, test):
        super().__init__()
        self._clock, self._test = clock, test

    def on_epoch_end(self, epoch, logs=None):
        averages = self.model.averages
        if averages is not None:
            averages.swap()
        self._clock.note(logs["val_accuracy"], self.model, self._test)
        if averages is not None:
            averages.swap()


class TimeIsUp(BaseException):
    """Ends KerasTuner's search, which handles every Exception itself."""


#: Runs a baseline: takes settings, data, and the most processor seconds.
Baseline = Callable[[SearchConfig, TrainingData, float], dict]


def follow(job: dict, baseline: Baseline | None) -> dict:
    """Run a race, or a baseline for the time that the job names.

    Returns:
        ``networks``: for each network, the processor ``seconds`` since the start and the accuracies
        on ``validation`` and ``test`` images; ``seconds``: the total.
    """
    config = SearchConfig(**job["settings"], data_dir=job["data_dir"]).resolved()
    data = TrainingData.load(config)
    if baseline is not None:
        return baseline(config, data, job["seconds"])
    clock = Clock()

    def noted(_) -> list[keras.callbacks.Callback]:
        return [_Noted(clock, data.batches("test", 256))]

    progress = SearchProgress(config.total_epochs, Console(file=io.StringIO()), "epoch")
    with tempfile.TemporaryDirectory() as folder, Run.create(Path(folder) / "run", config) as run:
        nodes = entrants(config, data)
        last = Race(run, data, nodes, progress, callbacks=noted).go()
        if last.best is not None:
            # The winner is made of trained networks, so no callback has seen it.
            network = load_network(run.best)
            network.compile(
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
            )
            clock.note(last.best.accuracy_validation, network, data.batches("test", 256))
    return clock.result()


def candidates_of(config: SearchConfig, data: TrainingData) -> list[Candidate]:
    """Return the candidates of a race; each fills half of the budget."""
    d = data.dataset
    return candidates(d.input_shape, d.classes, config.flops, config.candidate_depths)


def space_of(config: SearchConfig, data: TrainingData) -> dict[str, Architecture]:
    """Return the candidates of a race by label, each scaled to fill the whole budget."""
    found = candidates_of(config, data)
    return {c.label: scale_to_budget(c.architecture, int(config.flops)) for c in found}


def random_search(config: SearchConfig, data: TrainingData, limit: float) -> dict:
    """Train networks that fill ζ, drawn from the space with replacement, until the time is up."""
    clock, space = Clock(), space_of(config, data)
    for trainer, accuracy in _drawn(list(space.values()), config, data, clock, limit):
        clock.note(accuracy, trainer.model, trainer.unchanged("test"))
    return clock.result()


def random_pairs(config: SearchConfig, data: TrainingData, limit: float) -> dict:
    """Do the same with networks of ζ/2; join the best two on validation data, as a race does."""
    clock, space = Clock(), candidates_of(config, data)
    best: list[tuple[float, Trainer]] = []
    for trainer, accuracy in _drawn([c.architecture for c in space], config, data, clock, limit):
        best = sorted([*best, (accuracy, trainer)], key=lambda pair: -pair[0])[:TRUNKS]
        if len(best) == TRUNKS and any(trainer is kept for _, kept in best):
            networks = [kept.network for _, kept in best]
            architecture = side_by_side([kept.architecture for _, kept in best])
            pair = joined(architecture, networks, data, training_config(config))
            accuracy = pair.evaluate("validation")["accuracy"]
            clock.note(accuracy, pair.model, pair.unchanged("test"))
    return clock.result()


def _drawn(
    space: list[Architecture], config: SearchConfig, data: TrainingData, clock: Clock, limit: float
) -> Iterator[tuple[Trainer, float]]:
    """Train networks at random for T/3 epochs each, and yield trainer and validation accuracy.

    The last training begins before the clock has passed the limit.
    """
    random = np.random.default_rng(config.seed)
    for number in itertools.count():
        seed, epochs = 1_000 * config.seed + number, config.total_epochs // 3
        trainer, record = trained(space[random.integers(len(space))], data, config, epochs, seed)
        yield trainer, record["validation"]["accuracy"]
        if clock.seconds() > limit:
            return


def hyperband(config: SearchConfig, data: TrainingData, limit: float) -> dict:
    """Let KerasTuner choose networks and epochs until the time is up."""
    import keras_tuner

    clock, space = Clock(), space_of(config, data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        class Peer(keras_tuner.Tuner):
            """Trains the oracle's choice as a race trains in its trial."""

            def run_trial(self, trial, verbose):
                if clock.seconds() > limit:
                    raise TimeIsUp
                values = trial.hyperparameters.values
                before = folder / f"{values.get('tuner/trial_id')}.keras"
                accuracy, trainer = _continued(
                    space[values["network"]], data, config, values, before
                )
                trainer.save(folder / f"{trial.trial_id}.keras", for_resuming=True)
                clock.note(accuracy, trainer.model, trainer.unchanged("test"))
                return {"val_accuracy": accuracy}

        with contextlib.suppress(TimeIsUp):
            Peer(oracle_of(list(space), config), directory=folder / "tuner").search(verbose=0)
    return clock.result()


def oracle_of(networks: list[str], config: SearchConfig):
    """Return KerasTuner's Hyperband over networks, given by name, which never ends by itself.

    It draws networks with replacement. KerasTuner never draws the same values twice, and would stop
    after each network was drawn once. Therefore a seed, for initial weights and batches, is drawn
    with each network.
    """
    import keras_tuner

    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Choice("network", networks)
    hyperparameters.Int("seed", 0, 2**31 - 1)
    return keras_tuner.oracles.HyperbandOracle(
        keras_tuner.Objective("val_accuracy", "max"),
        max_epochs=round(SHARE * config.total_epochs),
        factor=FACTOR,
        hyperband_iterations=10**6,
        hyperparameters=hyperparameters,
        tune_new_entries=False,
        allow_new_entries=False,
        seed=config.seed,
    )


def _continued(
    architecture: Architecture, data: TrainingData, config: SearchConfig, values: dict, before: Path
) -> tuple[float, Trainer]:
    """Train a network from scratch, or from a file; return its validation accuracy, too."""
    keras.backend.clear_session()
    settings = training_config(
        config,
        epochs=values["tuner/epochs"] - values["tuner/initial_epoch"],
        ema=averaging_decay(len(data.split.train), config.batch_size),
    )
    trainer = Trainer(architecture, data, settings, values["seed"], regularized=False)
    if before.exists():
        source = load_network(before, True)
        inherit(trainer.network, source, None, trainer.optimizer, source.optimizer)
    seed = values["seed"] + values["tuner/initial_epoch"]
    record = trainer.fit(seed, regularize=False, test=False)
    return record["validation"]["accuracy"], trainer
