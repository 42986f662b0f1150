"""The start networks of the thesis, with any number of stages, blocks and channels."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

from resbuilder.architecture.description import Architecture, Block, Stage, Stem


def minimal_architecture(
    input_shape: tuple[int, int, int],
    classes: int,
    width: int = 64,
    stages: int | None = None,
    block_order: str = "conv_bn_relu",
) -> Architecture:
    """Return RB-0Net (fig. 6.1): a convolution, then empty stages separated by 2×2 max pooling.

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        width: Channels of the convolution.
        stages: Number of stages. By default three, and one more for each doubling of the longer
            side of the image beyond 32 pixels, as long as the shorter side leaves a pixel.
        block_order: See :class:`Architecture`.
    """
    shape = _shape(input_shape)
    if stages is None:
        stages, side = 3, max(shape[:2])
        while side > 32:
            stages, side = stages + 1, side // 2
        stages = min(stages, min(shape[:2]).bit_length())  # stages - 1 halvings
    if stages < 1:
        raise ValueError(f"stages must be at least 1, got {stages}")
    rest = (Stage(width, "pool"),) * (stages - 1)
    return Architecture(shape, classes, Stem(width), (Stage(width), *rest), block_order)


def resnet_architecture(
    input_shape: tuple[int, int, int],
    classes: int,
    widths: tuple[int, ...] = (64, 128, 256, 512),
    blocks: tuple[int, ...] = (2, 2, 2, 2),
    stem: str = "imagenet",
    block_order: str = "conv_bn_relu",
    transition: str = "projection",
) -> Architecture:
    """Return a ResNet of basic blocks; the defaults give ResNet-18 (RB-R18, fig. 6.2).

    Args:
        input_shape: (height, width, channels).
        classes: Number of classes.
        widths: Channels of each stage.
        blocks: Number of blocks in each stage.
        stem: ``"imagenet"``, the thesis' 7×7/2 convolution with 3×3/2 max pooling; or
            ``"small"``, a 3×3 convolution at full resolution, for small images.
        block_order: See :class:`Architecture`.
        transition: How a stage follows another: ``"projection"`` or ``"average"``.

    Raises:
        ValueError: If ``widths`` and ``blocks`` differ in length or are empty, or the stem is
            unknown.
    """
    if len(widths) != len(blocks) or not widths:
        raise ValueError(
            f"widths and blocks need one entry for each stage, but have {len(widths)} and "
            f"{len(blocks)} entries"
        )
    if stem not in ("imagenet", "small"):
        raise ValueError(f'stem must be "imagenet" or "small", got {stem!r}')
    first = Stem(widths[0], 7, 2, True) if stem == "imagenet" else Stem(widths[0])
    stages = []
    for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        stride = 2 if index else 1
        names = [f"s{index}b{i}" for i in range(count)]
        body = tuple(Block(width, stride if i == 0 else 1, n) for i, n in enumerate(names))
        stages.append(Stage(width, transition if index else "none", body))
    return Architecture(_shape(input_shape), classes, first, tuple(stages), block_order)


def _shape(values: Sequence[int]) -> tuple[int, int, int]:
    if len(values) != 3 or not all(isinstance(v, Integral) and v > 0 for v in values):
        raise ValueError(
            f"input_shape must be (height, width, channels), each at least 1, got {values!r}"
        )
    height, width, channels = values
    return height, width, channels
