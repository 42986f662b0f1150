"""Fixtures: run folders with real follow-up, as written by ``survival train``."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sksurv.datasets import load_gbsg2

from survival.models import vgg_survival_model
from survival.run import EVALUATIONS, HISTORY, MODEL, PREDICTIONS, write_settings, write_table

SETTINGS = {
    "epochs": 3,
    "learning_rate": 0.001,
    "mean_penalty": 0.0,
    "strata": False,
    "augment": [],
}


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    """Return the file of a small network with random weights."""
    path = tmp_path_factory.mktemp("model") / MODEL
    vgg_survival_model((32, 40, 3), width=0.03, seed=0).save(path)
    return path


@pytest.fixture(scope="session")
def canvas(tmp_path_factory):
    """Return an image of that network's input size."""
    path = tmp_path_factory.mktemp("images") / "canvas.png"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), "uint8")
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def slides(canvas):
    """Return a function that makes a table of predictions.

    The follow-up, in months, is that of breast cancer patients of whom 300 had the event
    (scikit-survival's GBSG2). The risk scores are correlated with it. Every fifth patient has two
    slides.
    """
    _, outcome = load_gbsg2()

    def make(dataset, first=0, patients=60, offset=0.0, split=True, seed=0):
        random = np.random.default_rng(seed)
        rows = []
        for i in range(patients):
            event, days = outcome[first + i]
            part = "test" if i % 2 else "validation" if i % 6 == 0 else "train"
            for slide in range(1 + (i % 5 == 0)):
                rows.append(
                    {
                        "slide": f"{dataset}/{first + i}-{slide}.svs",
                        "patient": f"P{first + i}",
                        "dataset": dataset,
                        "split": part if split else "",
                        "time": days / 30.4375,
                        "event": int(event),
                        "log_hazard": offset - np.log(days) + random.normal(0, 0.5),
                        "image": str(canvas),
                    }
                )
        return pd.DataFrame(rows)

    return make


@pytest.fixture
def make_run(tmp_path, model_file):
    """Return a function that makes a run folder."""

    def make(name, predictions, evaluations=None, history=None, **settings):
        folder = tmp_path / "runs" / name
        (folder / EVALUATIONS).mkdir(parents=True)
        shutil.copy(model_file, folder / MODEL)
        circumstances = {
            "datasets": sorted(set(predictions["dataset"])),
            "cohort_sha256": name,
            "images": f"/data/{name}",
            "versions": {"keras": "3.15.0"},
            "kept_epoch": 2,
            "chosen_by": "val_cindex",
        }
        write_settings(folder, SETTINGS | circumstances | settings)
        if history is None:
            history = {
                "loss": [2.0, 1.5, 1.2],
                "val_loss": [2.0, 1.8, 1.9],
                "val_cindex": [0.5, 0.7, 0.6],
            }
        write_table(folder / HISTORY, pd.DataFrame({"epoch": [1, 2, 3]} | history))
        predictions.to_csv(folder / PREDICTIONS, index=False, na_rep="nan")
        for cohort, table in (evaluations or {}).items():
            table.to_csv(folder / EVALUATIONS / f"{cohort}.csv", index=False, na_rep="nan")
        return folder

    return make
