"""Scale of the images of slides in µm per pixel, which a network cannot see."""

from __future__ import annotations

from collections.abc import Iterable

# Scales up to this factor apart count as the same, as those of two scanners of one magnification.
TOLERANCE = 1.1


def differ(scales: Iterable[float]) -> bool:
    """Return whether images have different scales.

    Args:
        scales: µm per pixel of each image whose scale is known.
    """
    known = sorted(scales)
    return bool(known) and known[-1] > TOLERANCE * known[0]


def span(scales: Iterable[float]) -> str:
    """Return the least and the largest scale as text, such as ``"2 to 4"``, or the one scale."""
    known = sorted(scales)
    return " to ".join(dict.fromkeys(f"{scale:.3g}" for scale in (known[0], known[-1])))
