"""What a user would pick instead of braking: SGD with momentum and a schedule, and Adam.

Each method's learning rate and momentum are chosen with one seed by validation accuracy; the test
accuracy is of all seeds. Same network, data, batches and epochs as Tables 3.1 and 3.2; their rows
without braking are SGD with a constant rate.

::

    python -m experiments.phs.alternatives fashion_mnist --preset thesis
    python -m experiments.phs.alternatives cifar10 --preset thesis
"""

import itertools

import click

from experiments.phs import figures
from experiments.phs.command import measure, standard_options, stored
from experiments.phs.summary import markdown_of
from experiments.phs.trainings import with_other_optimizer

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


@click.command(help=__doc__.splitlines()[0])
@click.argument("dataset", type=click.Choice(["fashion_mnist", "cifar10"]))
@standard_options
def main(dataset, preset, workers, data_dir, out):
    """Tune with the first seed, train the chosen ones with the others, draw."""
    name = f"alternatives_{dataset}"

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
            key=lambda entry: max(e["val_accuracy"] or 0 for e in entry["history"]),
        )["job"]
        rates = [(best["learning_rate"], best["momentum"])]
        chosen |= jobs_of(dataset, preset, method, rates, range(PRESETS[preset][2]))
    path, results = done(chosen)
    groups = {m: [r for r in results if r["job"]["method"] == m] for m in METHODS}
    text = markdown_of(groups)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    figures.methods(groups).savefig(path.with_suffix(".png"), dpi=150)
    click.echo(text)
    click.echo(f"Table, figure and all numbers: {path.with_suffix('.*')}")


if __name__ == "__main__":
    main()
