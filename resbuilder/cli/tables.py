"""The tables that the command line prints."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from resbuilder.datasets import available
from resbuilder.report import read_history
from resbuilder.variants import RUNGS


def search_table(run: str | Path) -> Table:
    """Every architecture of a run: accuracies of the variants on test data, FLOPs, depth."""
    history = read_history(run)
    budget = f", budget {history.budget / 1e6:.4g} MFLOPs" if history.budget else ""
    rungs = "rungs: validation, else " if history.is_race else ""
    table = Table(title=f"{rungs}test accuracy in %{budget}")
    for heading in ("#", "origin", "MFLOPs", "depth", *history.variants.values()):
        table.add_column(heading, justify="left" if heading == "origin" else "right")
    best = history.best()
    for record in history.records.values():
        origin = f"{record.origin} {record.label}".strip()
        row = [str(record.index), origin, f"{record.flops / 1e6:.3g}", str(record.depth)]
        for variant in history.variants:
            accuracy = record.accuracy(variant, "validation" if variant in RUNGS else "test")
            text = "" if accuracy is None else f"{100 * accuracy:.2f}"
            won = best and (record.index, variant) == (best.record.index, best.variant)
            row.append(f"[bold green]{text} ★[/]" if won else text)
        over = None if history.within_budget(record) else "dim"
        table.add_row(*row, style=over)
    table.caption = "★ best on validation data within the budget; dim: above the budget"
    if best:
        network = str(best.record.architecture).replace("[", r"\[")  # [..] would be markup
        table.caption += f"\n{best.label}: {network}"
    return table


def dataset_table(data_dir: str | None) -> Table:
    """The known datasets and where they are."""
    table = Table(box=None)
    for heading in ("name", "images", "classes", "train / test", "what it is", "here"):
        table.add_column(heading, no_wrap=True)
    for d in available(data_dir):
        shape = "×".join(map(str, d.shape or ()))
        counts = f"{d.train:,} / {d.test:,}" if d.train else ""
        table.add_row(d.name, shape, str(d.classes or ""), counts, d.description, d.where or "–")
    return table
