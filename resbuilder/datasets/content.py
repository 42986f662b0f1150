"""Which part a picture belongs to follows from its content, so that other files never change it.

The content of a file gives a number in [0, 1). A picture falls to a part if its number is below the
part's share. An added file therefore leaves all others where they are, wherever and however they
are called; and copies of a picture always fall to the same part.

A class of few pictures may get none in this way. Then the one with the least number is taken. As a
file is added, that one may go back to training, but none that was trained on becomes a test image.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_CHUNK = 2**20


def content_of(path: Path) -> str:
    """Return what tells the content of a file from others: 32 hexadecimal digits of its SHA-256."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:32]


def drawn(
    contents: Sequence[str], labels: np.ndarray, share: float, purpose: str, leave: int
) -> np.ndarray:
    """Draw a part of pictures by their contents.

    Every class gets a picture, and keeps some different ones outside the part, as far as it has
    them.

    Args:
        contents: Of each picture.
        labels: Class of each picture (n,).
        share: Share of all that falls to the part, between 0 and 1, on average.
        purpose: What is drawn; each purpose has numbers of its own.
        leave: How many different pictures of each class must not fall to the part.

    Returns:
        Which pictures do, bool (n,).
    """
    numbers = {content: number(content, purpose) for content in set(contents)}
    classes = [
        sorted(
            {contents[i] for i in np.flatnonzero(labels == label).tolist()}, key=numbers.__getitem__
        )
        for label in np.unique(labels)
    ]
    chosen = {content for content, n in numbers.items() if n < share}
    for members in classes:
        if chosen.isdisjoint(members):
            chosen.add(members[0])
    for members in classes:
        if len(set(members) - chosen) < leave:
            chosen -= set(members[-leave:])
    return np.array([content in chosen for content in contents], bool)


def number(content: str, purpose: str) -> float:
    """Return the number in [0, 1) of a content, another for each purpose."""
    digest = hashlib.sha256(f"{purpose}/{content}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
