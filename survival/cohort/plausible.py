"""Warnings about follow-up times that are numbers, but perhaps not what they should be."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

# The smallest factor between units of time is 7, from days to weeks; it is 12 from months to years.
MOST_RATIO = 6.5
# Fewer times have no typical length.
FEWEST = 5
YEARS = (1900, 2100)
# Spreadsheets count the days since 1900: 20,000 is in 1954, 60,000 in 2064.
SERIAL_DATES = (20_000, 60_000)


def warn_of_dates(times: ArrayLike, name: str = "time") -> None:
    """Warn if all times may be years, or dates as spreadsheets number them.

    Args:
        times: Follow-up times, shape (n,).
        name: Name of their column.

    Warns:
        UserWarning: If all are whole numbers from 1900 to 2100, or from 20,000 to 60,000.
    """
    values = np.asarray(times, float)
    if not len(values) or (values != np.round(values)).any():
        return
    for (low, high), what in ((YEARS, "years"), (SERIAL_DATES, "dates of a spreadsheet")):
        if ((values >= low) & (values <= high)).all():
            warnings.warn(
                f"column {name!r}: all values are between {low} and {high}, as if they were "
                f"{what}; give the time from diagnosis to the event or last visit",
                stacklevel=4,
            )


def unlike_units(times: Mapping[str, ArrayLike]) -> str:
    """Return in words that typical follow-ups differ as much as between two units of time.

    Args:
        times: Follow-up times, shape (n,), by what has them, such as ``"dataset 'A'"``. Those with
            fewer than five do not count.

    Returns:
        An empty text if the largest median is at most 6.5 times the smallest one.
    """
    medians = {
        name: float(np.median(np.asarray(values, float)))
        for name, values in times.items()
        if np.size(values) >= FEWEST
    }
    medians = {name: median for name, median in medians.items() if median > 0}
    if len(medians) < 2:
        return ""
    low, high = (f(medians, key=medians.__getitem__) for f in (min, max))
    if medians[high] <= MOST_RATIO * medians[low]:
        return ""
    return (
        f"the median follow-up is {medians[high]:.4g} for {high}, but {medians[low]:.4g} for "
        f"{low}: make sure that both are in the same unit"
    )


def warn_of_units(times: Mapping[str, ArrayLike]) -> None:
    """Warn if there is an answer of :func:`unlike_units`."""
    if said := unlike_units(times):
        warnings.warn(said, stacklevel=4)


def same_unit(one: str | None, other: str | None) -> bool:
    """Return whether two units of time are the same; case does not matter, None is unknown."""
    return (one and one.casefold()) == (other and other.casefold())
