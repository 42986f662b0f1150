"""``survival train`` and ``survival evaluate``: what a person types, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from survival.cli import main
from survival.cohort import Cohort
from survival.run import Run

QUICK = ("--epochs", 1, "--width", 0.03, "--batch-size", 8)


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def refused(*arguments):
    """What the command says; it must be one line, and exit status 2."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A manifest of 40 slides of two scanners, and the folder of their images."""
    folder = tmp_path_factory.mktemp("cohort")
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    red = random.integers(0, 256, size=40)
    for i in range(40):
        Image.new("RGB", (24, 16), (int(red[i]), 100, 100)).save(folder / f"images/s{i}.png")
    i = np.arange(40)
    cohort = Cohort(
        np.array([f"s{n}.svs" for n in i]),
        np.array([f"P{n}" for n in i]),
        np.round(random.exponential(10, size=40) + 0.1, 2),
        i % 3 > 0,
        np.where(i % 2, "A", "B"),
        np.where(i % 5 > 1, "train", np.where(i % 5 == 1, "validation", "test")),
    )
    cohort.write(folder / "cohort.csv")
    return folder / "cohort.csv", folder / "images"


@pytest.fixture(scope="module")
def trained(files, tmp_path_factory):
    """The folder of a training on scanner A, and what the command said."""
    manifest, images = files
    out = tmp_path_factory.mktemp("runs") / "a"
    given = ("--manifest", manifest, "--images", images, "--out", out)
    return out, run("train", *given, "--dataset", "A", *QUICK)


def test_a_training_says_what_it_did_and_where_it_is(trained):
    out, result = trained
    assert result.exit_code == 0, result.output
    assert "epoch 1/1: loss " in result.stderr and "val_cindex" in result.stderr
    assert f"{out}: the network of epoch 1, validation C 0." in result.stdout
    done = Run(out)
    assert set(done.predictions.dataset) == {"A"} and done.settings["datasets"] == ["A"]


def test_an_evaluation_shows_intervals_and_keeps_the_predictions(files, trained):
    manifest, images = files
    out, _ = trained
    given = ("evaluate", out, "--manifest", manifest, "--images", images)
    result = run(*given, "--name", "both")
    assert result.exit_code == 0, result.output
    for row in ("A ", "B ", "merged", "standardised", "within"):
        assert any(line.strip().startswith(row) for line in result.stdout.splitlines()), row
    table = Run(out).evaluations["both"]
    assert len(table) == 40
    own = Run(out).predictions.set_index("slide").log_hazard
    shared = table.set_index("slide").log_hazard[own.index]
    pd.testing.assert_series_equal(own, shared, rtol=1e-4)
    assert "--overwrite" in refused(*given, "--name", "both")
    assert "without folders" in refused(*given, "--name", "../both")


def test_bad_input_is_one_line_and_leaves_nothing(files, trained, tmp_path):
    manifest, images = files
    given = ("--manifest", manifest, "--images", images, "--out", tmp_path / "run")
    assert "no dataset 'C'; its datasets: 'A', 'B'" in refused("train", *given, "--dataset", "C")
    assert "ties must be one of" in refused("train", *given, "--ties", "exact")
    assert "'rfs_time' is missing" in refused("train", *given, "--time", "rfs_time")
    (tmp_path / "empty").mkdir()
    missing = ("--manifest", manifest, "--images", tmp_path / "empty", "--out", tmp_path / "run")
    assert "40 slide(s) of the cohort: no image in" in refused("train", *missing)
    assert not (tmp_path / "run").exists()
    evaluation = ("--manifest", manifest, "--images", images)
    assert "no folder of a training" in refused("evaluate", tmp_path / "empty", *evaluation)
    for i in range(40):
        Image.new("RGB", (16, 24)).save(tmp_path / f"empty/s{i}.png")
    other = ("--manifest", manifest, "--images", tmp_path / "empty")
    assert "preprocess the slides with --canvas 24x16" in refused("evaluate", trained[0], *other)
