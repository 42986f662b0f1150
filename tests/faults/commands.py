"""The commands that are killed: a search, a grid, preprocessing of slides, a survival training."""

from __future__ import annotations

import json
import time
from pathlib import Path

import keras
import numpy as np
import openslide
import pandas as pd
import tifffile

from resbuilder.run.journal import read_journal
from tests.faults.kills import Command
from tests.resbuilder.pipeline.outcomes import weights

SLIDE = Path(__file__).parents[1] / "fixtures" / "slides" / "CMU-1-Small-Region.svs"

# Every block is below this threshold, so the search also removes blocks.
SEARCH = """
import sys
from pathlib import Path
from resbuilder import SearchConfig, resume, search

path = Path(sys.argv[1])
if path.exists():
    resume(path)
else:
    search(SearchConfig(
        dataset="digits", train_limit=200, epochs=1, batch_size=40, width=4, stages=2,
        flops=100_000, rounds=1, insertions=1, tau_layer=0.5, momentum=False,
    ), path)
"""

GRID = """
import sys
from pathlib import Path
from experiments.jobs import run_all
from tests.faults.commands import trained

if __name__ == "__main__":
    jobs = {f"seed{n}": {"seed": n} for n in range(16)}
    run_all(trained, jobs, Path(sys.argv[1]), workers=2)
"""

SLIDES = """
import sys
from pathlib import Path
from survival.slides import preprocess_slides

out = Path(sys.argv[1])
preprocess_slides(out.parent / "slides", out, downsample=8, canvas=(80, 60), workers=2)
"""

TRAINING = """
import sys
from pathlib import Path
from survival.cohort import Cohort
from survival.training import TrainingSettings, train

out = Path(sys.argv[1])
cohort = Cohort.read(out.parent / "cohort.csv")
settings = TrainingSettings(epochs=6, width=0.03, batch_size=4)
train(cohort, out.parent / "images", out, settings)
"""


def trained(job: dict) -> dict:
    """Do a job of the grid: return the losses of a small network on data from its seed."""
    keras.utils.set_random_seed(job["seed"])
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(job["seed"]).normal(size=(64, 4))
    time.sleep(0.3)  # long enough for most kills to interrupt a job
    return {"loss": model.fit(x, x.sum(axis=1), epochs=2, verbose=0).history["loss"]}


def commands(folder: Path) -> dict[str, Command]:
    """Return all four commands by name, and prepare a folder for each."""
    for name in ("search", "grid", "slides", "training"):
        (folder / name).mkdir(parents=True)
    _write_slides(folder / "slides" / "slides")
    _write_cohort(folder / "training")
    return {
        "search": Command("a search", SEARCH, _searched),
        "grid": Command("a grid of trainings, 2 workers", GRID, _measured),
        "slides": Command("slides, 2 workers", SLIDES, _preprocessed),
        "training": Command("a survival training", TRAINING, _learnt),
    }


def _write_slides(folder: Path) -> None:
    """Write twelve pieces of a real slide."""
    folder.mkdir()
    with openslide.OpenSlide(SLIDE) as slide:
        tissue = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]
    for n in range(12):
        piece = tissue[100 * n : 100 * n + 300, 900:1400]
        tifffile.imwrite(folder / f"{n:02d}.tif", piece, tile=(256, 256), photometric="rgb")


def _write_cohort(folder: Path) -> None:
    """Write a cohort of these slides; its follow-up is arbitrary."""
    from survival.slides import preprocess_slides

    _write_slides(folder / "slides")
    preprocess_slides(folder / "slides", folder / "images", downsample=8, canvas=(64, 40))
    slides = sorted(path.name for path in (folder / "slides").iterdir())
    pd.DataFrame(
        {
            "slide": slides,
            "patient": [f"p{n}" for n in range(12)],
            "time": np.arange(1, 13),
            "event": [1, 0] * 6,
            "split": ["train"] * 8 + ["validation"] * 4,
        }
    ).to_csv(folder / "cohort.csv", index=False)


def _searched(path: Path) -> object:
    """Return decisions, architectures, numbers and the winner's weights, without times."""
    entries = [entry.to_json() for entry in read_journal(path / "journal.jsonl")[0]]
    clock = ("time", "seconds")
    found = [{k: v for k, v in entry.items() if k not in clock} for entry in entries]
    return found, [w.tobytes() for w in weights(path)]


def _measured(path: Path) -> object:
    files = {p.name: json.loads(p.read_text()) for p in path.glob("*.json")}
    return {name: (entry["job"], entry["result"]) for name, entry in files.items()}


def _preprocessed(path: Path) -> object:
    return {p.name: p.read_bytes() for p in path.rglob("*.*")}


def _learnt(path: Path) -> object:
    history = pd.read_csv(path / "history.csv").drop(columns="seconds")
    return history.to_csv(), (path / "predictions.csv").read_text(), _names(path)


def _names(path: Path) -> list[str]:
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*"))
