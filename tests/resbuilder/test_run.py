"""The run folder."""

import json

import pytest

from resbuilder import SearchConfig
from resbuilder.run import Run, environment, read_config

CONFIG = SearchConfig(dataset="digits", flops=1e6)


def test_a_run_folder_is_made_and_opened_again(tmp_path):
    made = Run.create(tmp_path / "a" / "run", CONFIG)
    assert Run.open(made.path).config == CONFIG
    written = json.loads((made.path / "environment.json").read_text())
    assert written["packages"]["keras"] and written["cores"] >= 1


def test_environment_names_the_backend_that_runs():
    import keras

    assert environment()["backend"] == keras.backend.backend()


def test_a_folder_whose_making_was_cut_short_is_no_run(tmp_path):
    """The configuration is written last: what lacks it was never whole and can be replaced."""
    run = Run.create(tmp_path / "run", CONFIG)
    (run.path / "config.json").unlink()
    with pytest.raises(ValueError, match="not a run folder"):
        Run.open(run.path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "new"}', '{"format": 2}', "\xff"])
def test_bad_configurations(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="cannot be read|newer resbuilder"):
        read_config(tmp_path)


def test_models_that_are_not_needed_go_but_never_the_winner(tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    for name in ("000_with_reg", "001_with_reg", "best"):
        (run.models / f"{name}.keras").write_text("")
    run.keep_models("001_with_reg.keras")
    assert sorted(p.name for p in run.models.iterdir()) == ["001_with_reg.keras", "best.keras"]
