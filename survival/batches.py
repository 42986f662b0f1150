"""Batches with an event in each, and optionally all slides of a patient in one batch."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import ArrayLike

from survival.checks import whole_number

__all__ = ["EventBalancedBatches", "padded"]


class EventBalancedBatches:
    """Divide a cohort into batches, differently in every epoch.

    A Cox model learns nothing from a batch without events. If two slides of a patient are in
    different batches, they are compared with different patients. Therefore the patients with events
    are first dealt out evenly over the batches, and then the others, each to the batch with the
    fewest rows.

    Every row is in exactly one batch of an epoch. Batches have at most ``batch_size`` rows and are
    as equal in size as the patients allow. Their number is the same in all epochs. The division
    depends only on the seed and the epoch.

    Args:
        events: 1 or 0 (event or not) for each row, shape (n,).
        batch_size: The most rows in a batch.
        patients: Patient of each row, shape (n,), as values that are equal for the same patient.
            By default each row is a patient.
        seed: Random seed of all epochs.

    Raises:
        ValueError: Shapes do not match, an event is not 0 or 1, or a patient has more rows than
            fit into a batch.

    Example:
        >>> import keras
        >>> from survival import CoxPHLoss, vgg_survival_model
        >>> class Slides(keras.utils.PyDataset):
        ...     def __init__(self, images, targets, batches, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.images, self.targets, self.batches = images, targets, batches
        ...         self.epoch, self.indices = 0, batches.epoch(0)
        ...     def __len__(self):
        ...         return len(self.batches)
        ...     def __getitem__(self, i):
        ...         rows, weight = padded(self.indices[i], self.batches.batch_size)
        ...         return self.images[rows], self.targets[rows], weight
        ...     def on_epoch_end(self):  # Keras also calls it when a fit starts
        ...         self.epoch += 1
        ...         self.indices = self.batches.epoch(self.epoch)
        >>> images = np.random.default_rng(0).uniform(0, 255, size=(12, 16, 24, 3))
        >>> died = np.arange(12) % 3 == 0
        >>> targets = np.stack([np.arange(1, 13), died], axis=1)
        >>> model = vgg_survival_model((16, 24, 3), width=0.03)
        >>> model.compile("adam", CoxPHLoss())
        >>> slides = Slides(images, targets, EventBalancedBatches(died, 4))
        >>> history = model.fit(slides, shuffle=False, verbose=0)
    """

    def __init__(
        self,
        events: ArrayLike,
        batch_size: int,
        patients: ArrayLike | None = None,
        seed: int = 0,
    ):
        events = np.asarray(events)
        if events.ndim != 1 or not len(events) or not np.isin(events, (0, 1)).all():
            raise ValueError(
                f"events must be 0 or 1 for each row, with at least one row; got {events!r:.80}"
            )
        self.batch_size = whole_number("batch_size", batch_size)
        patients = np.arange(len(events)) if patients is None else np.asarray(patients)
        if patients.shape != events.shape:
            raise ValueError(
                f"patients must have one value for each of the {len(events)} rows; got shape "
                f"{patients.shape}"
            )
        names, owner, sizes = np.unique(patients, return_inverse=True, return_counts=True)
        if sizes.max() > batch_size:
            largest = int(sizes.argmax())
            raise ValueError(
                f"patient {names[largest]!s} has {sizes[largest]} slides, which must be in one "
                f"batch of {batch_size}: choose larger batches, or batches that do not keep a "
                "patient's slides together"
            )
        self.seed = seed
        self._rows = np.split(np.argsort(owner, kind="stable"), np.cumsum(sizes)[:-1])
        happened = np.bincount(owner, weights=events) > 0
        # Each place in the order of patients belongs to a fixed batch. In every epoch, patients of
        # the same kind (event or not, number of rows) are permuted among their places, so the
        # number of batches never changes.
        self._order = np.lexsort((-sizes, ~happened))
        kinds = np.stack([happened, sizes])[:, self._order]
        self._kinds = np.flatnonzero(np.any(kinds[:, 1:] != kinds[:, :-1], axis=0)) + 1
        self._batch_of_place = _deal(kinds[1].tolist(), int(happened.sum()), self.batch_size)

    def __len__(self) -> int:
        """Return the number of batches in every epoch."""
        return 1 + int(self._batch_of_place.max())

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Return the batches of an epoch, as arrays of row numbers."""
        random = np.random.default_rng((self.seed, epoch))
        patients = np.concatenate(
            [random.permutation(kind) for kind in np.split(self._order, self._kinds)]
        )
        batches: list[list[np.ndarray]] = [[] for _ in range(len(self))]
        for patient, batch in zip(patients, self._batch_of_place, strict=True):
            batches[batch].append(self._rows[patient])
        return [np.concatenate(batches[i]) for i in random.permutation(len(self))]


def padded(rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad a batch to a fixed size, with rows of weight 0.

    A fixed size is needed for the first batch under ``tf.distribute.MirroredStrategy``, and to
    compile a training step only once.

    Args:
        rows: Row numbers of a batch.
        size: Number of rows after padding.

    Returns:
        ``size`` row numbers, and float32 sample weights: 1, or 0 for padding.

    Raises:
        ValueError: If ``rows`` is empty, or longer than ``size``.
    """
    if not 0 < len(rows) <= size:
        raise ValueError(f"cannot pad {len(rows)} rows to {size}")
    weight = np.zeros(size, "float32")
    weight[: len(rows)] = 1
    return np.concatenate([rows, np.full(size - len(rows), rows[0])]), weight


def _deal(sizes: list[int], with_event: int, capacity: int) -> np.ndarray:
    """Return the batch of each patient, with as few batches as this way of dealing allows.

    Args:
        sizes: Rows of each patient, largest first among those with and those without an event. The
            first ``with_event`` patients have an event.
        with_event: Number of patients with an event.
        capacity: The most rows in a batch.
    """
    count = -(-sum(sizes) // capacity)
    while (batches := _try_to_deal(sizes, with_event, capacity, count)) is None:
        count += 1
    return np.array(batches)


def _try_to_deal(sizes: list[int], with_event: int, capacity: int, count: int) -> list[int] | None:
    rows = [0] * count
    batches: list[int] = []
    # A patient with an event goes to the batch with the fewest events, others to the one with the
    # fewest rows. Full batches are skipped.
    for part, by_events in ((sizes[:with_event], True), (sizes[with_event:], False)):
        heap = [(0, rows[batch], batch) for batch in range(count)]
        heapq.heapify(heap)
        for size in part:
            full = []
            while heap and heap[0][1] + size > capacity:
                full.append(heapq.heappop(heap))
            if not heap:
                return None
            events, _, batch = heapq.heappop(heap)
            rows[batch] += size
            batches.append(batch)
            heapq.heappush(heap, (events + by_events, rows[batch], batch))
            for entry in full:
                heapq.heappush(heap, entry)
    return batches
