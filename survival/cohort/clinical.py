"""Clinical files of GDC and cBioPortal: one row per patient, one time and event per endpoint."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from survival.cohort import cbioportal, gdc_clinical
from survival.cohort.tables import read_table, some

ENDPOINTS = ("OS", "DSS", "PFS", "DFS")


@dataclass(frozen=True)
class FollowUp:
    """What a clinical file says about its patients.

    Attributes:
        table: One row per patient with known follow-up for all endpoints asked for; index the
            patient, columns ``project``, ``metastasis`` (whether the tumour is coded as a
            metastasis) and, for each endpoint, ``OS_time`` (months, ≥ 0) and ``OS_event``.
        left_out: The other patients, and why each is left out.
    """

    table: pd.DataFrame
    left_out: dict[str, str]


def read_clinical(path: str | Path, endpoints: tuple[str, ...] = ("OS",)) -> FollowUp:
    """Reads an export of the GDC portal (2019 to today) or cBioPortal's patient file.

    Times are in months. GDC gives days, which are divided by 30.4375; cBioPortal's months are
    taken as they are (it divides by 30.417). Of several rows of one patient the latest follow-up
    counts; negative follow-up becomes 0, with a warning.

    Args:
        path: The file, separated by tabs or commas.
        endpoints: Any of ``"OS"`` (death), ``"DSS"`` (death from the disease), ``"PFS"``
            (progression) and ``"DFS"`` (recurrence), as the layout's module defines them.

    Returns:
        Follow-up of the patients who have all of the endpoints.

    Raises:
        ValueError: An unknown endpoint, neither layout, no patient with an endpoint.
    """
    if not endpoints or set(endpoints) - set(ENDPOINTS) or len(set(endpoints)) < len(endpoints):
        raise ValueError(
            f"endpoints must be one or more of {', '.join(ENDPOINTS)}, each once, not "
            f"{', '.join(map(str, endpoints)) or 'none'}"
        )
    raw = read_table(path, comment="#")
    layout = next((k for k in (cbioportal, gdc_clinical) if k.recognises(raw)), None)
    if layout is None:
        raise ValueError(
            f"{path} is neither a clinical export of the GDC portal (clinical.tsv, with the case's "
            "submitter_id and vital_status) nor cBioPortal's patient file (with PATIENT_ID and "
            f"OS_STATUS): its columns are {some(raw.columns, 8) or 'none'}"
        )
    patients = layout.patients(raw)
    result = patients[["project", "metastasis"]].copy()
    left_out: dict[str, str] = {}
    for endpoint in endpoints:
        known = layout.follow_up(patients, endpoint)
        if known["missing"].ne("").all():
            raise ValueError(_nobody(path, endpoint, layout, patients, known["missing"]))
        result[f"{endpoint}_time"] = _clipped(known["time"], endpoint)
        result[f"{endpoint}_event"] = known["event"]
        for patient, why in known["missing"][known["missing"] != ""].items():
            left_out.setdefault(patient, f"{endpoint}: {why}")
    return FollowUp(result.drop(index=list(left_out)), left_out)


def _nobody(path, endpoint, layout, patients, missing: pd.Series) -> str:
    others = [e for e in ENDPOINTS if layout.follow_up(patients, e)["missing"].eq("").any()]
    reasons = some(f"{why} ({n}×)" for why, n in missing.value_counts().items())
    return (
        f"{path} has {endpoint} of no patient: {reasons or 'it has no rows'}; "
        f"endpoints it has: {', '.join(others) or 'none'}"
    )


def _clipped(times: pd.Series, endpoint: str) -> pd.Series:
    negative = times[times < 0]
    if len(negative):
        warnings.warn(
            f"{endpoint}: negative follow-up of {len(negative)} patient(s) set to 0: "
            f"{some(f'{patient} ({t:.2f} months)' for patient, t in negative.items())}",
            stacklevel=3,
        )
    return times.clip(lower=0)
