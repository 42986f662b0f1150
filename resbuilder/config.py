"""Settings of a training and of a search, with the symbols and defaults of the thesis (ch. 6).

One declaration serves Python, configuration files and the command line: each field holds its
default, help text, symbol and choices. Importing this module imports no backend.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from resbuilder.architecture import BLOCK_ORDERS

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

# What a value must be, as error messages say it: "epochs must be positive, got 0".
POSITIVE, NOT_NEGATIVE, FRACTION = "positive", "at least 0", "between 0 and 1"
UNIT, BELOW_ONE, SEED = "in [0, 1]", "in [0, 1)", "in [0, 2³²)"
SIZE = "a side in pixels such as 64, or height and width such as 96x64"
_SIDES = re.compile(r"0*([1-9]\d{0,4})(?:[x×]0*([1-9]\d{0,4}))?")
_RANGES: dict[str, Callable[[Any], bool]] = {
    POSITIVE: lambda v: v > 0,
    NOT_NEGATIVE: lambda v: v >= 0,
    FRACTION: lambda v: 0 < v < 1,
    UNIT: lambda v: 0 <= v <= 1,
    BELOW_ONE: lambda v: 0 <= v < 1,
    SEED: lambda v: 0 <= v < 2**32,
    SIZE: lambda v: _SIDES.fullmatch(v) is not None,
}
_WORDINGS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}

Value = TypeVar("Value")
Config = TypeVar("Config", bound="TrainConfig")


class SettingType(NamedTuple):
    """The type of a setting: a value of ``kind``, or None if it is ``optional``."""

    kind: type[Any]
    optional: bool


def _option(
    default: Value,
    help: str,
    *,
    symbol: str | None = None,
    choices: tuple[str, ...] | None = None,
    must_be: str | None = None,
    default_text: str | None = None,
) -> Value:
    return field(default=default, metadata=_metadata(help, symbol, choices, must_be, default_text))


def _default(thesis: Value, race: Value) -> Value:
    """Return a default that depends on the method; ``__post_init__`` replaces it by a value."""
    return cast(Value, ByMethod(thesis, race))


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


def _metadata(
    help: str,
    symbol: str | None = None,
    choices: tuple[str, ...] | None = None,
    must_be: str | None = None,
    default_text: str | None = None,
) -> dict[str, Any]:
    """Return what is known of a field.

    Args:
        help: What the setting does.
        symbol: Its symbol in the thesis.
        choices: The values that it may have.
        must_be: One of the conditions in ``_RANGES``.
        default_text: What ``--help`` shows as the default, where the value does not say it.
    """
    return {
        "help": help,
        "symbol": symbol,
        "choices": choices,
        "must_be": must_be,
        "default_text": default_text,
    }


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training.

    Raises:
        ValueError: If a setting has the wrong type, is out of range, or is not among its choices.
    """

    # field() itself, so that type checkers see that this setting is required.
    dataset: str = field(metadata=_metadata("Name of a dataset, or a folder of images"))
    data_dir: str | None = _option(
        None, "Folder with <dataset>.npz files", default_text="$RESBUILDER_DATA"
    )
    image_size: str | None = _option(
        None,
        "Resize images of a folder to squares of this side, or to HEIGHTxWIDTH, in pixels",
        must_be=SIZE,
        default_text="chosen from the images and ζ",
    )
    fit: str = _option(
        "stretch",
        "How images of a folder get the new shape: stretched, cropped, or padded with black bars",
        choices=FITS,
    )
    ela_quality: int | None = _option(
        None,
        "Add error level analysis as channels, at this JPEG quality, to images of a folder",
        must_be=POSITIVE,
        default_text="no such channels",
    )
    start: str = _option(
        "rb-0net",
        "Start network: rb-0net, rb-r18, resnet-20, a run folder, or the JSON file of an "
        "architecture",
    )
    width: int | None = _option(
        None,
        "Channels of the start network's first convolution",
        must_be=POSITIVE,
        default_text="64; resnet-20: 16",
    )
    stages: int | None = _option(
        None,
        "Stages of rb-0net",
        must_be=POSITIVE,
        default_text="3, and one more for each doubling of the side beyond 32 pixels",
    )
    stem: str = _option(
        "imagenet",
        "Stem of rb-r18: 7×7 convolution with stride 2 and pooling, or 3×3 convolution",
        choices=("imagenet", "small"),
    )
    block_order: str = _option(
        "conv_bn_relu",
        "Order of the layers in a block: as in equation 4.1, or as in the code released with the "
        "thesis",
        choices=BLOCK_ORDERS,
    )
    epochs: int = _option(20, "Epochs per training", must_be=POSITIVE)
    batch_size: int = _option(128, "Images per batch", must_be=POSITIVE)
    learning_rate: float = _option(1e-3, "Learning rate of Adam", must_be=POSITIVE)
    schedule: str = _option(
        "constant",
        "Learning rate schedule: constant, or a cosine that falls to 0",
        choices=("constant", "cosine"),
    )
    warmup: float = _option(
        0.0,
        "Fraction of the steps in which the learning rate rises from 0",
        must_be=BELOW_ONE,
    )
    weight_decay: float = _option(
        0.0, "Decoupled weight decay of all kernels (AdamW)", must_be=NOT_NEGATIVE
    )
    label_smoothing: float = _option(
        0.0, "Fraction of each label that is spread over all classes", must_be=BELOW_ONE
    )
    class_weights: str | None = _option(
        None,
        "balanced: weight the training loss so that all classes count equally, however rare",
        choices=("balanced",),
        default_text="all images count equally",
    )
    ema: float | None = _option(
        None,
        "Average the weights and the statistics of batch normalization exponentially, with this "
        "decay per step; accuracies and saved networks are those of the averages",
        must_be=FRACTION,
        default_text="no averaging",
    )
    lambda_l2: float = _option(
        1e-5, "L2 regularization of all kernels", symbol="λ_0", must_be=NOT_NEGATIVE
    )
    shift: float = _option(
        0.1, "Largest random shift, as a fraction of the image's side", must_be=BELOW_ONE
    )
    flip: bool = _option(True, "Random horizontal flips")
    validation_fraction: float = _option(
        0.2, "Fraction of the training images held out for validation", must_be=FRACTION
    )
    train_limit: int | None = _option(
        None,
        "Use at most this many training images, including those for validation",
        must_be=POSITIVE,
        default_text="all",
    )
    seed: int = _option(0, "Random seed", must_be=SEED)
    jit_compile: bool = _option(False, "Compile the training step with XLA")
    strategy: str = _option(
        "one_device",
        "Train on one device, or divide each batch among all GPUs of the machine",
        choices=("one_device", "mirrored"),
    )
    tensorboard: bool = _option(False, "Write TensorBoard logs into the run folder")

    def __post_init__(self) -> None:
        types = setting_types(type(self))
        for f in fields(self):
            value = _checked(f, types[f.name], getattr(self, f.name))
            object.__setattr__(self, f.name, value)
        if self.strategy == "mirrored" and self.jit_compile:
            raise ValueError(
                'strategy "mirrored" does not work with jit_compile: XLA cannot compile a training '
                "step in which the devices wait for each other; leave jit_compile out"
            )

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
        found = _SIDES.fullmatch(self.image_size or "")
        return None if found is None else (int(found[1]), int(found[2] or found[1]))

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


class ByMethod(NamedTuple):
    """A default that depends on the method of a search; None where a method has no default."""

    thesis: Any
    race: Any


@dataclass(frozen=True, kw_only=True)
class SearchConfig(TrainConfig):
    """Settings of a search, with the symbols of the thesis' table of hyperparameters (ch. 6).

    Some settings belong to one method only. :meth:`to_json` leaves out those of the other method,
    and it is an error to set one.

    Raises:
        ValueError: If a setting has the wrong type, is out of range, is not among its choices, or
            belongs to the other method.
    """

    method: str = _option(
        "thesis",
        "thesis: grow and prune one network, to reproduce the thesis; race: train candidates that "
        "fill ζ, drop the worse ones and continue with the best, to get the most accurate network",
        choices=METHODS,
    )
    batch_size: int = _option(_default(128, 32), "Images per batch", must_be=POSITIVE)
    learning_rate: float = _option(_default(1e-3, 3e-3), "Learning rate of Adam", must_be=POSITIVE)
    weight_decay: float = _option(
        _default(0.0, 0.05), "Decoupled weight decay of all kernels (AdamW)", must_be=NOT_NEGATIVE
    )
    label_smoothing: float = _option(
        _default(0.0, 0.1),
        "Fraction of each label that is spread over all classes",
        must_be=BELOW_ONE,
    )
    ema: float | None = _option(
        None,
        "Average the weights and the statistics of batch normalization exponentially, with this "
        "decay per step; accuracies and saved networks are those of the averages; a race averages "
        "in its rungs only",
        must_be=FRACTION,
        default_text="no averaging; race: over about one epoch",
    )
    total_epochs: int | None = _option(
        _default(None, 42), "Epochs of the whole search, over all candidates", must_be=POSITIVE
    )
    depths: str | None = _option(
        _default(None, "1,2"),
        "Numbers of blocks per stage to try, separated by commas; a candidate has the same number "
        "in each stage that has blocks",
    )
    contenders: str | None = _option(
        None,
        "Networks to compare the race with, separated by commas: "
        f"{', '.join(CONTENDERS)}, or JSON files of architectures; each is scaled to ζ and trained "
        "for --total-epochs",
        default_text="none",
    )
    flops: float = _option(1e8, "FLOPs budget per image", symbol="ζ", must_be=POSITIVE)
    rounds: int = _option(7, "MorphNet rounds", symbol="n_M", must_be=NOT_NEGATIVE)
    insertions: int = _option(
        4, "Block insertions before each MorphNet step", symbol="n_Λ", must_be=NOT_NEGATIVE
    )
    lambda_morphnet: float = _option(
        1e-7, "Strength of the MorphNet regularizer", symbol="λ_M", must_be=NOT_NEGATIVE
    )
    tau_morphnet: float = _option(
        1e-2,
        "Threshold above which MorphNet keeps a channel",
        symbol="τ_M",
        must_be=NOT_NEGATIVE,
    )
    algorithm: str = _option(
        "group_lasso",
        "What MorphNet compares with its threshold: the norm of a channel's weights, or its γ in "
        "batch normalization",
        choices=("group_lasso", "gamma"),
    )
    engine: str = _option(
        "native",
        "Implementation of the MorphNet regularizer: resbuilder's, or Google's morph_net if it is "
        "installed",
        choices=("native", "google"),
    )
    resource: str = _option(
        "flops",
        "Resource that the MorphNet regularizer weighs",
        choices=("flops", "model_size", "activation", "latency"),
    )
    peak_flops: float | None = _option(
        None, "Peak rate of the device in FLOP/s, for --resource latency", must_be=POSITIVE
    )
    bandwidth: float | None = _option(
        None, "Memory bandwidth of the device in bytes/s, for --resource latency", must_be=POSITIVE
    )
    intensity: float = _option(
        1.0, "Fraction of MorphNet's change to apply", symbol="I_M", must_be=UNIT
    )
    inherit_channels: bool = _option(
        False,
        "Keep the weights of the channels that MorphNet keeps, instead of training from scratch",
    )
    lambda_layer: float = _option(
        1e-8, "Strength of LayerLasso", symbol="λ_Λ", must_be=NOT_NEGATIVE
    )
    tau_layer: float = _option(
        1e-3,
        "Threshold below which LayerLasso removes a block",
        symbol="τ_Λ",
        must_be=NOT_NEGATIVE,
    )
    layer_statistic: str = _option(
        "mean",
        "Statistic of |w| over a convolution that is compared with the threshold",
        choices=("mean", "sum"),
    )
    momentum: bool = _option(
        True, "LayerLasso momentum: keep all blocks after a good insertion", symbol="Θ_LL"
    )
    tau_momentum: float = _option(
        0.015, "Gain in validation accuracy that makes an insertion a good one", symbol="τ_LL"
    )
    insert_init: str = _option(
        "last_conv",
        "Initial weights of an inserted block: its last convolution near 0, its last γ near 0, or "
        "the usual Glorot initialization",
        choices=("last_conv", "last_gamma", "glorot"),
    )
    insert_share: float | None = _option(
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
        own = self.method if self.method in METHODS else THESIS  # An unknown method fails below.
        for f in fields(self):
            if isinstance(getattr(self, f.name), ByMethod):
                object.__setattr__(self, f.name, getattr(f.default, own))
        super().__post_init__()
        defaults = {
            f.name: getattr(f.default, own) if isinstance(f.default, ByMethod) else f.default
            for f in fields(self)
        }
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


def setting_types(config: type[TrainConfig]) -> dict[str, SettingType]:
    """Return the types of the settings of a configuration class, by name.

    ``int | None`` and ``Optional[int]`` mean the same.

    Raises:
        TypeError: If a setting is declared as anything other than int, float, bool or str, or one
            of these or None.
    """
    hints, types = get_type_hints(config), {}
    for f in fields(config):
        declared = hints[f.name]
        union = get_origin(declared) in (Union, UnionType)
        kinds = set(get_args(declared) if union else [declared])
        if len(kinds - {NoneType}) != 1 or not kinds - {NoneType} <= _WORDINGS.keys():
            raise TypeError(
                f"{config.__name__}.{f.name} is declared as {declared}; expected int, float, bool "
                "or str, or one of these or None"
            )
        (kind,) = kinds - {NoneType}
        types[f.name] = SettingType(kind, NoneType in kinds)
    return types


def _checked(f: Field, declared: SettingType, value: Any) -> Any:
    """Return the value of a field, as a float where an int was given for one.

    Raises:
        ValueError: If it has the wrong type, is out of range, or is not among the choices.
    """
    metadata, kind = f.metadata, declared.kind
    if value is None and declared.optional:
        return None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        # A whole number may be larger than any float.
        value = float(value) if abs(value) < 2**1023 else math.inf
    if kind is str and isinstance(value, Path):
        value = str(value)
    if metadata["must_be"] == SIZE and isinstance(value, int | tuple | list):
        value = "x".join(map(str, value if isinstance(value, tuple | list) else (value,)))
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{f.name} must be {_WORDINGS[kind]}, got {value!r}")
    if kind is str and not value.strip():
        raise ValueError(f"{f.name} is empty; leave it out or give a value")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{f.name} must be finite, got {value}")
    if metadata["choices"] and value not in metadata["choices"]:
        raise ValueError(f"{f.name} must be one of {list(metadata['choices'])}, got {value!r}")
    if metadata["must_be"] and not _RANGES[metadata["must_be"]](value):
        raise ValueError(f"{f.name} must be {metadata['must_be']}, got {value}")
    return value
