"""DICOM slides: which files belong together.

A scanner writes a slide as a series of files in one folder: one for each level, one for the label
and so on. OpenSlide opens any of them and finds the others. Only the headers say which files
form a series.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".dcm"
# Elements are identified by (group, element), and sorted by that pair.
_SERIES = (0x0020, 0x000E)
_ENDS = ((0xFFFE, 0xE00D), (0xFFFE, 0xE0DD))  # of an item, of a sequence
# Value representations whose length field has four bytes instead of two.
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED = 0xFFFFFFFF


def series_of(path: Path) -> str | None:
    """Return the SeriesInstanceUID of a DICOM file, or None if it cannot be read.

    Only the header is read, in the explicit little-endian encoding that DICOM slides use.

    Args:
        path: The file.
    """
    try:
        with open(path, "rb") as file:
            if file.read(132)[128:] != b"DICM":
                return None
            while (element := _element(file)) is not None and element[0] <= _SERIES:
                tag, length = element
                if tag == _SERIES:
                    return file.read(min(length, 64)).decode("ascii").strip(" \0") or None
                _skip(file, length)
    except (OSError, struct.error, UnicodeDecodeError, RecursionError):
        pass
    return None


def _element(file: BinaryIO) -> tuple[tuple[int, int], int] | None:
    """Return the tag and length of the next element; its value follows in the file."""
    if not (head := file.read(6)):
        return None
    group, element, representation = struct.unpack("<HH2s", head)
    if group == 0xFFFE:  # items have a length, but no value representation
        return (group, element), struct.unpack("<I", representation + file.read(2))[0]
    if representation in _LONG:
        file.seek(2, 1)
        return (group, element), struct.unpack("<I", file.read(4))[0]
    return (group, element), struct.unpack("<H", file.read(2))[0]


def _skip(file: BinaryIO, length: int) -> None:
    if length != _UNDEFINED:
        file.seek(length, 1)
        return
    # A sequence or item of undefined length ends at a delimiter.
    while (element := _element(file)) is not None and element[0] not in _ENDS:
        _skip(file, element[1])
