"""``survival train`` and ``survival evaluate`` on the command line, and what they refuse."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from resbuilder.common.strategy import STRATEGIES
from survival.augmentation import AUGMENTATIONS
from survival.cli import main
from survival.cli.train import train
from survival.cohort import Cohort
from survival.losses.cox import MEAN_PENALTY_FORMS, NORMALIZATIONS
from survival.losses.partial_likelihood import TIES
from survival.run import Run
from survival.training.settings import BATCHES, DTYPES, TrainingSettings

QUICK = ("--epochs", 1, "--width", 0.03, "--batch-size", 8)


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def refused(*arguments):
    """Return the command's error, which must be one line with exit status 2."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    *notes, line = result.stderr.strip().splitlines()
    assert all(note.startswith("left out by --dataset: ") for note in notes)
    assert line.startswith("Error: ")
    return line


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a manifest of 40 slides of two scanners, and the folder of their images."""
    folder = tmp_path_factory.mktemp("cohort")
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    red = random.permutation(256)[:40]  # all different: equal files count as one slide
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
    """Return the run folder of a training on scanner A, and the command's result."""
    manifest, images = files
    out = tmp_path_factory.mktemp("runs") / "of scanner A"
    given = ("--manifest", manifest, "--images", images, "--out", out)
    return out, run("train", *given, "--dataset", "A", *QUICK)


def test_a_training_reports_its_result_and_files(trained):
    out, result = trained
    assert result.exit_code == 0, result.output
    assert "epoch 1/1: loss " in result.stderr and "val_cindex" in result.stderr
    assert f"{out}: kept the network of epoch 1, validation C-index 0." in result.stdout
    assert f"risk scores of all slides: {out / 'predictions.csv'}" in result.stdout
    # The next command can be pasted into a shell, although the folder's name has spaces.
    assert f"next: survival report '{out}' --out report.html\n" in result.stdout
    done = Run(out)
    assert set(done.predictions.dataset) == {"A"} and done.settings["datasets"] == ["A"]


def test_an_evaluation_shows_intervals_and_keeps_the_predictions(files, trained):
    manifest, images = files
    out, _ = trained
    given = ("evaluate", out, "--manifest", manifest, "--images", images)
    result = run(*given, "--name", "both")
    assert result.exit_code == 0, result.output
    for row in ("A ", "B ", "merged", "standardized", "within"):
        assert any(line.strip().startswith(row) for line in result.stdout.splitlines()), row
    table = Run(out).evaluations["both"]
    assert len(table) == 40
    own = Run(out).predictions.set_index("slide").log_hazard
    shared = table.set_index("slide").log_hazard[own.index]
    pd.testing.assert_series_equal(own, shared, rtol=1e-4, atol=2e-6)  # scores have six decimals
    assert "--overwrite" in refused(*given, "--name", "both")
    (out / "evaluations" / "mine.csv").write_text("a,b\n")
    said = refused(*given, "--name", "mine", "--overwrite")
    assert "mine.csv is not overwritten: this program did not write it" in said
    assert "a file name without folders" in refused(*given, "--name", "../both")


def test_a_file_gives_settings_and_options_win(files, tmp_path):
    manifest, images = files
    file = tmp_path / "training.toml"
    file.write_text(
        f'manifest = "{manifest}"\nimages = "{images}"\ndataset = ["A"]\nepochs = 3\n'
        'width = 0.03\nbatch-size = 7\naugment = ["flip"]\nstrata = true\nlearning-rate = 1\n'
        "tensorboard = true\n"
    )
    given = ("--config", file, "--epochs", 1, "--learning-rate", 0.002)
    result = run("train", *given, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    settings = Run(tmp_path / "run").settings
    expected = {"epochs": 1, "batch_size": 7, "width": 0.03, "augment": ["flip"], "strata": True}
    expected |= {"learning_rate": 0.002, "datasets": ["A"]}
    assert {name: settings[name] for name in expected} == expected
    logs = [path for path in (tmp_path / "run" / "tensorboard").rglob("*") if path.is_file()]
    assert logs and all("tfevents" in path.name for path in logs)
    assert "tensorboard" not in settings  # watching a training does not change it


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epochs = 5.5", "epochs must be a whole number, got 5.5"),
        ("epochs = true", "epochs must be a whole number, got True"),
        ('learning-rate = "0.1"', "learning_rate must be a number, got '0.1'"),
        ("strata = 1", "strata must be true or false, got 1"),
        ('augment = "flip"', "augment must be a list, each entry text, got 'flip'"),
        ('ties = "exact"', "'exact' is not one of 'breslow', 'efron'"),
        ("epoch = 5", "unknown settings: epoch; did you mean epochs?"),
        ('out = "elsewhere"', "unknown settings: out"),
        ("epochs = ", "cannot read the configuration"),
    ],
)
def test_a_file_of_settings_is_read_strictly(files, tmp_path, line, message):
    file = tmp_path / "training.toml"
    file.write_text(line + "\n")
    given = ("--manifest", files[0], "--images", files[1], "--out", tmp_path / "run")
    assert message in refused("train", "--config", file, *given)
    assert not (tmp_path / "run").exists()


def test_the_choices_are_those_of_the_library():
    choices = {o.name: tuple(o.type.choices) for o in train.params if hasattr(o.type, "choices")}
    assert choices == {
        "mean_penalty_form": MEAN_PENALTY_FORMS,
        "ties": TIES,
        "normalization": NORMALIZATIONS,
        "batches": BATCHES,
        "augment": tuple(AUGMENTATIONS),
        "dtype": DTYPES,
        "strategy": STRATEGIES,
    }


def test_a_warning_if_no_epoch_is_better_than_chance(files, tmp_path):
    manifest, images = files
    cohort = pd.read_csv(manifest)
    for i in cohort.index[
        cohort.split == "validation"
    ]:  # all images are equal: every pair is a tie
        about = PngInfo()
        about.add_text("slide", f"s{i}")
        Image.new("RGB", (24, 16), (90, 90, 90)).save(tmp_path / f"s{i}.png", pnginfo=about)
    for i in cohort.index[cohort.split != "validation"]:
        (tmp_path / f"s{i}.png").write_bytes((images / f"s{i}.png").read_bytes())
    given = ("--manifest", manifest, "--images", tmp_path, "--out", tmp_path / "run")
    result = run("train", *given, *QUICK)
    assert "validation C-index 0.500" in result.stdout
    assert "Warning: no epoch was better than chance" in result.stderr


def test_input_is_checked_before_the_backend_is_loaded(files, tmp_path):
    program = (
        "import sys\n"
        "from survival.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 2\n"
        "assert 'keras' not in sys.modules"
    )
    given = ["--manifest", files[0], "--images", tmp_path, "--out", tmp_path / "run"]
    done = subprocess.run(
        [sys.executable, "-c", program, "train", *given], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "no image in" in done.stderr and len(done.stderr.splitlines()) == 1


def test_too_little_memory_is_one_line(files, tmp_path, monkeypatch):
    def too_large(*_, **__):
        import tensorflow as tf

        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr("survival.training.train", too_large)
    given = ("--manifest", files[0], "--images", files[1], "--out", tmp_path / "run")
    result = run("train", *given, "--dataset", "A", *QUICK)
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: out of memory: choose smaller batches") and result.exit_code == 2


def test_bad_input_is_one_line_and_leaves_nothing(files, trained, tmp_path):
    manifest, images = files
    given = ("--manifest", manifest, "--images", images, "--out", tmp_path / "run")
    assert "no dataset 'C'; its datasets: 'A', 'B'" in refused("train", *given, "--dataset", "C")
    assert "'exact' is not one of 'breslow', 'efron'" in refused("train", *given, "--ties", "exact")
    assert "'flips' is not one of" in refused("train", *given, "--augment", "flips")
    assert "'rfs_time' is missing" in refused("train", *given, "--time", "rfs_time")
    table = pd.read_csv(manifest)
    table.loc[(table.dataset == "A") & (table.split == "validation"), "event"] = 0
    table.to_csv(tmp_path / "none.csv", index=False)
    lacking = ("--manifest", tmp_path / "none.csv", *given[2:], "--dataset", "A", *QUICK)
    assert "split 'validation' of A has no event (4 patients)" in refused("train", *lacking)
    (tmp_path / "empty").mkdir()
    missing = ("--manifest", manifest, "--images", tmp_path / "empty", "--out", tmp_path / "run")
    said = refused("train", *missing)
    assert "40 slides of the cohort: no image in" in said
    assert "has no manifest.csv (run `survival preprocess` first)" in said
    assert not (tmp_path / "run").exists()
    evaluation = ("--manifest", manifest, "--images", images)
    assert "is not a run folder" in refused("evaluate", tmp_path / "empty", *evaluation)
    for i in range(40):
        Image.new("RGB", (16, 24), (i, 0, 0)).save(tmp_path / f"empty/s{i}.png")
    other = ("--manifest", manifest, "--images", tmp_path / "empty")
    assert "preprocess the slides with --canvas 24x16" in refused("evaluate", trained[0], *other)


def test_every_option_reaches_the_settings(files, tmp_path, monkeypatch):
    manifest, images = files
    seen = []

    def stop(cohort, folder, out, settings, callbacks):
        seen.append((cohort, settings))
        raise ValueError("seen")

    monkeypatch.setattr("survival.training.train", stop)
    given = {
        **{"epochs": 7, "batch_size": 6, "learning_rate": 0.01, "width": 0.5, "seed": 3},
        **{"mean_penalty": 0.1, "mean_penalty_form": "squared_sum", "ties": "efron"},
        **{"normalization": "batch", "batches": "patients", "micro_batch": 2},
        **{"dtype": "mixed_bfloat16", "strategy": "mirrored"},
    }
    flags = [part for n, v in given.items() for part in (f"--{n.replace('_', '-')}", v)]
    others = ("--strata", "--augment", "stain", "--augment", "flip", "--time-unit", "months")
    common = ("--manifest", manifest, "--images", images, "--out", tmp_path / "run")
    refused("train", *common, *flags, *others)
    ((cohort, settings),) = seen
    assert settings == TrainingSettings(**given, strata=True, augment=("stain", "flip"))
    assert cohort.time_unit == "months"
