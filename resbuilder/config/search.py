"""Settings of a search, with the symbols and defaults of the thesis (ch. 6)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from resbuilder.config.methods import METHODS, RACE, THESIS, of_other_method, wrong_method
from resbuilder.config.setting import FRACTION, NOT_NEGATIVE, POSITIVE, UNIT, by_method, option
from resbuilder.config.training import TrainConfig

#: Hand-made networks that a race can be compared with, and the settings that build each one.
CONTENDERS: dict[str, dict[str, str]] = {
    "resnet-20": {"start": "resnet-20"},
    "rb-r18": {"start": "rb-r18"},
    "rb-r18-small": {"start": "rb-r18", "stem": "small"},
}


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
        several=True,
    )
    contenders: str | None = option(
        None,
        "Networks to compare the race with, separated by commas: "
        f"{', '.join(CONTENDERS)}, run folders, or JSON files of architectures; each is scaled to "
        "ζ and trained for --total-epochs",
        default_text="none",
        several=True,
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
        "Fraction of ζ that an inserted block may need; its inner width follows, with one channel "
        "at least, and MorphNet leaves room for the blocks of the next round",
        must_be=FRACTION,
        default_text="any; the block is as wide as the layer before it",
    )

    def to_json(self) -> dict:
        """Return a plain dictionary of all settings of the method."""
        other = of_other_method(self.method)
        return {key: value for key, value in super().to_json().items() if key not in other}

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Make a configuration from named settings; ``method`` is the thesis' by default.

        Raises:
            ValueError: If a setting is unknown, missing or invalid, or belongs to the other method.
        """
        method = settings.get("method", THESIS)
        if foreign := [name for name in settings if name in of_other_method(method)]:
            raise ValueError(wrong_method(foreign, method))
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
            ValueError: If this machine cannot run the strategy, or the path of a contender has a
                comma.
        """
        paths = [
            name if name in CONTENDERS or not os.path.exists(name) else str(Path(name).absolute())
            for name in self.contender_names
        ]
        if odd := [path for path in paths if "," in path]:
            raise ValueError(
                f"the contender {odd[0]} has a comma in its path, but commas separate contenders; "
                "move it to another folder"
            )
        return replace(super().resolved(), contenders=",".join(paths) or None)

    @property
    def block_flops(self) -> float | None:
        """The most FLOPs that an inserted block may need; None means any number."""
        return self.insert_share and self.insert_share * self.flops

    def __post_init__(self) -> None:
        super().__post_init__()
        defaults = self._defaults()
        other = of_other_method(self.method)
        if foreign := [n for n in defaults if n in other and getattr(self, n) != defaults[n]]:
            raise ValueError(wrong_method(foreign, self.method))
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
