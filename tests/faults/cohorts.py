"""Readers of tables of slides and patients, and of the files of a training on them."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from survival.cohort import Cohort, cohort_from_gdc
from survival.images import CanvasImages
from survival.report.blocks import make_blocks
from survival.report.page import _summary
from survival.report.settings import open_runs, settings_rows
from survival.run import EVALUATIONS, HISTORY, MODEL, PREDICTIONS, write_settings
from survival.slides.listing import list_jobs
from survival.slides.settings import Settings
from survival.training import TrainingSettings

COHORT = """slide,patient,time,event,dataset,split,dss_time,dss_event
a1.svs,P1,12.5,1,A,train,3,1
a2.svs,P1,12.5,1,A,train,3,1
b.svs,P2,30,0,A,train,30,0
c.svs,P3,7,1,B,test,7,0
d.svs,P4,9.25,0,B,test,9.25,0
"""
GDC = """case_submitter_id,project_id,vital_status,days_to_death,days_to_last_follow_up
TCGA-AA-0001,TCGA-X,Dead,400,--
TCGA-AA-0002,TCGA-X,Alive,--,1200
TCGA-AA-0003,TCGA-X,Dead,77,--
"""
PATIENTS = """#Patient Identifier,Status,Months
PATIENT_ID,OS_STATUS,OS_MONTHS,DSS_STATUS,DSS_MONTHS
TCGA-AA-0001,1:DECEASED,13.1,1:DEAD WITH TUMOR,13.1
TCGA-AA-0002,0:LIVING,39.4,0:ALIVE OR DEAD TUMOR FREE,39.4
TCGA-AA-0003,1:DECEASED,2.5,0:ALIVE OR DEAD TUMOR FREE,2.5
"""
SLIDES = "id,filename,md5,size\n" + "".join(
    f"{i},TCGA-AA-000{i}-01Z-00-DX1.x.svs,{i},{i}\n" for i in (1, 2, 3)
)
LIST = "slide,downsample,patient\na.svs,64,P1\nsub/b.svs,,P2\nc.svs,32.5,P3\n"


def tables(folder: Path, make: Callable) -> Iterator:
    """Yield readers of cohorts, clinical files, and lists of slides and of images."""
    for name in ("a.svs", "c.svs", "sub/b.svs"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    texts = {"cohort.csv": COHORT, "gdc.csv": GDC, "patients.csv": PATIENTS, "slides.csv": SLIDES}
    for name, text in (texts | {"list.csv": LIST}).items():
        (folder / name).write_text(text)
    both = functools.partial(_from_gdc, folder)
    for name, what, read in (
        ("cohort.csv", "cohort", lambda: _cohort(folder)),
        ("gdc.csv", "clinical file (GDC)", lambda: both("gdc.csv", "slides.csv")),
        ("patients.csv", "clinical file (cBioPortal)", lambda: both("patients.csv", "slides.csv")),
        ("slides.csv", "list of slides (GDC)", lambda: both("gdc.csv", "slides.csv")),
        ("list.csv", "list of slides to preprocess", lambda: _jobs(folder)),
    ):
        # A cohort may be rejected because two files contradict each other.
        words = (*_words((folder / name).read_text()), "gdc.csv", "patients.csv")
        yield make(what, folder / name, "table", read, words)
    images = folder / "images"
    images.mkdir()
    for name in "abc":
        Image.new("RGB", (4, 3), (9, 9, 9)).save(images / f"{name}.png")
    text = "slide,output,status,reason\n" + "".join(f"{n}.svs,{n}.png,ok,\n" for n in "abc")
    (images / "manifest.csv").write_text(text)
    words = (*_words(text), "cohort")
    yield make("manifest of images", images / "manifest.csv", "table", lambda: _images(images),
               words)  # fmt: skip


def _words(text: str) -> tuple[str, ...]:
    """Return the columns of a table."""
    return tuple(text.replace("#", "").replace("\n", ",").split(","))


def _cohort(folder: Path) -> None:
    text = (folder / "cohort.csv").read_bytes()
    found = Cohort.read(folder / "cohort.csv")
    rows = csv.reader(text.decode("utf-8-sig").replace("\r", "\n").split("\n"))
    assert len(found) == sum(any(row) for row in rows) - 1, "rows are lost silently"
    assert np.isfinite(found.time).all() and (found.time >= 0).all()
    found.write(folder / "again.csv")
    again = Cohort.read(folder / "again.csv", need_events=False)
    pd.testing.assert_frame_equal(again.to_frame(), found.to_frame())


def _from_gdc(folder: Path, clinical: str, slides: str) -> None:
    made = cohort_from_gdc(folder / clinical, folder / slides)
    assert len(made.cohort) and np.isfinite(made.cohort.time).all()


def _jobs(folder: Path) -> None:
    for job in list_jobs([folder / "list.csv"], Settings(64)):
        out = Path("/out").joinpath(job.output)
        assert Path("/out") in out.parents and ".." not in out.parts, f"it writes to {out}"
        assert job.source.exists()


def _images(folder: Path) -> None:
    found = CanvasImages(folder, ["a.svs", "b.svs"])
    assert found[0].shape == found.shape
    assert all(folder in path.parents for path in found.paths), "images of another folder"


def trainings(folder: Path, make: Callable) -> Iterator:
    """Yield readers of the files of a training that a report reads."""
    (folder / EVALUATIONS).mkdir()
    (folder / MODEL).touch()
    settings = TrainingSettings(augment=("flip",)).record()
    settings |= {"datasets": ["A"], "images": "canvases", "canvas": [40, 32], "kept_epoch": 2}
    settings |= {"versions": {"keras": "3.15"}, "chosen_by": "val_cindex", "backend": "tensorflow"}
    write_settings(folder, settings)
    history = "epoch,loss,val_loss,val_cindex,seconds\n1,2.5,2.25,0.5,9\n2,2.0,2.0,0.75,9\n"
    (folder / HISTORY).write_text(history)
    rows = ["slide,patient,dataset,split,time,event,log_hazard,image"]
    for i in range(12):
        split = ("train", "test", "validation")[i % 3]
        rows.append(f"{i}.svs,P{i},A,{split},{i + 1}.5,{i % 2},{i / 8},/canvases/{i}.png")
    predictions = "\n".join(rows) + "\n"
    (folder / PREDICTIONS).write_text(predictions)
    evaluation = folder / EVALUATIONS / "other.csv"
    evaluation.write_text(predictions.replace(",P", ",Q").replace("A,", "B,").replace("/c", "/d"))
    for file, kind, words in (
        (folder / "settings.json", "json", (*settings, "versions")),
        (folder / HISTORY, "table", _words(history.partition("\n")[0])),
        (folder / PREDICTIONS, "table", _words(rows[0])),
        (evaluation, "table", (*_words(rows[0]), "evaluation")),
    ):
        yield make(f"training: {file.name}", file, kind, lambda: _training(folder), words)


def _training(folder: Path) -> None:
    runs = open_runs([folder])
    settings_rows(runs)
    for name, run in runs.items():
        assert len(run.predictions) and set(run.predictions["event"]) <= {0, 1}
        assert np.isfinite(run.predictions["time"]).all() and (run.predictions["time"] >= 0).all()
        _summary(name, run)
        assert isinstance(run.settings, dict) and run.history["loss"].dtype == float
    make_blocks(runs)
