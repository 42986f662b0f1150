"""Read an image file as the array that a network takes, in the same way in every command.

Image files come in many forms: rotated by their EXIF data, transparent, with 16 bits, with a
palette, in CMYK, with several frames. Each is converted to 8-bit gray or RGB, upright, in one size.
The conversions are noted, so that nothing is lost silently.
"""

import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from resbuilder.common.walking import is_broken, missing_target
from resbuilder.datasets.error_level import check_quality, error_level_analysis
from resbuilder.variants import FITS

# Formats that Pillow decodes itself. For others, such as EPS, it would start another program.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

TURNED = "rotated upright (EXIF)"
ON_WHITE = "placed on a white background (transparency)"
REDUCED = "reduced from 16 bits to 8"
PALETTE = "converted from a color palette"
PRINT = "converted from CMYK"
FIRST = "reduced to the first of several frames or pages"

# What Pillow raises for damaged files, depending on the format and on what is damaged.
_DAMAGED = (
    *(OSError, ValueError, SyntaxError, TypeError, RuntimeError, IndexError, KeyError),
    *(EOFError, OverflowError, struct.error, Image.DecompressionBombError),
)
_ORIENTATION = 0x0112  # EXIF tag; values above 4 swap width and height.
_PHOTOMETRIC = 262  # TIFF tag; 0 means that level 0 is white.
_GRAY = ("1", "L", "LA", "La")
_COLOR = {"P": PALETTE, "PA": PALETTE, "CMYK": PRINT}
# A 12-bit image stored in 16 bits keeps only levels below this one in 8 bits.
_LEAST_LEVEL = 17
# A large JPEG is decoded at a fraction of its size, but at least at this many times the target.
_DRAFT = 2


@dataclass(frozen=True)
class ImageReading:
    """How to read an image file as an array (height, width, channels) of uint8.

    Attributes:
        height: Rows of the array.
        width: Columns of the array.
        fit: How to resize an image with other proportions: ``"stretch"`` changes its proportions,
            ``"crop"`` cuts off its edges evenly, ``"letterbox"`` adds black bars.
        mode: ``"L"`` for one gray channel, ``"RGB"`` for three channels.
        ela_quality: JPEG quality of :func:`.error_level.error_level_analysis`, whose channels are
            appended to those of the image; None for no such channels.

    Raises:
        ValueError: If a value is invalid.

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
                raise ValueError(f"height and width must be positive whole numbers, got {side!r}")
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {FITS}, got {self.fit!r}")
        if self.mode not in ("L", "RGB"):
            raise ValueError(f"mode must be 'L' or 'RGB', got {self.mode!r}")
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
        """Return the fields as a dictionary for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the object from the dictionary of :meth:`to_json`.

        Raises:
            ValueError: If a field is missing, unknown or invalid.
        """
        names = {f.name for f in fields(cls)}
        if not isinstance(data, Mapping) or set(data) != names:
            raise ValueError(f"a reading must have {', '.join(sorted(names))}; got {data!r:.80}")
        return cls(**data)


class Picture(NamedTuple):
    """The image in a file.

    Attributes:
        pixels: (height, width, channels), uint8.
        conversions: How it was converted apart from resizing: :data:`TURNED` and the like.
    """

    pixels: np.ndarray
    conversions: tuple[str, ...]


class Header(NamedTuple):
    """What is known about an image before it is decoded.

    Attributes:
        size: Height and width of the upright image.
        gray: Whether the image has no colors.
    """

    size: tuple[int, int]
    gray: bool


def read_image(path: str | Path, reading: ImageReading) -> np.ndarray:
    """Read an image file as in training, evaluation and prediction.

    Args:
        path: The file.
        reading: How to read it.

    Returns:
        Array (height, width, channels), uint8.

    Raises:
        ValueError: If the file is not an image, is damaged, or cannot be reduced to 8 bits.
    """
    return read_picture(path, reading).pixels


def read_picture(path: str | Path, reading: ImageReading) -> Picture:
    """Read an image file like :func:`read_image`, and return its conversions, too.

    Error level analysis uses the original pixels of the file. Its result is then rotated and
    resized like the image.
    """
    noted: list[str] = []
    with _opened(path) as image:
        deep = _has_16_bits(image)  # Before the EXIF data, whose reading decodes a PNG.
        orientation = _orientation(image)
        if orientation in range(2, 9):
            noted.append(TURNED)
        if reading.ela_quality is None:
            _draft(image, reading, turned=orientation > 4)
        converted = _eight_bits(image, reading.mode, deep, noted)
        # Decoding a TIFF rotates the pixels and removes the tag.
        orientation = _orientation(image)
        planes = [converted]
        if reading.ela_quality is not None:
            levels = error_level_analysis(np.asarray(converted), reading.ela_quality)
            planes.append(Image.fromarray(levels))
        arrays = [np.asarray(_fitted(plane, orientation, reading)) for plane in planes]
    whole = np.concatenate([a.reshape(*reading.size, -1) for a in arrays], axis=-1)
    return Picture(whole, tuple(noted))


def read_header(path: str | Path) -> Header:
    """Return the size of an image, and whether it is gray, without decoding it.

    Raises:
        ValueError: If the file is not an image.
    """
    with _opened(path) as image:
        width, height = image.size
        # Pillow returns the upright size for a TIFF.
        upright = image.format == "TIFF" or _orientation(image) <= 4
        gray = image.mode in _GRAY or _is_deep_gray(image)
        return Header((height, width) if upright else (width, height), gray)


@contextmanager
def large_images() -> Iterator[None]:
    """Read images of up to 179 million pixels without Pillow's warning from 89 million on.

    Larger ones are refused. Filters of warnings belong to all threads, so enter this before threads
    that read images begin, never in one of them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def is_picture(path: Path) -> bool:
    """Return whether a file begins like an image file, whatever its name."""
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except _DAMAGED:
        return False


def _orientation(image: Image.Image) -> int:
    """Return the orientation in the EXIF data, from 1 (upright) to 8; 1 if it makes no sense."""
    found = image.getexif().get(_ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _draft(image: Image.Image, reading: ImageReading, turned: bool) -> None:
    """Make Pillow decode a large JPEG at a fraction of its size, to save memory and time."""
    height, width = reading.size[::-1] if turned else reading.size
    across, down = width / image.width, height / image.height
    if reading.fit != "stretch":
        across = down = max(across, down) if reading.fit == "crop" else min(across, down)
    wanted = _DRAFT * across * image.width, _DRAFT * down * image.height
    image.draft(None, (max(1, round(wanted[0])), max(1, round(wanted[1]))))


def _eight_bits(image: Image.Image, mode: str, deep: bool, noted: list[str]) -> Image.Image:
    """Return an image in an 8-bit mode, and note the conversions.

    Raises:
        ValueError: If its range of values is unknown, or it would lose too many levels.
    """
    if getattr(image, "is_animated", False):
        noted.append(FIRST)
    if image.mode in _COLOR:
        noted.append(_COLOR[image.mode])
    stored = None
    if _is_deep_gray(image):
        stored = np.asarray(image).astype(np.uint32)
        clear, inverted = image.info.get("transparency"), _is_white_zero(image)
        levels = ((stored + 128) // 257).astype(np.uint8)
        image = Image.fromarray(255 - levels if inverted else levels)
        if isinstance(clear, int):
            image.putalpha(Image.fromarray(np.where(stored == clear, 0, 255).astype(np.uint8)))
    elif image.mode in ("I", "F"):
        raise ValueError(
            f"its pixels have type {'float' if image.mode == 'F' else 'int32'}, whose range of "
            "values is unknown; convert it to 8 bits"
        )
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        if _extremes(layer.getchannel("A"))[0] < 255:
            noted.append(ON_WHITE)
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = image.convert(mode)
    if deep:
        noted.append(REDUCED)
        # Of gray levels, those stored: inverted or on white, unused upper bits would look used.
        if stored is None:
            highest = max(_extremes(band)[1] for band in image.split())
        else:
            highest = int(levels.max())
        if highest < _LEAST_LEVEL and (stored is None or stored.any()):
            raise ValueError(
                f"it has 16 bits, but the upper ones are unused: in 8 bits, only {highest + 1} of "
                "256 levels would be left; scale it to 8 bits"
            )
    return image


def _is_deep_gray(image: Image.Image) -> bool:
    """Return whether an image has one channel of levels up to 65535."""
    # Pillow scales a PGM with more than 8 bits to 65535.
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def _is_white_zero(image: Image.Image) -> bool:
    """Return whether a TIFF stores white as level 0, which Pillow inverts in 8 bits only."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0


def _has_16_bits(image: Image.Image) -> bool:
    """Return whether a file has 16 bits per channel; of 16-bit RGB, Pillow returns the upper 8."""
    for tile in getattr(image, "tile", ()):
        arguments = tile[-1]
        # Those of a PPM include the largest value.
        large = isinstance(arguments, tuple) and any(n > 255 for n in arguments if type(n) is int)
        if ";16" in str(arguments) or (image.format == "PPM" and large):
            return True
    return image.mode.startswith("I;16")


def _extremes(band: Image.Image) -> tuple[float, float]:
    """Return the least and the largest value of an image with one channel."""
    low, high = band.getextrema()
    if isinstance(low, tuple) or isinstance(high, tuple):
        raise TypeError(f"expected one channel, got {band.mode}")
    return low, high


def _fitted(image: Image.Image, orientation: int, reading: ImageReading) -> Image.Image:
    """Return an image rotated upright and resized."""
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
    """Open an image file; any error in the block becomes a ValueError that names the file."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except _DAMAGED as error:
        if is_broken(Path(path)):
            target = missing_target(Path(path))
            raise ValueError(f"the image {path} cannot be read: it is {target}") from error
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else error
        raise ValueError(
            f"the image {path} cannot be read ({reason}); repair or remove it"
        ) from error
