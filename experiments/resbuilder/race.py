"""Beyond the thesis: a race compared with hand-made networks that each get all of its epochs.

::

    python -m experiments.resbuilder.race cifar10 --preset quick          # minutes on 2 cores
    python -m experiments.resbuilder.race cifar10 --preset laptop         # 5,000 images
    python -m experiments.resbuilder.race cifar10 --preset workstation    # all images

The other datasets are `mnist` and `fashion_mnist`. For each seed it measures:

- **race**: `resbuilder search --method race`, with T epochs for all candidates together;
- **hand-made**: ResNet-20, and ResNet-18 with each of two stems, scaled to ζ, each trained for T
  epochs with the race's options. Trainings of T/3 epochs with the first seed try four or
  five learning rates. Each network is then trained with its best two, and the one with the higher
  mean validation accuracy after T epochs counts;
- **best of three**: the same networks for T/3 epochs each, at the cost of one race; the best on
  validation data counts;
- **the winner from scratch**: the architecture that the race chose, trained from scratch for T
  epochs, each trunk by itself. Its lead over the race is the price of not knowing this architecture
  in advance;
- **two hand-made side by side**: the two ResNet-18, each scaled to ζ/2 and trained for T epochs,
  with the mean of their logits. So it shows what two trunks gain without a race. Their rates are
  those that were best after T/3 epochs;
- **the thesis' search** from ResNet-18 (RB-R18), with about as many epochs in all, for the first
  seed.
  At the laptop preset, it is in Table 6.1.

At the workstation preset a training takes five times as long. There, only the two hand-made
networks that validation prefers after T/3 epochs are trained for T epochs, each with its best rate
after T/3 epochs. "Best of three" exists for the first seed only. The winner from scratch and the
pair side by side are left out.

Seeds are 10, 11 and 12. Test accuracies of 0, 1 and 3 were seen during the design. Those of 10 to
12 had been seen with an earlier version of the race, but its changes were judged on 0 and 1.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish, results_file, stored
from experiments.resbuilder.race_jobs import (
    DATASETS,
    HAND_MADE,
    PRESETS,
    RACE,
    RATES,
    SEEDS,
    jobs_of,
    ranked_rates,
    rate_jobs,
)
from experiments.resbuilder.race_measured import measure_job
from experiments.resbuilder.race_table import draw, markdown
from resbuilder.common.cli import Command
from resbuilder.config import CONTENDERS


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file, once it has a race."""
    results = stored(path)
    if any(result["job"]["kind"] == RACE for result in results):
        publish(path, draw(results), markdown(results))


def expected_jobs(dataset: str, preset: str, running: Running) -> dict[str, dict]:
    """Return all jobs of a preset by name, with learning rates as stored results choose them."""
    path = results_file(f"resbuilder/race_{dataset}", preset, running)
    jobs = rate_jobs(dataset, preset)
    results = stored(path) if path.is_file() else []
    known = len([r for r in results if r["job"]["kind"] == HAND_MADE]) >= len(jobs)
    rates = ranked_rates(results) if known else dict.fromkeys(CONTENDERS, list(RATES[preset]))
    for seed in PRESETS[preset][0]:
        jobs |= jobs_of(dataset, preset, seed, rates)
    return jobs


EXPERIMENTS = tuple(
    Experiment(
        jobs={f"resbuilder/race_{dataset}": partial(expected_jobs, dataset, running=Running())},
        publish_from=publish_from,
        times={
            "quick": "minutes on 2 cores",
            "laptop": "2.5 hours on one core",
            "workstation": "5 hours on one core",
        },
        arguments=dataset,
    )
    for dataset in DATASETS
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@click.argument("dataset", type=click.Choice(DATASETS))
@standard_options("resbuilder", *PRESETS, seeds=SEEDS)
def main(dataset: str, preset: str, running: Running) -> None:
    """Choose the learning rates with the first seed, then measure seed by seed and publish."""
    name = f"resbuilder/race_{dataset}"
    work = partial(measure_job, searches=running.searches(name, preset))
    so_far = rate_jobs(dataset, preset)
    everything = expected_jobs(dataset, preset, running)
    path = measure(name, work, everything, preset, running, only=so_far)
    rates = ranked_rates(stored(path))
    everything = expected_jobs(dataset, preset, running)
    # Seed by seed, so that an interruption leaves complete seeds.
    for seed in PRESETS[preset][0][: running.seeds]:
        so_far |= jobs_of(dataset, preset, seed, rates)
        publish_from(measure(name, work, everything, preset, running, only=so_far))


if __name__ == "__main__":
    main()
