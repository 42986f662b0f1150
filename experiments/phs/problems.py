"""Beyond the thesis: settings of PHS, SGD and Adam for images, tabular data and text.

The three small problems need no download: 8×8 images of digits, the progression of diabetes from
ten numbers for each patient, and the next character of this repository's license. Each method's
settings are chosen by validation loss with seed 0. Test scores are over three seeds, with the
weights of the epoch that is best on validation data. The defaults of PHS are not tuned. Automatic
braking ends by itself, after at most three times the epochs of the other methods.

::

    python -m experiments.phs.problems --preset quick
    python -m experiments.phs.problems --preset thesis
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish, results_file, stored
from experiments.phs.small_problems import PROBLEMS, load
from experiments.phs.tuning import setting_of, with_best_setting
from resbuilder.common.cli import Command

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

# Rate and momentum. Those of PHS are given as for SGD; (0.01, 0.9) are the defaults of PHS.
METHODS = {
    "PHS, defaults": ((0.01, 0.9),),
    "PHS, automatic braking": ((0.015, 0.95), (0.05, 0.95)),
    "SGD with momentum": ((0.01, 0.9), (0.03, 0.9), (0.1, 0.9)),
    "Adam": ((1e-3, 0.9), (3e-3, 0.9), (1e-2, 0.9)),
}
AUTOMATIC = "PHS, automatic braking"
# Epochs (for automatic braking, which ends by itself, at most three times as many) and seeds.
PRESETS = {"quick": (3, 1), "thesis": (20, 3)}


def optimizer_of(job: dict) -> keras.optimizers.Optimizer:
    """Return the optimizer of a job."""
    import keras

    from phs_optimizer import PHS

    if job["method"] == "PHS, defaults":
        return PHS()
    if job["method"] == "Adam":
        return keras.optimizers.Adam(job["learning_rate"], beta_1=job["momentum"])
    make = PHS.from_sgd if job["method"] == AUTOMATIC else keras.optimizers.SGD
    return make(job["learning_rate"], momentum=job["momentum"])


def work(job: dict) -> dict:
    """Do one training, and return its best validation loss, that epoch, and the test score.

    Args:
        job: ``problem``, ``method``, ``learning_rate``, ``momentum``, ``seed``, ``epochs``.
    """
    import keras

    from phs_optimizer import GoalOrientedBraking

    problem = load(job["problem"])
    keras.utils.set_random_seed(job["seed"])
    network = [*problem.layers(), keras.layers.Dense(problem.outputs)]
    x, y = problem.parts["train"]
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype.name), *network])
    loss = "mse"
    if problem.outputs > 1:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer_of(job), loss, jit_compile=False, steps_per_execution=5)
    # With this patience it never stops the training; it only restores the best weights.
    callbacks = [keras.callbacks.EarlyStopping(patience=job["epochs"], restore_best_weights=True)]
    if job["method"] == AUTOMATIC:
        callbacks.insert(0, GoalOrientedBraking("auto", verbose=0))
    history = model.fit(
        x,
        y,
        problem.batch_size,
        epochs=job["epochs"],
        verbose=0,
        validation_data=problem.parts["validation"],
        validation_batch_size=1000,
        callbacks=callbacks,
    ).history["val_loss"]
    losses = np.where(np.isfinite(history), history, np.inf)
    return {
        "validation": float(losses.min()),
        "best_epoch": int(losses.argmin()) + 1,
        "epochs": len(history),
        "test": _score(model, *problem.parts["test"]),
    }


def _score(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Return the accuracy, or the explained variance, as a fraction."""
    import keras

    answer = keras.ops.convert_to_numpy(model(x))
    if answer.shape[1] == 1:
        return float(1 - np.mean((answer - y) ** 2) / np.var(y))
    return float(np.mean(answer.argmax(1) == y))


def jobs_of(preset: str, problem: str, method: str, settings, seeds) -> dict[str, dict]:
    """Return the settings of a method's trainings on a problem by name."""
    epochs = PRESETS[preset][0] * (3 if method == AUTOMATIC else 1)
    name = f"{problem.split()[0]}_{method.replace(',', '').replace(' ', '_').lower()}"
    return {
        f"{name}_{rate:g}_{momentum:g}_seed{seed}": {
            "problem": problem,
            "method": method,
            "learning_rate": rate,
            "momentum": momentum,
            "seed": seed,
            "epochs": epochs,
        }
        for (rate, momentum), seed in itertools.product(settings, seeds)
    }


def chosen(results: list[dict], problem: str, method: str) -> list[dict]:
    """Return a method's trainings with the setting that seed 0 chooses by validation loss."""
    ours = [r for r in results if (r["job"]["problem"], r["job"]["method"]) == (problem, method)]
    # A loss that was infinite in every epoch is stored as null.
    return with_best_setting(
        ours, lambda r: -math.inf if r["validation"] is None else -r["validation"]
    )


def groups_of(results: list[dict]) -> dict[str, dict[str, list[dict]]]:
    """Return the chosen trainings by problem and method."""
    groups = {
        problem: {method: chosen(results, problem, method) for method in METHODS}
        for problem in PROBLEMS
    }
    return {p: {m: found for m, found in of.items() if found} for p, of in groups.items()}


# The columns of :func:`settings_table`.
COLUMNS = {
    "problem": "data, and what the score measures",
    "rate η, momentum μ": "the chosen settings of SGD, to which those of PHS are equivalent; for "
    "Adam, learning rate and β₁",
    "long-run step η/(1 − μ)": "the step size of plain gradient descent that moves as fast",
    "test score in %": "at the best epoch; mean ± standard deviation over seeds",
    "best epoch, epochs": "the epoch with the lowest validation loss, and the length of the "
    "training, for each seed",
    "seeds": "number of trainings",
}


def settings_table(groups: dict[str, dict[str, list[dict]]]) -> str:
    """Return the table of chosen settings and test scores in percent."""
    from experiments.summary import percent_spread

    lines = [
        "| problem | optimizer | rate η, momentum μ | long-run step η/(1 − μ) | test score in % "
        "| best epoch | epochs | seeds |",
        "|---" * 8 + "|",
    ]
    for problem, of_problem in groups.items():
        for method, results in of_problem.items():
            rate, momentum = setting_of(results[0])
            step = "–" if method == "Adam" else f"{rate / (1 - momentum):.2g}"
            best, epochs = (
                ", ".join(str(r[name]) for r in results) for name in ("best_epoch", "epochs")
            )
            lines.append(
                f"| {problem} | {method} | {rate:g}, {momentum:g} | {step} "
                f"| {percent_spread([r['test'] for r in results])} "
                f"| {best} | {epochs} | {len(results)} |"
            )
    return "\n".join(lines) + "\n"


def scores(groups: dict[str, dict[str, list[dict]]]) -> Figure:
    """Draw the test scores of the chosen settings, seed by seed."""
    from matplotlib.figure import Figure

    from resbuilder.common.figures import BLUE

    figure = Figure(figsize=(10, 2.6), layout="constrained")
    for axes, (problem, of_problem) in zip(
        np.atleast_1d(figure.subplots(1, len(groups), sharey=True)), groups.items(), strict=True
    ):
        for y, results in enumerate(of_problem.values()):
            seeds = [100 * r["test"] for r in results]
            axes.plot(seeds, [y] * len(seeds), "o", color=BLUE, alpha=0.35, markersize=5)
            axes.plot(np.mean(seeds), y, "o", color=BLUE, markersize=7)
        axes.set_title(problem.replace(" (", "\n("), loc="left", fontsize=10)
        axes.set_yticks(range(len(METHODS)), list(METHODS))
        axes.set_ylim(len(METHODS) - 0.5, -0.5)
        axes.margins(x=0.1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E5E7EB", linewidth=0.7)
        axes.set_axisbelow(True)
    figure.supxlabel("test score in % (mean; pale: seeds)", fontsize=10)
    return figure


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    from experiments.phs.summary import page

    groups = {problem: of for problem, of in groups_of(stored(path)).items() if of}
    text = page(
        "PHS, SGD and Adam on three small problems",
        "Each method's settings are chosen by validation loss with seed 0; the defaults of PHS are "
        "not tuned. Automatic braking ends by itself, after at most three times the epochs of the "
        "others.",
        COLUMNS,
        settings_table(groups),
    )
    publish(path, scores(groups), text)


def expected_jobs(preset: str, running: Running) -> dict[str, dict]:
    """Return all jobs of a preset by name, with the settings that stored results choose.

    As long as the first seed has not chosen, the other seeds are listed with the first setting.
    The number of jobs does not depend on the choice.
    """
    path = results_file("phs/problems", preset, running)
    results = stored(path) if path.is_file() else []
    jobs: dict[str, dict] = {}
    for problem, method in itertools.product(PROBLEMS, METHODS):
        settings = METHODS[method]
        best = [*map(setting_of, chosen(results, problem, method)), settings[0]][:1]
        jobs |= jobs_of(preset, problem, method, settings, [0])
        jobs |= jobs_of(preset, problem, method, best, range(PRESETS[preset][1]))
    return jobs


EXPERIMENTS = (
    Experiment(
        jobs={"phs/problems": lambda preset: expected_jobs(preset, Running())},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "thesis": "7 minutes on one core"},
    ),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options("phs", seeds={name: seeds for name, (_, seeds) in PRESETS.items()})
def main(preset: str, running: Running) -> None:
    """Choose the settings with the first seed, train them with the others, and publish."""
    seeds = range(running.at_most(PRESETS[preset][1]))
    so_far: set[str] = set()

    def run(of_pair: Callable[[str, str], dict[str, dict]]) -> Path:
        for problem, method in itertools.product(PROBLEMS, METHODS):
            so_far.update(of_pair(problem, method))
        known = expected_jobs(preset, running)
        return measure("phs/problems", work, known, preset, running, only=so_far)

    path = run(lambda problem, method: jobs_of(preset, problem, method, METHODS[method], [0]))
    results = stored(path)

    def others(problem: str, method: str) -> dict[str, dict]:
        best = [setting_of(chosen(results, problem, method)[0])]
        return jobs_of(preset, problem, method, best, seeds)

    publish_from(run(others))


if __name__ == "__main__":
    main()
