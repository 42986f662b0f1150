"""Input files with one defect: they are rejected with a clear message, or are still valid."""

from __future__ import annotations

import re
import warnings
import zlib
from pathlib import Path

import numpy as np

from tests.faults.readers import Reader, readers
from tests.faults.tally import Tally

# Not a message: nothing readable, or the name of an exception.
_NO_WORDS = re.compile(r"^\W*$|^\w+(Error|Exception)\b|Traceback")
# The shortest word by which a message may name a part of a file.
_WORD = 3


def fuzzed_inputs(count: int, folder: Path, seed: int = 0) -> list[Tally]:
    """Read broken files with the readers of the commands.

    Args:
        count: How many files of each kind.
        folder: An empty folder to work in.
        seed: Seed of the defects.

    Returns:
        One tally for each kind of file. A broken file is either rejected by a ValueError (or an
        error of click, or FileNotFoundError) that names the file or a part of it, or accepted with
        valid contents. Code in a file is never run.
    """
    tallies = []
    for reader in readers(folder / "whole"):
        # Each kind has its own random numbers, so that a new kind does not change the others.
        random = np.random.default_rng((seed, zlib.crc32(reader.name.encode())))
        tally = Tally(f"inputs: {reader.name}")
        for _ in range(count):
            name, data = reader.broken(random)
            tally.add(*_tried(reader, name, data))
        tallies.append(tally)
    return tallies


def _tried(reader: Reader, name: str, data: bytes) -> tuple[str, str | None]:
    """Return the outcome of reading a broken file, and what is wrong with it, if anything."""
    reader.file.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read()
        outcome, wrong = "accepted", None
    except AssertionError as error:
        outcome, wrong = "", f"accepted, but {error}"
    except reader.refusals as error:
        message = str(getattr(error, "message", error))
        outcome, wrong = "rejected", _fault_in(message, reader)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome, wrong = "", f"{type(error).__name__}: {error}"
    if reader.trace.exists():
        reader.trace.unlink()
        wrong = "code in the file was run"
    reader.mend()
    return outcome, wrong and f"{reader.file.name}, {name}: {wrong}"[:500]


def _fault_in(message: str, reader: Reader) -> str | None:
    """Return what is wrong with a message, if anything."""
    if _NO_WORDS.search(message):
        return f"not a message: {message!r}"
    if len(message) > 100_000:
        return f"a message of {len(message):,} characters"
    words = {w for w in reader.words if len(w) >= _WORD} | {reader.file.name}
    if not any(word in message for word in words):
        return f"a message that names neither the file nor a part of it: {message!r}"
    return None
