"""The immutable description of a residual network that everything else reads.

An architecture describes the layers of a network, not its weights::

    stem convolution → stage 1 → stage 2 → … → global average pooling → dense head

A stage is a sequence of residual blocks at one resolution and one width. A block is
``x + relu(BN(conv(relu(BN(conv x)))))`` (thesis eq. 4.1). Stages are joined by 2×2 max pooling
(RB-0Net, fig. 6.1), which keeps the width; or by a strided block with a 1×1/2 projection on the
skip connection (ResNet-18, fig. 6.2), which may change it. This projection sees every fourth pixel
only, unless 2×2 average pooling comes before it (ResNet-D, He et al. 2019).

Several such trunks may stand beside each other: each reads the image, and the logits of the network
are the mean of theirs. All names in trunk k begin with ``t<k>_``, except in trunk 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from resbuilder.architecture import serialization, text
from resbuilder.architecture.checks import PROJECTIONS, check

FORMAT = "resbuilder.architecture"
# Version 2 has trunks beside the first, and transition "average". Networks without these are still
# written as version 1.
VERSION = 2


class Convolution(NamedTuple):
    """One convolution of an architecture: its Keras layer name and its geometry."""

    name: str
    kernel: int
    stride: int
    in_channels: int
    out_channels: int
    in_size: tuple[int, int]
    out_size: tuple[int, int]


@dataclass(frozen=True)
class Stem:
    """The first convolution, optionally followed by 3×3/2 max pooling (ImageNet stem)."""

    width: int
    kernel: int = 3
    stride: int = 1
    pool: bool = False


@dataclass(frozen=True)
class Block:
    """A residual block of two 3×3 convolutions: ``inner`` channels, then the stage's width.

    The name links a block to its trained weights. Comparisons ignore it, so that two
    architectures are equal exactly when they describe the same network.
    """

    inner: int
    stride: int = 1
    name: str = field(default="", compare=False)


@dataclass(frozen=True)
class Stage:
    """Residual blocks of one width, and the transition from the stage before."""

    width: int
    transition: str = "none"
    blocks: tuple[Block, ...] = ()

    @property
    def projects(self) -> bool:
        """Whether a 1×1 convolution on the skip connection leads to this stage."""
        return self.transition in PROJECTIONS


@dataclass(frozen=True)
class Architecture:
    """A residual network, hashable and comparable.

    Args:
        input_shape: (height, width, channels) of one image.
        classes: Number of output logits.
        stem: The first convolution.
        stages: At least one stage. ``transition="none"`` and ``"pool"`` keep the number of
            channels, so the stage's width must equal that of the stage (or stem) before it.
            ``"projection"`` and ``"average"`` halve the resolution and may change the width; the
            latter averages 2×2 pixels before the 1×1 convolution.
        block_order: ``"conv_bn_relu"`` (eq. 4.1) or ``"bn_conv_relu"``, the order of the code
            released with the paper: batch normalization before each convolution, including the
            one on the image, and convolutions with a bias.
        beside: Further trunks, each an architecture for the same images and classes.

    Raises:
        ValueError: If the parts do not fit together, or the image is too small for the stages.
    """

    input_shape: tuple[int, int, int]
    classes: int
    stem: Stem
    stages: tuple[Stage, ...]
    block_order: str = "conv_bn_relu"
    beside: tuple[Architecture, ...] = ()

    def __post_init__(self) -> None:
        check(self)

    # -- reading ---------------------------------------------------------------------------------

    @property
    def trunks(self) -> dict[str, Architecture]:
        """Each trunk as an architecture of its own, by the prefix of its names in this one."""
        if not self.beside:
            return {"": self}
        others = {f"t{number}_": trunk for number, trunk in enumerate(self.beside, start=1)}
        return {"": replace(self, beside=()), **others}

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All residual blocks, from input to output."""
        return tuple(
            replace(block, name=prefix + block.name) if prefix else block
            for prefix, trunk in self.trunks.items()
            for stage in trunk.stages
            for block in stage.blocks
        )

    @property
    def depth(self) -> int:
        """Number of convolutions on the longest path from image to head."""
        return max(trunk._depth() for trunk in self.trunks.values())

    def _depth(self) -> int:
        projections = sum(stage.projects and not _strided(stage) for stage in self.stages)
        return 1 + 2 * sum(len(stage.blocks) for stage in self.stages) + projections

    def resolutions(self) -> tuple[tuple[int, int], ...]:
        """Return (height, width) of the feature maps in each stage of the first trunk."""
        height, width = self._stem_size()
        sizes = []
        for stage in self.stages:
            if stage.transition == "pool":
                height, width = height // 2, width // 2
            elif stage.projects:
                height, width = _halve(height, 2), _halve(width, 2)
            sizes.append((height, width))
        return tuple(sizes)

    def _stem_size(self) -> tuple[int, int]:
        height, width = (_halve(side, self.stem.stride) for side in self.input_shape[:2])
        return (_halve(height, 2), _halve(width, 2)) if self.stem.pool else (height, width)

    def convolutions(self) -> Iterator[Convolution]:
        """Yield all convolutions, trunk by trunk, in the order in which they are applied."""
        for prefix, trunk in self.trunks.items():
            for convolution in trunk._convolutions():
                yield convolution._replace(name=prefix + convolution.name)

    def _convolutions(self) -> Iterator[Convolution]:
        stem, channels = self.stem, self.input_shape[2]
        image = self.input_shape[:2]
        convolved = _halve(image[0], stem.stride), _halve(image[1], stem.stride)
        yield Convolution("stem", stem.kernel, stem.stride, channels, stem.width, image, convolved)
        channels, size_in = stem.width, self._stem_size()
        for index, (stage, size) in enumerate(zip(self.stages, self.resolutions(), strict=True)):
            entering = channels
            if stage.projects:
                pooled = stage.transition == "average"
                stride, seen = (1, size) if pooled else (2, size_in)
                yield Convolution(f"s{index}_proj", 1, stride, entering, stage.width, seen, size)
            channels = stage.width
            for block in stage.blocks:
                first, source = (entering, size_in) if block.stride == 2 else (channels, size)
                yield Convolution(
                    f"{block.name}_conv1", 3, block.stride, first, block.inner, source, size
                )
                yield Convolution(f"{block.name}_conv2", 3, 1, block.inner, stage.width, size, size)
            size_in = size

    def block_convolutions(self) -> dict[str, tuple[str, str]]:
        """Return the layer names of the two convolutions of each block, by block name."""
        return {b.name: (f"{b.name}_conv1", f"{b.name}_conv2") for b in self.blocks}

    def widths(self) -> dict[str, int]:
        """Return the number of output channels of each convolution, by name."""
        return {c.name: c.out_channels for c in self.convolutions()}

    # -- changing (always a new architecture) ----------------------------------------------------

    def with_widths(self, widths: Mapping[str, int]) -> Architecture:
        """Return the same network with other numbers of channels.

        Args:
            widths: Output channels by convolution name (see :meth:`convolutions`). Convolutions
                that are not named keep theirs. A block whose inner width becomes 0 is removed.

        Raises:
            ValueError: If convolutions whose outputs are added would differ in width, or a name
                is unknown.
        """
        known = self.widths()
        if unknown := sorted(set(widths) - set(known)):
            raise ValueError(
                f"unknown convolutions: {unknown}; this architecture has {sorted(known)}"
            )
        new = {name: int(widths.get(name, width)) for name, width in known.items()}
        return side_by_side(
            trunk._with_widths({c.name: new[prefix + c.name] for c in trunk._convolutions()})
            for prefix, trunk in self.trunks.items()
        )

    def _with_widths(self, new: Mapping[str, int]) -> Architecture:
        stages, entering = [], new["stem"]
        for index, stage in enumerate(self.stages):
            kept = tuple(b for b in stage.blocks if new[f"{b.name}_conv1"] > 0)
            width = new[f"s{index}_proj"] if stage.projects else entering
            if differing := [b.name for b in kept if new[f"{b.name}_conv2"] != width]:
                raise ValueError(
                    f"the outputs of blocks {differing} would differ in width from the {width} "
                    f"channels of stage {index}; convolutions that are added need one width"
                )
            blocks = tuple(replace(b, inner=new[f"{b.name}_conv1"]) for b in kept)
            stages.append(replace(stage, width=width, blocks=blocks))
            entering = width
        return replace(self, stem=replace(self.stem, width=new["stem"]), stages=tuple(stages))

    def with_plain_names(self) -> Architecture:
        """Return the same network with blocks named by position: ``s0b0``, ``s0b1`` and so on."""
        return side_by_side(trunk._with_plain_names() for trunk in self.trunks.values())

    def _with_plain_names(self) -> Architecture:
        stages = tuple(
            replace(
                stage,
                blocks=tuple(replace(b, name=f"s{s}b{i}") for i, b in enumerate(stage.blocks)),
            )
            for s, stage in enumerate(self.stages)
        )
        return replace(self, stages=stages)

    # -- writing and reading ---------------------------------------------------------------------

    def to_json(self) -> dict:
        """Return a plain, versioned dictionary for ``json.dump``."""
        fields = asdict(self)
        for trunk in (fields, *fields["beside"]):
            if not trunk["beside"]:
                del trunk["beside"]
        averages = any(s.transition == "average" for t in self.trunks.values() for s in t.stages)
        version = VERSION if self.beside or averages else 1
        return {"format": FORMAT, "version": version, **fields}

    @classmethod
    def from_json(cls, data: Mapping | str) -> Architecture:
        """Return the architecture that :meth:`to_json` wrote.

        The key ``model_card``, which a run adds, is ignored.

        Args:
            data: The dictionary, or its JSON text.

        Raises:
            ValueError: If the text is not JSON, is not an architecture or of a newer version, or
                has an unknown or missing key or an impossible value.
        """
        fields = serialization.read_object(data, FORMAT, VERSION)
        fields.pop("model_card", None)
        return cls._of_fields(fields)

    @classmethod
    def _of_fields(cls, fields: object) -> Architecture:
        record, items = serialization.record, serialization.items
        stages = tuple(
            record(Stage, stage, blocks=tuple(record(Block, b) for b in items(stage, "blocks")))
            for stage in items(fields, "stages")
        )
        given = dict(fields) if isinstance(fields, Mapping) else {}
        beside = items(given, "beside") if "beside" in given else ()
        return record(
            cls,
            given,
            input_shape=tuple(items(given, "input_shape")),
            stem=record(Stem, given.get("stem")),
            stages=stages,
            beside=tuple(cls._of_fields(trunk) for trunk in beside),
        )

    def __str__(self) -> str:
        """Return one line: ``28×28×1 → 64 [64·64] ↓ [32·64 16·64] ↓ [] → 10``."""
        return text.line(self)

    def tree(self) -> str:
        """Return one line for each stage and block, with resolutions and block names."""
        return text.tree(self)


def _halve(side: int, stride: int) -> int:
    """Return the output side of a strided operation with padding "same": ⌈side / stride⌉."""
    return -(-side // stride)


def _strided(stage: Stage) -> bool:
    return bool(stage.blocks) and stage.blocks[0].stride == 2


def side_by_side(trunks: Iterable[Architecture]) -> Architecture:
    """Return the architecture in which trunks stand beside each other.

    Args:
        trunks: Architectures for the same images and classes, each of a single trunk.

    Raises:
        ValueError: If there is none, one has several trunks, or they do not fit together.
    """
    trunks = list(trunks)
    if not trunks:
        raise ValueError("side_by_side needs at least one architecture, got none")
    if several := [str(trunk) for trunk in trunks if trunk.beside]:
        raise ValueError(
            f"side_by_side takes architectures of a single trunk, got {several[0]}; give its "
            "trunks one by one"
        )
    first, *others = trunks
    return replace(first, beside=tuple(others)) if others else first
