"""Figures of chapter 5. Each takes what the results' files hold and returns a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from experiments.morphnet.network import CONVOLUTIONS, WIDTHS
from experiments.morphnet.rounds import Rounds, pareto_front
from resbuilder.common.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, styled
from resbuilder.report.style import log_axis, new_figure, percent_axis, si_axis, whole_axis

START_STYLE = {"large": (BLUE, "o"), "small": (ORANGE, "s"), "unbalanced": (GREEN, "D")}


def pareto(rounds: Rounds) -> Figure:
    """Test error against FLOPs with the front, and which channels are left over λ."""
    with styled():
        figure = new_figure(4.2)
        cost, left = figure.subplots(1, 2, width_ratios=(3, 2))
        _scaled(cost, rounds)
        networks = rounds.networks(1)
        _networks(cost, networks, BLUE, "o", "one round of MorphNet")
        front = pareto_front(networks)
        cost.plot(
            [n["flops"] for n in front],
            [1 - n["test"] for n in front],
            color=INK,
            linewidth=1.2,
            marker="o",
            markersize=9,
            markerfacecolor="none",
            label="Pareto front, by validation",
        )
        _error_axes(cost)
        cost.legend()
        _left(left, rounds)
    return figure


def _left(axes, rounds: Rounds) -> None:
    groups = rounds.by_strength()
    for index, (name, color, marker) in enumerate(
        zip(CONVOLUTIONS, (BLUE, ORANGE), "os", strict=True)
    ):
        shares = [
            [r["rounds"][0]["with_term"]["alive"][index] / WIDTHS[index] for r in runs]
            for runs in groups.values()
        ]
        axes.plot(list(groups), [np.mean(s) for s in shares], color=color, label=name)
        for strength, values in zip(groups, shares, strict=True):
            axes.plot([strength] * len(values), values, marker, color=color, alpha=0.5)
    broken = [run["job"]["strength"] for run in rounds.runs if not all(_first(run)["alive"])]
    if broken:
        axes.plot(broken, [0] * len(broken), "x", color=RED, markersize=9, label="break-down")
    _strength_axis(axes, rounds)
    axes.set(ylim=(-0.05, 1.05), title="Channels left, of 32 and 64")
    percent_axis(axes.yaxis)
    axes.legend()


def _first(run: dict) -> dict:
    return run["rounds"][0]["with_term"]


def two_rounds(rounds: Rounds) -> Figure:
    """Test error against FLOPs after one and two rounds, and the gain over scaling by λ."""
    with styled():
        figure = new_figure(4.2)
        cost, gain = figure.subplots(1, 2)
        _scaled(cost, rounds)
        for number, color, marker, label, shift in (
            (1, BLUE, "o", "one round", 0.93),
            (2, ORANGE, "s", "two rounds", 1.07),
        ):
            networks = rounds.networks(number)
            _networks(cost, networks, color, marker, label)
            gain.plot(
                [shift * n["job"]["strength"] for n in networks],
                [rounds.gain(n) for n in networks],
                marker,
                color=color,
                alpha=0.7,
            )
        _error_axes(cost)
        cost.legend()
        gain.axhline(0, color=GREY, linewidth=1.2)
        _strength_axis(gain, rounds)
        gain.set(title="Accuracy above scaled widths, equal FLOPs")
        percent_axis(gain.yaxis)
    return figure


def _strength_axis(axes, rounds: Rounds) -> None:
    strengths = list(rounds.by_strength())
    axes.set(xscale="log", xlabel="λ", xlim=(strengths[0] / 2, 2 * strengths[-1]))


def _scaled(axes, rounds: Rounds) -> None:
    costs = list(rounds.scaled)
    errors = [[1 - r["test"] for r in group] for group in rounds.scaled.values()]
    axes.plot(costs, [np.mean(e) for e in errors], color=GREY, label="widths scaled alike")
    for cost, values in zip(costs, errors, strict=True):
        axes.plot([cost] * len(values), values, "_", color=GREY, markersize=9)


def _networks(axes, networks: list[dict], color: str, marker: str, label: str) -> None:
    axes.plot(
        [n["flops"] for n in networks],
        [1 - n["test"] for n in networks],
        marker,
        color=color,
        alpha=0.7,
        label=label,
    )


def _error_axes(axes) -> None:
    axes.set(xscale="log", yscale="log", xlabel="FLOPs for one image", title="Test error")
    log_axis(axes.xaxis)
    log_axis(axes.yaxis)
    si_axis(axes.xaxis)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")


def bad_start(starts: dict[str, list[dict]], distances: np.ndarray) -> Figure:
    """Test accuracy over rounds, and how far the widths of the starts are apart.

    Args:
        starts: See :func:`experiments.morphnet.starts.by_start`.
        distances: See :func:`experiments.morphnet.bad_start.distances`.
    """
    with styled():
        figure = new_figure(3.9)
        accuracy, apart = figure.subplots(1, 2)
        for name, runs in starts.items():
            for run in runs:
                tests = [r["test"] for r in run["rounds"]]
                label = _label(name, run) if run is runs[0] else None
                _rounds(accuracy, np.arange(1, len(tests) + 1), tests, name, label)
                if not all(run["rounds"][-1]["alive"]):
                    accuracy.plot(len(tests), tests[-1], "x", color=RED, markersize=10)
        accuracy.set(xlabel="round", title="Test accuracy with the term (×: breaks down)")
        percent_axis(accuracy.yaxis)
        accuracy.legend()
        rounds = np.arange(len(distances))
        apart.plot(rounds, distances[:, 0], color=INK, marker="o", label="between starts, at most")
        apart.plot(rounds, distances[:, 1], color=GREY, marker="s", label="seeds of one start")
        apart.set(
            xlabel="round",
            ylim=(0, 1.1 * np.nanmax(distances)),
            title="Second over first width: octaves apart",
        )
        apart.legend()
        for axes in (accuracy, apart):
            whole_axis(axes.xaxis)
    return figure


def suggested_widths(starts: dict[str, list[dict]]) -> Figure:
    """Both widths over rounds, run by run."""
    with styled():
        figure = new_figure(3.9)
        for index, axes in enumerate(figure.subplots(1, 2)):
            for name, runs in starts.items():
                for run in runs:
                    widths = np.array(run["widths"])[:, index]
                    label = _label(name, run) if run is runs[0] else None
                    _rounds(axes, np.arange(len(widths)), widths, name, label)
            axes.set(xlabel="round", yscale="log", title=f"Channels of {CONVOLUTIONS[index]}")
            log_axis(axes.yaxis)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            whole_axis(axes.xaxis)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _label(name: str, run: dict) -> str:
    return f"{name} start, {'·'.join(map(str, run['job']['widths']))}"


def _rounds(axes, rounds, values, start: str, label: str | None) -> None:
    color, marker = START_STYLE[start]
    axes.plot(
        rounds, values, color=color, marker=marker, markersize=4, alpha=0.7, linewidth=1.2,
        label=label,
    )  # fmt: skip
