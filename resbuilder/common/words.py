"""Small pieces of sentences that messages and pages share."""

from collections.abc import Iterable

# Of one name; a line must stay readable whatever a table holds.
_LONGEST = 300


def some(items: Iterable[object], most: int = 5) -> str:
    """Return the first items separated by commas, shortened, and how many more there are.

    Example:
        >>> some(["a.png", "b.png", "c.png"], 2)
        'a.png, b.png and 1 more'
    """
    texts = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..." for text in map(str, items)]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def count(how_many: int, what: str) -> str:
    """Return ``1 slide``, ``2 slides``."""
    return f"{how_many} {what}" + ("" if how_many == 1 else "s")


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its class where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]
