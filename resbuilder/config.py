"""Settings of a training and of a search, with the thesis' symbols and defaults (table in ch. 6).

One declaration serves Python, configuration files and the command line: the help text, symbol and
choices of each field are kept beside its default. Importing this module imports no backend.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from resbuilder.architecture import BLOCK_ORDERS

STARTS = ("rb-0net", "rb-r18", "resnet-20")

POSITIVE, NOT_NEGATIVE, FRACTION = "positive", "not negative", "between 0 and 1"
UNIT, BELOW_ONE, SEED = "in [0, 1]", "in [0, 1)", "in 0 … 2³²-1"
_RANGES: dict[str, Callable[[float], bool]] = {
    POSITIVE: lambda v: v > 0,
    NOT_NEGATIVE: lambda v: v >= 0,
    FRACTION: lambda v: 0 < v < 1,
    UNIT: lambda v: 0 <= v <= 1,
    BELOW_ONE: lambda v: 0 <= v < 1,
    SEED: lambda v: 0 <= v < 2**32,
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
    image_size: int | None = _option(
        None, "resize images of a folder to this side [as they are]", must_be=POSITIVE
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
    schedule: str = _option("constant", "learning rate schedule", choices=("constant", "cosine"))
    lambda_l2: float = _option(1e-5, "L2 on all kernels", symbol="λ_0", must_be=NOT_NEGATIVE)
    shift: float = _option(0.1, "random shift, share of the image's side", must_be=BELOW_ONE)
    flip: bool = _option(True, "random horizontal flips")
    validation_fraction: float = _option(
        0.2, "share of the training images kept for validation", must_be=FRACTION
    )
    train_limit: int | None = _option(
        None, "use only so many training images, validation included [all]", must_be=POSITIVE
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
            ValueError: If the strategy cannot be had on this machine.
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


@dataclass(frozen=True, kw_only=True)
class SearchConfig(TrainConfig):
    """Settings of a search (thesis table of hyperparameters, ch. 6).

    Raises:
        ValueError: If a setting has the wrong type, is outside its range or not among its choices.
    """

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

    @property
    def block_flops(self) -> float | None:
        """FLOPs that an inserted block may cost; None: any."""
        return self.insert_share and self.insert_share * self.flops

    def __post_init__(self) -> None:
        super().__post_init__()
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
