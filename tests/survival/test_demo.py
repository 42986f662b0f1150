"""``survival demo``: slides that OpenSlide reads, a known signal, and the steps to the report."""

import numpy as np
import openslide
import pytest
from click.testing import CliRunner

from survival import demo
from survival.cli import main
from survival.cli.demo import MARK, PAGE, _refuse
from survival.metrics import harrell_c


def call(*arguments):
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


@pytest.fixture
def scanners(monkeypatch):
    """Return a function that reduces the number of patients per scanner."""

    def fewer(a, b):
        patients = {"A": a, "B": b}
        fewer = {name: (patients[name], *rest) for name, (_, *rest) in demo.SCANNERS.items()}
        monkeypatch.setattr(demo, "SCANNERS", fewer)

    return fewer


def test_slides_are_pyramids_and_are_written_once(tmp_path, scanners):
    scanners(2, 1)
    cohorts = demo.write_slides(tmp_path)
    assert {name: len(cohort) for name, cohort in cohorts.items()} == {"A": 2, "B": 1}
    sizes = {}
    for scanner, mpp in (("A", "0.5"), ("B", "0.25")):
        (slide, *_) = cohorts[scanner].slide
        with openslide.OpenSlide(tmp_path / slide) as opened:
            assert opened.properties["openslide.mpp-x"] == mpp
            assert [round(d) for d in opened.level_downsamples] == [1, 2, 4]
            sizes[scanner] = opened.dimensions
    assert sizes["B"] == tuple(2 * n for n in sizes["A"])
    first, second = (tmp_path / slide for slide in cohorts["A"].slide)
    kept, written = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    again = demo.write_slides(tmp_path)
    assert first.stat().st_mtime_ns == kept and second.read_bytes() == written
    assert (again["A"].time == cohorts["A"].time).all()


def test_the_outcome_depends_on_what_can_be_seen():
    random = np.random.default_rng(0)
    stained = random.random(2000)
    y_true = np.stack(demo._follow_up(stained, random), axis=1)
    assert 0.7 < harrell_c(y_true, stained) < 0.85  # and partly on chance
    pale, brown = (
        demo._section(demo._windows(), share, np.random.default_rng(1)) for share in (0.1, 0.9)
    )
    # Brown absorbs blue.
    assert pale[..., 2].mean() - brown[..., 2].mean() > 20


@pytest.mark.slow  # a whole training and its report
def test_from_slides_to_a_report_that_says_what_is_simulated(tmp_path, scanners):
    scanners(24, 8)
    out = tmp_path / "demo"
    result = call("--out", out)
    assert result.exit_code == 0, result.output
    for command in ("preprocess", "cohort split", "train", "evaluate", "report"):
        assert f"\n$ survival {command} " in result.stdout
    assert str(out / "report.html") in result.stdout.splitlines()[-1]
    page = (out / "report.html").read_text(encoding="utf-8")
    for told in (page, result.stdout):
        assert "scanners and outcomes are simulated" in told
    assert "simulated A" in page and "simulated B" in page and "Times are in months" in page
    refused = call("--out", out)
    assert refused.exit_code == 2 and "--overwrite" in refused.stderr
    assert (out / "report.html").read_text(encoding="utf-8") == page


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    result = call("--out", tmp_path, "--overwrite")
    assert result.exit_code == 2 and "holds other files" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_an_interrupted_demonstration_may_be_overwritten(tmp_path):
    for name in (MARK, PAGE, "run/checkpoint/epoch_2.npz", "run/checkpoint/best_1.npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    _refuse(tmp_path, overwrite=True)


def test_overwriting_a_demonstration_keeps_other_files(tmp_path):
    for name in (MARK, PAGE, "slides/A/001.tif", "images/manifest.csv", "run/notes.docx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    result = call("--out", tmp_path, "--overwrite")
    assert result.exit_code == 2 and "it holds run/notes.docx, which" in result.stderr
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 5
