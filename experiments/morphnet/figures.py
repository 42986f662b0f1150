"""Figures of chapter 5. Each function takes stored results and returns a figure.

Trainings with different λ may coincide. Of two, the one with the larger λ has a thinner line and
smaller markers and is drawn on top, so that both stay visible.
"""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from experiments.morphnet.iterations import Iterations, pareto_front
from experiments.morphnet.network import LAYERS, size
from resbuilder.common.figures import BLUE, GRAY, GREEN, INK, ORANGE, RED, styled
from resbuilder.report.style import log_axis, new_figure, percent_axis, si_axis, whole_axis

START_STYLE = {"large": (BLUE, "o"), "small": (ORANGE, "s"), "unbalanced": (GREEN, "D")}


def one_iteration(iterations: Iterations) -> Figure:
    """Draw loss with the term over FLOPs during training, and two Pareto fronts (fig. 5.1)."""
    with styled():
        figure = new_figure(4.4)
        training, error, loss = figure.subplots(1, 3)
        for run in iterations.runs:
            records = run["iterations"][0]["history"]
            style, label = _of_strength(iterations.runs, run)
            training.plot(
                [r["flops"] for r in records],
                [r["loss"] + r["term"] for r in records],
                label=label,
                **style,
            )
        training.set(
            xscale="log", yscale="log", xlabel="FLOPs", title="(a) Loss with term, in training"
        )
        _flops_axis(training)
        log_axis(training.yaxis)
        training.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        networks = iterations.suggested()
        _front(error, iterations, networks, lambda n: size(n["widths"]), "test error")
        error.set(xlabel="kernel weights", title="(b) Test error")
        _front(loss, iterations, networks, lambda n: n["flops"], "loss")
        loss.set(xlabel="FLOPs", title="(c) Loss without term")
        _legend(figure, 4 if len(iterations.by_strength()) > 4 else 5)
    return figure


def two_iterations(runs: list[dict], trajectories: list[list[list[dict]]]) -> Figure:
    """Draw test error and FLOPs of the suggested network over steps (fig. 5.2).

    Args:
        runs: As :attr:`experiments.morphnet.iterations.Iterations.runs`.
        trajectories: The :func:`experiments.morphnet.iterations.trajectory` of each.
    """
    with styled():
        figure = new_figure(4.4)
        error, cost = figure.subplots(1, 2)
        broke = any(not run["final"] for run in runs)
        for run, trajectory in zip(runs, trajectories, strict=True):
            style, label = _of_strength(runs, run)
            for axes, key in ((error, "error"), (cost, "flops")):
                _trainings(axes, trajectory, lambda r, key=key: r[key], style, label)
                if not run["final"]:
                    last = trajectory[-1][-1]
                    axes.plot(last["step"], last[key], "x", color=RED, markersize=10)
        for axes in (error, cost):
            _starts(axes, trajectories)
        title = "(a) Test error (×: breakdown)" if broke else "(a) Test error"
        error.set(xlabel="step (dotted: a new training)", yscale="log", title=title)
        _error_axis(error.yaxis)
        cost.set(
            xlabel="step (dotted: a new training)",
            yscale="log",
            title="(b) FLOPs of the suggested network",
        )
        log_axis(cost.yaxis)
        si_axis(cost.yaxis)
        _legend(figure, 6)
    return figure


def fronts(iterations: Iterations) -> Figure:
    """Draw Pareto fronts of loss and FLOPs after one iteration and at the end (fig. 5.3)."""
    with styled():
        figure = new_figure(4.4)
        first, last = figure.subplots(1, 2, sharey=True)
        _front(first, iterations, iterations.suggested(), lambda n: n["flops"], "loss")
        first.set(xlabel="FLOPs", title="(a) Loss without the term, after one iteration")
        _front(last, iterations, iterations.final("left"), lambda n: n["flops"], "loss")
        for network in iterations.final("expanded"):
            style, _ = _of_strength(iterations.runs, {"job": network})
            last.plot(
                network["flops"],
                network["test_loss"],
                "D",
                color=style["color"],
                markersize=2.2 * style["markersize"],
                markerfacecolor="none",
            )
        last.set(xlabel="FLOPs", title="(b) Loss after the final training")
        for run in iterations.runs:
            style, label = _of_strength(iterations.runs, run)
            last.plot([], [], "o", color=style["color"], label=label)
        last.plot([], [], "D", color=INK, mfc="none", label="scaled to the FLOPs of the start")
        _legend(figure, 3)
    return figure


def single_run(trajectories: list[list[list[dict]]]) -> Figure:
    """Draw test error, FLOPs and suggested widths over steps, for each seed (fig. 5.4)."""
    with styled():
        figure = new_figure(4.0)
        error, cost, widths = figure.subplots(1, 3)
        for number, trajectory in enumerate(trajectories):
            _trainings(error, trajectory, lambda r: r["error"], _style(INK), None)
            _trainings(cost, trajectory, lambda r: r["flops"], _style(INK), None)
            for index, color in enumerate((BLUE, ORANGE, GREEN)):
                label = None if number else LAYERS[index]
                _trainings(
                    widths, trajectory, lambda r, i=index: r["alive"][i], _style(color), label
                )
        for axes in (error, cost, widths):
            _starts(axes, trajectories)
            axes.set_xlabel("step (dotted: a new training)")
        error.set(yscale="log", title="(a) Test error")
        _error_axis(error.yaxis)
        cost.set(title="(b) FLOPs, suggested network")
        records = [r for trajectory in trajectories for training in trajectory for r in training]
        cost.set_ylim(0, 1.1 * max(r["flops"] for r in records))
        si_axis(cost.yaxis)
        widths.set(yscale="log", title="(c) Suggested widths")
        log_axis(widths.yaxis)
        widths.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        top = max(max(r["alive"]) for r in records)
        widths.set_ylim(top=3 * top)  # room for the legend
        widths.legend(loc="upper center", ncols=3, columnspacing=1, handlelength=1.2)
    return figure


def _style(color, width: float = 1.6, marker: float = 3.5) -> dict:
    return {"color": color, "linewidth": width, "marker": "o", "markersize": marker}


def _of_strength(runs: list[dict], run: dict) -> tuple[dict, str | None]:
    """Return the style of a run's λ, and its label if it is the first run with it."""
    strengths = sorted({r["job"]["strength"] for r in runs})
    strength = run["job"]["strength"]
    place = strengths.index(strength) / max(1, len(strengths) - 1)
    first = next(r for r in runs if r["job"]["strength"] == strength)
    style = _style(colormaps["viridis"](0.85 * place), 4 - 2.6 * place, 8 - 4.5 * place)
    label = f"λ = {strength:g}".replace("e-0", "e-")
    return style, label if run is first else None


def _trainings(axes, trajectory: list[list[dict]], value, style: dict, label: str | None) -> None:
    """Draw a line for each training of a run; they do not join, as each starts from scratch."""
    for number, records in enumerate(trajectory):
        axes.plot(
            [r["step"] for r in records],
            [value(r) for r in records],
            label=None if number else label,
            **style,
        )


def _starts(axes, trajectories: list[list[list[dict]]]) -> None:
    """Draw lines where the second and the third training start."""
    longest = max(trajectories, key=len)
    for records in longest[1:]:
        axes.axvline(records[0]["step"], color=GRAY, linewidth=1, linestyle=":")


def _front(axes, iterations: Iterations, networks: list[dict], cost, what: str) -> None:
    """Draw networks by λ with their Pareto front, and uniformly scaled ones; test error or loss."""

    def shown(network):
        return 1 - network["test"] if what == "test error" else network["test_loss"]

    def judged(network):
        return 1 - network["validation"] if what == "test error" else network["validation_loss"]

    if groups := list(iterations.scaled.values()):
        axes.plot(
            [cost(group[0]) for group in groups],
            [np.mean([shown(n) for n in group]) for group in groups],
            color=GRAY,
            marker="s",
            markersize=4,
            label="widths scaled uniformly",
        )
    for network in networks:
        style, _ = _of_strength(iterations.runs, {"job": network})
        size_ = 1.3 * style["markersize"]
        axes.plot(cost(network), shown(network), "o", color=style["color"], markersize=size_)
    front = pareto_front(networks, cost, judged)
    axes.plot(
        [cost(n) for n in front],
        [shown(n) for n in front],
        color=INK,
        linewidth=1.2,
        marker="o",
        markersize=13,
        markerfacecolor="none",
        label="Pareto front",
    )
    axes.set(xscale="log", yscale="log")
    _flops_axis(axes)
    if what == "test error":
        _error_axis(axes.yaxis)
    else:
        log_axis(axes.yaxis)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _flops_axis(axes) -> None:
    left, right = axes.get_xlim()
    left, right = min(left, right / 12), 1.1 * right  # at least a decade: ticks at 1, 2 and 5
    axes.set_xlim(left, right)
    log_axis(axes.xaxis)
    if right / left > 60:
        axes.xaxis.set_major_locator(LogLocator())  # More ticks would overlap.
    si_axis(axes.xaxis)


def _error_axis(axis) -> None:
    log_axis(axis)
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")


def _legend(figure: Figure, columns: int) -> None:
    """Put one legend for all axes below them."""
    found = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=columns)


def bad_start(starts: dict[str, list[dict]], distances: np.ndarray) -> Figure:
    """Draw widths over iterations, test accuracy, and distances between starts (fig. 5.5).

    Args:
        starts: See :func:`experiments.morphnet.bad_start.by_start`.
        distances: See :func:`experiments.morphnet.bad_start.distances`.
    """
    with styled():
        figure = new_figure(7.2)
        (*widths, accuracy, apart) = figure.subplots(2, 2).flat
        for name, runs in starts.items():
            for run in runs:
                label = _label(name, run) if run is runs[0] else None
                suggested = np.array(run["widths"])
                for index, axes in enumerate(widths):
                    _rounds(axes, np.arange(len(suggested)), suggested[:, index], name, label)
                tests = [r["test"] for r in run["rounds"]]
                if not all(run["rounds"][-1]["alive"]):
                    accuracy.plot(len(tests), tests[-1], "x", color=RED, markersize=10, zorder=3)
            _accuracies(accuracy, runs, name)
        for name, axes in zip(LAYERS[:2], widths, strict=True):
            axes.set(yscale="log", title=f"Channels of {name}")
            log_axis(axes.yaxis)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        accuracy.set(title="Test accuracy: mean, range (×: breakdown)")
        percent_axis(accuracy.yaxis)
        rounds = np.arange(len(distances))
        for values, color, marker, label in (
            (distances[:, 0], INK, "o", "largest, between two starts"),
            (distances[:, 1], GRAY, "s", "deviation over seeds of a start"),
        ):
            apart.plot(rounds, values, color=color, marker=marker, markersize=4, label=label)
        apart.set(ylim=(0, 1.1 * np.nanmax(distances)), ylabel="octaves (factors of 2)")
        apart.set_title("Distances of conv2/conv1 widths")
        apart.legend()
        for axes in (*widths, accuracy, apart):
            axes.set(xlabel="iteration")
            whole_axis(axes.xaxis)
        figure.legend(*widths[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _accuracies(axes, runs: list[dict], start: str) -> None:
    """Draw the mean test accuracy of a start over iterations, and its range over seeds."""
    longest = max(len(run["rounds"]) for run in runs)
    tests = np.full((len(runs), longest), np.nan)
    for row, run in zip(tests, runs, strict=True):
        row[: len(run["rounds"])] = [r["test"] for r in run["rounds"]]
    number = np.arange(1, longest + 1)
    least, most = np.nanmin(tests, axis=0), np.nanmax(tests, axis=0)
    axes.fill_between(number, least, most, color=START_STYLE[start][0], alpha=0.12, linewidth=0)
    _rounds(axes, number, np.nanmean(tests, axis=0), start, None)


def _label(name: str, run: dict) -> str:
    return f"{name} start, {'·'.join(map(str, run['job']['widths']))}"


def _rounds(axes, rounds, values, start: str, label: str | None) -> None:
    color, marker = START_STYLE[start]
    axes.plot(
        rounds, values, color=color, marker=marker, markersize=4, alpha=0.7, linewidth=1.2,
        label=label,
    )  # fmt: skip
