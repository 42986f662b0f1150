"""The table and the figure of the networks."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.resbuilder.columns import FROM_SCRATCH
from experiments.resbuilder.manipulation.compared import CHANNELS, NETWORKS
from experiments.resbuilder.manipulation.kinds import KINDS
from experiments.summary import spread
from resbuilder.common.figures import BLUE, GRAY, GREEN, ORANGE, PURPLE, RED
from resbuilder.report.style import WIDTH, si, si_axis

CHANNEL_NAMES = {"rgb": "RGB", "rgb_ela": "RGB + ELA"}
SCRATCH = "resbuilder-scratch"
TITLES = NETWORKS | {SCRATCH: "ResBuilder, from scratch"}
STYLE = {
    "efficientnet-b0": (ORANGE, "s"),
    "efficientnet-b4": (PURPLE, "D"),
    "resnet-18": (GREEN, "^"),
    "resbuilder": (BLUE, "o"),
    SCRATCH: (RED, "v"),
}


def markdown(results: list[dict]) -> str:
    """Return the table with a row for each network and choice of channels, mean ± deviation."""
    lines = [
        "| network | channels | parameters | FLOPs | epochs | accuracy % | AUC | "
        + " | ".join(f"AUC, {kind}" for kind in KINDS)
        + " |",
        "|---" * (7 + len(KINDS)) + "|",
    ]
    for (network, channels), group in grouped(results).items():
        scores = [[r["auc_by_kind"].get(kind, np.nan) for r in group] for kind in KINDS]
        lines.append(
            f"| {TITLES[network]} | {CHANNEL_NAMES[channels]} | {_sizes(group, 'parameters')} "
            f"| {_sizes(group, 'flops')} | {_range([r['epochs'] for r in group])} "
            f"| {spread([r['accuracy'] for r in group], 1, 100)} "
            f"| {spread([r['auc'] for r in group], 3)} | "
            + " | ".join(spread(values, 3) for values in scores)
            + " |"
        )
    return "\n".join(lines) + "\n"


def draw(results: list[dict]) -> Figure:
    """Draw AUC over parameters and AUC by kind; filled with error levels, hollow without."""
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    size, kinds = figure.subplots(1, 2, width_ratios=(1, 1.3))
    groups = grouped(results)
    for place, ((network, channels), group) in enumerate(groups.items()):
        color, marker = STYLE[network]
        look = {"color": color, "marker": marker, "linestyle": "none", "markersize": 7}
        look["markerfacecolor"] = color if CHANNELS[channels] else "white"
        size.plot([r["parameters"] for r in group], [r["auc"] for r in group], **look)
        shift = (place - (len(groups) - 1) / 2) * 0.8 / len(groups)
        means = [np.mean([r["auc_by_kind"].get(k, np.nan) for r in group]) for k in KINDS]
        kinds.plot(np.arange(len(KINDS)) + shift, means, **look)
    size.set(xscale="log", xlabel="parameters")
    si_axis(size.xaxis)
    size.set_title("AUC on test photographs", loc="left")
    kinds.set_xticks(range(len(KINDS)), KINDS)
    kinds.set(xlabel="kind of manipulation")
    kinds.set_title("AUC by kind", loc="left")
    for axes in (size, kinds):
        axes.axhline(0.5, color=GRAY, linewidth=1, linestyle="--")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E5E7EB", linewidth=0.7)
    shown = {network for network, _ in groups}
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=TITLES[network])
        for network, (color, marker) in STYLE.items()
        if network in shown
    ]
    handles += [
        Line2D([], [], color=GRAY, marker="o", linestyle="", label=name,
               markerfacecolor=GRAY if CHANNELS[channels] else "white")
        for channels, name in CHANNEL_NAMES.items()
    ]  # fmt: skip
    handles.append(Line2D([], [], color=GRAY, linewidth=1, linestyle="--", label="chance"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def grouped(results: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """Return the results of all seeds by network and channels, in the order of the names.

    A network that a search found appears twice: with the weights of the search, and trained from
    scratch.
    """
    groups = {(network, channels): [] for network in TITLES for channels in CHANNELS}
    for result in results:
        channels = result["job"]["channels"]
        groups[result["job"]["network"], channels].append(result)
        if FROM_SCRATCH in result:
            groups[SCRATCH, channels].append(result[FROM_SCRATCH])
    return {key: group for key, group in groups.items() if group}


def _sizes(group: list[dict], key: str) -> str:
    return _range([r[key] for r in group], si)


def _range(values: list, text=str) -> str:
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low} to {high}"
