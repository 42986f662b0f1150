"""cBioPortal's patient file: a status and months for every endpoint, below ``#`` lines.

Its TCGA studies of the PanCancer Atlas define the endpoints as the TCGA Clinical Data Resource
does (Liu et al. 2018): OS death from any cause; DSS death with tumour; PFS progression, new tumour
or death with tumour; DFS a new tumour after the patient was free of disease.
"""

from __future__ import annotations

import pandas as pd

MISSING = {"", "NA", "N/A", "NAN", "[NOT AVAILABLE]", "[NOT APPLICABLE]", "[UNKNOWN]"}
# Days from the diagnosis to that of the tumour that was submitted; Firehose studies of melanoma.
SAMPLED = "SUBMITTED_TUMOR_DX_DAYS_TO"
DAYS_PER_MONTH = 365 / 12  # as cBioPortal counts
# Statuses of studies older than the prefix 0: or 1:.
STATUSES = {"LIVING": 0, "DECEASED": 1, "DISEASEFREE": 0, "RECURRED/PROGRESSED": 1}


def recognises(raw: pd.DataFrame) -> bool:
    """Whether these are the columns of cBioPortal's patient file."""
    return {"PATIENT_ID", "OS_STATUS", "OS_MONTHS"} <= set(raw.columns)


def patients(raw: pd.DataFrame) -> pd.DataFrame:
    """One row per patient: project, metastasis, and of each endpoint the latest follow-up.

    Where the file tells when the tumour was taken, ``sampled`` is that in months.
    """
    by_patient = raw.groupby("PATIENT_ID", sort=False)
    result = pd.DataFrame(index=by_patient.size().index)
    if "CANCER_TYPE_ACRONYM" in raw:
        result["project"] = "TCGA-" + by_patient["CANCER_TYPE_ACRONYM"].first()
    else:
        result["project"] = "all"
    result["metastasis"] = False
    if "ICD_10" in raw:  # C77 to C79: secondary tumours
        result["metastasis"] = by_patient["ICD_10"].agg(lambda c: c.str.match("C7[789]").any())
    if SAMPLED in raw and (days := pd.to_numeric(raw[SAMPLED], errors="coerce")).notna().any():
        result["sampled"] = days.groupby(raw["PATIENT_ID"]).max() / DAYS_PER_MONTH
    for status in [c for c in raw.columns if c.endswith("_STATUS")]:
        endpoint = status.removesuffix("_STATUS")
        if f"{endpoint}_MONTHS" not in raw:
            continue
        rows = pd.DataFrame(
            {
                "patient": raw["PATIENT_ID"],
                "time": pd.to_numeric(raw[f"{endpoint}_MONTHS"], errors="coerce"),
                "event": raw[status].map(_event),
                "status": raw[status],
            }
        )
        rows["known"] = rows[["time", "event"]].notna().all(axis=1)
        last = rows.sort_values(["known", "time", "event"], na_position="first")
        last = last.groupby("patient").last().reindex(result.index)
        for column in ("time", "event", "status"):
            result[f"{endpoint}_{column}"] = last[column]
    return result


def follow_up(patients: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    """Return what is known of an endpoint for every patient.

    Returns:
        ``time`` in months, ``event``, ``missing`` (why the patient cannot be used, or ``""``), and
        ``outcome``: 1 or 0 where the status is known, else NaN.
    """
    unknown = float("nan")
    result = pd.DataFrame(
        {"time": unknown, "event": False, "missing": "", "outcome": unknown}, patients.index
    )
    if f"{endpoint}_time" not in patients:
        result["missing"] = f"no columns {endpoint}_STATUS and {endpoint}_MONTHS"
        return result
    time, event = patients[f"{endpoint}_time"], patients[f"{endpoint}_event"]
    result["time"] = time
    result["event"] = event == 1
    result["outcome"] = event.astype(float)
    result.loc[time.isna(), "missing"] = f"no {endpoint}_MONTHS"
    for patient, status in patients.loc[event.isna(), f"{endpoint}_status"].items():
        blank = str(status).upper() in MISSING
        why = f"no {endpoint}_STATUS" if blank else f"unknown {endpoint}_STATUS {status!r}"
        result.loc[patient, "missing"] = why
    return result


def _event(status: str) -> float:
    """``1:DECEASED`` and the like as 1, ``0:...`` as 0, anything else as NaN."""
    code = status.partition(":")[0].strip().upper()
    return {"0": 0, "1": 1, **STATUSES}.get(code, float("nan"))
