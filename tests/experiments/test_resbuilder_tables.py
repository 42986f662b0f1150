"""Table 6.1: every dataset's jobs, a whole quick run, equal epochs; pages from stored results."""

import importlib
import json
import shutil

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits

from experiments.jobs import write
from experiments.measuring import RESULTS
from experiments.resbuilder import dataset_table, thesis_table
from experiments.resbuilder.columns import (
    COLUMNS,
    FROM_SCRATCH,
    column_job,
    measure_column,
    trainings,
)
from experiments.resbuilder.dataset_table import DATASETS, PRESETS, markdown, table_jobs
from experiments.resbuilder.random_search import RandomSearch
from experiments.tables import regenerate
from experiments.thesis import table as printed_table
from resbuilder import SearchConfig, cost
from resbuilder.progress import SearchProgress
from resbuilder.run import Run
from resbuilder.training import TrainingData

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the experiments run on TensorFlow"
)
SMALL = PRESETS["quick"][1] | {"dataset": "emnist", "seed": 3, "train_limit": 300, "flops": 2e5}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a folder with scikit-learn's digits instead of EMNIST's file."""
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8) * 15).astype(np.uint8)
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "emnist.npz", x_train=x[:900], y_train=y[:900], x_test=x[900:1200],
             y_test=y[900:1200])  # fmt: skip
    return folder


def result(column, seed, tests, searched=None, dataset="cifar10"):
    """Return a stored result: accuracies of a column's network after 3, 6, … epochs."""
    settings = PRESETS["laptop"][1] | {"dataset": dataset, "seed": seed}
    curve = [{"epochs": 3 * n, "validation": a, "test": a} for n, a in enumerate(tests, start=1)]
    size = {"flops": 5_900_000, "parameters": 21_729, "depth": 19} if tests else {}
    return {
        "job": column_job(column, settings, True),
        FROM_SCRATCH: curve,
        "searched": searched,
    } | size


def searched(epochs, test, best_on_test, count=21):
    found = test and {"network": "#4", "epochs": epochs, "validation": 0.5, "test": test}
    return {"trainings": count, "reason": "", "found": found, "best_on_test": best_on_test}


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_dataset_has_a_script_with_all_columns_for_every_seed(dataset):
    script = importlib.import_module(f"experiments.resbuilder.{dataset}")
    assert f"experiments.resbuilder.{dataset} --preset thesis" in script.__doc__
    refused = CliRunner().invoke(script.main, ["--preset", "night"])
    assert refused.exit_code == 2 and "'night' is not one of 'quick', 'laptop'" in refused.output
    for unheard, message in (
        (["--gpus", "1"], "--gpus needs --ray"),
        (["--memory", "4"], "--memory needs --ray"),
        (["--strategy", "mirrored", "--workers", "2"], "give only one of the two"),
    ):
        refused = CliRunner().invoke(script.main, unheard)
        assert refused.exit_code == 2 and message in refused.output
    for preset, (seeds, _) in PRESETS.items():
        jobs = table_jobs(dataset, preset)
        assert len(jobs) == 7 * seeds
        configs = [SearchConfig(**job["settings"]) for job in jobs.values()]
        assert [c.seed for c in configs] == [s for s in range(seeds) for _ in range(7)]
        assert {c.dataset for c in configs} == {dataset}


def test_the_thesis_preset_is_the_thesis_table_of_hyperparameters():
    jobs = table_jobs("cifar10", "thesis")
    assert SearchConfig(**jobs["rb-0net_seed0"]["settings"]) == SearchConfig(
        dataset="cifar10", start="rb-0net", width=64
    )
    # 7 rounds of 1 + 4 trained architectures, and one at the end, each trained three times.
    assert jobs["random_seed0"]["networks"] == 108
    assert jobs["res18_seed0"]["kind"] == "network as it is"
    assert jobs["rb-r18_seed2"][FROM_SCRATCH] == 6


def test_batches_and_budget_of_large_images(monkeypatch):
    made = {}
    monkeypatch.setattr(dataset_table, "measure", lambda name, work, jobs, *rest: made.update(jobs))
    monkeypatch.setattr(dataset_table, "publish_from", lambda path: None)
    for dataset, batch_size, flops in (
        ("smallnorb", 64, 1e8),
        ("animals10", 16, 1e9),
        ("emnist", 128, 1e8),
    ):
        script = importlib.import_module(f"experiments.resbuilder.{dataset}")
        assert CliRunner().invoke(script.main, ["--preset", "thesis"]).exit_code == 0
        settings = made["rb-0net_seed0"]["settings"]
        assert (settings["batch_size"], settings["flops"]) == (batch_size, flops)


def test_missing_data_is_one_line_that_says_which_file_goes_where(tmp_path):
    script = importlib.import_module("experiments.resbuilder.animals10")
    options = ["--data-dir", str(tmp_path), "--out", str(tmp_path / "runs"), "--workers", "1"]
    refused = CliRunner().invoke(script.main, options)
    assert refused.exit_code == 2
    (line,) = [row for row in refused.output.splitlines() if row.startswith("Error")]
    assert "animals10/<class>/" in line and "RESBUILDER_DATA" in line


@needs_tensorflow
def test_random_networks_fill_the_budget_and_depend_on_their_number_only(data, tmp_path):
    settings = column_job("random", SMALL | {"rounds": 2, "insertions": 2, "flops": 1e6}, True)
    config = SearchConfig(**settings["settings"], data_dir=str(data))
    drawn = []
    for name in "ab":
        with Run.create(tmp_path / name, config) as run:
            search = RandomSearch(run, TrainingData.load(config), SearchProgress(0), 0)
            drawn.append([search.draw(index) for index in range(8)])
    first, again = drawn
    assert first == again
    assert len(set(first)) == 8
    assert all(0.8e6 < cost(a).flops <= 1e6 for a in first)
    kinds = {a.stem.pool: set() for a in first}
    for a in first:
        kinds[a.stem.pool].add(len(a.blocks))
    assert kinds.keys() == {False, True}  # from RB-0Net, from ResNet-18
    assert kinds[False] <= {1, 2, 3, 4} and kinds[True] <= {9, 10, 11, 12}


@needs_tensorflow
@pytest.mark.slow
def test_a_random_search_resumes_after_a_kill(data, tmp_path, monkeypatch):
    # From one convolution, because a few layers are traced much faster than a ResNet-18.
    monkeypatch.setattr("experiments.resbuilder.random_search.STARTS", 2 * ("rb-0net",))
    job = column_job("random", SMALL, True) | {
        "networks": 2,
        FROM_SCRATCH: 0,
        "data_dir": str(data),
    }
    whole = measure_column(job, tmp_path / "whole")
    journal = tmp_path / "whole" / "random_seed3" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)

    def killed_at_the_second(search, index):
        if index:
            raise KeyboardInterrupt
        return draw(search, index)

    draw = RandomSearch.draw
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RandomSearch, "draw", killed_at_the_second)
        measure_column(job, tmp_path / "killed")
    killed = tmp_path / "killed" / "random_seed3" / "journal.jsonl"
    before = killed.read_text()
    assert before.count("\n") == 2  # one network drawn and trained
    again = measure_column(job, tmp_path / "killed")
    assert killed.read_text().startswith(before)
    assert again.pop("seconds") > 0 and whole.pop("seconds") > 0
    assert again == whole
    assert whole["searched"]["trainings"] == 2
    assert whole["searched"]["found"]["epochs"] == 1
    tests = [json.loads(line)["test"]["accuracy"] for line in lines if '"training"' in line]
    assert whole["searched"]["best_on_test"] == max(tests)
    with pytest.raises(ValueError, match="other settings"):
        measure_column(job | {"settings": job["settings"] | {"epochs": 2}}, tmp_path / "killed")


@needs_tensorflow
@pytest.mark.slow
def test_a_quick_run_from_images_to_table(data, tmp_path, monkeypatch):
    """It uses the script, real loading and worker processes, for a given network and a search."""
    # Items deleted one by one would return in another order, and change that of the tables.
    two = {name: COLUMNS[name] for name in ("res18", "rb-0net")}
    monkeypatch.setattr("experiments.resbuilder.dataset_table.COLUMNS", two)
    monkeypatch.setitem(PRESETS, "quick", (1, SMALL))
    script = importlib.import_module("experiments.resbuilder.emnist")
    options = ["--data-dir", str(data), "--out", str(tmp_path)]
    done = CliRunner().invoke(script.main, options)
    assert done.exit_code == 0, done.output
    report = tmp_path / "emnist_quick" / "report"
    page = (report / "emnist.md").read_text()
    assert "| Res18 | 86.48 |" in page and "| RB-0Net | 86.95 |" in page
    assert (report / "emnist.png").stat().st_size > 10_000
    results = json.loads((report / "emnist.json").read_text())
    found = results["rb-0net_seed0"]["searched"]
    assert found["trainings"] == trainings(rounds=1, insertions=1) == 9
    assert found["found"]["epochs"] <= 3
    for entry in results.values():
        assert [a["epochs"] for a in entry[FROM_SCRATCH]] == [1, 2, 3]
        assert entry["flops"] <= SMALL["flops"]
    # Again: nothing is trained, and the page is the same.
    again = CliRunner().invoke(script.main, options)
    assert again.exit_code == 0 and "done" not in again.output.split("emnist: ")[0]
    assert (report / "emnist.md").read_text() == page


def test_the_tables_contain_spread_epochs_and_the_thesis_cells():
    page = markdown(
        [
            result("res18", 0, (0.60, 0.70)),
            result("res18", 1, (0.62, 0.74)),
            result("rb-0net", 0, (0.5, 0.6), searched(12, 0.71, 0.75)),
            result("rb-0net", 1, (0.5, 0.6), searched(6, 0.73, 0.75, 18)),
            result("random", 0, (), searched(3, None, None)),
            result("random", 1, (0.5, 0.6), searched(3, 0.40, 0.41)),
        ]
    )
    # Deviations of (0.60, 0.62), (0.70, 0.74), (0.71, 0.73): differences over √2.
    assert "| Res18 | 85.50 | – | 61.00 ± 1.41 | 3 | 1 |" in page
    assert "| RB-0Net | 89.92 | 75.00 ± 0.00 | 72.00 ± 1.41 | 12, 6 | 21, 18 |" in page
    assert "| random search | no such column | 41.00 (1 of 2 seeds) | 40.00 (1 of 2" in page
    assert "| Res18 | 5.90 M | 21.7 k | 19 | 61.00 ± 1.41 | 72.00 ± 2.83 |" in page
    assert "2 seeds" in page and "3 epochs | 6 epochs |" in page


def test_a_search_without_any_network_is_reported():
    page = markdown([result("morphnet", 0, (), searched(3, None, None, 0))])
    assert "| MorphNet only | 88.17 | no network within ζ | no network within ζ | – |" in page


def test_all_24_printed_cells_have_ours_or_the_reason(tmp_path):
    cells = printed_table("6_1")
    for stored in (False, True):
        if stored:
            results = [
                result("res18", 0, (0.60, 0.70)),
                result("rb-0net", 0, (0.5, 0.6), searched(12, 0.71, 0.75)),
            ]
            write(tmp_path / "cifar10_laptop.json", {str(i): r for i, r in enumerate(results)})
        lines = [line.split(" | ") for line in thesis_table.markdown(tmp_path).splitlines()]
        rows = {tuple(line[:2]): line[2:] for line in lines if len(line) == 6}
        for row in cells:
            dataset = f"| {thesis_table.NAMES[row['dataset']]}"
            for column, printed in dataset_table.THESIS_COLUMNS.items():
                thesis, ours, *_ = rows[dataset, COLUMNS[column].title]
                assert thesis.replace("\\*", "*") == row[printed]
                measured = {"res18": "60.00", "rb-0net": "71.00"}
                known = measured.get(column) if row["dataset"] == "cifar10" and stored else None
                assert ours == (known or thesis_table.MISSING)
        assert len(rows) == 24 + 1  # and the heading
    assert rows["| CIFAR-10", "RB-0Net"][2:] == ["75.00", "laptop, 4.00 M, 2, 1 |"]


def test_the_thesis_preset_comes_before_the_laptop_preset(tmp_path):
    for ending, accuracy in (("", 0.9), ("_laptop", 0.6)):
        write(tmp_path / f"cifar10{ending}.json", {"one": result("res18", 0, (accuracy,))})
    page = thesis_table.markdown(tmp_path)
    assert "| CIFAR-10 | Res18 | 85.50 | 90.00 | – | thesis, " in page


def test_smallnorb_has_its_three_figures(tmp_path):
    page = thesis_table.markdown(tmp_path)
    for figure, accuracy in (("6.21", "94.23"), ("6.22", "93.72"), ("6.23", "93.59")):
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {figure} |")]
        assert f"| {accuracy} | {thesis_table.MISSING} |" in line


def test_a_dataset_beyond_the_table_has_no_thesis_cell():
    assert dataset_table.thesis_cell("animals10", "rb-r18") == "92.73*"
    assert dataset_table.thesis_cell("smallnorb", "res18") == "no such row"
    assert dataset_table.thesis_cell("mnist", "random") == "no such column"


def test_all_pages_come_from_the_stored_results_alone(tmp_path):
    """Every committed table is, to the last byte, the one that its results give."""
    stored = [p for p in RESULTS.rglob("*.json") if p.parent.name != "resbuilder_fashion_mnist"]
    for path in stored:
        (tmp_path / path.relative_to(RESULTS)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(RESULTS))
    assert set(regenerate(tmp_path)) == {tmp_path / p.relative_to(RESULTS) for p in stored}
    pages = {p.relative_to(RESULTS): p for p in RESULTS.rglob("*.md") if p.name != "README.md"}
    assert set(pages) == {p.relative_to(tmp_path) for p in tmp_path.rglob("*.md")}
    for name, published in pages.items():
        assert (tmp_path / name).read_bytes() == published.read_bytes(), name
    assert all(path.stat().st_size > 10_000 for path in tmp_path.rglob("*.png"))
    assert len(list(tmp_path.rglob("*.png"))) >= len(stored)
