"""Accuracy over processor time: a race beside KerasTuner's Hyperband over the same space.

::

    python -m experiments.resbuilder.race_anytime --preset laptop

Hyperband chooses among the race's candidates and has the race's options: the same batches,
optimizer, smoothed labels and averaged weights, at a constant rate, and networks that go on keep
weights and optimizer state. A network has at most 0.6·T epochs, about as many as the race's winner.
It goes on until it has had the processor time of the race.

A method has at a time what it would give if it were stopped then: the network that is best on
validation images so far, told by its accuracy on test images. The winner's cooldown counts from the
epoch in which it overtakes what was best before. The time that test images take is not counted.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from pathlib import Path

import click
import keras
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from experiments.command import Running, measure, publish, standard_options, stored
from experiments.phs.summary import spread
from experiments.resbuilder.race import PRESETS
from resbuilder import SearchConfig
from resbuilder.common.cli import Command
from resbuilder.common.figures import BLUE, GREY, ORANGE, styled
from resbuilder.model import load_network
from resbuilder.pipeline.race import Race, RaceTrainings, entrants
from resbuilder.progress import SearchProgress
from resbuilder.race import candidates, training_config
from resbuilder.report.style import new_figure, percent_axis, si
from resbuilder.run import Run
from resbuilder.surgery import inherit
from resbuilder.training import Trainer, TrainingData

RACE, HYPERBAND = METHODS = ("race", "Hyperband")
DATASET, FACTOR, SHARE = "cifar10", 3, 0.6


class Clock:
    """Processor time since it was made, without what test images took."""

    def __init__(self):
        self._began = time.process_time()
        self.networks: list[dict] = []

    def seconds(self) -> float:
        """Return the time."""
        return time.process_time() - self._began

    def note(self, validation: float, model: keras.Model, test) -> None:
        """Note a network with its validation accuracy; evaluate it on test images, for free."""
        seconds, began = self.seconds(), time.process_time()
        accuracy = model.evaluate(test, return_dict=True, verbose=0)["accuracy"]
        self.networks.append({"seconds": seconds, "validation": validation, "test": accuracy})
        self._began += time.process_time() - began


class _Noted(keras.callbacks.Callback):
    """Notes the network after each epoch that ends with the weights it would give."""

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


class _FollowedTrainings(RaceTrainings):
    clock: Clock

    def _callbacks(self, node, variant, what, config):
        test = self.data.batches("test", 256)
        return [*super()._callbacks(node, variant, what, config), _Noted(self.clock, test)]


def follow(job: dict) -> dict:
    """Run a method.

    Returns:
        ``networks``: of each that it had the processor ``seconds`` since the beginning, accuracies
        on ``validation`` and ``test`` images; ``seconds`` in all.
    """
    config = SearchConfig(**job["settings"], data_dir=job["data_dir"]).resolved()
    data = TrainingData.load(config)
    if job["method"] == HYPERBAND:
        return hyperband(config, data, job["seconds"])
    clock = Clock()
    progress = SearchProgress(config.total_epochs, Console(file=io.StringIO()), "epoch")
    with tempfile.TemporaryDirectory() as folder, Run.create(Path(folder) / "run", config) as run:
        race = Race(run, data, entrants(config, data), progress)
        trainings = _FollowedTrainings(run, data, None)
        trainings.clock = clock
        race.trainings = trainings
        race.background.ways = race.background.ways._replace(alone=trainings.train)
        race.go()
    return {"networks": clock.networks, "seconds": clock.seconds()}


def hyperband(config: SearchConfig, data: TrainingData, limit: float) -> dict:
    """Let KerasTuner choose networks and epochs until the time is over."""
    import keras_tuner

    d, clock = data.dataset, Clock()
    space = {
        c.label: c.architecture
        for c in candidates(d.input_shape, d.classes, config.flops, config.candidate_depths)
    }
    ema = 1 - 1 / -(-len(data.split.train) // config.batch_size)
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(keras_tuner.errors.FatalError):
        folder = Path(name)

        class Peer(keras_tuner.Tuner):
            """Trains what the oracle chooses as a race trains in a rung."""

            def run_trial(self, trial, verbose):
                if clock.seconds() > limit:
                    raise keras_tuner.errors.FatalError("the time is over")
                values, number = trial.hyperparameters.values, len(clock.networks)
                epochs = values["tuner/epochs"] - values["tuner/initial_epoch"]
                keras.backend.clear_session()
                trainer = Trainer(
                    space[values["network"]],
                    data,
                    training_config(config, epochs=epochs, ema=ema),
                    config.seed + number,
                    regularized=False,
                )
                before = folder / f"{values.get('tuner/trial_id')}.keras"
                if before.exists():
                    source = load_network(before, True)
                    inherit(trainer.network, source, None, trainer.optimizer, source.optimizer)
                record = trainer.fit(1_000 * config.seed + number, regularize=False, test=False)
                trainer.save(folder / f"{trial.trial_id}.keras", to_go_on=True)
                accuracy = record["validation"]["accuracy"]
                clock.note(accuracy, trainer.model, trainer.unchanged("test"))
                return {"val_accuracy": accuracy}

        hyperparameters = keras_tuner.HyperParameters()
        hyperparameters.Choice("network", list(space))
        oracle = keras_tuner.oracles.HyperbandOracle(
            keras_tuner.Objective("val_accuracy", "max"),
            max_epochs=round(SHARE * config.total_epochs),
            factor=FACTOR,
            hyperband_iterations=10**6,
            hyperparameters=hyperparameters,
            tune_new_entries=False,
            allow_new_entries=False,
            seed=config.seed,
        )
        Peer(oracle, directory=folder / "tuner").search(verbose=0)
    return {"networks": clock.networks, "seconds": clock.seconds()}


def best_so_far(result: dict, times: np.ndarray) -> np.ndarray:
    """Return the test accuracy at each time of what is best on validation images; NaN before."""
    accuracy, best = np.full(len(times), np.nan), -1.0
    for network in result["networks"]:
        if network["validation"] > best:
            best = network["validation"]
            accuracy[times >= network["seconds"]] = network["test"]
    return accuracy


def curves(results: list[dict]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return times up to the end of the shortest race, and accuracies (seeds, times)."""
    end = min(r["seconds"] for r in results if r["job"]["method"] == RACE)
    times = np.linspace(0, end, 301)
    grouped = {m: [r for r in results if r["job"]["method"] == m] for m in METHODS}
    return times, {
        m: np.stack([best_so_far(r, times) for r in group]) for m, group in grouped.items() if group
    }


def markdown(results: list[dict]) -> str:
    """What each method has at some times, and how far the race is ever behind."""
    times, found = curves(results)
    shown = [round(share * (len(times) - 1)) for share in (0.1, 0.25, 0.5, 0.75, 1)]
    lines = [
        f"| test accuracy, % | {' | '.join(f'{times[i]:.0f} s' for i in shown)} |",
        "|---" * (1 + len(shown)) + "|",
    ]
    for method, accuracy in found.items():
        columns = (accuracy[:, i] for i in shown)
        cells = ["nothing yet" if np.isnan(c).any() else spread(list(c)) for c in columns]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    s = results[0]["job"]["settings"]
    text = "\n".join(lines) + (
        f"\n\n{s['dataset']}, ζ = {si(s['flops'])}FLOPs, T = {s['total_epochs']} epochs; processor "
        "seconds on one core; mean ± standard deviation over seeds.\n"
    )
    if len(found) == 2:
        late = times >= times[-1] / 10
        ours, theirs = (np.nan_to_num(found[m]).mean(0)[late] for m in METHODS)
        text += (
            f"After the first tenth of the time the race is above Hyperband for "
            f"{(ours > theirs).mean():.0%} of it, and at worst {100 * (ours - theirs).min():+.2f} "
            "points away.\n"
        )
    return text


def draw(results: list[dict]) -> Figure:
    """Test accuracy over time: mean, and every seed."""
    times, found = curves(results)
    with styled():
        figure = new_figure(4.0)
        axes = figure.subplots()
        for (method, accuracy), color in zip(found.items(), (BLUE, ORANGE), strict=False):
            axes.plot(times, accuracy.T, color=color, alpha=0.35, linewidth=0.8)
            axes.plot(times, accuracy.mean(axis=0), color=color, linewidth=2, label=method)
        axes.axvline(times[-1] / 10, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel("processor seconds (dotted: a tenth of the time)")
        axes.set_title("Test accuracy of the network that is best on validation images so far")
        percent_axis(axes.yaxis)
        axes.legend(loc="lower right")
    return figure


def publish_from(path: Path) -> None:
    """Writes table and figure beside a file of results."""
    results = stored(path)
    publish(path, draw(results), markdown(results))


@click.command(cls=Command, help="A race beside KerasTuner's Hyperband over the same space.")
@standard_options("resbuilder", *PRESETS)
def main(preset: str, running: Running) -> None:
    seeds, settings = PRESETS[preset]
    jobs = {
        f"race_seed{seed}": {
            "method": RACE,
            "settings": settings | {"dataset": DATASET, "seed": seed, "method": "race"},
        }
        for seed in seeds
    }
    name, work = "resbuilder/race_anytime", follow
    path = measure(name, work, jobs, preset, running)
    races = {r["job"]["settings"]["seed"]: r for r in stored(path) if r["job"]["method"] == RACE}
    jobs |= {
        f"hyperband_seed{seed}": {
            "method": HYPERBAND,
            "seconds": round(races[seed]["seconds"]),
            "settings": jobs[f"race_seed{seed}"]["settings"],
        }
        for seed in seeds
    }
    publish_from(measure(name, work, jobs, preset, running))


if __name__ == "__main__":
    main()
