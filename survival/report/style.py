"""Style of the report's figures and numbers."""

from __future__ import annotations

import io
import math
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass

from matplotlib.figure import Figure

from resbuilder.common import figures
from resbuilder.common.figures import BLUE, GREEN, ORANGE, PURPLE, RED, data_uri

COLORS, MARKERS = (BLUE, RED, GREEN, PURPLE, ORANGE), "osD^v"

# Width in inches. Panels are narrow and flow side by side on the page, so that a phone shows one at
# a time with legible text.
WIDTH = 4.9
DPI = 180


@dataclass(frozen=True)
class Picture:
    """A finished image of the page.

    Attributes:
        source: The image as a data URI.
        alt: Alternative text: what the image shows, in words.
    """

    source: str
    alt: str


def styled() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn and saved: narrow panels, small text."""
    return figures.styled({"axes.titlesize": 10, "legend.fontsize": 8.5})


def new_figure(height: float) -> Figure:
    """Return a figure of a panel's width, height in inches."""
    return figures.new_figure(WIDTH, height)


def picture(figure: Figure, alt: str) -> Picture:
    """Return the figure as a PNG picture."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name may contain letters that the font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=DPI)
    return Picture(data_uri(buffer.getvalue(), "png"), alt)


def short(name: str, length: int = 32) -> str:
    """Return a name shortened to fit on one line of a figure."""
    name = " ".join(name.split())
    return name if len(name) <= length else name[: length - 1] + "…"


def number(value: float, digits: int = 3) -> str:
    """Return a number such as ``0.712``, with a typographic minus; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def at_time(time: float, unit: str | None) -> str:
    """Return a time such as ``40 months``, or only the number if the unit is unknown."""
    return f"{time:g} {unit}" if unit else f"{time:g}"


def p_value(p: float) -> str:
    """Return a p-value such as ``p = 0.031`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
