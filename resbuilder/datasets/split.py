"""Split the training data into a training and a validation part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from resbuilder.common.words import count
from resbuilder.datasets.content import drawn, number


@dataclass(frozen=True, eq=False)
class Split:
    """The indices of the training and of the validation images.

    Attributes:
        train: Ascending indices into the training data, int64.
        validation: Ascending indices into the training data, int64; disjoint from `train`.
    """

    train: np.ndarray
    validation: np.ndarray

    @classmethod
    def stratified(
        cls, labels: np.ndarray, fraction: float = 0.2, seed: int = 0, limit: int | None = None
    ) -> "Split":
        """Split so that both parts have the same proportions of classes.

        The validation part has exactly round(fraction * n) images, distributed over the classes by
        the largest remainder method; every class keeps at least one image in each part. The same
        arguments give the same split on every machine.

        Args:
            labels: Labels (n,) of the training data.
            fraction: Fraction of validation images, between 0 and 1.
            seed: Seed of the choice.
            limit: Use only this many training images, with the same proportions of classes; all if
                there are fewer.

        Returns:
            The split.

        Raises:
            ValueError: If `fraction` or `limit` is out of range or a class has fewer than two
                images.
        """
        labels = np.asarray(labels)
        if labels.ndim != 1 or len(labels) == 0:
            raise ValueError(f"labels have shape {labels.shape}; expected (n,), one per image")
        _check(fraction)
        classes, counts = np.unique(labels, return_counts=True)
        if counts.min() < 2:
            raise ValueError(
                f"class {classes[counts.argmin()]} has 1 image; every class needs at least 2, one "
                "for training and one for validation"
            )
        if limit is not None and limit < 2 * len(classes):
            raise ValueError(
                f"{limit:,} training images are too few: {len(classes)} classes need at least "
                f"2 each, so {2 * len(classes)}"
            )
        rng = np.random.default_rng(seed)
        members = [rng.permutation(np.flatnonzero(labels == label)) for label in classes]
        if limit is not None and limit < len(labels):
            counts = _allocate(counts, limit, np.full_like(counts, 2), counts)
        ones = np.ones_like(counts)
        held_out = _allocate(counts, round(fraction * counts.sum()), ones, counts - 1)
        parts = list(zip(members, held_out, counts, strict=True))
        validation = np.concatenate([images[:held] for images, held, _ in parts])
        train = np.concatenate([images[held:count] for images, held, count in parts])
        return cls(train=np.sort(train), validation=np.sort(validation))

    @classmethod
    def by_content(
        cls,
        contents: Sequence[str],
        labels: np.ndarray,
        classes: Sequence[str],
        fraction: float = 0.2,
        seed: int = 0,
        limit: int | None = None,
        validation: np.ndarray | None = None,
    ) -> Self:
        """Split files so that the part of each depends only on its content (:mod:`.content`).

        Args:
            contents: Content of each training file, as from :func:`.content.content_of`.
            labels: Labels (n,) of the files.
            classes: Names of the classes.
            fraction: Average fraction of validation files, between 0 and 1.
            seed: Seed of the choice.
            limit: Use only this many files, with the same proportions of classes.
            validation: Which files are for validation, bool (n,), if that is known; then none are
                drawn.

        Returns:
            The split.

        Raises:
            ValueError: If ``limit`` is too small, or a class has no training or validation file.
        """
        _check(fraction)
        used = np.ones(len(labels), bool)
        if limit is not None and limit < len(labels):
            groups = 2 * labels + (0 if validation is None else validation)
            least = 2 if validation is None else 1
            used = _limited(contents, groups, f"limit/{seed}", limit, least)
        if validation is None:
            kept = np.flatnonzero(used)
            chosen = drawn(
                [contents[i] for i in kept.tolist()],
                labels[kept],
                fraction,
                f"validation/{seed}",
                leave=1,
            )
            validation = np.zeros(len(labels), bool)
            validation[kept] = chosen
        split = cls(np.flatnonzero(used & ~validation), np.flatnonzero(used & validation))
        for label, name in enumerate(classes):
            for part, what in ((split.train, "training"), (split.validation, "validation")):
                if not (labels[part] == label).any():
                    here = np.flatnonzero(used & (labels == label)).tolist()
                    different = len({contents[i] for i in here})
                    raise ValueError(
                        f"class {name} has no {what} image: it has "
                        f"{count(different, 'different image')} for training and validation, but "
                        f"needs at least {max(2, different + 1)}; add some"
                    )
        return split


def _check(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ValueError(
            f"the validation fraction must be between 0 and 1 (both excluded), got {fraction}"
        )


def _limited(
    contents: Sequence[str], groups: np.ndarray, purpose: str, limit: int, least: int
) -> np.ndarray:
    """Return which files to use, bool (n,), with the same proportions of the groups."""
    names, counts = np.unique(groups, return_counts=True)
    low = np.minimum(counts, least)
    if limit < low.sum():
        raise ValueError(
            f"{limit:,} training images are too few: at least {low.sum()} are needed, one of "
            "each class for training and one for validation"
        )
    used = np.zeros(len(groups), bool)
    for name, size in zip(names, _allocate(counts, limit, low, counts), strict=True):
        members = np.flatnonzero(groups == name).tolist()
        order = sorted(members, key=lambda i: number(contents[i], purpose))
        used[order[:size]] = True
    return used


def _allocate(counts: np.ndarray, total: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Distribute ``total`` over the classes in proportion to ``counts``, within bounds.

    This is the largest remainder method. With exact shares s_k = total · counts_k / Σ counts, class
    k first gets ⌊s_k⌋, clipped to its bounds. Then ones are added where the remainder s_k − n_k is
    largest, or taken where it is smallest, until the sum is ``total``.
    """
    total = min(max(total, low.sum()), high.sum())
    share = counts * (total / counts.sum())
    numbers = np.clip(np.floor(share).astype(int), low, high)
    while numbers.sum() < total:
        numbers[np.argmax(np.where(numbers < high, share - numbers, -np.inf))] += 1
    while numbers.sum() > total:
        numbers[np.argmin(np.where(numbers > low, share - numbers, np.inf))] -= 1
    return numbers
