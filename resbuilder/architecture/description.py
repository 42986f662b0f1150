"""The immutable description of a residual network that everything else reads.

An architecture says what the network *is*, not what its weights are::

    stem convolution → stage 1 → stage 2 → … → global average pooling → dense head

A stage is a run of residual blocks at one resolution and one width; a block is
``x + relu(BN(conv(relu(BN(conv x)))))`` (thesis eq. 4.1). Stages are joined by 2×2 max pooling
(RB-0Net, fig. 6.1), which keeps the width, or by a strided block beside a 1×1/2 projection
(ResNet-18, fig. 6.2), which changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from resbuilder.architecture import serialization, text
from resbuilder.architecture.checks import check

FORMAT = "resbuilder.architecture"
VERSION = 1


class Convolution(NamedTuple):
    """One convolution of an architecture: its Keras layer name and its exact geometry."""

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

    The name ties a block to its trained weights; it does not take part in comparison, so that two
    architectures are equal exactly when they describe the same network.
    """

    inner: int
    stride: int = 1
    name: str = field(default="", compare=False)


@dataclass(frozen=True)
class Stage:
    """Residual blocks of one width, and how the stage is entered."""

    width: int
    transition: str = "none"
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """A residual network, hashable and comparable.

    Args:
        input_shape: (height, width, channels) of one image.
        classes: Number of output logits.
        stem: The first convolution.
        stages: At least one stage. ``transition="none"`` and ``"pool"`` keep the channel count, so
            the stage's width must equal that of the stage (or stem) before it; ``"projection"``
            halves the resolution and may change the width.
        block_order: ``"conv_bn_relu"`` (eq. 4.1) or ``"bn_conv_relu"``, the order of the code that
            was released with the paper (batch normalisation before each convolution, also on the
            image, and a bias).

    Raises:
        ValueError: If the parts do not fit together or the image is too small for the stages.
    """

    input_shape: tuple[int, int, int]
    classes: int
    stem: Stem
    stages: tuple[Stage, ...]
    block_order: str = "conv_bn_relu"

    def __post_init__(self) -> None:
        check(self)

    # -- reading ---------------------------------------------------------------------------------

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All residual blocks, from input to output."""
        return tuple(block for stage in self.stages for block in stage.blocks)

    @property
    def depth(self) -> int:
        """Convolutions on the longest path from image to head."""
        projections = sum(
            stage.transition == "projection" and not _strided(stage) for stage in self.stages
        )
        return 1 + 2 * len(self.blocks) + projections

    def resolutions(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the feature maps in each stage."""
        height, width = self._stem_size()
        sizes = []
        for stage in self.stages:
            if stage.transition == "pool":
                height, width = height // 2, width // 2
            elif stage.transition == "projection":
                height, width = _halve(height, 2), _halve(width, 2)
            sizes.append((height, width))
        return tuple(sizes)

    def _stem_size(self) -> tuple[int, int]:
        height, width = (_halve(side, self.stem.stride) for side in self.input_shape[:2])
        return (_halve(height, 2), _halve(width, 2)) if self.stem.pool else (height, width)

    def convolutions(self) -> Iterator[Convolution]:
        """All convolutions in the order in which they are applied."""
        stem, channels = self.stem, self.input_shape[2]
        image = self.input_shape[:2]
        convolved = _halve(image[0], stem.stride), _halve(image[1], stem.stride)
        yield Convolution("stem", stem.kernel, stem.stride, channels, stem.width, image, convolved)
        channels, size_in = stem.width, self._stem_size()
        for index, (stage, size) in enumerate(zip(self.stages, self.resolutions(), strict=True)):
            entering = channels
            if stage.transition == "projection":
                yield Convolution(f"s{index}_proj", 1, 2, entering, stage.width, size_in, size)
            channels = stage.width
            for block in stage.blocks:
                first, source = (entering, size_in) if block.stride == 2 else (channels, size)
                yield Convolution(
                    f"{block.name}_conv1", 3, block.stride, first, block.inner, source, size
                )
                yield Convolution(f"{block.name}_conv2", 3, 1, block.inner, stage.width, size, size)
            size_in = size

    def block_convolutions(self) -> dict[str, tuple[str, str]]:
        """Layer names of the two convolutions of each block, by block name."""
        return {b.name: (f"{b.name}_conv1", f"{b.name}_conv2") for b in self.blocks}

    def widths(self) -> dict[str, int]:
        """Output channels of each convolution, by name."""
        return {c.name: c.out_channels for c in self.convolutions()}

    # -- changing (always a new architecture) ----------------------------------------------------

    def with_widths(self, widths: Mapping[str, int]) -> Architecture:
        """The same network with other channel counts.

        Args:
            widths: Output channels by convolution name (see :meth:`convolutions`); convolutions
                that are not named keep theirs. A block whose inner width becomes 0 is left out.

        Raises:
            ValueError: If convolutions whose outputs are added would differ, or a name is unknown.
        """
        known = self.widths()
        if unknown := sorted(set(widths) - set(known)):
            raise ValueError(f"no such convolutions: {unknown}; there are {sorted(known)}")
        new = {name: int(widths.get(name, width)) for name, width in known.items()}
        stages, carried = [], new["stem"]
        for index, stage in enumerate(self.stages):
            kept = tuple(b for b in stage.blocks if new[f"{b.name}_conv1"] > 0)
            width = new[f"s{index}_proj"] if stage.transition == "projection" else carried
            if differing := [b.name for b in kept if new[f"{b.name}_conv2"] != width]:
                raise ValueError(
                    f"blocks {differing} would add an output of another width than the {width} "
                    f"channels of stage {index}; convolutions that are added need one width"
                )
            blocks = tuple(replace(b, inner=new[f"{b.name}_conv1"]) for b in kept)
            stages.append(replace(stage, width=width, blocks=blocks))
            carried = width
        return replace(self, stem=replace(self.stem, width=new["stem"]), stages=tuple(stages))

    def with_plain_names(self) -> Architecture:
        """The same network with its blocks named by their place: ``s0b0``, ``s0b1`` and so on."""
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
        """A plain dictionary for ``json.dump``, versioned."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping | str) -> Architecture:
        """Read what :meth:`to_json` wrote (a dictionary, or the JSON text itself).

        The ``model_card`` that a run puts beside it is passed over.

        Raises:
            ValueError: If the text is not JSON, not an architecture, of a newer version, or holds
                an unknown or missing key or an impossible value.
        """
        fields = serialization.read_object(data, FORMAT, VERSION)
        fields.pop("model_card", None)
        record, items = serialization.record, serialization.items
        fields["input_shape"] = tuple(items(fields, "input_shape"))
        fields["stem"] = record(Stem, fields.get("stem"))
        fields["stages"] = tuple(
            record(Stage, stage, blocks=tuple(record(Block, b) for b in items(stage, "blocks")))
            for stage in items(fields, "stages")
        )
        return record(cls, fields)

    def __str__(self) -> str:
        """One line: ``28×28×1 → 64 [64·64] ↓ [32·64 16·64] ↓ [] → 10``."""
        return text.line(self)

    def tree(self) -> str:
        """Several lines, one for each stage and block, with resolutions and block names."""
        return text.tree(self)


def _halve(side: int, stride: int) -> int:
    """Output side of a strided operation with SAME padding."""
    return -(-side // stride)


def _strided(stage: Stage) -> bool:
    return bool(stage.blocks) and stage.blocks[0].stride == 2
