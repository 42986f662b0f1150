"""The report's page as users get it."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from survival.cli import main
from survival.cli.report import PAGE
from survival.metrics import harrell_c
from survival.report import write_report


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.images, self.links, self.words = set(), [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.images += [attrs] if tag == "img" else []
        self.links += [attrs[name] for name in ("src", "href", "srcset") if name in attrs]

    def handle_data(self, data):
        self.words.append(data)


def call(*arguments):
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def refused(*arguments) -> str:
    """Return the one-line error with which the command refuses its input, exit status 2."""
    result = call(*arguments)
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), result.output
    (error,) = result.stderr.splitlines()
    return error


def test_the_page_is_self_contained(tmp_path, make_run, slides):
    a, b = slides("A"), slides("B", 60, offset=3.0)
    runs = [make_run("a", a, {"b": b}), make_run("b", b)]
    out = tmp_path / "report.html"
    result = call(*runs, "--out", out, "--repeats", 2, "--groups", 3, "--horizon", 40)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"report: {out}\n"
    page = Page(out)
    assert all(link.startswith("data:") for link in page.links)
    assert "url(" not in out.read_text() and "@import" not in out.read_text()
    assert all(image["alt"] for image in page.images)
    # 2 blocks: distribution, 3 Kaplan–Meier, calibration; 2 runs: curves, 8 slides twice.
    assert len(page.images) == 2 * 5 + 2 * (1 + 8 * 2)
    test = a[a["split"] == "test"]
    c = harrell_c(test[["time", "event"]], test["log_hazard"])
    assert f"{c:.3f}" in page.text
    for word in (
        "By patient, mean of the slides",
        "AUROC at 40",
        "a on other cohorts",
        "medium",
        "better than",
    ):
        assert word in page.text or any(word in image["alt"] for image in page.images)
    highest = test.loc[test["log_hazard"].idxmax()]
    assert f"{highest['slide']} log-hazard" in page.text
    # On a phone, figures are exactly as wide as the screen.
    assert "width=device-width" in out.read_text()


def test_text_from_data_stays_text(tmp_path, make_run, slides):
    nasty = "<script>alert(1)</script>\"'&$x$\n漢"
    table = slides("A").assign(dataset=nasty)
    table["slide"], table["patient"] = nasty + table["slide"], table["patient"] + nasty
    table["image"] = "<b>nowhere.png"
    run = make_run("<i>run", table, {"<u>other": slides(nasty, 60, split=False)}, augment=["<s>"])
    out = tmp_path / "report.html"
    write_report([run], out, repeats=5)
    page = Page(out)
    assert not page.tags & {"script", "i", "u", "s"}
    assert "<script>alert(1)</script>" in page.text
    # Missing images are reported and are not an error.
    assert "its image is missing" in page.text


def test_a_run_with_little_to_report(tmp_path, make_run, slides, canvas):
    """No events, no validation split, a broken network, a broken image."""
    table = slides("A", patients=24)
    table = table[table["split"] != "validation"]
    table.loc[table["split"] == "test", "event"] = 0
    train = table["split"] == "train"
    table.loc[train, "time"], table.loc[train, "event"] = 21.5, 0
    broken = tmp_path / "broken.png"
    broken.write_bytes(canvas.read_bytes()[:200])
    lowest = table[table["split"] == "test"]["log_hazard"].idxmin()
    table.loc[lowest, "image"] = str(broken)
    run = make_run("little", table, history={"loss": [1.0, np.nan, 0.9]}, kept_epoch=None)
    (run / "model.keras").write_bytes(b"no network")
    out, done = tmp_path / "report.html", []
    write_report([run], out, repeats=5, progress=lambda *step: done.append(step))
    page = Page(out)
    assert "cannot be computed: A: no C-index: no two patients can be compared" in page.text
    assert "cannot be evaluated on A (see below)" in page.text
    assert "No saliency maps" in page.text and "its image cannot be read" in page.text
    assert any("the run has no validation split" in image["alt"] for image in page.images)
    # The median follow-up of the training patients is its end, where no patient is left.
    assert "AUROC at 19.35" in page.text and "has no event: its hazard" in page.text
    assert "no log-rank test" in " ".join(image["alt"] for image in page.images)
    # Progress is reported step by step up to the end.
    assert done == [(i, len(done) - 1) for i in range(len(done))]


def test_an_anonymous_page_names_no_slides_patients_or_folders(tmp_path, make_run, slides):
    a, b = slides("A"), slides("B", 60, split=False)
    a.loc[a["log_hazard"].idxmax(), "image"] = str(tmp_path / "secret.png")  # which does not exist
    out = tmp_path / "report.html"
    run = make_run("run", a, {"b": b}, time_unit="months", images="/home/me/a")
    result = call(run, "--out", out, "--repeats", 2, "--anonymous")
    assert result.exit_code == 0, result.output
    html = out.read_text()
    names = {*a["slide"], *a["patient"], *b["slide"], *b["patient"]}
    said = Page(out)
    words = " ".join([said.text, *(image["alt"] for image in said.images)])
    assert not [name for name in names if re.search(rf"\b{re.escape(name)}\b", words)]
    assert str(tmp_path) not in html and "/home/me" not in html and "secret" not in html
    assert "<title>Survival report: run</title>" in html
    # Numbers replace the names, and times have their unit.
    assert re.search(r"slide 1 log-hazard .* \(highest\); patient 1, A; event at \S+ months", words)
    assert "Times are in months" in words and "AUROC at" in words


def test_events_after_the_follow_up_of_the_training_patients_are_no_evidence(
    tmp_path, make_run, slides
):
    """One event of several counts for Uno's C: an interval around it would have no width."""
    table = slides("A", patients=120)
    test = table["split"] == "test"
    end = table.loc[test & (table["event"] == 1), "time"].min() + 0.01
    table.loc[~test, "event"] = table.loc[~test, "event"].where(table.loc[~test, "time"] < end, 0)
    table.loc[~test, "time"] = table.loc[~test, "time"].clip(upper=end)
    table.loc[table.index[~test][:3], ["time", "event"]] = [end / 2, 1]
    out = tmp_path / "report.html"
    write_report([make_run("early", table)], out, repeats=5, horizon=end)
    found = re.search(
        r"cannot be evaluated on A \(of (\d+) events, fewer than 5 are", Page(out).text
    )
    assert found and int(found[1]) >= 5


def test_the_default_horizon_suits_every_dataset(tmp_path, make_run, slides):
    a, b = slides("A"), slides("B", 60, patients=120)
    b["event"] = b["event"].where(b["time"] < 36, 0)
    b["time"] = b["time"].clip(upper=36)  # the study of B ends before the median of A
    out = tmp_path / "report.html"
    write_report([make_run("both", pd.concat([a, b]))], out, repeats=2)
    page = Page(out)
    assert "AUROC at 32.4" in page.text and "--horizon" not in page.text


def test_datasets_with_times_in_two_units_are_noted(tmp_path, make_run, slides):
    a, b = slides("A"), slides("B", 60, split=False)
    run = make_run("run", a, {"b": b.assign(time=30.4 * b["time"])}, time_unit="months")
    write_report([run], tmp_path / "report.html", horizon=40, repeats=2, time_unit="Months")
    assert "for dataset 'A': make sure that both are in the same unit." in (
        Page(tmp_path / "report.html").text
    )


def test_slides_in_the_middle_are_not_shown_as_extremes(tmp_path, make_run, slides):
    table = slides("A").query("split == 'test'").head(7)
    out = tmp_path / "report.html"
    write_report([make_run("a", pd.concat([slides("A").query("split == 'train'"), table]))], out)
    text = Page(out).text
    assert text.count("(highest)") == 2 and text.count("(lowest)") == 2
    assert str(tmp_path) not in out.read_text() and str(table["image"].iloc[0]) not in text


def test_a_report_without_anything_to_evaluate(tmp_path, make_run, slides):
    out = tmp_path / "report.html"
    write_report([make_run("diverged", slides("A").assign(log_hazard=np.nan))], out)
    page = Page(out)
    assert "36 of 36 risk scores of test slides are not finite" in page.text
    assert "There is nothing to evaluate" in page.text
    assert "No test slide has a finite risk score." in page.text


def test_bad_usage_is_one_line_and_exit_status_2(tmp_path, make_run, slides):
    run, out = make_run("run", slides("A")), tmp_path / "report.html"
    assert "is not a run folder of `survival train`" in refused(tmp_path, "--out", out)
    assert "is given 2 times" in refused(run, run, "--out", out)
    assert "the same settings" in refused(run, make_run("twin", slides("A")), "--out", out)
    assert "--groups" in refused(run, "--out", out, "--groups", 5)
    assert "--horizon" in refused(run, "--out", out, "--horizon", 0)
    assert "--out" in refused(run)
    assert "does not exist" in refused(run, "--out", tmp_path / "no" / "report.html")
    assert not out.exists()
    out.write_text("precious")
    assert "--overwrite" in refused(run, "--out", out)
    assert "this program did not write it" in refused(run, "--out", out, "--overwrite")
    assert out.read_text() == "precious"
    page = PAGE + "precious"  # an older report
    out.write_text(page)
    unfinished = make_run("unfinished", slides("B"))
    (unfinished / "predictions.csv").unlink()
    assert "has not finished" in refused(unfinished, "--out", out, "--overwrite")
    (run / "predictions.csv").write_text("slide,patient\n1,2\n")
    assert "is broken" in refused(run, "--out", out, "--overwrite")
    assert out.read_text() == page
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "runs"]


def test_a_dataset_with_the_name_of_a_line_of_all_datasets_is_refused(tmp_path, make_run, slides):
    out = tmp_path / "report.html"
    for i, name in enumerate(("merged", "only pairs within one dataset")):
        run = make_run(f"run{i}", slides("A"), {"other": slides(name, 60, split=False)})
        said = refused(run, "--out", out)
        assert f"a dataset is called '{name}'" in said and "rename it in the column" in said
        assert "evaluations/NAME.csv in the run folder" in said
    alone = make_run("alone", slides("merged"))
    assert call(alone, "--out", out, "--repeats", 2).exit_code == 0
    assert not Page(out).text.count("merged, scores unchanged")


def test_without_a_training_split_the_horizon_must_be_given(tmp_path, make_run, slides):
    table, out = slides("A"), tmp_path / "report.html"
    run = make_run("a", table[table["split"] == "validation"])
    assert "horizon must be given, because no run has a training split" in refused(
        run, "--out", out
    )
    assert call(run, "--out", out, "--horizon", 12).exit_code == 0
    assert "a: this run has no test split" in Page(out).text


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"repeats": 0}, "repeats must be a whole number >= 1, not 0"),
        ({"seed": -1}, "seed must be a whole number >= 0, not -1"),
        ({"horizon": float("nan")}, "horizon must be a number > 0, not nan"),
        ({"horizon": -1}, "horizon must be a number > 0, not -1"),
        ({"groups": 7}, "groups must be 2, 3 or 4, not 7"),
    ],
)
def test_numbers_out_of_range_are_refused_before_the_runs_are_read(tmp_path, option, message):
    with pytest.raises(ValueError, match=message):
        write_report([tmp_path / "no run"], tmp_path / "report.html", **option)
    assert not list(tmp_path.iterdir())
