"""GDC's file lists: which diagnostic slide belongs to which patient."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pandas as pd

from resbuilder.common.words import some
from survival.cohort.tables import read_table

# TCGA-EE-A2GO-06Z-00-DX1.<uuid>.svs: patient, sample type (01 primary, 06 and 07 metastasis), and
# DX for a diagnostic (paraffin) slide. TS, MS and BS are frozen sections.
DIAGNOSTIC = re.compile(
    r"(?P<patient>TCGA-\w\w-\w{4})-(?P<sample>\d\d)\w?-\d\d-DX\w*(\..*)?\.svs$", re.IGNORECASE
)
METASTASES = ("06", "07")
FILE_NAME = ("File Name", "filename", "file_name")


def read_slide_list(path: str | Path) -> pd.DataFrame:
    """Return the diagnostic slides of a GDC manifest or sample sheet.

    Args:
        path: The file, separated by tabs, with a column ``filename`` or ``File Name``.

    Returns:
        One row per slide: ``slide`` (file name), ``patient`` (TCGA-XX-XXXX), ``sample`` (patient
        and sample type, TCGA-XX-XXXX-06) and ``metastasis`` (whether the slide shows one).

    Raises:
        ValueError: The columns are missing, no file is a diagnostic slide, or the Case ID of a
            sample sheet differs from the patient in the file name.
    """
    table = read_table(path, comment="#")
    column = next((c for c in FILE_NAME if c in table.columns), None)
    if column is None:
        raise ValueError(
            f"{path} is neither a GDC manifest (with a column 'filename') nor a GDC sample sheet "
            f"(with a column 'File Name'): its columns are {some(table.columns, 8)}"
        )
    matches = table[column].map(DIAGNOSTIC.match)
    slides = table[matches.notna()].drop_duplicates(column)
    if slides.empty:
        example = f", such as {table[column].iloc[0]}" if len(table) else ""
        raise ValueError(
            f"none of the {len(table)} files in {path} is a TCGA diagnostic slide "
            f"(TCGA-XX-XXXX-...-DX1....svs){example}; on the GDC portal choose data type 'Slide "
            "Image' and experimental strategy 'Diagnostic Slide'"
        )
    if len(slides) < len(table):
        others = table[column][matches.isna()]
        if len(others):
            warnings.warn(
                f"{len(others)} of {len(table)} files in {path} are not diagnostic slides and are "
                f"left out: {some(others, 3)}",
                stacklevel=2,
            )
    matches = matches[slides.index]
    result = pd.DataFrame(
        {
            "slide": slides[column],
            "patient": matches.map(lambda m: m["patient"].upper()),
            "sample": matches.map(lambda m: f"{m['patient'].upper()}-{m['sample']}"),
            "metastasis": matches.map(lambda m: m["sample"] in METASTASES),
        }
    )
    if "Case ID" in slides:
        # One file may be listed for several samples of its case: "TCGA-..., TCGA-...".
        cases = slides["Case ID"].map(lambda c: {case.strip().upper() for case in c.split(",")})
        wrong = [row for row in result.index if cases[row] != {result["patient"][row]}]
        if wrong:
            raise ValueError(
                f"{path}: the Case ID differs from the patient in the file name in row "
                f"{some(wrong)}"
            )
    return result.reset_index(drop=True)
