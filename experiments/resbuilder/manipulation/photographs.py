"""Sources of photographs, their split into training and test, and crops."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from resbuilder.datasets.layout import pictures_below

# Everyday color photographs that are part of installed packages, so nothing is downloaded.
_BUNDLED = {
    "matplotlib": ("mpl-data/sample_data", ("grace_hopper.jpg",)),
    "skimage": (
        "data",
        ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"),
    ),
    "sklearn": ("datasets/images", ("china.jpg", "flower.jpg")),
}
TEST_SHARE = 0.3
# A crop is at least this much larger than the final image: scaling it down removes the blocks of
# the photograph's own JPEG.
LEAST_SCALE, MOST_SCALE = 1.25, 2.5
_NEEDED = 4  # two in each part, since a splice needs a second photograph


def bundled_photographs() -> list[Path]:
    """Return the photographs in the packages matplotlib, scikit-image and scikit-learn."""
    return [
        Path(str(resources.files(package))) / folder / name
        for package, (folder, names) in _BUNDLED.items()
        for name in names
    ]


def photographs_in(folder: Path) -> list[Path]:
    """Return the sorted image files in a folder and its subfolders.

    Raises:
        ValueError: If there are fewer than four.
    """
    found, _ = pictures_below(folder)
    if len(found) < _NEEDED:
        raise ValueError(
            f"{folder} contains {len(found)} photographs, but at least {_NEEDED} are needed, two "
            "for training and two for test: add some"
        )
    return found


def split_photographs(photographs: list[Path], seed: int) -> dict[str, list[Path]]:
    """Split photographs, not crops, into training and test (30 %, at least two)."""
    order = np.random.default_rng(seed).permutation(len(photographs))
    held_out = max(2, round(TEST_SHARE * len(photographs)))
    return {
        part: [photographs[i] for i in sorted(chosen)]
        for part, chosen in (("train", order[held_out:]), ("test", order[:held_out]))
    }


def check_sizes(photographs: list[Path], size: int) -> None:
    """Reject photographs that are too small for crops.

    Raises:
        ValueError: If a side is below 1.25 times the size, or a file cannot be read.
    """
    for path in photographs:
        try:
            with Image.open(path) as image:
                side = min(image.size)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error}); repair or remove it") from error
        if side < LEAST_SCALE * size:
            raise ValueError(
                f"{path} has {side} pixels on its shorter side, but images of {size} pixels need "
                f"{int(np.ceil(LEAST_SCALE * size))}: remove it or choose a smaller size"
            )


@lru_cache(maxsize=16)
def read(path: Path) -> Image.Image:
    """Return a photograph, upright and in color.

    Raises:
        ValueError: If the file cannot be read.
    """
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error}); repair or remove it") from error


def crop(path: Path, size: int, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Return a random square of a photograph, scaled down.

    Args:
        path: The photograph.
        size: Side of the result in pixels.
        rng: Random generator.

    Returns:
        uint8 pixels (size, size, 3); and ``photograph``, ``x``, ``y`` (left upper corner) and
        ``side`` of the square in pixels of the photograph.
    """
    photograph = read(path)
    most = min(MOST_SCALE, min(photograph.size) / size)
    side = round(size * rng.uniform(LEAST_SCALE, most))
    x, y = (int(rng.integers(0, length - side, endpoint=True)) for length in photograph.size)
    square = photograph.crop((x, y, x + side, y + side))
    pixels = np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
    return pixels, {"photograph": path.name, "x": x, "y": y, "side": side}
