"""Run folders from other people: valid files are read, damaged ones are refused by name."""

import zipfile

import pytest

from survival.models import vgg_survival_model
from survival.run import HISTORY, MODEL, PREDICTIONS, SETTINGS, Run
from tests.faults.archives import packed, with_code

ROWS = "slide,patient,dataset,split,time,event,log_hazard,image\n"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / SETTINGS).write_text('{"epochs": 2}')
    (path / HISTORY).write_text("epoch,loss,val_cindex\n1,2.5,0.5\n2,2,\n")
    (path / PREDICTIONS).write_text(ROWS + "a.svs,007,A,test,1.5,1,nan,a.png\n")
    (path / MODEL).touch()
    return path


def test_numbers_are_numbers_and_text_stays_text(folder):
    run = Run(folder)
    assert run.history["epoch"].tolist() == [1, 2] and run.history["loss"].tolist() == [2.5, 2]
    assert run.predictions["patient"].tolist() == ["007"]
    assert run.predictions["event"].tolist() == [1]


def test_paths_of_images_need_not_be_valid_utf_8(folder):
    """On Linux a folder may be called so; `survival train` writes whole paths."""
    row = "a.svs,007,A,test,1.5,1,nan,/im\udce4ges/a.png\n"
    (folder / PREDICTIONS).write_bytes((ROWS + row).encode(errors="surrogateescape"))
    assert Run(folder).predictions["image"].tolist() == ["/im\udce4ges/a.png"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (SETTINGS, "[" * 10_000, "settings.json is broken"),
        (SETTINGS, '{"images": 3}', "settings.json is broken: images must be text, not 3"),
        (SETTINGS, "\udcff", "settings.json is broken"),
        (HISTORY, "epoch,loss\n1,2\n3,2\n", "history.csv is broken: its epochs are not 1, 2, 3"),
        (HISTORY, "epoch,loss\n1,two\n", "history.csv is broken: could not convert"),
        (HISTORY, "loss\n1\n", "history.csv is broken: it has no column epoch"),
        (HISTORY, "epoch,loss\n1\n", "history.csv is broken: .*row 2 has 1"),
        (PREDICTIONS, ROWS, "predictions.csv is broken: it has no rows"),
        (PREDICTIONS, ROWS + "a,P,A,test,-1,1,0,a\n", "predictions.csv is broken: a time is neg"),
        (PREDICTIONS, ROWS + "a,P,A,test,1,2,0,a\n", "predictions.csv is broken: an event is nei"),
        (PREDICTIONS, ROWS + "a,P,A,test,1,1,0,a,b\n", "predictions.csv is broken: .*row 2 has 9"),
        (PREDICTIONS, "\udcff", "predictions.csv is broken: it has no column slide"),
    ],
)
def test_a_damaged_file_is_refused_by_name(folder, file, text, said):
    (folder / file).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=said):
        run = Run(folder)
        run.settings, run.history, run.predictions  # noqa: B018


def test_code_in_a_model_is_refused_and_never_run(folder, tmp_path):
    vgg_survival_model((32, 40, 3), width=0.03, seed=0).save(folder / MODEL)
    with zipfile.ZipFile(folder / MODEL) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    code = with_code(members["config.json"], tmp_path / "trace")
    (folder / MODEL).write_bytes(packed(members | {"config.json": code}))
    with pytest.raises(ValueError, match="model.keras cannot be loaded: it contains code"):
        Run(folder).model()
    assert not (tmp_path / "trace").exists()
