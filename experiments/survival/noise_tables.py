"""Tables of the differences at the sizes of Table 7.1, from the stored results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.survival.gap_tables import METRICS, spread
from experiments.survival.noise import ROWS, JudgedSlides, interval, patient_draws, scores
from experiments.thesis import table

REPEATS = 1000
# The columns of Table 7.2, by row of ours, and what we call the rows.
THESIS_COLUMNS = {
    "A": "isolated_a_test",
    "B": "isolated_b",
    "merged": "merged_naive",
    "standardised": "merged_standardized",
}
LABELS = {
    "A": "A",
    "B": "B",
    "merged": "merged as they are",
    "standardised": "merged, standardised",
}
# Two cells of Table 7.2 that the thesis compares: row, and whether with the penalty.
COMPARISONS = {
    **{f"penalty, {LABELS[row]}": ((row, False), (row, True)) for row in ROWS},
    "standardising, no penalty": (("merged", False), ("standardised", False)),
}


@dataclass(frozen=True)
class Measured:
    """What the networks say, judged on the test slides and on draws of their patients.

    Args:
        penalty: λ of the networks that have one.
        slides: The test slides.
        values: By ``(row, with penalty)`` and metric, shape (seeds, 1 + draws): first on the test
            slides as they are, then on each draw.
        truth: The same of the true log-hazards, by row and metric, shape (1 + draws,).
    """

    penalty: float
    slides: JudgedSlides
    values: dict[tuple[str, bool], dict[str, np.ndarray]]
    truth: dict[str, dict[str, np.ndarray]]

    def difference(self, comparison: str, metric: str) -> np.ndarray:
        """Return the second cell minus the first, seed by seed and draw by draw."""
        first, second = COMPARISONS[comparison]
        return self.values[second][metric] - self.values[first][metric]


@dataclass(frozen=True)
class Noise:
    """A difference of the thesis beside what we measured.

    Args:
        thesis: The thesis' difference.
        seeds: Ours on the test slides as they are, shape (seeds,).
        of_patients: Standard deviation over draws of the test patients, of one pair of networks.
        of_both: Standard deviation over draws and seeds together.
        low: Lower end of the 95 % interval over draws and seeds.
        high: Its upper end.
    """

    thesis: float
    seeds: np.ndarray
    of_patients: float
    of_both: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """How many standard deviations of noise the thesis' difference is."""
        return abs(self.thesis) / self.of_both


def measured(results: list[dict]) -> Measured:
    """Judge the networks of a file of results."""
    (test,) = (result["test"] for result in results if "test" in result)
    arrays = {key: np.array(values) for key, values in test.items()}
    slides = JudgedSlides(
        arrays["patient"], arrays["dataset"], arrays["time"], arrays["event"].astype(bool)
    )
    weights = patient_draws(slides, REPEATS)
    weights = np.concatenate([np.ones((1, weights.shape[1]), weights.dtype), weights])
    found: dict[bool, list] = {False: [], True: []}
    networks = [result for result in results if result["job"]["kind"] == "network"]
    for network in networks:
        judged = scores(slides, np.array(network["log_hazard"]), weights)
        found[network["job"]["settings"]["mean_penalty"] > 0].append(judged)
    return Measured(
        penalty=max(network["job"]["settings"]["mean_penalty"] for network in networks),
        slides=slides,
        values={
            (row, penalty): {
                metric: np.stack([judged[row][metric] for judged in group]) for metric in METRICS
            }
            for penalty, group in found.items()
            for row in ROWS
        },
        truth=scores(slides, arrays["true_log_hazard"], weights),
    )


def thesis_cell(row: str, metric: str, penalty: bool) -> str:
    """Return a cell of Table 7.2 as it is printed."""
    wanted = "with" if penalty else "without", metric
    (line,) = (r for r in table("7_2") if (r["regularization"], r["measure"]) == wanted)
    return line[THESIS_COLUMNS[row]]


def noise(found: Measured, comparison: str, metric: str) -> Noise:
    """Set a difference of the thesis beside ours."""
    (first, second) = (
        float(thesis_cell(row, metric, penalty)) for row, penalty in COMPARISONS[comparison]
    )
    difference = found.difference(comparison, metric)
    draws = difference[:, 1:]
    return Noise(
        second - first,
        difference[:, 0],
        float(np.sqrt(np.nanvar(draws, axis=1).mean())),
        float(np.nanstd(draws)),
        *interval(draws),
    )


def markdown(found: Measured) -> str:
    """All tables, and the answer."""
    return "\n".join((_differences(found), _intervals(found), answer(found)))


def answer(found: Measured) -> str:
    """The sentence that says how far above noise the thesis' differences are."""
    all_of = {
        (comparison, metric): noise(found, comparison, metric)
        for comparison in COMPARISONS
        for metric in METRICS
    }
    (largest, metric), most = max(all_of.items(), key=lambda item: item[1].ratio)
    above = sum(n.ratio > 1.96 for n in all_of.values())
    many = {0: "none", len(all_of): "each"}.get(above, str(above))
    return (
        f"**Answer.** Of the {len(all_of)} differences {many} lies more than 1.96 standard "
        f"deviations of noise from 0; the largest ({largest}, {METRICS[metric]}) is "
        f"{most.ratio:.1f}, the median {np.median([n.ratio for n in all_of.values()]):.1f}.\n"
    )


def _differences(found: Measured) -> str:
    seeds = len(found.values["A", False]["c_index"])
    lines = [
        f"Differences of Table 7.2 beside noise: λ = {found.penalty:g}, {seeds} seeds, "
        f"{REPEATS:,} draws of the test patients\n",
        "| | thesis | thesis, difference | ours, mean ± SD over seeds | SD, test patients drawn "
        "again | SD, both | 95 % interval, both | thesis' difference in SD |",
        "|---" * 8 + "|",
    ]
    for metric, title in METRICS.items():
        for comparison, cells in COMPARISONS.items():
            n = noise(found, comparison, metric)
            first, second = (thesis_cell(row, metric, penalty) for row, penalty in cells)
            lines.append(
                f"| {title}: {comparison} | {first} → {second} | {signed(n.thesis)} "
                f"| {signed(n.seeds.mean())} ± {n.seeds.std(ddof=1):.3f} | {n.of_patients:.3f} "
                f"| {n.of_both:.3f} | {signed(n.low)} to {signed(n.high)} | {n.ratio:.1f} |"
            )
    return "\n".join(lines) + "\n"


def _intervals(found: Measured) -> str:
    lines = [
        "One score, and its 95 % interval over draws of the test patients (mean over seeds)\n",
        "| | test patients, deaths | λ | C-index | interval | AUROC | interval |",
        "|---" * 7 + "|",
    ]
    for row in ROWS:
        chosen = found.slides.of(row)
        patients = len(set(found.slides.patient[chosen]))
        deaths = len(set(found.slides.patient[chosen & found.slides.event]))
        groups = {
            "0": found.values[row, False],
            f"{found.penalty:g}": found.values[row, True],
            "true log-hazards": {m: values[None] for m, values in found.truth[row].items()},
        }
        for name, group in groups.items():
            cells = []
            for metric in METRICS:
                ends = np.array([interval(draws) for draws in group[metric][:, 1:]]).mean(axis=0)
                cells += [spread(group[metric][:, 0]), f"{ends[0]:.3f} to {ends[1]:.3f}"]
            lines.append(f"| {LABELS[row]} | {patients}, {deaths} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def signed(number: float) -> str:
    """A difference with its sign: ``+0.118``."""
    return f"{number:+.3f}".replace("-", "−")
