"""The manifest's column entry: patients whose observation begins late."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from survival.cli import main
from survival.cohort import Cohort, ManifestError, split_by_patient, summarize

LATE = """slide,patient,time,event,entry,dataset,split
a1.svs,P1,12.5,1,4.25,A,train
a2.svs,P1,12.5,1,4.25,A,train
b.svs,P2,30,0,0,A,train
c.svs,P3,7,1,6,B,test
d.svs,P4,0,1,0,B,test
"""


def write(folder, text):
    path = folder / "cohort.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_entries_survive_writing_splitting_and_selecting(tmp_path):
    cohort = Cohort.read(write(tmp_path, LATE))
    assert cohort.entry.tolist() == [4.25, 4.25, 0, 6, 0]
    copy = tmp_path / "copy.csv"
    split_by_patient(cohort, validation=0, test=0.4).write(copy)
    again = Cohort.read(copy)
    assert again.entry.tolist() == [4.25, 4.25, 0, 6, 0]
    assert again.of_dataset("B").entry.tolist() == [6, 0]
    # time, event, stratum, weight, entry
    expected = [[12.5, 1, 0, 1, 4.25]] * 2 + [[30, 0, 0, 1, 0], [7, 1, 1, 1, 6], [0, 1, 1, 1, 0]]
    np.testing.assert_array_equal(cohort.y_true(strata=True), expected)
    assert not cohort.y_true()[:, 2].any()


def test_entries_of_0_are_the_same_as_no_entries(tmp_path):
    without = LATE.replace(",4.25,", ",0,").replace(",6,", ",0,")
    cohort = Cohort.read(write(tmp_path, without))
    assert cohort.y_true().shape == (5, 2)
    assert "entry" not in cohort.to_frame()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1,6,B", "1,7,B", "row 5: entry 7 is not earlier than time 7: remove a patient who was"),
        ("1,6,B", "1,8.5,B", "row 5: entry 8.5 is not earlier than time 7"),
        # Equal in float32, the type of the targets.
        ("1,6,B", "1,6.99999999,B", "row 5: entry 7 is not earlier than time 7"),
        ("1,6,B", "1,,B", "row 5: entry is missing; give 0 for a patient who is followed from"),
        ("1,6,B", "1,-2,B", "row 5: entry '-2' is negative"),
        ("1,6,B", "1,2001-05-03,B", "row 5: entry '2001-05-03' is a date"),
        (
            "a2.svs,P1,12.5,1,4.25",
            "a2.svs,P1,12.5,1,3",
            "row 3: patient 'P1' has entry 3 here, but",
        ),
    ],
)
def test_wrong_entries_are_reported_with_their_rows(tmp_path, old, new, message):
    assert old in LATE
    with pytest.raises(ManifestError) as error:
        Cohort.read(write(tmp_path, LATE.replace(old, new)))
    assert any(problem.startswith(message) for problem in error.value.problems)


def test_a_cause_is_reported_in_one_line_with_all_its_rows(tmp_path):
    text = LATE.replace(",4.25,", ",20,").replace(",6,", ",9,")
    with pytest.raises(ManifestError) as error:
        Cohort.read(write(tmp_path, text))
    assert len(error.value.problems) == 1
    assert error.value.problems[0].endswith("also in row 3, 5")


def test_decimal_commas_and_frames(tmp_path):
    german = LATE.replace(",", ";").replace(".5;", ",5;").replace(".25;", ",25;")
    assert Cohort.read(write(tmp_path, german)).entry.tolist() == [4.25, 4.25, 0, 6, 0]
    row = {"slide": "a", "patient": "P", "time": 3, "event": 1, "Entry": 2}
    assert Cohort.from_frame(pd.DataFrame([row])).entry.tolist() == [2]
    with pytest.raises(ManifestError, match="entry 3 is not earlier than time 3"):
        Cohort(["a"], ["P"], [3.0], [True], entry=[3.0])


def test_follow_up_counts_from_the_entry(tmp_path):
    cohort = Cohort.read(write(tmp_path, LATE.replace("12.5,1", "12.5,0")), need_events=False)
    rows = summarize(cohort).set_index(["dataset", "split"])
    assert rows.loc[("all", "all"), "enter_late"] == 2
    # P1 was followed for 8.25, P2 for 30.
    assert rows.loc[("A", "all"), "median_follow_up"] == 8.25


def test_check_and_summary_report_late_entries(tmp_path):
    path = write(tmp_path, LATE)
    done = CliRunner().invoke(main, ["cohort", "check", str(path)])
    assert done.exit_code == 0, done.output
    assert "2 patients enter late (column entry) and count as at risk only from then" in done.output
    done = CliRunner().invoke(main, ["cohort", "summary", str(path)])
    assert "enter late" in done.output and "since entry" in done.output
    done = CliRunner().invoke(main, ["cohort", "summary", str(path), "--json"])
    assert '"enter_late": 2' in done.output
