"""The fault run: inject the faults of practice many times, and count the outcomes.

``python -m tests.faults`` runs all parts, which takes about half an hour on two idle cores.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from tests.faults.commands import commands  # noqa: E402
from tests.faults.inputs import fuzzed_inputs  # noqa: E402
from tests.faults.kills import kills  # noqa: E402
from tests.faults.slides import broken_slides  # noqa: E402
from tests.faults.tally import Tally  # noqa: E402

KILLS = {"search": 30, "grid": 30, "slides": 40, "training": 20}
SLIDES, INPUTS = 500, 200
PARTS = (*KILLS, "broken_slides", "inputs", "single")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[PART]...")
@click.option("--seed", default=0, show_default=True, help="Seed of all random choices.")
def main(parts, seed):
    """Inject faults and tally their outcomes.

    PART, by default all of them, is one of search, grid, slides and training, which kill these
    commands; broken_slides; inputs, which are fuzzed; and single, the faults that have their own
    tests, such as a lost node or a full disk.

    The exit status is 0 if all outcomes are right, else 1.
    """
    console, began, tallies, right = Console(), time.monotonic(), [], True
    console.print(f"Faults: {', '.join(parts or PARTS)}; seed {seed}")
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        with console.status("") as status:
            Tally.listener = lambda tally: status.update(f"{tally.fault}: {tally.tried}")
            for tally in _counted(parts or PARTS, Path(folder), seed):
                tallies.append(tally)
                console.print(f"{tally.fault}: {tally.line()}", *tally.wrong, sep="\n  ")
    console.print(_table(tallies))
    wrong = sum(len(tally.wrong) for tally in tallies)
    tried = sum(tally.tried for tally in tallies)
    minutes = (time.monotonic() - began) / 60
    console.print(f"{tried} faults, {wrong} with a wrong outcome, {minutes:.0f} minutes")
    if not parts or "single" in parts:
        import pytest

        right = pytest.main(["-m", "faults", "-q", "--no-header"]) == 0
    sys.exit(0 if right and not wrong else 1)


def _counted(parts: tuple[str, ...], folder: Path, seed: int) -> Iterator[Tally]:
    ready = commands(folder)
    for name, count in KILLS.items():
        if name in parts:
            yield kills(ready[name], count, folder / name, seed)
    if "broken_slides" in parts:
        yield from broken_slides(SLIDES, folder / "broken_slides", seed)
    if "inputs" in parts:
        yield from fuzzed_inputs(INPUTS, folder / "inputs", seed)


def _table(tallies: list[Tally]) -> Table:
    table = Table("fault", "injected", "right outcomes", "wrong outcomes")
    for tally in tallies:
        table.add_row(tally.fault, str(tally.tried), tally.line(), str(len(tally.wrong)))
    return table


if __name__ == "__main__":
    main()
