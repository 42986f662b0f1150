"""Growth of the cost with the sizes of dataset, search, slide and cohort.

    python -m benchmarks.growth [--figure experiments/results/scale/growth.png]

It measures processor seconds of one core over sizes, and prints the exponent of the line through
them on logarithmic axes: 1 means proportional. Every size is measured three times, and the fastest
counts.

- dataset: an epoch of a ResNet-20 on this many 8×8 digits, repeated;
- architectures: opening the run folder of a search with this many architectures and reading its
  history, as resuming and reporting do (the start network, then three random insertions each);
- slide: an image at factor 64 of tiled JPEG slides, without and with a pyramid;
- cohort: loss and gradient, the C-index, and reading the manifest of this many slides.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from rich.progress import track  # noqa: E402

from benchmarks._measure import versions  # noqa: E402
from benchmarks.cox_loss import on_tensorflow  # noqa: E402
from benchmarks.slides import write_slide  # noqa: E402
from resbuilder import SearchConfig  # noqa: E402
from resbuilder.common.figures import BLUE, GREEN, ORANGE, styled  # noqa: E402
from resbuilder.pipeline.loop import Loop  # noqa: E402
from resbuilder.report import read_history  # noqa: E402
from resbuilder.report.style import new_figure  # noqa: E402
from resbuilder.run import Run  # noqa: E402
from resbuilder.start_network import start_architecture  # noqa: E402
from resbuilder.surgery import draw_insertion  # noqa: E402
from resbuilder.training import Trainer, TrainingData  # noqa: E402
from survival.cohort import Cohort  # noqa: E402
from survival.metrics import harrell_c  # noqa: E402
from survival.slides import preprocess_slide  # noqa: E402

# The sizes, and the quantity of each panel.
IMAGES = (1_000, 2_000, 4_000, 8_000, 16_000)
ARCHITECTURES = (10, 30, 100, 300, 1_000)
WIDTHS = (4_000, 8_000, 16_000, 32_000)
SLIDES = (1_000, 5_000, 20_000, 100_000, 1_000_000)
# The C-index of scikit-survival compares every pair, so it is measured up to this size.
ALL_PAIRS = 20_000
PANELS = {
    "dataset": "training images",
    "architectures": "architectures of the search",
    "slide": "megapixels of the slide",
    "cohort": "slides of the cohort",
}


def seconds(task: Callable[[], object]) -> float:
    """Return the processor seconds of a call, the least of three (the first one may compile)."""
    measured = []
    for _ in range(3):
        start = time.process_time()
        task()
        measured.append(time.process_time() - start)
    return min(measured)


def dataset(folder: Path) -> dict[str, dict[int, float]]:
    """Measure an epoch over each number of images."""
    config = SearchConfig(dataset="digits", start="resnet-20", width=8, flops=1e6).resolved()
    data = TrainingData.load(config)
    architecture = start_architecture(config, data.dataset)
    rng, found = np.random.default_rng(0), {}
    for size in track(IMAGES, "dataset"):
        split = replace(data.split, train=rng.choice(data.split.train, size))
        trainer = Trainer(architecture, replace(data, split=split), config, 0, False)
        batches, callbacks = trainer.shuffled(seed=0)
        found[size] = seconds(
            lambda t=trainer, b=batches, c=callbacks: t.model.fit(b, callbacks=c, verbose=0)
        )
    return {"an epoch": found}


def architectures(folder: Path) -> dict[str, dict[int, float]]:
    """Measure opening and reading a run with each number of architectures."""
    config = SearchConfig(dataset="digits", start="resnet-20", width=8, flops=1e6).resolved()
    data = TrainingData.load(config)
    start, found = start_architecture(config, data.dataset), {}
    for size in track(ARCHITECTURES, "architectures"):
        path = folder / f"run{size}"
        with Run.create(path, config) as run:
            loop, rng = Loop(run, data, start, None), np.random.default_rng(0)
            loop.progress.say = lambda text: None
            node = loop.add(start, "start")
            for index in range(1, size):
                grown = start
                for number in range(3):
                    grown, where = draw_insertion(grown, (), f"n{index}_{number}", rng)
                loop.add(grown, "insertion", node, position=where._asdict())

        def read(path=path):
            with Run.open(path):
                return read_history(path)

        found[size] = seconds(read)
    return {"open and read": found}


def slide(folder: Path) -> dict[str, dict[int, float]]:
    """Measure making images from slides of each number of megapixels."""
    found = {"without a pyramid": {}, "with a pyramid": {}}
    for width in track(WIDTHS, "slides"):
        size = (width, width * 3 // 4)
        canvas = tuple(-(-n // 64) for n in size)
        for name, downsamples in zip(found, ((1,), (1, 4, 16)), strict=True):
            path = folder / "slide.tif"
            write_slide(path, size, downsamples)
            megapixels = round(size[0] * size[1] / 1e6)
            found[name][megapixels] = seconds(lambda c=canvas, p=path: preprocess_slide(p, 64, c))
            path.unlink()
    return found


def cohort(folder: Path) -> dict[str, dict[int, float]]:
    """Measure the loss, the C-index and the manifest of each number of slides."""
    loss, rng = on_tensorflow()[0], np.random.default_rng(0)
    found = {"loss, gradient": {}, "C-index": {}, "manifest": {}}
    for size in track(SLIDES, "cohorts"):
        time_, event = rng.exponential(24, size).round(2), rng.integers(0, 2, size)
        y, risk = np.stack([time_, event], 1).astype("float32"), rng.normal(size=size)
        found["loss, gradient"][size] = seconds(lambda y=y, r=risk: loss(y, r.astype("float32")))
        if size <= ALL_PAIRS:
            found["C-index"][size] = seconds(lambda y=y, r=risk: harrell_c(y, r))
        names = np.array([f"slide{i}.svs" for i in range(size)])
        path = folder / "cohort.csv"
        Cohort(names, names, time_, event == 1).write(path)
        found["manifest"][size] = seconds(lambda p=path: Cohort.read(p))
    return found


def exponent(found: dict[int, float]) -> float:
    """Return the slope of the least-squares line through the logarithms."""
    return float(np.polyfit(np.log(list(found)), np.log(list(found.values())), 1)[0])


def draw(measured: dict[str, dict[str, dict[int, float]]]):
    """Draw a panel for each kind of size."""
    from resbuilder.report.style import log_axis, si_axis

    with styled():
        figure = new_figure(6.0)
        axes = figure.subplots(2, 2).flat
        for place, (panel, lines) in zip(axes, measured.items(), strict=True):
            for (name, found), color in zip(lines.items(), (BLUE, ORANGE, GREEN), strict=False):
                label = f"{name}: exponent {exponent(found):.2f}"
                place.loglog(found.keys(), found.values(), "o-", color=color, label=label)
            place.set_xlabel(PANELS[panel])
            place.set_ylabel("processor seconds")
            for axis, (low, high) in (
                (place.xaxis, place.get_xlim()),
                (place.yaxis, place.get_ylim()),
            ):
                axis.set_minor_formatter("")
                if high / low < 200:
                    log_axis(axis)
            si_axis(place.xaxis)
            place.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            place.legend()
    return figure


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--figure", type=Path, default=Path("runs/growth.png"), help="default: %(default)s"
    )
    given = parser.parse_args()
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        measured = {p.__name__: p(Path(folder)) for p in (dataset, architectures, slide, cohort)}
    for panel, lines in measured.items():
        for name, found in lines.items():
            row = ", ".join(f"{size:,}: {s:.3g} s" for size, s in found.items())
            print(f"{PANELS[panel]}, {name}: {row}; exponent {exponent(found):.2f}")
    given.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(measured).savefig(given.figure, dpi=150)
    print(f"{given.figure}; {versions()}")


if __name__ == "__main__":
    main()
