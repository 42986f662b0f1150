"""Tables 7.1 and 7.2 on a page each: every printed cell with ours, or why ours is missing.

``python -m experiments.tables`` writes them from the stored results of chapter 7.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.measuring import stored
from experiments.summary import spread
from experiments.survival import gap_tables, noise_tables
from experiments.survival.noise import ROWS
from experiments.survival.thesis_cohort import COLUMNS
from experiments.thesis import table

# Names of the results files, without the ending of a preset.
AT_THESIS_SIZES, LARGER = "thesis_sizes", "domain_gap"
TITLES = {
    "scans": "slides",
    "patients": "patients",
    "alive_or_censored": "alive or censored",
    "dead_or_event": "died",
    "mss_months_mean": "months of follow-up, mean",
    "mss_months_median": "months of follow-up, median",
    "rfs_recurrence": "with recurrence",
    "rfs_no_recurrence": "without recurrence",
    "rfs_months_mean": "months until recurrence, mean",
    "rfs_months_median": "months until recurrence, median",
}


def publish_from(folder: Path) -> None:
    """Write ``table_7_1.md`` and ``table_7_2.md`` into the folder of the chapter's results."""
    sizes = _results(folder, AT_THESIS_SIZES)
    pages = {
        "table_7_1.md": table_7_1(sizes),
        "table_7_2.md": table_7_2(sizes, _results(folder, LARGER)),
    }
    for name, page in pages.items():
        (folder / name).write_text(page, encoding="utf-8")


def table_7_1(results: list[dict]) -> str:
    """Return the page of Table 7.1.

    Args:
        results: Results of :mod:`.thesis_sizes`; may be empty.
    """
    cohorts = {}
    for result in results:
        if result["job"]["kind"] == "sizes":
            cohorts.setdefault(result["job"]["cohort"], []).append(result["parts"])
    (ours,) = cohorts.get("Table 7.1", [[]])
    larger = cohorts.get("larger")
    return "\n".join((_thesis_sizes(ours), *([_larger_sizes(larger)] if larger else [])))


def _thesis_sizes(ours: list[dict]) -> str:
    parts = {(part["dataset"], part["split"]): part for part in ours}
    columns = [(d, split, name) for d, splits in COLUMNS.items() for split, name in splits.items()]
    headings = [f"{dataset}, {split}" for dataset, split, _ in columns]
    lines = [
        "Table 7.1, melanoma-specific and recurrence-free survival: the thesis / our cohort of the "
        "same sizes\n",
        f"| | {' | '.join(headings)} |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for row in table("7_1"):
        cells = [
            f"{row[name]} / {_size(row['characteristic'], parts.get((dataset, split)))}"
            for dataset, split, name in columns
        ]
        lines.append(f"| {TITLES[row['characteristic']]} | {' | '.join(cells)} |")
    return "\n".join(lines) + (
        "\n\n–: our cohorts have one endpoint, death, and no counterpart of the thesis' "
        "recurrences.\nThe thesis' text on Table 7.1 counts images, not scans: 591, 74 and 102 of "
        "A for training,\nvalidation and test.\n"
    )


def _size(characteristic: str, part: dict | None) -> str:
    """Return one of our cells of Table 7.1."""
    if part is None:
        return "not measured"
    return {
        "scans": str(part["slides"]),
        "patients": str(part["patients"]),
        "alive_or_censored": str(part["patients"] - part["events"]),
        "dead_or_event": str(part["events"]),
        "mss_months_mean": f"{part['mean_months']:.1f}",
        "mss_months_median": f"{part['median_months']:.1f}",
    }.get(characteristic, "–")


def _larger_sizes(cohorts: list[list[dict]]) -> str:
    lines = [
        f"The larger cohorts, with a network for each scanner (mean over {len(cohorts)} cohorts)\n",
        "| | slides | patients | patients with the event | months of follow-up, mean | months of "
        "follow-up, median |",
        "|---" * 6 + "|",
    ]
    for same in zip(*cohorts, strict=True):
        numbers = [
            np.mean([part[key] for part in same])
            for key in ("slides", "patients", "events", "mean_months", "median_months")
        ]
        cells = " | ".join(f"{number:.0f}" for number in numbers)
        lines.append(f"| {same[0]['dataset']}, {same[0]['split']} | {cells} |")
    return "\n".join(lines) + "\n"


def table_7_2(at_sizes: list[dict], larger: list[dict]) -> str:
    """Return the page of Table 7.2.

    Args:
        at_sizes: Results of :mod:`.thesis_sizes`; may be empty.
        larger: Results of :mod:`.domain_gap`; may be empty.
    """
    found = noise_tables.measured(at_sizes, repeats=0) if at_sizes else None
    groups = gap_tables.penalties(larger)
    chosen = gap_tables.chosen_penalty(larger) if larger else 0.0
    lines = [
        "Table 7.2, test slides, mean ± standard deviation over seeds. At the thesis' sizes, one "
        "network is trained on A. The larger cohorts have a network for each scanner\n",
        "| slides | metric | penalty | thesis | ours, at the thesis' sizes "
        "| ours, larger cohorts |",
        "|---" * 6 + "|",
    ]
    for penalty in (False, True):
        for metric, title in gap_tables.METRICS.items():
            for row in ROWS:
                small = big = "not measured"
                if found:
                    small = spread(found.values[row, penalty][metric][:, 0], 3)
                if larger:
                    group = groups[chosen if penalty else 0.0]
                    big = spread(gap_tables.values(group, row, metric), 3)
                cell = noise_tables.thesis_cell(row, metric, penalty)
                lines.append(
                    f"| {noise_tables.LABELS[row]} | {title} | {'with' if penalty else 'without'} "
                    f"| {cell} | {small} | {big} |"
                )
    return "\n".join(lines) + (
        "\n\nThe thesis does not state λ. Ours is "
        f"{found.penalty if found else chosen:g}, the best on the validation slides of the larger "
        "cohorts.\nThe “AUROC of 79.5 %” in the thesis' conclusion is the C-index of A with "
        "the penalty, 0.795; the AUROC is 0.789.\n"
    )


def _results(folder: Path, name: str) -> list[dict]:
    """Return the stored results of a script at either preset; empty if there are none."""
    for path in (folder / f"{name}.json", folder / f"{name}_laptop.json"):
        if path.is_file():
            return stored(path)
    return []
