"""What a user decides about a training."""

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
    """How a network is trained; the defaults of the first four are the thesis'.

    Args:
        epochs: How often every slide is seen.
        batch_size: Slides in a batch, the most that compete with each other in the loss.
        learning_rate: Of Adam.
        width: Factor on the units of the network, see :func:`survival.vgg_survival_model`.
        mean_penalty: λ of the loss, see :class:`survival.CoxPHLoss`, and so the next three.
        mean_penalty_form: ``"squared_mean"`` or ``"squared_sum"``.
        ties: ``"breslow"`` or ``"efron"``.
        normalization: ``"events"``, ``"batch"`` or ``"sum"``.
        strata: Whether slides of different datasets never compete.
        batches: ``"events"``: events are dealt out evenly over the batches; ``"patients"``: so,
            and slides of a patient stay in one batch; ``"shuffled"``: drawn at random, as in the
            thesis. But for ``"patients"``, slides of a patient count as independent.
        augment: Which random changes the training images undergo, ``"flip"``, ``"stain"``.
        micro_batch: Slides whose activations are in memory at a time; by default as many as have
            five million pixels together. The gradient is that of the whole batch in any case.
        dtype: ``"float32"``; ``"mixed_bfloat16"`` halves the memory.
        strategy: ``"one_device"``, or ``"mirrored"``: batches are divided among all GPUs of the
            machine, and slides compete across them as on one.
        seed: Of weights, batches and augmentation.

    Raises:
        ValueError: Values that make no sense.
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
        for name in ("epochs", "batch_size", "micro_batch"):
            if name != "micro_batch" or self.micro_batch is not None:
                whole_number(name, getattr(self, name))
        whole_number("seed", self.seed, least=0)
        for name in ("learning_rate", "width"):
            number(name, getattr(self, name), "a number > 0", lambda v: v > 0)
        for name, allowed in (
            ("batches", BATCHES),
            ("dtype", DTYPES),
            ("strategy", STRATEGIES),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}"
                )
        if isinstance(self.augment, str) or set(self.augment) - set(AUGMENTATIONS):
            raise ValueError(
                f"augment must be some of {', '.join(AUGMENTATIONS)}, not {self.augment!r}"
            )
        object.__setattr__(self, "augment", tuple(self.augment))
        self.loss()  # which checks its own arguments

    def loss(self) -> CoxPHLoss:
        """The loss, but for the strata, which are a column of the targets."""
        return CoxPHLoss(
            ties=self.ties,
            normalization=self.normalization,
            mean_penalty=self.mean_penalty,
            mean_penalty_form=self.mean_penalty_form,
        )

    def micro_batch_of(self, shape: tuple[int, int, int]) -> int:
        """Images of a shape (height, width, channels) whose activations are in memory at a time."""
        return self.micro_batch or at_a_time(shape)

    def record(self) -> dict:
        """As JSON gives it back."""
        return asdict(self) | {"augment": list(self.augment)}
