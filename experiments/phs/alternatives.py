"""What a user would pick instead of braking: SGD with momentum and a schedule, and Adam.

Each method's learning rate and momentum are chosen with one seed by validation accuracy; the test
accuracy is of all seeds. Same network, data, batches and epochs as Tables 3.1 and 3.2, whose rows,
chosen in the same way, stand beside; those without braking are SGD with a constant rate.

::

    python -m experiments.phs.alternatives fashion_mnist --preset thesis
    python -m experiments.phs.alternatives cifar10 --preset thesis
"""

import itertools
from pathlib import Path

import click

from experiments.command import measure, publish, standard_options, stored
from experiments.phs import figures
from experiments.phs.summary import markdown_of
from experiments.phs.trainings import KNOWN_ROW, with_other_optimizer

# Method: optimizer, schedule, learning rates, momenta. SGD's rates are (1 − momentum) times a
# long-run step of 0.01 or 0.02, around the one of the tables' known row.
METHODS = {
    "SGD, step decay": ("sgd", "step", ((1e-3, 0.9), (2e-3, 0.9), (1e-4, 0.99))),
    "SGD, cosine": ("sgd", "cosine", ((1e-3, 0.9), (2e-3, 0.9), (1e-4, 0.99))),
    "Adam": ("adam", "constant", ((3e-4, 0.9), (1e-3, 0.9))),
}
# Training images (None: all), epochs, seeds.
PRESETS = {"quick": (10_000, 4, 2), "thesis": (None, 8, 3)}


def jobs_of(dataset: str, preset: str, method: str, rates, seeds) -> dict[str, dict]:
    """Settings of one method's trainings, by name."""
    limit, epochs, _ = PRESETS[preset]
    optimizer, schedule, _ = METHODS[method]
    return {
        f"{optimizer}_{schedule}_{rate:g}_{momentum:g}_seed{seed}": {
            "method": method,
            "dataset": dataset,
            "limit": limit,
            "seed": seed,
            "batch_size": 4,
            "epochs": epochs,
            "optimizer": optimizer,
            "schedule": schedule,
            "learning_rate": rate,
            "momentum": momentum,
        }
        for (rate, momentum), seed in itertools.product(rates, seeds)
    }


def best_validation(history: list[dict]) -> float:
    """The best validation accuracy of a training; 0 where it diverged."""
    return max(epoch["val_accuracy"] or 0 for epoch in history)


def of_table(path: Path) -> dict[str, list[dict]]:
    """The rows without and with braking that seed 0 would choose by validation accuracy.

    Args:
        path: Results of the dataset's table; where there are none, there are no rows.
    """
    if not path.exists():
        return {}
    rows: dict[str, dict[tuple, list[dict]]] = {"PHS, no braking": {}, "PHS, braked": {}}
    for entry in stored(path):
        dynamics = tuple(entry["job"][name] for name in KNOWN_ROW)
        free, braked = rows.values()
        free.setdefault(dynamics, []).append({"history": entry["unbraked"]})
        for run in entry["braked"]:
            braked.setdefault((*dynamics, run["target"], run["factor"]), []).append(run)
    return {
        kind: max(runs.values(), key=lambda seeds: best_validation(seeds[0]["history"]))
        for kind, runs in rows.items()
    }


def publish_from(path: Path) -> None:
    """Writes table and figure beside a file of results."""
    results = stored(path)
    groups = of_table(path.with_name(f"{results[0]['job']['dataset']}.json"))
    groups |= {m: [r for r in results if r["job"]["method"] == m] for m in METHODS}
    publish(path, figures.methods(groups), markdown_of(groups))


@click.command(help=__doc__.splitlines()[0])
@click.argument("dataset", type=click.Choice(["fashion_mnist", "cifar10"]))
@standard_options()
def main(dataset, preset, workers, data_dir, out):
    """Tune with the first seed, train the chosen ones with the others, draw."""
    name = f"phs/alternatives_{dataset}"

    def done(jobs):
        path = measure(name, with_other_optimizer, jobs, preset, workers, data_dir, out)
        return path, stored(path)

    tuning = {}
    for method, (_, _, rates) in METHODS.items():
        tuning |= jobs_of(dataset, preset, method, rates, [0])
    _, tried = done(tuning)
    chosen = {}
    for method in METHODS:
        best = max(
            (entry for entry in tried if entry["job"]["method"] == method),
            key=lambda entry: best_validation(entry["history"]),
        )["job"]
        rates = [(best["learning_rate"], best["momentum"])]
        chosen |= jobs_of(dataset, preset, method, rates, range(PRESETS[preset][2]))
    publish_from(done(chosen)[0])


if __name__ == "__main__":
    main()
