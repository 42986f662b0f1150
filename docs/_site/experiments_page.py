"""The list of the Reproduction part: what ``python -m experiments`` prints, as a page."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from experiments import catalog, measuring

PAGE = "reproduction/experiments.md"


def pages() -> Iterator[tuple[str, str]]:
    """Yield path and Markdown of the page."""
    lines = ["# Every table and figure", "", *_about(), ""]
    heading = None
    for name, module in catalog.scripts():
        home = import_module(name.rpartition(".")[0])
        if home is not heading:
            heading = home
            lines += ["", f"## {_first_line(home)}", ""]
        lines += [f"### {_first_line(module)}", ""]
        found = getattr(module, "EXPERIMENTS", ())
        for experiment in found:
            lines += _table(name, experiment)
        if not found:
            lines += [f"`python -m {name}`", ""]
    yield PAGE, "\n".join(lines) + "\n"


def _about() -> list[str]:
    return [
        "`python -m experiments` prints this list. Every command that has presets also has",
        "`--preset quick`, which takes minutes and shows that it works. `--help` of a command says",
        "more. `python -m experiments.tables` writes all tables and figures again from the stored",
        "numbers, and `python -m experiments.restore` turns stored numbers into run folders.",
    ]


def _first_line(module) -> str:
    return module.__doc__.splitlines()[0].removesuffix(".").replace("_", "\\_")


def _table(name: str, experiment: catalog.Experiment) -> Iterator[str]:
    choice = "--preset PRESET" if len(experiment.times) > 1 else ""
    said = " ".join(filter(None, (f"python -m {name}", experiment.arguments, choice)))
    yield from (f"`{said}`", "", "| preset | measured | time | result |", "|---|---|---|---|")
    for preset, time in experiment.times.items():
        if preset != "quick":
            state, link = experiment.state(preset), ""
            if state != catalog.NOT_MEASURED:
                path = experiment.results(preset).relative_to(measuring.RESULTS).as_posix()
                assert Path(measuring.RESULTS, path).is_file(), path
                link = f"[{Path(path).name}](../experiments/results/{path})"
            yield f"| `{preset}` | {state} | {time} | {link} |"
    yield ""
