"""Accuracies of histories, and their format in tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.summary import percent_spread

# The columns of :func:`markdown_of`.
COLUMNS = {
    "test, at the end": "test accuracy of the weights that a training ends with, in %",
    "test, best epoch by validation": "after the epoch with the best validation accuracy, in %",
    "training − test, last epoch": "training accuracy minus test accuracy, in points",
    "epochs": "length of the trainings",
    "seeds": "number of trainings; with several, mean ± standard deviation",
}


def page(title: str, about: str, columns: Mapping[str, str], table: str) -> str:
    """Return a page in Markdown: a title, what is shown, the meaning of the columns, the table."""
    meanings = "\n".join(f"- **{name}**: {meaning}." for name, meaning in columns.items())
    return f"# {title}\n\n{about}\n\n{meanings}\n\n{table}"


def accuracies(history: list[dict]) -> dict[str, float]:
    """Return three kinds of test accuracy of a training.

    Args:
        history: One dict for each epoch, with ``val_accuracy`` and ``test_accuracy``.

    Returns:
        ``final``: after the last epoch. ``by_validation``: after the epoch with the best
        validation accuracy, which is how a user would choose. ``best``: the best on test data,
        which a user cannot choose, but which some tables show.
    """
    chosen = int(np.argmax([epoch["val_accuracy"] for epoch in history]))
    test = [epoch["test_accuracy"] for epoch in history]
    return {"final": test[-1], "by_validation": test[chosen], "best": max(test)}


def final_accuracy(result: dict) -> float:
    """Return the test accuracy of the weights that a training ends with.

    Args:
        result: A result with a ``history``, and with ``final`` if the best weights were restored.
    """
    return result.get("final", {}).get("test", accuracies(result["history"])["final"])


def signed(differences: Sequence[float]) -> str:
    """Format differences like ``percent_spread``, in points and with a sign: ``+0.52 ± 0.11``."""
    text = percent_spread(differences).replace("-", "−")
    return text if text.startswith("−") else f"+{text}"


def markdown_of(groups: dict[str, list[dict]]) -> str:
    """Return a table of groups of trainings: accuracies and gaps, mean ± deviation over seeds.

    Args:
        groups: Results as for :func:`final_accuracy`, by name of the group.

    Returns:
        Markdown.
    """
    lines = [
        "| | test, at the end | test, best epoch by validation | training − test, last epoch "
        "| epochs | seeds |",
        "|---" * 6 + "|",
    ]
    for name, results in groups.items():
        histories = [result["history"] for result in results]
        found = [accuracies(history) for history in histories]
        gap = [h[-1]["accuracy"] - a["final"] for h, a in zip(histories, found, strict=True)]
        epochs = [history[-1]["epoch"] for history in histories]
        lines.append(
            f"| {name} | {percent_spread([final_accuracy(r) for r in results])} "
            f"| {percent_spread([a['by_validation'] for a in found])} | {signed(gap)} "
            f"| {_range(epochs)} | {len(results)} |"
        )
    return "\n".join(lines) + "\n"


def _range(numbers: Sequence[int]) -> str:
    least, most = min(numbers), max(numbers)
    return f"{least}" if least == most else f"{least}–{most}"
