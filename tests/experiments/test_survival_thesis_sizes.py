"""The script of Table 7.1's sizes: its jobs, a network on A judged on both scanners, bad input."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from experiments.survival.domain_gap import THESIS
from experiments.survival.follow_up import PATIENTS
from experiments.survival.thesis_sizes import main, sizes_jobs, work
from survival.cohort import Cohort


@pytest.fixture
def cohort_folder(tmp_path):
    """Return a few images of two scanners; the rows of B are between those of A."""
    rng = np.random.default_rng(0)
    rows = []
    for scanner, split, count in (
        ("A", "test", 3),
        ("B", "test", 4),
        ("A", "train", 6),
        ("A", "validation", 3),
    ):
        for number in range(count):
            slide = f"{scanner}/{split}{number}.tif"
            image = tmp_path / "images" / f"{scanner}/{split}{number}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (16, 20, 3), dtype=np.uint8)).save(image)
            patient = f"{scanner}{split}{number}"
            rows.append((slide, patient, 5 + number, int(number == 0), scanner, split))
    columns = ["slide", "patient", "time", "event", "dataset", "split"]
    (tmp_path / "slides").mkdir()
    Cohort.from_frame(pd.DataFrame(rows, columns=columns)).write(tmp_path / "slides/cohort.csv")
    return tmp_path


def test_a_network_of_a_is_judged_on_the_test_slides_of_both_in_their_order(cohort_folder):
    settings = THESIS | {"epochs": 1, "width": 0.02, "seed": 3, "mean_penalty": 1.0}
    job = {"kind": "network", "settings": settings, "data_dir": str(cohort_folder)}
    result = work(job)
    (run,) = cohort_folder.glob("runs_*/1_epochs_penalty_1_seed_3")
    predicted = pd.concat(
        [pd.read_csv(run / "predictions.csv"), pd.read_csv(run / "evaluations" / "on_B.csv")]
    ).set_index("slide")
    test = Cohort.read(cohort_folder / "slides" / "cohort.csv").part("test")
    assert sorted(test.dataset) == ["A"] * 3 + ["B"] * 4
    np.testing.assert_allclose(result["log_hazard"], predicted.log_hazard[test.slide])
    assert set(predicted.dataset[predicted.split == "train"]) == {"A"}
    assert work(job) == result  # resumes from the existing files


def test_the_first_job_has_the_sizes_and_the_test_slides(tmp_path, monkeypatch):
    path = tmp_path / PATIENTS
    path.parent.mkdir()
    rows = [f"P{i}\t0:LIVING\t{i}" for i in range(1, 201)]
    path.write_text("\n".join(["PATIENT_ID\tOS_STATUS\tOS_MONTHS", *rows]) + "\n")
    monkeypatch.setenv("RESBUILDER_SHARED", str(tmp_path))
    name, job = next(iter(sizes_jobs("quick", 1).items()))
    result = json.loads(json.dumps(work(job)))
    assert name == "cohort of Table 7.1's sizes"
    assert {(p["dataset"], p["split"]): p["events"] for p in result["parts"]} == {
        ("A", "train"): 15,
        ("A", "validation"): 5,
        ("A", "test"): 5,
        ("B", "test"): 30,
    }
    assert {len(values) for values in result["test"].values()} == {38 + 242}
    larger = work(sizes_jobs("quick", 1)["larger cohort, seed 0"])["parts"]
    assert sum(part["patients"] for part in larger) == 900
    assert "test" not in work(sizes_jobs("quick", 1)["larger cohort, seed 0"])


def test_without_follow_up_the_script_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("RESBUILDER_SHARED", raising=False)
    refused = CliRunner().invoke(main, ["--data-dir", str(tmp_path)])
    assert refused.exit_code == 2
    (line,) = [row for row in refused.output.splitlines() if row.startswith("Error")]
    assert "data_clinical_patient.txt" in line
    assert not list(tmp_path.iterdir())
