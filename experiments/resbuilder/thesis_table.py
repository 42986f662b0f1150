"""Table 6.1 on one page: each printed cell with ours, or with the reason why ours is missing.

``python -m experiments.tables`` writes it from the stored results of all datasets.
"""

from __future__ import annotations

from pathlib import Path

from experiments.measuring import stored
from experiments.resbuilder.columns import COLUMNS
from experiments.resbuilder.dataset_table import (
    NAMES,
    THESIS_COLUMNS,
    accuracy,
    best_on_test,
    by_column,
    thesis_cell,
)
from experiments.thesis import table as printed_table

PAGE = "table_6_1.md"
# Endings of the results files by preset, the preset closest to the thesis first.
PRESETS = {"thesis": "", "laptop": "_laptop"}
MISSING = "not measured: no images"
# Figs. 6.21 to 6.23: the start, I_M, and the test accuracy in percent.
SMALLNORB = (
    ("6.21", "one convolution of 64 channels", "0.5", "94.23"),
    ("6.22", "one convolution of 16 channels", "0.5", "93.72"),
    ("6.23", "one convolution of 16 channels", "0.1", "93.59"),
)
ABOUT = f"""\
Table 6.1: test accuracy in %, the thesis' and ours. “Ours” is the network chosen on validation
data, mean ± standard deviation over seeds. “Ours, best on test” is the best test accuracy of any
training of the search; this is how the thesis chooses.

- The thesis: ζ = 1e8 FLOPs, 20 epochs per training, all images. It states neither a spread nor the
  number of trainings. `*`: as printed; Animals10 had ζ = 1e9.
- The laptop preset: ζ = 4e6, 2 epochs per training, 5,000 training images. It tests the method;
  **its accuracies cannot be compared with the thesis' cells**. The thesis preset needs a GPU.
- “{MISSING}”: the dataset could not be downloaded to the machine of the other
  measurements. Its script runs on small data in the same format.
- The thesis' text mentions seven datasets, but the table has six. The seventh, SmallNORB, is in
  figs. 6.21 to 6.23.
"""


def publish_from(folder: Path) -> None:
    """Write the page into the folder of the datasets' results."""
    (folder / PAGE).write_text(markdown(folder), encoding="utf-8")


def markdown(folder: Path) -> str:
    """Return the page.

    Args:
        folder: Holds ``DATASET.json`` of the thesis preset or ``DATASET_laptop.json``.
    """
    return "\n".join((ABOUT, _cells(folder), _smallnorb(folder)))


def _cells(folder: Path) -> str:
    lines = [
        "| dataset | network | thesis | ours | ours, best on test | preset, ζ, epochs, seeds |",
        "|---" * 6 + "|",
    ]
    for row in printed_table("6_1"):
        dataset = row["dataset"]
        columns, preset = _measured(folder, dataset)
        for column in THESIS_COLUMNS:
            cell = thesis_cell(dataset, column).replace("*", r"\*")
            ours = _ours(columns.get(column), preset)
            lines.append(f"| {NAMES[dataset]} | {COLUMNS[column].title} | {cell} | {ours} |")
    return "\n".join(lines) + "\n"


def _smallnorb(folder: Path) -> str:
    columns, preset = _measured(folder, "smallnorb")
    lines = [
        "SmallNORB in figs. 6.21 to 6.23: searches from one convolution\n",
        "| figure | start | I_M | thesis | ours, RB-0Net at I_M = 1 | best on test "
        "| preset, ζ, epochs, seeds |",
        "|---" * 7 + "|",
    ]
    ours = _ours(columns.get("rb-0net"), preset)
    lines += [f"| {' | '.join(figure)} | {ours} |" for figure in SMALLNORB]
    return "\n".join(lines) + "\n"


def _measured(folder: Path, dataset: str) -> tuple[dict[str, list[dict]], str]:
    """Return the results of a dataset by column, and their preset; both empty without results."""
    for preset, ending in PRESETS.items():
        path = folder / f"{dataset}{ending}.json"
        if path.is_file():
            return by_column(stored(path)), preset
    return {}, ""


def _ours(group: list[dict] | None, preset: str) -> str:
    """Return the last three cells of a row."""
    if not group:
        return f"{MISSING} | – | –"
    from resbuilder.report.style import si

    settings = group[0]["job"]["settings"]
    how = f"{preset}, {si(settings['flops'])}, {settings['epochs']}, {len(group)}"
    return f"{accuracy(group)} | {best_on_test(group)} | {how}"
