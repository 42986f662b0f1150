"""KerasTuner's Hyperband over the space of a search, with the search's way of training."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import replace

import keras

from experiments.resbuilder.random_search import INNER, STARTS
from resbuilder import Architecture, SearchConfig
from resbuilder.start_network import start_architecture
from resbuilder.surgery import insert_block, insertion_positions, scale_to_budget
from resbuilder.training import Trainer, TrainingData

# Most blocks added to a stage of the start; and Hyperband's factor, which is KerasTuner's default.
BLOCKS, FACTOR = 2, 3


def hyperband(job: dict, config: SearchConfig) -> dict:
    """Let KerasTuner choose networks and epochs until the time is up.

    Args:
        job: ``seconds``: the processor time; ``epochs``: the most epochs of a network.
        config: Data, budget, and how to train.

    Returns:
        ``networks``: for each training, the processor ``seconds`` since the start and the
        accuracies on ``validation`` and ``test`` images; ``seconds``: the total.
    """
    import keras_tuner

    data, clock = TrainingData.load(config), _Time(job["seconds"])
    networks, weights = [], {}

    class Peer(keras_tuner.Tuner):
        """Trains the oracle's choice as a search trains its No-Reg networks."""

        def run_trial(self, trial, verbose):
            if clock.over():
                raise keras_tuner.errors.FatalError("the time is up")
            values, number = trial.hyperparameters.values, len(networks)
            epochs = values["tuner/epochs"] - values["tuner/initial_epoch"]
            keras.backend.clear_session()
            trainer = Trainer(
                network_of(values, config, data),
                data,
                replace(config, epochs=epochs),
                config.seed + number,
                regularized=False,
            )
            before = weights.get(values.get("tuner/trial_id"), trainer.network.get_weights())
            trainer.network.set_weights(before)
            record = trainer.fit(1_000 * config.seed + number, regularize=False)
            with clock.twice_free():  # fit evaluates the test images, too
                trainer.evaluate("test")
            weights[trial.trial_id] = trainer.network.get_weights()
            score = {part: record[part]["accuracy"] for part in ("validation", "test")}
            networks.append({"seconds": clock.seconds()} | score)
            return {"val_accuracy": score["validation"]}

    oracle = keras_tuner.oracles.HyperbandOracle(
        keras_tuner.Objective("val_accuracy", "max"),
        max_epochs=job["epochs"],
        factor=FACTOR,
        hyperband_iterations=10**6,
        hyperparameters=space(keras_tuner.HyperParameters(), config, data),
        tune_new_entries=False,
        allow_new_entries=False,
        seed=config.seed,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.suppress(keras_tuner.errors.FatalError),
    ):
        Peer(oracle, directory=folder).search(verbose=0)
    return {"networks": networks, "seconds": clock.seconds()}


class _Time:
    """Processor time since its creation, without the parts that are free."""

    def __init__(self, limit: float):
        self._began, self._limit = time.process_time(), limit

    def seconds(self) -> float:
        return time.process_time() - self._began

    def over(self) -> bool:
        return self.seconds() > self._limit

    @contextlib.contextmanager
    def twice_free(self):
        began = time.process_time()
        yield
        self._began += 2 * (time.process_time() - began)


def space(hyperparameters, config: SearchConfig, data: TrainingData):
    """Add the start, the blocks of each stage and their inner widths to ``hyperparameters``."""
    hyperparameters.Choice("start", STARTS)
    starts = (start_architecture(replace(config, start=s), data.dataset) for s in STARTS)
    for stage in range(max(len(start.stages) for start in starts)):
        hyperparameters.Int(f"blocks_{stage}", 0, BLOCKS)
        hyperparameters.Choice(f"inner_{stage}", INNER)
    return hyperparameters


def network_of(values: dict, config: SearchConfig, data: TrainingData) -> Architecture:
    """Return the architecture that values of the space describe, scaled to the budget."""
    architecture = start_architecture(replace(config, start=values["start"]), data.dataset)
    for stage in range(len(architecture.stages)):
        for number in range(values[f"blocks_{stage}"]):
            *_, last = (p for p in insertion_positions(architecture) if p.stage == stage)
            architecture = insert_block(architecture, last, f"n{stage}_{number}")
    widths, convolutions = architecture.widths(), architecture.block_convolutions()
    inner = {
        first: max(1, round(widths[second] * values[f"inner_{stage}"]))
        for stage, content in enumerate(architecture.stages)
        for first, second in (convolutions[block.name] for block in content.blocks)
    }
    return scale_to_budget(architecture.with_widths(inner), int(config.flops))
