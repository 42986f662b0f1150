"""A progress bar for work that is counted in items; it needs no Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Callable[[float, int], None]]:
    """Show a progress bar on standard error until the block ends.

    Args:
        what: What is being processed; the label of the bar.

    Yields:
        A function ``update(done, total)``. The bar appears at its first call, so input that is
        rejected before that produces only the one-line error.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    bar = Progress(
        what,
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    task = bar.add_task(what, total=None)

    def update(done: float, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()
