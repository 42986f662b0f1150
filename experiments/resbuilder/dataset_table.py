"""Table 6.1: presets, jobs, the command of a dataset, and the tables of its results."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.jobs import seed_of
from experiments.measuring import measure, publish, stored
from experiments.resbuilder.columns import (
    COLUMNS,
    FROM_SCRATCH,
    RANDOM,
    SEARCH,
    column_job,
    measure_column,
)
from experiments.summary import percent_spread
from experiments.thesis import table as printed_table
from resbuilder.common.cli import Command
from resbuilder.common.words import count

DATASETS = ("mnist", "fashion_mnist", "emnist", "cifar10", "cifar100", "smallnorb", "animals10")
NAMES = {
    "animals10": "Animals10",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "emnist": "EMNIST",
    "smallnorb": "SmallNORB",
}
# LayerLasso for trainings of some 250 steps. With the thesis' 1e-8 and 1e-3, no weight would fall
# below the threshold in that time, and no block would ever be removed. τ_Λ must stay below 8e-3,
# the initial mean |w| of the last convolution of an inserted block.
SHORT = {"lambda_layer": 1e-4, "tau_layer": 5e-3}
# Seeds, and settings of SearchConfig. ζ is 1.2 to 1.6 times the FLOPs of ResNet-18 of that width
# (thesis: 1.4). MorphNet's term is proportional to FLOPs, so λ_M·ζ is 10 at the laptop preset, as
# in the thesis.
PRESETS = {
    "quick": (
        1,
        {
            "epochs": 1,
            "batch_size": 64,
            "train_limit": 600,
            "width": 8,
            "flops": 1.5e6,
            "rounds": 1,
            "insertions": 1,
            "lambda_morphnet": 2e-5,
        }
        | SHORT,
    ),
    "laptop": (
        3,
        {
            "epochs": 2,
            "batch_size": 32,
            "train_limit": 5_000,
            "width": 12,
            "flops": 4e6,
            "rounds": 2,
            "insertions": 2,
            "lambda_morphnet": 2.5e-6,
        }
        | SHORT,
    ),
    "thesis": (
        3,
        {
            "epochs": 20,
            "batch_size": 128,
            "train_limit": None,
            "width": 64,
            "flops": 1e8,
            "rounds": 7,
            "insertions": 4,
            "lambda_morphnet": 1e-7,
        },
    ),
}
SEEDS = {name: seeds for name, (seeds, _) in PRESETS.items()}
# The thesis' columns of Table 6.1 by our columns.
THESIS_COLUMNS = {
    "res18": "res18_percent",
    "morphnet": "morphnet_percent",
    "rb-r18": "rb_r18_percent",
    "rb-0net": "rb_0net_percent",
}


def thesis_cell(dataset: str, column: str) -> str:
    """Return a cell of Table 6.1 as printed, or why the table does not have it.

    Args:
        dataset: A name from :data:`DATASETS`.
        column: A key of :data:`.columns.COLUMNS`.
    """
    if column not in THESIS_COLUMNS:
        return "no such column"
    rows = {row["dataset"]: row for row in printed_table("6_1")}
    return rows[dataset][THESIS_COLUMNS[column]] if dataset in rows else "no such row"


def table_jobs(
    dataset: str, preset: str, batch_size: int = 128, budget: float = 1.0
) -> dict[str, dict]:
    """Return the settings of all jobs of a dataset by name, seed by seed; one job is one column.

    Args:
        dataset: Name of the dataset.
        preset: A key of :data:`PRESETS`.
        batch_size: Largest batch size for this dataset.
        budget: Factor on ζ for this dataset.
    """
    seeds, settings = PRESETS[preset]
    settings = settings | {
        "dataset": dataset,
        "batch_size": min(batch_size, settings["batch_size"]),
        "flops": budget * settings["flops"],
    }
    # The longest jobs first, so that no worker waits for one at the end of a seed.
    names = sorted(COLUMNS, key=lambda name: COLUMNS[name].kind not in (SEARCH, RANDOM))
    return {
        f"{name}_seed{seed}": column_job(name, settings | {"seed": seed}, preset != "thesis")
        for seed in range(seeds)
        for name in names
    }


def table_command(dataset: str, batch_size: int = 128, budget: float = 1.0) -> click.Command:
    """Return the command of a dataset's script; for the arguments see :func:`table_jobs`."""

    @click.command(cls=Command, help=f"Table 6.1: measure the row of {NAMES[dataset]}.")
    @standard_options("resbuilder", *PRESETS, seeds=SEEDS, mirrored=True)
    def main(preset: str, running: Running) -> None:
        name = f"resbuilder/{dataset}"
        work = partial(measure_column, searches=running.searches(name, preset))
        jobs = table_jobs(dataset, preset, batch_size, budget)
        # Seed by seed, so that an interruption leaves complete seeds.
        for seed in range(running.at_most(PRESETS[preset][0])):
            only = [k for k, job in jobs.items() if seed_of(job) <= seed]
            publish_from(measure(name, work, jobs, preset, running, only))

    return main


def table_experiment(
    dataset: str,
    batch_size: int = 128,
    budget: float = 1.0,
    laptop: str = "hours on 2 cores (estimate)",
) -> Experiment:
    """Return what a dataset's script stores.

    Args:
        dataset: Name of the dataset.
        batch_size: Largest batch size for this dataset.
        budget: Factor on ζ for this dataset.
        laptop: How long the laptop preset takes.
    """
    return Experiment(
        jobs={
            f"resbuilder/{dataset}": partial(
                table_jobs, dataset, batch_size=batch_size, budget=budget
            )
        },
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "laptop": laptop, "thesis": "needs a GPU"},
    )


def publish_from(path: Path) -> None:
    """Write the tables and the figure next to a results file."""
    from experiments.resbuilder.figure import draw

    results = stored(path)
    publish(path, draw(by_column(results)), markdown(results))


def by_column(results: list[dict]) -> dict[str, list[dict]]:
    """Return the results of all seeds by column, in the order of the table."""
    groups = {name: [r for r in results if r["job"]["column"] == name] for name in COLUMNS}
    return {name: group for name, group in groups.items() if group}


def markdown(results: list[dict]) -> str:
    """Return both tables: one with the thesis' numbers, and one at equal epochs."""
    return "\n".join((_about(results), _with_thesis(results), _equal_epochs(results)))


def _about(results: list[dict]) -> str:
    from resbuilder.report.style import si

    s = max((r["job"]["settings"] for r in results), key=lambda s: s["insertions"])
    seeds = sorted({r["job"]["settings"]["seed"] for r in results})
    images = f"{s['train_limit']:,} training images" if s["train_limit"] else "all training images"
    return (
        f"{NAMES[s['dataset']]}: ζ = {si(s['flops'])}FLOPs; {images}, validation included; "
        f"trainings of {count(s['epochs'], 'epoch')} in batches of {s['batch_size']}; "
        f"searches with n_M = {s['rounds']}, n_Λ = {s['insertions']}, "
        f"λ_M = {s['lambda_morphnet']:g} and {s['width']} channels at the start. "
        "Test accuracy in %, mean ± standard deviation over "
        f"{count(len(seeds), 'seed')}. "
        "The thesis: ζ = 1e8 (cells with *: 1e9), 20 epochs, all images.\n"
    )


def _with_thesis(results: list[dict]) -> str:
    lines = [
        "Networks with the weights of the search (given networks: after one training)\n",
        "| | thesis, Table 6.1 | best on test, RI or WI (as the thesis chooses) | chosen on "
        "validation | epochs of these weights, by seed | total trainings, by seed |",
        "|---|---|---|---|---|---|",
    ]
    for name, group in by_column(results).items():
        dataset = group[0]["job"]["settings"]["dataset"]
        cell = thesis_cell(dataset, name)
        if group[0]["searched"] is None:
            behind = group[0][FROM_SCRATCH][0]["epochs"], 1
        else:
            searched = [r["searched"] for r in group]
            behind = (
                ", ".join(str((s["found"] or {}).get("epochs", "–")) for s in searched),
                ", ".join(str(s["trainings"]) for s in searched),
            )
        row = COLUMNS[name].title, cell, best_on_test(group), accuracy(group), *behind
        lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join(lines) + "\n"


def accuracy(group: list[dict]) -> str:
    """Return the test accuracy of a column, mean ± standard deviation over seeds.

    For a search, it is that of the network chosen on validation data, with the weights of the
    search; for a given network, that after one training.
    """
    if group[0]["searched"] is None:
        return _accuracies([r[FROM_SCRATCH][0]["test"] for r in group])
    return _accuracies([(r["searched"]["found"] or {}).get("test") for r in group])


def best_on_test(group: list[dict]) -> str:
    """Return the best test accuracy of any training of a search, as the thesis chooses."""
    if group[0]["searched"] is None:
        return "–"
    return _accuracies([r["searched"]["best_on_test"] for r in group])


def _equal_epochs(results: list[dict]) -> str:
    import numpy as np

    from resbuilder.report.style import si

    epochs = [a["epochs"] for a in max((r[FROM_SCRATCH] for r in results), key=len)]
    lines = [
        "The architectures alone, trained from scratch: the same epochs in every row\n",
        "| | FLOPs | parameters | depth | " + " | ".join(f"{e} epochs" for e in epochs) + " |",
        "|---" * (4 + len(epochs)) + "|",
    ]
    for name, group in by_column(results).items():
        there = [r for r in group if r[FROM_SCRATCH]]
        sizes = (
            [si(float(np.mean([r[key] for r in there]))) for key in ("flops", "parameters")]
            + [", ".join(dict.fromkeys(str(r["depth"]) for r in there))]
            if there
            else ["–"] * 3
        )
        curve = [
            _accuracies(
                [r[FROM_SCRATCH][number]["test"] if r[FROM_SCRATCH] else None for r in group]
            )
            for number in range(len(epochs))
        ]
        lines.append(f"| {' | '.join((COLUMNS[name].title, *sizes, *curve))} |")
    return "\n".join(lines) + "\n"


def _accuracies(shares: list[float | None]) -> str:
    """Format mean ± deviation, with the number of seeds if some have no network within budget."""
    there = [share for share in shares if share is not None]
    if not there:
        return "no network within ζ"
    missing = "" if len(there) == len(shares) else f" ({len(there)} of {len(shares)} seeds)"
    return percent_spread(there) + missing
