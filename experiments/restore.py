"""Restore committed results into the folder of runs, so that a script measures only the rest.

::

    python -m experiments.restore survival/domain_gap
    python -m experiments.survival.domain_gap --preset thesis     # continues from there

Scripts look for finished jobs in ``runs/``, which is not in the repository. The committed results
are in ``experiments/results``. Without this command, a script on a fresh checkout measures
everything again from scratch.
"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.catalog import experiments
from experiments.command import Running
from experiments.jobs import write
from experiments.measuring import entries_of_this_version, results_file
from resbuilder.common.cli import Command


def restore(results: Path, folder: Path) -> int:
    """Write the file of each stored job into a folder of runs, unless it exists there.

    Args:
        results: A file below ``experiments/results``.
        folder: The folder of runs.

    Returns:
        How many files were written.

    Raises:
        ValueError: If the results are those of another version.
    """
    stored = entries_of_this_version(results)
    folder.mkdir(parents=True, exist_ok=True)
    missing = {k: v for k, v in stored.items() if not (folder / f"{k}.json").exists()}
    for name, entry in missing.items():
        about = {key: entry[key] for key in ("job", "version", "commit", "machine") if key in entry}
        result = {key: value for key, value in entry.items() if key not in about}
        write(folder / f"{name}.json", about | {"result": result})
    return len(missing)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@click.argument("name", metavar="CHAPTER/NAME")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the runs, as given to the script.  [default: runs/CHAPTER]",
)
def main(name: str, out: Path | None) -> None:
    """Restore the runs of a script."""
    found = committed(Running(out=out))
    if name not in found:
        raise click.UsageError(f"no results of {name!r}; expected one of {', '.join(found)}")
    results, folder = found[name]
    click.echo(f"{restore(results, folder)} results restored into {folder}")


def committed(running: Running) -> dict[str, tuple[Path, Path]]:
    """Return each committed results file, and the folder where its script looks for the jobs."""
    return {
        f"{path.parent.name}/{path.stem}": (path, running.folder(name, preset))
        for experiment in experiments()
        for name in experiment.jobs
        for preset in experiment.times
        if preset != "quick" and (path := results_file(name, preset)).is_file()
    }


if __name__ == "__main__":
    main()
