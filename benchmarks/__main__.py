"""Every benchmark, one after the other, and one table of the goals at the end.

    python -m benchmarks [NAME ...]

A benchmark that cannot run here (a peer is not installed) is named with its reason. Exit status: 1
if one failed; a goal that is missed is no failure, because a busy machine misses some.
"""

import re
import subprocess
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

NAMES = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
GOAL = re.compile(r"(?P<measured>.+), goal (?P<goal>[<>]= .+): (?P<verdict>reached|MISSED)")
# How argparse ends a program that lacks something.
UNUSABLE = 2


def goals(lines: list[str]) -> list[tuple[str, str, str, str]]:
    """What was measured: heading (the last line that is not indented), measured, goal, verdict."""
    found, heading = [], ""
    for line in lines:
        match = GOAL.fullmatch(line.strip())
        if not line.startswith(" ") and not match:
            heading = line.split(":")[0].strip()
        if match:
            found.append((heading, *match.groups()))
    return found


def run(name: str) -> tuple[int, list[str]]:
    """Runs a benchmark, printing what it prints; returns its exit status and lines."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    lines = []
    with subprocess.Popen(command, stdout=-1, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    return process.returncode, lines


@click.command(help=__doc__.splitlines()[0])
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
def main(names):
    """Runs them, then prints the table."""
    table = Table("benchmark", "what", "measured", "goal", "")
    failed = False
    for name in names or NAMES:
        print(f"== {name}", flush=True)
        status, lines = run(name)
        for number, row in enumerate(goals(lines)):
            table.add_row("" if number else name, *row)
        if status:
            failed |= status != UNUSABLE
            said = "cannot run here" if status == UNUSABLE else "failed"
            table.add_row(name, f"{said}: {lines[-1] if lines else ''}", "", "", "")
        elif not goals(lines):
            table.add_row(name, "no goal", "", "", "")
    Console().print(table)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
