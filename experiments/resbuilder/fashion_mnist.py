"""ResBuilder on Fashion-MNIST at a small budget, beside what it must beat.

Thesis ch. 6 searches at ζ = 1e8 FLOPs with 20 epochs a training; this is the same job at a size
that two CPU cores can do: ζ = 5e6, 3 epochs, 20,000 training images (of which 4,000 validate),
16 channels at the start, n_M = 3 rounds of n_Λ = 3 insertions.

::

    python -m experiments.resbuilder.fashion_mnist search rb-0net
    python -m experiments.resbuilder.fashion_mnist search rb-r18
    python -m experiments.resbuilder.fashion_mnist baselines rb-0net
    python -m experiments.resbuilder.fashion_mnist baselines rb-r18
    python -m experiments.resbuilder.fashion_mnist results

The two starts can be done side by side, and every command goes on where it was interrupted. Tables,
figures, hardware, time and deviations: ``experiments/results/resbuilder_fashion_mnist/README.md``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np

from resbuilder import SearchConfig, TrainConfig, resume, search
from resbuilder.files import write_json
from resbuilder.pipeline import SearchResult
from resbuilder.report import read_history, summary_rows, write_report
from resbuilder.single import train_single
from resbuilder.variants import NO_REG_WI

RUNS = Path("runs", "fashion_mnist")
RESULTS = Path(__file__).parents[1] / "results" / "resbuilder_fashion_mnist"
FIGURES = ("accuracy", "architectures", "flops", "widths")
STARTS = ("rb-0net", "rb-r18")
SEEDS = (0, 1, 2)
TRAINING = {"dataset": "fashion_mnist", "epochs": 3, "train_limit": 20_000}
# λ_M: the term is proportional to FLOPs, and the budget is 20 times smaller than the thesis'.
# 1e-6 removed no channel in a short trial, 1e-5 nearly the whole residual stream.
SEARCH = {"flops": 5e6, "rounds": 3, "insertions": 3, "width": 16, "lambda_morphnet": 3e-6}


@click.group()
def main() -> None:
    """Search from both start networks, train what they must beat, write the results."""


@main.command("search")
@click.argument("start", type=click.Choice(STARTS))
def search_command(start: str) -> None:
    """Search from one start network."""
    run_search(start)


@main.command()
@click.argument("start", type=click.Choice(STARTS))
def baselines(start: str) -> None:
    """Train what a search must beat, and its winner, from random initialisation."""
    run_search(start)
    for network, epochs, seeds in same_flops(start).values():
        for seed in seeds:
            train(network, seed, epochs)


@main.command()
def results() -> None:
    """Write tables and figures from what the other commands left."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for start in STARTS:
        write_report(RUNS / start)
        for figure in FIGURES:
            shutil.copy(
                RUNS / start / "figures" / f"{figure}.png", RESULTS / f"{start}_{figure}.png"
            )
        report = summary(start)
        write_json(RESULTS / f"{start}.json", report)
        click.echo(table(start, report))


def run_search(start: str) -> SearchResult:
    """The search from a start network, or what is left of it to do."""
    path = RUNS / start
    if (path / "config.json").exists():
        return resume(path)
    return search(SearchConfig(start=start, **TRAINING, **SEARCH), path)


def train(start: str, seed: int, epochs: int) -> dict:
    """Train a network scaled to the budget from random initialisation, once."""
    name = Path(start).parent.name + "-winner" if start.endswith(".json") else start
    path = RUNS / "baselines" / f"{name}_{epochs}_epochs_seed_{seed}"
    if not (path / "result.json").exists():
        config = TrainConfig(start=start, seed=seed, **TRAINING | {"epochs": epochs})
        train_single(config, path, scale_to=SEARCH["flops"], overwrite=path.exists())
    return json.loads((path / "result.json").read_text(encoding="utf-8"))


def same_flops(start: str) -> dict[str, tuple[str, int, tuple[int, ...]]]:
    """The networks of the table beside a search: name, start or JSON file, epochs and seeds.

    RB-0Net scaled to the budget is one layer of 352 channels at full resolution: slow, and 20
    points behind after the first seed, so it gets no more.
    """
    few, more = TRAINING["epochs"], epochs_behind(start)
    winner = str(RUNS / start / "architecture.json")
    networks = {start: start, "ResNet-20": "resnet-20", "winner trained anew": winner}
    return {
        f"{name}, {epochs} epochs": (network, epochs, SEEDS[:1] if network == "rb-0net" else SEEDS)
        for epochs in sorted({few, more})
        for name, network in networks.items()
    }


def epochs_behind(start: str) -> int:
    """How many epochs the weights of a search's winner have seen, in all trainings before it."""
    history = read_history(RUNS / start)
    best = history.best()
    if best.variant != NO_REG_WI:
        return TRAINING["epochs"]
    trainings, record = 1, best.record
    while record is not None:
        trainings += bool(record.trainings)
        from_scratch = record.origin in ("start", "morphnet")
        record = None if from_scratch else history.records[record.parent]
    return trainings * TRAINING["epochs"]


def summary(start: str) -> dict:
    """Everything about one search that its table needs."""
    history = read_history(RUNS / start)
    best = history.best()
    return {
        "command": f"python -m experiments.resbuilder.fashion_mnist search {start}",
        "settings": {k: v for k, v in history.config.items() if k != "data_dir"},
        "environment": history.environment,
        "seconds_in_training": history.finished["seconds"],
        "reason": history.finished["reason"],
        "winner": {
            "architecture": str(best.record.architecture),
            "variant": best.variant,
            "flops": best.record.flops,
            "parameters": best.record.parameters,
            "depth": best.record.depth,
            "accuracy_validation": best.validation,
            "accuracy_test": best.test,
            "epochs_behind_its_weights": epochs_behind(start),
        },
        "architectures": summary_rows(history),
        "same_flops": {
            name: spread(train(network, seed, epochs) for seed in seeds)
            for name, (network, epochs, seeds) in same_flops(start).items()
        },
    }


def table(start: str, report: dict) -> str:
    """The Markdown table of one search."""
    won = report["winner"]
    lines = [
        "| network | epochs | FLOPs | parameters | depth | validation % | test % |",
        "|---|---|---|---|---|---|---|",
        f"| **search from {start}** (No Reg {won['variant'][-2:].upper()}, one search) "
        f"| {won['epochs_behind_its_weights']} | {won['flops']:,} | {won['parameters']:,} "
        f"| {won['depth']} | {100 * won['accuracy_validation']:.2f} "
        f"| **{100 * won['accuracy_test']:.2f}** |",
    ]
    for name, row in report["same_flops"].items():
        network, epochs = name.removesuffix(" epochs").rsplit(", ", 1)
        accuracies = [
            f"{100 * row[f'accuracy_{part}']:.2f}"
            + ("" if row["seeds"] == 1 else f" ± {100 * row[f'deviation_{part}']:.2f}")
            for part in ("validation", "test")
        ]
        lines.append(
            f"| {network} | {epochs} | {row['flops']:,} | {row['parameters']:,} | {row['depth']} | "
            + " | ".join(accuracies)
            + " |"
        )
    return "\n".join(lines)


def spread(runs: Iterable[dict]) -> dict:
    """Mean and standard deviation over seeds of the accuracies of some trainings."""
    runs = list(runs)
    result = {key: runs[0][key] for key in ("architecture", "flops", "parameters", "depth")}
    for part in ("validation", "test"):
        accuracies = [run[part]["accuracy"] for run in runs]
        result[f"accuracy_{part}"] = float(np.mean(accuracies))
        result[f"deviation_{part}"] = float(np.std(accuracies, ddof=1)) if len(runs) > 1 else None
    return result | {"seeds": len(runs), "seconds": float(np.mean([r["seconds"] for r in runs]))}


if __name__ == "__main__":
    main()
