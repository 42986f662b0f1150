"""``survival cohort``: from public files to a checked manifest, or a one-line error."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from survival.cli import main

MANIFEST = "slide,patient,time,event,dataset\n" + "".join(
    f"s{i}.svs,P{i},{i + 1},{int(i % 3 == 0)},{'AB'[i % 2]}\n" for i in range(24)
)
CLINICAL = "\t".join(["submitter_id", "vital_status", "days_to_death", "days_to_last_follow_up"])
CLINICAL += "\nTCGA-AA-0001\tDead\t609\t--\nTCGA-AA-0002\tAlive\t--\t304\n"
CLINICAL += "TCGA-AA-0003\tAlive\t--\t-3\nTCGA-AA-0004\tAlive\t--\t--\n"


def run(*arguments):
    return CliRunner().invoke(main, ["cohort", *map(str, arguments)])


def refused(*arguments):
    """Return the command's error, which must be one line with exit status 2."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_text(MANIFEST)
    return path


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_follow_up_table_of_gdc_is_read(tmp_path):
    clinical, visits = tmp_path / "clinical.tsv", tmp_path / "follow_up.tsv"
    dead = "TCGA-AA-0002\tDead\t300\n"
    header = "submitter_id\tvital_status\tdays_to_death\n"
    clinical.write_text(f"{header}TCGA-AA-0001\tAlive\t--\n{dead}")
    visits.write_text("submitter_id\tdays_to_follow_up\nTCGA-AA-0001\t700\n")
    out = tmp_path / "cohort.csv"
    assert "no days_to_last_follow_up" in run("from-gdc", clinical, "--out", out).stderr
    result = run("from-gdc", clinical, "--follow-up", visits, "--out", out, "--overwrite")
    assert result.exit_code == 0, result.output
    assert float(rows(out)[0]["time"]) == pytest.approx(700 * 12 / 365.25, abs=0.005)


def test_from_clinical_file_to_split_manifest(tmp_path):
    clinical, slides = tmp_path / "clinical.tsv", tmp_path / "manifest.txt"
    clinical.write_text(CLINICAL)
    names = [f"TCGA-AA-000{i}-01Z-00-DX1.0A.svs" for i in (1, 2, 9)]
    slides.write_text("id\tfilename\n" + "".join(f"u\t{n}\n" for n in [*names, "x.gz"]))
    out = tmp_path / "cohort.csv"
    result = run("from-gdc", clinical, slides, "--endpoint", "os", "--out", out)
    assert result.exit_code == 0, result.output
    assert [(r["slide"], r["event"]) for r in rows(out)] == [(names[0], "1"), (names[1], "0")]
    assert float(rows(out)[0]["time"]) == 20.01  # 609 days
    assert "2 slides of 2 patients, 1 with the event; time in months" in result.stdout
    for said in (
        "1 patient without a slide (0 with the event, 1 without): TCGA-AA-0003",
        f"1 slide without a patient: {names[2]}",
        "TCGA-AA-0004 (OS: no days_to_last_follow_up)",
        "Warning: OS: negative follow-up of 1 patient set to 0: TCGA-AA-0003",
    ):
        assert said in result.stderr
    before = out.read_bytes()
    assert "exists; give --overwrite" in refused("from-gdc", clinical, "--out", out)
    assert out.read_bytes() == before
    notes = out.with_name("notes.csv")
    notes.write_text("patient,remark\n")
    said = refused("from-gdc", clinical, "--out", notes, "--overwrite")
    assert "notes.csv is not overwritten: this program did not write it" in said
    result = run("from-gdc", clinical, "--out", out, "--overwrite", "--dataset", "X")
    assert result.exit_code == 0 and "replace them with the slides" in result.stdout
    assert {r["dataset"] for r in rows(out)} == {"X"}
    assert len(rows(out)) == 3  # without slides there is one row per patient


def test_split_check_and_summary(tmp_path, manifest):
    out = tmp_path / "split.csv"
    result = run("split", manifest, "--out", out, "--test", "0.25", "--validation", 0, "--seed", 5)
    assert result.exit_code == 0, result.output
    splits = [r["split"] for r in rows(out)]
    assert (splits.count("train"), splits.count("test")) == (18, 6)
    again = tmp_path / "again.csv"
    run("split", manifest, "--out", again, "--test", "0.25", "--validation", 0, "--seed", 5)
    assert again.read_bytes() == out.read_bytes()
    assert "give --again" in refused("split", out, "--out", tmp_path / "c.csv")
    assert run("split", out, "--again", "--out", tmp_path / "c.csv").exit_code == 0
    # An invalid split is replaced, too: here, no patient with the event is in validation.
    broken = pd.read_csv(out)
    broken["split"] = np.where((broken.index < 3) & (broken["event"] == 0), "validation", "train")
    broken.rename(columns={"split": "Split"}).to_csv(tmp_path / "broken.csv", index=False)
    assert "no event" in refused("split", tmp_path / "broken.csv", "--out", tmp_path / "d.csv")
    repaired = run("split", tmp_path / "broken.csv", "--again", "--out", tmp_path / "d.csv")
    assert repaired.exit_code == 0, repaired.output
    checked = run("check", out)
    assert checked.exit_code == 0
    assert "24 slides of 24 patients, 8 with the event; no problems found" in checked.stdout
    assert "not split yet" in run("check", manifest).stdout
    lines = run("summary", out).stdout.splitlines()
    assert any(line.split()[:5] == ["all", "test", "6", "6", "2"] for line in lines)
    listed = json.loads(run("summary", out, "--json").stdout)
    (tested,) = (r for r in listed if (r["dataset"], r["split"]) == ("all", "test"))
    assert (tested["slides"], tested["patients"], tested["events"]) == (6, 6, 2)
    assert tested["event_rate"] == 2 / 6


def test_copies_of_a_slide_are_found_by_check_and_split(tmp_path, manifest):
    slides = tmp_path / "slides" / "sub"
    slides.mkdir(parents=True)
    for i in range(24):
        (slides / f"s{i}.svs").write_text(f"content {i:02}")
    assert run("check", manifest, "--slides", tmp_path / "slides").exit_code == 0
    (slides / "s7.svs").write_text("content 03")
    said = refused("check", manifest, "--slides", tmp_path / "slides")
    assert (
        "of slides with the same content: 's3.svs' and 's7.svs' of patients 'P3' and 'P7'" in said
    )
    images = tmp_path / "images"
    images.mkdir()
    for i in range(24):
        Image.new("RGB", (8, 8), (10 * i, 0, 0)).save(images / f"s{i}.png")
    (images / "s9.png").write_bytes((images / "s5.png").read_bytes())
    given = ("split", manifest, "--images", images, "--out", tmp_path / "split.csv")
    assert "'s5.svs' and 's9.svs' of patients 'P5' and 'P9'" in refused(*given)
    assert not (tmp_path / "split.csv").exists()


def test_only_the_files_of_the_named_dataset_are_needed(tmp_path, manifest):
    slides = tmp_path / "slides"
    slides.mkdir()
    for i in range(0, 24, 2):
        (slides / f"s{i}.svs").write_text(f"{i}")
    assert run("check", manifest, "--dataset", "A", "--slides", slides).exit_code == 0
    missing = run("check", manifest, "--dataset", "B", "--slides", slides)
    assert missing.exit_code == 2
    assert "row 3: file not found in" in missing.output and "s1.svs" in missing.output


def test_only_the_rows_of_the_named_dataset_are_checked(tmp_path, manifest):
    text = manifest.read_text()
    manifest.write_text(text + "late.svs,late,,1,B\n")
    assert run("check", manifest, "--dataset", "A").exit_code == 0
    missing = run("check", manifest, "--dataset", "B")
    assert missing.exit_code == 2 and "time is missing" in missing.output
    assert "has no dataset 'C'; its datasets: 'A', 'B'" in refused(
        "check", manifest, "--dataset", "C"
    )


def test_times_of_other_endpoints_keep_their_decimals(tmp_path):
    """A file with semicolons may have decimal commas; the split file has decimal points."""
    rows = "".join(f"s{i}.svs;P{i};{i},5;{i % 2};{i},25;{i % 2}\n" for i in range(1, 25))
    path, out = tmp_path / "a.csv", tmp_path / "split.csv"
    path.write_text("slide;patient;time;event;dss_time;dss_event\n" + rows)
    assert run("split", path, "--out", out).exit_code == 0
    result = run("check", out, "--time", "dss_time", "--event", "dss_event")
    assert result.exit_code == 0, result.output
    assert {row["dss_time"] for row in map(dict, csv.DictReader(out.open()))} >= {"1.25", "24.25"}


def test_names_in_brackets_are_printed_whole(tmp_path, manifest):
    manifest.write_text(MANIFEST.replace(",A\n", ",A [old][/x]\n"))
    result = run("summary", manifest)
    assert result.exit_code == 0 and "A [old][/x]" in result.output


def test_from_cbioportal(tmp_path):
    clinical = tmp_path / "data_clinical_patient.txt"
    clinical.write_text(
        "#Patient\tStatus\tMonths\nPATIENT_ID\tOS_STATUS\tOS_MONTHS\n"
        "P1\t1:DECEASED\t20\nP2\t0:LIVING\t31.5\n"
    )
    result = run("from-cbioportal", clinical, "--out", tmp_path / "cohort.csv")
    assert result.exit_code == 0, result.output
    assert [(r["time"], r["event"]) for r in rows(tmp_path / "cohort.csv")] == [
        ("20.0", "1"),
        ("31.5", "0"),
    ]
    assert {r["time_unit"] for r in rows(tmp_path / "cohort.csv")} == {"months"}


def test_check_reports_every_problem(tmp_path, manifest):
    manifest.write_text(MANIFEST.replace("P3,4,1", "P3,-4,1").replace("P7,8,0", "P7,8,2"))
    (tmp_path / "slides").mkdir()
    result = run("check", manifest, "--slides", tmp_path / "slides")
    assert result.exit_code == 2
    assert "row 5: time '-4' is negative" in result.stderr
    assert "row 9: event '2' is not 1 (event), 0 (censored) or a word" in result.stderr
    assert "state with --event-is which value means an event" in result.stderr
    assert "row 2: file not found in " in result.stderr
    assert result.stderr.count("file not found") == 1
    assert result.stderr.strip().endswith("cohort.csv cannot be used: 3 problems, listed above")


def test_splits_without_events_are_reported(manifest):
    """In the validation split, patients of A have the event, but none of B has."""
    lines = MANIFEST.splitlines()
    split = ["split"] + ["validation" if i in (3, 4, 6, 7) else "train" for i in range(24)]
    text = "\n".join(f"{line},{s}" for line, s in zip(lines, split, strict=True))
    manifest.write_text(text.replace("P3,4,1", "P3,4,0"))
    without = "split 'validation' of dataset 'B' has no event (2 patients)"
    for command in ("check", "summary"):
        result = run(command, manifest)
        assert result.exit_code == 0 and f"Warning: {without}" in result.stderr, result.output
    result = run("check", manifest, "--dataset", "B")
    assert result.exit_code == 2 and "split 'validation' has no event" in result.stderr
    assert run("check", manifest, "--dataset", "A").stderr == ""
    # `summary` works even if a split cannot be evaluated.
    manifest.write_text(text.replace("P3,4,1", "P3,4,0").replace("P6,7,1", "P6,7,0"))
    assert run("summary", manifest).exit_code == 0
    assert run("check", manifest).exit_code == 2


def test_bad_input_is_one_line_and_writes_nothing(tmp_path, manifest):
    out = tmp_path / "out.csv"
    said = refused("summary", manifest, "--time", "months")
    assert "1 problem: time: column 'months' is missing; the columns are 'slide', 'patient'" in said
    named = tmp_path / "cohort.csv"
    text = manifest.read_text()
    named.write_text(text.replace("slide,patient", "slide,time_unit").replace("dataset", "pat"))
    assert "the columns are 'slide', 'time_unit', 'time', " in refused("summary", named)
    named.write_text(text)
    assert "leaves nothing to train on" in refused("split", manifest, "--test", 0.9, "--out", out)
    assert "neither a clinical export" in refused("from-gdc", manifest, "--out", out)
    nowhere = tmp_path / "no" / "out.csv"
    assert "the folder of" in refused("split", manifest, "--out", nowhere)
    archive = tmp_path / "clinical.tar.gz"
    archive.write_bytes(bytes(range(256)))
    assert "not a complete archive" in refused("from-gdc", archive, "--out", out)
    assert "does not exist" in refused("check", tmp_path / "gone.csv")
    assert "'MSS' is not one of" in refused("from-gdc", manifest, "--endpoint", "MSS", "--out", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clinical.tar.gz", "cohort.csv"]


def test_melanoma_from_cbioportal(shared, tmp_path):
    clinical = shared / "cohort" / "tcga_skcm_cbioportal_patient.txt"
    out, split = tmp_path / "skcm.csv", tmp_path / "split.csv"
    endpoints = ("--endpoint", "OS", "--endpoint", "PFS")
    result = run("from-cbioportal", clinical, *endpoints, "--out", out)
    assert result.exit_code == 0, result.output
    assert run("split", out, "--out", split).exit_code == 0
    checked = run("check", split, "--time", "pfs_time", "--event", "pfs_event")
    assert checked.exit_code == 0, checked.output
    assert set(rows(split)[0]) == {
        "slide", "patient", "time", "event", "dataset", "split", "pfs_time", "pfs_event",
        "time_unit",
    }  # fmt: skip
