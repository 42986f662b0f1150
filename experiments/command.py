"""What scripts of many small trainings share: options, where runs and results lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor
from functools import reduce
from pathlib import Path

import click
from click.core import ParameterSource
from matplotlib.figure import Figure

from experiments.jobs import VERSION, as_stored, read, run_all, write
from resbuilder.common.cli import resumed_by
from resbuilder.common.cluster import RayExecutor

RUNS = Path("runs")
RESULTS = Path(__file__).parent / "results"


PRESETS = {
    "quick": "minutes on 2 cores",
    "laptop": "hours on 2 cores",
    "thesis": "everything, as the thesis",
}


def _keep(context: click.Context, option: click.Parameter, value) -> None:
    context.meta[f"{__name__}.{option.name}"] = value


_RAY_OPTIONS = (
    click.option(
        "--ray",
        metavar="ADDRESS",
        expose_value=False,
        callback=_keep,
        help="Trainings on a Ray cluster (HOST:PORT), or on a Ray of this command's own (local).",
    ),
    click.option(
        "--gpus",
        type=click.FloatRange(0),
        default=0,
        show_default=True,
        expose_value=False,
        callback=_keep,
        help="With --ray: GPUs of each training, also a part of one.",
    ),
    click.option(
        "--memory",
        type=click.FloatRange(0, min_open=True),
        default=2,
        show_default=True,
        expose_value=False,
        callback=_keep,
        help="With --ray: GiB of memory of each training.",
    ),
)


_STRATEGY_OPTION = click.option(
    "--strategy",
    type=click.Choice(["one_device", "mirrored"]),
    default="one_device",
    show_default=True,
    expose_value=False,
    callback=_keep,
    help="mirrored: one training at a time, its batches divided among all GPUs.",
)


DATA = "Folder with NAME.npz; else the variable RESBUILDER_DATA."


def standard_options(
    *presets: str, mirrored: bool = False, data_help: str = DATA
) -> Callable[[Callable], Callable]:
    """The options that every script has: preset, workers, data_dir, out.

    Those about Ray and the strategy are no arguments of the script: :func:`measure` finds them.

    Args:
        presets: Names from :data:`PRESETS`, by default quick and thesis; the first is the default.
        mirrored: Whether the script's jobs heed ``strategy``.
        data_help: What ``--data-dir`` is.
    """
    presets = presets or ("quick", "thesis")
    options = (
        click.option("--out", type=click.Path(path_type=Path), help="Folder of the runs."),
        click.option("--data-dir", help=data_help),
        click.option(
            "--workers",
            type=click.IntRange(1),
            default=2,
            show_default=True,
            help="Trainings side by side, one core and one GPU (if any) each.",
        ),
        *_RAY_OPTIONS,
        *([_STRATEGY_OPTION] if mirrored else []),
        click.option(
            "--preset",
            type=click.Choice(presets),
            default=presets[0],
            show_default=True,
            help="; ".join(f"{name}: {PRESETS[name]}" for name in presets) + ".",
        ),
    )
    return lambda command: reduce(lambda done, option: option(done), options, command)


def measure(
    name: str,
    work: Callable[[dict], dict],
    jobs: dict[str, dict],
    preset: str,
    workers: int,
    data_dir: str | None,
    out: Path | None,
) -> Path:
    """Runs the jobs that are missing and stores all results in one file.

    Args:
        name: ``CHAPTER/SCRIPT``, of the folder of runs and the file of results.
        work: What a job does.
        jobs: Settings by name.
        preset: What ``"quick"`` gives stays with its runs, the rest goes to
            ``experiments/results``.
        workers: Processes, or the cores of a Ray of this command's own.
        data_dir: Where the data lies.
        out: Another folder for the runs.

    Returns:
        ``SCRIPT.json`` (of the laptop preset ``SCRIPT_laptop.json``), beside which figures and
        tables belong.
    """
    chapter, script = name.split("/")
    folder = (out or RUNS / chapter) / f"{script}_{preset}"
    strategy = _kept("strategy") or "one_device"
    if strategy == "mirrored" and workers > 1 and _given("workers"):
        raise click.UsageError(
            f"--strategy mirrored trains one at a time on all GPUs, and --workers {workers} shares "
            "them out; give one of the two"
        )
    stored_at = folder / "report" if preset == "quick" else RESULTS / chapter
    path = stored_at / (f"{script}_laptop.json" if preset == "laptop" else f"{script}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    with resumed_by():
        run_all(
            work,
            jobs,
            folder,
            workers,
            data_dir,
            _cluster(workers),
            strategy,
            after_each=lambda: _store(path, jobs, folder),
        )
    _store(path, jobs, folder)
    return path


def _store(path: Path, jobs: dict[str, dict], folder: Path) -> None:
    """Write the results that are there, and keep those stored earlier of jobs that are not."""
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    entries = {}
    for name, job in jobs.items():
        if done := read(folder, name, job):
            about = {"job": job, "version": VERSION, "commit": done.get("commit")}
            entries[name] = about | done["result"]
        elif name in earlier and earlier[name]["job"] == as_stored(job):
            entries[name] = earlier[name]
    write(path, entries)


def _kept(name: str):
    """An option of the running command, None where it has no such option or none runs."""
    context = click.get_current_context(silent=True)
    return context and context.meta.get(f"{__name__}.{name}")


def _given(option: str) -> bool:
    """Whether an option of the running command was given, not left at its default."""
    context = click.get_current_context(silent=True)
    source = context and context.get_parameter_source(option)
    return source not in (None, ParameterSource.DEFAULT)


def _cluster(workers: int) -> Callable[[], Executor] | None:
    """Makes what the options of the running command ask for, None for processes."""
    address, gpus, memory = map(_kept, ("ray", "gpus", "memory"))
    if address is None:
        for option in ("gpus", "memory"):
            if _given(option):
                raise click.UsageError(f"--{option} is of trainings on a cluster: give --ray, too")
        return None

    def make() -> Executor:
        try:
            return RayExecutor(address, workers, gpus=gpus, memory=memory)
        except ValueError as error:
            raise click.UsageError(str(error)) from error

    return make


def publish(path: Path, figure: Figure, table: str | None = None) -> None:
    """Puts a figure, and a table where there is one, beside a file of results, and says where.

    Args:
        path: What :func:`measure` returned.
        figure: Saved as ``NAME.png``.
        table: Markdown, saved as ``NAME.md`` and printed.
    """
    figure.savefig(path.with_suffix(".png"), dpi=150)
    if table is not None:
        path.with_suffix(".md").write_text(table, encoding="utf-8")
        click.echo(table)
    click.echo(
        f"{'Figure' if table is None else 'Table, figure'} and all numbers: {path.stem}.* in "
        f"{path.parent}"
    )


def stored(path: Path) -> list[dict]:
    """The jobs of a file of results: their settings as ``job``, and what came out."""
    return list(json.loads(path.read_text(encoding="utf-8")).values())
