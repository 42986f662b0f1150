"""From public clinical files and lists of slides to a cohort."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from survival.cohort.clinical import read_clinical
from survival.cohort.manifest import Cohort
from survival.cohort.slide_list import read_slide_list
from survival.cohort.tables import some


@dataclass(frozen=True)
class GdcCohort:
    """A cohort from public files, and who is not in it.

    Attributes:
        cohort: One row per slide; without a list of slides one row per patient, the patient
            standing for the slide.
        without_slide: Patients with follow-up but no slide.
        without_patient: Slides of patients that the clinical file does not have.
        left_out: Patients without usable follow-up, and why.
    """

    cohort: Cohort
    without_slide: tuple[str, ...]
    without_patient: tuple[str, ...]
    left_out: dict[str, str]


def cohort_from_gdc(
    clinical: str | Path,
    slides: str | Path | None = None,
    endpoints: tuple[str, ...] = ("OS",),
    dataset: str | None = None,
    client_layout: bool = False,
) -> GdcCohort:
    """Makes a cohort of a clinical file and a list of slides.

    Args:
        clinical: A clinical export of GDC, old or new, or cBioPortal's patient file.
        slides: A GDC manifest or sample sheet; diagnostic slides (-DX, .svs) are chosen.
        endpoints: The first becomes the columns ``time`` (months) and ``event``, every further
            one ``dss_time``, ``dss_event`` and so on; see
            :func:`~survival.cohort.read_clinical`.
        dataset: Name of the dataset; by default the project (TCGA-SKCM).
        client_layout: Whether slides are named as GDC's client lays them down, ``id/file name``.

    Returns:
        The cohort, not split yet, and who is not in it.

    Raises:
        ValueError: Files of another kind, no patient with the endpoint, no slide of a patient.
    """
    known = read_clinical(clinical, endpoints)
    patients = known.table
    if slides is None:
        rows = pd.DataFrame({"slide": patients.index, "patient": patients.index})
        rows["metastasis"] = patients["metastasis"].to_numpy()
        without_slide = without_patient = ()
    else:
        listed = read_slide_list(slides, client_layout)
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
    _warn_of_metastases(rows, "slides show" if slides else "patients have, by their ICD-10 code,")
    of_row = patients.loc[rows["patient"]].reset_index(drop=True)
    frame = rows[["slide", "patient"]].reset_index(drop=True)
    for i, endpoint in enumerate(endpoints):
        prefix = f"{endpoint.lower()}_" if i else ""
        # Two decimals of a month still tell days apart.
        frame[f"{prefix}time"] = of_row[f"{endpoint}_time"].astype(float).round(2)
        frame[f"{prefix}event"] = of_row[f"{endpoint}_event"].astype(int)
    frame["dataset"] = of_row["project"] if dataset is None else dataset
    frame.index += 2
    source = f"the cohort made of {clinical}"
    cohort = Cohort.from_frame(frame, source=source)
    return GdcCohort(cohort, without_slide, without_patient, known.left_out)


def _warn_of_metastases(rows: pd.DataFrame, what: str) -> None:
    metastases = rows["slide"][rows["metastasis"]]
    if len(metastases):
        warnings.warn(
            f"{len(metastases)} of {len(rows)} {what} a metastasis ({some(metastases, 2)}), "
            "but time counts from the diagnosis of the primary tumour: until the metastasis was "
            "taken the patient could not die, which makes these patients look safer than they are",
            stacklevel=3,
        )
