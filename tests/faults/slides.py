"""Broken slides among good ones, in a batch as users run it."""

from __future__ import annotations

import csv
import io
import itertools
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from survival.slides import preprocess_slide, preprocess_slides
from tests.faults.memory import PeakMemory
from tests.faults.tally import Tally
from tests.faults.tiff import Good, bombs, cuts, flips, good_slides, wrong_tags

CANVAS = (240, 200)
# Seconds without progress after which a slide is abandoned.
TIMEOUT = 30
# Most bytes of memory of a worker: what Ray reserves for a slide.
CAP = 2**30
# Most broken slides in a batch, so that it does not fill the disk.
BATCH = 60
# Shares of all broken slides; the rest are other files with the names of slides.
SHARES = {"cut": 0.4, "bits flipped": 0.25, "wrong tags": 0.2, "bombs": 0.05}
# An image is visibly unchanged if at most this share of its pixels differs by more gray levels.
GRAY, SHARE = 8, 0.01


def broken_slides(count: int, folder: Path, seed: int = 0) -> list[Tally]:
    """Break slides, and preprocess them among good ones.

    Args:
        count: Number of broken slides, at least 15. The numbers of cuts, tags and bombs are
            limited, so the rest of a large number are flipped bits.
        folder: An empty folder to work in.
        seed: Seed of the choice and of the flips.

    Returns:
        One tally for each kind of defect. A broken slide is rejected by name with a reason, or its
        image hardly differs from that of the valid slide. No good slide fails, and no process uses
        more than :data:`CAP` bytes.
    """
    random, good = np.random.default_rng(seed), good_slides()
    ways = {
        "cut": [(g, *broken) for g in good for broken in cuts(g)],
        "wrong tags": [(g, *broken) for g in good[:3] for broken in wrong_tags(g)],
        "bombs": [(None, *broken) for broken in bombs()],
        "other files": [(None, *broken) for broken in _other_files()],
    }
    numbers = {name: min(round(SHARES.get(name, 0.1) * count), len(ways[name])) for name in ways}
    chosen = {
        f"slides: {name}": [
            ways[name][i] for i in sorted(random.permutation(len(ways[name]))[: max(1, number)])
        ]
        for name, number in numbers.items()
    }
    left = max(1, count - sum(map(len, chosen.values())))
    turned = itertools.chain.from_iterable(zip(*(_flipped(g, random) for g in good), strict=True))
    chosen["slides: bits flipped"] = list(itertools.islice(turned, left))
    references = _references(good, folder / "good")
    return [_tried(kind, broken, good, references, folder / "batch") for kind, broken in
            chosen.items()]  # fmt: skip


def _flipped(good: Good, random: np.random.Generator) -> Iterator[tuple[Good, str, bytes]]:
    return ((good, *broken) for broken in flips(good, random))


def _other_files() -> Iterator[tuple[str, bytes]]:
    """Yield files of other kinds with the names of slides."""
    png, archive, random = io.BytesIO(), io.BytesIO(), np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (300, 300, 3), np.uint8)).save(png, "png")
    jpeg = io.BytesIO()
    Image.open(png).save(jpeg, "jpeg")
    strips = io.BytesIO()
    Image.open(png).save(strips, "tiff")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../slide.svs", "out of the folder")
    contents = {
        "empty": b"",
        "one byte": b"I",
        "text": b"This is not a slide.\n" * 100,
        "html": b"<!doctype html><title>404 Not Found</title><h1>Not Found</h1>",
        "zip": archive.getvalue(),
        "png": png.getvalue(),
        "jpeg": jpeg.getvalue(),
        "strips": strips.getvalue(),
        "noise": random.bytes(5000),
        "zeros": bytes(5000),
        "magic": b"II*\0" + random.bytes(5000),
        "big magic": b"II+\0\x08\0\0\0" + random.bytes(5000),
    }
    for suffix in (".svs", ".tif", ".ndpi", ".mrxs", ".scn"):
        for name, data in contents.items():
            yield f"{name}{suffix}", data


def _references(good: list[Good], folder: Path) -> dict:
    """Return the images of the valid slides, with the position of the slide in them."""
    folder.mkdir(parents=True)
    images = {}
    for slide in good:
        (folder / slide.name).write_bytes(slide.data)
        images[slide.name] = preprocess_slide(folder / slide.name, slide.downsample, CANVAS)
    return images


def _tried(kind: str, broken: list, good: list[Good], references: dict, folder: Path) -> Tally:
    tally = Tally(kind)
    for first in range(0, len(broken), BATCH):
        some = broken[first : first + BATCH]
        shutil.rmtree(folder, ignore_errors=True)
        rows = _listed(some, good, folder / "slides")
        with PeakMemory() as peak:
            try:
                made = preprocess_slides(
                    folder / "slides" / "list.csv", folder / "out", canvas=CANVAS, timeout=TIMEOUT
                )
            except Exception as error:  # a batch must not raise anything
                tally.add("", f"the batch ended with {error!r}")
                continue
        for row, (slide, name) in zip(made, rows, strict=True):
            outcome, wrong = _judged(row, slide, name, references, folder / "out")
            if name is not None or wrong:
                tally.add(outcome, wrong and f"{name or 'a valid slide'} ({row['slide']}): {wrong}")
        if peak.bytes > CAP:
            tally.add("", f"{peak.slide} used {peak.bytes / 2**20:.0f} MiB")
    return tally


def _listed(broken: list, good: list[Good], folder: Path) -> list[tuple[Good | None, str | None]]:
    """Write slides and their list, with a good one before every tenth broken one."""
    folder.mkdir(parents=True)
    rows, lines = [], [("slide", "downsample")]
    for i, (slide, name, data) in enumerate(broken):
        if i % 10 == 0:
            whole = good[i // 10 % len(good)]
            rows.append((whole, None))
            lines.append((f"{i:03d}_whole_{whole.name}", whole.downsample))
            (folder / lines[-1][0]).write_bytes(whole.data)
        file = f"{i:03d}_{slide.name}" if slide else f"{i:03d}{Path(name).suffix or '.tif'}"
        rows.append((slide, name))
        lines.append((file, slide.downsample if slide else 8))
        (folder / file).write_bytes(data)
    with open(folder / "list.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    return rows


def _judged(
    row: dict, slide: Good | None, name: str | None, references: dict, out: Path
) -> tuple[str, str | None]:
    """Return the outcome of a row of the manifest, and what is wrong with it, if anything."""
    if row["status"] == "ok":
        if slide is None:
            return "", "an image was made of a file that is not a slide"
        differ = _difference(np.asarray(Image.open(out / row["output"])), references[slide.name])
        if differ > SHARE:
            return "", f"{100 * differ:.1f} % of its image's pixels differ"
        return "hardly changed", None
    reason = row["reason"]
    if name is None:
        return "", f"failed: {reason}"
    image = (out / row["slide"]).with_suffix(".png")
    if row["output"] or image.exists():
        return "", "a failed slide left an image"
    first = reason.split(" ")[0]
    if len(reason) < 10 or first.endswith(("Error:", "Exception:")) or "Traceback" in reason:
        return "", f"its reason is not informative: {reason!r}"
    for words, outcome in {"timed out": "abandoned", "crashed": "crashed alone"}.items():
        if words in reason:
            return outcome, None
    return "rejected", None


def _difference(image: np.ndarray, reference) -> float:
    """Return the share of the slide's pixels on the canvas that differ visibly."""
    at = reference.provenance
    rows = slice(at["top"], at["top"] + at["height"])
    columns = slice(at["left"], at["left"] + at["width"])
    differ = np.abs(image.astype(int) - reference.image).max(-1) > GRAY
    outside = differ.sum() - differ[rows, columns].sum()
    return max(differ[rows, columns].mean(), outside / differ[rows, columns].size)
