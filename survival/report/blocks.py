"""Which predictions are judged together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd

from survival.metrics import per_patient
from survival.report.settings import same_settings
from survival.run import EVALUATIONS, Run, follow_up, judged, known_patients


@dataclass(frozen=True)
class Part:
    """Slides of one dataset, predicted by one network that did not see them.

    Attributes:
        dataset: Its name, unlike all others of the block.
        run: Name of the run whose network predicted.
        test: The slides, as in ``predictions.csv``.
        train: The slides that this network was trained on: for thresholds and baseline hazard.
            Empty if there are none that this dataset could be measured by.
        censoring: Time and event of patients from whom the dataset's censoring is estimated,
            shape (n, 2), or (n, 5) with entries.
    """

    dataset: str
    run: str
    test: pd.DataFrame
    train: pd.DataFrame
    censoring: np.ndarray


@dataclass(frozen=True)
class Block:
    """Predictions that are judged together.

    Attributes:
        title: What distinguishes it from other blocks.
        parts: One for each dataset.
        notes: What is to be said about what is left out.
    """

    title: str
    parts: list[Part]
    notes: list[str] = field(default_factory=list)

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets."""
        return [part.dataset for part in self.parts]


@dataclass(frozen=True)
class Scores:
    """Rows to be judged, slides or patients.

    Attributes:
        y_true: Time and event, shape (n, 2), or (n, 5) with entries.
        risk: Log-hazards, shape (n,).
        dataset: Shape (n,).
        patient: Shape (n,).
    """

    y_true: np.ndarray
    risk: np.ndarray
    dataset: np.ndarray
    patient: np.ndarray

    @classmethod
    def of_slides(cls, block: Block) -> Scores:
        """Every test slide of a block."""
        test = pd.concat([part.test.assign(dataset=part.dataset) for part in block.parts])
        return cls(
            follow_up(test),
            test["log_hazard"].to_numpy(),
            test["dataset"].to_numpy(object),
            test["patient"].to_numpy(object),
        )

    def of_patients(self, how: str) -> Scores:
        """One row per patient and dataset, the mean or maximum of the slides."""
        # A patient may be in two datasets: the same slide in two scanners.
        pairs = zip(self.dataset, self.patient, strict=True)
        patients = per_patient(self.y_true, self.risk, [f"{d}\0{p}" for d, p in pairs], how)
        first = patients.first
        return Scores(patients.y_true, patients.risk, self.dataset[first], self.patient[first])


def patients_of(slides: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Time and event, as metrics take them, and mean log-hazard, shape (n,), of each patient."""
    patients = per_patient(
        follow_up(slides), slides["log_hazard"].to_numpy(), slides["patient"].to_numpy(object)
    )
    return patients.y_true, patients.risk


def make_blocks(runs: Mapping[str, Run]) -> list[Block]:
    """The blocks of a report.

    Runs with the same settings but for their data form a block: each network predicts the test
    slides of its own dataset. A run with evaluations forms another: its own test slides, and the
    other cohorts (their test split if they have one, otherwise all slides). A run that would
    stand alone in a block of the first kind has only that of the second, which contains it.

    Args:
        runs: By name.

    Returns:
        The blocks, those of several runs first. A block may have no parts, and says why.

    Raises:
        ValueError: Two runs with the same settings and a dataset in common, or evaluations of a run
            with patients in common.
    """
    together, of_evaluations = [], []
    for title, group in same_settings(runs):
        _refuse_same_data(group)
        evaluated = {name: run for name, run in group.items() if run.evaluations}
        if group.keys() != evaluated.keys() or len(group) > 1:
            own = [_own(name, run) for name, run in group.items()]
            together.append(_merge(title or "own test slides", own))
        of_evaluations += [_evaluation_block(name, run) for name, run in evaluated.items()]
    return together + of_evaluations


def _refuse_same_data(group: Mapping[str, Run]) -> None:
    sets = {name: set(run.predictions["dataset"]) for name, run in group.items()}
    for one, other in combinations(group, 2):
        if common := sets[one] & sets[other]:
            raise ValueError(
                f"{one} and {other} have the same settings and both the dataset "
                f"{min(common)!r}: their predictions cannot be judged together. Leave one out; if "
                "these are different data, give them names of their own in the manifests' column "
                "dataset"
            )


def _refuse_same_patients(name: str, run: Run) -> None:
    """Nobody counts twice: not as patient of a dataset, and not as slide under another name."""
    own = run.predictions
    judged_before = {"the test split": own[own["split"] == "test"]}
    for cohort, table in run.evaluations.items():
        rows = judged(table)
        for other, before in judged_before.items():
            patients = _shared(rows, before)
            if not patients:
                continue
            whom = f"{len(patients)} of {rows['patient'].nunique()} patients"
            raise ValueError(
                f"{name}: {whom} of the evaluation {cohort} are in {other}, too, and would count "
                f"twice: delete {EVALUATIONS}/{cohort}.csv in the run's folder and, if it held "
                "others, evaluate those alone (--dataset); if these are different data, give them "
                "a name of their own in the manifest's column dataset"
            )
        judged_before[f"the evaluation {cohort}"] = rows


def _shared(rows: pd.DataFrame, before: pd.DataFrame) -> set[str]:
    """Patients of ``rows`` whom ``before`` has in the same dataset or with the same image."""
    found: set[str] = set()
    for key in (["dataset", "patient"], ["slide", "image"]):
        there = pd.MultiIndex.from_frame(rows[key]).isin(pd.MultiIndex.from_frame(before[key]))
        found |= set(rows.loc[there, "patient"])
    return found


def _merge(title: str, blocks: list[Block]) -> Block:
    parts = [part for block in blocks for part in block.parts]
    return Block(title, parts, [note for block in blocks for note in block.notes])


def _own(name: str, run: Run) -> Block:
    """The test split of a run, by datasets."""
    slides = run.predictions
    test, train = (slides[slides["split"] == split] for split in ("test", "train"))
    parts, notes = [], []
    if not _finite(train):
        notes.append(
            f"{name}: predictions of training slides are not finite, so there are no risk groups "
            "and no probabilities."
        )
        train = train[:0]
    if test.empty:
        notes.append(f"{name}: has no test split, so nothing of it can be judged.")
    elif not _finite(test):
        wrong = int((~np.isfinite(test["log_hazard"])).sum())
        notes.append(
            f"{name}: {wrong} of {len(test)} predictions of test slides are not finite (the "
            "training diverged); the run is left out."
        )
    else:
        for dataset, rows in test.groupby("dataset"):
            of_dataset = train[train["dataset"] == dataset]
            # Strata have a baseline of their own, and scores that cannot be compared.
            by = of_dataset if run.settings.get("strata") else train
            basis = rows if of_dataset.empty else of_dataset
            censoring = follow_up(basis.drop_duplicates("patient"))
            parts.append(Part(str(dataset), name, rows, by, censoring))
            notes += _late_entries(str(dataset), rows)
    return Block(name, parts, notes)


def _evaluation_block(name: str, run: Run) -> Block:
    """The test split of a run, and its evaluations."""
    _refuse_same_patients(name, run)
    own = _own(name, run)
    parts, notes = list(own.parts), list(own.notes)
    slides = run.predictions
    train = slides[slides["split"] == "train"]
    for cohort, table in run.evaluations.items():
        rows = judged(table)
        if rows.empty or not _finite(rows):
            what = "has no slides" if rows.empty else "has predictions that are not finite"
            notes.append(f"{name}: the evaluation of {cohort} {what}; it is left out.")
            continue
        if known := known_patients(slides, rows):
            notes.append(
                f"{name}: {len(known)} of {rows['patient'].nunique()} patients of {cohort} have "
                "the name of a patient whom this network was trained or chosen on. If they are "
                "the same people, what is said about them here is too good."
            )
        for dataset, of_dataset in rows.groupby("dataset"):
            # Strata of the training say nothing about a dataset that was not among them.
            by = train if _finite(train) and not run.settings.get("strata") else train[:0]
            others = table[(table["dataset"] == dataset) & (table["split"] == "train")]
            basis = of_dataset if others.empty else others
            censoring = follow_up(basis.drop_duplicates("patient"))
            label = str(dataset)
            if label in [part.dataset for part in parts]:
                label = f"{dataset} ({cohort})"
            parts.append(Part(label, name, of_dataset, by, censoring))
            notes += _late_entries(label, of_dataset)
    return Block(f"{name} on other cohorts", parts, notes)


def _late_entries(dataset: str, slides: pd.DataFrame) -> list[str]:
    if "entry" not in slides or not (late := slides["patient"][slides["entry"] > 0].nunique()):
        return []
    return [
        f"{dataset}: {late} of {slides['patient'].nunique()} patients come under observation late "
        "(column entry). C-index, Kaplan–Meier curves and log-rank test count them from then on; "
        "Uno's C, the AUROC at a time and calibration are not defined then and are left out."
    ]


def _finite(slides: pd.DataFrame) -> bool:
    return bool(np.isfinite(slides["log_hazard"]).all())
