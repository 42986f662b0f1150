"""Settings of a training and of a search, with the symbols and defaults of the thesis (ch. 6).

One declaration serves Python, configuration files and the command line: each field holds its
default, help text, symbol and choices. Importing this module imports no backend.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from resbuilder.architecture import BLOCK_ORDERS
from resbuilder.setting import (
    BELOW_ONE,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SIZE,
    UNIT,
    ByMethod,
    by_method,
    checked,
    metadata,
    option,
    setting_types,
    sides,
)

FITS = ("stretch", "crop", "letterbox")
STARTS = ("rb-0net", "rb-r18", "resnet-20")
THESIS, RACE = METHODS = ("thesis", "race")
#: Hand-made networks that a race can be compared with, and the settings that build each one.
CONTENDERS: dict[str, dict[str, str]] = {
    "resnet-20": {"start": "resnet-20"},
    "rb-r18": {"start": "rb-r18"},
    "rb-r18-small": {"start": "rb-r18", "stem": "small"},
}
# Settings that belong to only one of the methods.
_ONLY = {
    RACE: {"total_epochs", "depths", "contenders"},
    THESIS: {
        *("start", "width", "stages", "stem", "epochs", "schedule", "warmup"),
        *("rounds", "insertions", "insert_init", "insert_share"),
        *("lambda_morphnet", "tau_morphnet", "algorithm", "engine", "resource", "peak_flops"),
        *("bandwidth", "intensity", "inherit_channels"),
        *("lambda_layer", "tau_layer", "layer_statistic", "momentum", "tau_momentum"),
    },
}

Config = TypeVar("Config", bound="TrainConfig")


def only_method(name: str) -> str | None:
    """Return the only method that has a setting, or None if both have it."""
    return next((method for method, names in _ONLY.items() if name in names), None)


def _of_other_method(method: str) -> set[str]:
    """Return the settings that only the other method has."""
    if method not in METHODS:  # A file may hold anything here; a list is not hashable.
        return set()
    return _ONLY[THESIS if method == RACE else RACE]


def _wrong_method(names: list[str], method: str) -> str:
    other = THESIS if method == RACE else RACE
    return (
        f'these settings belong to method "{other}", but the method is "{method}": '
        f"{', '.join(names)}; leave them out or choose the other method"
    )


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
        default_text="64; resnet-20: 16",
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
            return str(Path(text).absolute()) if Path(text).exists() else text

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
        if foreign := sorted(set(settings) & {f.name for f in fields(SearchConfig)} - set(known)):
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


@dataclass(frozen=True, kw_only=True)
class SearchConfig(TrainConfig):
    """Settings of a search, with the symbols of the thesis' table of hyperparameters (ch. 6).

    Some settings belong to one method only. :meth:`to_json` leaves out those of the other method,
    and it is an error to set one.

    Raises:
        ValueError: If a setting has the wrong type, is out of range, is not among its choices, or
            belongs to the other method.
    """

    method: str = option(
        "thesis",
        "thesis: grow and prune one network, to reproduce the thesis; race: train candidates, "
        "drop the worse ones and join the best two, to get the most accurate network",
        choices=METHODS,
    )
    ema: float | None = option(
        None,
        "Average the weights and the statistics of batch normalization exponentially, with this "
        "decay per step; accuracies and saved networks are those of the averages; a race averages "
        "in its trial only",
        must_be=FRACTION,
        default_text="no averaging; race: over about one epoch",
    )
    total_epochs: int | None = option(
        by_method(None, 42), "Epochs of the whole search, over all candidates", must_be=POSITIVE
    )
    depths: str | None = option(
        by_method(None, "1,2"),
        "Numbers of blocks per stage to try, separated by commas; a candidate has the same number "
        "in each stage that has blocks",
    )
    contenders: str | None = option(
        None,
        "Networks to compare the race with, separated by commas: "
        f"{', '.join(CONTENDERS)}, run folders, or JSON files of architectures; each is scaled to "
        "ζ and trained for --total-epochs",
        default_text="none",
    )
    flops: float = option(1e8, "FLOPs budget per image", symbol="ζ", must_be=POSITIVE)
    rounds: int = option(7, "MorphNet rounds", symbol="n_M", must_be=NOT_NEGATIVE)
    insertions: int = option(
        4, "Block insertions before each MorphNet step", symbol="n_Λ", must_be=NOT_NEGATIVE
    )
    lambda_morphnet: float = option(
        1e-7, "Strength of the MorphNet regularizer", symbol="λ_M", must_be=NOT_NEGATIVE
    )
    tau_morphnet: float = option(
        1e-2,
        "Threshold above which MorphNet keeps a channel",
        symbol="τ_M",
        must_be=NOT_NEGATIVE,
    )
    algorithm: str = option(
        "group_lasso",
        "What MorphNet compares with its threshold: the norm of a channel's weights, or its γ in "
        "batch normalization",
        choices=("group_lasso", "gamma"),
    )
    engine: str = option(
        "native",
        "Implementation of the MorphNet regularizer: resbuilder's, or Google's morph_net if it is "
        "installed",
        choices=("native", "google"),
    )
    resource: str = option(
        "flops",
        "Resource that the MorphNet regularizer weighs",
        choices=("flops", "model_size", "activation", "latency"),
    )
    peak_flops: float | None = option(
        None, "Peak rate of the device in FLOP/s, for --resource latency", must_be=POSITIVE
    )
    bandwidth: float | None = option(
        None, "Memory bandwidth of the device in bytes/s, for --resource latency", must_be=POSITIVE
    )
    intensity: float = option(
        1.0, "Fraction of MorphNet's change to apply", symbol="I_M", must_be=UNIT
    )
    inherit_channels: bool = option(
        False,
        "Keep the weights of the channels that MorphNet keeps, instead of training from scratch",
    )
    lambda_layer: float = option(1e-8, "Strength of LayerLasso", symbol="λ_Λ", must_be=NOT_NEGATIVE)
    tau_layer: float = option(
        1e-3,
        "Threshold below which LayerLasso removes a block",
        symbol="τ_Λ",
        must_be=NOT_NEGATIVE,
    )
    layer_statistic: str = option(
        "mean",
        "Statistic of |w| over a convolution that is compared with the threshold",
        choices=("mean", "sum"),
    )
    momentum: bool = option(
        True, "LayerLasso momentum: keep all blocks after a good insertion", symbol="Θ_LL"
    )
    tau_momentum: float = option(
        0.015, "Gain in validation accuracy that makes an insertion a good one", symbol="τ_LL"
    )
    insert_init: str = option(
        "last_conv",
        "Initial weights of an inserted block: its last convolution near 0, its last γ near 0, or "
        "the usual Glorot initialization",
        choices=("last_conv", "last_gamma", "glorot"),
    )
    insert_share: float | None = option(
        None,
        "Fraction of ζ that an inserted block may need; its inner width follows, and MorphNet "
        "leaves room for the blocks of the next round",
        must_be=FRACTION,
        default_text="any; the block is as wide as the layer before it",
    )

    def to_json(self) -> dict:
        """Return a plain dictionary of all settings of the method."""
        other = _of_other_method(self.method)
        return {key: value for key, value in super().to_json().items() if key not in other}

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Make a configuration from named settings; ``method`` is the thesis' by default.

        Raises:
            ValueError: If a setting is unknown, missing or invalid, or belongs to the other method.
        """
        method = settings.get("method", THESIS)
        if foreign := [name for name in settings if name in _of_other_method(method)]:
            raise ValueError(_wrong_method(foreign, method))
        return super().from_mapping(settings)

    @property
    def contender_names(self) -> tuple[str, ...]:
        """The names and files of the contenders."""
        return tuple(map(str.strip, self.contenders.split(","))) if self.contenders else ()

    @property
    def candidate_depths(self) -> tuple[int, ...]:
        """The numbers of blocks per stage that a race tries."""
        texts = [text.strip() for text in (self.depths or "").split(",")]
        if not all(text.isdecimal() and int(text) for text in texts):
            raise ValueError(
                'depths must be positive whole numbers, separated by commas, such as "1,2"; got '
                f"{self.depths!r}"
            )
        return tuple(dict.fromkeys(map(int, texts)))

    def resolved(self) -> Self:
        """Return the settings with absolute paths, including those of contenders.

        Raises:
            ValueError: If this machine cannot run the strategy.
        """
        paths = (
            name if name in CONTENDERS or not Path(name).exists() else str(Path(name).absolute())
            for name in self.contender_names
        )
        return replace(super().resolved(), contenders=",".join(paths) or None)

    @property
    def block_flops(self) -> float | None:
        """The most FLOPs that an inserted block may need; None means any number."""
        return self.insert_share and self.insert_share * self.flops

    def __post_init__(self) -> None:
        super().__post_init__()
        defaults = self._defaults()
        other = _of_other_method(self.method)
        if foreign := [n for n in defaults if n in other and getattr(self, n) != defaults[n]]:
            raise ValueError(_wrong_method(foreign, self.method))
        if self.method == RACE:
            _ = self.candidate_depths  # Read for its checks.
            if not all(self.contender_names):
                raise ValueError(f"contenders has an empty name: {self.contenders!r}")
            return
        if self.strategy == "mirrored" and self.engine == "google":
            raise ValueError(
                'engine "google" reads the graph of one device; choose engine "native", which '
                'computes the same values, or strategy "one_device"'
            )
        if self.insert_share and self.insert_share * self.insertions >= 1:
            raise ValueError(
                f"{self.insertions} insertions with insert_share {self.insert_share:g} use up the "
                f"FLOPs budget; insert_share must be below {1 / self.insertions:g}"
            )
        rates = (self.peak_flops is not None, self.bandwidth is not None)
        if self.resource == "latency" and not all(rates):
            raise ValueError(
                'resource "latency" needs the peak rates of the device: give both peak_flops= '
                "(FLOP/s) and bandwidth= (bytes/s)"
            )
        if self.resource != "latency" and any(rates):
            raise ValueError(
                'peak_flops= and bandwidth= are for resource "latency" only, but the resource is '
                f'"{self.resource}"; leave them out'
            )
        if self.insert_init == "last_gamma" and self.block_order != "conv_bn_relu":
            raise ValueError(
                'insert_init "last_gamma" needs block_order "conv_bn_relu": in the other order the '
                "last normalization is inside the block"
            )
