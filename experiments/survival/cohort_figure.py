"""A figure of the cohort: slides of both scanners, from low to high risk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pandas as pd
from matplotlib.figure import Figure

from survival.cohort import Cohort

SHOWN = 6
# Ranks of the shown slides of a scanner, without the extremes.
RANKS = np.linspace(0.03, 0.97, SHOWN)


def draw_cohort(folder: Path) -> Figure:
    """Draw a row of slides for each scanner, ordered by true risk.

    Args:
        folder: The folder that :func:`.two_scanner_cohort.make_cohort` filled.

    Returns:
        The figure, in the colors of the slides. The bars are 0.2 mm long.
    """
    cohort = Cohort.read(folder / "cohort.csv")
    truth = pd.read_csv(folder / "truth.csv").set_index("slide").loc[cohort.slide]
    scanners = sorted(set(cohort.dataset))
    figure = Figure(figsize=(2.4 * SHOWN, 2.35 * len(scanners)), layout="constrained")
    for scanner, axes in zip(scanners, figure.subplots(len(scanners), SHOWN), strict=True):
        rows = truth[cohort.dataset == scanner].sort_values("true_log_hazard")
        for rank, ax in zip(RANKS, axes, strict=True):
            row = rows.iloc[round(rank * (len(rows) - 1))]
            with openslide.OpenSlide(folder / row.name) as slide:
                picture = slide.get_thumbnail((768, 640))
                mpp = float(slide.properties["openslide.mpp-x"])
                bar = 200 / mpp * picture.width / slide.dimensions[0]
            ax.imshow(picture)
            number = f"{row.true_log_hazard:+.1f}".replace("-", "−")
            ax.set_title(f"log-hazard {number}", fontsize=9)
            ax.plot([20, 20 + bar], [picture.height - 20] * 2, color="black", linewidth=2)
            ax.text(20 + bar / 2, picture.height - 28, "0.2 mm", fontsize=7, ha="center")
            ax.set_axis_off()
        axes[0].text(
            *(-0.04, 0.5, f"scanner {scanner}"),
            transform=axes[0].transAxes,
            rotation=90,
            va="center",
            ha="right",
        )
    return figure
