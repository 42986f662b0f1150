"""The printed tables of the thesis, for the columns "thesis" next to our measurements."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@cache
def table(number: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a printed table.

    Args:
        number: ``"3_1"``, ``"3_2"``, ``"6_1"``, ``"7_1"`` or ``"7_2"``.

    Returns:
        One dictionary for each row. It maps a column to the printed text, which is empty where
        the thesis prints nothing.

    Raises:
        ValueError: If ``number`` is none of these tables.
    """
    path = FOLDER / f"table_{number}.csv"
    if not path.is_file():
        known = sorted(p.stem.removeprefix("table_") for p in FOLDER.glob("table_*.csv"))
        raise ValueError(f"no table {number!r} of the thesis; expected one of {', '.join(known)}")
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))
