"""Parts of sentences that messages and pages share."""

import re
import unicodedata
from collections.abc import Iterable

# The most characters of one name, so that a line stays readable whatever a table holds.
_LONGEST = 300


def some(items: Iterable[object], most: int = 5) -> str:
    """Return the first items, shortened and separated by commas, and the number of the others.

    Example:
        >>> some(["a.png", "b.png", "c.png"], 2)
        'a.png, b.png and 1 more'
    """
    texts = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..." for text in map(str, items)]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def count(how_many: int, what: str) -> str:
    """Return a number with its noun, such as ``1 slide`` or ``2 slides``."""
    return f"{how_many:,} {what}" + ("" if how_many == 1 else "s")


def number(value: float) -> str:
    """Return a number as people write it, with at most six significant digits.

    Example:
        >>> number(1e8), number(1e-5), number(0.015), number(20)
        ('1e8', '1e-5', '0.015', '20')
    """
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:g}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC).

    An ``ä`` is one character or an ``a`` with a combining mark. Both look the same, and macOS
    writes names of files in the second form. For Linux they are two names.
    """
    return unicodedata.normalize("NFC", name)
