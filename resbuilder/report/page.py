"""The report: figures in ``figures/`` and one self-contained ``report.html``."""

from __future__ import annotations

import math
from pathlib import Path

from resbuilder.common.figures import data_uri, styled
from resbuilder.common.files import atomically
from resbuilder.common.page import page_template
from resbuilder.report.accuracy import accuracy_plot
from resbuilder.report.architectures import architectures_plot
from resbuilder.report.classes import classes_plot, confusion, most_confused
from resbuilder.report.curves import curves_plot
from resbuilder.report.decisions import decisions
from resbuilder.report.flops import flops_plot
from resbuilder.report.history import History, Score, read_history, summary_rows
from resbuilder.report.removals import removals_plot
from resbuilder.report.settings import settings_rows
from resbuilder.report.style import Plot, percent, points, render, si
from resbuilder.report.widths import widths_plot
from resbuilder.run import BEST_MODEL, TrainingEvent
from resbuilder.variants import NO_REG_RI, VARIANTS, WITH_REG

PLOTS = (
    accuracy_plot,
    architectures_plot,
    flops_plot,
    widths_plot,
    curves_plot,
    classes_plot,
    removals_plot,
)
Z95 = 1.959964  # two-sided 95 % quantile of the normal distribution


def write_report(run_dir: str | Path) -> Path:
    """Make the figures and the page of a run, finished or not, from its folder alone.

    Every file is replaced at once, so that a reader never meets half of one.

    Args:
        run_dir: A run folder.

    Returns:
        Path of ``report.html``; figures lie in ``figures/`` as PNG and SVG.

    Raises:
        ValueError: If the folder cannot be read (see :func:`read_history`).
    """
    history = read_history(run_dir)
    (history.run_dir / "figures").mkdir(exist_ok=True)
    figures = []
    with styled():
        for make in PLOTS:
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
    start = history.records.get(0)
    compared = [start] if best is None else [start, best.record]
    return {
        "run": history.run_dir.resolve().name,
        "dataset": history.config.get("dataset", "data"),
        "state": _state(history),
        "notes": history.notes,
        "history": history,
        "budget": history.budget,
        "variants": VARIANTS,
        "best": best,
        "start": start,
        "largest": None if largest is None or largest == best else largest,
        "test_images": images,
        "interval": _interval(best, images),
        "verdict": _verdict(history, best, images),
        "compared": list({r.index: r for r in compared if r is not None}.values()),
        "rows": summary_rows(history),
        "decisions": decisions(history),
        "settings": settings_rows(history.config),
        "environment": list(_flat(history.environment)),
        "confused": [] if matrix is None else most_confused(matrix, names),
        "candidates": sum(
            s.variant != WITH_REG and history.within_budget(s.record) for s in history.scores()
        ),
        "model": BEST_MODEL.as_posix() if (history.run_dir / BEST_MODEL).is_file() else None,
        "seconds": sum(event.seconds for event in history.of(TrainingEvent)),
    }


def _state(history: History) -> dict:
    """Return how the run ended: a word for the badge, and a sentence."""
    if history.breakdown is not None:
        reason = history.breakdown.reason
        return {
            "kind": "broken",
            "word": "broke down",
            "text": f"The search ended early: {reason}. What follows was reached until then.",
        }
    if history.finished is None:
        return {
            "kind": "unfinished",
            "word": "unfinished",
            "text": "The journal has no end: the search is still under way or was interrupted "
            "(“resbuilder resume” goes on). What follows is the state so far.",
        }
    return {"kind": "finished", "word": "finished", "text": ""}


def _verdict(history: History, best: Score | None, images: int | None) -> list[str]:
    """Compare the best network with the start network trained equally long, in sentences."""
    if best is None:
        if any(True for _ in history.scores()):
            return ["No network within the budget has been trained."]
        return ["No network has been trained yet."]
    sentences = []
    start = history.records[0]
    if best.record is start:
        return ["That is the start network: no other within the budget was better."]
    if (before := history.best_of(start)) is not None:
        sentences.append(
            f"The start network, chosen in the same way ({before.label.partition(' ')[2]}), "
            f"reaches {percent(before.test)} on test data."
        )
    ours, theirs = (r.accuracy(NO_REG_RI, "test") for r in (best.record, start))
    if ours is not None and theirs is not None:
        epochs = best.record.trainings[NO_REG_RI].epochs
        sentences.append(
            f"Both trained equally long, {epochs} epochs from random weights (No Reg RI): "
            f"{percent(ours)} against {percent(theirs)} on test data, "
            f"{_difference(ours, theirs, images)}"
        )
    if not history.within_budget(start):
        sentences.append("The start network itself is above the budget.")
    return sentences


def _difference(ours: float, theirs: float, images: int | None) -> str:
    text = points(ours - theirs)
    if images is None:
        return text + "."
    a, b = (wilson(p, images) for p in (ours, theirs))
    apart = a[0] > b[1] or b[0] > a[1]
    return text + (
        ", beyond what chance in the test images explains (the 95 % intervals do not overlap)."
        if apart
        else ", within what chance in the test images may explain (the 95 % intervals overlap)."
    )


def _interval(best: Score | None, images: int | None) -> tuple[float, float] | None:
    if best is None or best.test is None or images is None:
        return None
    return wilson(best.test, images)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a binomial proportion.

    Args:
        share: Observed proportion, 0..1.
        count: Number of trials.

    Returns:
        Lower and upper end, within 0..1 also at the extremes.
    """
    scale = 1 + Z95**2 / count
    centre = (share + Z95**2 / (2 * count)) / scale
    half = Z95 / scale * math.sqrt(share * (1 - share) / count + (Z95 / (2 * count)) ** 2)
    return max(0.0, centre - half), min(1.0, centre + half)


def _flat(data, prefix: str = ""):
    """Yield nested settings as (dotted name, value) pairs."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{prefix}{key}", "–" if text in (None, "") else text
