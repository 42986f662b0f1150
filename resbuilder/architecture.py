"""The immutable description of a residual network that everything else reads.

An architecture says what the network *is*, not what its weights are::

    stem convolution → stage 1 → stage 2 → … → global average pooling → dense head

A stage is a run of residual blocks at one resolution and one width; a block is
``x + relu(BN(conv(relu(BN(conv x)))))`` (thesis eq. 4.1). Stages are joined by 2×2 max pooling
(RB-0Net, fig. 6.1), which keeps the width, or by a strided block beside a 1×1/2 projection
(ResNet-18, fig. 6.2), which changes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

FORMAT = "resbuilder.architecture"
VERSION = 1

TRANSITIONS = ("none", "pool", "projection")
BLOCK_ORDERS = ("conv_bn_relu", "bn_conv_relu")


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

    def __post_init__(self):
        _check(self)

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
        convolved = tuple(_halve(side, stem.stride) for side in image)
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

    # -- writing and reading ---------------------------------------------------------------------

    def to_json(self) -> dict:
        """A plain dictionary for ``json.dump``, versioned."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping | str) -> Architecture:
        """Read what :meth:`to_json` wrote (a dictionary, or the JSON text itself).

        Raises:
            ValueError: If the text is not JSON, not an architecture, of a newer version, or holds
                an unknown or missing key or an impossible value.
        """
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except ValueError as error:
                raise ValueError(f"an architecture must be JSON: {error}") from None
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise ValueError(
                f'an architecture must be a JSON object with "format": "{FORMAT}", '
                f"got {_shorten(data)}"
            )
        if not isinstance(data.get("version"), int) or not 1 <= data["version"] <= VERSION:
            raise ValueError(
                f"architecture version {data.get('version')!r} is not known here (this program "
                f"reads up to {VERSION}); a newer resbuilder may have written it"
            )
        fields = {k: v for k, v in data.items() if k not in ("format", "version")}
        fields["input_shape"] = tuple(_list(fields, "input_shape"))
        fields["stem"] = _record(Stem, fields.get("stem"))
        fields["stages"] = tuple(
            _record(Stage, stage, blocks=_read_blocks(stage)) for stage in _list(fields, "stages")
        )
        return _record(cls, fields)

    def __str__(self) -> str:
        """One line: ``28×28×1 → 64 [64·64] ↓ [32·64 16·64] ↓ [] → 10``."""
        stem = self.stem
        text = f"{'×'.join(map(str, self.input_shape))} → {stem.width}"
        if stem.kernel != 3 or stem.stride != 1:
            text += f" ({stem.kernel}×{stem.kernel}/{stem.stride}{', pool' if stem.pool else ''})"
        for stage in self.stages:
            text += {"none": " ", "pool": " ↓ ", "projection": f" ⇘{stage.width} "}[
                stage.transition
            ]
            text += "[" + " ".join(f"{b.inner}·{stage.width}" for b in stage.blocks) + "]"
        return f"{text} → {self.classes}"

    def tree(self) -> str:
        """Several lines, one for each stage and block, with resolutions and block names."""
        stem = self.stem
        pool = ", 3×3/2 max pooling" if stem.pool else ""
        lines = [
            f"{'×'.join(map(str, self.input_shape))} image, blocks {self.block_order}",
            f"├─ stem {stem.kernel}×{stem.kernel}/{stem.stride} convolution, {stem.width}{pool}",
        ]
        entry = {"none": "", "pool": ", 2×2 max pooling", "projection": ", 1×1/2 projection"}
        for index, (stage, (h, w)) in enumerate(zip(self.stages, self.resolutions(), strict=True)):
            lines.append(f"├─ stage {index}: {h}×{w}, {stage.width}{entry[stage.transition]}")
            for block in stage.blocks:
                stride = "/2" if block.stride == 2 else ""
                lines.append(f"│  ├─ {block.name}: 3×3{stride} {block.inner}, 3×3 {stage.width}")
        return "\n".join([*lines, f"└─ global average pooling, dense {self.classes}"])


# -- the two start networks of the thesis ----------------------------------------------------------


def minimal_architecture(
    input_shape: tuple[int, int, int],
    classes: int,
    width: int = 64,
    stages: int | None = None,
    block_order: str = "conv_bn_relu",
) -> Architecture:
    """RB-0Net (fig. 6.1): one convolution, then empty stages separated by 2×2 max pooling.

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        width: Channels of the convolution.
        stages: Number of stages; by default three, and one more for each doubling of the image's
            side beyond 32.
        block_order: See :class:`Architecture`.
    """
    if stages is None:
        stages, side = 3, max(input_shape[:2])
        while side > 32:
            stages, side = stages + 1, side // 2
    rest = (Stage(width, "pool"),) * (stages - 1)
    return Architecture(
        tuple(input_shape), classes, Stem(width), (Stage(width), *rest), block_order
    )


def resnet_architecture(
    input_shape: tuple[int, int, int],
    classes: int,
    widths: tuple[int, ...] = (64, 128, 256, 512),
    blocks: tuple[int, ...] = (2, 2, 2, 2),
    stem: str = "imagenet",
    block_order: str = "conv_bn_relu",
) -> Architecture:
    """A ResNet of basic blocks; the defaults are ResNet-18 (RB-R18, fig. 6.2).

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        widths: Channels of each stage.
        blocks: Blocks in each stage.
        stem: ``"imagenet"``, the thesis' 7×7/2 convolution with 3×3/2 max pooling, or ``"small"``,
            a 3×3 convolution at full resolution for small images.
        block_order: See :class:`Architecture`.

    Raises:
        ValueError: If ``widths`` and ``blocks`` differ in length or the stem is unknown.
    """
    if len(widths) != len(blocks) or not widths:
        raise ValueError(
            f"widths and blocks describe the same stages, but have lengths {len(widths)} and "
            f"{len(blocks)}"
        )
    if stem not in ("imagenet", "small"):
        raise ValueError(f'stem must be "imagenet" or "small", got {stem!r}')
    first = Stem(widths[0], 7, 2, True) if stem == "imagenet" else Stem(widths[0])
    stages = []
    for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        stride = 2 if index else 1
        names = [f"s{index}b{i}" for i in range(count)]
        body = tuple(Block(width, stride if i == 0 else 1, n) for i, n in enumerate(names))
        stages.append(Stage(width, "projection" if index else "none", body))
    return Architecture(tuple(input_shape), classes, first, tuple(stages), block_order)


# -- checks ----------------------------------------------------------------------------------------


def _halve(side: int, stride: int) -> int:
    """Output side of a strided operation with SAME padding."""
    return -(-side // stride)


def _strided(stage: Stage) -> bool:
    return bool(stage.blocks) and stage.blocks[0].stride == 2


def _positive(value, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{what} must be a positive integer, got {value!r}")


def _check(a: Architecture) -> None:
    if not isinstance(a.input_shape, tuple) or len(a.input_shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels), got {a.input_shape!r}")
    for value in a.input_shape:
        _positive(value, "each entry of input_shape")
    _positive(a.classes, "classes")
    if a.block_order not in BLOCK_ORDERS:
        raise ValueError(f"block_order must be one of {BLOCK_ORDERS}, got {a.block_order!r}")
    for value, what in ((a.stem.width, "width"), (a.stem.kernel, "kernel")):
        _positive(value, f"the stem's {what}")
    if a.stem.stride not in (1, 2) or not isinstance(a.stem.pool, bool):
        raise ValueError(f"the stem's stride must be 1 or 2 and its pool true or false: {a.stem}")
    if not a.stages:
        raise ValueError("an architecture needs at least one stage")
    width, names = a.stem.width, set()
    for index, stage in enumerate(a.stages):
        _positive(stage.width, f"the width of stage {index}")
        if stage.transition not in TRANSITIONS:
            raise ValueError(
                f"stage {index}: transition must be one of {TRANSITIONS}, got {stage.transition!r}"
            )
        if stage.transition != "projection" and stage.width != width:
            raise ValueError(
                f"stage {index} has {stage.width} channels but is entered with {width}; only "
                'transition="projection" changes the width'
            )
        width = stage.width
        for position, block in enumerate(stage.blocks):
            _positive(block.inner, f"the inner width of block {block.name!r}")
            strided = position == 0 and stage.transition == "projection"
            if block.stride not in ((1, 2) if strided else (1,)):
                raise ValueError(
                    f"block {block.name!r} has stride {block.stride}; only the first block beside "
                    "a projection may have stride 2"
                )
            if not isinstance(block.name, str) or not block.name or block.name in names:
                raise ValueError(f"each block needs a name of its own, got {block.name!r} twice")
            names.add(block.name)
    if min(min(size) for size in a.resolutions()) < 1:
        raise ValueError(
            f"{a.input_shape[0]}×{a.input_shape[1]} images are too small for {len(a.stages)} "
            "stages: the feature maps would vanish; use fewer stages"
        )


def _shorten(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _list(fields: Mapping, key: str) -> list:
    if not isinstance(fields.get(key), list | tuple):
        raise ValueError(f"{key!r} must be a list, got {_shorten(fields.get(key))}")
    return list(fields[key])


def _read_blocks(stage) -> tuple[Block, ...]:
    if not isinstance(stage, Mapping):
        raise ValueError(f"a stage must be a JSON object, got {_shorten(stage)}")
    return tuple(_record(Block, block) for block in _list(stage, "blocks"))


def _record(kind, data, **converted):
    if not isinstance(data, Mapping):
        raise ValueError(f"{kind.__name__.lower()} must be a JSON object, got {_shorten(data)}")
    if unknown := set(data) - set(kind.__dataclass_fields__):
        raise ValueError(f"unknown keys in {kind.__name__.lower()}: {sorted(unknown)}")
    try:
        return kind(**{**data, **converted})
    except TypeError as error:
        raise ValueError(f"{kind.__name__.lower()}: {error}") from None
