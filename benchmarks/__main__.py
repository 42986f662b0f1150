"""Run benchmarks, by default all, and print a table of their goals at the end.

    python -m benchmarks [NAME ...]

Most benchmarks measure a ratio to a peer in the same process or on the same machine. A benchmark
that cannot run here, because its peer is not installed, is listed with the reason. The exit status
is 1 if a benchmark failed. A missed goal is not a failure, because goals may be missed on a busy
machine.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("[!_]*.py"))
GOAL = re.compile(r"(?P<measured>.+), goal (?P<goal>[<>]= .+): (?P<verdict>reached|MISSED)")
# Exit status of argparse's errors, such as a missing package.
UNUSABLE = 2


def about(name: str) -> str:
    """Return the first line of a benchmark's docstring, without importing it."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def goals(lines: list[str]) -> list[tuple[str, str, str, str]]:
    """Return heading (the last line without indentation), measurement, goal and verdict of each."""
    found, heading = [], ""
    for line in lines:
        match = GOAL.fullmatch(line.strip())
        if not line.startswith(" ") and not match:
            heading = line.split(":")[0].strip()
        if match:
            found.append((heading, *match.groups()))
    return found


def run(name: str) -> tuple[int, list[str]]:
    """Run a benchmark and repeat its output; return its exit status and lines."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    lines = []
    with subprocess.Popen(command, stdout=-1, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    return process.returncode, lines


LIST = "\n".join(f"{name:16}  {about(name)}" for name in NAMES)


@click.command(
    help=f"{__doc__.splitlines()[0]}\n\nNAME is one of\n\n\b\n{LIST}",
    context_settings={"max_content_width": 120, "terminal_width": 120},
)
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[NAME]...")
def main(names):
    """Run the benchmarks, then print the table."""
    table = Table("benchmark", "what", "measured", "goal", "verdict")
    failed = False
    for name in names or NAMES:
        print(f"== {name}", flush=True)
        status, lines = run(name)
        for number, row in enumerate(goals(lines)):
            table.add_row("" if number else name, *row)
        if status:
            failed |= status != UNUSABLE
            outcome = "cannot run here" if status == UNUSABLE else "failed"
            table.add_row(name, f"{outcome}: {lines[-1] if lines else ''}", "", "", "")
        elif not goals(lines):
            table.add_row(name, "it has no goal", "", "", "")
    Console().print(table)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
