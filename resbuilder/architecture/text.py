"""Architectures as text: in one line, and as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resbuilder.architecture.description import Architecture


def line(a: Architecture) -> str:
    """Return one line: ``28×28×1 → 64 [64·64] ↓ [32·64 16·64] ↓ [] → 10``.

    ``↓`` is 2×2 max pooling, ``⇘n`` a projection to n channels, ``⇘ān`` one of averages, and
    ``i·w`` a block with i inner and w output channels. Trunks beside each other are joined by
    ``∥``.
    """
    return " ∥ ".join(map(_trunk_line, a.trunks.values()))


def _trunk_line(a: Architecture) -> str:
    stem = a.stem
    text = f"{'×'.join(map(str, a.input_shape))} → {stem.width}"
    if (stem.kernel, stem.stride, stem.pool) != (3, 1, False):
        text += f" ({stem.kernel}×{stem.kernel}/{stem.stride}{', pool' if stem.pool else ''})"
    for stage in a.stages:
        text += {
            "none": " ",
            "pool": " ↓ ",
            "projection": f" ⇘{stage.width} ",
            "average": f" ⇘ā{stage.width} ",
        }[stage.transition]
        text += "[" + " ".join(f"{b.inner}·{stage.width}" for b in stage.blocks) + "]"
    return f"{text} → {a.classes}"


def tree(a: Architecture) -> str:
    """Return one line for each stage and block, with resolutions and block names."""
    trunks = [_trunk_tree(trunk, prefix) for prefix, trunk in a.trunks.items()]
    mean = [f"mean of the logits of {len(trunks)} trunks"] if a.beside else []
    return "\n".join([*trunks, *mean])


def _trunk_tree(a: Architecture, prefix: str) -> str:
    stem = a.stem
    pool = ", 3×3/2 max pooling" if stem.pool else ""
    lines = [
        f"{'×'.join(map(str, a.input_shape))} image, blocks {a.block_order}",
        f"├─ stem {stem.kernel}×{stem.kernel}/{stem.stride} convolution, {stem.width}{pool}",
    ]
    entry = {
        "none": "",
        "pool": ", 2×2 max pooling",
        "projection": ", 1×1/2 projection",
        "average": ", 1×1 projection of 2×2 averages",
    }
    for index, (stage, (h, w)) in enumerate(zip(a.stages, a.resolutions(), strict=True)):
        lines.append(f"├─ stage {index}: {h}×{w}, {stage.width}{entry[stage.transition]}")
        for block in stage.blocks:
            stride = "/2" if block.stride == 2 else ""
            lines.append(
                f"│  ├─ {prefix}{block.name}: 3×3{stride} {block.inner}, 3×3 {stage.width}"
            )
    return "\n".join([*lines, f"└─ global average pooling, dense {a.classes}"])
