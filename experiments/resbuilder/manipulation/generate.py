"""Authentic and manipulated images from photographs, in pairs that differ in a region only.

Both images of a pair are the same crop from the same camera's JPEG, and both are saved as a JPEG of
the same quality. Only the pixels under the mask are changed in between. So neither the scene nor
the quality of the whole image reveals the label.
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
LEAST_CHANGE = 1.0  # mean gray levels under the mask; a smaller change does not count


def generate(
    photographs: list[Path], out: Path, size: int, pairs: dict[str, int], seed: int
) -> pd.DataFrame:
    """Write a folder of images that ``resbuilder`` reads, together with masks and a table.

    ::

        OUT/images/{train,test}/{authentic,manipulated}/00000_splice.jpg
        OUT/masks/{train,test}/00000_splice.png     255 where manipulated
        OUT/manipulations.csv                       one row for each pair
        OUT/settings.json                           photographs, size, pairs and seed

    Args:
        photographs: The files; each goes to training or to test, with all its crops.
        out: The folder to create.
        size: Side of the images in pixels.
        pairs: Number of pairs for ``"train"`` and ``"test"``; kinds take turns.
        seed: Seed of all random numbers.

    Returns:
        The table: part, name, kind, photograph and square of the crop, JPEG qualities, share of the
        image under the mask, mean change there in gray levels, and further parameters of the kind.

    Raises:
        ValueError: If the folder exists, or if size or photographs are unsuitable.
    """
    if out.exists():
        raise ValueError(f"{out} already exists; remove it or choose another folder")
    if size < LEAST_SIZE:
        raise ValueError(f"images of {size} pixels are too small; choose {LEAST_SIZE} or more")
    check_sizes(photographs, size)
    parts = split_photographs(photographs, seed)
    rows = []
    out.parent.mkdir(parents=True, exist_ok=True)
    # The folder gets its name only when it is complete.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".generating") as scratch:
        folder = Path(scratch) / "whole"
        for number, (part, count) in enumerate(pairs.items()):
            for label in LABELS:
                (folder / IMAGES / part / label).mkdir(parents=True)
            (folder / MASKS / part).mkdir(parents=True)
            for index in track(range(count), f"{part} pairs"):
                kind = list(KINDS)[index % len(KINDS)]
                # In the order of photographs: each is read once, and all are used equally often.
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
    """Return the settings that identify a generated folder."""
    names = [photograph.name for photograph in photographs]
    return {"photographs": names, "size": size, "pairs": pairs, "seed": seed}


def generate_missing(
    photographs: list[Path], out: Path, size: int, pairs: dict[str, int], seed: int
) -> None:
    """Generate the folder, unless it exists.

    Raises:
        ValueError: As for :func:`generate`, or if the folder was made with other settings.
    """
    if not out.exists():
        generate(photographs, out, size, pairs, seed)
        return
    found = (out / SETTINGS).read_text(encoding="utf-8") if (out / SETTINGS).exists() else "null"
    if json.loads(found) != settings_of(photographs, size, pairs, seed):
        raise ValueError(
            f"{out} was made with other settings or by another program: remove it, or choose "
            "another folder"
        )


def make_pair(
    photograph: Path, part: list[Path], kind: str, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
    """Return one crop twice, authentic and manipulated, before both are saved.

    Args:
        photograph: The source of the crop.
        part: All photographs of the same part; a splice uses another one of them.
        kind: One of :data:`KINDS`.
        size: Side in pixels.
        rng: Random generator.

    Returns:
        Authentic and manipulated pixels, uint8 (size, size, 3); the mask, bool (size, size); the
        row of the table.
    """
    while True:
        pixels, origin = crop(photograph, size, rng)
        camera, file = draw_quality(CAMERA, rng), draw_quality(FILE, rng)
        authentic = jpeg(pixels, camera)
        # A large region that is filled smoothly would be too easy to see.
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
        # A manipulation without visible change, such as sky moved onto sky, is drawn again.
        if change >= LEAST_CHANGE:
            break
    row = {"kind": kind} | origin | {"camera_quality": camera, "file_quality": file}
    row |= {"area": mask.mean(), "change": change} | parameters
    return authentic, manipulated, mask, row
