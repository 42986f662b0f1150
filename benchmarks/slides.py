"""Time and memory of preprocessing a slide, compared with libvips.

    pip install --target FOLDER "pyvips[binary]"    # or pyvips and the system's libvips
    PYTHONPATH=FOLDER python -m benchmarks.slides [--repeats 5]

A slide of 40,000×30,000 pixels of real tissue (the fixture of the tests, repeated) in JPEG tiles,
with one level and with three, becomes an image at factor 64. ``preprocess_slide`` and libvips, each
on one thread, are measured alternately; libvips shrinks the next larger level. It is measured with
its own TIFF reader and, if it was built with OpenSlide (the wheels are not), with OpenSlide. Goals
in processor time, relative to libvips' TIFF reader: with a pyramid at most 1.2 times, or 2 times
with a hash of the whole file; with one level at most 1 time. Goal in memory: at most 500 MB. About
250 MB are written to a temporary folder.

With a pyramid, what cannot be left out takes 0.93 times as long as libvips: decoding the tiles
0.61, averaging them 0.14, and opening the slide with OpenSlide 0.18. With the hash, reading and
hashing the file add 1.05, of which reading alone is 0.8. So the goals leave a quarter, and a
fiftieth, of libvips' time for everything else.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import openslide
import tifffile
from PIL import Image

from benchmarks._measure import pairs, quartiles, versions
from survival.slides import preprocess_slide

SIZE, FACTOR, TILE = (40_000, 30_000), 64, 256
# Downsamples of the levels, and the goals relative to libvips.
SLIDES = {
    "one level": ((1,), {"plain": 1.0}),
    "pyramid": ((1, 4, 16), {"plain": 1.2, "with the full hash": 2.0}),
}
WAYS = {"plain": {}, "exact": {"exact": True}, "with the full hash": {"hash": True}}
MEMORY, FREE = 500, 10**9
TISSUE = Path(__file__).parents[1] / "tests" / "fixtures" / "slides" / "CMU-1-Small-Region.svs"
PEAK = """
import sys
from survival.slides import preprocess_slide
preprocess_slide(sys.argv[1], 64)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1e3)
"""


def write_slide(path: Path, size: tuple[int, int], downsamples: tuple[int, ...]) -> None:
    """Write a tiled TIFF of repeated tissue; each tile of the tissue is encoded once."""
    with openslide.OpenSlide(TISSUE) as slide:
        # The size is a whole number of tiles, and divisible by all downsamples.
        tissue = slide.read_region((0, 0), 0, (8 * TILE, 11 * TILE)).convert("RGB")

    def tiles(downsample: int, width: int, height: int) -> Iterator[bytes]:
        reduced = np.tile(np.asarray(tissue.reduce(downsample)), (downsample, downsample, 1))
        encoded = {}
        for i in range(-(-height // TILE)):
            for j in range(-(-width // TILE)):
                y, x = i * TILE % reduced.shape[0], j * TILE % reduced.shape[1]
                if (y, x) not in encoded:
                    file = BytesIO()
                    tile = Image.fromarray(reduced[y : y + TILE, x : x + TILE])
                    tile.save(file, "jpeg", quality=85, subsampling="4:2:0")
                    encoded[y, x] = file.getvalue()
                yield encoded[y, x]

    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for downsample in downsamples:
            width, height = (-(-n // downsample) for n in size)
            tiff.write(
                tiles(downsample, width, height),
                shape=(height, width, 3),
                dtype="uint8",
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                subfiletype=int(downsample > 1),
            )


def libvips(path: Path, downsamples: tuple[int, ...]) -> dict[str, Callable[[], np.ndarray]]:
    """Return functions that make the same image with libvips, by name."""
    os.environ["VIPS_CONCURRENCY"] = "1"
    import pyvips

    pyvips.cache_set_max(0)
    level, shrink = len(downsamples) - 1, FACTOR / downsamples[-1]

    def tiff():
        image = pyvips.Image.tiffload(str(path), page=level, access="sequential")
        return image.shrink(shrink, shrink).numpy()

    def through_openslide():
        image = pyvips.Image.openslideload(str(path), level=level, access="sequential")
        return image.flatten(background=255).shrink(shrink, shrink).numpy()

    peers = {"libvips' tiffload": tiff}
    if pyvips.type_find("VipsOperation", "openslideload"):
        peers["libvips' openslideload"] = through_openslide
    return peers


def compare(
    name: str, path: Path, downsamples: tuple[int, ...], goals: dict[str, float], repeats: int
) -> None:
    """Print the ratios of time, and the peak of memory."""
    canvas = tuple(-(-n // FACTOR) for n in SIZE)
    for (peer, shrink), (way, options) in product(libvips(path, downsamples).items(), WAYS.items()):
        make = partial(preprocess_slide, path, FACTOR, canvas, **options)
        ours = make().image[:-1, :-1]
        theirs = shrink()[: ours.shape[0], : ours.shape[1], :3]
        differ = np.abs(ours.astype(int) - theirs).mean()
        times = pairs(make, shrink, repeats)
        ratios = times[:, 0] / times[:, 1]
        mine, their = np.median(times[:, :, 1], axis=0)
        print(f"{name}, {way}: {mine:.3f} s of processor time, {peer} {their:.3f} s")
        judged = ""
        if goal := goals.get(way):
            reached = "reached" if np.median(ratios[:, 1]) <= goal else "MISSED"
            judged = f", goal <= {goal}: {reached}"
        print(f"  ratio in processor time {quartiles(ratios[:, 1])}{judged}")
        print(f"  ratio {quartiles(ratios[:, 0])}; the images differ by {differ:.2f} gray levels")
    if sys.platform == "linux":
        command = [sys.executable, "-c", PEAK, str(path)]
        peak = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        reached = "reached" if peak <= MEMORY else "MISSED"
        print(f"  peak of the memory {peak:.0f} MB, goal <= {MEMORY}: {reached}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="pairs of measurements")
    repeats = parser.parse_args().repeats
    try:
        import pyvips
    except ImportError:
        parser.error("pyvips is not installed: see the docstring of benchmarks/slides.py")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if shutil.disk_usage(folder).free < FREE:
            parser.error(
                f"{folder} has less than {FREE / 1e9:.0f} GB of free space; set TMPDIR to another "
                "folder"
            )
        for name, (downsamples, goals) in SLIDES.items():
            path = folder / f"{len(downsamples)}.tif"
            write_slide(path, SIZE, downsamples)
            compare(name, path, downsamples, goals, repeats)
            path.unlink()
    libvips_version = ".".join(str(pyvips.version(i)) for i in range(3))
    print(f"libvips {libvips_version}, OpenSlide {openslide.__library_version__}; {versions()}")


if __name__ == "__main__":
    main()
