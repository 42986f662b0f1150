"""Tables and summaries for the terminal."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from resbuilder.datasets import available
from resbuilder.report import read_history
from resbuilder.variants import TRIAL

if TYPE_CHECKING:
    from resbuilder.plan import SearchPlan


def print_whole(table: Table) -> None:
    """Print a table with whole cells, even if that is wider than the terminal.

    Without a terminal, rich would cut cells so that the table fits into 80 columns.
    """
    console = Console()
    wide = console.options.update_width(10_000)
    console.width = max(console.width, Measurement.get(console, wide, table).maximum)
    console.print(table)


def search_table(run: str | Path) -> Table:
    """Return a table with all architectures of a run: FLOPs, depth and accuracies."""
    history = read_history(run)
    budget = f", budget {history.budget / 1e6:.4g} MFLOPs" if history.budget else ""
    what = "Accuracy (trial: validation, else test)" if history.is_race else "Test accuracy"
    table = Table(title=f"{what} in %{budget}")
    for heading in ("#", "origin", "MFLOPs", "depth", *history.variants.values()):
        table.add_column(heading, justify="left" if heading == "origin" else "right")
    chosen = ((index, history.chosen(record)) for index, record in history.records.items())
    balanced = {index: None if s is None else s.balanced_test for index, s in chosen}
    measured = any(value is not None for value in balanced.values())
    if measured:
        table.add_column("balanced", justify="right")
    best = history.best()
    for record in history.records.values():
        origin = escape(f"{record.origin} {record.label}".strip())
        row = [str(record.index), origin, f"{record.flops / 1e6:.3g}", str(record.depth)]
        for variant in history.variants:
            accuracy = record.accuracy(variant, "validation" if variant == TRIAL else "test")
            text = "" if accuracy is None else f"{100 * accuracy:.2f}"
            won = best and (record.index, variant) == (best.record.index, best.variant)
            row.append(f"[bold green]{text} ★[/]" if won else text)
        if measured:
            value = balanced[record.index]
            row.append("" if value is None else f"{100 * value:.2f}")
        over = None if history.within_budget(record) else "dim"
        table.add_row(*row, style=over)
    table.caption = "★ best validation accuracy within the budget; dim: above the budget"
    if measured:
        table.caption += (
            "\nbalanced: test accuracy averaged over the classes, of the best network in a row"
        )
    if best:
        table.caption += escape(f"\n{best.label}: {best.record.architecture}")
    return table


def plan_text(plan: SearchPlan) -> str:
    """Return the facts and suggestions of a plan, one per line, and the command to run it."""
    c = plan.config
    sizes = ", ".join(f"{h}×{w}" for (h, w), _ in plan.sizes[:3])
    read = plan.read_as
    fitting = {size for size, _ in plan.sizes} <= {read}
    resized = "" if fitting else f"; resized to {read[0]}×{read[1]} (fit: {c.fit})"
    more = f" and {len(plan.sizes) - 3} other sizes" if len(plan.sizes) > 3 else ""
    options = {
        "dataset": c.dataset,
        "data-dir": c.data_dir,
        "image-size": c.image_size,
        "fit": c.fit if c.fit != "stretch" else None,
        "flops": int(c.flops) if c.flops.is_integer() else c.flops,
        "total-epochs": c.total_epochs,
        "out": "runs/mine",
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    minutes = plan.seconds / 60
    took = f"about {minutes:.0f} minutes" if minutes < 120 else f"about {minutes / 60:.1f} hours"
    if minutes < 2:
        took = "less than two minutes"
    lines = [
        f"images: {plan.train:,} training, {plan.validation:,} validation, {plan.test:,} test",
        f"sizes: {sizes}{more}{resized}",
        f"classes: {plan.classes}; the smallest has {plan.fewest:,} training and validation images",
        f"budget: {c.flops / 1e6:g} MFLOPs per image",
        f"candidates: {', '.join(candidate.label for candidate in plan.candidates)}",
        f"race: {plan.race}",
        f"time: {took} on this machine with one worker",
        shlex.join(["resbuilder", "search", "--method=race", *given]),
    ]
    return "\n".join(lines)


def dataset_table(data_dir: str | None) -> Table:
    """Return a table of the known datasets and where their files are."""
    table = Table(box=None)
    for heading in ("name", "image", "classes", "train / test", "description", "found at"):
        table.add_column(heading, no_wrap=True)
    for d in available(data_dir):
        shape = "×".join(map(str, d.shape or ()))
        counts = f"{d.train:,} / {d.test:,}" if d.train else ""
        where = escape(d.where or "–")
        table.add_row(
            escape(d.name), shape, str(d.classes or ""), counts, escape(d.description), where
        )
    return table
