"""Authentic and manipulated images from photographs, in pairs that differ in the region alone.

Both of a pair are the same crop, came from the same camera's JPEG and end in a JPEG of the same
quality; only what is under the mask was changed in between. So neither the scene nor a quality of
the whole image tells the label.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from rich.progress import track

from experiments.resbuilder.manipulation.kinds import (
    AREA,
    CAMERA,
    FILE,
    KINDS,
    blend,
    draw_quality,
    draw_region,
)
from experiments.resbuilder.manipulation.photographs import check_sizes, crop, split_photographs
from resbuilder.common.files import write_json
from resbuilder.datasets.error_level import jpeg

IMAGES, MASKS, TABLE, SETTINGS = "images", "masks", "manipulations.csv", "settings.json"
LABELS = ("authentic", "manipulated")
LEAST_SIZE = 32  # four blocks of a JPEG
LEAST_CHANGE = 1.0  # mean grey levels under the mask: below, nothing has happened


def generate(
    photographs: list[Path], out: Path, size: int, pairs: dict[str, int], seed: int
) -> pd.DataFrame:
    """Writes a folder of images that ``resbuilder`` reads, with masks and a table beside it.

    ::

        OUT/images/{train,test}/{authentic,manipulated}/00000_splice.jpg
        OUT/masks/{train,test}/00000_splice.png     255 where manipulated
        OUT/manipulations.csv                       one line for each pair
        OUT/settings.json                           what it was made of

    Args:
        photographs: The files; each goes to training or to test, with all its crops.
        out: The folder to make.
        size: Side of the images in pixels.
        pairs: Number of pairs for ``"train"`` and ``"test"``; kinds take turns.
        seed: Everything random follows from it.

    Returns:
        The table: part, name, kind, photograph and square of the crop, qualities, share of the
        image under the mask, mean change there in grey levels, and what else the kind has.

    Raises:
        ValueError: If the folder exists, or size or photographs do not do.
    """
    if out.exists():
        raise ValueError(f"{out} exists already; remove it or name another folder")
    if size < LEAST_SIZE:
        raise ValueError(f"images of {size} pixels are too small; take {LEAST_SIZE} or more")
    check_sizes(photographs, size)
    parts = split_photographs(photographs, seed)
    rows = []
    out.parent.mkdir(parents=True, exist_ok=True)
    # The folder gets its name when it is whole.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".generating") as scratch:
        folder = Path(scratch) / "whole"
        for number, (part, count) in enumerate(pairs.items()):
            for label in LABELS:
                (folder / IMAGES / part / label).mkdir(parents=True)
            (folder / MASKS / part).mkdir(parents=True)
            for index in track(range(count), f"{part} pairs"):
                kind = list(KINDS)[index % len(KINDS)]
                # Photograph after photograph: each is read once, and used as often as the others.
                photograph = parts[part][index * len(parts[part]) // count]
                rng = np.random.default_rng([seed, number, index])
                authentic, manipulated, mask, row = make_pair(
                    photograph, parts[part], kind, size, rng
                )
                name = f"{index:05}_{kind}"
                images = folder / IMAGES / part
                for label, pixels in zip(LABELS, (authentic, manipulated), strict=True):
                    path = images / label / f"{name}.jpg"
                    Image.fromarray(pixels).save(path, quality=row["file_quality"])
                Image.fromarray(mask).save(folder / MASKS / part / f"{name}.png")
                rows.append({"part": part, "name": name} | row)
        table = pd.DataFrame(rows)
        table.to_csv(folder / TABLE, index=False, float_format="%.4g")
        write_json(folder / SETTINGS, settings_of(photographs, size, pairs, seed))
        os.replace(folder, out)
    return table


def settings_of(photographs: list[Path], size: int, pairs: dict[str, int], seed: int) -> dict:
    """What tells one generated folder from another."""
    names = [photograph.name for photograph in photographs]
    return {"photographs": names, "size": size, "pairs": pairs, "seed": seed}


def generate_missing(
    photographs: list[Path], out: Path, size: int, pairs: dict[str, int], seed: int
) -> None:
    """Generates, unless that was done before.

    Raises:
        ValueError: As :func:`generate`, and if the folder was made with other settings.
    """
    if not out.exists():
        generate(photographs, out, size, pairs, seed)
        return
    found = (out / SETTINGS).read_text(encoding="utf-8") if (out / SETTINGS).exists() else "null"
    if json.loads(found) != settings_of(photographs, size, pairs, seed):
        raise ValueError(
            f"{out} was made with other settings, or by something else: remove it, or name another "
            "folder"
        )


def make_pair(
    photograph: Path, part: list[Path], kind: str, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
    """One crop twice, as it is and manipulated, before both are saved as files.

    Args:
        photograph: Where the crop comes from.
        part: The photographs of the same part, of which a splice takes another one.
        kind: One of :data:`KINDS`.
        size: Side in pixels.
        rng: Random generator.

    Returns:
        Authentic and manipulated pixels, uint8 (size, size, 3); the mask, bool (size, size); the
        line of the table.
    """
    while True:
        pixels, origin = crop(photograph, size, rng)
        camera, file = draw_quality(CAMERA, rng), draw_quality(FILE, rng)
        authentic = jpeg(pixels, camera)
        # A smooth filling of a large region would be seen at once.
        area = (AREA[0], sum(AREA) / 2) if kind == "inpainting" else AREA
        mask = draw_region(size, rng, area)
        further = ()
        if kind == "splice":
            others = [other for other in part if other != photograph]
            further = (crop(others[rng.integers(len(others))], size, rng),)
        elif kind == "recompression":
            further = (camera,)
        region, parameters = KINDS[kind](authentic, mask, rng, *further)
        manipulated = blend(authentic, region, mask)
        change = np.abs(manipulated.astype(float) - authentic)[mask].mean()
        # The sky moved onto the sky is no manipulation that anyone could find: draw again.
        if change >= LEAST_CHANGE:
            break
    row = {"kind": kind} | origin | {"camera_quality": camera, "file_quality": file}
    row |= {"area": mask.mean(), "change": change} | parameters
    return authentic, manipulated, mask, row
