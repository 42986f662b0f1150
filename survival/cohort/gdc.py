"""From public clinical files and lists of slides to a cohort."""

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
    """A cohort from public files, and who is not in it.

    Attributes:
        cohort: One row per slide; without a list of slides one row per patient, the patient
            standing for the slide.
        without_slide: Patients with follow-up but no slide.
        without_patient: Slides of patients that the clinical file does not have.
        left_out: Patients without usable follow-up or never at risk, and why.
        outcomes: Of the patients without a slide and without follow-up, as far as it is known,
            whether they had the event.
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
    """Make a cohort of a clinical file and a list of slides.

    Where it is known when the specimens were taken, from ``samples`` or from cBioPortal's file,
    patients are at risk from then on (column ``entry``); see :mod:`survival.cohort.sampling`. Left
    out is then who has a metastasis but no such day, or no follow-up after it.

    Args:
        clinical: A clinical export of GDC, old or new: a table, a folder of tables, or the
            portal's archive; or cBioPortal's patient file; or a table as a frame.
        slides: A GDC manifest or sample sheet; diagnostic slides (-DX, .svs) are chosen.
        endpoints: The first becomes the columns ``time`` (months) and ``event``, every further
            one ``dss_time``, ``dss_event`` and so on; see
            :func:`~survival.cohort.read_clinical`.
        dataset: Name of the dataset; by default the project (TCGA-SKCM).
        follow_up: GDC's table of follow-ups, where ``clinical`` lacks it.
        samples: GDC's table of samples (``sample.tsv``), or the biospecimen archive or a folder
            with it.

    Returns:
        The cohort, not split yet, and who is not in it.

    Raises:
        ValueError: Files of another kind, no patient with the endpoint, no slide of a patient, or
            a cohort of which all have the event only because others are left out.

    Warns:
        UserWarning: Those left out differ in outcome from those kept.
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
                f"{listed['slide'].iloc[0]}, first patient {patients.index[0]}): are both of the "
                "same project?"
            )
    event = patients[f"{endpoints[0]}_event"].astype(float)
    check_left_out(
        event.drop(index=list(without_slide)),
        event[list(without_slide)],
        f"patients without a slide in {slides}",
        refuse=False,  # a list of a few slides is the user's choice
    )
    by_sample = None if samples is None else months_by_sample(samples)
    found = entries(rows, patients, by_sample)
    late: dict[str, str] = {}
    if found is None:
        what = "slides show" if slides else "patients have, by their ICD-10 code,"
        _warn_of_metastases(rows, what)
    else:
        # Two decimals of a month still tell days apart.
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
    """The rows of patients who are at risk at some time; whether the others differ is checked."""
    rows = rows[~rows["patient"].isin(late)]
    if rows.empty:
        named = some(f"{patient} ({why})" for patient, why in late.items())
        raise ValueError(f"no patient is ever at risk: {named}")
    check_left_out(
        event[rows["patient"].unique()],
        event[list(late)],
        "patients with a metastasis of unknown day, or without follow-up after their specimen was "
        "taken",
    )
    return rows


def _warn_of_metastases(rows: pd.DataFrame, what: str) -> None:
    """Warn of slides whose patients could not die before the metastasis was taken."""
    metastases = rows["slide"][rows["metastasis"]]
    if len(metastases):
        warnings.warn(
            f"{len(metastases)} of {len(rows)} {what} a metastasis ({some(metastases, 2)}), "
            "but time counts from the diagnosis of the primary tumour: until the metastasis was "
            "taken the patient could not die, which makes these patients look safer than they are; "
            "say when it was taken: in a column entry, the time from diagnosis, or for GDC with "
            "the table of samples (--samples)",
            stacklevel=3,
        )
