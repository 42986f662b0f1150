"""Beyond the thesis: a race compared with hand-made networks that each get all of its epochs.

::

    python -m experiments.resbuilder.race cifar10 --preset quick          # minutes on 2 cores
    python -m experiments.resbuilder.race cifar10 --preset laptop         # 5,000 images
    python -m experiments.resbuilder.race cifar10 --preset workstation    # all images

The other datasets are `mnist` and `fashion_mnist`. For each seed it measures:

- **race**: `resbuilder search --method race`, with T epochs for all candidates together;
- **hand-made**: ResNet-20, and ResNet-18 with each of two stems, scaled to ζ, each trained for T
  epochs with the race's options. The learning rate of each is chosen on validation data of the
  first seed, from trainings of T/3 epochs;
- **best of three**: the same networks for T/3 epochs each, at the cost of one race; the best on
  validation data counts;
- **the winner from scratch**: the architecture that the race chose, trained from scratch for T
  epochs, each trunk by itself. Its lead over the race is the price of not knowing this architecture
  in advance;
- **two hand-made side by side**: the two ResNet-18, each scaled to ζ/2 and trained for T epochs,
  with the mean of their logits. So it shows what two trunks gain without a race.

Seeds are 10, 11 and 12, because test accuracies of 0, 1 and 3 were seen during the design.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from experiments.catalog import Experiment
from experiments.command import (
    Running,
    measure,
    publish,
    results_file,
    standard_options,
    stored,
)
from experiments.summary import percent_spread
from resbuilder.common.cli import Command
from resbuilder.common.figures import BLUE, GREY, styled
from resbuilder.config import CONTENDERS, SearchConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from resbuilder import Architecture
    from resbuilder.training import TrainingData

DATASETS = ("mnist", "fashion_mnist", "cifar10")
RATES = (1e-3, 3e-3, 1e-2)
# Seeds, and settings of SearchConfig.
PRESETS = {
    "quick": ((10,), {"total_epochs": 12, "train_limit": 600, "flops": 1.5e6}),
    "laptop": ((10, 11, 12), {"total_epochs": 42, "train_limit": 5_000, "flops": 4e6}),
    "workstation": ((10, 11, 12), {"total_epochs": 20, "train_limit": None, "flops": 4e6}),
}
HAND_MADE = "hand-made"
RACE, THIRD, SCRATCH = "race", "best of three, T/3 epochs each", "the winner from scratch"
PAIR, PAIRED = "two hand-made side by side", ("rb-r18", "rb-r18-small")


def rate_jobs(dataset: str, preset: str) -> dict[str, dict]:
    """Return the trainings that choose learning rates, by name."""
    seeds, settings = PRESETS[preset]
    epochs = settings["total_epochs"] // 3
    return dict(
        hand_made_job(network, epochs, rate, settings | {"dataset": dataset, "seed": seeds[0]})
        for network in CONTENDERS
        for rate in RATES
    )


def chosen_rates(results: list[dict]) -> dict[str, float]:
    """Return the learning rate with the highest validation accuracy for each network.

    Args:
        results: Results that include the trainings of the first seed.
    """
    seed = min(r["job"]["settings"]["seed"] for r in results)
    tried = [r for r in results if r["job"]["kind"] == HAND_MADE and _seed(r) == seed]
    fewest = min(r["job"]["epochs"] for r in tried)
    short = [r for r in tried if r["job"]["epochs"] == fewest]
    return {
        network: max(
            (r for r in short if r["job"]["network"] == network), key=lambda r: r["validation"]
        )["job"]["settings"]["learning_rate"]
        for network in CONTENDERS
    }


def jobs_of(dataset: str, preset: str, seed: int, rates: dict[str, float]) -> dict[str, dict]:
    """Return all jobs of a seed by name: first the race, then trainings of T and of T/3 epochs."""
    settings = PRESETS[preset][1] | {"dataset": dataset, "seed": seed}
    total = settings["total_epochs"]
    jobs = {f"race_seed{seed}": {"kind": RACE, "settings": settings | {"method": "race"}}}
    for epochs in (total, total // 3):
        jobs |= dict(hand_made_job(n, epochs, rate, settings) for n, rate in rates.items())
    halves = settings | {"flops": settings["flops"] / len(PAIRED)}
    trunks = [hand_made_job(n, total, rates[n], halves)[1] for n in PAIRED]
    jobs[f"pair_seed{seed}"] = {
        "kind": PAIR,
        "settings": settings | {"method": "race"},
        "trunks": trunks,
    }
    return jobs


def hand_made_job(network: str, epochs: int, rate: float, settings: dict) -> tuple[str, dict]:
    """Return the name and the settings of the training of a hand-made network."""
    given = settings | {"method": "race", "contenders": network, "learning_rate": rate}
    job = {"kind": HAND_MADE, "network": network, "epochs": epochs, "settings": given}
    return f"{network}_{epochs}_epochs_{rate:g}_seed{settings['seed']}", job


def measure_job(job: dict, searches: Path) -> dict:
    """Do a job.

    Args:
        job: See :func:`jobs_of`, with ``data_dir``.
        searches: Folder of run folders; an interrupted race in it is resumed.

    Returns:
        ``architecture``, ``flops``, ``parameters``, accuracies on ``validation`` and ``test``
        images, ``epochs`` of the weights, and processor ``seconds`` (of a race, since its last
        interruption). A race also has ``label``, and the accuracies ``scratch_validation`` and
        ``scratch_test`` of its architecture trained from scratch.
    """
    from resbuilder import resume, search
    from resbuilder.architecture import side_by_side
    from resbuilder.race import contenders
    from resbuilder.report import read_history
    from resbuilder.report.race import race_winner
    from resbuilder.training import TrainingData

    config = SearchConfig(**job["settings"], data_dir=job["data_dir"]).resolved()
    data = TrainingData.load(config)
    began = time.process_time()
    if job["kind"] != RACE:
        # A hand-made network alone is its only trunk.
        trunks = job.get("trunks", [job])
        configs = [
            SearchConfig(**trunk["settings"], data_dir=job["data_dir"]).resolved()
            for trunk in trunks
        ]
        networks = [n for c in configs for n in contenders(c, data.dataset).values()]
        architecture = side_by_side(networks)
        result = whole(architecture, data, configs, trunks[0]["epochs"])
        return _about(architecture) | result | {"seconds": time.process_time() - began}
    folder = searches / f"{config.dataset}_seed{config.seed}"
    if (folder / "config.json").exists():
        resume(folder)
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        search(config, folder)
    seconds = time.process_time() - began
    history = read_history(folder)
    found = race_winner(history)
    if found is None:
        raise ValueError(f"{folder}: the race found no network: {history.finished.reason}")
    architecture = found.record.architecture
    each = [config] * len(architecture.trunks)
    scratch = whole(architecture, data, each, config.total_epochs)
    return _about(architecture) | {
        "label": found.record.label,
        "validation": found.validation,
        "test": found.test,
        "epochs": history.epochs_behind(found),
        "seconds": seconds,
        "scratch_validation": scratch["validation"],
        "scratch_test": scratch["test"],
    }


def whole(
    architecture: Architecture, data: TrainingData, configs: list[SearchConfig], epochs: int
) -> dict:
    """Train each trunk from scratch, as a contender of a race is trained.

    Args:
        architecture: The architecture.
        data: The data.
        configs: The settings for each of its trunks.
        epochs: Epochs of each trunk.
    """
    from experiments.resbuilder.from_scratch import trained
    from resbuilder.pipeline.race_trainings import joined
    from resbuilder.race import training_config

    networks = [
        trained(trunk, data, config, epochs, config.seed + 1000 * number)[0].network
        for number, (trunk, config) in enumerate(
            zip(architecture.trunks.values(), configs, strict=True)
        )
    ]
    trainer = joined(architecture, networks, data, training_config(configs[0]))
    accuracies = {part: trainer.evaluate(part)["accuracy"] for part in ("validation", "test")}
    return accuracies | {"epochs": epochs}


def _about(architecture: Architecture) -> dict:
    from resbuilder import cost

    counted = cost(architecture)
    return {
        "architecture": str(architecture),
        "flops": counted.flops,
        "parameters": counted.parameters,
    }


def _seed(result: dict) -> int:
    return result["job"]["settings"]["seed"]


def rows(results: list[dict]) -> dict[str, dict[int, dict]]:
    """Return the measurements by row of the table and by seed, for seeds with a race only."""
    races = {_seed(r): r for r in results if r["job"]["kind"] == RACE}
    total = next(iter(races.values()))["job"]["settings"]["total_epochs"]
    rates, table = chosen_rates(results), {RACE: races}
    hand_made = [
        r
        for r in results
        if r["job"]["kind"] == HAND_MADE
        and r["job"]["settings"]["learning_rate"] == rates[r["job"]["network"]]
        and _seed(r) in races
    ]
    for network in CONTENDERS:
        own = [r for r in hand_made if r["job"]["network"] == network]
        table[network] = {_seed(r): r for r in own if r["job"]["epochs"] == total}
    table[THIRD] = {}
    for seed in races:
        short = [r for r in hand_made if _seed(r) == seed and r["job"]["epochs"] == total // 3]
        if len(short) == len(CONTENDERS):
            best = max(short, key=lambda r: r["validation"])
            table[THIRD][seed] = best | {"seconds": sum(r["seconds"] for r in short)}
    table[PAIR] = {_seed(r): r for r in results if r["job"]["kind"] == PAIR and _seed(r) in races}
    table[SCRATCH] = {
        seed: r | {"test": r["scratch_test"], "epochs": total, "seconds": None}
        for seed, r in races.items()
    }
    return {name: found for name, found in table.items() if found}


def markdown(results: list[dict]) -> str:
    """Return the table of test accuracies by seed, and the lead of the race over each row."""
    from resbuilder.report.style import si

    table = rows(results)
    races, rates = table[RACE], chosen_rates(results)
    s = next(iter(races.values()))["job"]["settings"]
    images = f"{s['train_limit']:,} training images" if s["train_limit"] else "all training images"
    seeds = sorted(races)
    lines = [
        f"{s['dataset']}: ζ = {si(s['flops'])}FLOPs; {images}, validation included; T = "
        f"{s['total_epochs']} epochs; whole test set. Test accuracy in %, mean ± deviation over "
        f"seeds {', '.join(map(str, seeds))}. Learning rates chosen on validation data: "
        + ", ".join(f"{network} {rate:g}" for network, rate in rates.items())
        + ".\n",
        "| | test accuracy | by seed | lead of the race, by seed | epochs of the weights | "
        "processor seconds |",
        "|---" * 6 + "|",
    ]
    for name, found in table.items():
        there = [seed for seed in seeds if seed in found]
        tests = [found[seed]["test"] for seed in there]
        ahead = [races[seed]["test"] - found[seed]["test"] for seed in there]
        seconds = [found[seed]["seconds"] for seed in there if found[seed]["seconds"] is not None]
        cells = (
            name,
            percent_spread(tests),
            ", ".join(f"{100 * test:.2f}" for test in tests),
            "–" if name == RACE else ", ".join(f"{100 * a:+.2f}" for a in ahead),
            ", ".join(dict.fromkeys(str(found[seed]["epochs"]) for seed in there)),
            f"{np.mean(seconds):.0f}" if seconds else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    found = ", ".join(f"{races[seed]['label']} (seed {seed})" for seed in seeds)
    lines.append(f"\nThe race chose {found}.")
    best = [max(table[n][seed]["test"] for n in CONTENDERS if seed in table.get(n, {}))
            for seed in seeds if any(seed in table.get(n, {}) for n in CONTENDERS)]  # fmt: skip
    if len(best) == len(seeds):
        ahead = [races[seed]["test"] - b for seed, b in zip(seeds, best, strict=True)]
        points = ", ".join(f"{100 * a:+.2f}" for a in ahead)
        lines.append(
            "Lead of the race over the hand-made network that is best on test data, by seed: "
            f"{points} points."
        )
    return "\n".join(lines) + "\n"


def draw(results: list[dict]) -> Figure:
    """Draw the test accuracy of each row, with a point for every seed."""
    from resbuilder.report.style import new_figure, percent_axis

    table = rows(results)
    with styled():
        figure = new_figure(0.9 + 0.42 * len(table))
        axes = figure.subplots()
        for place, found in enumerate(table.values()):
            tests = [r["test"] for r in found.values()]
            color = BLUE if place == 0 else GREY
            axes.plot(tests, [place] * len(tests), "o", color=color, alpha=0.6, markersize=5)
            axes.plot([np.mean(tests)], [place], "|", color=color, markersize=16, markeredgewidth=2)
        axes.set_yticks(range(len(table)), list(table))
        axes.invert_yaxis()
        axes.set_title("Test accuracy (points: seeds; bars: mean)")
        percent_axis(axes.xaxis)
    return figure


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    results = stored(path)
    publish(path, draw(results), markdown(results))


def expected_jobs(dataset: str, preset: str, running: Running) -> dict[str, dict]:
    """Return all jobs of a preset by name, with learning rates as stored results choose them."""
    path = results_file(f"resbuilder/race_{dataset}", preset, running)
    jobs = rate_jobs(dataset, preset)
    results = stored(path) if path.is_file() else []
    known = len([r for r in results if r["job"]["kind"] == HAND_MADE]) >= len(jobs)
    rates = chosen_rates(results) if known else dict.fromkeys(CONTENDERS, RATES[0])
    for seed in PRESETS[preset][0]:
        jobs |= jobs_of(dataset, preset, seed, rates)
    return jobs


EXPERIMENTS = tuple(
    Experiment(
        jobs={f"resbuilder/race_{dataset}": partial(expected_jobs, dataset, running=Running())},
        publish_from=publish_from,
        times={
            "quick": "minutes on 2 cores",
            "laptop": "2 hours of one core (estimate)",
            "workstation": "10 hours of one core (estimate)",
        },
        arguments=dataset,
    )
    for dataset in DATASETS
)


SEEDS = {preset: len(seeds) for preset, (seeds, _) in PRESETS.items()}


@click.command(cls=Command, help=__doc__.splitlines()[0])
@click.argument("dataset", type=click.Choice(DATASETS))
@standard_options("resbuilder", *PRESETS, seeds=SEEDS)
def main(dataset: str, preset: str, running: Running) -> None:
    """Choose the learning rates with the first seed, then measure seed by seed and publish."""
    name = f"resbuilder/race_{dataset}"
    work = partial(measure_job, searches=running.folder(name, preset) / "searches")
    so_far = rate_jobs(dataset, preset)
    everything = expected_jobs(dataset, preset, running)
    path = measure(name, work, everything, preset, running, only=so_far)
    rates = chosen_rates(stored(path))
    everything = expected_jobs(dataset, preset, running)
    # Seed by seed, so that an interruption leaves complete seeds.
    for seed in PRESETS[preset][0][: running.seeds]:
        so_far |= jobs_of(dataset, preset, seed, rates)
        publish_from(measure(name, work, everything, preset, running, only=so_far))


if __name__ == "__main__":
    main()
