"""cBioPortal's patient file: for every endpoint a status and a time in months.

The file begins with comment lines (``#``). The PanCancer Atlas studies of TCGA define the
endpoints as the TCGA Clinical Data Resource does (Liu et al. 2018). OS: death from any cause.
DSS: death with tumour. PFS: progression, new tumour or death with tumour. DFS: a new tumour after
the patient was free of disease.
"""

from __future__ import annotations

import pandas as pd

MISSING = {"", "NA", "N/A", "NAN", "[NOT AVAILABLE]", "[NOT APPLICABLE]", "[UNKNOWN]"}
# Days from the first diagnosis to that of the submitted tumour; in Firehose studies of melanoma.
SAMPLED = "SUBMITTED_TUMOR_DX_DAYS_TO"
DAYS_PER_MONTH = 365 / 12  # cBioPortal's convention
# Statuses of older studies, which lack the prefix 0: or 1:.
STATUSES = {"LIVING": 0, "DECEASED": 1, "DISEASEFREE": 0, "RECURRED/PROGRESSED": 1}


def recognizes(raw: pd.DataFrame) -> bool:
    """Return whether a table has the columns of cBioPortal's patient file."""
    return {"PATIENT_ID", "OS_STATUS", "OS_MONTHS"} <= set(raw.columns)


def patients(raw: pd.DataFrame) -> pd.DataFrame:
    """Return one row per patient: project, metastasis and the latest follow-up per endpoint.

    If the file says when the tumour was removed, the column ``sampled`` holds it in months.
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
        # The last row as it is: GroupBy.last would take each column's last value that is known.
        last = last.groupby("patient").tail(1).set_index("patient").reindex(result.index)
        for column in ("time", "event", "status"):
            result[f"{endpoint}_{column}"] = last[column]
    return result


def follow_up(patients: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    """Return what is known about an endpoint for every patient.

    Returns:
        ``time`` in months; ``event``; ``missing``, the reason why the patient cannot be used, or
        ``""``; and ``outcome``, 1 or 0 if the status is known, else NaN.
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
    """Return 1 for ``1:DECEASED`` and similar, 0 for ``0:...``, NaN for anything else."""
    code = status.partition(":")[0].strip().upper()
    return {"0": 0, "1": 1, **STATUSES}.get(code, float("nan"))
