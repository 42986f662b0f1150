"""How the report's figures and numbers look."""

from __future__ import annotations

import base64
import io
import math
import warnings
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with every common colour vision deficiency.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#B0578D"
GREY, INK = "#6B7280", "#111827"
COLORS, MARKERS = (BLUE, RED, GREEN, PURPLE, ORANGE), "osD^v"

# Inches. Panels are narrow and flow side by side on the page, so that a phone shows one at a time
# with legible text.
WIDTH = 4.9
DPI = 180
UNIT = "unit of the manifest"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#4B5563",
    "axes.grid": True,
    "grid.color": "#E5E7EB",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    # Names come from data: a dollar sign in one is not a formula.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Picture:
    """A finished image of the page.

    Attributes:
        source: Data URI.
        alt: What it shows, in words.
    """

    source: str
    alt: str


def styled():
    """Context in which figures are made and saved."""
    return matplotlib.rc_context(STYLE)


def new_figure(height: float) -> Figure:
    """A figure of a panel's width, outside pyplot's global state."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def picture(figure: Figure, alt: str) -> Picture:
    """The figure as PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name may have letters that the font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=DPI)
    return Picture(data_uri(buffer.getvalue(), "png"), alt)


def data_uri(image: bytes, kind: str) -> str:
    """An encoded image as a page embeds it."""
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")


def short(name: str, length: int = 32) -> str:
    """A name on one line of a figure."""
    name = " ".join(name.split())
    return name if len(name) <= length else name[: length - 1] + "…"


def number(value: float, digits: int = 3) -> str:
    """``0.712``, with a real minus; a dash for what is missing."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def count(how_many: int, what: str) -> str:
    """``1 slide``, ``2 slides``."""
    return f"{how_many} {what}" + ("" if how_many == 1 else "s")


def p_value(p: float) -> str:
    """``p = 0.031``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
