"""Tables of text: CSV and TSV files, cell by cell as they stand, rows numbered as in the file."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from resbuilder.common.words import some


def read_table(path: str | Path, comment: str | None = None) -> pd.DataFrame:
    """Read a table with one header row, separated by tabs, semicolons or commas.

    Args:
        path: The file, in UTF-8.
        comment: Lines before the header that begin with this are skipped.

    Returns:
        Strings without surrounding blanks; the index is the line in the file, the header being
        line 1 where nothing stands before it.

    Raises:
        ValueError: The file is not text, is empty, names a column twice, or has rows with more or
            fewer cells than the header (a download that was cut off).
    """
    return parse_table(Path(path).read_bytes(), str(path), comment)


def parse_table(content: bytes, name: str, comment: str | None = None) -> pd.DataFrame:
    """Parse the content of a table; see :func:`read_table`.

    Args:
        content: Text in UTF-8.
        name: What errors call the table.
        comment: See :func:`read_table`.

    Returns:
        As :func:`read_table`; ``attrs["delimiter"]`` says what separates the cells.
    """
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise ValueError(
            f"{name} is not a text file in UTF-8: unpack an archive (.tar.gz, .zip), save a "
            "spreadsheet as CSV UTF-8"
        ) from None
    # Not splitlines(): it also breaks at separators that occur within texts.
    lines = [f"{line}\n" for line in text.split("\n")]
    first = 0
    while comment and first < len(lines) and lines[first].startswith(comment):
        first += 1
    if first == len(lines) or not lines[first].strip():
        raise ValueError(f"{name} has no header row")
    delimiter = max("\t;,", key=lines[first].count)
    # Exports separated by tabs quote nothing: a quotation mark there is part of a text.
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
            f"{name}: {len(ragged)} row(s) do not have the {len(header)} cells of the header: "
            f"{some(f'row {line} has {len(rows[line])}' for line in ragged)}; was the file cut "
            "off, or is there a decimal comma?"
        )
    table = pd.DataFrame(list(rows.values()), index=list(rows), columns=header, dtype=object)
    table.attrs["delimiter"] = delimiter
    return table
