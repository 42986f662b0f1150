"""How the picture in a file becomes the array that a network takes: the same in every command.

Pictures come in many forms: turned by their EXIF data, transparent, with 16 bits, with a palette,
in the colours of a printer, as several frames. Each is brought to 8 bits of grey or RGB, upright,
in one size; what was done to it is noted, so that nothing is lost without a word.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from PIL import Image, ImageOps

from resbuilder.datasets.error_level import check_quality, error_level_analysis

FITS = ("stretch", "crop", "letterbox")
# Formats that Pillow reads by itself: for EPS, for one, it would start another program.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

TURNED = "turned upright (EXIF)"
ON_WHITE = "transparent and laid on white"
REDUCED = "reduced from 16 bits to 8"
PALETTE = "converted from the colours of a palette"
PRINT = "converted from CMYK"
FIRST = "reduced to the first of several frames or pages"

_ORIENTATION = 0x0112  # EXIF tag; values above 4 swap width and height
_GREY = ("1", "L", "LA", "La")
_COLOUR = {"P": PALETTE, "PA": PALETTE, "CMYK": PRINT}
# Of a picture of 12 bits in 16 no more than this is left in 8.
_LEAST_LEVEL = 17
# A JPEG is decoded at an eighth to a whole of its size, at least this many times that wanted.
_DRAFT = 2


@dataclass(frozen=True)
class ImageReading:
    """What is read from a picture file: an array (height, width, channels) of uint8.

    Attributes:
        height: Rows of the array.
        width: Columns of the array.
        fit: What brings a picture of another shape to height and width: ``"stretch"`` changes its
            proportions, ``"crop"`` cuts off its edges evenly, ``"letterbox"`` adds black bars.
        mode: ``"L"`` for one channel of grey, ``"RGB"`` for three.
        ela_quality: Adds the channels of :func:`.error_level.error_level_analysis` at this JPEG
            quality behind those of the picture; None for none.

    Raises:
        ValueError: If a value is not of these.

    Example:
        >>> reading = ImageReading(48, 64, fit="crop")
        >>> reading.input_shape
        (48, 64, 3)
        >>> read_image("photograph.jpg", reading).shape
        (48, 64, 3)
        >>> ImageReading.from_json(reading.to_json()) == reading
        True
    """

    height: int
    width: int
    fit: str = "stretch"
    mode: str = "RGB"
    ela_quality: int | None = None

    def __post_init__(self) -> None:
        for side in (self.height, self.width):
            if not isinstance(side, int) or isinstance(side, bool) or side < 1:
                raise ValueError(f"height and width must be positive whole numbers, not {side!r}")
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {FITS}, not {self.fit!r}")
        if self.mode not in ("L", "RGB"):
            raise ValueError(f"mode must be 'L' or 'RGB', not {self.mode!r}")
        if self.ela_quality is not None:
            check_quality(self.ela_quality)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the array."""
        return self.height, self.width, len(self.mode) * (1 if self.ela_quality is None else 2)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the reading that :meth:`to_json` wrote.

        Raises:
            ValueError: If a field is missing, unknown, or not what it should be.
        """
        names = {f.name for f in fields(cls)}
        if not isinstance(data, Mapping) or set(data) != names:
            raise ValueError(f"a reading must have {', '.join(sorted(names))}; got {data!r:.80}")
        return cls(**data)


class Picture(NamedTuple):
    """What was read from a file.

    Attributes:
        pixels: (height, width, channels), uint8.
        conversions: What was done beside resizing, of :data:`TURNED` and the others here.
    """

    pixels: np.ndarray
    conversions: tuple[str, ...]


class Header(NamedTuple):
    """What a file says before it is decoded.

    Attributes:
        size: Height and width as seen upright.
        grey: Whether the picture has no colours.
    """

    size: tuple[int, int]
    grey: bool


def read_image(path: str | Path, reading: ImageReading) -> np.ndarray:
    """Read a picture as training, evaluation and prediction do.

    Args:
        path: The file.
        reading: What is read from it.

    Returns:
        (height, width, channels), uint8.

    Raises:
        ValueError: If the file is not a picture, is damaged, or holds what 8 bits cannot.
    """
    return read_picture(path, reading).pixels


def read_picture(path: str | Path, reading: ImageReading) -> Picture:
    """Read a picture as :func:`read_image`, and note what was done to it.

    Error-level analysis looks at the pixels of the file; what it finds is turned and resized with
    the picture.
    """
    noted: list[str] = []
    with _opened(path) as image:
        deep = _has_16_bits(image)  # first: reading the EXIF data of a PNG decodes it
        orientation = image.getexif().get(_ORIENTATION, 1)
        if orientation in range(2, 9):
            noted.append(TURNED)
        if reading.ela_quality is None:
            _draft(image, reading, turned=orientation > 4)
        converted = _eight_bits(image, reading.mode, deep, noted)
        # Of a TIFF, decoding has turned the pixels and removed the tag.
        orientation = image.getexif().get(_ORIENTATION, 1)
        planes = [converted]
        if reading.ela_quality is not None:
            levels = error_level_analysis(np.asarray(converted), reading.ela_quality)
            planes.append(Image.fromarray(levels))
        arrays = [np.asarray(_fitted(plane, orientation, reading)) for plane in planes]
    whole = np.concatenate([a.reshape(*reading.size, -1) for a in arrays], axis=-1)
    return Picture(whole, tuple(noted))


def read_header(path: str | Path) -> Header:
    """Return size and kind of a picture without decoding it.

    Raises:
        ValueError: If the file is not a picture.
    """
    with _opened(path) as image:
        width, height = image.size
        # Pillow gives the size of a TIFF upright already.
        upright = image.format == "TIFF" or image.getexif().get(_ORIENTATION, 1) <= 4
        grey = image.mode in _GREY or image.mode.startswith("I;16")
        return Header((height, width) if upright else (width, height), grey)


def is_picture(path: Path) -> bool:
    """Return whether a file begins as a picture does, whatever it is called."""
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _draft(image: Image.Image, reading: ImageReading, turned: bool) -> None:
    """Have a large JPEG decoded at a fraction of its size; it needs far less memory and time."""
    height, width = reading.size[::-1] if turned else reading.size
    across, down = width / image.width, height / image.height
    if reading.fit != "stretch":
        across = down = max(across, down) if reading.fit == "crop" else min(across, down)
    wanted = _DRAFT * across * image.width, _DRAFT * down * image.height
    image.draft(None, (max(1, round(wanted[0])), max(1, round(wanted[1]))))


def _eight_bits(image: Image.Image, mode: str, deep: bool, noted: list[str]) -> Image.Image:
    """Return a picture in a mode of 8 bits; note what that took.

    Raises:
        ValueError: If too little would be left of it.
    """
    if getattr(image, "is_animated", False):
        noted.append(FIRST)
    if image.mode in _COLOUR:
        noted.append(_COLOUR[image.mode])
    if image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(
            f"its pixels are of type {'float' if image.mode == 'F' else 'int32'}, whose range is "
            "not known; convert it to 8 bits"
        )
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        if _extremes(layer.getchannel("A"))[0] < 255:
            noted.append(ON_WHITE)
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = image.convert(mode)
    if deep:
        noted.append(REDUCED)
        brightest = max(_extremes(band)[1] for band in image.split())
        if brightest < _LEAST_LEVEL:
            raise ValueError(
                f"of its 16 bits the upper ones are unused: reduced to 8, only levels up to "
                f"{brightest} of 255 would be left; scale it to 8 bits"
            )
    return image


def _has_16_bits(image: Image.Image) -> bool:
    """Return whether a file has 16 bits a channel; of RGB Pillow gives the upper 8."""
    tiles = getattr(image, "tile", ())
    return image.mode.startswith("I;16") or any(";16" in str(tile[-1]) for tile in tiles)


def _extremes(band: Image.Image) -> tuple[float, float]:
    """Return the least and the largest value of a picture of one channel."""
    low, high = band.getextrema()
    if isinstance(low, tuple) or isinstance(high, tuple):
        raise TypeError(f"expected one channel, got {band.mode}")
    return low, high


def _fitted(image: Image.Image, orientation: int, reading: ImageReading) -> Image.Image:
    """Return a picture turned upright and brought to its size."""
    image.getexif()[_ORIENTATION] = orientation
    image = ImageOps.exif_transpose(image)
    size = reading.width, reading.height
    if image.size == size:
        return image
    if reading.fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if reading.fit == "letterbox":
        return ImageOps.pad(image, size, Image.Resampling.BILINEAR, color=0)
    return image.resize(size, Image.Resampling.BILINEAR)


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture; whatever goes wrong with it names the file."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else error
        raise ValueError(
            f"the image {path} cannot be read ({reason}); repair or remove it"
        ) from error
