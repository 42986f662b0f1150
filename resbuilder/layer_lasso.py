"""LayerLasso: an L1 term that removes whole residual blocks (thesis sec. 4.2).

The L1 norm of the convolutions inside residual blocks drives superfluous blocks towards zero, where
the skip connection makes them the identity; a block is removed once one of its convolutions falls
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
        blocks: Names of the convolution layers inside each residual block, by block name
            (:meth:`resbuilder.Architecture.block_convolutions` gives them).
        threshold: τ_Λ. A block is removable when the statistic of one of its convolutions is below.
        statistic: ``"mean"`` of |w|, which is comparable between layers of any size, or ``"sum"``,
            as eq. (4.6) prints.

    Raises:
        ValueError: If a named layer does not exist, a block names no convolution, the statistic is
            unknown or the threshold negative.

    Example:
        >>> from resbuilder import build_model, resnet_architecture
        >>> architecture = resnet_architecture((32, 32, 3), classes=10, widths=(4, 8, 16, 32))
        >>> model = build_model(architecture)
        >>> lasso = LayerLasso(model, architecture.block_convolutions())
        >>> penalty = 1e-8 * lasso.regularization_term()  # to add to the loss
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
                    f"block {block!r} must name convolution layers of the model; "
                    f"{missing or 'none'} given that are not"
                )
        self.threshold = threshold
        self._reduce = getattr(np, statistic)
        self._blocks = {block: [layers[n] for n in names] for block, names in blocks.items()}

    def regularization_term(self) -> Any:
        """Σ |w| over the convolutions inside residual blocks, without λ_Λ (eq. 4.4), a scalar."""
        kernels = [layer.kernel for layers in self._blocks.values() for layer in layers]
        return sum((ops.sum(ops.abs(ops.cast(k, "float32"))) for k in kernels), ops.zeros(()))

    def values(self) -> dict[str, float]:
        """The smallest statistic of |w| among the convolutions of each block."""
        return {
            block: min(
                float(self._reduce(np.abs(ops.convert_to_numpy(layer.kernel)))) for layer in layers
            )
            for block, layers in self._blocks.items()
        }

    def removable(self) -> list[str]:
        """Names of the blocks with a convolution below the threshold, from input to output."""
        return [block for block, value in self.values().items() if value < self.threshold]
