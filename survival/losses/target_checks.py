"""Targets of a Cox loss: time, event, and optionally stratum, weight and entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from survival.targets import entry_fits

COLUMNS = ("time", "event", "stratum", "weight", "entry")
# The largest integer up to which all integers are exact in float32, the type of the targets.
_LARGEST_STRATUM = 2**24


def check_targets(y_true: ArrayLike) -> np.ndarray:
    """Check the targets of a Cox loss before training.

    Args:
        y_true: Array of shape (n, 2) to (n, 5) with these columns: time, the follow-up ≥ 0 in any
            unit, of which float32 keeps seven digits; event, 1 if it was observed at that time and
            0 if the row was censored; stratum, a whole number, because only rows of one stratum
            are compared; weight ≥ 0, where a row of weight 0 has no effect; entry, the time at
            which observation began (left truncation), 0 for the start, otherwise before the time.

    Returns:
        The targets as a float32 array.

    Raises:
        ValueError: The shape is wrong; a value is missing, infinite or out of range; or there is
            no event to learn from.
    """
    y = checked_values(y_true)
    weight = y[:, 3] if y.shape[1] > 3 else 1
    if not np.any(y[:, 1] * weight > 0):
        raise ValueError(
            f"targets contain no event among {len(y)} rows (column 1 is 0 everywhere, or rows with "
            "an event have weight 0): a Cox model learns only from events"
        )
    return y


def checked_values(y_true: ArrayLike) -> np.ndarray:
    """Check targets as :func:`check_targets` does, but accept targets without events."""
    try:
        y = np.asarray(y_true, dtype="float64")
    except (TypeError, ValueError):
        raise ValueError(
            f"targets must be numbers in columns {', '.join(COLUMNS)}, got {y_true!r:.80}"
        ) from None
    check_shape(y.shape)
    faults = {
        0: (~(np.isfinite(y[:, 0]) & (y[:, 0] >= 0)), "a time must be finite and >= 0"),
        1: (~np.isin(y[:, 1], (0, 1)), "an event must be 1 (observed) or 0 (censored)"),
    }
    if y.shape[1] > 2:
        whole = (np.abs(y[:, 2]) <= _LARGEST_STRATUM) & (y[:, 2] == np.round(y[:, 2]))
        faults[2] = (~whole, f"a stratum must be a whole number up to {_LARGEST_STRATUM}")
    if y.shape[1] > 3:
        faults[3] = (~(np.isfinite(y[:, 3]) & (y[:, 3] >= 0)), "a weight must be finite and >= 0")
    if y.shape[1] > 4:
        # Compared as they are stored: in float32 two close times may become equal.
        fits = entry_fits(y[:, 0].astype("float32"), y[:, 4].astype("float32"))
        faults[4] = (~fits, "an entry must be 0 (from the start), or > 0 and before the time")
    for column, (wrong, rule) in faults.items():
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"{rule}, got {y[row, column]:g} in row {row} ({wrong.sum()} such rows); the "
                f"columns of the targets are {', '.join(COLUMNS[: y.shape[1]])}"
            )
    return y.astype("float32")


def check_shape(shape: Sequence[int | None]) -> None:
    """Check the shape of targets; unknown sizes are accepted.

    Raises:
        ValueError: If it is not (n, 2), (n, 3), (n, 4) or (n, 5).
    """
    if len(shape) != 2 or shape[1] not in (2, 3, 4, 5):
        raise ValueError(
            "targets must have shape (n, 2), (n, 3), (n, 4) or (n, 5) with columns "
            f"{', '.join(COLUMNS)}, got {tuple(shape)}"
        )


def is_array(values: Any) -> bool:
    """Return whether values can be read: an array or a list, not a tensor, as in ``fit``."""
    return not (ops.is_tensor(values) or isinstance(values, keras.KerasTensor | keras.Variable))


def with_weight(y_true: Any, weight: Any) -> Any:
    """Return targets in which the weight of each row is multiplied by a further weight.

    Args:
        y_true: Targets, shape (n, 2) to (n, 5).
        weight: Shape (n,) or (n, 1), ≥ 0, or booleans (a mask).

    Returns:
        Targets of shape (n, 4), or (n, 5) with entries.

    Raises:
        ValueError: If the number of weights differs from the number of rows, or an array of
            weights has a value that is negative or not finite.
    """
    if is_array(weight):
        weight = np.asarray(weight, "float64")
        wrong = ~(np.isfinite(weight) & (weight >= 0))
        if wrong.any():
            raise ValueError(f"a sample_weight must be finite and >= 0, got {weight[wrong][0]:g}")
    y_true = ops.convert_to_tensor(y_true)
    weight = ops.cast(weight, y_true.dtype)
    check_shape(y_true.shape)
    check_one_per_row("sample_weight", weight.shape, y_true.shape)
    weight = ops.reshape(weight, (-1, 1))
    columns = y_true.shape[1]
    entry = y_true[:, 4:]
    if columns > 3:
        y_true, weight = y_true[:, :3], y_true[:, 3:4] * weight
    elif columns == 2:
        y_true = ops.concatenate([y_true, ops.zeros_like(weight)], axis=1)
    return ops.concatenate([y_true, weight, *([entry] if columns > 4 else [])], axis=1)


def check_one_per_row(
    name: str, shape: Sequence[int | None], targets_shape: Sequence[int | None]
) -> None:
    """Check that a tensor of ``shape`` has one value for each row of targets.

    Raises:
        ValueError: If it does not.
    """
    flat = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    counts = {shape[0] if flat else None, targets_shape[0]} - {None}
    if not flat or len(counts) > 1:
        raise ValueError(
            f"{name} must have one value for each row of the targets, shape (n,) or (n, 1); got "
            f"{tuple(shape)} for targets of shape {tuple(targets_shape)}"
        )
