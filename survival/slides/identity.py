"""Identity of a slide: hashes that recognize copies regardless of their names."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import openslide
from xxhash import xxh3_128

# Bytes read at a time. Such a block stays in a core's own cache, from which it is then hashed.
_BLOCK = 2**18


class TilesHash:
    """Hash of the data read from a slide, independent of the number of threads."""

    def __init__(self) -> None:
        self._parts: dict[tuple[int, int], bytes] = {}

    def add(self, place: tuple[int, int], data: bytes | memoryview) -> None:
        """Add the data of a place; the order of the calls does not matter.

        Args:
            place: Where the data were read; one call per place.
            data: The data.
        """
        self._parts[place] = xxh3_128(data).digest()

    def hexdigest(self) -> str:
        """Return the hash of all places, as hexadecimal digits."""
        whole = xxh3_128()
        for place in sorted(self._parts):
            whole.update(repr(place).encode())
            whole.update(self._parts[place])
        return whole.hexdigest()


def content_of(slide: openslide.OpenSlide, size: int, tiles: TilesHash) -> str:
    """Return a text that is the same for copies of a slide.

    Args:
        slide: An open slide.
        size: Size of its file in bytes.
        tiles: Hash of the data read from it, used if OpenSlide provides no hash. It depends on the
            level that was read.

    Returns:
        ``quickhash:HASH:BYTES`` or ``tiles:HASH:BYTES``.
    """
    quick = quickhash(slide)
    return f"quickhash:{quick}:{size}" if quick else f"tiles:{tiles.hexdigest()}:{size}"


def quickhash(slide: openslide.OpenSlide) -> str | None:
    """Return OpenSlide's hash of a slide's smallest level and properties; None if it has none."""
    return slide.properties.get(openslide.PROPERTY_NAME_QUICKHASH1)


class FileHash:
    """Hash of a slide's whole file, computed in a separate thread.

    For a MIRAX slide the data folder is included. For other slides in several files (VMS, DICOM)
    only the given file is hashed.

    Args:
        path: The slide's file. Use the object as a context manager: the thread starts on entry and
            ends on exit.
    """

    def __init__(self, path: Path):
        self._path, self._stopped, self._blocks = path, False, 0
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> FileHash:
        self._future: Future[str] = self._pool.submit(self._run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped = True
        self._pool.shutdown()

    def result(self, progress: Callable[[], None] = lambda: None) -> str:
        """Return ``xxh3:`` and the 128-bit hash in hexadecimal digits, as ``xxhsum -H2`` prints it.

        Args:
            progress: Called as long as reading the file makes progress.

        Raises:
            OSError: The file cannot be read.
        """
        before = -1
        while True:
            try:
                return self._future.result(timeout=0.2)
            except TimeoutError:
                if self._future.done():  # finished meanwhile, or raised a TimeoutError itself
                    return self._future.result()
                if self._blocks > before:
                    progress()
                before = self._blocks

    def _run(self) -> str:
        files = [self._path]
        if self._path.suffix.lower() == ".mrxs":
            files += sorted(f for f in self._path.with_suffix("").rglob("*") if f.is_file())
        whole, block = xxh3_128(), bytearray(_BLOCK)
        for file in files:
            with open(file, "rb", buffering=0) as opened:
                while (size := opened.readinto(block)) and not self._stopped:
                    whole.update(memoryview(block)[:size])
                    self._blocks += 1
        return f"xxh3:{whole.hexdigest()}"
