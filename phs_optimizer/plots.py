"""Figures of a training: where the energy went, and when and why the callback braked."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

if TYPE_CHECKING:
    from phs_optimizer.braking import GoalOrientedBraking
    from phs_optimizer.energy import EnergyLogger

# Okabe and Ito's palette, distinguishable with all common color vision deficiencies.
BLUE, ORANGE, GREEN, RED, GRAY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6B7280"
EVENT_COLORS = {"brake": RED, "accelerate": GREEN, "adjust": GRAY, "stop": GRAY}


def plot_energy(energy: EnergyLogger | Sequence[dict]) -> Figure:
    """Plot kinetic, potential, total and dissipated energy over the steps.

    Args:
        energy: The callback, or its ``records``.

    Returns:
        A matplotlib figure with three panels: total, potential and kinetic energy on one
        logarithmic axis; the dissipated energy; and the friction.

    Raises:
        ValueError: If nothing is recorded.
    """
    records: Sequence[dict] = getattr(energy, "records", energy)
    if not records:
        raise ValueError(
            "no records: fit a model with the EnergyLogger among its callbacks first, with `every` "
            "at most the number of steps"
        )
    steps = [record["step"] for record in records]
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    energies, dissipated, friction = figure.subplots(3, 1, sharex=True, height_ratios=(4, 1.4, 1.2))
    for name, label, color, width, order in (
        ("total", "total", "black", 1.0, 3),
        ("potential", "potential (training loss)", BLUE, 2.6, 2),
        ("kinetic", "kinetic", ORANGE, 1.5, 1),
    ):
        values = [record[name] for record in records]
        energies.plot(steps, values, color=color, label=label, linewidth=width, zorder=order)
    _logarithmic(energies, [r[name] for r in records for name in ("total", "potential", "kinetic")])
    energies.set_ylabel("energy (units of the loss)")
    energies.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    dissipated.plot(steps, [record["dissipated"] for record in records], color=GREEN)
    dissipated.set_ylabel("dissipated")
    friction.step(steps, [r["friction"] for r in records], color=RED, where="post")
    friction.set_yscale("log" if all(r["friction"] > 0 for r in records) else "linear")
    friction.set_ylabel("friction γ")
    friction.set_xlabel("step")
    return _finished(figure)


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """Set a logarithmic axis, or a symmetric one if a value is negative."""
    sizes = [abs(value) for value in values if value and isfinite(value)]
    if not sizes:
        return
    # Show at most four decades; smaller values tell no more than 0 would.
    least = max(min(sizes), max(sizes) / 1e4)
    if any(value < 0 for value in values):
        axes.set_yscale("symlog", linthresh=max(least, max(sizes) / 1e3))
    else:
        axes.set_yscale("log")
        axes.set_ylim(least / 1.5, max(sizes) * 1.5)


def plot_braking(callback: GoalOrientedBraking) -> Figure:
    """Plot the average loss and the goal, and mark every event with its reason.

    Args:
        callback: A :class:`phs_optimizer.GoalOrientedBraking` after ``fit``.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If the callback has not been used in ``fit``.
    """
    if not callback.trace:
        raise ValueError("nothing to draw: fit a model with this callback first")
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    steps, losses = zip(*callback.trace, strict=True)
    axes.plot(steps, losses, color=BLUE, label="average training loss")
    if not callback.policy.automatic:
        axes.axhline(callback.policy.target_loss, color=GRAY, linestyle="--", label="goal")
    for number, event in enumerate(callback.events, start=1):
        color = EVENT_COLORS[event["action"]]
        text = f"{number}. {event['action']}, γ = {event['friction']:g}: {event['reason']}"
        axes.axvline(event["step"], color=color, linewidth=1.2, label=text)
        place = (event["step"], 1.0)
        axes.annotate(
            str(number),
            place,
            xycoords=axes.get_xaxis_transform(),
            color=color,
            ha="center",
            xytext=(0, 3),
            textcoords="offset points",
        )
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    if min(losses) > 0:
        # On a linear axis, the initial fall of the loss would hide everything after it.
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    figure.legend(frameon=False, loc="outside lower left", fontsize=8)
    return _finished(figure)


def _finished(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E5E7EB", linewidth=0.7)
        axes.set_axisbelow(True)
    figure.axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
