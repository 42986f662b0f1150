"""Small folders of real images, in files of every common kind."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

KINDS = ("png", "jpg", "cmyk.jpg", "palette.gif", "16.png", "alpha.png", "turned.tif", "webp")
_TURN = 0x0112  # EXIF: orientation


def write_pictures(folder: Path, parts: dict[str, int], seed: int = 0) -> Path:
    """Write pieces of scikit-learn's two photographs to ``folder/part/class/NUMBER.KIND``.

    Args:
        folder: Where to write.
        parts: The number of images of each class for each part; the kinds take turns.
        seed: Seed for the choice of the pieces.
    """
    random = np.random.default_rng(seed)
    for name, photograph in zip(("china", "flower"), load_sample_images().images, strict=True):
        for part, count in parts.items():
            inside = folder / part / name
            inside.mkdir(parents=True)
            for number in range(count):
                height, width = random.integers(30, 90, 2)
                top, left = (
                    int(random.integers(whole - side))
                    for whole, side in zip(photograph.shape[:2], (height, width), strict=True)
                )
                piece = Image.fromarray(photograph[top : top + height, left : left + width])
                kind = KINDS[number % len(KINDS)]
                _save(piece, inside / f"{number:02d}.{kind}", kind)
    return folder


def _save(piece: Image.Image, path: Path, kind: str) -> None:
    if kind == "cmyk.jpg":
        piece.convert("CMYK").save(path)
    elif kind == "palette.gif":
        piece.quantize(64).save(path)
    elif kind == "16.png":
        Image.fromarray(np.asarray(piece.convert("L")).astype(np.uint16) * 257).save(path)
    elif kind == "alpha.png":
        alpha = Image.linear_gradient("L").resize(piece.size)
        piece.putalpha(alpha)
        piece.save(path)
    elif kind == "turned.tif":
        exif = Image.Exif()
        exif[_TURN] = 6
        piece.save(path, exif=exif)
    else:
        piece.save(path)
