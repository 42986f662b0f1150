"""The palette and the style of all figures."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

# matplotlib is imported only where it is used, so that commands start quickly.
if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

# Okabe and Ito's palette, which people with any common color vision deficiency can distinguish.
BLUE, ORANGE, PURPLE = "#0072B2", "#E69F00", "#B0578D"
GREEN, RED, GRAY, INK = "#009E73", "#D55E00", "#6B7280", "#111827"

STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
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
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    # Names come from data, where a dollar sign does not start a formula.
    "text.parse_math": False,
    # Makes the bytes of an SVG file reproducible.
    "svg.hashsalt": "resbuilder",
}


def styled(changes: Mapping[RcKeyType, Any] = MappingProxyType({})) -> AbstractContextManager[None]:
    """Return the context in which figures are made and saved.

    Args:
        changes: Settings of matplotlib that differ from the style.
    """
    import matplotlib

    return matplotlib.rc_context({**STYLE, **changes})


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of a size in inches, outside pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def data_uri(image: bytes, kind: str) -> str:
    """Return an encoded image (``"png"``, ``"jpeg"``) as a data URI for an HTML page."""
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")
