"""Repair of GDC exports in which values are shifted to the left of their columns.

Exports of 2019 omitted the fields that a living patient lacks, instead of writing ``--``. All
later values of the row moved to the left. Read by the header, such a row has an age in
days_to_death and a treatment in days_to_last_follow_up.
"""

from __future__ import annotations

import re
import warnings

import pandas as pd

from resbuilder.common.words import some

# Fields with an unmistakable format: ICD-O-3 (8500/3) and ICD-10 (C50.9).
FORMS = {"morphology": re.compile(r"\d{4}/\d$"), "icd_10_code": re.compile(r"[A-Z]\d\d(\.\w+)?$")}
NO_CODE = {"", "--", "'--", "not reported", "unknown"}
MOST = 6  # The largest shift that is considered, in columns.


def realign(raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Move shifted rows back, if two independent codes agree on the shift.

    If the morphology and the ICD-10 code are both found the same number of columns to the left of
    their header, all columns from the morphology on, which include the follow-up, are moved back
    by that number. Left of the morphology, fields may be missing at unknown places. There, the
    vital status is kept if the row contains exactly one, and the day of death is discarded.

    Args:
        raw: An export in any layout; only that of 2019 is changed.

    Returns:
        The export with the rows moved back, and for each row whether it is shifted by an unknown
        number of columns.
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
            f"{len(moved)} of {len(raw)} rows have values to the left of their columns and were "
            f"moved back according to their morphology and ICD-10 code (row {some(moved)}); a new "
            "export would be safer",
            stacklevel=4,
        )
    return pd.DataFrame(cells, raw.index, raw.columns), lost
