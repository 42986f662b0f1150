"""Compare differences between two networks with noise: bootstrap over test patients, and seeds.

The bootstrap draws the test patients of each scanner with replacement, each with all slides. A draw
is a weight for each slide: how often it was drawn. Both networks of a pair are judged on the same
draws, so the interval is that of their difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROWS = ("A", "B", "merged", "standardized")
METRICS = ("c_index", "auroc")


@dataclass(frozen=True)
class JudgedSlides:
    """The test slides, and the follow-up of their patients; arrays of shape (n,).

    Args:
        patient: Patient of each slide.
        dataset: Scanner, ``"A"`` or ``"B"``.
        time: Months until event or censoring.
        event: Whether the event was observed.
    """

    patient: np.ndarray
    dataset: np.ndarray
    time: np.ndarray
    event: np.ndarray

    def of(self, row: str) -> np.ndarray:
        """Return a mask of the slides that a row of Table 7.2 judges, shape (n,)."""
        return self.dataset == row if row in set(self.dataset) else np.ones(len(self.time), bool)


def patient_draws(slides: JudgedSlides, repeats: int, seed: int = 0) -> np.ndarray:
    """Return how often each slide is drawn, shape (repeats, n).

    From each scanner, as many patients are drawn as it has, with replacement.
    """
    random = np.random.default_rng(seed)
    weights = np.zeros((repeats, len(slides.time)), np.float32)
    for scanner in np.unique(slides.dataset):
        of_scanner = slides.dataset == scanner
        patients, number = np.unique(slides.patient[of_scanner], return_inverse=True)
        share = np.full(len(patients), 1 / len(patients))
        weights[:, of_scanner] = random.multinomial(len(patients), share, repeats)[:, number]
    return weights


def scores(
    slides: JudgedSlides, log_hazard: np.ndarray, weights: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """Judge a network on each draw of the test patients.

    Args:
        slides: The test slides.
        log_hazard: Log-hazard of each slide, shape (n,); higher means more risk.
        weights: As returned by :func:`patient_draws`; a row of ones judges the original slides.

    Returns:
        The value of each draw, shape (repeats,), by row of Table 7.2 and metric. It equals that of
        :mod:`survival.metrics` on the slides repeated as often as they were drawn, and is NaN
        without comparable pairs.
    """
    result = {}
    for row in ROWS:
        chosen = slides.of(row)
        risk = np.asarray(log_hazard, float)
        if row == "standardized":
            risk = _standardized(risk, slides.dataset, weights)
        result[row] = _judge(
            slides.time[chosen], slides.event[chosen], risk[..., chosen], weights[:, chosen]
        )
    return result


def _standardized(risk: np.ndarray, dataset: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return risks with mean 0 and deviation 1 for each scanner and draw, shape (repeats, n)."""
    result = np.empty(weights.shape)
    for scanner in np.unique(dataset):
        of_scanner = dataset == scanner
        share = weights[:, of_scanner] / weights[:, of_scanner].sum(axis=1, keepdims=True)
        centered = risk[of_scanner] - (share @ risk[of_scanner])[:, None]
        deviation = np.sqrt((share * centered**2).sum(axis=1, keepdims=True))
        result[:, of_scanner] = centered / np.where(deviation > 0, deviation, 1)
    return result


def _judge(time, event, risk, weights) -> dict[str, np.ndarray]:
    """Return C-index and AUROC of each draw; risks have shape (n,) or (repeats, n)."""
    of_event, others = risk[..., event, None], risk[..., None, :]
    ahead = (of_event > others) + np.float32(0.5) * (of_event == others)
    later = time[event, None] < time
    later |= (time[event, None] == time) & ~event
    without = np.broadcast_to(~event, later.shape)
    return {
        metric: _share(ahead, pairs.astype(np.float32), weights[:, event], weights)
        for metric, pairs in (("c_index", later), ("auroc", without))
    }


def _share(ahead, pairs, first, second) -> np.ndarray:
    """Return the share of pairs of each draw in which the patient with the event has more risk."""
    total = ((first @ pairs) * second).sum(axis=1)
    if ahead.ndim == 2:
        good = ((first @ (pairs * ahead)) * second).sum(axis=1)
    else:
        good = ((first[:, None, :] @ (pairs * ahead))[:, 0, :] * second).sum(axis=1)
    return np.where(total > 0, good / np.where(total > 0, total, 1), np.nan)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the quantiles between which a share ``level`` of the values lies, ignoring NaN."""
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
