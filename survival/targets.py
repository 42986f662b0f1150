"""Follow-up as the targets of loss and metrics. Needs no Keras backend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def make_targets(
    time: ArrayLike,
    event: ArrayLike,
    stratum: ArrayLike | None = None,
    entry: ArrayLike | None = None,
) -> np.ndarray:
    """Return follow-up as one array of targets.

    Args:
        time: Time until event or censoring, shape (n,).
        event: 1 if the event was observed, 0 if the row was censored, shape (n,).
        stratum: Stratum of each row, shape (n,); rows of different strata are not compared.
        entry: Time at which observation of each row began, shape (n,).

    Returns:
        Columns time and event, shape (n, 2); with strata also stratum, shape (n, 3). If any entry
        is above 0, the columns are time, event, stratum, weight 1 and entry, shape (n, 5). float64.
    """
    columns = [time, event] if stratum is None else [time, event, stratum]
    table = np.stack([np.asarray(column, "float64") for column in columns], axis=1)
    if entry is None or not np.any(np.asarray(entry, "float64") > 0):
        return table
    wide = _widened(table)
    wide[:, 4] = entry
    return wide


def join_targets(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the concatenation of targets, some of which may have entries and others not.

    Args:
        parts: Arrays of shape (n, 2), (n, 3) or (n, 5); at least one.

    Returns:
        float64, with five columns if any part has them.
    """
    if any(part.shape[1] > 3 for part in parts):
        parts = [_widened(part) for part in parts]
    return np.concatenate(parts)


def entry_fits(time: ArrayLike, entry: ArrayLike) -> np.ndarray:
    """Return which entries are valid: 0 (observed from the start), or later but before the time.

    Args:
        time: Time until event or censoring, shape (n,).
        entry: Time at which observation of each row began, shape (n,); NaN is not valid.

    Returns:
        bool, shape (n,).
    """
    time, entry = np.asarray(time), np.asarray(entry)
    return (entry == 0) | ((entry > 0) & (entry < time))


def _widened(table: np.ndarray) -> np.ndarray:
    """Return all five columns, with stratum 0, weight 1 and entry 0 where they are missing."""
    rest = np.tile([0.0, 1.0, 0.0], (len(table), 1))
    return np.concatenate([table, rest[:, table.shape[1] - 2 :]], axis=1)
