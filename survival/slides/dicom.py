"""DICOM slides: which files belong together.

A scanner writes a slide as a series of files, one for each level, the label and so on, in one
folder. OpenSlide opens any of them and finds the others; only their headers tell what is a series.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".dcm"
# Elements are numbered (group, element) and sorted by that.
_SERIES = (0x0020, 0x000E)
_ENDS = ((0xFFFE, 0xE00D), (0xFFFE, 0xE0DD))  # of an item, of a sequence
# Kinds of values whose length has four bytes instead of two.
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED = 0xFFFFFFFF


def series_of(path: Path) -> str | None:
    """Return the SeriesInstanceUID of a DICOM file; None if it has none that can be read.

    Only the file's header is read, in the explicit little-endian form that slides are written in.

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
    """Tag and length of the next element; its value follows."""
    if not (head := file.read(6)):
        return None
    group, number, kind = struct.unpack("<HH2s", head)
    if group == 0xFFFE:  # items have a length, but no kind
        return (group, number), struct.unpack("<I", kind + file.read(2))[0]
    if kind in _LONG:
        file.seek(2, 1)
        return (group, number), struct.unpack("<I", file.read(4))[0]
    return (group, number), struct.unpack("<H", file.read(2))[0]


def _skip(file: BinaryIO, length: int) -> None:
    if length != _UNDEFINED:
        file.seek(length, 1)
        return
    # A sequence or an item that lasts until its end is marked.
    while (element := _element(file)) is not None and element[0] not in _ENDS:
        _skip(file, element[1])
