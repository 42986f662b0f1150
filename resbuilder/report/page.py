"""The report: figures in ``figures/`` and one self-contained ``report.html``."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from resbuilder.report.history import History, Record, Score, read_history, summary_rows
from resbuilder.report.race import best_contender, chosen_among, race_plot, race_winner
from resbuilder.report.removals import removals_plot
from resbuilder.report.settings import settings_rows
from resbuilder.report.style import Plot, percent, points, render, si
from resbuilder.report.widths import widths_plot
from resbuilder.run import BEST_MODEL, TrainingEvent
from resbuilder.run.events import CONTENDER
from resbuilder.variants import FINAL, NO_REG_RI, WHOLE

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
NOT_COMPARED = (
    "No comparison with a hand-made network at equal total cost was made; “--method race "
    "--contenders resnet-20,rb-r18” makes one."
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
        start, verdict = None, _race_verdict(history, best, images)
        found, contender = race_winner(history), best_contender(history)
        compared = {"winner of the race": found, "best contender": contender}
        chosen = best and chosen_among(history, best)
    else:
        start, verdict = history.records.get(0), _verdict(history, best, images)
        compared = {"start network": start, "best architecture": best}
        chosen = best and (
            f"the best of {candidates} candidates by its validation accuracy of "
            f"{percent(best.validation)}"
        )
    return {
        "run": history.run_dir.resolve().name,
        "dataset": history.config.get("dataset", "data"),
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
        "interval": _interval(best, images),
        "verdict": verdict,
        "compared": _compared(compared),
        "rows": rows,
        "balanced": any(row["balanced_test"] is not None for row in rows),
        "decisions": decisions(history),
        "settings": settings_rows(history.config),
        "environment": list(_flat(history.environment)),
        "confused": [] if matrix is None else most_confused(matrix, names),
        "model": BEST_MODEL.as_posix() if (history.run_dir / BEST_MODEL).is_file() else None,
        "seconds": sum(event.seconds for event in history.of(TrainingEvent)),
    }


def _compared(found: Mapping[str, Score | Record | None]) -> list[tuple[str, Record]]:
    """Return titles and architectures of those that are there, each architecture once."""
    records = ((t, f.record if isinstance(f, Score) else f) for t, f in found.items())
    return list({r.index: (title, r) for title, r in records if r is not None}.values())


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
        return [_nothing(history)]
    sentences = []
    start = history.records[0]
    if best.record is start:
        return ["That is the start network: no other within the budget was better.", NOT_COMPARED]
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
    return [*sentences, NOT_COMPARED]


def _race_verdict(history: History, best: Score | None, images: int | None) -> list[str]:
    """Compare what the race found with the best contender at equal total cost, in sentences."""
    found, contender = race_winner(history), best_contender(history)
    if best is None:
        return [_nothing(history)]
    if contender is None:
        named = any(r.origin == CONTENDER for r in history.records.values())
        return ["No contender has been trained to its end yet." if named else NOT_COMPARED]
    epochs = contender.record.trainings[contender.variant].epochs
    there = [r for r in history.records.values() if r.origin == CONTENDER]
    trained = sum(WHOLE in r.trainings for r in there)
    of = f" of the {trained} of {len(there)} contenders trained so far"
    text = (
        f"The best contender on validation data{'' if trained == len(there) else of}, "
        f"{contender.record.label}, was trained for all "
        f"{epochs} epochs that the race had for all of its candidates, so at equal total cost"
    )
    if found is None:
        return [f"{text}; the race itself found nothing."]
    text += f": {percent(found.test)} of the race's winner against {percent(contender.test)}"
    if found.test is None or contender.test is None:
        return [f"{text}."]
    return [f"{text} on test data, {_difference(found.test, contender.test, images)}"]


def _nothing(history: History) -> str:
    if history.is_race:
        return f"The race has no final network{'' if history.finished else ' yet'}."
    if any(True for _ in history.scores()):
        return "No network within the budget has been trained."
    return "No network has been trained yet."


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
