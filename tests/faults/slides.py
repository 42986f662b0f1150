"""Broken slides among good ones, through the batch that users run."""

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
# Seconds without progress after which a slide is given up.
TIMEOUT = 30
# What a worker may take, in bytes: what Ray sets aside for a slide.
CAP = 2**30
# A batch has at most so many broken slides, so that it does not fill the disk.
BATCH = 60
# Of all broken slides; the rest are files that are no slides.
SHARES = {"cut": 0.4, "bits flipped": 0.25, "wrong tags": 0.2, "bombs": 0.05}
# A slide that a person would not tell from the whole one: pixels that differ by more grey levels.
GREY, SHARE = 8, 0.01


def broken_slides(count: int, folder: Path, seed: int = 0) -> list[Tally]:
    """Breaks slides and runs them through the preprocessing among good ones.

    Args:
        count: How many are broken, at least 15; there are only so many cuts, tags and bombs, so
            the rest of a large number are flipped bits.
        folder: An empty folder to work in.
        seed: Of what is chosen, and of the flips.

    Returns:
        One tally for each kind of break. A broken slide is refused by name with a reason, or its
        image hardly differs from that of the whole one; no good slide fails; no process takes
        more than :data:`CAP` bytes.
    """
    random, good = np.random.default_rng(seed), good_slides()
    ways = {
        "cut": [(g, *broken) for g in good for broken in cuts(g)],
        "wrong tags": [(g, *broken) for g in good[:3] for broken in wrong_tags(g)],
        "bombs": [(None, *broken) for broken in bombs()],
        "no slides": [(None, *broken) for broken in _no_slides()],
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


def _no_slides() -> Iterator[tuple[str, bytes]]:
    """Files of other kinds under the names of slides."""
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
    """What the whole slides become: images, and where in them the slide lies."""
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
            except Exception as error:  # Nothing may come out of a batch.
                tally.add("", f"the batch ended with {error!r}")
                continue
        for row, (slide, name) in zip(made, rows, strict=True):
            outcome, wrong = _judged(row, slide, name, references, folder / "out")
            if name is not None or wrong:
                tally.add(outcome, wrong and f"{name or 'a whole slide'} ({row['slide']}): {wrong}")
        if peak.bytes > CAP:
            tally.add("", f"{peak.slide} took {peak.bytes / 2**20:.0f} MiB")
    return tally


def _listed(broken: list, good: list[Good], folder: Path) -> list[tuple[Good | None, str | None]]:
    """Writes slides and their manifest: a good one before every tenth broken one."""
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
    """The outcome of a row of the manifest, and what is wrong with it."""
    if row["status"] == "ok":
        if slide is None:
            return "", "an image was made of what shows none"
        differ = _difference(np.asarray(Image.open(out / row["output"])), references[slide.name])
        if differ > SHARE:
            return "", f"{100 * differ:.1f} % of its image's pixels are others"
        return "hardly changed", None
    reason = row["reason"]
    if name is None:
        return "", f"failed: {reason}"
    image = (out / row["slide"]).with_suffix(".png")
    if row["output"] or image.exists():
        return "", "an image was left of a slide that failed"
    first = reason.split(" ")[0]
    if len(reason) < 10 or first.endswith(("Error:", "Exception:")) or "Traceback" in reason:
        return "", f"its reason says nothing: {reason!r}"
    for said, outcome in {"it hangs": "given up", "crashed": "crashed alone"}.items():
        if said in reason:
            return outcome, None
    return "refused", None


def _difference(image: np.ndarray, reference) -> float:
    """Share of the pixels of the slide's place on the canvas that differ visibly."""
    at = reference.provenance
    rows = slice(at["top"], at["top"] + at["height"])
    columns = slice(at["left"], at["left"] + at["width"])
    differ = np.abs(image.astype(int) - reference.image).max(-1) > GREY
    outside = differ.sum() - differ[rows, columns].sum()
    return max(differ[rows, columns].mean(), outside / differ[rows, columns].size)
