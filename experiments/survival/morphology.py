"""A section of skin with a melanoma: its layout, and its image made of real tissue.

The layout is drawn on a coarse grid with cells of 16 pixels, refined on one of 4 pixels, and filled
with windows of the textures at full resolution (0.5 µm per pixel).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops
from scipy.ndimage import gaussian_filter

from experiments.survival.tissue import WHITE

CELL, FINE = 16, 4
_TURNS = (None, *Image.Transpose)
_ON_ITS_SIDE = tuple(
    Image.Transpose[n] for n in ("ROTATE_90", "ROTATE_270", "TRANSPOSE", "TRANSVERSE")
)


@dataclass(frozen=True)
class Latent:
    """The visible features of a patient's tumour; each is standard normal, within ±2.

    Args:
        burden: Amount of tumour, from 5 to 55 % of the section.
        dispersal: From one compact mass (−2) to many small nests (+2).
        ulceration: Lost epidermis over the tumour, from nothing to nearly all.
    """

    burden: float
    dispersal: float
    ulceration: float

    def tumour_share(self) -> float:
        """Return the share of the section that is tumour."""
        return 0.05 + 0.5 / (1 + np.exp(-1.5 * self.burden + 0.6))

    def nest_size(self) -> float:
        """Return the scale of the nests in pixels."""
        return 105 * np.exp(-0.6 * self.dispersal)

    def lost_epidermis(self) -> float:
        """Return the share of the epidermis that is missing."""
        return 1 / (1 + np.exp(-1.5 * self.ulceration + 0.6))


@dataclass(frozen=True)
class _Section:
    """A piece of tissue on the grid: a rotated, rounded bar with the skin's surface on one side.

    Attributes:
        inside: Distance from the border in pixels, positive inside.
        depth: Distance below the skin's surface in pixels.
        along: Position along the surface in pixels.
        thickness: Thickness of the section from surface to base in pixels.
    """

    inside: np.ndarray
    depth: np.ndarray
    along: np.ndarray
    thickness: float


def paint(
    latent: Latent,
    textures: dict[str, Image.Image],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Image.Image:
    """Compose the image of a slide.

    Args:
        latent: The tumour.
        textures: See :func:`.tissue.make_textures`.
        size: Width and height in pixels.
        rng: Random generator.

    Returns:
        RGB image, background ``WHITE``.
    """
    sections = _sections(size, rng)
    inside = np.max([s.inside for s in sections], axis=0)
    nearest = np.argmax([s.inside for s in sections], axis=0)
    depth, along, thickness = (
        np.choose(nearest, [getattr(s, name) for s in sections])
        for name in ("depth", "along", "thickness")
    )
    shape = inside.shape
    rough = _noise(shape, 60, rng) * 14 + _noise(shape, 25, rng) * 7
    inside = inside + rough
    depth = depth + rough

    layers = [("dermis", _noise(shape, 130, rng) * 60)]  # fibres in another direction
    if "fat" in textures and rng.random() < 0.6:
        upper = thickness * rng.uniform(0.6, 0.9)
        layers.append(("fat", depth - upper + _noise(shape, 60, rng) * 30))
    scale = latent.nest_size()
    # Melanoma grows from the surface downwards.
    tumour = _noise(shape, scale, rng) + 0.25 * _noise(shape, scale / 3, rng)
    tumour -= 0.9 * depth / thickness
    below = inside > 0
    limit = np.quantile(tumour[below], 1 - latent.tumour_share())
    layers.append(("tumour", (tumour - limit) * scale))
    ridges = 38 + _noise(shape, 25, rng) * 22 + _noise(shape, 90, rng) * 8
    cover = _along_surface(along, rng)
    lost = np.quantile(cover[below & (depth < 60)], latent.lost_epidermis())
    layers.append(("epidermis", np.minimum(ridges - depth, (cover - lost) * 60)))

    picture = _window(textures["dermis"], size, rng)
    for kind, field in layers:
        mask = _mask(field, size, rng, softness=10, ragged=5)
        if box := mask.getbbox():
            part = _window(textures[kind], (box[2] - box[0], box[3] - box[1]), rng)
            picture.paste(part, box[:2], mask.crop(box))
    background = Image.new("RGB", size, (int(WHITE),) * 3)
    background.paste(picture, mask=_torn(_mask(inside, size, rng, softness=16, ragged=5), picture))
    return background


def _sections(size, rng) -> list[_Section]:
    """Draw one section, or two like neighboring cuts on one slide, and crumbs."""
    width, height = size
    y, x = (n * CELL + CELL / 2 for n in np.mgrid[: -(-height // CELL), : -(-width // CELL)])
    count = 1 + (rng.random() < 0.35)
    angle = rng.uniform(-0.35, 0.35) / count**1.5 + np.pi * rng.integers(2)
    sections = []
    for i in range(count):
        middle = width / 2, height * (0.5 if count == 1 else 0.27 + 0.46 * i)
        half = width * rng.uniform(0.3, 0.42), height * rng.uniform(0.3, 0.38) / count
        sections.append(_section(x, y, middle, half, angle, rng))
    for _ in range(rng.integers(4)):
        middle = rng.uniform(0.06, 0.94) * width, rng.uniform(0.06, 0.94) * height
        half = rng.uniform(12, 45, size=2)
        sections.append(_section(x, y, middle, half, rng.uniform(0, np.pi), rng))
    return sections


def _section(x, y, middle, half, angle, rng) -> _Section:
    x, y = x - middle[0], y - middle[1]
    along = np.cos(angle) * x + np.sin(angle) * y
    down = -np.sin(angle) * x + np.cos(angle) * y
    # Sections bend.
    bend = rng.uniform(-0.25, 0.25) * half[1]
    down = down + bend * ((along / half[0]) ** 2 - 0.5)
    power = rng.uniform(2.2, 4)
    radius = (np.abs(along / half[0]) ** power + np.abs(down / half[1]) ** power) ** (1 / power)
    inside = (1 - radius) * min(half)
    surface = -half[1] * np.clip(1 - np.abs(along / half[0]) ** power, 0, 1) ** (1 / power)
    return _Section(inside, down - surface, along + rng.uniform(0, 1e4), 2 * half[1])


def _noise(shape, scale: float, rng) -> np.ndarray:
    """Draw a smooth random field of mean 0 and variance 1 on the grid; ``scale`` in pixels."""
    sigma = max(scale / CELL, 0.5)
    pad = int(2 * sigma) + 1
    field = gaussian_filter(rng.standard_normal([n + 2 * pad for n in shape]), sigma, truncate=3.5)
    field = field[pad:-pad, pad:-pad]
    return (field - field.mean()) / field.std()


def _along_surface(along: np.ndarray, rng) -> np.ndarray:
    """Draw a random function of the position along the surface, with mean 0 and variance 1."""
    waves = rng.uniform(2 * np.pi / 900, 2 * np.pi / 250, size=6)
    phases = rng.uniform(0, 2 * np.pi, size=6)
    field = np.sin(along[..., None] * waves + phases).sum(axis=-1)
    return field / np.sqrt(3)


def _mask(field: np.ndarray, size, rng, softness: float, ragged: float) -> Image.Image:
    """Return a mask, at full resolution, of the region where a field is positive.

    Args:
        field: Distance from the border in pixels, on the grid.
        size: Width and height of the mask.
        rng: Random generator for the border between the cells.
        softness: Width of the transition in pixels.
        ragged: Irregularity of the border at scales finer than a cell, in pixels.
    """
    height, width = field.shape
    whole = (width * CELL // FINE, height * CELL // FINE)
    fine = np.asarray(Image.fromarray(field.astype(np.float32)).resize(whole, Image.BICUBIC))
    wander = gaussian_filter(rng.standard_normal(fine.shape, np.float32), 1.5, truncate=2) * 5.3
    shade = np.clip(127.5 + (fine + ragged * wander) * (255 / softness), 0, 255)
    mask = Image.fromarray(shade.astype(np.uint8))
    return mask.resize((width * CELL, height * CELL), Image.BILINEAR).crop((0, 0, *size))


def _torn(mask: Image.Image, picture: Image.Image) -> Image.Image:
    """Return a mask whose border follows the fibres: pale pixels between them are removed first."""
    ink = picture.convert("L").point([int(np.clip((235 - n) * 1.6, 0, 255)) for n in range(256)])
    # 255 well inside, 0 outside; at the border, the amount of ink decides.
    return ImageChops.add(mask, ImageChops.multiply(mask, ink)).point(
        [int(np.clip((n - 110) * 2.2, 0, 255)) for n in range(256)]
    )


def _window(texture: Image.Image, size, rng) -> Image.Image:
    """Cut a random window from a texture, and rotate or mirror it."""
    turn = _TURNS[rng.integers(len(_TURNS))]
    width, height = size[::-1] if turn in _ON_ITS_SIDE else size
    x = int(rng.integers(texture.width - width + 1))
    y = int(rng.integers(texture.height - height + 1))
    window = texture.crop((x, y, x + width, y + height))
    return window if turn is None else window.transpose(turn)
