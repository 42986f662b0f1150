"""Clinical exports of a portal: one table, a folder of tables, or an archive."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from survival.cohort.tables import parse_table, read_table

# The suffix of the tables in GDC's archives.
TABLES = ".tsv"
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
# Far above the size of any project's clinical table. Larger files are refused unread.
MOST_BYTES = 2**28
_CHUNK = 2**20
# What reading a damaged archive raises, or a ZIP file that is encrypted or compressed otherwise.
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(RuntimeError, NotImplementedError),
)


def read_tables(
    path: str | Path | pd.DataFrame, comment: str | None = None
) -> dict[str, pd.DataFrame]:
    """Read the tables of an export.

    Args:
        path: A table; a folder of tables (sub-folders are ignored); an archive of tables
            (``.tar.gz``, ``.tgz``, ``.tar``, ``.zip``), which is read without unpacking it to
            disk; or a pandas frame.
        comment: See :func:`~survival.cohort.tables.read_table`.

    Returns:
        The tables by name, in alphabetical order.

    Raises:
        ValueError: The export has no table, a table cannot be read, or the archive is damaged.
    """
    if isinstance(path, pd.DataFrame):
        cells = path.astype(object).where(path.notna(), "").astype(str)
        cells = cells.apply(lambda column: column.str.strip())
        return {"the table": cells.astype(object)}
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if _is_table(p.name) and p.is_file())
        tables = {str(file): read_table(file, comment) for file in files}
    elif path.name.lower().endswith(ARCHIVES):
        texts = sorted(_texts(path))
        tables = {name: parse_table(text, name, comment) for name, text in texts}
    else:
        return {str(path): read_table(path, comment)}
    if not tables:
        raise ValueError(f"{path} contains no table ({TABLES})")
    return tables


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each table in an archive."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if _is_table(entry.filename):
                        _check_size(path, entry.filename, entry.file_size)
                        yield f"{path}:{entry.filename}", archive.read(entry)
        else:
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile() and _is_table(member.name):
                        _check_size(path, member.name, member.size)
                        if content := archive.extractfile(member):  # never None for a file
                            yield f"{path}:{member.name}", content.read()
                # Only at its end does gzip compare its checksum; tarfile stops before.
                while archive.fileobj and archive.fileobj.read(_CHUNK):
                    pass
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # no such file, no permission
        raise ValueError(
            f"{path} is not a complete archive (.tar.gz or .zip) without a password: download it "
            "again"
        ) from None


def _is_table(name: str) -> bool:
    # Archives made on macOS contain a metadata file ._NAME for each file NAME.
    base = name.rpartition("/")[2]
    return base.lower().endswith(TABLES) and not base.startswith("._")


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(
            f"{name} in {path} has {size:,} bytes; a clinical table has at most {MOST_BYTES:,}"
        )
