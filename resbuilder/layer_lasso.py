"""LayerLasso: an L1 term that removes whole residual blocks (thesis sec. 4.2).

The L1 norm of the convolutions inside residual blocks drives superfluous blocks towards zero. The
skip connection then makes them the identity. A block is removed once one of its convolutions falls
below a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

STATISTICS = ("mean", "sum")


class LayerLasso:
    """The LayerLasso term of a Keras model and the blocks that it would remove.

    Args:
        model: A built Keras model.
        blocks: Names of the convolution layers inside each residual block, by block name, as
            returned by :meth:`resbuilder.Architecture.block_convolutions`.
        threshold: τ_Λ ≥ 0. A block is removable if the statistic of one of its convolutions is
            below it.
        statistic: ``"mean"`` of |w|, which is comparable between layers of any size; or
            ``"sum"``, as printed in eq. (4.6).

    Raises:
        ValueError: If a block names no layer or one without a kernel, the statistic is unknown,
            or the threshold is negative.

    Example:
        >>> from resbuilder import build_model, resnet_architecture
        >>> architecture = resnet_architecture((32, 32, 3), classes=10, widths=(4, 8, 16, 32))
        >>> model = build_model(architecture)
        >>> lasso = LayerLasso(model, architecture.block_convolutions())
        >>> penalty = 1e-8 * lasso.regularization_term()  # add this to the loss
        >>> lasso.removable()
        []
    """

    def __init__(
        self,
        model: keras.Model,
        blocks: Mapping[str, Sequence[str]],
        threshold: float = 1e-3,
        statistic: str = "mean",
    ):
        if statistic not in STATISTICS:
            raise ValueError(f"statistic must be one of {STATISTICS}, got {statistic!r}")
        if not threshold >= 0:
            raise ValueError(f"threshold must not be negative, got {threshold}")
        layers = {layer.name: layer for layer in model.layers}
        for block, names in blocks.items():
            missing = [name for name in names if not hasattr(layers.get(name), "kernel")]
            if missing or not names:
                raise ValueError(
                    f"block {block!r} must name convolution layers of the model, but "
                    + (f"{missing} are not" if missing else "names none")
                )
        self.threshold = threshold
        self._reduce = getattr(np, statistic)
        self._blocks = {block: [layers[n] for n in names] for block, names in blocks.items()}

    def regularization_term(self) -> Any:
        """Return Σ |w| over the convolutions inside residual blocks, without λ_Λ (eq. 4.4)."""
        kernels = [layer.kernel for layers in self._blocks.values() for layer in layers]
        return sum((ops.sum(ops.abs(ops.cast(k, "float32"))) for k in kernels), ops.zeros(()))

    def values(self) -> dict[str, float]:
        """Return the smallest statistic of |w| among the convolutions of each block."""
        return {
            block: min(
                float(self._reduce(np.abs(ops.convert_to_numpy(layer.kernel)))) for layer in layers
            )
            for block, layers in self._blocks.items()
        }

    def removable(self) -> list[str]:
        """Return the names of blocks with a convolution below the threshold, input to output."""
        return [block for block, value in self.values().items() if value < self.threshold]
