"""The learning rate of each step: a linear warm-up, then constant or a cosine down to 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class RateSchedule:
    """The learning rate as a function of the step n of N.

    It rises linearly over the first W = ``warmup``·N steps. Then it is constant, or falls as
    peak · (1 + cos(π (n − W)/(N − W)))/2, which is half a period of a cosine.

    Attributes:
        peak: The largest learning rate.
        cosine: Whether the rate falls after the warm-up.
        warmup: Fraction of the steps in which the rate rises.
    """

    peak: float
    cosine: bool
    warmup: float

    def rate(self, step: Any, steps: Any) -> Any:
        """Return the learning rate of a step, as a scalar tensor.

        Args:
            step: n, counted from 0; a float scalar.
            steps: N; a float scalar.
        """
        rising = self.warmup * steps
        share = (step - rising) / ops.maximum(steps - rising, 1.0)
        factor = (1 + ops.cos(math.pi * ops.clip(share, 0.0, 1.0))) / 2 if self.cosine else 1.0
        # With a fraction of a step in the warm-up, its last step would rise above the peak.
        risen = ops.minimum(1.0, (step + 1) / ops.maximum(rising, 1.0))
        return self.peak * ops.where(step < rising, risen, ops.ones_like(step) * factor)
