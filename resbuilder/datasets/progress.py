"""A progress bar for reading many files."""

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import track

_MANY = 2000


def progress(items: Iterable, total: int, label: str) -> Iterator:
    """Yields `items`, with a bar on standard error in a terminal or when there are many of them."""
    console = Console(stderr=True)
    hidden = not console.is_terminal and total <= _MANY
    return track(items, label, total=total, console=console, disable=hidden)
