"""The learning rate of each step: a rise, then constant or half a cosine down to 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class RateSchedule:
    """The learning rate as a function of the step, of N in all.

    It rises linearly over the first ``warmup``·N steps. Then it is constant, or falls to 0 along
    half a cosine.

    Attributes:
        peak: The rate that is reached.
        cosine: Whether it falls again.
        warmup: Share of the steps in which it rises.
    """

    peak: float
    cosine: bool
    warmup: float

    def rate(self, step: Any, steps: Any) -> Any:
        """Return the rate of a step, as a scalar tensor.

        Args:
            step: Number of the step, from 0; a float scalar.
            steps: N, a float scalar.
        """
        rising = self.warmup * steps
        share = (step - rising) / ops.maximum(steps - rising, 1.0)
        factor = (1 + ops.cos(math.pi * ops.clip(share, 0.0, 1.0))) / 2 if self.cosine else 1.0
        return self.peak * ops.where(
            step < rising, (step + 1) / ops.maximum(rising, 1.0), ops.ones_like(step) * factor
        )
