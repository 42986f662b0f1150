"""Two things that the thesis leaves open: how friction is read, and the batch size.

The reading: the known row (α = 1e-4, m = 1e-3, γ = 10, factor 100) is trained for an epoch and
braked, with the friction term −(γ/m)p as printed and with −γp. The batch size: the same row
without braking at 4, 16 and 64 images.

::

    python -m experiments.phs.settings --preset quick
    python -m experiments.phs.settings --preset thesis
"""

from pathlib import Path

import click

from experiments.command import measure, publish, standard_options, stored
from experiments.phs import figures
from experiments.phs.trainings import KNOWN_ROW, with_reading

# Training images (None: all) and epochs.
PRESETS = {"quick": (20_000, 3), "thesis": (None, 4)}
READINGS = {"viscous": "−(γ/m) p, as printed", "rate": "−γ p"}
BATCHES = (4, 16, 64)


def setting_jobs(preset: str) -> dict[str, dict]:
    """Settings of the trainings, by name."""
    limit, epochs = PRESETS[preset]
    jobs = {}
    for dataset in ("fashion_mnist", "cifar10"):
        common = KNOWN_ROW | {"dataset": dataset, "limit": limit, "seed": 0, "epochs": epochs}
        for form in READINGS:
            jobs[f"{dataset}_{form}_braked"] = common | {
                "batch_size": 4,
                "friction_form": form,
                "factor": 100.0,
            }
        for size in BATCHES:
            jobs[f"{dataset}_batch{size}"] = common | {
                "batch_size": size,
                "friction_form": "rate",
                "factor": 1.0,
            }
    return jobs


def publish_from(path: Path) -> None:
    """Writes the figure beside a file of results."""
    publish(path, figures.settings(stored(path), READINGS))


@click.command(help=__doc__.splitlines()[0])
@standard_options()
def main(preset, workers, data_dir, out):
    """Measure, draw, and say where it is."""
    jobs = setting_jobs(preset)
    path = measure("phs/settings", with_reading, jobs, preset, workers, data_dir, out)
    publish_from(path)


if __name__ == "__main__":
    main()
