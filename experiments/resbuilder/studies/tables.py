"""Tables of the studies: columns, and differences between variants by seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from experiments.summary import spread

# Results of all seeds by variant.
Groups = dict[str, list[dict]]


class Column(NamedTuple):
    """A quantity: its title with the unit, how to read it from a result (or None), its digits."""

    title: str
    read: Callable[[dict], float | None]
    digits: int = 2


def _found(key: str, factor: float = 1.0) -> Callable[[dict], float | None]:
    def read(result: dict) -> float | None:
        found = result["searched"] and result["searched"]["found"]
        return found and factor * found[key]

    return read


TEST = Column("test accuracy, found network, %", _found("test", 100))
EPOCHS = Column("epochs of its weights", _found("epochs"), 0)
DEPTH = Column("depth", lambda result: result.get("depth"), 1)
FLOPS = Column("MFLOPs", lambda result: result["architecture"] and result["flops"] / 1e6)


def _removed(by: str) -> Callable[[dict], float | None]:
    return lambda result: (
        sum(r["by"] == by for r in result["removals"]) if result["searched"] else None
    )


def _alive(result: dict) -> float | None:
    steps = result.get("steps", ())
    inner = sum(step["inner"] for step in steps)
    return 100 * sum(step["inner_alive"] for step in steps) / inner if inner else None


REMOVED = Column("blocks removed by LayerLasso", _removed("LayerLasso"), 1)
DEAD = Column("blocks removed by MorphNet", _removed("MorphNet"), 1)

ALIVE = Column("alive inner channels at MorphNet steps, %", _alive, 0)
FOUND = (TEST, EPOCHS, FLOPS, DEPTH, ALIVE, REMOVED, DEAD)


def values(results: list[dict], column: Column) -> list[float]:
    """Return a column's values over seeds, without missing ones."""
    return [value for result in results if (value := column.read(result)) is not None]


def table(groups: Groups, columns: tuple[Column, ...]) -> str:
    """Return the table with a row for each variant, mean ± standard deviation over seeds."""
    lines = [
        "| | " + " | ".join(column.title for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for variant, results in groups.items():
        cells = (spread(values(results, column), column.digits) for column in columns)
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def compared(groups: Groups, column: Column = TEST) -> str:
    """Return each variant's difference from the first, and whether all seeds agree on its sign.

    Returns:
        For instance ``glorot +1.20 points (in both seeds), last_gamma −0.30 points (seeds
        disagree)``.
    """
    reference, *others = groups
    read = {result["job"]["settings"]["seed"]: column.read(result) for result in groups[reference]}
    parts = []
    for variant in others:
        pairs = (
            (column.read(result), read.get(result["job"]["settings"]["seed"]))
            for result in groups[variant]
        )
        differences = [new - old for new, old in pairs if None not in (new, old)]
        parts.append(f"{variant} {difference_text(differences)}")
    return ", ".join(parts)


def compared_networks(groups: Groups) -> str:
    """Return the differences in test accuracy of the networks found, and their epochs if unequal.

    A search ends with weights that have seen more or fewer epochs. Where their numbers differ, the
    accuracies do not compare the architectures.
    """
    epochs = {variant: values(results, EPOCHS) for variant, results in groups.items()}
    text = compared(groups)
    if len({tuple(found) for found in epochs.values()}) == 1:
        return text
    each = "; ".join(f"{v} {', '.join(f'{e:g}' for e in found)}" for v, found in epochs.items())
    return f"{text}, but their weights have unequal numbers of epochs behind them, by seed ({each})"


def difference_text(differences: list[float]) -> str:
    """Format the mean of differences in percentage points, and whether they agree on its sign."""
    import numpy as np

    if not differences:
        return "not measured"
    if not any(differences):
        return "no difference"
    agree = len({np.sign(d) for d in differences}) == 1
    count = {1: "one seed", 2: "in both seeds"}.get(
        len(differences), f"in all {len(differences)} seeds"
    )
    mean = f"{np.mean(differences):+.2f} points".replace("-", "−")
    return f"{mean} ({count if agree else 'seeds disagree'})"


def size(groups: Groups) -> str:
    """Return a sentence on the size of the searches."""
    results = [result for group in groups.values() for result in group]
    s = results[0]["job"]["settings"]
    minutes = sum(result["seconds"] for result in results) / 60
    parts = [
        f"{s['dataset']}",
        f"ζ = {s['flops']:g}",
        *(f"{s[key]:,} {words}" for key, words in WORDS.items() if key in s),
    ]
    return (
        f"Size: {', '.join(parts)}; seeds 0 to {len(groups[next(iter(groups))]) - 1}. Its "
        f"trainings took {minutes:.0f} minutes on one core, including those shared with other "
        "studies."
    )


WORDS = {
    "train_limit": "training images (a fifth of them for validation)",
    "epochs": "epochs a training",
    "batch_size": "images a batch",
    "width": "channels at the start",
    "rounds": "MorphNet rounds",
    "insertions": "insertions in each",
}
