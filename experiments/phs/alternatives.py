"""Beyond the thesis: alternatives to braking, SGD and Adam with learning-rate schedules.

Cosine and step decay must know the end of the training; ReduceLROnPlateau, Schedule-Free SGD and
automatic braking need not. Each method's rate and momentum are chosen with seed 0 by the validation
accuracy of the weights that a training ends with: those of its last epoch, or with automatic
braking those of its best. Test accuracy is reported over all seeds, for these weights and for the
best epoch by validation. All methods have the same network, data, batches
and epochs, except that automatic braking ends by itself, after at most twice as many epochs. The
table adds the rows of Tables 3.1 and 3.2 that validation accuracy would choose; a column gives the
epochs of each training.

::

    python -m experiments.phs.alternatives fashion_mnist --preset thesis
    python -m experiments.phs.alternatives cifar10 --preset thesis
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish, results_file, stored
from experiments.phs.rows import TITLES
from experiments.phs.tuning import setting_of, with_best_setting
from resbuilder.common.cli import Command

# Pairs of rate and momentum: long-run steps of 0.1 to 1 …
SGD = ((0.01, 0.9), (0.03, 0.9), (0.003, 0.99))
ADAM = ((3e-4, 0.9), (1e-3, 0.9), (3e-3, 0.9))
# … where Schedule-Free SGD has no momentum in that sense: its rate is the long-run step.
FREE = ((0.1, 0.9), (0.3, 0.9), (1.0, 0.9))
# Braking twice divides the long-run step by 1 / (1 − momentum). ``experiments.phs.automatic`` chose
# this momentum.
PHS = ((0.005, 0.95), (0.015, 0.95), (0.05, 0.95))
# Method: optimizer, schedule, pairs to try.
METHODS = {
    "SGD, cosine": ("sgd", "cosine", SGD),
    "Schedule-Free SGD": ("schedule_free", "constant", FREE),
    "PHS, automatic braking": ("phs", "automatic", PHS),
    "SGD, ReduceLROnPlateau": ("sgd", "plateau", SGD),
    "Adam, cosine": ("adam", "cosine", ADAM),
    "SGD, step decay": ("sgd", "step", SGD),
    "Adam": ("adam", "constant", ADAM),
}
# Training images (None: all), epochs, seeds.
PRESETS = {"quick": (10_000, 4, 2), "thesis": (None, 30, 3)}
# Automatic braking ends by itself, at the latest after this many times the epochs of the others.
AUTOMATIC = 2


def jobs_of(dataset: str, preset: str, method: str, pairs, seeds) -> dict[str, dict]:
    """Return the settings of one method's trainings by name."""
    limit, epochs, _ = PRESETS[preset]
    optimizer, schedule, _ = METHODS[method]
    return {
        f"{optimizer}_{schedule}_{rate:g}_{momentum:g}_seed{seed}": {
            "method": method,
            "dataset": dataset,
            "limit": limit,
            "seed": seed,
            "batch_size": 128,
            "epochs": epochs * (AUTOMATIC if schedule == "automatic" else 1),
            "optimizer": optimizer,
            "schedule": schedule,
            "learning_rate": rate,
            "momentum": momentum,
        }
        for (rate, momentum), seed in itertools.product(pairs, seeds)
    }


def work(job: dict) -> dict:
    """Do one job of any method."""
    from experiments.phs.schedule_free import with_schedule_free
    from experiments.phs.trainings import with_automatic_braking, with_other_optimizer

    kinds = {"schedule_free": with_schedule_free, "phs": with_automatic_braking}
    return kinds.get(job["optimizer"], with_other_optimizer)(job)


def best_validation(history: list[dict]) -> float:
    """Return the best validation accuracy of a training; a diverged epoch counts as 0."""
    return max(epoch["val_accuracy"] or 0 for epoch in history)


def final_validation(result: dict) -> float:
    """Return the validation accuracy of the weights that a training ends with."""
    last = best_validation(result["history"][-1:])
    return result.get("final", {}).get("validation", last)  # automatic braking restores the best


def chosen(results: list[dict], method: str) -> list[dict]:
    """Return a method's trainings with the rate and momentum that seed 0 chooses by validation.

    Args:
        results: Results of all methods.
        method: A name in :data:`METHODS`.

    Returns:
        One result for each finished seed; none without seed 0.
    """
    of_method = [r for r in results if r["job"]["method"] == method]
    return with_best_setting(of_method, final_validation)


def of_table(path: Path) -> dict[str, list[dict]]:
    """Return the table's rows without and with braking that seed 0 chooses by validation accuracy.

    Args:
        path: File of results of the dataset's table. Without it, the result is empty.
    """
    from experiments.phs.table import pairs_in

    kinds = zip(*pairs_in(path), strict=True)
    return {
        name: [
            {"history": history}
            for history in max(rows, key=lambda m: best_validation(m.histories[0])).histories
        ]
        for name, rows in zip(("PHS, no braking", "PHS, braked at a goal"), kinds, strict=False)
    }


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    from experiments.phs import figures
    from experiments.phs.summary import COLUMNS, markdown_of, page

    results = stored(path)
    dataset = results[0]["job"]["dataset"]
    groups = {method: chosen(results, method) for method in METHODS}
    groups |= of_table(path.with_name(f"{dataset}.json"))
    groups = {name: found for name, found in groups.items() if found}
    text = page(
        f"Alternatives to braking: LeNet on {TITLES[dataset]}",
        "Each method's rate and momentum are chosen with seed 0, by the validation accuracy of the "
        "weights that a training ends with.",
        COLUMNS,
        markdown_of(groups),
    )
    publish(path, figures.methods(groups), text)


def expected_jobs(dataset: str, preset: str, running: Running) -> dict[str, dict]:
    """Return all jobs of a preset by name, with rate and momentum as stored results choose them.

    As long as the first seed has not chosen, the other seeds are listed with the first pair. The
    number of jobs does not depend on the choice.
    """
    path = results_file(f"phs/alternatives_{dataset}", preset, running)
    results = stored(path) if path.is_file() else []
    jobs: dict[str, dict] = {}
    for method, (_, _, pairs) in METHODS.items():
        best = [*map(setting_of, chosen(results, method)), pairs[0]][:1]
        jobs |= jobs_of(dataset, preset, method, pairs, [0])
        jobs |= jobs_of(dataset, preset, method, best, range(PRESETS[preset][2]))
    return jobs


def _experiment(dataset: str, thesis: str) -> Experiment:
    return Experiment(
        jobs={f"phs/alternatives_{dataset}": partial(expected_jobs, dataset, running=Running())},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "thesis": thesis},
        arguments=dataset,
    )


EXPERIMENTS = (
    _experiment("fashion_mnist", "2.2 hours on one core"),
    _experiment("cifar10", "3 hours on one core"),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@click.argument("dataset", type=click.Choice(["fashion_mnist", "cifar10"]))
@standard_options("phs", seeds={name: seeds for name, (*_, seeds) in PRESETS.items()})
def main(dataset: str, preset: str, running: Running) -> None:
    """Tune each method with the first seed, train the choice with the others, and publish."""
    seeds = range(running.at_most(PRESETS[preset][2]))
    so_far: set[str] = set()

    def run(jobs: dict[str, dict]) -> Path:
        so_far.update(jobs)
        known = expected_jobs(dataset, preset, running)
        return measure(f"phs/alternatives_{dataset}", work, known, preset, running, only=so_far)

    for method, (_, _, pairs) in METHODS.items():
        path = run(jobs_of(dataset, preset, method, pairs, [0]))
        best = [setting_of(chosen(stored(path), method)[0])]
        publish_from(run(jobs_of(dataset, preset, method, best, seeds)))


if __name__ == "__main__":
    main()
