"""Kaplan–Meier curves of risk groups, with thresholds from the training data."""

from __future__ import annotations

import numpy as np

from resbuilder.common.figures import BLUE, GREEN, ORANGE, RED
from resbuilder.common.words import count
from survival.metrics import (
    assign_risk_groups,
    kaplan_meier,
    log_rank,
    numbers_at_risk,
    risk_thresholds,
)
from survival.metrics.bootstrap import FEWEST_EVENTS
from survival.report.blocks import Block, Part, patients_of
from survival.report.style import Picture, new_figure, number, p_value, picture, short
from survival.targets import join_targets

# From low to high risk. Line styles differ too, for readers who cannot distinguish the colors.
COLORS = {2: (BLUE, RED), 3: (BLUE, ORANGE, RED), 4: (BLUE, GREEN, ORANGE, RED)}
LINES = {2: ("--", "-"), 3: ("--", "-.", "-"), 4: (":", "--", "-.", "-")}
# With fewer patients at risk a curve is drawn pale, and the log-rank test is omitted.
FEWEST = 5
NAMES = {2: ("low", "high"), 3: ("low", "medium", "high"), 4: ("lowest", "low", "high", "highest")}


def kaplan_meier_pictures(
    block: Block, groups: int, unit: str | None
) -> tuple[list[Picture], list[str]]:
    """Draw a figure for each dataset of a block, and one for all of them together.

    A patient's log-hazard is the mean over the patient's slides. The thresholds of the groups come
    from the patients on whom the same network was trained.

    Args:
        block: The block; it may be empty.
        groups: Number of risk groups, 2 to 4.
        unit: Unit of the times, None if unknown.

    Returns:
        The figures, and the reasons for those that cannot be drawn.

    Raises:
        ValueError: The number of groups is not 2, 3 or 4.
    """
    if groups not in NAMES:
        raise ValueError(f"groups must be 2, 3 or 4, not {groups}")
    made, reasons, follow_ups, assigned, patients = [], [], [], [], []
    for part in block.parts:
        try:
            y_true, group = _grouped(part, groups)
        except ValueError as error:
            reasons.append(f"{part.dataset}: no risk groups, because {error}.")
            continue
        made.append(_picture(part.dataset, y_true, group, groups, unit))
        follow_ups.append(y_true)
        assigned.append(group)
        patients += part.test["patient"].unique().tolist()
    if twice := len(patients) - len(set(patients)):
        reasons.append(
            f"all datasets together: no figure, because {count(twice, 'patient')} with the same "
            "name in two datasets would count twice."
        )
    elif len(made) > 1:
        joined = join_targets(follow_ups), np.concatenate(assigned)
        made.append(_picture("all datasets", *joined, groups, unit))
    return made, reasons


def _grouped(part: Part, groups: int) -> tuple[np.ndarray, np.ndarray]:
    if part.train.empty:
        raise ValueError("comparable training slides for the thresholds are missing")
    _, trained = patients_of(part.train)
    y_true, risk = patients_of(part.test)
    return y_true, assign_risk_groups(risk, risk_thresholds(trained, groups))


def _picture(
    title: str, y_true: np.ndarray, group: np.ndarray, groups: int, unit: str | None
) -> Picture:
    test = _test(y_true, group)
    figure = new_figure(3.5 + 0.22 * groups)
    axes = figure.subplots()
    curves = kaplan_meier(y_true, group)
    said = []
    for curve in curves:
        color, line = COLORS[groups][curve.group], LINES[groups][curve.group]
        name = f"{NAMES[groups][curve.group]} risk"
        size = f"{count(curve.patients, 'patient')}, {count(curve.events, 'event')}"
        rows = group == curve.group
        (at_risk,) = numbers_at_risk(y_true[rows], group[rows], curve.times)
        # Pale after the last step with enough patients at risk and, with late entries, before the
        # first such step.
        (enough,) = np.nonzero(at_risk >= FEWEST)
        first, known = (enough[0], enough[-1] + 1) if len(enough) else (0, 0)
        for steps, alpha in (
            (slice(first, known), 1.0),
            (slice(0, first + 1), 0.3),
            (slice(max(known - 1, 0), None), 0.3),
        ):
            axes.step(
                curve.times[steps], curve.survival[steps], line, where="post", color=color,
                alpha=alpha, label=f"{name} ({size})" if alpha == 1 else None,
            )  # fmt: skip
            axes.fill_between(
                curve.times[steps], curve.low[steps], curve.high[steps], step="post", color=color,
                alpha=0.13 * alpha, linewidth=0,
            )  # fmt: skip
        still = [curve.at(time)[0] for time in curve.censored]
        axes.plot(curve.censored, still, "|", color=color, markersize=6)
        said.append(f"{name}: {size}, survival at the end {number(curve.survival[-1], 2)}")
    axes.set_ylim(0, 1.04)
    # A margin for the ticks of patients censored at the end.
    axes.set_xlim(0, 1.02 * y_true[:, 0].max() or 1)
    axes.locator_params(axis="x", nbins=6)
    axes.set_ylabel("without event")
    axes.set_title(f"{short(title)}: {short(test, 48)}")
    _numbers_below(axes, y_true, group, groups, unit)
    figure.legend(loc="outside upper left", ncols=1)
    return picture(figure, f"Kaplan–Meier curves, {title}. {'; '.join(said)}; {test}.")


def _test(y_true: np.ndarray, group: np.ndarray) -> str:
    """Return the result of the log-rank test in words, or why there is none."""
    if np.unique(group, return_counts=True)[1].min() < FEWEST:
        return f"no log-rank test: a group has fewer than {FEWEST} patients"
    if y_true[:, 1].sum() < FEWEST_EVENTS:
        return f"no log-rank test: fewer than {FEWEST_EVENTS} events"
    try:
        return f"log-rank {p_value(log_rank(y_true, group).p_value)}"
    except ValueError as error:
        return f"no log-rank test: {error}"


def _numbers_below(
    axes, y_true: np.ndarray, group: np.ndarray, groups: int, unit: str | None
) -> None:
    """Draw the numbers at risk below the ticks of the time axis, and the axis label below them."""
    end = axes.get_xlim()[1]
    ticks = [tick for tick in axes.get_xticks() if 0 <= tick <= end]
    axes.set_xticks(ticks)
    present = np.unique(group)
    rows = numbers_at_risk(y_true, group, ticks)
    below = axes.get_xaxis_transform()
    for line, (name, numbers) in enumerate(zip(present, rows, strict=True)):
        height = -0.15 - 0.075 * line
        color = COLORS[groups][name]
        axes.text(
            -0.05, height, NAMES[groups][name], color=color, size=8.5, ha="right", va="center",
            transform=axes.transAxes,
        )  # fmt: skip
        for tick, number_at_risk in zip(ticks, numbers, strict=True):
            axes.text(
                tick, height, int(number_at_risk), color=color, size=8.5, ha="center", va="center",
                transform=below,
            )  # fmt: skip
    time = f"time ({unit})" if unit else "time"
    axes.set_xlabel(f"{time}, with numbers at risk", labelpad=5 + 13 * len(present))
