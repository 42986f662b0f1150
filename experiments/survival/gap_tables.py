"""Tables of the two-scanner experiment, from its stored results."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from experiments.summary import spread

ROWS = {
    "A": "A",
    "B": "B",
    "merged": "merged, not standardized",
    "standardized": "merged, standardized per scanner",
    "within": "pairs within a scanner",
}
METRICS = {"c_index": "C-index", "auroc": "AUROC"}


def by_method(results: list[dict]) -> dict[str, list[dict]]:
    """Return the results of all seeds by method, in the order of the jobs."""
    groups = {}
    for result in results:
        groups.setdefault(result["job"]["method"], []).append(result)
    return groups


def penalties(results: list[dict], of: str = "each") -> dict[float, list[dict]]:
    """Return the results of one group of methods by λ; each network is for one scanner."""
    groups = {}
    for name, group in by_method(results).items():
        if name.startswith(f"{of}, λ"):
            groups[group[0]["job"]["settings"]["mean_penalty"]] = group
    return dict(sorted(groups.items()))


def chosen_penalty(results: list[dict]) -> float:
    """Return the λ > 0 with the best merged C-index on validation slides, averaged over seeds."""
    groups = {value: group for value, group in penalties(results).items() if value}
    return max(groups, key=lambda value: values(groups[value], "merged", split="validation").mean())


def values(group: list[dict], row: str, metric: str = "c_index", split: str = "test") -> np.ndarray:
    """Return one score for each seed."""
    return np.array([result[split][row][metric] for result in group])


def offset(result: dict) -> float:
    """Return the distance of the scanners' mean log-hazards, in deviations within a scanner."""
    a, b = (np.array(result["slides"][scanner]["log_hazard"]) for scanner in "AB")
    return float(abs(a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2))


def markdown(results: list[dict]) -> str:
    """Return all tables."""
    parts = (_thesis_table, _penalty_table, _methods_table, _transfer_table)
    return "\n".join(part(results) for part in parts)


def _thesis_table(results) -> str:
    groups, best = penalties(results), chosen_penalty(results)
    shown = [(metric, value) for metric in METRICS for value in (0.0, best)]
    columns = [f"{METRICS[metric]}, λ = {value:g}" for metric, value in shown]
    cells = {
        label: [values(groups[value], row, metric) for metric, value in shown]
        for row, label in ROWS.items()
    }
    title = "Table 7.2: a network for each scanner, test slides"
    return _table(title, "", columns, cells)


def _penalty_table(results) -> str:
    tables = {
        "each": "Weight λ of the penalty, random batches of five (as in the thesis)",
        "batches of 32": "Weight λ of the penalty, batches of 32 with events in each",
    }
    return "\n".join(_one_penalty_table(results, of, title) for of, title in tables.items())


def _one_penalty_table(results, of: str, title: str) -> str:
    columns = "validation, merged", "A", "B", "merged", "standardized", "distance of the means"
    cells = {
        f"{value:g}": [
            values(group, "merged", split="validation"),
            *(values(group, row) for row in columns[1:5]),
            np.array([offset(result) for result in group]),
        ]
        for value, group in penalties(results, of).items()
    }
    return _table(title, "λ", columns, cells)


def _methods_table(results) -> str:
    cells = {
        name: [values(group, row) for row in ROWS] for name, group in by_method(results).items()
    }
    title = "C-index of all ways to train (each: a network for each scanner; both: one for both)"
    return _table(title, "networks", ROWS, cells)


def _transfer_table(results) -> str:
    columns = "A on A", "A on B", "B on B", "B on A"
    cells = {}
    for name, group in by_method(results).items():
        if group[0]["carried"]:
            a_on_b, b_on_a = (
                np.array([result["carried"][way]["c_index"] for result in group])
                for way in ("A on B", "B on A")
            )
            cells[name] = [values(group, "A"), a_on_b, values(group, "B"), b_on_a]
    return _table("C-index on the slides of the other scanner", "networks", columns, cells)


def _table(title: str, first: str, columns: Collection[str], cells: dict[str, list]) -> str:
    heading = " | ".join([first, *columns]).lstrip()
    lines = [f"{title}\n", f"| {heading} |", "|---" * (1 + len(columns)) + "|"]
    for name, row in cells.items():
        lines.append(f"| {name} | {' | '.join(spread(numbers, 3) for numbers in row)} |")
    return "\n".join(lines) + "\n"
