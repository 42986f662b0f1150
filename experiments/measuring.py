"""Measure the jobs of a script, and write its results, its table and its figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.command import Running
from experiments.jobs import as_stored, read, run_all, write
from experiments.provenance import this_version

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"


def measure(
    name: str,
    work: Callable[[dict], dict],
    jobs: dict[str, dict],
    preset: str,
    running: Running,
    only: Collection[str] | None = None,
) -> Path:
    """Run the jobs that are missing, and store all results in one file.

    Args:
        name: ``CHAPTER/SCRIPT``, for the folder of runs and the results file.
        work: Takes the settings of a job and returns its result.
        jobs: Settings of all jobs by name. Stored results of jobs that do not run are kept. Their
            settings may be provisional, such as a rate that is not chosen yet.
        preset: Results of ``"quick"`` stay in the folder of the runs; all others go to
            ``experiments/results``.
        running: Where the jobs run, and for how many seeds.
        only: Names of the jobs that run; by default those of ``running.seeds``.

    Returns:
        ``SCRIPT.json``, or ``SCRIPT_laptop.json`` for the laptop preset. Figures and tables
        belong next to it.

    Raises:
        ValueError: If the stored results are those of another version.
    """
    folder = running.folder(name, preset)
    path = results_file(name, preset, running)
    entries_of_this_version(path)  # Fail before the first training.
    path.parent.mkdir(parents=True, exist_ok=True)
    if only is None:
        only = running.chosen(jobs)
    run_all(
        work,
        {job_name: job for job_name, job in jobs.items() if job_name in only},
        folder,
        running.workers,
        running.data_dir,
        running.cluster(),
        running.strategy,
        after_each=lambda: _store(path, jobs, folder, only),
    )
    _store(path, jobs, folder, only)
    return path


def results_file(name: str, preset: str, running: Running | None = None) -> Path:
    """Return the results file of ``CHAPTER/SCRIPT``; for quick, it is among the runs."""
    if preset == "quick":
        return (running or Running()).folder(name, preset) / "report" / f"{name.split('/')[1]}.json"
    return RESULTS / f"{name}_laptop.json" if preset == "laptop" else RESULTS / f"{name}.json"


def _store(path: Path, jobs: dict[str, dict], folder: Path, only: Collection[str]) -> None:
    """Write the results of the jobs that run, and keep stored results of the others."""
    earlier = entries_of_this_version(path)
    entries = {}
    for name, job in jobs.items():
        if name in only and (done := read(folder, name, job)):
            about = {"job": job, "version": this_version()}
            about |= {key: done.get(key) for key in ("commit", "machine")}
            entries[name] = about | done["result"]
        elif name in earlier and earlier[name]["job"] == as_stored(job):
            entries[name] = earlier[name]
    write(path, entries)


def entries_of_this_version(path: Path) -> dict[str, dict]:
    """Return the entries of a results file by name of the job; empty if the file does not exist.

    Raises:
        ValueError: If some were measured with another version.
    """
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if others := {e["version"] for e in entries.values() if "version" in e} - {this_version()}:
        raise ValueError(
            f"{path} was measured with version {', '.join(sorted(others))}, but this is "
            f"{this_version()}; results of two versions are not mixed. Check out the version that "
            "measured it, or remove the file and measure again from scratch"
        )
    return entries


def publish(path: Path, figure: Figure, table: str | None = None) -> None:
    """Write a figure, and a table if there is one, next to a results file, and print where.

    Args:
        path: The file that :func:`measure` returned.
        figure: Saved as ``NAME.png``.
        table: Markdown, saved as ``NAME.md`` and printed.
    """
    figure.savefig(path.with_suffix(".png"), dpi=150)
    if table is not None:
        publish_table(path, table)
    click.echo(
        f"{'Figure' if table is None else 'Table, figure'} and all numbers: {path.stem}.* in "
        f"{path.parent}"
    )


def publish_table(path: Path, table: str) -> None:
    """Print a Markdown table, and write it next to the results file ``path``."""
    path.with_suffix(".md").write_text(table, encoding="utf-8")
    click.echo(table)


def stored(path: Path) -> list[dict]:
    """Return the entries of a results file: each job's settings as ``job``, and its result."""
    return list(json.loads(path.read_text(encoding="utf-8")).values())
