"""Files that are read, with one thing wrong: refused in words, or accepted because they hold."""

from __future__ import annotations

import re
import warnings
import zlib
from pathlib import Path

import numpy as np

from tests.faults.readers import Reader, readers
from tests.faults.tally import Tally

# No message: a type's name, or nothing to read.
_NO_WORDS = re.compile(r"^\W*$|^\w+(Error|Exception)\b|Traceback")
# The shortest word by which a message may name a part of a file.
_WORD = 3


def fuzzed_inputs(count: int, folder: Path, seed: int = 0) -> list[Tally]:
    """Gives broken files to whatever the commands read files with.

    Args:
        count: How many of each kind of file.
        folder: An empty folder to work in.
        seed: Of what is broken, and how.

    Returns:
        One tally for each kind of file. A broken file is refused by a ValueError (or an error of
        click, or FileNotFoundError) that names the file or a part of it; or it is accepted, and
        what was read holds. Nothing in a file is ever run.
    """
    tallies = []
    for reader in readers(folder / "whole"):
        # Its own numbers, so that a new kind leaves those of the others alone.
        random = np.random.default_rng((seed, zlib.crc32(reader.name.encode())))
        tally = Tally(f"inputs: {reader.name}")
        for _ in range(count):
            name, data = reader.broken(random)
            tally.add(*_tried(reader, name, data))
        tallies.append(tally)
    return tallies


def _tried(reader: Reader, name: str, data: bytes) -> tuple[str, str | None]:
    """The outcome of reading a broken file, and what is wrong with that."""
    reader.file.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read()
        outcome, wrong = "accepted", None
    except AssertionError as error:
        outcome, wrong = "", f"accepted, but {error}"
    except reader.refusals as error:
        said = str(getattr(error, "message", error))
        outcome, wrong = "refused", _fault_in(said, reader)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome, wrong = "", f"{type(error).__name__}: {error}"
    if reader.trace.exists():
        reader.trace.unlink()
        wrong = "code in the file was run"
    reader.mend()
    return outcome, wrong and f"{reader.file.name}, {name}: {wrong}"[:500]


def _fault_in(said: str, reader: Reader) -> str | None:
    """What is wrong with a message, if anything."""
    if _NO_WORDS.search(said):
        return f"says {said!r}"
    if len(said) > 100_000:
        return f"says {len(said):,} characters"
    words = {w for w in reader.words if len(w) >= _WORD} | {reader.file.name}
    if not any(word in said for word in words):
        return f"names neither the file nor a part of it: {said!r}"
    return None
