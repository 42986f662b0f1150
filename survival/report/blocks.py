"""Blocks: groups of risk scores that are evaluated together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd

from survival.metrics import per_patient
from survival.report.settings import same_settings
from survival.run import EVALUATIONS, Run, follow_up, judged, known_patients
from survival.scale import differ, span


@dataclass(frozen=True)
class Part:
    """Slides of one dataset with the scores of a network that was not trained on them.

    Attributes:
        dataset: Name of the dataset, unique within the block.
        run: Name of the run whose network computed the scores.
        test: The slides, as in ``predictions.csv``.
        train: The slides on which this network was trained, for thresholds and baseline hazard.
            Empty if none of them are comparable with this dataset.
        censoring: Time and event of the patients from whom the dataset's censoring is estimated,
            shape (n, 2), or (n, 5) with entries.
    """

    dataset: str
    run: str
    test: pd.DataFrame
    train: pd.DataFrame
    censoring: np.ndarray


@dataclass(frozen=True)
class Block:
    """Parts that are evaluated together.

    Attributes:
        title: What distinguishes the block from others.
        parts: One part per dataset.
        notes: Notes for the reader, such as what is left out.
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
    """Rows to evaluate, one per slide or per patient.

    Attributes:
        y_true: Time and event, shape (n, 2), or (n, 5) with entries.
        risk: Log-hazards, shape (n,).
        dataset: Dataset of each row, shape (n,).
        patient: Patient of each row, shape (n,).
    """

    y_true: np.ndarray
    risk: np.ndarray
    dataset: np.ndarray
    patient: np.ndarray

    @classmethod
    def of_slides(cls, block: Block) -> Scores:
        """Return one row for every test slide of a block."""
        test = pd.concat([part.test.assign(dataset=part.dataset) for part in block.parts])
        return cls(
            follow_up(test),
            test["log_hazard"].to_numpy(),
            test["dataset"].to_numpy(object),
            test["patient"].to_numpy(object),
        )

    def of_patients(self, how: str) -> Scores:
        """Return one row per patient and dataset, with the mean or maximum over the slides."""
        # A patient may be in two datasets: the same slide scanned by two scanners.
        pairs = zip(self.dataset, self.patient, strict=True)
        patients = per_patient(self.y_true, self.risk, [f"{d}\0{p}" for d, p in pairs], how)
        first = patients.first
        return Scores(patients.y_true, patients.risk, self.dataset[first], self.patient[first])


def patients_of(slides: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return time and event of each patient, as for metrics, and the mean log-hazard, (n,)."""
    patients = per_patient(
        follow_up(slides), slides["log_hazard"].to_numpy(), slides["patient"].to_numpy(object)
    )
    return patients.y_true, patients.risk


def make_blocks(runs: Mapping[str, Run]) -> list[Block]:
    """Return the blocks of a report.

    Runs that differ only in their data form a block, with each network's scores for the test slides
    of its own data. A run with evaluations also forms a separate block: its own test slides and the
    other cohorts (their test split if they have one, otherwise all slides). If a run would be alone
    in a block of the first kind and has evaluations, only the second block is made, because it
    contains the first.

    Args:
        runs: Runs by name.

    Returns:
        The blocks, those of several runs first. A block without parts has notes that say why.

    Raises:
        ValueError: Two runs have the same settings and a dataset in common, or evaluations of a run
            have patients in common.
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
                f"{one} and {other} have the same settings and both contain the dataset "
                f"{min(common)!r}, so they cannot be evaluated together. Leave one out; if the "
                "data differ, give them different names in the column dataset of the manifests"
            )


def _refuse_same_patients(name: str, run: Run) -> None:
    """Refuse patients who would count twice, by their names in a dataset or by their images."""
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
                f"{name}: {whom} of the evaluation {cohort} are also in {other} and would count "
                f"twice: delete {EVALUATIONS}/{cohort}.csv in the run folder and, if it contains "
                "further datasets, evaluate only those (--dataset); if the data differ, give them "
                "a different name in the column dataset of the manifest"
            )
        judged_before[f"the evaluation {cohort}"] = rows


def _shared(rows: pd.DataFrame, before: pd.DataFrame) -> set[str]:
    """Return the patients of ``rows`` who are in ``before``, by dataset and name or by image."""
    found: set[str] = set()
    for key in (["dataset", "patient"], ["slide", "image"]):
        there = pd.MultiIndex.from_frame(rows[key]).isin(pd.MultiIndex.from_frame(before[key]))
        found |= set(rows.loc[there, "patient"])
    return found


def _merge(title: str, blocks: list[Block]) -> Block:
    parts = [part for block in blocks for part in block.parts]
    return Block(title, parts, [note for block in blocks for note in block.notes])


def _own(name: str, run: Run) -> Block:
    """Return a block with the test split of a run, one part per dataset."""
    slides = run.predictions
    test, train = (slides[slides["split"] == split] for split in ("test", "train"))
    parts, notes = [], []
    if not _finite(train):
        notes.append(
            f"{name}: risk scores of training slides are not finite, so risk groups and "
            "predicted probabilities are missing."
        )
        train = train[:0]
    if test.empty:
        notes.append(f"{name}: this run has no test split, so it cannot be evaluated.")
    elif not _finite(test):
        wrong = int((~np.isfinite(test["log_hazard"])).sum())
        notes.append(
            f"{name}: {wrong} of {len(test)} risk scores of test slides are not finite (the "
            "training diverged), so this run is left out."
        )
    else:
        for dataset, rows in test.groupby("dataset"):
            of_dataset = train[train["dataset"] == dataset]
            # With strata, each dataset has its own baseline, and scores cannot be compared.
            by = of_dataset if run.settings.get("strata") else train
            basis = rows if of_dataset.empty else of_dataset
            censoring = follow_up(basis.drop_duplicates("patient"))
            parts.append(Part(str(dataset), name, rows, by, censoring))
            notes += _late_entries(str(dataset), rows)
    return Block(name, parts, notes)


def _evaluation_block(name: str, run: Run) -> Block:
    """Return a block with the test split of a run and its evaluations."""
    _refuse_same_patients(name, run)
    own = _own(name, run)
    parts, notes = list(own.parts), list(own.notes)
    slides = run.predictions
    train = slides[slides["split"] == "train"]
    for cohort, table in run.evaluations.items():
        rows = judged(table)
        if rows.empty or not _finite(rows):
            what = "has no slides" if rows.empty else "has risk scores that are not finite"
            notes.append(f"{name}: the evaluation of {cohort} {what}, so it is left out.")
            continue
        notes += _other_columns(name, run, cohort, rows) + _other_scale(name, run, cohort, rows)
        if known := known_patients(slides, rows):
            notes.append(
                f"{name}: {len(known)} of {rows['patient'].nunique()} patients of {cohort} have "
                "the same name as a patient in the training or validation split of this network. "
                "If they are the same people, the results for them are too optimistic."
            )
        for dataset, of_dataset in rows.groupby("dataset"):
            # With strata, the training says nothing about a dataset that was not among them.
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


def _other_columns(name: str, run: Run, cohort: str, rows: pd.DataFrame) -> list[str]:
    """Return a note if an evaluation may be of another endpoint than the training."""
    columns = ("time_column", "event_column")
    if not set(columns) <= set(rows):  # written by an earlier version
        return []
    trained = [run.settings.get(column) for column in columns]
    evaluated = [rows[column].iloc[0] for column in columns]
    if trained == evaluated:
        return []
    return [
        f"{name}: trained on the columns {' and '.join(map(str, trained))}, but {cohort} is "
        f"evaluated on {' and '.join(evaluated)}. If these are different endpoints, the results "
        "must not be compared."
    ]


def _other_scale(name: str, run: Run, cohort: str, rows: pd.DataFrame) -> list[str]:
    """Return a note if the images of an evaluation have another scale than those of the training.

    Runs and evaluations of version 0.1.0 do not know their scale.
    """
    trained = run.settings.get("microns_per_pixel")
    if trained is None or "microns_per_pixel" not in rows:
        return []
    evaluated = rows["microns_per_pixel"].dropna()
    if evaluated.empty or not differ([trained, *evaluated]):
        return []
    return [
        f"{name}: trained on images of {trained:.3g} µm per pixel, but those of {cohort} have "
        f"{span(evaluated)}. The network sees their tissue at another size, so the results say "
        "as much about the scale as about the scanner."
    ]


def _late_entries(dataset: str, slides: pd.DataFrame) -> list[str]:
    if "entry" not in slides or not (late := slides["patient"][slides["entry"] > 0].nunique()):
        return []
    return [
        f"{dataset}: {late} of {slides['patient'].nunique()} patients enter observation late "
        "(column entry). C-index, Kaplan–Meier curves and the log-rank test count them only from "
        "then on. Uno's C, the AUROC at a time and calibration are not defined with late entries, "
        "so they are left out."
    ]


def _finite(slides: pd.DataFrame) -> bool:
    return bool(np.isfinite(slides["log_hazard"]).all())
