"""Convert the spellings that people use in tables to those of a cohort.

Column names are matched regardless of case, events may be words, and numbers may have decimal
commas in files whose cells are not separated by commas.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

import pandas as pd

from resbuilder.common.words import some
from survival.cohort.checks import OPTIONAL, REQUIRED, as_number, is_missing
from survival.names import standard_names, warn_of_similar

EVENT = {"1", "1.0", "true", "t", "yes", "y", "dead", "deceased", "died", "event"}
CENSORED = {"0", "0.0", "false", "f", "no", "n", "alive", "living", "censored", "no event"}
# cBioPortal's statuses: 1:DECEASED, 0:LIVING.
_CODED = re.compile(r"([01])\s*:.*")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")
_POINTS = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def standard_columns(table: pd.DataFrame, *chosen: str) -> pd.DataFrame:
    """Return a table in which known columns have their standard names.

    Args:
        table: The table.
        chosen: Names of columns that the user chose, such as that of the times.

    Warns:
        UserWarning: The name of an unknown column is close to a known one. It may be a typo; the
            column is not used.
    """
    known = list(dict.fromkeys((*REQUIRED, *chosen, *OPTIONAL)))
    table = table.rename(columns=standard_names(list(map(str, table.columns)), known))
    warn_of_similar([c for c in map(str, table.columns) if not is_endpoint(c)], known)
    return table


def check_datasets(wanted: Iterable[str], there: set[str], source: str) -> None:
    """Raise ValueError if a dataset is not among those of a cohort."""
    for dataset in wanted:
        if dataset not in there:
            named = ", ".join(map(repr, sorted(there)))
            raise ValueError(f"{source} has no dataset {dataset!r}; its datasets: {named}")


def rows_of_datasets(table: pd.DataFrame, datasets: Iterable[str], source: str) -> pd.DataFrame:
    """Return the rows of a manifest that belong to some datasets.

    Raises:
        ValueError: The manifest has no such dataset.
    """
    names = standard_names(list(map(str, table.columns)), ["dataset"])
    table = table.rename(columns=names)
    cells = table["dataset"] if "dataset" in table else pd.Series("all", table.index)
    check_datasets(datasets, set(cells), source)
    chosen = table[cells.isin(list(datasets))]
    chosen.attrs.update(table.attrs)  # how decimal points are recognized
    return chosen


def is_endpoint(name: str) -> bool:
    """Return whether a column is the time or event of a further endpoint, such as rfs_time."""
    return name.endswith(("_time", "_event"))


def standard_events(cells: pd.Series, event_is: str | None = None) -> pd.Series:
    """Return events as ``"1"`` and ``"0"``; other cells stay unchanged.

    Args:
        cells: Numbers, truth values or words such as ``Dead`` and ``Alive``.
        event_is: The word or number that means an event; every other cell then means censored.
            Case does not matter, and neither does how a number is written: 2 is also 2.0.

    Raises:
        ValueError: No cell equals ``event_is``.

    Warns:
        UserWarning: With ``event_is``: which words were taken as censored, and how often.
    """
    words = cells.map(lambda cell: "" if is_missing(cell) else str(cell).strip())
    if event_is is not None:
        return _events_by_word(cells, words, event_is.strip())

    def standard(cell: object, word: str) -> object:
        coded = _CODED.fullmatch(word)
        plain = coded[1] if coded else word.casefold()
        return "1" if plain in EVENT else "0" if plain in CENSORED else cell

    return pd.Series(list(map(standard, cells, words)), cells.index, dtype=object)


def _events_by_word(cells: pd.Series, words: pd.Series, event_is: str) -> pd.Series:
    hit = words.str.casefold() == event_is.casefold()
    hit |= words.map(as_number).astype(float) == as_number(event_is)
    counts = words[words != ""].value_counts()
    if not hit.any():
        raise ValueError(
            f"no cell of the event column is {event_is!r}; its values: "
            f"{some(f'{word!r} ({n}×)' for word, n in counts.items())}"
        )
    others = counts.drop(words[hit].unique())
    warnings.warn(
        f"events: {int(hit.sum())} × {event_is!r}; taken as censored: "
        f"{some((f'{n} × {word!r}' for word, n in others.items()), 10) or 'none'}",
        stacklevel=4,
    )
    return pd.Series(
        [
            "1" if h else "0" if word else cell
            for cell, word, h in zip(cells, words, hit, strict=True)
        ],
        cells.index,
        dtype=object,
    )


def plain_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame without the types of pandas' extensions (nullable, Arrow, categorical)."""
    plain = frame.copy()
    for name in frame:
        if isinstance(frame[name].dtype, pd.api.extensions.ExtensionDtype):
            plain[name] = frame[name].astype(object).where(frame[name].notna(), None)
    return plain


def decimal_points(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Return a table in which decimal commas are replaced by decimal points.

    A comma that may separate thousands stays, and is reported as a problem later: in a file whose
    cells are separated by commas, and in a column such as 1,234 in which every comma is followed
    by three digits.

    Warns:
        UserWarning: If every point of a column may separate thousands, as in 365 and 1.234.
    """
    delimiter = table.attrs.get("delimiter")
    if delimiter is None:  # not read from a file: its numbers need no spelling
        return table
    table = table.copy()
    for name in columns:
        if name in table:
            _warn_of_points(name, table[name])
        if name in table and delimiter != "," and not _may_be_thousands(table[name]):
            table[name] = table[name].map(
                lambda cell: cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell
            )
    return table


def _warn_of_points(name: str, cells: pd.Series) -> None:
    with_point = [cell for cell in cells if "." in cell]
    whole = [cell for cell in cells if cell.isdecimal()]
    # A column of decimal numbers has others than whole ones and those with three decimals.
    if with_point and whole and all(map(_POINTS.fullmatch, with_point)):
        warnings.warn(
            f"column {name!r}: {with_point[0]} is read as a decimal number, although {whole[0]} "
            "is a whole one; if the point separates thousands, leave it out",
            stacklevel=5,
        )


def _may_be_thousands(cells: pd.Series) -> bool:
    with_comma = [cell for cell in cells if "," in cell]
    return bool(with_comma) and all(_THOUSANDS.fullmatch(cell) for cell in with_comma)
