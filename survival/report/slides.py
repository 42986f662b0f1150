"""The slides with the highest and the lowest risk, with saliency maps."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image

from resbuilder.common.figures import data_uri
from survival.images import on_white
from survival.report.style import Picture, number
from survival.run import Run
from survival.saliency import RiskSaliency

EACH = 4  # slides with the highest risk, and the same number with the lowest
THUMBNAIL = (480, 480)  # largest width and height in pixels


@dataclass
class Slide:
    """A slide on the page.

    Attributes:
        row: The slide's row of ``predictions.csv``.
        name: Name of the slide on the page.
        patient: Name of the patient on the page.
        extreme: ``"highest"`` or ``"lowest"``.
        canvas: A smaller version of the network's input image; None if it is missing.
        overlay: The image in gray with the saliency in red and blue; None if there is none.
    """

    row: pd.Series
    name: str
    patient: str
    extreme: str
    canvas: Picture | None = None
    overlay: Picture | None = None


@dataclass
class Extremes:
    """The extreme slides of one run.

    Attributes:
        run: Name of the run in the report.
        slides: The slides, highest risk first.
        notes: What is missing, and why.
    """

    run: str
    slides: list[Slide]
    notes: list[str] = field(default_factory=list)


def extremes(
    name: str, run: Run, progress: Callable[[], None], anonymous: bool = False
) -> Extremes:
    """Return the test slides with the highest and the lowest risk scores.

    Args:
        name: Name of the run in the report.
        run: The run.
        progress: Called after each slide.
        anonymous: Whether to number slides and patients, from the highest risk on, instead of
            naming them.

    Returns:
        The slides. If an image or the network cannot be read, a note gives the reason.
    """
    chosen = _choose(run.predictions)
    if anonymous:
        chosen = _numbered(chosen)
    found = Extremes(name, chosen)
    if not chosen:
        found.notes.append("No test slide has a finite risk score.")
        return found
    try:
        saliency = RiskSaliency(run.model())
    except ValueError as error:
        saliency = None
        found.notes.append(f"No saliency maps: {error}.".replace(str(run.path), name))
    images, maps = {}, {}
    for slide in chosen:
        path = slide.row["image"]
        try:
            image = _read(path)
            images[path] = _smaller(image)
            if saliency is not None:
                maps[path] = saliency(np.asarray(image))
        except ValueError as error:
            found.notes.append(f"{slide.name}: {error}.")
        progress()
    # One scale for all slides of a network, so that colors are comparable.
    scale = max((np.abs(m).max(initial=0) for m in maps.values()), default=0)
    for slide in chosen:
        path = slide.row["image"]
        if path in images:
            slide.canvas = _jpeg(images[path], f"Image of {slide.name}")
        if path in maps:
            said = f"Saliency of {slide.name}: {_in_words(maps[path])}"
            slide.overlay = _jpeg(_overlay(images[path], maps[path], scale), said)
    return found


def slide_count(run: Run) -> int:
    """Return the number of slides that :func:`extremes` will show."""
    return len(_choose(run.predictions))


def _choose(predictions: pd.DataFrame) -> list[Slide]:
    test = predictions[predictions["split"] == "test"]
    test = test[np.isfinite(test["log_hazard"])].sort_values("log_hazard", ascending=False)
    # At most a third of the slides on each side, so that slides in the middle are not shown.
    high = min(EACH, max(1, len(test) // 3), len(test))
    low = min(high, len(test) - high)
    rows = [test.iloc[i] for i in (*range(high), *range(len(test) - low, len(test)))]
    return [
        Slide(row, row["slide"], f"patient {row['patient']}", "highest" if i < high else "lowest")
        for i, row in enumerate(rows)
    ]


def _numbered(slides: list[Slide]) -> list[Slide]:
    patients = list(dict.fromkeys(slide.row["patient"] for slide in slides))
    return [
        replace(
            slide, name=f"slide {i}", patient=f"patient {patients.index(slide.row['patient']) + 1}"
        )
        for i, slide in enumerate(slides, start=1)
    ]


def _read(path: str) -> Image.Image:
    # Errors omit the file's name, because the page may be shared.
    if not Path(path).is_file():
        raise ValueError("its image is missing")
    try:
        with Image.open(path) as image:
            return on_white(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).replace(repr(path), "").replace(path, "").strip()
        raise ValueError(f"its image cannot be read ({reason})") from None


def _smaller(image: Image.Image) -> Image.Image:
    smaller = image.copy()
    smaller.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    return smaller


def _overlay(image: Image.Image, saliency: np.ndarray, scale: float) -> Image.Image:
    """Return the image in light gray, red where the risk is raised and blue where it is lowered."""
    fine = Image.fromarray(saliency.astype("float32")).resize(image.size, Image.Resampling.BILINEAR)
    strength = np.asarray(fine) / (scale or 1.0)
    color = matplotlib.colormaps["RdBu_r"](0.5 + strength / 2)[..., :3]
    gray = 0.35 + 0.65 * np.asarray(image.convert("L"))[..., None] / 255
    share = np.sqrt(np.abs(strength))[..., None].clip(0, 1) * 0.85
    return Image.fromarray(np.uint8(255 * (share * color + (1 - share) * gray)))


def _in_words(saliency: np.ndarray) -> str:
    raised, lowered = saliency[saliency > 0].sum(), saliency[saliency < 0].sum()
    sums = number(raised, 2), number(lowered, 2)
    return f"parts that raise the risk sum to {sums[0]}, parts that lower it sum to {sums[1]}"


def _jpeg(image: Image.Image, alt: str) -> Picture:
    # As PNG, photographs would be ten times as large.
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return Picture(data_uri(buffer.getvalue(), "jpeg"), alt)
