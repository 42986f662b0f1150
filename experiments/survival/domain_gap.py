"""Table 7.2 on larger cohorts: the penalty on the mean, and other ways to bridge the domain gap.

::

    export RESBUILDER_SHARED=path/to/folder  # with cohort/tcga_skcm_cbioportal_patient.txt
    python -m experiments.survival.domain_gap --preset thesis --workers 2

Every seed has its own cohort of slide files of real tissue (:mod:`.two_scanner_cohort`). The code
of ``survival preprocess`` and ``survival train`` processes it. Cohorts, images and runs go to
``--data-dir``, 1.3 GB for each seed.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import RUNS, Running, standard_options
from experiments.jobs import seed_of
from experiments.measuring import measure, publish_table, stored
from resbuilder.common.cli import Command

CANVAS = 96, 80
PENALTIES = 0.0, 0.01, 0.1, 1.0, 10.0
# The mean over five slides varies with the spread of the predictions, so the penalty also acts on
# the spread; the mean over 32 varies less. All batches of 32 contain events; batches of five may
# lack them.
LARGE = {"batch_size": 32, "batches": "events"}
LARGE_PENALTIES = 0.0, 0.1, 1.0, 10.0
# The thesis sums the loss over events, and draws batches of five at random.
THESIS = {"normalization": "sum", "batches": "shuffled", "batch_size": 5, "learning_rate": 1e-3}
# Patients of scanners A and B, settings of the training, seeds.
PRESETS = {
    "quick": ((60, 40), {"epochs": 4, "width": 0.06}, 1),
    "thesis": ((600, 300), {"epochs": 50, "width": 0.25}, 3),
}


def methods() -> dict[str, dict]:
    """Return the ways to train by name: number of networks, treatment of stains, settings."""
    each = {"networks": "each", "normalized": False, "settings": {}}
    both = each | {"networks": "both"}
    penalties = {
        f"each, λ = {value:g}": each | {"settings": {"mean_penalty": value}} for value in PENALTIES
    }
    large = {
        f"batches of 32, λ = {value:g}": each | {"settings": LARGE | {"mean_penalty": value}}
        for value in LARGE_PENALTIES
    }
    return (
        penalties
        | {
            "each, stains augmented": each | {"settings": {"augment": ["stain"]}},
            "each, stains normalized": each | {"normalized": True},
            "both": both,
            "both, strata": both | {"settings": {"strata": True}},
            "both, stains augmented": both | {"settings": {"augment": ["stain"]}},
            "both, stains normalized": both | {"normalized": True},
        }
        | large
    )


def gap_jobs(preset: str) -> dict[str, dict]:
    """Return the settings of the jobs by name."""
    patients, size, seeds = PRESETS[preset]
    return {
        f"{method}, seed {seed}": method_settings
        | {
            "method": method,
            "name": f"{method}, seed {seed}",
            "patients": patients,
            "seed": seed,
            "settings": THESIS | size | {"seed": seed} | method_settings["settings"],
        }
        for seed in range(seeds)
        for method, method_settings in methods().items()
    }


def prepare(folder: Path, shared: Path | None, patients: tuple[int, int], seed: int, workers: int):
    """Make the missing slides and images of a seed."""
    from experiments.survival.prepare import IMAGES, prepare_images
    from experiments.survival.stain_normalization import IMAGES as NORMALIZED
    from experiments.survival.stain_normalization import normalize_images
    from experiments.survival.two_scanner_cohort import make_cohort

    make = partial(make_cohort, folder / "slides", shared, seed, *patients, workers=workers)
    prepare_images(folder, make, CANVAS, workers, f"seed {seed}")
    normalize_images(folder / IMAGES, folder / NORMALIZED)


def work(job: dict) -> dict:
    """Do one job."""
    from experiments.survival.gap_training import train_and_judge

    return train_and_judge(job)


def publish_from(path: Path) -> None:
    """Write the tables and the figures next to a results file."""
    from experiments.survival import gap_figures, gap_tables

    results = stored(path)
    publish_table(path, gap_tables.markdown(results))
    gap_figures.thesis_figure(results).savefig(path.with_suffix(".png"), dpi=150)
    gap_figures.methods_figure(results).savefig(path.with_name("gap_methods.png"), dpi=150)
    click.echo(
        f"Tables, figures and all numbers: {path.stem}.* and gap_methods.png in {path.parent}"
    )


EXPERIMENTS = (
    Experiment(
        jobs={"survival/domain_gap": gap_jobs},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "thesis": "hours on 2 cores"},
    ),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options(
    "survival",
    seeds={name: seeds for name, (*_, seeds) in PRESETS.items()},
    mirrored=True,
    data_help="Folder of cohorts, images and networks, created if missing; 1.3 GB for each seed.  "
    f"[default: {RUNS / 'survival'}/two_scanners_PRESET]",
)
def main(preset: str, running: Running) -> None:
    """Make cohorts, train, and write tables and figures."""
    shared = os.environ.get("RESBUILDER_SHARED")
    data = Path(running.data_dir or RUNS / "survival" / f"two_scanners_{preset}")
    patients, _, seeds = PRESETS[preset]
    # Seed by seed, so that an interruption leaves complete seeds.
    jobs, name = gap_jobs(preset), "survival/domain_gap"
    running = replace(running, data_dir=str(data))
    for seed in range(running.at_most(seeds)):
        try:
            folder = data / f"seed{seed}"
            prepare(folder, Path(shared) if shared else None, patients, seed, running.workers)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        only = [key for key, job in jobs.items() if seed_of(job) <= seed]
        publish_from(measure(name, work, jobs, preset, running, only))


if __name__ == "__main__":
    main()
