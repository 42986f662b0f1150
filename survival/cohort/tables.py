"""Read CSV and TSV files as text, cell by cell, with rows numbered as in the file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from resbuilder.common.words import count, some
from survival.names import standard_names, warn_of_similar

# The line that tells Excel which delimiter a file has.
_SEP = re.compile(r'sep=([^\w"\n])\n', re.IGNORECASE)


def read_table(
    path: str | Path, comment: str | None = None, errors: str = "strict"
) -> pd.DataFrame:
    """Read a table with one header row, separated by tabs, semicolons or commas.

    A first line such as ``sep=;`` names the delimiter. Columns without a name and without a value,
    as spreadsheets add them at the end, are left out.

    Args:
        path: The file, in UTF-8.
        comment: Lines before the header that begin with this are skipped.
        errors: How bytes that are not UTF-8 are decoded; see :meth:`bytes.decode`.

    Returns:
        Strings without surrounding white space. The index is the line number in the file; the
        header is line 1 unless ``sep=`` or comments precede it.

    Raises:
        ValueError: The file is not text or is empty, a column name occurs twice, several columns
            with values have no name, or a row has more or fewer cells than the header, as in a
            truncated download.
    """
    return parse_table(Path(path).read_bytes(), str(path), comment, errors)


def read_slides(path: str | Path, known: Iterable[str] = ("slide",)) -> pd.DataFrame:
    """Read a table with a row for each slide, whose names need not be valid UTF-8.

    Args:
        path: The file.
        known: Names of columns, whose other spellings are replaced; ``slide`` is one of them.

    Returns:
        As :func:`read_table`.

    Raises:
        ValueError: As :func:`read_table`, or if there is no column ``slide``.

    Warns:
        UserWarning: If the name of an unknown column is close to a known one.
    """
    known = tuple(known)
    table = read_table(path, errors="surrogateescape")
    table = table.rename(columns=standard_names(list(table), known))
    warn_of_similar(list(table), known)
    if "slide" not in table:
        names = some(table.columns) if len(table.columns) else "none"
        raise ValueError(f"{path} has no column 'slide'; its columns are {names}")
    return table


def parse_table(
    content: bytes, name: str, comment: str | None = None, errors: str = "strict"
) -> pd.DataFrame:
    """Parse the content of a table; see :func:`read_table`.

    Args:
        content: Text in UTF-8.
        name: Name of the table in errors.
        comment: See :func:`read_table`.
        errors: See :func:`read_table`.

    Returns:
        As :func:`read_table`; ``attrs["delimiter"]`` is the character that separates the cells.
    """
    try:
        text = content.decode("utf-8-sig", errors).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise ValueError(
            f"{name} is not a text file in UTF-8: unpack an archive (.tar.gz, .zip) first, and "
            "save a spreadsheet as CSV UTF-8"
        ) from None
    # Not splitlines(), which also breaks at separators that occur within texts.
    lines = [f"{line}\n" for line in text.split("\n")]
    sep = _SEP.fullmatch(lines[0])
    first = 1 if sep else 0
    while comment and first < len(lines) and lines[first].startswith(comment):
        first += 1
    if first == len(lines) or not lines[first].strip():
        raise ValueError(f"{name} has no header row")
    most_often = max("\t;,", key=lines[first].count)
    delimiter = sep[1] if sep else most_often if most_often in lines[first] else ","
    # Exports separated by tabs rarely quote cells: a quotation mark is part of the text.
    header, rows = _cells(lines, first, delimiter, name, quoted=delimiter != "\t")
    if delimiter == "\t" and _are_quoted(header, list(rows.values())):
        header, rows = _cells(lines, first, delimiter, name, quoted=True)
    twice = sorted({column for column in header if column and header.count(column) > 1})
    if twice:
        raise ValueError(f"{name} has more than one column named {some(map(repr, twice))}")
    ragged = [line for line, row in rows.items() if len(row) != len(header)]
    if ragged:
        raise ValueError(
            f"{name}: {count(len(ragged), 'row')} without the {len(header)} cells of the header: "
            f"{some(f'row {line} has {len(rows[line])}' for line in ragged)}; was the file "
            "truncated, or does it use decimal commas?"
        )
    kept = [i for i, column in enumerate(header) if column or any(r[i] for r in rows.values())]
    nameless = [f"column {i + 1}" for i in kept if not header[i]]
    # A single one is kept: pandas and R give the column of row names no name.
    if len(nameless) > 1:
        raise ValueError(
            f"{name} has {len(nameless)} columns with values but no name: {some(nameless)}; name "
            "them in the header, or remove them"
        )
    table = pd.DataFrame(
        [[row[i] for i in kept] for row in rows.values()],
        index=list(rows),
        columns=[header[i] for i in kept],
        dtype=object,
    )
    table.attrs["delimiter"] = delimiter
    return table


def _cells(
    lines: list[str], first: int, delimiter: str, name: str, quoted: bool
) -> tuple[list[str], dict[int, list[str]]]:
    """Return the header, which is line ``first``, and the rows that are not blank by their line."""
    reader = csv.reader(
        lines[first:],
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    rows: dict[int, list[str]] = {}
    try:
        header = [cell.strip() for cell in next(reader)]
        for row in reader:
            if any(cells := [cell.strip() for cell in row]):
                rows[first + reader.line_num] = cells
    except csv.Error as error:
        raise ValueError(f"{name}, line {first + reader.line_num}: {error}") from None
    return header, rows


def _are_quoted(header: list[str], rows: list[list[str]]) -> bool:
    """Return whether the quotation marks of a table enclose cells, as R's ``write.table`` does.

    Args:
        header: Cells of the header, read without quoting.
        rows: Cells of the rows, read in the same way.
    """
    if _enclosed(cell for cell in header if cell):
        return True
    # One text that only begins with a mark would swallow all lines up to the next mark.
    if not _enclosed(cell for row in rows for cell in row if cell.startswith('"')):
        return False
    return any(_enclosed(cell for cell in column if cell) for column in zip(*rows, strict=False))


def _enclosed(cells: Iterable[str]) -> bool:
    """Return whether there are cells, and all of them begin and end with a quotation mark."""
    found = [len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells]
    return bool(found) and all(found)
