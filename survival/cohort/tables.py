"""Read CSV and TSV files as text, cell by cell, with rows numbered as in the file."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from resbuilder.common.words import count, some


def read_table(
    path: str | Path, comment: str | None = None, errors: str = "strict"
) -> pd.DataFrame:
    """Read a table with one header row, separated by tabs, semicolons or commas.

    Args:
        path: The file, in UTF-8.
        comment: Lines before the header that begin with this are skipped.
        errors: How bytes that are not UTF-8 are decoded; see :meth:`bytes.decode`.

    Returns:
        Strings without surrounding white space. The index is the line number in the file; the
        header is line 1 unless comments precede it.

    Raises:
        ValueError: The file is not text or is empty, a column name occurs twice, or a row has
            more or fewer cells than the header, as in a truncated download.
    """
    return parse_table(Path(path).read_bytes(), str(path), comment, errors)


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
    first = 0
    while comment and first < len(lines) and lines[first].startswith(comment):
        first += 1
    if first == len(lines) or not lines[first].strip():
        raise ValueError(f"{name} has no header row")
    most_often = max("\t;,", key=lines[first].count)
    delimiter = most_often if most_often in lines[first] else ","
    # Exports separated by tabs do not quote cells: a quotation mark is part of the text.
    reader = csv.reader(
        lines[first:],
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL,
    )
    rows: dict[int, list[str]] = {}
    try:
        header = [cell.strip() for cell in next(reader)]
        for row in reader:
            if any(row):
                rows[first + reader.line_num] = [cell.strip() for cell in row]
    except csv.Error as error:
        raise ValueError(f"{name}, line {first + reader.line_num}: {error}") from None
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise ValueError(f"{name} has more than one column named {some(map(repr, twice))}")
    ragged = [line for line, row in rows.items() if len(row) != len(header)]
    if ragged:
        raise ValueError(
            f"{name}: {count(len(ragged), 'row')} without the {len(header)} cells of the header: "
            f"{some(f'row {line} has {len(rows[line])}' for line in ragged)}; was the file "
            "truncated, or does it use decimal commas?"
        )
    table = pd.DataFrame(list(rows.values()), index=list(rows), columns=header, dtype=object)
    table.attrs["delimiter"] = delimiter
    return table
