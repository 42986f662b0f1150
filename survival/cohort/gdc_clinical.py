"""Clinical exports of the GDC portal.

Three layouts are read: that of 2019 (``submitter_id``, one row per treatment, ``--`` for missing
values), that of 2020 (``case_submitter_id``), and that since 2024 (``cases.submitter_id``,
``demographic.vital_status``, ``diagnoses.days_to_last_follow_up``). Days count from the case's
index date, which for TCGA is the first diagnosis.

Since 2025 the last follow-up is in a separate table, ``follow_up.tsv``, with several rows per case
(``follow_ups.days_to_follow_up``). ``diagnoses.days_to_last_follow_up`` is then empty or absent.

Endpoints. OS: death from any cause. DSS: death whose ``cause_of_death`` is cancer; other deaths
are censored. PFS: the first recurrence or progression, or death from any cause. DFS: the first
recurrence, or death from any cause. An export that gives no day of recurrence at all has neither
PFS nor DFS: in it, "no recurrence" and "not recorded" look the same. For the same reason, a living
patient without a day counts only if the export says that there was no progression or recurrence;
if it never says so, a warning gives the number of such patients.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from resbuilder.common.words import count, some
from survival.cohort.gdc_repair import realign

DAYS_PER_MONTH = 365.25 / 12  # 30.4375
PATIENT = ("cases.submitter_id", "case_submitter_id", "submitter_id", "bcr_patient_barcode")
MISSING = {"", "--", "'--", "not reported", "unknown", "not allowed to collect", "nan", "na"}


def recognizes(raw: pd.DataFrame) -> bool:
    """Return whether a table has the columns of a clinical export with vital status."""
    return _patient_column(raw) is not None and bool(_columns(raw, "vital_status"))


def is_follow_up(raw: pd.DataFrame) -> bool:
    """Return whether a table has the columns of a follow-up table."""
    return (
        _patient_column(raw) is not None
        and bool(_columns(raw, "days_to_follow_up"))
        and not recognizes(raw)
    )


def patients(raw: pd.DataFrame, follow_ups: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """Return one row per patient: vital status, death, last follow-up and first recurrence.

    Args:
        raw: The clinical table.
        follow_ups: Follow-up tables of the same cases.

    Raises:
        ValueError: A follow-up table contains none of the patients.
    """
    raw, misplaced = realign(raw)
    misplaced |= _not_days(raw, "days_to_death") | _not_days(raw, "days_to_last_follow_up")
    raw, misplaced = _with_follow_ups(raw, misplaced, follow_ups)
    patient = raw[_patient_column(raw)]
    result = pd.DataFrame(index=pd.unique(patient))
    result["project"] = _text(raw, "project_id").groupby(patient).max().replace("", "all")
    vital = _text(raw, "vital_status").str.lower()
    dead, alive = (vital.eq(s).groupby(patient).any() for s in ("dead", "alive"))
    result["dead"], result["alive"] = dead, alive & ~dead
    result["death"] = _days(raw, "days_to_death").groupby(patient).max()
    last = _days(raw, "days_to_last_follow_up", "days_to_follow_up")
    result["last"] = last.groupby(patient).max()
    recurrence = _days(raw, "days_to_recurrence")
    progression = _days(raw, "days_to_recurrence", "days_to_progression", least=True)
    result["recurrence"] = recurrence.groupby(patient).min()
    result["progression"] = progression.groupby(patient).min()
    relapse = _text(raw, "progression_or_recurrence").str.lower()
    result["relapsed"] = relapse.str.match("yes\\b").groupby(patient).any()
    result["not_relapsed"] = relapse.str.match("no\\b").groupby(patient).any()
    result["cause"] = _text(raw, "cause_of_death").str.lower().groupby(patient).max()
    secondary = _text(raw, "icd_10_code").str.match("C7[789]")
    result["metastasis"] = secondary.groupby(patient).any()
    result["misplaced"] = misplaced.groupby(patient).any()
    # By the masks' own index, which is sorted, unlike that of the result.
    _warn_of_contradictions(dead.index[dead & alive])
    _warn_of_origin(raw, patient)
    return result


def _with_follow_ups(
    raw: pd.DataFrame, misplaced: pd.Series, follow_ups: Sequence[pd.DataFrame]
) -> tuple[pd.DataFrame, pd.Series]:
    """Append the rows of the follow-up tables to the clinical rows of the same patients."""
    column = _patient_column(raw)
    for table in follow_ups:
        own = _patient_column(table)
        shared = table[table[own].isin(raw[column])].rename(columns={own: column})
        if shared.empty:
            raise ValueError(
                f"none of the {table[own].nunique()} patients in the follow-up table (first "
                f"{some(table[own].head(1))}) is in the clinical table (first "
                f"{some(raw[column].head(1))}): are both from the same project?"
            )
        raw = pd.concat([raw, shared], ignore_index=True).fillna("")
        misplaced = pd.concat([misplaced, pd.Series(False, shared.index)], ignore_index=True)
    return raw, misplaced


def follow_up(patients: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    """Return what is known about an endpoint for every patient.

    Returns:
        ``time`` in months; ``event``; ``missing``, the reason why the patient cannot be used, or
        ``""``; and ``outcome``, 1 or 0 if it is known whether the event happened, even without a
        day, else NaN.
    """
    p = patients
    death = p["death"].where(p["dead"])
    days = death.fillna(p["last"])
    event = p["dead"].copy()
    missing = pd.Series("", p.index, dtype=object)
    if endpoint == "DSS":
        event &= p["cause"].str.startswith("cancer")
        missing[p["dead"] & (p["cause"] == "")] = "dead without cause_of_death"
        if (p["cause"] == "").all():
            missing[:] = "the export names no cause_of_death"
    elif endpoint in ("PFS", "DFS"):
        first = p["progression" if endpoint == "PFS" else "recurrence"]
        missing[p["relapsed"] & first.isna()] = "progression or recurrence without a day"
        # The dead have the event in any case.
        unknown = first.isna() & ~p["relapsed"] & ~p["not_relapsed"] & ~p["dead"]
        if p["not_relapsed"].any():
            missing[unknown] = "progression or recurrence not reported"
        elif not first.isna().all():
            _warn_of_silence(endpoint, unknown.sum())
            unknown[:] = False
        if first.isna().all():
            missing[:] = "the export gives no days_to_recurrence"
        event |= first.notna()
        # A relapse after the last visit counts for the living. After death it must be an error.
        days = first.where(first.lt(days) | ~p["dead"]).fillna(days)
    # In these cases the end of follow-up is unknown, but of the living a relapse may be known.
    missing[~p["dead"] & days.isna()] = "no days_to_last_follow_up"
    missing[p["dead"] & p["death"].isna()] = "dead without days_to_death"
    missing[p["alive"] & p["death"].notna()] = "alive, but with days_to_death"
    missing[~p["dead"] & ~p["alive"]] = "vital status unknown"
    missing[p["misplaced"]] = "values are in the wrong columns"
    outcome = event.astype(float)
    if endpoint == "DSS":
        outcome[p["dead"] & (p["cause"] == "")] = np.nan
    elif endpoint in ("PFS", "DFS"):
        outcome[p["relapsed"]] = 1.0
        outcome[unknown] = np.nan
    contradicts = p["alive"] & p["death"].notna()
    outcome[(~p["dead"] & ~p["alive"]) | contradicts | p["misplaced"]] = np.nan
    time = days / DAYS_PER_MONTH
    return pd.DataFrame({"time": time, "event": event, "missing": missing, "outcome": outcome})


def _patient_column(raw: pd.DataFrame) -> str | None:
    return next((name for name in PATIENT if name in raw.columns), None)


def _columns(raw: pd.DataFrame, name: str) -> list[str]:
    """Return the columns of that name, with or without an entity prefix such as ``cases.``."""
    return [c for c in raw.columns if c.rpartition(".")[2] == name]


def _text(raw: pd.DataFrame, name: str) -> pd.Series:
    """Return each row's first value in columns of that name, ``""`` if all are missing."""
    result = pd.Series("", raw.index, dtype=object)
    for column in _columns(raw, name):
        value = raw[column].where(~raw[column].str.lower().isin(MISSING), "")
        result = result.where(result != "", value)
    return result


def _days(raw: pd.DataFrame, *names: str, least: bool = False) -> pd.Series:
    """Return each row's largest (or smallest) number in columns of these names, or NaN."""
    columns = [c for name in names for c in _columns(raw, name)]
    if not columns:
        return pd.Series(np.nan, raw.index)
    numbers = pd.DataFrame({c: pd.to_numeric(raw[c], errors="coerce") for c in columns})
    return numbers.min(axis=1) if least else numbers.max(axis=1)


def _not_days(raw: pd.DataFrame, name: str) -> pd.Series:
    """Return whether a cell holds a value that is not a number of days."""
    return _text(raw, name).ne("") & _days(raw, name).isna()


def _warn_of_contradictions(patients) -> None:
    if len(patients):
        warnings.warn(
            f"{count(len(patients), 'patient')} dead in one row and alive in another, taken as "
            f"dead: {some(patients)}",
            stacklevel=4,
        )


def _warn_of_silence(endpoint: str, patients: int) -> None:
    if patients:
        warnings.warn(
            f"{endpoint}: the export never says that a patient had no progression or recurrence; "
            f"{count(patients, 'living patient')} without a day of one taken as without one",
            stacklevel=4,
        )


def _warn_of_origin(raw: pd.DataFrame, patient: pd.Series) -> None:
    """Warn of patients whose days do not count from the diagnosis of the primary tumour."""
    kind = _text(raw, "classification_of_tumor").str.lower()
    is_primary = _text(raw, "diagnosis_is_primary_disease").str.lower()
    primary = (kind.eq("primary") | is_primary.isin(("true", "yes"))).groupby(patient).any()
    metastatic = kind.str.startswith("metasta") | is_primary.isin(("false", "no"))
    only_metastasis = metastatic.groupby(patient).any() & ~primary
    index_date = _text(raw, "index_date").str.lower()
    other_date = (~index_date.isin(("", "diagnosis"))).groupby(patient).any()
    diagnosis = _days(raw, "days_to_diagnosis")[~metastatic & kind.isin(("", "primary"))]
    moved = diagnosis.abs().groupby(patient).min().reindex(primary.index) > 0
    for patients, what in (
        (only_metastasis, "without a diagnosis of a primary tumour, only of a metastasis"),
        (other_date, "whose days count from an index date other than the diagnosis"),
        (moved, "with a first diagnosis that is not day 0"),
    ):
        if patients.any():
            named = some(patients.index[patients])
            warnings.warn(
                f"{count(patients.sum(), 'patient')} {what}: the time does not begin at the "
                "diagnosis of the primary tumour and cannot be compared with that of the others: "
                f"{named}",
                stacklevel=4,
            )
