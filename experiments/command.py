"""The options of the scripts: where their jobs run, and how many of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from functools import reduce, wraps
from pathlib import Path

import click
from click.core import ParameterSource

from experiments.jobs import seed_of
from experiments.provenance import this_version
from resbuilder.common.backend import prepare_backend
from resbuilder.common.cli import resumed_by

RUNS = Path("runs")

PRESETS = {
    "quick": "a trial that takes minutes on 2 cores",
    "laptop": "less data and smaller networks, for a laptop",
    "workstation": "all data, for a workstation",
    "thesis": "the full size; that of the thesis, where it has this experiment",
}
DATA = "Folder that contains NAME.npz.  [default: the variable RESBUILDER_DATA]"


@dataclass(frozen=True)
class Running:
    """Where a script's jobs run, and how many of them. None of this changes a job's result.

    Attributes:
        workers: Number of processes; with ``ray="local"``, number of cores that Ray uses.
        data_dir: Folder of the data.
        out: Folder of the runs, if it is not the default.
        seeds: Run only the jobs of the first N seeds; None for all.
        ray: Address of a Ray cluster; ``"local"`` starts Ray on this machine; None uses processes.
        gpus: With ``ray``, GPUs of each training.
        memory: With ``ray``, memory of each training in GiB.
        strategy: ``"one_device"``, or ``"mirrored"``: one training at a time on all GPUs.
    """

    workers: int = 2
    data_dir: str | None = None
    out: Path | None = None
    seeds: int | None = None
    ray: str | None = None
    gpus: float = 0
    memory: float = 2
    strategy: str = "one_device"

    def at_most(self, seeds: int) -> int:
        """Return how many of ``seeds`` seeds run."""
        return seeds if self.seeds is None else min(seeds, self.seeds)

    def chosen(self, jobs: Mapping[str, dict]) -> list[str]:
        """Return the names of the jobs of the first ``seeds`` seeds, or of all."""
        seeds = sorted({seed_of(job) for job in jobs.values()})[: self.seeds]
        return [name for name, job in jobs.items() if seed_of(job) in seeds]

    def folder(self, name: str, preset: str) -> Path:
        """Return the folder of the runs of ``CHAPTER/SCRIPT`` at a preset."""
        chapter, script = name.split("/")
        return (self.out or RUNS / chapter) / f"{script}_{preset}"

    def searches(self, name: str, preset: str) -> Path:
        """Return the folder of the searches of ``CHAPTER/SCRIPT``, which jobs resume.

        Each version has its own, because a search of another version must not be continued.
        """
        return self.folder(name, preset) / f"searches_{this_version()}"

    def cluster(self) -> Callable[[], Executor] | None:
        """Return a function that makes the executor of a cluster, or None for processes."""
        if self.ray is None:
            return None

        def make() -> Executor:
            from resbuilder.common.cluster import RayExecutor

            try:
                return RayExecutor(self.ray, self.workers, gpus=self.gpus, memory=self.memory)
            except ValueError as error:
                raise click.UsageError(str(error)) from error

        return make


def data_dir_option(text: str, made: bool = False) -> Callable[[Callable], Callable]:
    """Return the decorator for the option ``--data-dir``.

    Args:
        text: Help text.
        made: Whether the script makes the folder, so that it need not exist.
    """

    def check(context: click.Context, option: click.Parameter, given: str | None) -> str | None:
        # Before any process starts, which would take minutes on a busy machine.
        if given is None:
            return None
        folder = Path(given).expanduser()  # A shell leaves the ~ of --data-dir=~/x.
        if not (made or folder.is_dir()):
            raise click.BadParameter(f"{given} is not a folder; create it or name another")
        return str(folder)

    return click.option("--data-dir", callback=check, help=text)


def standard_options(
    chapter: str,
    *presets: str,
    seeds: Mapping[str, int] | None = None,
    mirrored: bool = False,
    data_help: str | None = None,
) -> Callable[[Callable], Callable]:
    """Decorate a script's function with the options that all scripts have.

    The function is called with ``preset`` and ``running``. Ctrl-C prints how to resume.

    Args:
        chapter: Folder of the script's runs and results.
        presets: Names from :data:`PRESETS`, by default quick and thesis; the first is the default.
        seeds: How many seeds each preset has. Without it, the script has no ``--seeds``.
        mirrored: Whether the script's jobs support ``strategy``.
        data_help: Help text of ``--data-dir`` in a script that makes this folder.
    """
    presets = presets or ("quick", "thesis")
    options = _options(chapter, presets, seeds, mirrored, data_help)

    def decorate(main: Callable) -> Callable:
        @wraps(main)
        def command(**given):
            prepare_backend()
            names = [field.name for field in fields(Running) if field.name in given]
            running = Running(**{name: given.pop(name) for name in names})
            _check(running, given["preset"], seeds or {})
            with resumed_by():
                return main(running=running, **given)

        return reduce(lambda done, option: option(done), reversed(options), command)

    return decorate


def _options(chapter, presets, seeds, mirrored, data_help) -> list[Callable]:
    """Return the options in the order in which ``--help`` shows them."""
    tracked = [name for name in presets if name != "quick"]
    kinds = "; ".join(f"{name}: {PRESETS[name]}" for name in presets)
    options = [
        click.option(
            "--preset",
            type=click.Choice(presets),
            default=presets[0],
            show_default=True,
            help=f"{kinds}. `python -m experiments` lists their times. Results of "
            f"{' and '.join(tracked)} are written to experiments/results/{chapter}, which is "
            "tracked by git; those of quick stay in the folder of the runs.",
        )
    ]
    if seeds:
        counts = ", ".join(f"{name} {count}" for name, count in seeds.items())
        options.append(
            click.option(
                "--seeds",
                type=click.IntRange(1),
                metavar="N",
                help="Run only the first N seeds; stored results of the others are kept. By "
                f"default all: {counts}.",
            )
        )
    options += [
        click.option(
            "--workers",
            type=click.IntRange(1),
            default=2,
            show_default=True,
            help="Trainings at the same time, each on one core and, if there is one, one GPU.",
        ),
        data_dir_option(data_help or DATA, made=bool(data_help)),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            help=f"Folder of the runs.  [default: {RUNS / chapter}]",
        ),
        click.option(
            "--ray",
            metavar="ADDRESS",
            help="Run the trainings on a Ray cluster (HOST:PORT), or start Ray on this machine "
            "(local).",
        ),
        click.option(
            "--gpus",
            type=click.FloatRange(0),
            default=0,
            show_default=True,
            help="With --ray: GPUs of each training; fractions are allowed.",
        ),
        click.option(
            "--memory",
            type=click.FloatRange(0, min_open=True),
            default=2,
            show_default=True,
            help="With --ray: memory of each training in GiB.",
        ),
    ]
    if mirrored:
        options.append(
            click.option(
                "--strategy",
                type=click.Choice(["one_device", "mirrored"]),
                default="one_device",
                show_default=True,
                help="mirrored: one training at a time, its batches split across all GPUs.",
            )
        )
    return options


def _check(running: Running, preset: str, seeds: Mapping[str, int]) -> None:
    """Reject combinations of options that contradict each other."""

    def given(option: str) -> bool:
        source = click.get_current_context().get_parameter_source(option)
        return source not in (None, ParameterSource.DEFAULT)

    for option in ("gpus", "memory"):
        if running.ray is None and given(option):
            raise click.UsageError(f"--{option} needs --ray: add it, or leave --{option} out")
    if running.strategy == "mirrored" and running.ray is not None and not running.gpus:
        raise click.UsageError(
            "--strategy mirrored with --ray trains on as many GPUs as --gpus says: add --gpus"
        )
    if running.strategy == "mirrored" and running.workers > 1 and given("workers"):
        raise click.UsageError(
            "--strategy mirrored runs one training at a time on all GPUs, but --workers "
            f"{running.workers} runs several; give only one of the two"
        )
    if running.seeds is not None and running.seeds > seeds[preset]:
        raise click.UsageError(
            f"--seeds {running.seeds} is too large: --preset {preset} has {seeds[preset]}. Give "
            f"at most {seeds[preset]}, or leave --seeds out"
        )
