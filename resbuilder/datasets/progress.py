"""A progress bar for reading many files."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

_MANY = 2000
Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int, label: str) -> Iterable[Item]:
    """Pass ``items`` on, with a bar on standard error in a terminal or for many items."""
    console = Console(stderr=True)
    hidden = not console.is_terminal and total <= _MANY
    return track(items, label, total=total, console=console, disable=hidden)
