"""Scale raw pixels for training."""

from dataclasses import dataclass

import numpy as np

from resbuilder.datasets.dataset import SCALINGS

_CHUNK = 4096  # Images in memory as float64 at a time.


@dataclass(frozen=True)
class Preprocessing:
    """Scale and offset per channel: x * scale + offset.

    It is part of the model, as `keras.layers.Rescaling(scale, offset)`, so that saved models and
    batches use raw pixels.

    Attributes:
        scale: One factor per channel.
        offset: One offset per channel.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @classmethod
    def fit(cls, x: np.ndarray, scaling: str, indices: np.ndarray | None = None) -> "Preprocessing":
        """Fit scale and offset to training data.

        "unit" scales pixels to [0, 1]: uint8 pixels are divided by 255; floating-point pixels are
        divided by the largest one (digits: 16), unless none exceeds 1. "standardize" gives every
        channel mean 0 and variance 1 over `x`; a constant channel is only centered.

        Args:
            x: Training pixels (n, height, width, channels).
            scaling: "unit" or "standardize".
            indices: The images of `x` to use, which are not copied; all by default. Pass
                `split.train`, so that the validation part stays unseen.

        Returns:
            The preprocessing.

        Raises:
            ValueError: If `scaling` is unknown, or "unit" is used with negative pixels.
        """
        if scaling not in SCALINGS:
            raise ValueError(f"scaling must be one of {SCALINGS}, got {scaling!r}")
        indices = np.arange(len(x)) if indices is None else np.asarray(indices)
        chunks = [indices[at : at + _CHUNK] for at in range(0, len(indices), _CHUNK)]
        channels = x.shape[-1]
        if scaling == "unit":
            largest = 255.0
            if x.dtype != np.uint8:
                least = min(float(x[chunk].min()) for chunk in chunks)
                if least < 0:
                    raise ValueError(
                        f'scaling "unit" needs pixels >= 0, but the smallest is {least}; '
                        'use "standardize"'
                    )
                largest = max(1.0, *(float(x[chunk].max()) for chunk in chunks))
            return cls(scale=(1 / largest,) * channels, offset=(0.0,) * channels)
        # Two passes, because E[x^2] - E[x]^2 would suffer from cancellation.
        pixels = len(indices) * x.shape[1] * x.shape[2]
        axes = (0, 1, 2)
        mean = sum(x[chunk].sum(axis=axes, dtype=np.float64) for chunk in chunks) / pixels
        square = sum(np.square(x[chunk] - mean).sum(axis=axes) for chunk in chunks)
        deviation = np.sqrt(square / pixels)
        scale = 1 / np.where(deviation > 0, deviation, 1.0)
        return cls(scale=tuple(scale.tolist()), offset=tuple((-mean * scale).tolist()))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scale raw pixels as the layer in the model does; returns float32."""
        scale, offset = np.array(self.scale, np.float32), np.array(self.offset, np.float32)
        return np.asarray(x, np.float32) * scale + offset
