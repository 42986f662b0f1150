"""The style of figures and numbers in the report."""

from __future__ import annotations

import io
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from resbuilder.common import figures
from resbuilder.common.figures import BLUE, ORANGE, PURPLE

# Color and marker of each variant, so that it can be recognized without colors.
VARIANT_STYLE = {"with_reg": (BLUE, "o"), "no_reg_wi": (ORANGE, "s"), "no_reg_ri": (PURPLE, "D")}

# Inches; 960 CSS pixels on the page, so that 10 pt in a figure is about the size of the text.
WIDTH = 9.6
DPI = 160


@dataclass(frozen=True)
class Plot:
    """A figure with its file name (without suffix), its title and its caption."""

    name: str
    title: str
    caption: str
    figure: Figure


def new_figure(height: float) -> Figure:
    """Return a figure of the page's width, and of a height in inches."""
    return figures.new_figure(WIDTH, height)


def render(plot: Plot, kind: str) -> bytes:
    """Return the figure as ``"png"`` or ``"svg"``, the same bytes for the same figure."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    plot.figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def percent_axis(axis) -> None:
    """Label an axis of fractions in per cent."""
    axis.set_major_locator(MaxNLocator(nbins=6, min_n_ticks=3))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))


def log_axis(axis) -> None:
    """Put ticks at 1, 2 and 5 times powers of ten, so that even a short range has some."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())


def si_axis(axis) -> None:
    """Label an axis of large numbers with k, M and G."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: si(value, exact=False)))


def whole_axis(axis, most: int = 9) -> None:
    """Put ticks at whole numbers only, at most ``most`` + 1 of them."""
    axis.set_major_locator(MaxNLocator(most, integer=True, min_n_ticks=1))


def si(value: float | None, exact: bool = True) -> str:
    """Return a number with three digits and a prefix, such as ``4.80 M``; a dash for None.

    Args:
        value: The number.
        exact: Whether to keep trailing zeros; on an axis it is ``4.8 M``.
    """
    if value is None:
        return "–"
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999,600 would round to 1000 k.
        if abs(value) >= 0.9995 * factor:
            digits = f"{value / factor:#.3g}".rstrip(".") if exact else f"{value / factor:.3g}"
            return f"{digits} {prefix}"
    return f"{value:.3g}"


def points(difference: float) -> str:
    """Return a difference of two fractions in percentage points: ``+1.20 points``."""
    return f"{100 * difference:+.2f} points".replace("-", "−")


def percent(share: float | None) -> str:
    """Return a fraction in per cent with two decimals, ``91.27 %``; a dash for None."""
    return "–" if share is None else f"{100 * share:.2f} %"
