"""Tables of the differences at the sizes of Table 7.1, from the stored results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.summary import spread
from experiments.survival.gap_tables import METRICS
from experiments.survival.noise import ROWS, JudgedSlides, interval, patient_draws, scores
from experiments.thesis import table

REPEATS = 400
# The columns of Table 7.2 by our rows, and the titles of our rows.
THESIS_COLUMNS = {
    "A": "isolated_a_test",
    "B": "isolated_b",
    "merged": "merged_naive",
    "standardized": "merged_standardized",
}
LABELS = {
    "A": "A",
    "B": "B",
    "merged": "merged, not standardized",
    "standardized": "merged, standardized",
}


@dataclass(frozen=True)
class Measured:
    """Scores of the networks on the test slides and on draws of their patients.

    Args:
        penalty: λ of the networks with a penalty.
        slides: The test slides.
        values: Scores by ``(row, with penalty)`` and metric, shape (seeds, 1 + draws): first on
            the original test slides, then on each draw.
        truth: The same for the true log-hazards, by row and metric, shape (1 + draws,).
    """

    penalty: float
    slides: JudgedSlides
    values: dict[tuple[str, bool], dict[str, np.ndarray]]
    truth: dict[str, dict[str, np.ndarray]]

    def difference(self, row: str, metric: str) -> np.ndarray:
        """Return the scores with minus those without the penalty, by seed and draw."""
        return self.values[row, True][metric] - self.values[row, False][metric]


@dataclass(frozen=True)
class Noise:
    """The change by the penalty in the thesis and in our measurements.

    Args:
        thesis: The thesis' difference.
        seeds: Our differences on the original test slides, shape (seeds,).
        of_patients: Standard deviation over draws of the test patients, for one pair of networks.
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
        """Return the thesis' difference in standard deviations of all noise."""
        return abs(self.thesis) / self.of_both

    @property
    def ratio_of_patients(self) -> float:
        """Return the thesis' difference in standard deviations of the test patients' noise."""
        return abs(self.thesis) / self.of_patients


def measured(results: list[dict], repeats: int = REPEATS) -> Measured:
    """Judge the networks of a results file, on the test slides and on draws of patients."""
    (test,) = (result["test"] for result in results if "test" in result)
    arrays = {key: np.array(values) for key, values in test.items()}
    slides = JudgedSlides(
        arrays["patient"], arrays["dataset"], arrays["time"], arrays["event"].astype(bool)
    )
    weights = patient_draws(slides, repeats)
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
    """Return a cell of Table 7.2 as printed."""
    wanted = "with" if penalty else "without", metric
    (line,) = (r for r in table("7_2") if (r["regularization"], r["measure"]) == wanted)
    return line[THESIS_COLUMNS[row]]


def noise(found: Measured, row: str, metric: str) -> Noise:
    """Return the thesis' and our differences for a row and a metric."""
    difference = found.difference(row, metric)
    draws = difference[:, 1:]
    return Noise(
        float(thesis_cell(row, metric, True)) - float(thesis_cell(row, metric, False)),
        difference[:, 0],
        float(np.sqrt(np.nanvar(draws, axis=1).mean())),
        float(np.nanstd(draws)),
        *interval(draws),
    )


def markdown(found: Measured) -> str:
    """Return all tables, and the answer."""
    return "\n".join((_differences(found), _intervals(found), answer(found)))


def answer(found: Measured) -> str:
    """Return sentences that compare the thesis' differences with noise."""
    all_of = {
        (metric, row): noise(found, row, metric) for metric in METRICS for row in THESIS_COLUMNS
    }
    (metric, row), most = max(all_of.items(), key=lambda item: item[1].ratio_of_patients)
    above = sum(n.ratio_of_patients > 1.96 for n in all_of.values())
    first = noise(found, "A", "c_index")
    return (
        f"**Answer.** The penalty makes {len(all_of)} differences in the thesis. Even if the test "
        f"patients were the only noise, {above or 'none'} of them would exceed 1.96 standard "
        "deviations of the noise. In these units, the largest difference is that in the "
        f"{METRICS[metric]} of “{LABELS[row]}” ({signed(most.thesis)}), with "
        f"{most.ratio_of_patients:.1f}; that in A's C-index ({signed(first.thesis)}) is "
        f"{first.ratio_of_patients:.1f}. With the noise of the seeds, they are {most.ratio:.1f} "
        f"and {first.ratio:.1f}.\n"
    )


def _differences(found: Measured) -> str:
    seeds = len(found.values["A", False]["c_index"])
    lines = [
        f"Change by the penalty (λ = {found.penalty:g} minus λ = 0), {seeds} seeds. SD of "
        f"patients: over {REPEATS} draws of the test patients; SD of both: over draws and seeds\n",
        "| | thesis | thesis, difference | ours, mean ± SD over seeds | SD of patients | SD of "
        "both | 95 % interval, both | thesis' difference in SD of patients | in SD of both |",
        "|---" * 9 + "|",
    ]
    for metric, title in METRICS.items():
        for row in THESIS_COLUMNS:
            n = noise(found, row, metric)
            first, second = (thesis_cell(row, metric, penalty) for penalty in (False, True))
            lines.append(
                f"| {title}: {LABELS[row]} | {first} → {second} | {signed(n.thesis)} "
                f"| {signed(n.seeds.mean())}{_deviation(n.seeds)} | {n.of_patients:.3f} "
                f"| {n.of_both:.3f} | {signed(n.low)} to {signed(n.high)} "
                f"| {n.ratio_of_patients:.1f} | {n.ratio:.1f} |"
            )
    return "\n".join(lines) + "\n"


def _intervals(found: Measured) -> str:
    lines = [
        "Scores, and their 95 % intervals over draws of the test patients (mean over seeds)\n",
        "| | test patients, deaths | λ | C-index | interval | AUROC | interval |",
        "|---" * 7 + "|",
    ]
    for row in THESIS_COLUMNS:
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
                cells += [spread(group[metric][:, 0], 3), f"{ends[0]:.3f} to {ends[1]:.3f}"]
            lines.append(f"| {LABELS[row]} | {patients}, {deaths} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _deviation(numbers: np.ndarray) -> str:
    return f" ± {numbers.std(ddof=1):.3f}" if len(numbers) > 1 else ""


def signed(number: float) -> str:
    """Format a difference with its sign: ``+0.118``."""
    return f"{number:+.3f}".replace("-", "−")
