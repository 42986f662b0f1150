"""Slides and a cohort for a demonstration, with real tissue and simulated outcomes.

The tissue is the micrograph of a colon in scikit-image, whose glands are stained brown. The section
of each patient is assembled from small windows of it. The more of them are stained, the earlier the
event, on average.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from resbuilder.common.files import atomically
from survival.cohort import Cohort

# For each scanner: number of patients, micrometres per pixel, and factors on the colors.
SCANNERS = {
    "A": (90, 0.5, (1.0, 1.0, 1.0)),
    "B": (30, 0.25, (0.95, 0.96, 1.0)),
}
# Width and height of a slide at 0.5 micrometres per pixel, side of the windows, side of TIFF tiles.
SIZE, WINDOW, TILE = (640, 480), 64, 256
# Hazard per month of a patient with half of the windows stained; log of the hazard ratio between
# all and none; and the range of follow-up in months.
HAZARD, SIGNAL, FOLLOWED = 0.02, 4.0, (24, 120)
GLASS = 244


def write_slides(
    folder: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Cohort]:
    """Write the slides that are missing, as tiled TIFF pyramids ``A/001.tif`` and so on.

    Args:
        folder: Existing folder for the slides.
        progress: Called with the number of finished slides and the total.

    Returns:
        For each scanner a cohort of its slides, with paths relative to ``folder``, and simulated
        follow-up.
    """
    windows, total = _windows(), sum(patients for patients, *_ in SCANNERS.values())
    done, cohorts = 0, {}
    for number, (scanner, (patients, mpp, colors)) in enumerate(SCANNERS.items()):
        (folder / scanner).mkdir(exist_ok=True)
        random = np.random.default_rng(number)
        stained = random.random(patients)
        time, event = _follow_up(stained, random)
        slides = [f"{scanner}/{i + 1:03}.tif" for i in range(patients)]
        for i, slide in enumerate(slides):
            if not (folder / slide).exists():
                section = _section(windows, stained[i], np.random.default_rng((number, i)))
                pixels = np.uint8(section * np.array(colors) + 0.5)
                _write(folder / slide, Image.fromarray(pixels), mpp)
            progress(done := done + 1, total)
        names = [f"{scanner}{i + 1:03}" for i in range(patients)]
        dataset = [f"simulated {scanner}"] * patients
        unit = {"time_unit": ["months"] * patients}
        cohorts[scanner] = Cohort(slides, names, time, event, dataset, further=unit)
    return cohorts


def _follow_up(stained: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the months until the event or the end of follow-up, and whether it is the event."""
    hazard = HAZARD * np.exp(SIGNAL * (stained - 0.5))
    event, end = random.exponential(1 / hazard), random.uniform(*FOLLOWED, len(stained))
    return np.round(np.minimum(event, end) + 0.05, 1), event <= end


def _windows() -> tuple[np.ndarray, np.ndarray]:
    """Return windows with little and with much brown stain, each uint8 (n, side, side, 3).

    The micrograph is part of scikit-image, so nothing is downloaded.
    """
    from skimage.color import rgb2hed
    from skimage.data import immunohistochemistry

    tissue = immunohistochemistry()
    brown = rgb2hed(tissue)[..., 2]
    corners = range(0, len(tissue) - WINDOW + 1, WINDOW // 4)
    places = [np.s_[y : y + WINDOW, x : x + WINDOW] for y in corners for x in corners]
    order = np.argsort([brown[place].mean() for place in places])
    fifth = len(places) // 5
    little, much = (
        np.stack([tissue[places[i]] for i in part]) for part in (order[:fifth], order[-fifth:])
    )
    return little, much


def _section(
    windows: tuple[np.ndarray, np.ndarray], stained: float, random: np.random.Generator
) -> np.ndarray:
    """Return tissue on glass, uint8 (height, width, 3), with a given fraction stained."""
    width, height = SIZE
    down, across = -(-height // WINDOW), -(-width // WINDOW)
    kinds = (random.random((down, across)) < stained).astype(int)

    def window(kind: int) -> np.ndarray:
        return np.rot90(random.choice(windows[kind]), int(random.integers(4)))

    rows = [np.hstack([window(kind) for kind in row]) for row in kinds]
    canvas = np.vstack(rows)[:height, :width]
    # A round section with an uneven border.
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle, waves = np.arctan2(y, x), range(2, 6)
    border = 0.8 + sum(
        0.04 * random.normal() * np.cos(wave * angle + random.uniform(0, 2 * np.pi))
        for wave in waves
    )
    canvas[np.hypot(x, y) > border] = GLASS
    return canvas


def _write(path: Path, picture: Image.Image, mpp: float) -> None:
    """Write a slide with three levels atomically."""
    import tifffile

    if mpp < 0.5:
        picture = picture.resize([round(n * 0.5 / mpp) for n in picture.size])
    with atomically(path) as part, tifffile.TiffWriter(part) as tiff:
        for level in range(3):
            reduced = picture.reduce(2**level)
            per_cm = 1e4 / (mpp * 2**level)
            # For JPEG, tifffile would need another package.
            tiff.write(
                np.asarray(reduced),
                photometric="rgb",
                compression="zlib",
                tile=(TILE, TILE),
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 0),
                metadata=None,
            )
