"""The command line as users know it: the commands on real digits, and all kinds of bad input."""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from rich.table import Table

from resbuilder.cli import main
from resbuilder.cli.tables import print_whole

SEARCH = (
    "search --dataset digits --train-limit 200 --epochs 1 --batch-size 40 --width 4 --stages 2 "
    "--flops 1e5 --rounds 1 --insertions 0"
).split()


def call(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refused(*arguments) -> str:
    """Return the one line of the error of a command that exits with status 2."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (error,) = result.stderr.splitlines()
    assert error.startswith("Error: ") and not result.stdout
    return error


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    result = call(*SEARCH, "--out", path)
    assert result.exit_code == 0, result.output
    return path


def test_search_ends_with_a_table_and_the_path_of_the_report(tmp_path):
    result = call(*SEARCH, "--rounds", 0, "--out", tmp_path / "run")
    assert result.exit_code == 0
    assert "With Reg" in result.stdout and "No Reg RI" in result.stdout and "★" in result.stdout
    page = result.stdout.splitlines()[-1].removeprefix("report: ")
    assert Path(page).read_text().startswith("<!doctype html>")
    # Progress goes to standard error, so that the table can be piped.
    assert "validation" in result.stderr and "0 start" not in result.stdout


def test_help_shows_symbols_and_defaults_without_loading_a_backend():
    text = re.sub(r"\s+", " ", call("search", "--help").stdout)
    for shown in (
        "Name of a dataset, or a folder of images [required]",
        "FLOPs budget per image (ζ) [default: 1e8]",
        "Block insertions before each MorphNet step (n_Λ) [thesis only; default: 4]",
        "Strength of the MorphNet regularizer (λ_M) [thesis only; default: 1e-7]",
        "(τ_LL) [thesis only; default: 0.015]",
        "[thesis only; default: rb-0net]",
        "Learning rate of Adam [default: 0.001; race: 0.003]",
        "over all candidates [race only; default: 42]",
        "Random horizontal flips [default: on]",
        "[default: $RESBUILDER_DATA]",
    ):
        assert shown in text
    assert text.index("--dataset") < text.index("--method [") < text.index("--flops FLOAT")
    # A training on its own has no methods.
    assert "only;" not in call("train", "--help").stdout
    program = "import sys, resbuilder.cli; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_train_evaluate_and_export_agree(run, tmp_path):
    out = tmp_path / "single"
    options = "--dataset digits --start resnet-20 --width 4 --epochs 2".split()
    options += ["--flops", "5e5", "--scale-to-budget"]
    trained = call("train", *options, "--out", out)
    assert trained.exit_code == 0, trained.output
    stored = json.loads((out / "result.json").read_text())
    assert stored["flops"] <= 5e5 and len(stored["history"]["loss"]) == 2
    for part in ("validation", "test"):
        result = call("evaluate", out, "--split", part)
        assert f"accuracy {100 * stored[part]['accuracy']:.2f} %" in result.stdout
        scores, _, count = result.stdout.strip().rpartition(", ")
        assert scores in trained.stdout
        assert count == {"validation": "288 images", "test": "359 images"}[part]
    # JSON has the same numbers, up to the order in which float32 losses are added.
    read = json.loads(call("evaluate", out, "--split", "test", "--json").stdout)
    about = {"model": str(out), "split": "test", "images": 359}
    assert {key: read.pop(key) for key in about} == about
    assert read == pytest.approx(stored["test"], rel=1e-6)
    # The saved architecture can be the start network of another training.
    again = call("train", "--dataset", "digits", "--start", out / "architecture.json",
                 "--epochs", 1, "--train-limit", 100, "--out", tmp_path / "again")  # fmt: skip
    assert f"{stored['flops']:,} FLOPs" in again.stdout
    exported = call("export", out, tmp_path / "model.keras", "--format", "keras")
    assert exported.exit_code == 0
    x = np.random.default_rng(0).uniform(0, 16, (3, 8, 8, 1)).astype("float32")
    outputs = [
        keras.models.load_model(p, compile=False).predict(x, verbose=0)
        for p in (tmp_path / "model.keras", out / "models" / "best.keras")
    ]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.slow
def test_report_is_rebuilt_from_a_moved_run_folder_alone(run, tmp_path):
    moved = shutil.copytree(run, tmp_path / "moved" / run.name)
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"data_dir": "/not/on/this/machine"}))
    before = (moved / "report.html").read_text()
    (moved / "report.html").unlink()
    shutil.rmtree(moved / "figures")
    assert call("report", moved).exit_code == 0
    # The commands to copy name the current location of the run, and its data folder.
    after = (moved / "report.html").read_text()
    assert "/not/on/this/machine" in after
    assert after.count(str(moved)) == before.count(str(run)) > 0


@pytest.mark.slow
def test_a_config_file_and_options_give_the_same_settings(run, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(
        'dataset = "digits"\ntrain_limit = 200\nepochs = 1\nbatch_size = 40\nwidth = 4\n'
        "stages = 2\nflops = 1e5\nrounds = 3\ninsertions = 0\n"
    )
    # The option overrides the file.
    result = call("search", "--config", file, "--rounds", 1, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    written = [json.loads((p / "config.json").read_text()) for p in (run, tmp_path / "run")]
    assert written[0] == written[1]


def test_the_settings_of_a_run_are_taken_from_its_folder(tmp_path):
    first = ("--dataset", "digits", "--train-limit", 60, "--epochs", 1, "--width", 2)
    assert call("train", *first, "--out", tmp_path / "first").exit_code == 0
    config = tmp_path / "first" / "config.json"
    again = call("train", "--config", config, "--seed", 1, "--out", tmp_path / "again")
    assert again.exit_code == 0, again.output
    settings = json.loads((tmp_path / "again" / "config.json").read_text())
    assert settings == json.loads(config.read_text()) | {"seed": 1}


def test_options_before_prepare_are_refused(tmp_path):
    (tmp_path / "file").touch()
    for options in (["--data-dir", tmp_path], ["--json"]):
        said = refused("datasets", *options, "prepare", "mnist", tmp_path / "file")
        assert f"{options[0]} before prepare has no effect; give it after prepare" in said


def test_a_run_whose_data_have_moved_is_evaluated_on_other_data(run, tmp_path):
    moved = shutil.copytree(run, tmp_path / "moved")
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"data_dir": str(tmp_path / "gone")}))
    assert "accuracy" in call("evaluate", moved, "--dataset", "digits").stdout


def test_a_finished_run_is_not_resumed_with_other_settings(run, tmp_path):
    changed = shutil.copytree(run, tmp_path / "changed")
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | {"epochs": 3}))
    assert "are not those with which the run began" in refused("resume", changed)


def test_datasets_shows_what_is_on_this_machine(tmp_path):
    np.savez(
        tmp_path / "mnist.npz",
        x_train=np.zeros((4, 28, 28), np.uint8),
        y_train=np.arange(4) % 2,
        x_test=np.zeros((2, 28, 28), np.uint8),
        y_test=np.arange(2),
    )
    text = call("datasets", "--data-dir", tmp_path).stdout
    assert "mnist.npz" in re.sub(r"\s", "", text)
    assert re.search(r"digits .*scikit-learn", text)
    listed = json.loads(call("datasets", "--data-dir", tmp_path, "--json").stdout)
    by_name = {entry["name"]: entry for entry in listed}
    assert by_name["mnist"]["where"] == str(tmp_path / "mnist.npz")
    assert by_name["digits"]["classes"] == 10 and by_name["digits"]["shape"] == [8, 8, 1]


def test_only_a_run_folder_is_overwritten_and_only_with_the_flag(run, tmp_path):
    assert "already exists" in refused(*SEARCH, "--out", run)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    assert "already exists" in refused(*SEARCH, "--out", mine)
    assert "not a run folder" in refused(*SEARCH, "--out", mine, "--overwrite")
    # Other programs have a config.json, too, and people put their own files into run folders.
    (mine / "config.json").write_text('{"model_type": "vit"}')
    assert "thesis.tex" in names(mine)
    assert "config.json cannot be read" in refused(*SEARCH, "--out", mine, "--overwrite")
    mixed = shutil.copytree(run, tmp_path / "mixed")
    (mixed / "models" / "mine.keras").write_text("months of work")
    for command in (SEARCH, ["train", "--dataset", "digits"]):
        error = refused(*command, "--out", mixed, "--overwrite")
        assert "is not overwritten: it holds models/mine.keras, which this program did not" in error
    assert (mine / "thesis.tex").read_text() == "years of work"
    assert names(mixed) == sorted([*names(run), "models/mine.keras"])


@pytest.mark.slow
def test_overwriting_a_run_starts_it_from_the_beginning(tmp_path):
    path = tmp_path / "run"
    for _ in range(2):
        assert call(*SEARCH, "--rounds", 0, "--out", path, "--overwrite").exit_code == 0
    assert len((path / "journal.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize("begun", [False, True])
def test_ctrl_c_names_the_command_that_resumes_the_search(tmp_path, monkeypatch, begun):
    """Before the search has made its folder, the old run that it overwrites is not meant."""
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.json").write_text("{}")

    def interrupted(config, out, *more, **options):
        if begun:
            (out / "config.json").unlink()
            (out / "config.json").write_text("{ }")
        raise KeyboardInterrupt

    monkeypatch.setattr("resbuilder.pipeline.search", interrupted)
    for name in ("argv", "orig_argv"):
        monkeypatch.setattr(sys, name, ["resbuilder", "search", "--overwrite"])
    result = call(*SEARCH, "--out", path, "--overwrite")
    assert result.exit_code == 130
    resumes = f"To resume: resbuilder resume {path}" in result.output
    again = "To resume: resbuilder search --overwrite" in result.output
    assert (resumes, again) == (begun, not begun)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--dataset", "foo"], "unknown dataset 'foo'. Known datasets are digits, mnist"),
        (["search", "--dataset", "photos"], "No folder 'photos' exists in "),
        (["search", "--dataset", "photos/"], "no such folder: photos; give a folder of images"),
        (["search", "--datset", "digits"], "No such option"),
        (["search", "--total-epoch", "9"], "--total-epochs"),
        (["search"], "no images to train on: give --dataset"),
        (["search", "--dataset", "digits", "--flops", "10"], "the smallest rb-0net"),
        (
            ["search", "--dataset", "digits", "--epochs", "0"],
            "Error: --epochs must be positive, got 0",
        ),
        (["search", "--dataset", "digits", "--epochs", "x"], "Invalid value for '--epochs'"),
        (["search", "--dataset", "digits", "--lambda-layer", "-1"], "--lambda-layer must be at le"),
        (["search", "--dataset", "digits", "--bandwidth", "9"], "--peak-flops and --bandwidth are"),
        (["search", "--dataset", "digits", "--stages", "9"], "too small for 9 stages"),
        (["search", "--dataset", "digits", "--start", "vgg"], "unknown start network 'vgg'"),
        (["search", "--dataset", "digits", "--start", "x.json"], "cannot read the architecture"),
        (["search", "--dataset", ""], "dataset is empty"),
        (["search", "--dataset", "~nobody-here/x"], "this home folder is unknown"),
        (["train", "--dataset", "digits", "--scale-to-budget", "--flops", "1"], "too small"),
        (["train", "--dataset", "digits", "--scale-to-budget"], "give --flops"),
        (["train", "--dataset", "digits", "--flops", "1"], "but the budget is 1;"),
        (["train", "--dataset", "digits", "--flops", "inf"], "positive number of FLOPs, got inf"),
        (["train", "--dataset", "digits", "--flops", "nan"], "positive number of FLOPs, got nan"),
        (["train", "--dataset", "digits", "--rounds", "1"], "No such option"),
        (["train", "--dataset", "digits", "--stem", "small"], "--stem has no effect on"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, arguments, message):
    assert message in refused(*arguments, "--out", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["search", "train", "plan", "evaluate"])
def test_a_missing_folder_is_an_error_before_a_backend_is_loaded(tmp_path, command):
    """Loading one takes seconds, and minutes on a busy machine."""
    given = {"plan": [], "evaluate": [tmp_path]}.get(command, ["--out", tmp_path / "run"])
    arguments = [command, *map(str, given), "--dataset", str(tmp_path / "photos")]
    program = f"""
import sys
from resbuilder.cli import main
try:
    main({arguments})
finally:
    assert not {{"keras", "tensorflow"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("Error: no such folder"), done.stderr


def test_a_table_is_printed_whole_however_wide_it_is(capsys):
    table = Table()
    table.add_column("a column")
    table.add_row("x" * 200)
    print_whole(table)
    assert "x" * 200 in capsys.readouterr().out


def test_a_config_file_may_hold_the_budget_of_a_training(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('dataset = "digits"\nwidth = 64\nflops = 1e4\n')
    command = ("train", "--config", file, "--out", tmp_path / "run")
    assert "FLOPs per image, but the budget is 10,000" in refused(*command)
    assert "but the budget is 20,000" in refused(*command, "--flops", 2e4)
    file.write_text('dataset = "digits"\nflops = "1e4"\n')
    assert "flops must be a number, got '1e4'" in refused(*command)
    file.write_text('dataset = "digits"\nscale-to-budget = 1\n')
    assert "scale_to_budget must be true or false, got 1" in refused(*command)


def test_unknown_keys_of_a_config_file_fail(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('dataset = "digits"\nepoch = 3\n')
    assert "unknown settings: epoch; did you mean epochs?" in refused(
        "search", "--config", file, "--out", tmp_path / "r"
    )


def test_paths_that_are_not_runs_or_models_are_refused(run, tmp_path):
    assert "not a run folder" in refused("resume", tmp_path)
    assert "not a run folder" in refused("report", tmp_path)
    assert "not a run folder" in refused("evaluate", tmp_path, "--dataset", "digits")
    broken = tmp_path / "model.keras"
    broken.write_bytes(b"PK nothing")
    assert "not a Keras model" in refused("evaluate", broken, "--dataset", "digits")
    inputs = [keras.Input((8, 8, 1)), keras.Input((8, 8, 1))]
    keras.Model(inputs, keras.layers.Add()(inputs)).save(tmp_path / "two.keras")
    keras.Sequential([keras.layers.Flatten()]).save(tmp_path / "unbuilt.keras")
    for model in ("two.keras", "unbuilt.keras"):
        assert "must take one batch of images" in refused(
            "evaluate", tmp_path / model, "--dataset", "digits"
        )
        assert "must take one batch of images" in refused(
            "export", tmp_path / model, tmp_path / "exported.keras", "--format", "keras"
        )
    target = tmp_path / "here.onnx"
    target.write_text("mine")
    assert "already exists" in refused("export", run, target, "--format", "onnx")
    assert target.read_text() == "mine"


def test_a_run_of_a_newer_format_and_a_damaged_one_are_refused(run, tmp_path):
    newer = shutil.copytree(run, tmp_path / "newer")
    config = json.loads((newer / "config.json").read_text())
    (newer / "config.json").write_text(json.dumps(config | {"format": 99}))
    (newer / "lock").unlink()
    for command in ("resume", "report"):
        assert "format 99" in refused(command, newer)
    (newer / "config.json").write_text("{")
    for command in ("resume", "report"):
        assert "cannot be read" in refused(command, newer)


def test_only_a_run_knows_its_validation_images(run):
    model = run / "models" / "best.keras"
    assert "a model file does not say which images are its validation images" in refused(
        "evaluate", model, "--dataset", "digits", "--split", "validation"
    )
    assert "leave out --dataset" in refused(
        "evaluate", run, "--dataset", "mnist", "--split", "validation"
    )
    best = json.loads((run / "journal.jsonl").read_text().splitlines()[-1])["best"]
    validated = call("evaluate", run, "--split", "validation").stdout
    assert f"accuracy {100 * best['accuracy_validation']:.2f} %" in validated


def test_a_run_is_evaluated_only_on_the_images_with_which_it_began(run, tmp_path):
    changed = shutil.copytree(run, tmp_path / "changed")
    journal = changed / "journal.jsonl"
    first, *others = journal.read_text().splitlines(keepends=True)
    event = json.loads(first)
    assert event["event"] == "data"
    journal.write_text(json.dumps(event | {"sha256": "0" * 16}) + "\n" + "".join(others))
    assert "digits are not those with which the run in" in refused("evaluate", changed)
    (changed / "lock").unlink()
    assert "digits are not those with which the run in" in refused("resume", changed)


def test_a_network_that_was_not_trained_on_8_bits_takes_arrays_only(run, tmp_path, capsys):
    picture = tmp_path / "digit.png"
    Image.new("L", (8, 8)).save(picture)
    assert "cannot classify image files" in refused("predict", run, picture)
    page = (run / "report.html").read_text()
    block = re.search("<pre>(from resbuilder import Predictor.*?)</pre>", page, re.S)[1]
    exec(html.unescape(block), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and all(re.fullmatch(r"\d [\d.]+%", line) for line in lines)


def test_a_search_that_finds_nothing_fails_and_says_why(tmp_path):
    result = call(*SEARCH, "--learning-rate", 1e30, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "did not stay finite" in result.stderr.splitlines()[-1]
    assert (tmp_path / "run" / "report.html").exists()
    diverged = call(*"train --dataset digits --width 2 --epochs 1 --learning-rate 1e30".split(),
                    "--out", tmp_path / "single")  # fmt: skip
    assert diverged.exit_code == 2 and "lower the learning rate" in diverged.stderr
    assert not (tmp_path / "single" / "models" / "best.keras").exists()


def test_a_search_warns_of_settings_that_make_it_useless(tmp_path):
    useless = ("--width", 60, "--tau-layer", 0.01)
    result = call(*SEARCH, *useless, "--rounds", 0, "--out", tmp_path / "run")
    assert "83 times the budget" in result.stderr and result.exit_code == 0
    assert "τ_Λ = 0.01 is above 0.008" in result.stderr
    shared = (*useless[:2], "--insert-share", 0.01, "--rounds", 0)
    result = call(*SEARCH, *shared, "--out", tmp_path / "share")
    assert "one inner channel needs" in result.stderr and "or set insert_share" not in result.stderr


def test_commands_for_searches_refuse_a_single_training(tmp_path):
    out = tmp_path / "single"
    assert call(*"train --dataset digits --width 2 --epochs 1 --train-limit 100 --out".split(),
                out).exit_code == 0  # fmt: skip
    for command in ("resume", "report"):
        assert "expected that of a `resbuilder search`" in refused(command, out)


def test_a_model_for_other_images_is_refused(run, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "other.npz",
        **{f"x_{p}": rng.integers(0, 255, (20, 9, 9, 1), np.uint8) for p in ("train", "test")},
        **{f"y_{p}": np.arange(20) % 10 for p in ("train", "test")},
    )
    error = refused("evaluate", run, "--dataset", "other", "--data-dir", tmp_path)
    assert "(8, 8, 1)" in error and "(9, 9, 1)" in error


def test_the_program_starts_quietly():
    """TensorFlow's log messages would bury the one line that matters."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow writes such messages")
    program = Path(sys.executable).with_name("resbuilder")
    result = subprocess.run([program, "resume", "."], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("Error: . is not a run folder")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["search", "train"])
def test_tensorboard_must_be_installed_before_anything_is_made(tmp_path, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    out = tmp_path / "run"
    error = refused(command, "--dataset", "digits", "--tensorboard", "--out", out)
    assert "pip install 'resbuilder[tensorboard]'" in error and not out.exists()


def test_the_settings_of_a_scaled_training_give_the_same_network_again(tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    small = ("--start", "rb-0net", "--width", "4", "--epochs", "1", "--train-limit", "200")
    budget = ("--flops", "60000", "--scale-to-budget")
    assert not call("train", "--dataset", "digits", *small, *budget, "--out", first).exit_code
    assert not call("train", "--config", first / "config.json", "--out", again).exit_code
    flops = [json.loads((run / "result.json").read_text())["flops"] for run in (first, again)]
    assert flops[0] == flops[1] > 40_000
    assert not call("evaluate", first).exit_code
