"""Noise at the sizes of Table 7.1: draws of test patients, paired differences, printed cells."""

import numpy as np
import pytest

from experiments.jobs import write
from experiments.survival import noise_tables, thesis_tables
from experiments.survival.noise import METRICS, ROWS, JudgedSlides, interval, patient_draws, scores
from experiments.survival.noise_figure import differences_figure
from experiments.survival.noise_tables import measured, noise, thesis_cell
from experiments.survival.thesis_sizes import sizes_jobs
from experiments.thesis import table
from survival.metrics import auroc, harrell_c, merged_auroc, merged_c


def some_slides(patients=(20, 40), seed=0):
    """Return slides of two scanners; the first patient of each has two, and times have ties."""
    rng = np.random.default_rng(seed)
    patient, dataset = [], []
    for scanner, count in zip("AB", patients, strict=True):
        patient += [f"{scanner}{i}" for i in [0, *range(count)]]
        dataset += [scanner] * (count + 1)
    time = rng.integers(1, 30, len(patient)).astype(float)
    event = rng.random(len(patient)) < 0.4
    for name in ("A0", "B0"):
        same = np.array(patient) == name
        time[same], event[same] = 7.0, True
    return JudgedSlides(np.array(patient), np.array(dataset), time, event)


def risks(slides, seed, informed=0.0):
    noise_of_net = np.random.default_rng(seed).normal(size=len(slides.time))
    return np.round(noise_of_net - informed * slides.time / 10, 1)  # rounded: with ties


@pytest.fixture
def results():
    """Return stored results of two seeds without and with the penalty."""
    slides = some_slides()
    test = {
        "patient": slides.patient.tolist(),
        "dataset": slides.dataset.tolist(),
        "time": slides.time.tolist(),
        "event": slides.event.astype(int).tolist(),
        "true_log_hazard": (-slides.time).tolist(),
    }
    part = {"slides": 38, "patients": 36, "events": 5, "mean_months": 70.0, "median_months": 60.0}
    parts = [{"dataset": "A", "split": "test"} | part]
    found = [{"job": {"kind": "sizes", "cohort": "Table 7.1"}, "parts": parts, "test": test}]
    for seed in range(2):
        for penalty in (0.0, 1.0):
            job = {"kind": "network", "settings": {"mean_penalty": penalty, "epochs": 3}}
            log_hazard = risks(slides, 10 * seed + int(penalty), informed=penalty)
            found.append({"job": job, "log_hazard": log_hazard.tolist()})
    return found


def test_scores_of_a_draw_are_the_metrics_of_repeated_slides():
    slides, draws = some_slides(), patient_draws(some_slides(), 5)
    risk = risks(slides, 1)
    found = scores(slides, risk, draws)
    for number, draw in enumerate(draws):
        rows = np.repeat(np.arange(len(risk)), draw.astype(int))
        y = np.stack([slides.time, slides.event], axis=1)[rows]
        expected = {
            "merged": (harrell_c(y, risk[rows]), auroc(y, risk[rows])),
            "standardized": tuple(
                metric(y, risk[rows], slides.dataset[rows]) for metric in (merged_c, merged_auroc)
            ),
        }
        for scanner in "AB":
            m = slides.dataset[rows] == scanner
            expected[scanner] = harrell_c(y[m], risk[rows][m]), auroc(y[m], risk[rows][m])
        for row, values in expected.items():
            judged = [found[row][metric][number] for metric in METRICS]
            np.testing.assert_allclose(judged, values, atol=1e-5, err_msg=row)


def test_a_draw_has_as_many_patients_of_each_scanner_and_all_their_slides():
    slides = some_slides()
    draws = patient_draws(slides, 200)
    for scanner, count in (("A", 20), ("B", 40)):
        first = np.unique(slides.patient, return_index=True)[1]
        of_scanner = [i for i in first if slides.dataset[i] == scanner]
        assert (draws[:, of_scanner].sum(axis=1) == count).all()
        both = draws[:, slides.patient == f"{scanner}0"]
        assert (both[:, 0] == both[:, 1]).all() and both.max() > 1


def test_without_comparable_pairs_a_score_is_nan_and_does_not_count():
    slides = some_slides()
    draws = np.ones((2, len(slides.time)), np.float32)
    draws[1, slides.event] = 0
    found = scores(slides, risks(slides, 0), draws)["merged"]["c_index"]
    assert np.isfinite(found[0]) and np.isnan(found[1])
    assert interval(np.append(found, found[0])) == pytest.approx((found[0], found[0]))


def test_the_paired_interval_is_that_of_the_difference():
    """It is zero for equal networks, mirrored for a swapped pair, and narrow for similar ones."""
    slides = some_slides((36, 242))
    draws = patient_draws(slides, 400)
    one, similar, other = (
        scores(slides, risk, draws)
        for risk in (
            risks(slides, 1, 1.0),
            risks(slides, 1, 1.0) + 0.1 * risks(slides, 2),
            risks(slides, 3, 1.0),
        )
    )
    for row in ROWS:
        for metric in METRICS:
            a, b, c = (judged[row][metric] for judged in (one, similar, other))
            assert interval(a - a) == (0.0, 0.0)
            low, high = interval(a - c)
            assert interval(c - a) == pytest.approx((-high, -low))
            unpaired = np.hypot(a.std(), b.std())
            assert (a - b).std() < 0.4 * unpaired


@pytest.mark.slow
def test_more_patients_narrow_the_interval():
    widths = []
    for patients in (36, 144, 576):
        slides = some_slides((patients, patients))
        judged = scores(slides, risks(slides, 1), patient_draws(slides, 300))
        low, high = interval(judged["A"]["c_index"])
        widths.append(high - low)
    assert widths[0] > 1.5 * widths[1] > 1.5 * 1.5 * widths[2]


def test_noise_adds_the_seeds_to_the_patients(results):
    found = measured(results)
    for row in ROWS:
        for metric in METRICS:
            n = noise(found, row, metric)
            draws = found.difference(row, metric)[:, 1:]
            between = draws.mean(axis=1).std()
            assert n.of_both == pytest.approx(np.hypot(n.of_patients, between))
            assert n.low < n.high and len(n.seeds) == 2
            assert n.ratio <= n.ratio_of_patients
    first = noise(found, "A", "c_index")
    assert first.thesis == pytest.approx(0.795 - 0.677)
    assert first.ratio == pytest.approx(0.118 / first.of_both)


def test_the_pages_contain_all_16_cells_and_the_answer(results, tmp_path):
    write(tmp_path / "thesis_sizes_laptop.json", {str(i): r for i, r in enumerate(results)})
    thesis_tables.publish_from(tmp_path)
    lines = (tmp_path / "table_7_2.md").read_text().splitlines()
    cells = [line.split(" | ") for line in lines if line.startswith("| ") and "|---" not in line]
    assert len(cells) == 1 + 16
    printed = [float(v) for row in table("7_2") for v in list(row.values())[2:]]
    assert sorted(float(row[3]) for row in cells[1:]) == sorted(printed)
    found = {tuple(row[:3]): row[3:] for row in cells}
    assert found["| B", "AUROC", "with"][0] == "0.578" == thesis_cell("B", "auroc", True)
    ours = measured(results).values["B", True]["auroc"][:, 0]
    assert found["| B", "AUROC", "with"][1].startswith(f"{ours.mean():.3f} ± ")
    assert found["| B", "AUROC", "with"][2] == "not measured |"
    answer = noise_tables.answer(measured(results))
    assert "makes 8 differences" in answer and "standard deviations of the noise" in answer
    assert len(differences_figure(measured(results)).axes) == 2


def test_every_row_of_table_7_1_has_ours_or_the_reason(results):
    page = thesis_tables.table_7_1(results)
    for row in table("7_1"):
        (line,) = [
            line
            for line in page.splitlines()
            if line.startswith(f"| {thesis_tables.TITLES[row['characteristic']]} |")
        ]
        printed = [cell.split(" / ")[0] for cell in line.strip("| ").split(" | ")[1:]]
        assert printed == list(row.values())[1:]
    assert "| died | 15 / not measured | 5 / not measured | 5 / 5 | 30 / not measured |" in page
    assert "| with recurrence | 21 / not measured | 8 / not measured | 7 / – |" in page


def test_the_networks_of_a_pair_differ_only_in_the_penalty():
    jobs = [job for job in sizes_jobs("laptop", 20).values() if job["kind"] == "network"]
    assert len(jobs) == 2 * 20
    for without, with_penalty in zip(jobs[::2], jobs[1::2], strict=True):
        assert without["settings"] | {"mean_penalty": 1.0} == with_penalty["settings"]
        assert without["settings"]["mean_penalty"] == 0.0
