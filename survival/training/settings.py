"""Settings of a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from resbuilder.common.strategy import STRATEGIES
from survival.augmentation import AUGMENTATIONS
from survival.checks import number, whole_number
from survival.images import at_a_time
from survival.losses import CoxPHLoss

BATCHES = ("events", "patients", "shuffled")
DTYPES = ("float32", "mixed_bfloat16")


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training. The defaults of the first four are those of the thesis.

    Args:
        epochs: Passes over the training slides.
        batch_size: Slides in a batch. Only slides of the same batch are compared in the loss.
        learning_rate: Learning rate of Adam.
        width: Factor on the units of the network, see :func:`survival.vgg_survival_model`.
        mean_penalty: λ of the loss, see :class:`survival.CoxPHLoss`.
        mean_penalty_form: ``"squared_mean"`` or ``"squared_sum"``, see there.
        ties: ``"breslow"`` or ``"efron"``, see there.
        normalization: ``"events"``, ``"batch"`` or ``"sum"``, see there.
        strata: Whether slides are compared only within their own dataset.
        batches: ``"events"`` spreads slides with an event evenly over the batches; ``"patients"``
            does so too, and keeps each patient's slides in one batch; ``"shuffled"`` fills the
            batches at random, as in the thesis. Except with ``"patients"``, the slides of a patient
            are treated as independent.
        augment: Random changes of the training images: ``"flip"``, ``"stain"`` or both.
        micro_batch: Slides whose activations are in memory at a time; by default as many as have
            five million pixels together. The gradient is always that of the whole batch.
        dtype: ``"float32"``, or ``"mixed_bfloat16"``, which halves the memory.
        strategy: ``"one_device"``, or ``"mirrored"``, which divides each batch among all GPUs of
            the machine. The loss still compares all slides of the batch.
        seed: Random seed of the initial weights, the batches and the augmentation.

    Raises:
        ValueError: A value is invalid.
    """

    epochs: int = 50
    batch_size: int = 5
    learning_rate: float = 1e-3
    width: float = 1.0
    mean_penalty: float = 0.0
    mean_penalty_form: str = "squared_mean"
    ties: str = "breslow"
    normalization: str = "events"
    strata: bool = False
    batches: str = "events"
    augment: tuple[str, ...] = ()
    micro_batch: int | None = None
    dtype: str = "float32"
    strategy: str = "one_device"
    seed: int = 0

    def __post_init__(self) -> None:
        # A slide alone has nobody to be compared with, so nothing would be learned.
        for name, least in (("epochs", 1), ("batch_size", 2), ("micro_batch", 1), ("seed", 0)):
            if (value := getattr(self, name)) is not None or name != "micro_batch":
                object.__setattr__(self, name, whole_number(name, value, least))
        if self.seed >= 2**32:  # Keras takes no other.
            raise ValueError(f"seed must be below 2³², not {self.seed}")
        for name in ("learning_rate", "width"):
            value = number(name, getattr(self, name), "a number > 0", lambda v: v > 0)
            object.__setattr__(self, name, value)
        for name, allowed in (
            ("batches", BATCHES),
            ("dtype", DTYPES),
            ("strategy", STRATEGIES),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}"
                )
        listed = isinstance(self.augment, list | tuple)
        if not listed or not all(name in list(AUGMENTATIONS) for name in self.augment):
            raise ValueError(
                f"augment must be some of {', '.join(AUGMENTATIONS)}, not {self.augment!r}"
            )
        if len(set(self.augment)) < len(self.augment):
            raise ValueError(f"augment must name each augmentation once, not {self.augment!r}")
        object.__setattr__(self, "augment", tuple(self.augment))
        object.__setattr__(self, "mean_penalty", self.loss().mean_penalty)  # also checks it

    def loss(self) -> CoxPHLoss:
        """Return the loss. Strata are not part of it, but a column of the targets."""
        return CoxPHLoss(
            ties=self.ties,
            normalization=self.normalization,
            mean_penalty=self.mean_penalty,
            mean_penalty_form=self.mean_penalty_form,
        )

    def micro_batch_of(self, shape: tuple[int, int, int]) -> int:
        """Return how many images (height, width, channels) are processed at a time."""
        return self.micro_batch or at_a_time(shape)

    def record(self) -> dict:
        """Return the settings as JSON would return them."""
        return asdict(self) | {"augment": list(self.augment)}
