"""Settings that the first seed chooses on validation data, for the other seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def setting_of(result: dict) -> tuple[float, float]:
    """Return learning rate and momentum of a training."""
    return result["job"]["learning_rate"], result["job"]["momentum"]


def with_best_setting(results: Sequence[dict], score: Callable[[dict], float]) -> list[dict]:
    """Return a method's trainings with the learning rate and momentum that seed 0 chooses.

    Args:
        results: Trainings of one method.
        score: Returns how good a training is on validation data; higher is better.

    Returns:
        One result for each finished seed; none without seed 0.
    """
    first = [r for r in results if r["job"]["seed"] == 0]
    if not first:
        return []
    best = setting_of(max(first, key=score))
    return [r for r in results if setting_of(r) == best]
