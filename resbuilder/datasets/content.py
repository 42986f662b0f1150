"""Assign image files to parts by their content, so that other files never change the assignment.

The hash of a file's content gives a number u in [0, 1), different for each purpose. A file belongs
to a part with share s if u < s. So adding or renaming files leaves all others in their parts, and
copies of an image are always in the same part.

A class with few images may get none in a part in this way. Then its image with the smallest u is
taken. When files are added later, this image may return to training. Conversely, a class with very
few images keeps some outside a part although u < s; with more files, these join the part.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_CHUNK = 2**20


def content_of(path: Path) -> str:
    """Return what identifies the content of a file: 32 hexadecimal digits of its SHA-256."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:32]


def drawn(
    contents: Sequence[str], labels: np.ndarray, share: float, purpose: str, leave: int
) -> np.ndarray:
    """Draw the images of a part by their contents.

    Every class gets at least one image in the part, and keeps some different ones outside of it, if
    it has enough.

    Args:
        contents: Content of each image, as from :func:`content_of`.
        labels: Class of each image, shape (n,).
        share: Average fraction of all images in the part, between 0 and 1.
        purpose: Name of the draw; each purpose gives other numbers.
        leave: How many different images of each class must stay outside the part.

    Returns:
        Which images are in the part, bool of shape (n,).
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
    """Return the number in [0, 1) of a content for a purpose."""
    digest = hashlib.sha256(f"{purpose}/{content}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
