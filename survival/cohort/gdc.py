"""Build a cohort from public clinical files and lists of slides."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from resbuilder.common.words import some
from survival.cohort.clinical import read_clinical
from survival.cohort.left_out import Outcomes, check_left_out
from survival.cohort.manifest import Cohort
from survival.cohort.sampling import entries, months_by_sample, never_at_risk
from survival.cohort.slide_list import read_slide_list


@dataclass(frozen=True)
class GdcCohort:
    """A cohort built from public files, and the patients and slides that are not in it.

    Attributes:
        cohort: One row per slide. Without a list of slides, one row per patient, with the
            patient's name as the slide.
        without_slide: Patients with follow-up but no slide.
        without_patient: Slides of patients who are not in the clinical file.
        left_out: Patients without usable follow-up, or never at risk, each with the reason.
        outcomes: How many of the patients in ``"without slide"`` and ``"left out"`` had the event.
    """

    cohort: Cohort
    without_slide: tuple[str, ...]
    without_patient: tuple[str, ...]
    left_out: dict[str, str]
    outcomes: dict[str, Outcomes]


def cohort_from_gdc(
    clinical: str | Path | pd.DataFrame,
    slides: str | Path | None = None,
    endpoints: tuple[str, ...] = ("OS",),
    dataset: str | None = None,
    follow_up: str | Path | pd.DataFrame | None = None,
    samples: str | Path | pd.DataFrame | None = None,
) -> GdcCohort:
    """Build a cohort from a clinical file and a list of slides.

    If it is known when the specimens were taken, from ``samples`` or from cBioPortal's file,
    patients count as at risk only from then on (column ``entry``; see
    :mod:`survival.cohort.sampling`). Patients are then left out if the day is unknown and the
    specimen is a metastasis, or if they have no follow-up after it.

    Args:
        clinical: A clinical export of GDC, old or new (a table, a folder of tables, or the
            portal's archive); or cBioPortal's patient file; or a pandas frame.
        slides: A GDC manifest or sample sheet. Only its diagnostic slides (-DX, .svs) are used.
        endpoints: The first fills the columns ``time`` (months) and ``event``; further ones fill
            ``dss_time``, ``dss_event`` and so on. See :func:`~survival.cohort.read_clinical`.
        dataset: Name of the dataset; by default the project, such as TCGA-SKCM.
        follow_up: GDC's follow-up table, if ``clinical`` does not contain it.
        samples: GDC's sample table (``sample.tsv``), the biospecimen archive, or a folder with
            the table.

    Returns:
        The cohort, not yet split, and the patients and slides that are not in it.

    Raises:
        ValueError: A file is of the wrong kind; no patient has the endpoint; no slide belongs to a
            patient; or only one outcome would remain because patients are left out.

    Warns:
        UserWarning: The outcomes of the patients left out differ from those kept.
    """
    known = read_clinical(clinical, endpoints, follow_up)
    if isinstance(clinical, pd.DataFrame):
        clinical = "the table"
    patients = known.table
    if slides is None:
        rows = pd.DataFrame({"slide": patients.index, "patient": patients.index})
        rows["metastasis"] = patients["metastasis"].to_numpy()
        without_slide = without_patient = ()
    else:
        listed = read_slide_list(slides)
        is_known = listed["patient"].isin(patients.index)
        rows = listed[is_known]
        stranger = ~is_known & ~listed["patient"].isin(known.left_out)
        without_patient = tuple(listed["slide"][stranger])
        without_slide = tuple(p for p in patients.index if p not in set(listed["patient"]))
        if rows.empty:
            raise ValueError(
                f"none of the {len(listed)} slides in {slides} belongs to one of the "
                f"{len(patients)} patients with follow-up in {clinical} (first slide "
                f"{listed['slide'].iloc[0]}, first patient {patients.index[0]}): are both from the "
                "same project?"
            )
    event = patients[f"{endpoints[0]}_event"].astype(float)
    check_left_out(
        event.drop(index=list(without_slide)),
        event[list(without_slide)],
        f"patients without a slide in {slides}",
        refuse=False,  # which slides to list is the user's choice
    )
    by_sample = None if samples is None else months_by_sample(samples)
    found = entries(rows, patients, by_sample)
    late: dict[str, str] = {}
    if found is None:
        what = "slides show" if slides else "patients have, by their ICD-10 code,"
        _warn_of_metastases(rows, what)
    else:
        # Two decimals of a month still distinguish days.
        entry = found[0].round(2)
        times = patients[[f"{endpoint}_time" for endpoint in endpoints]].astype(float).round(2)
        late = never_at_risk(entry, times) | found[1]
        rows = _without(rows, late, event)
    of_row = patients.loc[rows["patient"]].reset_index(drop=True)
    frame = rows[["slide", "patient"]].reset_index(drop=True)
    for i, endpoint in enumerate(endpoints):
        prefix = f"{endpoint.lower()}_" if i else ""
        frame[f"{prefix}time"] = of_row[f"{endpoint}_time"].astype(float).round(2)
        frame[f"{prefix}event"] = of_row[f"{endpoint}_event"].astype(int)
    if found is not None:
        frame["entry"] = entry[frame["patient"]].to_numpy()
    frame["dataset"] = of_row["project"] if dataset is None else dataset
    frame["time_unit"] = "months"
    frame.index += 2
    source = f"the cohort made of {clinical}"
    cohort = Cohort.from_frame(frame, source=source)
    outcomes = {
        "without slide": Outcomes.of(event[list(without_slide)]),
        "left out": Outcomes.of(np.concatenate([known.outcomes, event[list(late)]])),
    }
    return GdcCohort(cohort, without_slide, without_patient, known.left_out | late, outcomes)


def _without(rows: pd.DataFrame, late: dict[str, str], event: pd.Series) -> pd.DataFrame:
    """Return the rows of patients who are ever at risk, and compare the others' outcomes."""
    rows = rows[~rows["patient"].isin(late)]
    if rows.empty:
        named = some(f"{patient} ({why})" for patient, why in late.items())
        raise ValueError(f"no patient is ever at risk: {named}")
    check_left_out(
        event[rows["patient"].unique()],
        event[list(late)],
        "patients with a metastasis taken on an unknown day, or without follow-up after their "
        "specimen was taken",
    )
    return rows


def _warn_of_metastases(rows: pd.DataFrame, what: str) -> None:
    """Warn if patients are in the cohort only because they lived until a metastasis was taken."""
    metastases = rows["slide"][rows["metastasis"]]
    if len(metastases):
        warnings.warn(
            f"{len(metastases)} of {len(rows)} {what} a metastasis ({some(metastases, 2)}), but "
            "time counts from the diagnosis of the primary tumour. Such a patient must have "
            "survived until the metastasis was taken, so the risk looks lower than it is. Give the "
            "time from diagnosis until the specimen was taken in a column entry, or for GDC give "
            "the sample table (--samples, in Python samples)",
            stacklevel=3,
        )
