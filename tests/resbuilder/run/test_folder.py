"""Run folders: created, opened, locked, overwritten, and refused."""

import errno
import json
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import pytest

from resbuilder import SearchConfig, TrainConfig
from resbuilder.run import DataEvent, FinishedEvent, Run, check_beginning, folder, read_config
from resbuilder.run.journal import Journal

CONFIG = SearchConfig(dataset="digits", flops=1e6)


@pytest.mark.any_backend
def test_a_run_folder_is_created_and_opened_again(tmp_path):
    with Run.create(tmp_path / "a" / "run", CONFIG) as made:
        pass
    with Run.open(made.path) as opened:
        assert opened.config == CONFIG
    written = json.loads((made.path / "environment.json").read_text())
    assert written["packages"]["keras"] and written["cores"] >= 1


def test_a_run_killed_while_its_folder_is_created_can_be_created_again(tmp_path):
    """The folder is created under another name, and then renamed."""
    program = (
        "import os, signal, resbuilder.run.folder as run\n"
        "from resbuilder import SearchConfig\n"
        "write = run.write_json\n"
        "def killed(path, value):\n"
        "    write(path, value)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "run.write_json = killed\n"
        f"run.Run.create({str(tmp_path / 'run')!r}, SearchConfig(dataset='digits'))\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "run").exists()
    with Run.create(tmp_path / "run", CONFIG) as run:
        assert run.config == CONFIG
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def full_disk(path, value):
    raise OSError(errno.ENOSPC, "no space", path)


def test_a_folder_that_contains_the_current_one_is_refused(tmp_path, monkeypatch):
    """It would be replaced, and the shell would be in a folder that does not exist any more."""
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    for out in (".", "..", tmp_path / "in"):
        with pytest.raises(ValueError, match="must not be the current folder"):
            Run.create(out, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_link_stays_a_link_to_the_run(tmp_path):
    (tmp_path / "disk" / "run").mkdir(parents=True)
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "run")
    for overwrite in (False, True, True):
        with Run.create(tmp_path / "run", CONFIG, overwrite) as run:
            assert run.path == (tmp_path / "disk" / "run").resolve()
    assert (tmp_path / "run").is_symlink() and (tmp_path / "run" / "config.json").is_file()
    assert sorted(p.name for p in tmp_path.rglob("*") if p.name.startswith(".")) == []


def test_overwriting_keeps_the_old_run_until_the_new_one_exists(tmp_path, monkeypatch):
    with Run.create(tmp_path / "run", CONFIG) as run:
        (run.models / "best.keras").write_text("old")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr("resbuilder.run.folder.write_json", full_disk)
        Run.create(tmp_path / "run", CONFIG, overwrite=True)
    assert run.best.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    # Killed after the old folder was renamed, and before the new one was.
    run.path.rename(tmp_path / ".run.old")
    with pytest.raises(ValueError, match="already exists"):
        Run.create(tmp_path / "run", CONFIG)
    assert run.best.read_text() == "old"
    with Run.create(tmp_path / "run", CONFIG, overwrite=True) as run:
        assert not run.best.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_run_has_one_writer(tmp_path):
    path = str(tmp_path / "run")
    program = f"""
from resbuilder import SearchConfig
from resbuilder.run import Run

config = SearchConfig(dataset="digits")
for begin in (Run.open, lambda path: Run.create(path, config, overwrite=True)):
    try:
        begin({path!r})
    except ValueError as error:
        print(error)
"""
    with Run.create(path, CONFIG):
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert other.stdout.count("another process is writing to") == 2, other.stderr
    Run.open(path)


def test_of_two_runs_created_at_once_in_one_folder_one_is_refused(tmp_path, monkeypatch):
    """The second begins while the first, which waits here, writes its files."""
    began, written = threading.Event(), threading.Event()
    write = folder.write_json

    def slowly(path, value):
        began.set()
        assert written.wait(60)
        write(path, value)

    monkeypatch.setattr(folder, "write_json", slowly)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(Run.create, tmp_path / "run", CONFIG)
        assert began.wait(60)
        with pytest.raises(ValueError, match=r"another process is creating .*run; give another"):
            Run.create(tmp_path / "run", SearchConfig(dataset="digits", flops=2e6))
        written.set()
        with first.result() as run:
            assert read_config(run.path)["flops"] == CONFIG.flops
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_run_that_begins_while_its_replacement_is_written_is_kept(tmp_path, monkeypatch):
    """`resume` locks the folder after --overwrite has found it free."""
    with Run.create(tmp_path / "run", CONFIG) as run:
        (run.models / "best.keras").write_text("old")
    resumed = []

    def environment():
        resumed.append(Run.open(run.path))
        return {}

    monkeypatch.setattr(folder, "environment", environment)
    with pytest.raises(ValueError, match="another process is writing to"):
        Run.create(run.path, CONFIG, overwrite=True)
    resumed[0].__exit__()
    assert run.best.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def of_format_1(path, **settings):
    """Create the folder of a search in the first format."""
    with Run.create(path, SearchConfig(dataset="digits", **settings)) as run:
        file = run.path / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 1}))
    return path


def test_a_run_of_format_1_with_its_other_cosine_cannot_be_resumed(tmp_path):
    path = of_format_1(tmp_path / "cosine", schedule="cosine")
    for _ in range(2):  # The first refusal releases the lock.
        with pytest.raises(ValueError, match="fell once per epoch. .* Start the search again"):
            Run.open(path)
    end = FinishedEvent(
        reason="done", seconds=0.0, best=None, best_any_size=None, confusion=None, class_names=()
    )
    Journal(path / "journal.jsonl").step(FinishedEvent, "finished", lambda: end)
    Run.open(path).__exit__()  # A finished run has no more trainings.
    Run.open(of_format_1(tmp_path / "constant", schedule="constant")).__exit__()


def test_a_training_is_not_resumed_as_a_search(tmp_path):
    with Run.create(tmp_path / "run", TrainConfig(dataset="digits")) as run:
        assert read_config(run.path, "train")["dataset"] == "digits"
    with pytest.raises(ValueError, match="expected that of a `resbuilder search`"):
        Run.open(tmp_path / "run")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="oneDNN is TensorFlow's")
def test_a_run_begun_without_onednn_is_resumed_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    Run.create(tmp_path / "run", CONFIG).__exit__()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Run.open(tmp_path / "run"):
            pass
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    with pytest.warns(UserWarning, match="OPTS=None, but here it is 1: the numbers from here on"):
        Run.open(tmp_path / "run").__exit__()


def test_a_run_begun_on_another_backend_is_refused(tmp_path):
    with Run.create(tmp_path / "run", CONFIG) as run:
        file = run.path / "environment.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"backend": "mxnet"}))
    with pytest.raises(ValueError, match="set KERAS_BACKEND=mxnet"):
        Run.open(tmp_path / "run")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "new", "kind": "search"}',
        '{"format": 4, "kind": "search"}',
        "\xff",
        '{"format": true, "kind": "search"}',
        "[" * 10_000,
    ],
)
def test_bad_configurations(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="cannot be read|update resbuilder"):
        read_config(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "\xff", '{"backend": 1'])
def test_the_error_names_a_damaged_environment(tmp_path, text):
    with Run.create(tmp_path / "run", CONFIG) as run:
        (run.path / "environment.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="environment.json cannot be read"):
        Run.open(run.path)


def test_unneeded_models_are_removed_but_never_the_winner(tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    for name in ("000_with_reg", "001_with_reg", "best"):
        (run.models / f"{name}.keras").write_text("")
    run.keep_models("001_with_reg.keras")
    assert sorted(p.name for p in run.models.iterdir()) == ["001_with_reg.keras", "best.keras"]
    (run.models / "mine_epoch1.keras").write_text("a user's callback wrote this")
    run.keep_models()
    assert sorted(p.name for p in run.models.iterdir()) == ["best.keras", "mine_epoch1.keras"]


def test_an_interruption_between_the_two_renames_leaves_the_old_run(tmp_path, monkeypatch):
    with Run.create(tmp_path / "run", CONFIG) as run:
        run.best.write_text("old")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("resbuilder.run.folder.os.replace", interrupted)
        Run.create(tmp_path / "run", CONFIG, overwrite=True)
    assert run.best.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("name", [".run.part", ".run.old"])
def test_files_of_a_user_under_a_hidden_name_are_not_removed(tmp_path, name):
    Run.create(tmp_path / "run", CONFIG).__exit__()
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.docx").write_text("years of work")
    with pytest.raises(ValueError, match=r"thesis.docx, which this program did not put there; mov"):
        Run.create(tmp_path / "run", CONFIG, overwrite=True)
    assert (tmp_path / name / "thesis.docx").read_text() == "years of work"
    assert len(list((tmp_path / name).iterdir())) == 1


def test_a_damaged_journal_does_not_keep_the_folder_locked(tmp_path):
    Run.create(tmp_path / "run", CONFIG).__exit__()
    (tmp_path / "run" / "journal.jsonl").write_text("no JSON\n{}\n")
    with pytest.raises(ValueError, match="journal") as kept:
        Run.open(tmp_path / "run")
    (tmp_path / "run" / "journal.jsonl").unlink()
    Run.open(tmp_path / "run").__exit__()
    assert kept.value.__traceback__ is not None  # which refers to the first attempt


def test_a_missing_environment_is_named(tmp_path):
    Run.create(tmp_path / "run", CONFIG).__exit__()
    (tmp_path / "run" / "environment.json").unlink()
    with pytest.raises(ValueError, match="does not say with which backend.*restore that file"):
        Run.open(tmp_path / "run")


def test_a_run_continues_only_with_the_settings_with_which_it_began(tmp_path):
    fingerprint = {"train": [9], "test": [3], "sha256": "0", "images": "1"}
    with Run.create(tmp_path / "run", CONFIG) as run:
        check_beginning(run, "digits", fingerprint)
        check_beginning(run, "digits", fingerprint)
    file = run.path / "config.json"
    written = json.loads(file.read_text())
    file.write_text(json.dumps(written | {"data_dir": "/moved", "strategy": "mirrored"}))
    check_beginning(run, "digits", fingerprint)
    file.write_text(json.dumps(written | {"epochs": 3}))
    with pytest.raises(ValueError, match="config.json are not those with which the run began"):
        check_beginning(run, "digits", fingerprint)
    file.write_text(json.dumps(written))
    with pytest.raises(ValueError, match="images of digits are not those with which the run in"):
        check_beginning(run, "digits", fingerprint | {"images": "2"})


def test_a_run_of_an_earlier_version_has_no_hash_of_settings_or_all_images(tmp_path):
    began = DataEvent(train=(9,), test=(3,), sha256="0")
    with Run.create(tmp_path / "run", CONFIG) as run:
        run.journal.step(DataEvent, "data", lambda: began)
        check_beginning(run, "digits", {"train": [9], "test": [3], "sha256": "0", "images": "1"})
