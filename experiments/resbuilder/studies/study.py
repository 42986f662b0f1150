"""A study: a question, searches that differ in what it asks about, a figure and an answer.

At the laptop preset the searches are those of Table 6.1's laptop preset on Fashion-MNIST.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.catalog import Experiment
from experiments.command import RUNS, Running, measure, publish, standard_options, stored
from experiments.resbuilder.columns import SEARCH
from experiments.resbuilder.studies.searches import measure_variant
from experiments.resbuilder.studies.tables import FOUND, Column, Groups, size, table
from experiments.resbuilder.table import PRESETS, SHORT
from resbuilder.common.cli import Command

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHAPTER = "resbuilder_studies"
REGULARIZATION = {"lambda_morphnet": 1e-7, "lambda_layer": 1e-8, "tau_layer": 1e-3}
SIZES = {
    "quick": {
        "dataset": "digits",
        "train_limit": 400,
        "epochs": 1,
        "batch_size": 16,
        "flops": 1e5,
        "width": 4,
        "rounds": 1,
        "insertions": 1,
        "lambda_morphnet": 1e-4,
    }
    | SHORT,
    "laptop": {"dataset": "fashion_mnist"} | PRESETS["laptop"][1],
    "thesis": {"dataset": "cifar10", "flops": 1e8, "rounds": 7, "insertions": 4} | REGULARIZATION,
}
SEEDS = {"quick": 1, "laptop": 2, "thesis": 3}


@dataclass(frozen=True)
class Study:
    """What is varied, what is measured of it, and how it is told.

    Attributes:
        name: Of the module and of the results.
        figure: Where the thesis has it.
        question: What the study asks, one sentence.
        minutes: Of one core, of the laptop preset; searches that other studies share included.
        variants: From the settings of a size to those that each variant changes, by name; the first
            is the thesis' method.
        answer: From the results by variant to one sentence.
        draw: From the results by variant to the figure.
        columns: What the table says of each variant.
        anew: Whether a network that is found is also trained from random weights, for as many
            epochs as weights can have seen in a search.
        kinds: Variants that are no searches, with their kind.
    """

    name: str
    figure: str
    question: str
    minutes: int
    variants: Callable[[dict], dict[str, dict]]
    answer: Callable[[Groups], str]
    draw: Callable[[Groups], Figure]
    columns: tuple[Column, ...] = FOUND
    anew: bool = False
    kinds: dict[str, str] = field(default_factory=dict)

    def jobs(self, preset: str) -> dict[str, dict]:
        """Settings of the jobs, by name."""
        base = SIZES[preset]
        return {
            f"{variant}, seed {seed}": {
                "variant": variant,
                "column": _key(changes),
                "kind": self.kinds.get(variant, SEARCH),
                "settings": base | changes | {"seed": seed},
                "anew": most_trainings(base) if self.anew else 0,
                "networks": 0,
            }
            for seed in range(SEEDS[preset])
            for variant, changes in self.variants(base).items()
        }

    def publish_from(self, path: Path) -> None:
        """Writes figure and page from a file of results."""
        groups: Groups = {}
        for result in stored(path):
            groups.setdefault(result["job"]["variant"], []).append(result)
        page = (
            f"# {self.question}\n\n![{self.question}]({path.stem}.png)\n\n{self.answer(groups)}\n\n"
            f"{table(groups, self.columns)}\nThesis: {self.figure}. {size(groups)}\n"
        )
        publish(path, self.draw(groups), page)

    def command(self) -> click.Command:
        """The command of the study's module."""

        @click.command(cls=Command, help=self.question)
        @standard_options(CHAPTER, *SIZES, seeds=SEEDS, mirrored=True)
        def main(preset: str, running: Running) -> None:
            self.run(preset, running)

        return main

    def experiment(self) -> Experiment:
        """What the study's module stores."""
        return Experiment(
            jobs={f"{CHAPTER}/{self.name}": self.jobs},
            publish_from=self.publish_from,
            times={
                "quick": "minutes on 2 cores",
                "laptop": f"{self.minutes} minutes of one core",
                "thesis": "needs a GPU",
            },
        )

    def run(self, preset: str, running: Running) -> None:
        """Measure what is missing, draw, answer."""
        searches = (running.out or RUNS / CHAPTER) / f"searches_{preset}"
        work = partial(measure_variant, searches=searches)
        name = f"{CHAPTER}/{self.name}"
        self.publish_from(measure(name, work, self.jobs(preset), preset, running))


def most_trainings(settings: dict) -> int:
    """As many trainings as weights can have seen in a search in which channels inherit theirs."""
    return settings["rounds"] * (1 + settings["insertions"]) + 2


def _key(changes: dict) -> str:
    """The name of a search's folder, the same in every study: what it changes of the thesis."""
    text = ", ".join(f"{name}={value}" for name, value in changes.items()) or "thesis"
    return text.replace(".", "_")  # no suffix of a file
