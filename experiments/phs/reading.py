"""The readings of what the thesis leaves open, each on a printed row that decides about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from experiments.phs.rows import Row, rows
from experiments.phs.summary import accuracies, signed

# α, γ and m of the rows that decide.
FASHION, FASHION_FAST = (0.1, 0.1, 10.0), (0.1, 0.01, 10.0)
FASHION_SLOW, CIFAR = (1e-4, 10.0, 1e-3), (0.1, 0.01, 100.0)
# Epochs after braking, as in the tables.
AFTER = 40
# A reading is refuted if it ends this much further from the printed accuracy, a fraction, than the
# adopted one does on the same row.
FAR = 0.02


@dataclass(frozen=True)
class Reading:
    """One way to read the thesis, on one of its rows.

    Attributes:
        question: What the thesis leaves open.
        answer: The reading.
        dataset: Dataset of the row.
        dynamics: α, γ and m of the row.
        settings: What the reading changes in the job of the row.
        epochs: Most epochs until x is reached; the adopted reading needs fewer.
        taken: Whether Tables 3.1 and 3.2 are measured with this reading.
    """

    question: str
    answer: str
    dataset: str
    dynamics: tuple[float, float, float]
    settings: dict = field(default_factory=dict)
    epochs: int = 40
    taken: bool = False

    @property
    def name(self) -> str:
        """Return the name of the job."""
        words = "_".join(str(value).replace(" ", "_") for value in self.settings.values())
        return f"{self.dataset}_a{self.dynamics[0]:g}_g{self.dynamics[1]:g}_{words}"

    @property
    def printed(self) -> tuple[Row, Row]:
        """Return the row without braking, and the braked row that follows it."""
        found = rows(self.dataset)
        for free, braked in zip(found, found[1:], strict=False):
            if (free.learning_rate, free.friction, free.mass) == self.dynamics:
                return free, braked
        raise ValueError(f"{self.dataset} has no row with α, γ, m = {self.dynamics}")


GOAL, FRICTION, BATCH = "breaking at x", "friction", "batch size"
IMAGES, PIXELS, BOTH = "training images", "pixels", "training images and pixels"
LOSS = "x is the training loss"
REMAINING = "x is the remaining fraction of the initial loss"
REDUCTION = "x is the fraction by which the loss has fallen"
READINGS = (
    Reading(GOAL, LOSS, "fashion_mnist", FASHION, taken=True),
    Reading(GOAL, REMAINING, "fashion_mnist", FASHION, {"target_is": "remaining"}),
    Reading(GOAL, REDUCTION, "fashion_mnist", FASHION, {"target_is": "reduction"}),
    Reading(GOAL, LOSS, "cifar10", CIFAR, taken=True),
    Reading(GOAL, REMAINING, "cifar10", CIFAR, {"target_is": "remaining"}),
    Reading(FRICTION, "−γp, a rate", "fashion_mnist", FASHION, taken=True),
    Reading(
        FRICTION,
        "−(γ/m)p, as printed",
        "fashion_mnist",
        FASHION,
        {"friction_form": "viscous"},
        epochs=30,
    ),
    Reading(
        FRICTION,
        "−(γ/m)p, as printed",
        "fashion_mnist",
        FASHION_SLOW,
        {"friction_form": "viscous"},
        epochs=110,
    ),
    Reading(BATCH, "batches of 128", "fashion_mnist", FASHION_FAST, taken=True),
    Reading(BATCH, "batches of 64", "fashion_mnist", FASHION_FAST, {"batch_size": 64}, epochs=12),
    Reading(BATCH, "batches of 16", "fashion_mnist", FASHION_FAST, {"batch_size": 16}, epochs=6),
    Reading(BATCH, "batches of 4", "fashion_mnist", FASHION_FAST, {"batch_size": 4}, epochs=6),
    # On CIFAR-10, the adopted readings are below the printed accuracies. What would close the gap?
    Reading(BATCH, "batches of 128", "cifar10", CIFAR, taken=True),
    Reading(BATCH, "batches of 32", "cifar10", CIFAR, {"batch_size": 32}),
    Reading(BATCH, "batches of 16", "cifar10", CIFAR, {"batch_size": 16}),
    Reading(IMAGES, "nine tenths of the images", "cifar10", CIFAR, taken=True),
    Reading(IMAGES, "all images", "cifar10", CIFAR, {"trained": "all"}),
    Reading(PIXELS, "pixels from −1 to 1", "cifar10", CIFAR, taken=True),
    Reading(PIXELS, "pixels from 0 to 1", "cifar10", CIFAR, {"pixels": "0 to 1"}, epochs=60),
    Reading(PIXELS, "pixels standardized", "cifar10", CIFAR, {"pixels": "standardized"}),
    Reading(
        BOTH,
        "all images, pixels standardized",
        "cifar10",
        CIFAR,
        {"trained": "all", "pixels": "standardized"},
    ),
)


@dataclass
class Tried:
    """A reading and its result.

    Attributes:
        reading: The reading.
        unbraked: History without braking; empty if it is not measured yet.
        braked: History with braking; the same as ``unbraked`` if the goal was not reached.
        epoch: Epoch of braking; None if the goal was not reached.
        lowest: Lowest average training loss before braking; None if there is none.
        adopted: Difference of the adopted reading from the printed accuracy with braking, on the
            same row.
    """

    reading: Reading
    unbraked: list[dict] = field(default_factory=list)
    braked: list[dict] = field(default_factory=list)
    epoch: float | None = None
    lowest: float | None = None
    adopted: float | None = None

    @property
    def accuracy(self) -> tuple[float, float]:
        """Return the test accuracy without and with braking after the last epoch, as fractions."""
        return accuracies(self.unbraked)["final"], accuracies(self.braked)["final"]

    @property
    def difference(self) -> float:
        """Return the accuracy with braking minus the printed one, a fraction."""
        return self.accuracy[1] - self.reading.printed[1].accuracy

    @property
    def verdict(self) -> str:
        """Return what this result says about the reading."""
        if not self.braked:
            return "not measured yet"
        if self.epoch is None:
            return "x is not reached" if self.reading.taken else "refuted: x is not reached"
        points = f"{signed([self.difference])} points"
        if self.reading.taken:
            return f"adopted: {points}"
        if self.adopted is None:
            return f"{points}; the adopted reading is not measured on this row"
        refuted = abs(self.difference) - abs(self.adopted) > FAR
        return f"{'refuted' if refuted else 'fits'}: {points}"
