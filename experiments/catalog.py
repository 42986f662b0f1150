"""The list of what can be reproduced: each script with its presets, times, results and state.

The first line of a script's docstring says what it reproduces, and ``EXPERIMENTS`` says what it
stores. A package names its scripts in ``SCRIPTS``, in the order of the thesis.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click

from experiments.jobs import as_stored, seed_of
from experiments.measuring import RESULTS, results_file
from resbuilder.common.cli import Command

# Packages below this one, in the order of the thesis.
PACKAGES = ("phs", "morphnet", "resbuilder", "resbuilder.studies", "survival", "scale")
MEASURED, NOT_MEASURED = "measured", "not measured"
ABOUT = """\
Each entry names a table or figure and the command that reproduces it. Below the command, each
preset has a line with its state (how many of its jobs have results in experiments/results), the
time that all its jobs take, and the committed result. A job is one training or one search.

Every command with presets also has --preset quick: it takes minutes, shows that the command works
and changes no committed result. Add --help to a command to see its options."""
PARTS = "One part of this list: python -m experiments.PART, where PART is one of"


@dataclass(frozen=True)
class Experiment:
    """What a script stores, and how long that takes.

    Attributes:
        jobs: Maps ``CHAPTER/NAME`` of a results file to a function that takes a preset and
            returns the settings of the file's jobs by name.
        publish_from: Writes the table and the figure next to a results file.
        times: How long each preset takes. A script without presets has one, ``"thesis"``.
        arguments: What follows the module in the command.
        page: ``CHAPTER/NAME`` of table and figure if it differs from that of the results.
    """

    jobs: Mapping[str, Callable[[str], dict[str, dict]]]
    publish_from: Callable[[Path], None]
    times: Mapping[str, str]
    arguments: str = ""
    page: str = ""

    def state(self, preset: str) -> str:
        """Return how many of a preset's jobs have committed results."""
        done: dict[int, list[bool]] = defaultdict(list)
        for name, jobs in self.jobs.items():
            path = results_file(name, preset)
            stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            for job_name, job in jobs(preset).items():
                there = job_name in stored and stored[job_name]["job"] == as_stored(job)
                done[seed_of(job)].append(there)
        jobs_done, total = sum(map(sum, done.values())), sum(map(len, done.values()))
        if not jobs_done:
            return NOT_MEASURED
        if jobs_done == total:
            return MEASURED
        whole = [seed for seed in done.values() if all(seed)]
        if sum(map(len, whole)) == jobs_done:
            return f"partly: {len(whole)} of {len(done)} seeds"
        return f"partly: {jobs_done} of {total} jobs"

    def results(self, preset: str) -> Path:
        """Return the committed table of a preset, or its figure if it has no table."""
        path = results_file(self.page or next(iter(self.jobs)), preset)
        table = path.with_suffix(".md")
        return table if table.is_file() else path.with_suffix(".png")


def scripts(package: str = "") -> Iterator[tuple[str, ModuleType]]:
    """Yield name and module of every script, in the order of the thesis.

    Args:
        package: A package below ``experiments``, such as ``"phs"``; by default all of them.
            ``"resbuilder"`` includes ``"resbuilder.studies"``.
    """
    for home in PACKAGES:
        if not package or f"{home}.".startswith(f"{package}."):
            for script in import_module(f"experiments.{home}").SCRIPTS:
                name = f"experiments.{home}.{script}"
                yield name, import_module(_home(name))


def _home(script: str) -> str:
    """Return the module of a script; if the script is a package, that is its ``__main__``."""
    is_package = (Path(__file__).parents[1] / Path(*script.split("."))).is_dir()
    return f"{script}.__main__" if is_package else script


def experiments(package: str = "") -> Iterator[Experiment]:
    """Yield the experiments of all scripts, in the order of the thesis."""
    for _, module in scripts(package):
        yield from getattr(module, "EXPERIMENTS", ())


def listing(package: str = "") -> str:
    """Return the list for a terminal.

    Args:
        package: See :func:`scripts`.
    """
    lines = [ABOUT]
    if not package:
        lines += ["", PARTS, ", ".join(PACKAGES) + "."]
    heading = None
    for name, module in [*scripts(package), *([] if package else _for_all_chapters())]:
        home = import_module(name.rpartition(".")[0])
        if home is not heading:
            heading = home
            lines += ["", click.style(_first_line(home), bold=True)]
        lines += ["", _first_line(module)]
        for experiment in getattr(module, "EXPERIMENTS", ()):
            lines += _lines(name, experiment)
        if not hasattr(module, "EXPERIMENTS"):
            lines.append(f"  python -m {name}")
    return "\n".join(lines)


def _for_all_chapters() -> Iterator[tuple[str, ModuleType]]:
    for name in ("experiments.tables", "experiments.restore"):
        yield name, import_module(name)


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").splitlines()[0]


def _lines(name: str, experiment: Experiment) -> Iterator[str]:
    """Yield the command of an experiment, and for each preset its state, time and results."""
    choice = "--preset PRESET" if len(experiment.times) > 1 else ""
    yield " ".join(filter(None, ("  python -m", name, experiment.arguments, choice)))
    for preset, time in experiment.times.items():
        if preset == "quick":
            continue
        state = experiment.state(preset)
        color = {MEASURED: "green", NOT_MEASURED: "red"}.get(state, "yellow")
        yield f"    {preset:13}{click.style(f'{state:24}', fg=color)}{time}"
        if state != NOT_MEASURED:
            path = experiment.results(preset).relative_to(RESULTS)
            yield f"{'':17}{Path('experiments/results', path)}"


def list_command(package: str = "") -> click.Command:
    """Return the command of a package's ``__main__``."""

    @click.command(
        cls=Command,
        help="List what can be reproduced: commands, times, committed results and their state.",
    )
    def main() -> None:
        click.echo(listing(package))

    return main
