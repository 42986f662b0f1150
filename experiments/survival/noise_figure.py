"""The figure of the differences at the sizes of Table 7.1."""

from __future__ import annotations

from matplotlib.figure import Figure

from experiments.survival.gap_tables import METRICS
from experiments.survival.noise import interval
from experiments.survival.noise_tables import LABELS, Measured, noise
from resbuilder.common.figures import BLUE, GRAY, INK, ORANGE


def differences_figure(found: Measured) -> Figure:
    """Draw the thesis' differences and the noise of ours, one line for each row of Table 7.2."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    for axes, (metric, title) in zip(panels, METRICS.items(), strict=True):
        for place, row in enumerate(LABELS):
            n = noise(found, row, metric)
            axes.plot([n.low, n.high], [place] * 2, color=GRAY, linewidth=2,
                      label="ours, 95 % over test patients and seeds")  # fmt: skip
            axes.plot(interval(n.seeds), [place] * 2, color=BLUE, linewidth=7, alpha=0.45,
                      solid_capstyle="butt", label="ours, 95 % over seeds alone")  # fmt: skip
            axes.plot(n.seeds.mean(), place, "o", color=BLUE, label="ours, mean")
            axes.plot(n.thesis, place, "D", color=ORANGE, markersize=8, label="thesis")
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_title(f"{title}: change by the penalty", loc="left")
        axes.set_xlabel("with penalty minus without")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#E5E7EB", linewidth=0.7)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(LABELS)), list(LABELS.values()))
    panels[0].set_ylim(len(LABELS) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=4, frameon=False)
    return figure
