"""Delayed entry: patients are at risk only from the day on which their specimen was taken.

GDC gives that day in ``days_to_sample_procurement`` of its sample table (``sample.tsv`` in the
biospecimen archive), in days from the index date. Its ``days_to_collection`` is not used: that is
the day on which the biobank received the sample, often years later. cBioPortal gives the day in
``SUBMITTED_TUMOR_DX_DAYS_TO`` of the patient file, in the Firehose studies of melanoma.

The entry of a patient is the latest day on which one of the patient's specimens was taken:
entry = max over specimens of max(0, day). Before it the patient could not have died, or there
would be no slide.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from resbuilder.common.words import some
from survival.cohort.exports import read_tables
from survival.cohort.gdc_clinical import DAYS_PER_MONTH

SAMPLE = ("samples.submitter_id", "sample_submitter_id")
DAYS = ("samples.days_to_sample_procurement", "days_to_sample_procurement")
# TCGA-EE-A2GO-06A: patient, sample type and vial. Vials (A frozen, Z embedded) come from the same
# specimen. Sample types from 10 on are normal tissue.
_BARCODE = r"(TCGA-\w\w-\w{4}-0\d)"


def months_by_sample(samples: str | Path | pd.DataFrame) -> pd.Series:
    """Return the months from the index date until each tumour sample was taken.

    Args:
        samples: GDC's sample table, a folder or an archive with it, or a pandas frame.

    Returns:
        Months with the index ``TCGA-XX-XXXX-06`` (patient and sample type); the latest if there
        are several vials.

    Raises:
        ValueError: There is no such table, or it gives the day of no tumour sample.
    """
    tables = read_tables(samples)
    found = [(t, *columns) for t in tables.values() if all(columns := _columns(t))]
    name = "the table" if isinstance(samples, pd.DataFrame) else samples
    if not found:
        there = {column: None for table in tables.values() for column in table.columns}
        raise ValueError(
            f"{name} is not GDC's sample table (sample.tsv of the biospecimen archive, with "
            f"{SAMPLE[0]} and {DAYS[0]}): its columns are {some(there, 8) or 'none'}"
        )
    parts = [
        pd.Series(
            pd.to_numeric(table[days], errors="coerce").to_numpy(),
            index=table[sample].str.upper().str.extract(_BARCODE, expand=False),
        )
        for table, sample, days in found
    ]
    known = pd.concat(parts).dropna()
    known = known[known.index.notna()]
    if known.empty:
        raise ValueError(
            f"{name} gives days_to_sample_procurement for no tumour sample of TCGA: put the time "
            "until each specimen was taken into a column entry of the manifest instead"
        )
    return known.groupby(level=0).max() / DAYS_PER_MONTH


def entries(
    rows: pd.DataFrame, patients: pd.DataFrame, by_sample: pd.Series | None
) -> tuple[pd.Series, dict[str, str]] | None:
    """Return the time from which each patient is at risk: when the last specimen was taken.

    Args:
        rows: One row per slide: ``patient``, ``metastasis`` and, if known, ``sample``.
        patients: Index the patient; column ``sampled`` (months) if the clinical file states it.
        by_sample: From :func:`months_by_sample`, or None.

    Returns:
        The entry of each patient in ``rows`` in months, 0 for a primary tumour without a day; and
        the patients with a metastasis taken on an unknown day, with the reason. None if no day is
        known for any patient.
    """
    if by_sample is not None:
        if "sample" in rows:
            months = rows["sample"].map(by_sample)
        else:  # The slide may be of any of the patient's samples: at risk from the last one.
            patient = by_sample.index.str.slice(stop=-3)
            months = rows["patient"].map(by_sample.groupby(patient).max())
    elif "sampled" in patients:
        months = rows["patient"].map(patients["sampled"])
    else:
        return None
    unknown = rows["patient"][months.isna() & rows["metastasis"]]
    why = "it is not known when the metastasis was taken"
    months = months.fillna(0).clip(lower=0).groupby(rows["patient"].to_numpy()).max()
    return months.astype(float), dict.fromkeys(unknown, why)


def never_at_risk(entry: pd.Series, times: pd.DataFrame) -> dict[str, str]:
    """Return the patients whose follow-up ends before the specimen was taken, with the reason.

    Args:
        entry: Entry in months, by patient.
        times: Follow-up in months, by patient; columns ``OS_time`` and so on.
    """
    first = times.loc[entry.index].min(axis=1)
    late = entry.index[(entry > 0) & (entry.to_numpy() >= first.to_numpy())]
    return dict.fromkeys(late, "follow-up ends before the specimen was taken")


def _columns(table: pd.DataFrame) -> tuple[str | None, str | None]:
    sample, days = (next((c for c in names if c in table), None) for names in (SAMPLE, DAYS))
    return sample, days
