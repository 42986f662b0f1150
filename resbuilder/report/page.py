"""The report: figures in ``figures/`` and one self-contained ``report.html``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from resbuilder.common.figures import data_uri, styled
from resbuilder.common.files import atomically
from resbuilder.common.page import page_template
from resbuilder.report.accuracy_plot import accuracy_plot
from resbuilder.report.architectures_plot import architectures_plot
from resbuilder.report.classes_plot import classes_plot, confusion, most_confused
from resbuilder.report.curves_plot import curves_plot
from resbuilder.report.decisions import decisions
from resbuilder.report.flops_plot import flops_plot
from resbuilder.report.history import History, Record, Score, read_history, summary_rows
from resbuilder.report.race import best_contender, chosen_among, race_plot, race_winner
from resbuilder.report.removals_plot import removals_plot
from resbuilder.report.settings import settings_rows
from resbuilder.report.style import Plot, percent, render, si
from resbuilder.report.usage import usage_of
from resbuilder.report.verdict import finding, interval_of, race_verdict, search_verdict
from resbuilder.report.widths_plot import widths_plot
from resbuilder.run import BEST_MODEL, TrainingEvent
from resbuilder.variants import FINAL

PLOTS = (
    accuracy_plot,
    architectures_plot,
    flops_plot,
    widths_plot,
    curves_plot,
    classes_plot,
    removals_plot,
)
RACE_PLOTS = (race_plot, architectures_plot, classes_plot)


def write_report(run_dir: str | Path) -> Path:
    """Write the figures and the page of a run, whether it is finished or not.

    Every file is replaced atomically, so that readers never see a part of one.

    Args:
        run_dir: A run folder; nothing else is needed.

    Returns:
        The path of ``report.html``. The figures are in ``figures/`` as PNG and SVG.

    Raises:
        ValueError: If the folder cannot be read (see :func:`read_history`).
    """
    history = read_history(run_dir)
    (history.run_dir / "figures").mkdir(exist_ok=True)
    figures = []
    with styled():
        for make in RACE_PLOTS if history.is_race else PLOTS:
            if (plot := make(history)) is not None:
                figures.append(_save(history.run_dir / "figures", plot))
    template = page_template("resbuilder.report", percent=percent, si=si)
    html = template.render(_context(history), figures=figures)
    path = history.run_dir / "report.html"
    with atomically(path) as part:
        part.write_text(html, encoding="utf-8")
    return path


def _save(folder: Path, plot: Plot) -> dict:
    png = render(plot, "png")
    plot.figure.set_layout_engine("none")  # The layout is the same, and slow to compute.
    for kind, data in (("png", png), ("svg", render(plot, "svg"))):
        with atomically(folder / f"{plot.name}.{kind}") as part:
            part.write_bytes(data)
    return {
        "name": plot.name,
        "title": plot.title,
        "caption": plot.caption,
        "image": data_uri(png, "png"),
    }


def _context(history: History) -> dict:
    best, largest = history.best(), history.best(any_size=True)
    matrix, names = confusion(history)
    images = None if matrix is None else int(matrix.sum())
    candidates = sum(
        s.variant in FINAL and history.within_budget(s.record) for s in history.scores()
    )
    rows = summary_rows(history)
    compared: dict[str, Score | Record | None]
    if history.is_race:
        start, verdict = None, race_verdict(history, best, images)
        found, contender = race_winner(history), best_contender(history)
        compared = {"winner of the race": found, "best contender": contender}
        chosen = best and chosen_among(history, best)
    else:
        start, verdict = history.records.get(0), search_verdict(history, best, images)
        compared = {"start network": start, "best architecture": best}
        chosen = best and (
            f"chosen from {candidates} trained networks by its validation accuracy of "
            f"{percent(best.validation)}"
        )
    return {
        "run": history.run_dir.resolve().name,
        "dataset": dataset_name(history),
        "found": finding(history, best, images),
        "state": _state(history),
        "notes": history.notes,
        "history": history,
        "budget": history.budget,
        "variants": history.variants,
        "race": history.is_race,
        "chosen": chosen,
        "best": best,
        "start": start,
        "largest": None if largest is None or largest == best else largest,
        "test_images": images,
        "interval": interval_of(best, images),
        "verdict": verdict,
        "compared": _compared(compared),
        "rows": rows,
        "balanced": any(row["balanced_test"] is not None for row in rows),
        "decisions": decisions(history),
        "settings": settings_rows(history.config),
        "environment": list(_flat(history.environment)),
        "confused": [] if matrix is None else most_confused(matrix, names),
        "model": BEST_MODEL.as_posix() if (history.run_dir / BEST_MODEL).is_file() else None,
        "use": usage_of(history),
        "seconds": sum(event.seconds for event in history.of(TrainingEvent)),
    }


def dataset_name(history: History) -> str:
    """Return the name of the dataset, which is the last part of a path."""
    name = str(history.config.get("dataset", "data"))
    return Path(name).name.removesuffix(".npz") or name


def _compared(found: Mapping[str, Score | Record | None]) -> list[tuple[str, Record]]:
    """Return titles and architectures of those that exist, each architecture once."""
    records = ((t, f.record if isinstance(f, Score) else f) for t, f in found.items())
    return list({r.index: (title, r) for title, r in records if r is not None}.values())


def _state(history: History) -> dict:
    """Return how the run ended: words for the badge, and a sentence."""
    if history.breakdown is not None:
        reason = history.breakdown.reason
        return {
            "kind": "broken",
            "word": "ended early",
            "text": f"The search ended early: {reason}. This page shows the results until then.",
        }
    if history.finished is None:
        return {
            "kind": "unfinished",
            "word": "unfinished",
            "text": "The search is still running or was interrupted; “resbuilder resume” continues "
            "it. This page shows the results so far.",
        }
    return {"kind": "finished", "word": "finished", "text": ""}


def _flat(data, prefix: str = ""):
    """Yield nested settings as (dotted name, value) pairs."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{prefix}{key}", "–" if text in (None, "") else text
