"""Settings of a training and of a search, with the thesis' symbols and defaults (table in ch. 6).

One declaration serves Python, configuration files and the command line: the help text, symbol and
choices of each field are kept beside its default. Importing this module imports no backend.
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
#: Hand-made networks that a race can be compared with, and the settings of each as a start.
CONTENDERS: dict[str, dict[str, str]] = {
    "resnet-20": {"start": "resnet-20"},
    "rb-r18": {"start": "rb-r18"},
    "rb-r18-small": {"start": "rb-r18", "stem": "small"},
}
# Settings that only one of the methods has.
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

POSITIVE, NOT_NEGATIVE, FRACTION = "positive", "not negative", "between 0 and 1"
UNIT, BELOW_ONE, SEED = "in [0, 1]", "in [0, 1)", "in 0 … 2³²-1"
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
    """What a setting may be: a value of ``kind``, and None if it is ``optional``."""

    kind: type[Any]
    optional: bool


def _option(
    default: Value,
    help: str,
    *,
    symbol: str | None = None,
    choices: tuple[str, ...] | None = None,
    must_be: str | None = None,
) -> Value:
    return field(default=default, metadata=_metadata(help, symbol, choices, must_be))


def _default(thesis: Value, race: Value) -> Value:
    """A default that depends on the method; settings never keep it (``__post_init__``)."""
    return cast(Value, ByMethod(thesis, race))


def _of_the_other(method: str) -> set[str]:
    """Return the settings that a method lacks and the other one has."""
    if method not in METHODS:  # It may be anything that a file has: a list is not hashable.
        return set()
    return _ONLY[THESIS if method == RACE else RACE]


def _foreign(names: list[str], method: str) -> str:
    other = THESIS if method == RACE else RACE
    return (
        f'settings of method "{other}": {", ".join(names)}; leave them out, or choose that method '
        f'instead of "{method}"'
    )


def _metadata(
    help: str,
    symbol: str | None = None,
    choices: tuple[str, ...] | None = None,
    must_be: str | None = None,
) -> dict[str, Any]:
    return {"help": help, "symbol": symbol, "choices": choices, "must_be": must_be}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training.

    Raises:
        ValueError: If a setting has the wrong type, is outside its range or not among its choices.
    """

    # field() itself: only so do type checkers see that this setting must be given.
    dataset: str = field(metadata=_metadata("name of a dataset, or a folder of images"))
    data_dir: str | None = _option(None, "folder with <dataset>.npz files [env RESBUILDER_DATA]")
    image_size: str | None = _option(
        None,
        "bring images of a folder to this side, or to HEIGHTxWIDTH [follows from images and ζ]",
        must_be=SIZE,
    )
    fit: str = _option(
        "stretch",
        "how images of a folder get another shape: stretched, cropped, or with black bars",
        choices=FITS,
    )
    ela_quality: int | None = _option(
        None,
        "images of a folder get error-level-analysis channels at this JPEG quality [none]",
        must_be=POSITIVE,
    )
    start: str = _option(
        "rb-0net",
        "start network: rb-0net, rb-r18, resnet-20, a run folder, or an architecture's JSON file",
    )
    width: int | None = _option(
        None, "channels of the start's first convolution [64; resnet-20: 16]", must_be=POSITIVE
    )
    stages: int | None = _option(
        None, "stages of rb-0net [3, one more per doubling beyond 32 pixels]", must_be=POSITIVE
    )
    stem: str = _option(
        "imagenet", "stem of rb-r18: 7×7/2 and pooling, or 3×3", choices=("imagenet", "small")
    )
    block_order: str = _option(
        "conv_bn_relu", "order inside a block: eq. 4.1 or the released code", choices=BLOCK_ORDERS
    )
    epochs: int = _option(20, "epochs of each training", must_be=POSITIVE)
    batch_size: int = _option(128, "images in a batch", must_be=POSITIVE)
    learning_rate: float = _option(1e-3, "Adam's step size", must_be=POSITIVE)
    schedule: str = _option(
        "constant",
        "learning rate: constant, or falling to 0 with every step along half a cosine",
        choices=("constant", "cosine"),
    )
    warmup: float = _option(
        0.0, "share of the steps in which the learning rate rises from 0", must_be=BELOW_ONE
    )
    weight_decay: float = _option(
        0.0, "decay of all kernels beside Adam's step (AdamW)", must_be=NOT_NEGATIVE
    )
    label_smoothing: float = _option(
        0.0, "share of each label that is spread over all classes", must_be=BELOW_ONE
    )
    class_weights: str | None = _option(
        None,
        "balanced: images of rare classes count more in the training loss, so that all classes "
        "count alike [all images count alike]",
        choices=("balanced",),
    )
    ema: float | None = _option(
        None,
        "average the weights, batch normalization's statistics too, with this decay per step; "
        "accuracies and saved networks are those of the averages [no averages]",
        must_be=FRACTION,
    )
    lambda_l2: float = _option(1e-5, "L2 on all kernels", symbol="λ_0", must_be=NOT_NEGATIVE)
    shift: float = _option(0.1, "random shift, share of the image's side", must_be=BELOW_ONE)
    flip: bool = _option(True, "random horizontal flips")
    validation_fraction: float = _option(
        0.2, "share of the training images kept for validation", must_be=FRACTION
    )
    train_limit: int | None = _option(
        None, "use at most this many training images, validation included [all]", must_be=POSITIVE
    )
    seed: int = _option(0, "seed of everything random", must_be=SEED)
    jit_compile: bool = _option(False, "compile the training step with XLA")
    strategy: str = _option(
        "one_device",
        "devices of a training: one, or all GPUs of the machine, among which batches are divided",
        choices=("one_device", "mirrored"),
    )
    tensorboard: bool = _option(False, "write TensorBoard logs into the run folder")

    def __post_init__(self) -> None:
        types = setting_types(type(self))
        for f in fields(self):
            value = _checked(f, types[f.name], getattr(self, f.name))
            object.__setattr__(self, f.name, value)
        if self.strategy == "mirrored" and self.jit_compile:
            raise ValueError(
                'with strategy "mirrored" TensorFlow cannot compile the training step with XLA, as '
                "the devices wait for each other in the middle of it; leave jit_compile out"
            )

    def resolved(self) -> Self:
        """The same settings with absolute paths, so that a run can be resumed from anywhere.

        Raises:
            ValueError: If this machine cannot run the strategy.
        """
        from resbuilder.common.strategy import strategy_scope
        from resbuilder.datasets import absolute_name

        strategy_scope(self.strategy, self.batch_size)  # which checks

        def absolute(text: str) -> str:
            return str(Path(text).absolute()) if Path(text).exists() else text

        data_dir = self.data_dir or os.environ.get("RESBUILDER_DATA")
        return replace(
            self,
            dataset=absolute_name(self.dataset, self.data_dir),
            # A name stays a name, also where a file happens to be called so.
            start=self.start if self.start in STARTS else absolute(self.start),
            data_dir=absolute(data_dir) if data_dir else None,
        )

    @property
    def image_sides(self) -> tuple[int, int] | None:
        """Height and width that images of a folder are brought to; None if that is not set."""
        found = _SIDES.fullmatch(self.image_size or "")
        return None if found is None else (int(found[1]), int(found[2] or found[1]))

    def to_json(self) -> dict:
        """A plain dictionary of all settings."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Make a configuration from named settings.

        Raises:
            ValueError: If a setting is unknown, missing or impossible.
        """
        known = {f.name: f for f in fields(cls)}
        if foreign := sorted(set(settings) & {f.name for f in fields(SearchConfig)} - set(known)):
            raise ValueError(f"settings of a search, not of a training: {', '.join(foreign)}")
        if unknown := sorted(set(settings) - set(known)):
            near = [n for u in unknown for n in difflib.get_close_matches(u, known, 2)]
            raise ValueError(
                f"unknown settings: {', '.join(name[:60] for name in unknown)}"
                + (f"; did you mean {', '.join(near)}?" if near else "")
            )
        if missing := [n for n, f in known.items() if f.default is MISSING and n not in settings]:
            raise ValueError(f"settings that must be given: {', '.join(missing)}")
        return cls(**settings)


class ByMethod(NamedTuple):
    """A default that depends on the method of a search; None where a method has none."""

    thesis: Any
    race: Any

    def __str__(self) -> str:
        race = f"race: {self.race}"
        return race if self.thesis is None else f"{self.thesis}; {race}"


@dataclass(frozen=True, kw_only=True)
class SearchConfig(TrainConfig):
    """Settings of a search; with the thesis' symbols, from its table of hyperparameters (ch. 6).

    Some settings belong to one method only. :meth:`to_json` leaves out those of the other, and
    giving one is an error.

    Raises:
        ValueError: If a setting has the wrong type, is outside its range, not among its choices, or
            not one of the method's.
    """

    method: str = _option(
        "thesis",
        "thesis: grow and prune one network, as the thesis does, to reproduce it; race: train "
        "candidates that fill ζ, drop the worse ones, train the best on, to get the best network",
        choices=METHODS,
    )
    batch_size: int = _option(_default(128, 32), "images in a batch", must_be=POSITIVE)
    learning_rate: float = _option(_default(1e-3, 3e-3), "Adam's step size", must_be=POSITIVE)
    weight_decay: float = _option(
        _default(0.0, 0.05), "decay of all kernels beside Adam's step (AdamW)", must_be=NOT_NEGATIVE
    )
    label_smoothing: float = _option(
        _default(0.0, 0.1), "share of each label spread over all classes", must_be=BELOW_ONE
    )
    ema: float | None = _option(
        None,
        "average the weights, batch normalization's statistics too, with this decay per step; "
        "accuracies and saved networks are those of the averages; in a race it acts in the rungs "
        "only [none; race: over an epoch]",
        must_be=FRACTION,
    )
    total_epochs: int | None = _option(
        _default(None, 42), "race: epochs of the whole search, of all candidates", must_be=POSITIVE
    )
    depths: str | None = _option(
        _default(None, "1,2"), "race: blocks in each stage of the candidates"
    )
    contenders: str | None = _option(
        None,
        "race: networks to compare with, scaled to ζ, each trained for total_epochs beside the "
        f"race: {', '.join(CONTENDERS)}, or JSON files, separated by commas",
    )
    flops: float = _option(1e8, "budget: FLOPs for one image", symbol="ζ", must_be=POSITIVE)
    rounds: int = _option(7, "MorphNet rounds", symbol="n_M", must_be=NOT_NEGATIVE)
    insertions: int = _option(
        4, "insertions before each MorphNet step", symbol="n_Λ", must_be=NOT_NEGATIVE
    )
    lambda_morphnet: float = _option(
        1e-7, "strength of MorphNet's term", symbol="λ_M", must_be=NOT_NEGATIVE
    )
    tau_morphnet: float = _option(
        1e-2, "threshold of an alive channel", symbol="τ_M", must_be=NOT_NEGATIVE
    )
    algorithm: str = _option(
        "group_lasso", "MorphNet's criterion", choices=("group_lasso", "gamma")
    )
    engine: str = _option(
        "native",
        "who computes MorphNet's term: resbuilder, or Google's morph_net where it is installed",
        choices=("native", "google"),
    )
    resource: str = _option(
        "flops",
        "resource that MorphNet's term weighs",
        choices=("flops", "model_size", "activation", "latency"),
    )
    peak_flops: float | None = _option(
        None, "peak rate of the device in FLOP/s, for latency", must_be=POSITIVE
    )
    bandwidth: float | None = _option(
        None, "memory bandwidth of the device in bytes/s, for latency", must_be=POSITIVE
    )
    intensity: float = _option(1.0, "share of MorphNet's change taken", symbol="I_M", must_be=UNIT)
    inherit_channels: bool = _option(
        False, "keep the surviving channels' weights after MorphNet [train from scratch]"
    )
    lambda_layer: float = _option(
        1e-8, "strength of LayerLasso", symbol="λ_Λ", must_be=NOT_NEGATIVE
    )
    tau_layer: float = _option(
        1e-3, "threshold of LayerLasso's removal", symbol="τ_Λ", must_be=NOT_NEGATIVE
    )
    layer_statistic: str = _option(
        "mean", "statistic of |w| per convolution", choices=("mean", "sum")
    )
    momentum: bool = _option(
        True, "LayerLasso momentum: keep all blocks after a good insertion", symbol="Θ_LL"
    )
    tau_momentum: float = _option(
        0.015, "gain in validation accuracy that counts as good", symbol="τ_LL"
    )
    insert_init: str = _option(
        "last_conv",
        "initial weights of an inserted block",
        choices=("last_conv", "last_gamma", "glorot"),
    )
    insert_share: float | None = _option(
        None,
        "share of ζ that an inserted block may cost, by its inner width; MorphNet then leaves room "
        "for the blocks of the next round [as wide as the layer before, whatever it costs]",
        must_be=FRACTION,
    )

    def to_json(self) -> dict:
        """A plain dictionary of all settings of the method."""
        other = _of_the_other(self.method)
        return {key: value for key, value in super().to_json().items() if key not in other}

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Make a configuration from named settings; without ``method`` it is the thesis'.

        Raises:
            ValueError: If a setting is unknown, missing, impossible, or of the other method.
        """
        method = settings.get("method", THESIS)
        if foreign := [name for name in settings if name in _of_the_other(method)]:
            raise ValueError(_foreign(foreign, method))
        return super().from_mapping(settings)

    @property
    def contender_names(self) -> tuple[str, ...]:
        """Names and files of the contenders."""
        return tuple(map(str.strip, self.contenders.split(","))) if self.contenders else ()

    @property
    def candidate_depths(self) -> tuple[int, ...]:
        """Blocks in each stage of the candidates of a race."""
        texts = [text.strip() for text in (self.depths or "").split(",")]
        if not all(text.isdecimal() and int(text) for text in texts):
            raise ValueError(
                f'depths must be whole numbers of blocks such as "1,2", got {self.depths!r}'
            )
        return tuple(dict.fromkeys(map(int, texts)))

    def resolved(self) -> Self:
        """As of a training, with absolute paths of contenders too."""
        paths = (
            name if name in CONTENDERS or not Path(name).exists() else str(Path(name).absolute())
            for name in self.contender_names
        )
        return replace(super().resolved(), contenders=",".join(paths) or None)

    @property
    def block_flops(self) -> float | None:
        """FLOPs that an inserted block may cost; None: any."""
        return self.insert_share and self.insert_share * self.flops

    def __post_init__(self) -> None:
        own = self.method if self.method in METHODS else THESIS  # An unknown one fails below.
        for f in fields(self):
            if isinstance(getattr(self, f.name), ByMethod):
                object.__setattr__(self, f.name, getattr(f.default, own))
        super().__post_init__()
        defaults = {
            f.name: getattr(f.default, own) if isinstance(f.default, ByMethod) else f.default
            for f in fields(self)
        }
        other = _of_the_other(self.method)
        if foreign := [n for n in defaults if n in other and getattr(self, n) != defaults[n]]:
            raise ValueError(_foreign(foreign, self.method))
        if self.method == RACE:
            _ = self.candidate_depths  # which checks
            if not all(self.contender_names):
                raise ValueError(f"contenders has an empty name: {self.contenders!r}")
            return
        if self.strategy == "mirrored" and self.engine == "google":
            raise ValueError(
                'engine "google" reads the graph of one device; take engine "native", which has '
                'the same values, or strategy "one_device"'
            )
        if self.insert_share and self.insert_share * self.insertions >= 1:
            raise ValueError(
                f"{self.insertions} insertions of insert_share {self.insert_share:g} leave nothing "
                f"of the budget; it must be below {1 / self.insertions:g}"
            )
        rates = {self.peak_flops is not None, self.bandwidth is not None}
        if rates != {self.resource == "latency"}:
            raise ValueError(
                'resource "latency", and no other, needs the peak rates of the device: peak_flops '
                "(FLOP/s) and bandwidth (bytes/s)"
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
        TypeError: If a setting is declared as something else than a whole number, a number, a
            truth value or text, or one of these or None.
    """
    hints, types = get_type_hints(config), {}
    for f in fields(config):
        declared = hints[f.name]
        union = get_origin(declared) in (Union, UnionType)
        kinds = set(get_args(declared) if union else [declared])
        if len(kinds - {NoneType}) != 1 or not kinds - {NoneType} <= _WORDINGS.keys():
            raise TypeError(
                f"{config.__name__}.{f.name} is declared as {declared}; a setting is int, float, "
                "bool or str, or one of these or None"
            )
        (kind,) = kinds - {NoneType}
        types[f.name] = SettingType(kind, NoneType in kinds)
    return types


def _checked(f: Field, declared: SettingType, value: Any) -> Any:
    """The value of a field, converted from int to float where that is meant, or ValueError."""
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
