"""Two scanners that show the same tissue differently.

Scanner A has 0.5 µm per pixel (20×) and a pyramid with a factor of 4 between levels. Scanner B has
0.25 µm per pixel (40×) and a factor of 2. It also has other colors: bluer haematoxylin, redder
eosin, paler stains, another gamma, a bluer light and sharper edges. A quarter of scanner B's slides
have pen marks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from experiments.survival.tissue import WHITE

# Optical densities (red, green, blue) of the textures' haematoxylin and eosin, unit length.
HAEMATOXYLIN = (0.58, 0.74, 0.34)
EOSIN = (0.25, 0.83, 0.50)
# Colors of light through the pens' ink; red as in a real crop of TCGA.
PENS = {"red": (205, 22, 24), "green": (40, 140, 75), "blue": (45, 70, 165)}


@dataclass(frozen=True)
class Scanner:
    """A scanner and the laboratory that stains for it.

    Args:
        name: ``"A"`` or ``"B"``.
        mpp: Micrometres per level-0 pixel.
        enlarge: Level-0 pixels per pixel of 0.5 µm, along each axis.
        level_factor: Factor between one level and the next.
        levels: Number of levels.
        downsample: Downsampling of the preprocessing.
        haematoxylin: Optical densities of haematoxylin as this scanner sees it.
        eosin: Optical densities of eosin as this scanner sees it.
        strength: Mean amounts of both stains, relative to the textures.
        spread: Standard deviation of the log amount between slides.
        gamma: Exponent of the tone curve; darker above 1.
        white: Background color (red, green, blue), 0 to 255.
        sharpness: Amount of sharpening; 0 for none.
        pen: Share of the slides with pen marks.
    """

    name: str
    mpp: float
    enlarge: int
    level_factor: int
    levels: int
    downsample: int
    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    strength: tuple[float, float]
    spread: float
    gamma: float
    white: tuple[float, float, float]
    sharpness: float
    pen: float


A = Scanner(
    name="A",
    mpp=0.5,
    enlarge=1,
    level_factor=4,
    levels=3,
    downsample=16,
    haematoxylin=HAEMATOXYLIN,
    eosin=EOSIN,
    strength=(1.0, 1.0),
    spread=0.08,
    gamma=1.0,
    white=(244, 243, 241),
    sharpness=0.0,
    pen=0.03,
)
B = Scanner(
    name="B",
    mpp=0.25,
    enlarge=2,
    level_factor=2,
    levels=6,
    downsample=32,
    haematoxylin=(0.72, 0.65, 0.24),
    eosin=(0.16, 0.80, 0.58),
    strength=(0.75, 0.95),
    spread=0.12,
    gamma=1.1,
    white=(240, 243, 248),
    sharpness=0.5,
    pen=0.25,
)
SCANNERS = {"A": A, "B": B}


def scan(
    picture: Image.Image, scanner: Scanner, pen: bool, rng: np.random.Generator
) -> Image.Image:
    """Return an image of tissue as a scanner shows it.

    Args:
        picture: RGB, 0.5 µm per pixel, background ``WHITE``.
        scanner: The scanner.
        pen: Whether the slide has pen marks.
        rng: Random generator for the strength of the stains and the strokes of the pen.

    Returns:
        RGB image in the scanner's colors and resolution.
    """
    picture = picture.filter(_colors(scanner, rng))
    if pen:
        picture = _draw_pen(picture, rng)
    if scanner.sharpness:
        center = 12 / scanner.sharpness + 12
        kernel = (-1, -2, -1, -2, center, -2, -1, -2, -1)
        picture = picture.filter(ImageFilter.Kernel((3, 3), kernel))
    if scanner.enlarge > 1:
        size = tuple(scanner.enlarge * n for n in picture.size)
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return picture


def _colors(scanner: Scanner, rng) -> ImageFilter.Color3DLUT:
    """Return the color table for the scanner's stains, tone curve and white."""
    stains = _basis(HAEMATOXYLIN, EOSIN)
    amount = np.exp(rng.normal(0, scanner.spread, size=2)) * scanner.strength
    seen = _basis(scanner.haematoxylin, scanner.eosin) * [[amount[0]], [amount[1]], [1]]
    change = (np.linalg.inv(stains) @ seen).astype(np.float32)

    size = 17
    levels = np.linspace(0, 255, size, dtype=np.float32)
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")  # red runs fastest
    colors = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    density = -np.log(np.clip(colors, 4, None) / WHITE)
    through = np.exp(-np.clip(density @ change, -0.2, None) * scanner.gamma)
    table = through * scanner.white / 255
    return ImageFilter.Color3DLUT(size, np.clip(table, 0, 1).ravel().tolist())


def _basis(haematoxylin, eosin) -> np.ndarray:
    """Return unit vectors of both stains and of their normal, in rows."""
    rows = np.array([haematoxylin, eosin, np.cross(haematoxylin, eosin)])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _draw_pen(picture: Image.Image, rng) -> Image.Image:
    """Draw strokes of one pen, curved and translucent, and out of focus as on a real crop."""
    small = tuple(n // 8 for n in picture.size)
    mask = Image.new("L", small)
    draw = ImageDraw.Draw(mask)
    for _ in range(rng.integers(1, 4)):
        middle = rng.uniform(0.05, 0.95, size=2) * small
        reach, turn = rng.uniform(12, 70), rng.uniform(0, 2 * np.pi)
        angles = turn + np.linspace(0, rng.uniform(0.2, 2.2), 12)
        wobble = rng.normal(0, 1.2, size=(12, 2))
        points = reach * np.stack([np.cos(angles), np.sin(angles)], axis=1) + wobble
        points = [tuple(p) for p in middle + points - points.mean(axis=0)]
        width = int(rng.integers(9, 20))
        draw.line(points, fill=235, width=width, joint="curve")
        for x, y in points:  # the tip is round
            draw.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=235)
    mask = mask.filter(ImageFilter.GaussianBlur(1.3)).resize(picture.size, Image.Resampling.BICUBIC)
    ink = Image.composite(
        Image.new("RGB", picture.size, PENS[rng.choice(list(PENS))]),
        Image.new("RGB", picture.size, "white"),
        mask,
    )
    return ImageChops.multiply(picture, ink)
