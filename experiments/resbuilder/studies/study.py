"""A study: a question, searches that differ in one aspect, a figure and an answer.

At the laptop preset, the searches are those of Table 6.1 at its laptop preset on Fashion-MNIST.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.catalog import Experiment
from experiments.command import RUNS, Running, standard_options
from experiments.measuring import measure, publish, stored
from experiments.provenance import this_version
from experiments.resbuilder.columns import FROM_SCRATCH, SEARCH
from experiments.resbuilder.dataset_table import PRESETS, SHORT
from experiments.resbuilder.studies.searches import measure_variant
from experiments.resbuilder.studies.tables import FOUND, Column, Groups, size, table
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
    """The variants of a study, their measurements, and how they are published.

    Attributes:
        name: Name of the module and of the results.
        figure: Figure of the thesis; empty if the study is not in the thesis.
        question: The question of the study, one sentence.
        minutes: Minutes of one core at the laptop preset, including searches that other studies
            share.
        variants: Takes the settings of a preset and returns the settings that each variant
            changes, by name. The first variant is the thesis' method.
        answer: Takes the results by variant and returns one or two sentences.
        draw: Takes the results by variant and returns the figure.
        columns: Columns of the table.
        scratch: Whether a found network is also trained from scratch, for the most epochs that
            weights can have in a search.
        kinds: Variants that are not searches, with their kind.
    """

    name: str
    figure: str
    question: str
    minutes: int
    variants: Callable[[dict], dict[str, dict]]
    answer: Callable[[Groups], str]
    draw: Callable[[Groups], Figure]
    columns: tuple[Column, ...] = FOUND
    scratch: bool = False
    kinds: dict[str, str] = field(default_factory=dict)

    def jobs(self, preset: str) -> dict[str, dict]:
        """Return the settings of the jobs by name."""
        base = SIZES[preset]
        return {
            f"{variant}, seed {seed}": {
                "variant": variant,
                "column": _key(changes),
                "kind": self.kinds.get(variant, SEARCH),
                "settings": base | changes | {"seed": seed},
                FROM_SCRATCH: most_trainings(base) if self.scratch else 0,
                "networks": 0,
            }
            for seed in range(SEEDS[preset])
            for variant, changes in self.variants(base).items()
        }

    def publish_from(self, path: Path) -> None:
        """Write the figure and the page next to a results file."""
        groups: Groups = {}
        for result in stored(path):
            groups.setdefault(result["job"]["variant"], []).append(result)
        thesis = f"Thesis: {self.figure}." if self.figure else "This study is not in the thesis."
        page = (
            f"# {self.question}\n\n![{self.question}]({path.stem}.png)\n\n{self.answer(groups)}\n\n"
            f"{table(groups, self.columns)}\n{thesis} {size(groups)}\n"
        )
        publish(path, self.draw(groups), page)

    def command(self) -> click.Command:
        """Return the command of the study's module."""

        reference = self.figure.capitalize() or "Beyond the thesis"

        @click.command(cls=Command, help=f"{reference}: {self.question}")
        @standard_options(CHAPTER, *SIZES, seeds=SEEDS, mirrored=True)
        def main(preset: str, running: Running) -> None:
            self.run(preset, running)

        return main

    def experiment(self) -> Experiment:
        """Return what the study's module stores."""
        return Experiment(
            jobs={f"{CHAPTER}/{self.name}": self.jobs},
            publish_from=self.publish_from,
            times={
                "quick": "minutes on 2 cores",
                "laptop": f"{self.minutes} minutes on one core",
                "thesis": "needs a GPU",
            },
        )

    def run(self, preset: str, running: Running) -> None:
        """Run the missing measurements, and write the page and the figure."""
        searches = (running.out or RUNS / CHAPTER) / f"searches_{preset}_{this_version()}"
        work = partial(measure_variant, searches=searches)
        name = f"{CHAPTER}/{self.name}"
        self.publish_from(measure(name, work, self.jobs(preset), preset, running))


def most_trainings(settings: dict) -> int:
    """Return the most trainings that weights can have seen in a search with inherited channels."""
    return settings["rounds"] * (1 + settings["insertions"]) + 2


def _key(changes: dict) -> str:
    """Return the name of a search's folder, which is its changes to the thesis' settings."""
    text = ", ".join(f"{name}={value}" for name, value in changes.items()) or "thesis"
    return text.replace(".", "_")  # a dot would start a file's suffix
