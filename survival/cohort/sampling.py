"""When the specimens were taken, and so from when on their patients are at risk.

GDC: ``days_to_sample_procurement`` of the table of samples (``sample.tsv`` of the biospecimen
archive), days from the index date to the procedure that gave the sample. Its ``days_to_collection``
is the day on which the biobank received the sample, often years later: it is not used. cBioPortal:
``SUBMITTED_TUMOR_DX_DAYS_TO`` of the patient file, which the Firehose studies of melanoma have.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from resbuilder.common.words import some
from survival.cohort.exports import read_tables
from survival.cohort.gdc_clinical import DAYS_PER_MONTH

SAMPLE = ("samples.submitter_id", "sample_submitter_id")
DAYS = ("samples.days_to_sample_procurement", "days_to_sample_procurement")
# TCGA-EE-A2GO-06A: patient and kind of sample; the vial behind them (A frozen, Z embedded) is of
# the same specimen. From 10 on the kinds are normal tissue.
_BARCODE = r"(TCGA-\w\w-\w{4}-0\d)"


def months_by_sample(samples: str | Path | pd.DataFrame) -> pd.Series:
    """Return months from the index date until each tumour sample was taken.

    Args:
        samples: GDC's table of samples, a folder or an archive with it, or a table as a frame.

    Returns:
        Index ``TCGA-XX-XXXX-06`` (patient and kind of sample); of several vials the latest.

    Raises:
        ValueError: There is no such table, or it tells of no tumour sample.
    """
    tables = read_tables(samples)
    found = [(t, *columns) for t in tables.values() if all(columns := _columns(t))]
    name = "the table" if isinstance(samples, pd.DataFrame) else samples
    if not found:
        there = {column: None for table in tables.values() for column in table.columns}
        raise ValueError(
            f"{name} is not GDC's table of samples (sample.tsv of the biospecimen archive, with "
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
            f"{name} gives days_to_sample_procurement of no tumour sample of TCGA: write the times "
            "until the samples were taken into a column entry"
        )
    return known.groupby(level=0).max() / DAYS_PER_MONTH


def entries(
    rows: pd.DataFrame, patients: pd.DataFrame, by_sample: pd.Series | None
) -> tuple[pd.Series, dict[str, str]] | None:
    """Return from when on patients are at risk: since the last of their specimens was taken.

    Args:
        rows: One row per slide: ``patient``, ``metastasis`` and, where it is known, ``sample``.
        patients: Index the patient; ``sampled`` (months) where the clinical file knows it.
        by_sample: From :func:`months_by_sample`.

    Returns:
        Months of each patient of ``rows``, 0 for a primary tumour of which nothing is said; and
        patients with a metastasis of which it is not known when it was taken, with the reason. None
        where nothing is known of anybody.
    """
    if by_sample is not None:
        if "sample" in rows:
            months = rows["sample"].map(by_sample)
        else:  # Which of the patient's samples it will be is open: at risk since the last.
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
    """Return who has left before the specimen was taken, with the reason.

    Args:
        entry: Months by patient.
        times: Months of follow-up, columns ``OS_time`` and so on, by patient.
    """
    first = times.loc[entry.index].min(axis=1)
    late = entry.index[(entry > 0) & (entry.to_numpy() >= first.to_numpy())]
    return dict.fromkeys(late, "follow-up ends before the specimen was taken")


def _columns(table: pd.DataFrame) -> tuple[str | None, str | None]:
    sample, days = (next((c for c in names if c in table), None) for names in (SAMPLE, DAYS))
    return sample, days
