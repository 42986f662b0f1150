"""One way to train on two scanners, and its scores: one job of the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from experiments.provenance import this_version
from experiments.survival.prepare import IMAGES
from experiments.survival.stain_normalization import IMAGES as NORMALIZED
from survival.cohort import Cohort
from survival.evaluation import evaluate
from survival.metrics import (
    auroc,
    harrell_c,
    merged_auroc,
    merged_c,
    within_dataset_auroc,
    within_dataset_c,
)
from survival.run import Run
from survival.training import TrainingSettings, train

SCANNERS = "A", "B"


def train_and_judge(job: dict) -> dict:
    """Train one network for each scanner, or one for both, and judge them.

    Args:
        job: ``data_dir`` (of cohorts and images), ``seed`` (of the cohort), ``name`` (of the run),
            ``networks`` (``"each"``: one for each scanner; ``"both"``: one for both),
            ``normalized`` (whether stains are), ``settings`` (the arguments of
            :class:`survival.training.TrainingSettings`), and optionally ``strategy``.

    Returns:
        ``validation`` and ``test``: C-index and AUROC of A, of B, of both merged without and with
        standardization per scanner, and within scanners. ``carried``: the same for each network on
        the other scanner's slides, if each scanner has its own. ``slides``: ``log_hazard`` and
        ``event`` of the test slides by scanner. ``kept_epochs``: the epochs that were kept.
    """
    folder = Path(job["data_dir"]) / f"seed{job['seed']}"
    images = folder / (NORMALIZED if job["normalized"] else IMAGES)
    cohort = Cohort.read(folder / "slides" / "cohort.csv")
    settings = TrainingSettings(**job["settings"], strategy=job.get("strategy", "one_device"))
    groups = [("A",), ("B",)] if job["networks"] == "each" else [SCANNERS]
    runs = {
        group: train(
            cohort.of_dataset(*group),
            images,
            folder / f"runs_{this_version()}" / job["name"] / "".join(group),
            settings,
        )
        for group in groups
    }
    own = pd.concat([run.predictions for run in runs.values()], ignore_index=True)
    result = {
        "kept_epochs": {"".join(group): run.settings["kept_epoch"] for group, run in runs.items()},
        "validation": judge(own[own.split == "validation"]),
        "test": judge(own[own.split == "test"]),
        "carried": {},
        "slides": {
            scanner: {
                "log_hazard": [round(value, 4) for value in part.log_hazard],
                "event": part.event.tolist(),
            }
            for scanner, part in own[own.split == "test"].groupby("dataset")
        },
    }
    if job["networks"] == "each":
        for group, other in zip(groups, groups[::-1], strict=True):
            result["carried"] |= _carry(runs[group], cohort.of_dataset(*other), images)
    return result


def judge(predictions: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the rows of thesis Table 7.2 for some predictions: C-index and AUROC by slide."""
    y_true, risk, dataset = _arrays(predictions)
    rows = {
        scanner: (harrell_c(y_true[m], risk[m]), auroc(y_true[m], risk[m]))
        for scanner in SCANNERS
        for m in [dataset == scanner]
    }
    rows["merged"] = harrell_c(y_true, risk), auroc(y_true, risk)
    rows["standardized"] = merged_c(y_true, risk, dataset), merged_auroc(y_true, risk, dataset)
    rows["within"] = (
        within_dataset_c(y_true, risk, dataset),
        within_dataset_auroc(y_true, risk, dataset),
    )
    return {name: {"c_index": c, "auroc": area} for name, (c, area) in rows.items()}


def _carry(run: Run, other: Cohort, images: Path) -> dict[str, dict[str, float]]:
    (source,), target = run.settings["datasets"], other.dataset[0]
    table = evaluate(run, other, images, f"on_{target}")
    y_true, risk, _ = _arrays(table[table.split == "test"])
    scores = {"c_index": harrell_c(y_true, risk), "auroc": auroc(y_true, risk)}
    return {f"{source} on {target}": scores}


def _arrays(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y_true = np.stack([table.time, table.event], axis=1)
    return y_true, table.log_hazard.to_numpy(), table.dataset.to_numpy()
