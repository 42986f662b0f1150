"""Clinical files of GDC and cBioPortal, read as one time and event per patient and endpoint."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from resbuilder.common.words import count, some
from survival.cohort import cbioportal, gdc_clinical
from survival.cohort.endpoints import ENDPOINTS
from survival.cohort.exports import read_tables
from survival.cohort.left_out import check_left_out


@dataclass(frozen=True)
class FollowUp:
    """The patients of a clinical file and their follow-up.

    Attributes:
        table: One row per patient whose follow-up is known for all requested endpoints. The index
            is the patient. Columns: ``project``; ``metastasis``, whether the tumour is coded as a
            metastasis; ``sampled``, months until the tumour was removed, only if the file states
            it; and for each endpoint a time in months, ≥ 0, and an event, such as ``OS_time`` and
            ``OS_event``.
        left_out: The other patients, each with the reason.
        outcomes: Whether the patients left out had the first endpoint's event, shape (patients,):
            1 or 0 if that is known, even without a time, else NaN.
    """

    table: pd.DataFrame
    left_out: dict[str, str]
    outcomes: np.ndarray


def read_clinical(
    path: str | Path | pd.DataFrame,
    endpoints: tuple[str, ...] = ("OS",),
    follow_up: str | Path | pd.DataFrame | None = None,
) -> FollowUp:
    """Read an export of the GDC portal (2019 to today) or cBioPortal's patient file.

    Times are in months. GDC gives days, which are divided by 30.4375. cBioPortal's months are used
    unchanged (it divides days by 30.417). If a patient has several rows, the latest follow-up
    counts. Negative follow-up becomes 0, with a warning.

    Args:
        path: The clinical table, separated by tabs or commas; or GDC's archive or a folder with
            its tables, from which the clinical and the follow-up table are read; or a pandas
            frame.
        endpoints: Any of ``"OS"`` (death), ``"DSS"`` (death from the disease), ``"PFS"``
            (progression) and ``"DFS"`` (recurrence). :mod:`survival.cohort.gdc_clinical` and
            :mod:`survival.cohort.cbioportal` give their exact definitions.
        follow_up: GDC's follow-up table, if ``path`` does not contain it.

    Returns:
        Follow-up of the patients who have all of the endpoints.

    Raises:
        ValueError: An endpoint is unknown; the file has neither layout; no patient has an
            endpoint; or all patients with the opposite outcome would be left out (see
            :func:`~survival.cohort.left_out.check_left_out`).
    """
    if not endpoints or set(endpoints) - set(ENDPOINTS) or len(set(endpoints)) < len(endpoints):
        raise ValueError(
            f"endpoints must be one or more of {', '.join(ENDPOINTS)}, each once, not "
            f"{', '.join(map(str, endpoints)) or 'none'}"
        )
    layout, patients = _patients(path, follow_up)
    if isinstance(path, pd.DataFrame):
        path = "the table"
    kept = [c for c in ("project", "metastasis", "sampled") if c in patients]
    result = patients[kept].copy()
    left_out: dict[str, str] = {}
    known_outcomes = {}
    for endpoint in endpoints:
        known = layout.follow_up(patients, endpoint)
        known_outcomes[endpoint] = known["outcome"]
        if known["missing"].ne("").all():
            raise ValueError(_no_patient(path, endpoint, layout, patients, known["missing"]))
        result[f"{endpoint}_time"] = _clipped(known["time"], endpoint)
        result[f"{endpoint}_event"] = known["event"]
        for patient, why in known["missing"][known["missing"] != ""].items():
            left_out.setdefault(patient, f"{endpoint}: {why}")
    table = result.drop(index=list(left_out))
    outcomes = known_outcomes[endpoints[0]][list(left_out)].to_numpy()
    reasons = pd.Series(left_out).value_counts() if left_out else pd.Series(dtype=int)
    check_left_out(
        table[f"{endpoints[0]}_event"].to_numpy(float),
        outcomes,
        f"patients of {path} without follow-up "
        f"({some(f'{why}: {n}×' for why, n in reasons.items())})",
        "since 2025 GDC keeps the last follow-up in a separate table: give that as well, or the "
        "portal's archive"
        if layout is gdc_clinical and any("last_follow_up" in why for why in reasons.index)
        else None,
    )
    return FollowUp(table, left_out, outcomes)


def _patients(
    path: str | Path | pd.DataFrame, follow_up: str | Path | pd.DataFrame | None
) -> tuple[ModuleType, pd.DataFrame]:
    """Return the layout module of an export, and its patients."""
    tables = read_tables(path, comment="#")
    if isinstance(path, pd.DataFrame):
        path = "the table"
    separate = {} if follow_up is None else read_tables(follow_up, comment="#")
    for name, table in separate.items():
        if not gdc_clinical.is_follow_up(table):
            raise ValueError(
                f"{name} is not GDC's follow-up table (with the case's submitter_id and "
                f"days_to_follow_up): its columns are {some(table.columns, 8) or 'none'}"
            )
    follow_ups = [t for t in (tables | separate).values() if gdc_clinical.is_follow_up(t)]
    for layout in (cbioportal, gdc_clinical):
        found = {name: table for name, table in tables.items() if layout.recognizes(table)}
        if len(found) > 1:
            raise ValueError(
                f"{path} contains several clinical tables: {some(found)}; give only one of them"
            )
        if found:
            (raw,) = found.values()
            if layout is gdc_clinical:
                return layout, gdc_clinical.patients(raw, follow_ups)
            if separate:
                raise ValueError(
                    f"{path} is cBioPortal's patient file, which cannot be combined with GDC's "
                    "follow-up table"
                )
            return layout, cbioportal.patients(raw)
    columns = {column: None for table in tables.values() for column in table.columns}
    raise ValueError(
        f"{path} is neither a clinical export of the GDC portal (clinical.tsv, with the case's "
        "submitter_id and vital_status) nor cBioPortal's patient file (with PATIENT_ID and "
        f"OS_STATUS): its columns are {some(columns, 8) or 'none'}"
    )


def _no_patient(path, endpoint, layout, patients, missing: pd.Series) -> str:
    others = [e for e in ENDPOINTS if layout.follow_up(patients, e)["missing"].eq("").any()]
    reasons = some(f"{why} ({n}×)" for why, n in missing.value_counts().items())
    return (
        f"{path} gives {endpoint} for no patient: {reasons or 'it has no rows'}; "
        f"endpoints that it gives: {', '.join(others) or 'none'}"
    )


def _clipped(times: pd.Series, endpoint: str) -> pd.Series:
    negative = times[times < 0]
    if len(negative):
        warnings.warn(
            f"{endpoint}: negative follow-up of {count(len(negative), 'patient')} set to 0: "
            f"{some(f'{patient} ({t:.2f} months)' for patient, t in negative.items())}",
            stacklevel=3,
        )
    return times.clip(lower=0)
