"""Which rows form a batch: an event in each, and all slides of a patient together."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import ArrayLike

from survival.checks import whole_number


class EventBalancedBatches:
    """Divides a cohort into batches, anew in every epoch, by seed and epoch alone.

    A batch without events teaches a Cox model nothing, and one in which two slides of a patient
    are apart lets them compete with different patients. So the patients with events are dealt out
    to the batches first, evenly, and then the others, to the batches with the fewest rows. Every
    row is in one batch of each epoch; batches have ``batch_size`` rows or fewer, as equal as the
    patients allow; their number is the same in all epochs.

    Args:
        events: 1 or 0 (happened or not) for each row, shape (n,).
        batch_size: The most rows in a batch.
        patients: Whose row it is, shape (n,), any values that compare equal for the same patient.
            By default each row is a patient.
        seed: Seed of all epochs.

    Raises:
        ValueError: Shapes that do not fit, other events, or a patient with more rows than fit
            into a batch.

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
        ...     def on_epoch_end(self):  # Keras calls it when a fit starts, too
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
                f"events must be 0 or 1 for each row, at least one row; got {events!r:.80}"
            )
        self.batch_size = whole_number("batch_size", batch_size)
        patients = np.arange(len(events)) if patients is None else np.asarray(patients)
        if patients.shape != events.shape:
            raise ValueError(
                f"there must be a patient for each row; got shape {patients.shape} for "
                f"{len(events)} rows"
            )
        names, owner, sizes = np.unique(patients, return_inverse=True, return_counts=True)
        if sizes.max() > batch_size:
            largest = int(sizes.argmax())
            raise ValueError(
                f"patient {names[largest]!s} has {sizes[largest]} rows, which stay together, but a "
                f"batch has {batch_size}: make it larger, or leave patients out to treat rows as "
                "independent"
            )
        self.seed = seed
        self._rows = np.split(np.argsort(owner, kind="stable"), np.cumsum(sizes)[:-1])
        happened = np.bincount(owner, weights=events) > 0
        # Patients alike in what matters here take each other's places: which batch a place belongs
        # to is the same in all epochs, so their number is, too.
        self._order = np.lexsort((-sizes, ~happened))
        kinds = np.stack([happened, sizes])[:, self._order]
        self._kinds = np.flatnonzero(np.any(kinds[:, 1:] != kinds[:, :-1], axis=0)) + 1
        self._batch_of_place = _deal(kinds[1].tolist(), int(happened.sum()), self.batch_size)

    def __len__(self) -> int:
        """The number of batches in every epoch."""
        return 1 + int(self._batch_of_place.max())

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, arrays of row numbers."""
        random = np.random.default_rng((self.seed, epoch))
        patients = np.concatenate(
            [random.permutation(kind) for kind in np.split(self._order, self._kinds)]
        )
        batches: list[list[np.ndarray]] = [[] for _ in range(len(self))]
        for patient, batch in zip(patients, self._batch_of_place, strict=True):
            batches[batch].append(self._rows[patient])
        return [np.concatenate(batches[i]) for i in random.permutation(len(self))]


def padded(rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Fills a batch up to a fixed size, with rows that do not count.

    Needed where every batch must have one shape: the first of a training under
    ``tf.distribute.MirroredStrategy``, or to compile but once.

    Args:
        rows: Row numbers of a batch.
        size: How many there shall be.

    Returns:
        ``size`` row numbers, and float32 sample weights: 1, and 0 for what was filled up.

    Raises:
        ValueError: If there are none, or more than ``size``.
    """
    if not 0 < len(rows) <= size:
        raise ValueError(f"cannot fill up {len(rows)} rows to {size}")
    weight = np.zeros(size, "float32")
    weight[: len(rows)] = 1
    return np.concatenate([rows, np.full(size - len(rows), rows[0])]), weight


def _deal(sizes: list[int], with_event: int, capacity: int) -> np.ndarray:
    """The batch of each patient: largest first, into as few batches as that needs.

    Args:
        sizes: Rows of each patient; the first ``with_event`` have an event.
        with_event: How many have.
        capacity: The most rows in a batch.
    """
    count = -(-sum(sizes) // capacity)
    while (batches := _try_to_deal(sizes, with_event, capacity, count)) is None:
        count += 1
    return np.array(batches)


def _try_to_deal(sizes: list[int], with_event: int, capacity: int, count: int) -> list[int] | None:
    rows = [0] * count
    batches: list[int] = []
    # Those with an event go where the fewest events are, the others where the fewest rows are.
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
