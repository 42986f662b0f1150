"""Settings of a training, with the symbols and defaults of the thesis (ch. 6)."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from resbuilder.architecture import BLOCK_ORDERS
from resbuilder.config.methods import METHODS, THESIS, of_a_search
from resbuilder.config.setting import (
    BELOW_ONE,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SIZE,
    ByMethod,
    by_method,
    checked,
    metadata,
    option,
    setting_types,
    sides,
)
from resbuilder.variants import FITS

STARTS = ("rb-0net", "rb-r18", "resnet-20")

Config = TypeVar("Config", bound="TrainConfig")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training.

    Raises:
        ValueError: If a setting has the wrong type, is out of range, or is not among its choices.
    """

    # field() itself, so that type checkers see that this setting is required.
    dataset: str = field(metadata=metadata("Name of a dataset, or a folder of images"))
    data_dir: str | None = option(
        None, "Folder with <dataset>.npz files", default_text="$RESBUILDER_DATA"
    )
    image_size: str | None = option(
        None,
        "Resize images of a folder to squares of this side, or to HEIGHTxWIDTH, in pixels",
        must_be=SIZE,
        default_text="chosen from the images and ζ",
    )
    fit: str = option(
        "stretch",
        "How images of a folder get the new shape: stretched, cropped, or padded with black bars",
        choices=FITS,
    )
    ela_quality: int | None = option(
        None,
        "Add error level analysis as channels, at this JPEG quality, to images of a folder",
        must_be=POSITIVE,
        default_text="no such channels",
    )
    start: str = option(
        "rb-0net",
        "Start network: rb-0net, rb-r18, resnet-20, a run folder, or the JSON file of an "
        "architecture",
    )
    width: int | None = option(
        None,
        "Channels of the start network's first convolution",
        must_be=POSITIVE,
        default_text="64; resnet-20: 16; in a search on a folder of images, chosen from ζ",
    )
    stages: int | None = option(
        None,
        "Stages of rb-0net",
        must_be=POSITIVE,
        default_text="3, and one more for each doubling of the side beyond 32 pixels",
    )
    stem: str = option(
        "imagenet",
        "Stem of rb-r18: 7×7 convolution with stride 2 and pooling, or 3×3 convolution",
        choices=("imagenet", "small"),
    )
    block_order: str = option(
        "conv_bn_relu",
        "Order of the layers in a block: as in equation 4.1, or as in the code released with the "
        "thesis",
        choices=BLOCK_ORDERS,
    )
    epochs: int = option(20, "Epochs per training", must_be=POSITIVE)
    batch_size: int = option(by_method(128, 32), "Images per batch", must_be=POSITIVE)
    learning_rate: float = option(by_method(1e-3, 3e-3), "Learning rate of Adam", must_be=POSITIVE)
    schedule: str = option(
        "constant",
        "Learning rate schedule: constant, or a cosine that falls to 0",
        choices=("constant", "cosine"),
    )
    warmup: float = option(
        0.0,
        "Fraction of the steps in which the learning rate rises from 0",
        must_be=BELOW_ONE,
    )
    weight_decay: float = option(
        by_method(0.0, 0.05), "Decoupled weight decay of all kernels (AdamW)", must_be=NOT_NEGATIVE
    )
    label_smoothing: float = option(
        by_method(0.0, 0.1),
        "Fraction of each label that is spread over all classes",
        must_be=BELOW_ONE,
    )
    class_weights: str | None = option(
        None,
        "balanced: weight the training loss so that all classes count equally, however rare",
        choices=("balanced",),
        default_text="all images count equally",
    )
    ema: float | None = option(
        None,
        "Average the weights and the statistics of batch normalization exponentially, with this "
        "decay per step; accuracies and saved networks are those of the averages",
        must_be=FRACTION,
        default_text="no averaging",
    )
    lambda_l2: float = option(
        1e-5, "L2 regularization of all kernels", symbol="λ_0", must_be=NOT_NEGATIVE
    )
    shift: float = option(
        0.1, "Largest random shift, as a fraction of the image's side", must_be=BELOW_ONE
    )
    flip: bool = option(True, "Random horizontal flips")
    validation_fraction: float = option(
        0.2, "Fraction of the training images held out for validation", must_be=FRACTION
    )
    train_limit: int | None = option(
        None,
        "Use at most this many training images, including those for validation",
        must_be=POSITIVE,
        default_text="all",
    )
    seed: int = option(0, "Random seed", must_be=SEED)
    jit_compile: bool = option(False, "Compile the training step with XLA; on JAX it always is")
    strategy: str = option(
        "one_device",
        "Train on one device, or divide each batch among all GPUs of the machine",
        choices=("one_device", "mirrored"),
    )
    tensorboard: bool = option(False, "Write TensorBoard logs into the run folder")

    def __post_init__(self) -> None:
        types, defaults = setting_types(type(self)), self._defaults()
        for f in fields(self):
            value = getattr(self, f.name)
            value = defaults[f.name] if isinstance(value, ByMethod) else value
            object.__setattr__(self, f.name, checked(f, types[f.name], value))
        if self.strategy == "mirrored" and self.jit_compile:
            raise ValueError(
                'strategy "mirrored" does not work with jit_compile: XLA cannot compile a training '
                "step in which the devices wait for each other; leave jit_compile out"
            )

    def _defaults(self) -> dict[str, Any]:
        """Return the default of each setting; a single training has those of method thesis."""
        method = getattr(self, "method", THESIS)
        own = method if method in METHODS else THESIS  # An unknown method fails in its check.
        return {
            f.name: getattr(f.default, own) if isinstance(f.default, ByMethod) else f.default
            for f in fields(self)
        }

    def resolved(self) -> Self:
        """Return the settings with absolute paths, so that a run can be resumed from anywhere.

        Raises:
            ValueError: If this machine cannot run the strategy.
        """
        from resbuilder.common.strategy import strategy_scope
        from resbuilder.datasets import absolute_name

        strategy_scope(self.strategy, self.batch_size)  # Called for its checks.

        def absolute(text: str) -> str:
            return str(Path(text).absolute()) if os.path.exists(text) else text

        data_dir = self.data_dir or os.environ.get("RESBUILDER_DATA")
        return replace(
            self,
            dataset=absolute_name(self.dataset, self.data_dir),
            # A name stays a name, even if there is a file of that name.
            start=self.start if self.start in STARTS else absolute(self.start),
            data_dir=absolute(data_dir) if data_dir else None,
        )

    @property
    def image_sides(self) -> tuple[int, int] | None:
        """Height and width to which images of a folder are resized; None if not set."""
        return sides(self.image_size or "")

    def to_json(self) -> dict:
        """Return a plain dictionary of all settings."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Make a configuration from named settings.

        Raises:
            ValueError: If a setting is unknown, missing or invalid.
        """
        known = {f.name: f for f in fields(cls)}
        if foreign := sorted(set(settings) & ({"method", "flops"} | of_a_search()) - set(known)):
            raise ValueError(
                f"these settings belong to a search, not to a training: {', '.join(foreign)}"
            )
        if unknown := sorted(set(settings) - set(known)):
            near = [n for u in unknown for n in difflib.get_close_matches(u, known, 2)]
            raise ValueError(
                f"unknown settings: {', '.join(name[:60] for name in unknown)}"
                + (f"; did you mean {', '.join(near)}?" if near else "")
            )
        if missing := [n for n, f in known.items() if f.default is MISSING and n not in settings]:
            raise ValueError(f"required settings are missing: {', '.join(missing)}")
        return cls(**settings)
