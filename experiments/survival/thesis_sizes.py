"""Tables 7.1 and 7.2 at the thesis' sizes: do the differences made by the penalty exceed noise?

::

    export RESBUILDER_SHARED=path/to/folder  # with cohort/tcga_skcm_cbioportal_patient.txt
    python -m experiments.survival.thesis_sizes --preset laptop --workers 1

The cohort of real tissue has the thesis' numbers of patients, slides and deaths
(:mod:`.thesis_cohort`). Small networks are trained on scanner A, without and with the penalty on
the mean, from 20 seeds each. They are judged on the test slides of A and on all slides of B, which
is only a test set in Table 7.1. Slides, images and runs go to ``--data-dir``, 0.6 GB.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.catalog import Experiment
from experiments.command import RUNS, Running, standard_options
from experiments.measuring import measure, publish, stored
from experiments.provenance import this_version
from experiments.survival.domain_gap import PRESETS as TWO_SCANNERS
from experiments.survival.domain_gap import THESIS
from resbuilder.common.cli import Command

if TYPE_CHECKING:
    from survival.cohort import Cohort

COHORT_SEED = 0
CANVAS = 48, 40
# λ without and with the penalty; 1 is the best on the validation slides of the larger cohorts.
PENALTIES = 0.0, 1.0
# Settings of the training, seeds.
PRESETS = {
    "quick": ({"epochs": 1, "width": 0.06}, 2),
    "laptop": ({"epochs": 8, "width": 0.125}, 20),
}
SEEDS = {name: seeds for name, (_, seeds) in PRESETS.items()}


def sizes_jobs(preset: str, seeds: int) -> dict[str, dict]:
    """Return the settings of the jobs by name: the sizes of each cohort, then the networks.

    Args:
        preset: A key of :data:`PRESETS`.
        seeds: Number of pairs of networks, at most that of the preset.
    """
    settings, _ = PRESETS[preset]
    patients, _, cohorts = TWO_SCANNERS["thesis"]
    thesis = {"kind": "sizes", "cohort": "Table 7.1", "seed": COHORT_SEED}
    larger = {
        f"larger cohort, seed {seed}": {
            "kind": "sizes",
            "cohort": "larger",
            "seed": seed,
            "patients": patients,
        }
        for seed in range(cohorts)
    }
    networks = {
        f"λ = {penalty:g}, seed {seed}": {
            "kind": "network",
            "cohort": thesis["cohort"],
            "seed": seed,
            "canvas": CANVAS,
            "settings": THESIS | settings | {"mean_penalty": penalty, "seed": seed},
        }
        for seed in range(seeds)
        for penalty in PENALTIES
    }
    return {"cohort of Table 7.1's sizes": thesis} | larger | networks


def work(job: dict) -> dict:
    """Do one job: the sizes of a cohort, or a network and its predictions of the test slides."""
    return _sizes(job) if job["kind"] == "sizes" else _network(job)


def _sizes(job: dict) -> dict:
    """Return sizes and follow-up of a cohort; for that of Table 7.1, also the test slides."""
    from experiments.survival.thesis_cohort import draw_thesis_cohort
    from experiments.survival.two_scanner_cohort import draw_two_scanners

    if job["cohort"] != "Table 7.1":
        cohort, _ = draw_two_scanners(job["seed"], shared_folder(), *job["patients"])
        return {"parts": _parts(cohort)}
    cohort, rows = draw_thesis_cohort(job["seed"], shared_folder())
    test = cohort.part("test")
    truth = {recipe.slide: outcome.log_hazard for recipe, outcome in rows}
    return {
        "parts": _parts(cohort),
        "test": {
            "patient": test.patient.tolist(),
            "dataset": test.dataset.tolist(),
            "time": test.time.tolist(),
            "event": test.event.astype(int).tolist(),
            "true_log_hazard": [truth[slide] for slide in test.slide],
        },
    }


def _parts(cohort: Cohort) -> list[dict]:
    """Return one row for each scanner and split; months of follow-up are counted by patient."""
    import numpy as np

    parts = []
    for dataset in sorted(set(cohort.dataset)):
        for split in ("train", "validation", "test"):
            part = cohort.select((cohort.dataset == dataset) & (cohort.split == split))
            if not len(part):
                continue
            _, first = np.unique(part.patient.astype(str), return_index=True)
            time, event = part.time[first], part.event[first]
            parts.append(
                {
                    "dataset": dataset,
                    "split": split,
                    "slides": len(part),
                    "patients": len(first),
                    "events": int(event.sum()),
                    "mean_months": float(time.mean()),
                    "median_months": float(np.median(time)),
                }
            )
    return parts


def _network(job: dict) -> dict:
    """Train on A, and predict the test slides of A and B."""
    from experiments.survival.prepare import IMAGES
    from survival.cohort import Cohort
    from survival.evaluation import evaluate
    from survival.training import TrainingSettings, train

    folder = Path(job["data_dir"])
    cohort = Cohort.read(folder / "slides" / "cohort.csv")
    settings = TrainingSettings(**job["settings"], strategy=job.get("strategy", "one_device"))
    name = f"{settings.epochs}_epochs_penalty_{settings.mean_penalty:g}_seed_{settings.seed}"
    runs = folder / f"runs_{this_version()}"
    run = train(cohort.of_dataset("A"), folder / IMAGES, runs / name, settings)
    on_b = evaluate(run, cohort.of_dataset("B"), folder / IMAGES, "on_B")
    found = {row.slide: row.log_hazard for t in (run.predictions, on_b) for row in t.itertuples()}
    return {
        "kept_epoch": run.settings["kept_epoch"],
        "validation_c_index": float(run.history.val_cindex.max()),
        "log_hazard": [found[slide] for slide in cohort.part("test").slide],
    }


def shared_folder() -> Path | None:
    """Return the folder of shared data that the variable RESBUILDER_SHARED names, or None."""
    named = os.environ.get("RESBUILDER_SHARED")
    return Path(named) if named else None


def prepare(folder: Path, workers: int) -> None:
    """Make the missing slides and images of the cohort."""
    from experiments.survival.prepare import prepare_images
    from experiments.survival.thesis_cohort import draw_thesis_cohort
    from experiments.survival.two_scanner_cohort import make_slides

    cohort, rows = draw_thesis_cohort(COHORT_SEED, shared_folder(), coarser=2)
    make = partial(make_slides, folder / "slides", cohort, rows, shared_folder(), workers)
    prepare_images(folder, make, CANVAS, workers, "Table 7.1's sizes")


def publish_from(path: Path) -> None:
    """Write the tables and the figure next to a results file."""
    from experiments.survival import noise_tables
    from experiments.survival.noise_figure import differences_figure

    differences = noise_tables.measured(stored(path))
    publish(path, differences_figure(differences), noise_tables.markdown(differences))


EXPERIMENTS = (
    Experiment(
        jobs={"survival/thesis_sizes": lambda preset: sizes_jobs(preset, SEEDS[preset])},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "laptop": "21 minutes on one core"},
    ),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options(
    "survival",
    *PRESETS,
    seeds=SEEDS,
    mirrored=True,
    data_help="Folder of cohort, images and networks, created if missing; 0.6 GB.  "
    f"[default: {RUNS / 'survival' / 'thesis_cohort'}]",
)
def main(preset: str, running: Running) -> None:
    """Make the cohort, train, and write the tables and the figure."""
    data = Path(running.data_dir or RUNS / "survival" / "thesis_cohort")
    try:
        prepare(data, running.workers)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    jobs = sizes_jobs(preset, SEEDS[preset])
    running = replace(running, data_dir=str(data))
    # Seed by seed, so that an interruption leaves complete seeds.
    for seeds in range(1, 1 + running.at_most(SEEDS[preset])):
        only = sizes_jobs(preset, seeds)
        publish_from(measure("survival/thesis_sizes", work, jobs, preset, running, only))


if __name__ == "__main__":
    main()
