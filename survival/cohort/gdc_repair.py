"""Rows of GDC exports whose values stand left of their columns.

Exports of 2019 left out the fields that a living patient lacks instead of writing ``--``, so that
everything behind them moved to the left: read by its header, such a row has an age for
days_to_death and a treatment for days_to_last_follow_up.
"""

from __future__ import annotations

import re
import warnings

import pandas as pd

from resbuilder.common.words import some

# Fields with a form of their own: ICD-O-3 (8500/3) and ICD-10 (C50.9).
FORMS = {"morphology": re.compile(r"\d{4}/\d$"), "icd_10_code": re.compile(r"[A-Z]\d\d(\.\w+)?$")}
NO_CODE = {"", "--", "'--", "not reported", "unknown"}
MOST = 6  # Columns that a row may have moved.


def realign(raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Moves displaced rows back, as far as two independent codes prove where they stand.

    Where the morphology and the ICD-10 code both stand the same number of columns left of their
    header, all columns from the morphology on, the follow-up among them, are moved back by it.
    Before the morphology fields may be missing in unknown places: of these only a vital status
    that stands alone in the row is kept, and a day of death is not believed.

    Args:
        raw: An export in any layout; only that of 2019 is looked at.

    Returns:
        The export with the rows moved back, and whether a row is displaced but cannot be moved.
    """
    lost = pd.Series(False, raw.index)
    order = ("days_to_death", "vital_status", "morphology", "icd_10_code", "days_to_last_follow_up")
    if not set(order) <= set(raw.columns):
        return raw, lost
    death, vital, first, code, last = (raw.columns.get_loc(name) for name in order)
    if not max(death, vital) < first < min(code, last):
        return raw, lost
    forms = dict(zip((first, code), FORMS.values(), strict=True))

    def fits(row, column):
        return forms[column].match(row[column]) or row[column].lower() in NO_CODE

    cells, moved = raw.to_numpy(dtype=object, copy=True), []
    for i, row in enumerate(raw.to_numpy(dtype=object)):
        if all(fits(row, column) for column in forms):
            continue
        shifts = range(1, min(MOST, first) + 1)
        shift = [s for s in shifts if all(f.match(row[c - s]) for c, f in forms.items())]
        status = [cell for cell in row[:first] if cell.lower() in ("alive", "dead")]
        if len(shift) != 1 or len(status) != 1:
            lost.iloc[i] = True
            continue
        cells[i, first:] = row[first - shift[0] : len(row) - shift[0]]
        cells[i, vital], cells[i, death] = status[0], ""
        moved.append(raw.index[i])
    if moved:
        warnings.warn(
            f"{len(moved)} of {len(raw)} rows have values left of their columns and were moved "
            f"back by their morphology and ICD-10 code (row {some(moved)}); a new export would be "
            "safer",
            stacklevel=4,
        )
    return pd.DataFrame(cells, raw.index, raw.columns), lost
