"""The manifest: all problems are reported at once with their rows, and a cohort is immutable."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.cohort import Cohort, ManifestError
from survival.cohort.checks import is_missing
from survival.names import look_alikes

GOOD = """slide,patient,time,event,dataset,split,rfs_time,rfs_event
a1.svs,P1,12.5,1,A,train,3,1
a2.svs,P1,12.5,1,A,train,3,1
b.svs,P2,30,0,A,train,30,0
c.svs,P3,7,1,B,test,7,0
"""


def write(folder, text):
    path = folder / "cohort.csv"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path, **options):
    with pytest.raises(ManifestError) as error:
        Cohort.read(path, **options)
    return list(error.value.problems)


def test_frames_that_were_concatenated_need_no_new_index():
    """The second scanner has another slide of patient P0."""
    frames = [
        pd.DataFrame({"slide": [f"{d}{i}" for i in range(2)], "patient": ["P0", f"P{d}"]})
        for d in "ab"
    ]
    joined = pd.concat([frame.assign(time=[3, 5], event=[1, 0]) for frame in frames])
    assert Cohort.from_frame(joined).slide.tolist() == ["a0", "a1", "b0", "b1"]


def test_reads_slides_follow_up_and_splits(tmp_path):
    cohort = Cohort.read(write(tmp_path, GOOD))
    assert cohort.slide.tolist() == ["a1.svs", "a2.svs", "b.svs", "c.svs"]
    assert cohort.time.tolist() == [12.5, 12.5, 30, 7]
    assert cohort.event.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(
        cohort.y_true(strata=True), [[12.5, 1, 0], [12.5, 1, 0], [30, 0, 0], [7, 1, 1]]
    )
    assert cohort.y_true().shape == (4, 2)
    assert cohort.part("test").patient.tolist() == ["P3"]
    assert cohort.of_dataset("A").patient.tolist() == ["P1", "P1", "P2"]


def test_another_endpoint_is_chosen_by_its_columns(tmp_path):
    text = GOOD.replace("train,30,0", "train,20,1").replace("test,7,0", "test,6,1")
    cohort = Cohort.read(write(tmp_path, text), "rfs_time", "rfs_event")
    assert cohort.time.tolist() == [3, 3, 20, 6]
    assert cohort.further["time"].tolist() == ["12.5", "12.5", "30", "7"]
    copy = tmp_path / "copy.csv"
    cohort.write(copy)
    assert Cohort.read(copy, "rfs_time", "rfs_event").time.tolist() == [3, 3, 20, 6]
    assert Cohort.read(copy).time.tolist() == [12.5, 12.5, 30, 7]


def test_semicolons_tabs_and_a_byte_order_mark(tmp_path):
    expected = Cohort.read(write(tmp_path, GOOD)).to_frame()
    for text in (GOOD.replace(",", ";"), GOOD.replace(",", "\t"), "\ufeff" + GOOD):
        path = write(tmp_path, text.replace("\n", "\r\n"))
        pd.testing.assert_frame_equal(Cohort.read(path).to_frame(), expected)


def test_quotation_marks_around_the_cells_are_not_part_of_names(tmp_path):
    """R's write.table quotes names and text by default, but neither numbers nor NA."""
    quoted = (
        '"slide"\t"patient"\t"time"\t"event"\t"stage"\n"a\tb.svs"\t"P ""1"""\t1,5\t1\t"II"\n'
        '"c"\t"Q"\t2\t0\tNA\n'
    )
    cohort = Cohort.read(write(tmp_path, quoted))
    assert cohort.slide.tolist() == ["a\tb.svs", "c"]
    assert cohort.further["stage"].tolist() == ["II", "NA"]
    assert cohort.patient.tolist() == ['P "1"', "Q"]
    assert cohort.time.tolist() == [1.5, 2]
    column = 'slide\tpatient\ttime\tevent\n"a"\tP\t1\t1\n"b"\tQ\t2\t0\n'
    assert Cohort.read(write(tmp_path, column)).slide.tolist() == ["a", "b"]


@pytest.mark.parametrize("mark", ['"x', 'x"', '"x" y', 'a "x" b', '"'])
def test_quotation_marks_within_a_text_separated_by_tabs_are_kept(tmp_path, mark):
    text = (
        f'slide\tpatient\ttime\tevent\tnote\ta\n{mark}\tP\t1\t1\t{mark}\t"a"\nb\tQ\t2\t0\t\t"b"\n'
    )
    cohort = Cohort.read(write(tmp_path, text))
    assert cohort.slide.tolist() == [mark, "b"]
    assert cohort.further["note"].tolist() == [mark, ""]


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_a_first_line_may_name_the_delimiter(tmp_path, delimiter):
    expected = Cohort.read(write(tmp_path, GOOD)).to_frame()
    text = f"\ufeffsep={delimiter}\r\n" + GOOD.replace(",", delimiter)
    pd.testing.assert_frame_equal(Cohort.read(write(tmp_path, text)).to_frame(), expected)
    wrong = write(tmp_path, text.replace("7", "seven"))
    assert problems_of(wrong)[0].startswith("row 6: time 'seven'")


def test_columns_without_a_name_and_a_value_are_left_out(tmp_path):
    expected = Cohort.read(write(tmp_path, GOOD)).to_frame()
    for empty in (",", ", ,,"):
        text = GOOD.replace("\n", f"{empty}\n") + f",,,,,,,{empty}\n"
        pd.testing.assert_frame_equal(Cohort.read(write(tmp_path, text)).to_frame(), expected)
    row_names = "".join(f"{i},{line}\n" for i, line in enumerate(GOOD.split()))[1:]
    assert len(Cohort.read(write(tmp_path, row_names))) == 4
    text = "slide,,patient,time,event,\na,x,P,1,1,\nb,,Q,2,0,y\n"
    with pytest.raises(ValueError, match="2 columns with values but no name: column 2, column 6"):
        Cohort.read(write(tmp_path, text))


@pytest.mark.parametrize(
    ("seen", "not_seen"),
    [
        ("true", "False"),
        ("Dead", "Alive"),
        ("1:DECEASED", "0:LIVING"),
        ("Yes", "no"),
        ("1.0", "0"),
        ("T", "F"),
    ],
)
def test_events_may_be_words(tmp_path, seen, not_seen):
    text = f"slide,patient,time,event\na,P,1,{seen}\nb,Q,2,{not_seen}\n"
    assert Cohort.read(write(tmp_path, text)).event.tolist() == [True, False]


def test_the_value_that_means_an_event_can_be_chosen(tmp_path):
    text = "slide,patient,time,event\na,P,1,relapse\nb,Q,2,well\nc,R,2,lost\nd,S,3,Relapse\n"
    path = write(tmp_path, text)
    assert "state with event_is which value means an event" in problems_of(path)[0]
    with pytest.warns(UserWarning, match="2 × 'relapse'; .* as censored: 1 × 'well', 1 × 'lost'"):
        cohort = Cohort.read(path, event_is="relapse")
    assert cohort.event.tolist() == [True, False, False, True]
    with pytest.raises(ValueError, match=r"no cell .* is 'death'; its values: 'relapse' \(1×\)"):
        Cohort.read(path, event_is="death")


@pytest.mark.parametrize("value", ["2", "2.0", "2.00"])
def test_a_number_means_an_event_however_it_is_written(tmp_path, value):
    path = write(tmp_path, "slide,patient,time,event\na,P,1,2.0\nb,Q,2,1\nc,R,3,2\nd,S,4,2x\n")
    with pytest.warns(UserWarning, match="events: 2 × .* as censored: 1 × '1', 1 × '2x'"):
        assert Cohort.read(path, event_is=value).event.tolist() == [True, False, True, False]


def test_words_that_are_not_understood_do_not_count_as_no_event(tmp_path):
    path = write(tmp_path, "slide,patient,time,event\na,P,1,ja\nb,Q,2,nein\n")
    first, second = problems_of(path)
    assert "event 'ja' is not" in first and "event 'nein' is not" in second


def test_decimal_commas_are_read_if_cells_are_not_separated_by_commas(tmp_path):
    cohort = Cohort.read(write(tmp_path, "slide;patient;time;event\na;P;12,5;1\nb;Q;3;0\n"))
    assert cohort.time.tolist() == [12.5, 3]
    text = "slide;patient;time;event;Slide_MPP\na;P;12,5;1;0,25\nb;Q;3;0;\n"
    cohort = Cohort.read(write(tmp_path, text))
    assert cohort.further["slide_mpp"].tolist() == ["0.25", ""]  # for `survival preprocess`
    # 1234 days, or 1.234 months?
    (problem,) = problems_of(write(tmp_path, "slide;patient;time;event\na;P;1,234;1\nb;Q;987;0\n"))
    assert "no thousands separator" in problem


def test_a_point_that_may_separate_thousands_is_read_with_a_warning(tmp_path):
    text = "slide;patient;time;event\na;P;365;1\nb;Q;{};0\n"
    with pytest.warns(UserWarning, match="'time': 1.234 is read as a decimal .* although 365 is"):
        assert Cohort.read(write(tmp_path, text.format("1.234"))).time.tolist() == [365, 1.234]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Cohort.read(write(tmp_path, text.format("1.23")))


@pytest.mark.parametrize("types", ["numpy_nullable", "pyarrow"])
def test_frames_with_the_types_of_pandas_extensions(types):
    if types == "pyarrow":
        pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {"slide": ["a", "b"], "patient": ["P", "Q"], "time": [1.5, 2], "event": [1, 0]}
    )
    frame = frame.assign(stage=["I", None], split=pd.Categorical(["train", "train"]))
    cohort = Cohort.from_frame(frame.convert_dtypes(dtype_backend=types))
    assert cohort.time.tolist() == [1.5, 2] and cohort.event.tolist() == [True, False]
    assert cohort.further["stage"].tolist() == ["I", ""]
    assert cohort.split.tolist() == ["train", "train"]
    missing = frame.assign(time=[1.5, None]).convert_dtypes(dtype_backend=types)
    with pytest.raises(ManifestError, match="time is missing"):
        Cohort.from_frame(missing)


def test_column_names_match_in_any_case(tmp_path):
    cohort = Cohort.read(write(tmp_path, "Slide,PATIENT,Time,Event,Split\na,P,1,1,train\n"))
    assert (cohort.slide.tolist(), cohort.split.tolist()) == (["a"], ["train"])
    months = write(tmp_path, "slide,patient,OS_Months,event\na,P,7,1\n")
    assert Cohort.read(months, time="os_months").time.tolist() == [7]


def test_unknown_columns_are_kept_with_a_warning_for_a_likely_typo(tmp_path):
    path = write(tmp_path, "slide,patient,time,event,age,stage\na,P,1,1,54,IIb\n")
    cohort = Cohort.read(path)
    assert {k: v.tolist() for k, v in cohort.further.items()} == {"age": ["54"], "stage": ["IIb"]}
    cohort.write(tmp_path / "copy.csv")
    assert Cohort.read(tmp_path / "copy.csv").further["stage"].tolist() == ["IIb"]
    with pytest.warns(UserWarning, match="'splitt' is kept but not used; did you mean 'split'?"):
        Cohort.read(write(tmp_path, "slide,patient,time,event,splitt\na,P,1,1,train\n"))


def test_all_times_have_the_same_unit(tmp_path):
    text = "slide,patient,time,event,time_unit\na,P,1,1,months\nb,Q,2,0,{}\n"
    assert Cohort.read(write(tmp_path, text.format("months"))).time_unit == "months"
    (problem,) = problems_of(write(tmp_path, text.format("days")))
    assert problem == "the unit of time must be the same in all rows, not days, months"


@pytest.mark.parametrize("date", ["2019-03-04", "4.3.2019", "03/04/19", "20190304"])
def test_a_date_instead_of_a_time_is_recognized(tmp_path, date):
    (problem,) = problems_of(write(tmp_path, f"slide,patient,time,event\na,P,{date},1\n"))
    assert f"time {date!r} is a date; give the time from diagnosis" in problem


def test_a_cause_is_reported_in_one_line(tmp_path):
    rows = "".join(f"s{i}.svs,P{i},1,1\n" for i in range(10))
    path = write(tmp_path, f"slide,patient,time,event\n{rows}")
    (tmp_path / "slides").mkdir()
    (problem,) = problems_of(path, folder=tmp_path / "slides")
    assert problem.startswith("row 2: file not found in ") and "folders: 's0.svs'; also" in problem
    assert problem.endswith("also in row 3, 4, 5, 6, 7 and 4 more")


@pytest.mark.parametrize("name", ["merged", "standardized", "within"])
def test_a_dataset_must_not_have_the_name_of_a_result_of_all_datasets(tmp_path, name):
    header = "slide,patient,time,event,dataset\n"
    path = write(tmp_path, f"{header}a.svs,P,1,1,A\nb.svs,Q,2,0,{name}\nc.svs,R,3,1,{name}\n")
    (problem,) = problems_of(path)
    assert problem.startswith(f"row 3: dataset '{name}' has the name of a result of all datasets")
    assert problem.endswith("rename it; also in row 4")
    alone = write(tmp_path, f"{header}a.svs,P,1,1,{name}\n")  # which has no such result
    assert Cohort.read(alone).dataset.tolist() == [name]


def test_slides_in_sub_folders_are_found_by_a_name_that_occurs_once(tmp_path):
    for folder in ("u1", "u2"):
        (tmp_path / "slides" / folder).mkdir(parents=True)
    (tmp_path / "slides" / "u1" / "a.svs").touch()
    path = write(tmp_path, "slide,patient,time,event\na.svs,P,1,1\n")
    assert len(Cohort.read(path, folder=tmp_path / "slides")) == 1
    (tmp_path / "slides" / "u2" / "a.svs").touch()
    with pytest.raises(ValueError, match="'a.svs' occurs 2 times in .*u1/a.svs, u2/a.svs"):
        Cohort.read(path, folder=tmp_path / "slides")
    both = write(tmp_path, "slide,patient,time,event\nu1/b.svs,P,1,1\nb.svs,Q,1,1\n")
    (tmp_path / "slides" / "u1" / "b.svs").touch()
    with pytest.raises(ValueError, match="'u1/b.svs' and 'b.svs' are both the file .*u1/b.svs"):
        Cohort.read(both, folder=tmp_path / "slides")
    # A path in another folder means another slide, even if only one file has this name.
    other = write(tmp_path, "slide,patient,time,event\nu2/b.svs,P,1,1\n")
    (problem,) = problems_of(other, folder=tmp_path / "slides")
    assert "file not found" in problem and problem.endswith("'u2/b.svs'")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("P3", "p3"), ("00123", "123"), ("Ä1", "A\u03081"), ("1", "1.0"), ("007", "7.0")],
        *[("P1", "P1\u200b"), ("P1", "P\ufeff1"), ("P 1", "P1"), ("P-1", "P_1"), ("P-1", "P – 01")],
    ],
)
def test_a_warning_about_names_that_look_alike(tmp_path, one, other):
    path = write(tmp_path, f"slide,patient,time,event\na,{one},1,1\nb,{other},2,0\n")
    with pytest.warns(UserWarning, match="1 group of patient names that look alike"):
        Cohort.read(path)
    slides = write(tmp_path, "slide,patient,time,event\nx/a.svs,P,1,1\nX/A.svs,Q,2,0\n")
    with pytest.warns(UserWarning, match="slide names that look alike"):
        Cohort.read(slides)


def test_different_names_do_not_look_alike():
    # Site 02 to 22, letters and digits as in TCGA's barcodes, with samples and portions.
    sites = [*(f"{i:02}" for i in range(2, 23)), "A1", "A2", "AA", "AB", "B6", "D8", "E2", "EE"]
    people = [
        *(f"{i:04}" for i in range(1, 200)),
        *(f"A{i:03}" for i in range(200)),
        "A0SB",
        "A0SC",
    ]
    barcodes = [f"TCGA-{site}-{person}" for site in sites for person in people]
    assert look_alikes(barcodes) == []
    assert look_alikes([f"{b}-01Z-00-DX{i}.svs" for b in barcodes[:500] for i in (1, 2)]) == []
    assert look_alikes(["1-23", "12-3", "123", "1.5", "15", "1.0.1", "101", "P1", "P10"]) == []


def test_without_a_dataset_column_there_is_one_dataset(tmp_path):
    cohort = Cohort.read(write(tmp_path, "slide,patient,time,event\na,P,1,1\n"))
    assert (cohort.dataset.tolist(), cohort.split.tolist()) == (["all"], [""])


def test_every_problem_is_reported_at_once_with_its_row(tmp_path):
    (tmp_path / "slides" / "id").mkdir(parents=True)
    (tmp_path / "slides" / "a.svs").touch()
    (tmp_path / "slides" / "id" / "b.svs").touch()
    rows = [
        "slide,patient,time,event,dataset,split,color",
        "a.svs,P1,12,0,A,train,red",  # row 2, fine
        "id/b.svs,P1,12,0,A,test,red",  # row 3: P1 in two splits
        "a.svs,P2,-3,0,A,train,red",  # row 4: slide again, negative
        "d.svs,P3,,0,A,train,red",  # row 5: no time, no file
        "id/b.svs,P4,'12',2,A,train,red",  # row 6: slide again, no number, event 2
        "a.svs,P5,nan,,A,dev,red",  # row 7
        "a.svs,P1,13,0,,train,red",  # row 8: other follow-up, no dataset
    ]
    found = problems_of(write(tmp_path, "\n".join(rows)), folder=tmp_path / "slides")
    expected = [
        ("row 3", "'P1'", "split 'test'", "'train' in row 2"),
        ("row 4", "time '-3' is negative"),
        ("row 4", "slide 'a.svs' is already in row 2; also in row 7, 8"),
        ("row 5", "time is missing; also in row 7"),
        ("row 5", "file not found in ", "'d.svs'"),
        ("row 6", "\"'12'\" is not a number"),
        ("row 6", "event '2' is not 1 (event), 0 (censored)"),
        ("row 6", "slide 'id/b.svs' is already in row 3"),
        ("row 7", "event is missing"),
        ("row 7", "split 'dev' is not one of train, validation, test"),
        ("row 8", "dataset is missing"),
        ("row 8", "'P1' has time 13 and event 0 here, but time 12 and event 0 in row 2"),
        # The other splits have cells that are not understood, which may be events.
        ("split 'test' has no event",),
    ]
    assert len(found) == len(expected), "\n".join(found)
    for problem, parts in zip(found, expected, strict=True):
        assert all(part in problem for part in parts), (problem, parts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header"),
        ("slide,patient,time,event\n", "no rows"),
        ("slide,patient,time\na,P,1\n", "column 'event' is missing; the columns are 'slide'"),
        ("slide,patient,time,time\na,P,1,1\n", "more than one column named 'time'"),
        ("slide,patient,time,event\na,P,1\n", "row 2 has 3"),
        ("slide,patient,time,event\na,P,1,5,1\n", "row 2 has 5; .* use decimal commas"),
        ("slide,patient,time,event\na,P,1,0\n", "the cohort has no event"),
        ("slide,patient,time,event\na,P,inf,1\n", "time 'inf' is not a number"),
        ('slide,patient,time,event\na,P,"12,5",1\n', "decimal point, not a comma"),
        ("slide,patient,time,event\n,P,1,1\n", "row 2: slide is missing"),
        ("slide,patient,time,event\na,P,1_0,1\n", "time '1_0' is not a number"),
        ("slide,patient,time,event,split\na,P,1,1,train\nb,Q,1,1,\n", "row 3: split is missing"),
    ],
)
def test_tables_that_cannot_be_a_manifest(tmp_path, text, message):
    with pytest.raises(ValueError, match="(?s)" + message.replace("(", r"\(")):
        Cohort.read(write(tmp_path, text))


def test_long_cells_are_shortened_in_errors(tmp_path):
    long = "x" * 100_000
    for text in (
        f"{long}\n1\n",
        f"slide,patient,time,event\na,P,{long},1\n",
        f"{long},{long}\n1,2",
    ):
        with pytest.raises(ValueError) as error:
            Cohort.read(write(tmp_path, text))
        assert "cohort.csv" in str(error.value) and len(str(error.value)) < 5000
    (tmp_path / "slides").mkdir()
    text = f"slide,patient,time,event\n{long},P,1,1\n"
    assert "file not found" in problems_of(write(tmp_path, text), folder=tmp_path / "slides")[0]


def test_a_name_may_span_several_lines(tmp_path):
    cohort = Cohort.read(write(tmp_path, 'slide,patient,time,event\n"a\nb",P,1,1\nc,Q,2,0\n'))
    assert cohort.slide.tolist() == ["a\nb", "c"]


def test_not_a_text_file(tmp_path):
    path = tmp_path / "clinical.tar.gz"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="not a text file"):
        Cohort.read(path)
    with pytest.raises(ValueError, match="not a folder"):
        Cohort.read(write(tmp_path, GOOD), folder=tmp_path / "nowhere")


def test_a_cohort_is_immutable(tmp_path):
    cohort = Cohort.read(write(tmp_path, GOOD))
    with pytest.raises(dataclasses.FrozenInstanceError):
        cohort.time = np.zeros(4)
    for values in (cohort.time, cohort.split, cohort.further["rfs_time"]):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = values[1]
    with pytest.raises(TypeError):
        cohort.further["more"] = cohort.time
    cohort.to_frame()["time"] = -1  # a copy
    assert cohort.time.min() == 7


def test_a_cohort_made_in_python_is_checked_too():
    with pytest.raises(ManifestError, match="row 3: time -1.0 is negative"):
        Cohort(["a", "b"], ["P", "Q"], np.array([1.0, -1.0]), np.array([True, False]))
    # 1 and "1" are the same patient, who cannot have two follow-up times.
    with pytest.raises(ManifestError, match="patient"):
        Cohort(["a", "b"], [1, "1"], [1.0, 2.0], [True, False])
    with pytest.raises(ValueError, match=r"shape \(2,\).*event has shape \(1,\)"):
        Cohort(["a", "b"], ["P", "Q"], [1.0, 1.0], [True])


def test_unknown_splits_and_datasets_are_refused(tmp_path):
    cohort = Cohort.read(write(tmp_path, GOOD))
    with pytest.raises(ValueError, match="'validation'; its splits: test, train"):
        cohort.part("validation")
    with pytest.raises(ValueError, match="train, validation, test, not 'val'"):
        cohort.part("val")
    with pytest.raises(ValueError, match="'C'; its datasets: 'A', 'B'"):
        cohort.of_dataset("C")


def test_a_failed_write_keeps_the_existing_file(tmp_path):
    cohort = Cohort.read(write(tmp_path, GOOD))
    path = tmp_path / "out.csv"
    path.write_text("before")
    surrogate = dataclasses.replace(cohort, slide=np.array(["\ud800", "b", "c", "d"], object))
    with pytest.raises(UnicodeEncodeError):
        surrogate.write(path)
    assert path.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cohort.csv", "out.csv"]


@st.composite
def cohorts(draw):
    # Without control characters, surrogates and outer white space, as in names of files.
    names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)
    names = names.filter(lambda name: not is_missing(name))
    slides = draw(st.lists(names, min_size=1, max_size=12, unique=True))
    patients = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    times = st.floats(0, 1e6, allow_nan=False)
    known = {p: (draw(times), draw(st.booleans())) for p in patients}
    known[patients[0]] = (known[patients[0]][0], True)
    patient = [patients[0]] + [draw(st.sampled_from(patients)) for _ in slides[1:]]
    dataset = [draw(st.sampled_from("AB")) for _ in slides]
    time, event = zip(*(known[p] for p in patient), strict=True)
    return Cohort(slides, patient, time, event, dataset)


@settings(max_examples=50)
@given(cohorts())
def test_writing_and_reading_returns_the_same_cohort(tmp_path_factory, cohort):
    path = tmp_path_factory.mktemp("cohort") / "cohort.csv"
    cohort.write(path)
    pd.testing.assert_frame_equal(Cohort.read(path).to_frame(), cohort.to_frame())


def test_events_given_as_text_are_not_all_true():
    for events in (["0", "1", "0"], np.array(["0.0", "1.0", "0"]), [0, True, False]):
        cohort = Cohort(["a", "b", "c"], ["P", "Q", "R"], [1, 2, 3], events)
        assert cohort.event.tolist() == [False, True, False]


def test_further_columns_must_not_replace_others_and_have_one_unit():
    columns = (["a", "b"], ["P", "Q"], [1, 2], [0, 1])
    with pytest.raises(ValueError, match="further must not contain patient"):
        Cohort(*columns, further={"patient": ["x", "y"]})
    with pytest.raises(ValueError, match="unit of time must be the same in all rows"):
        Cohort(*columns, further={"time_unit": ["months", "days"]})


@pytest.mark.parametrize("name", ["time", "event", "slide"])
def test_a_frame_with_two_columns_of_one_name_is_refused(name):
    frame = pd.DataFrame({"slide": ["a"], "patient": ["P"], "time": [1], "event": [1]})
    with pytest.raises(ValueError, match=f"more than one column named '{name}'"):
        Cohort.from_frame(pd.concat([frame, frame[[name]]], axis=1))


def test_settings_of_slides_must_be_positive_numbers(tmp_path):
    text = "slide,patient,time,event,downsample\na,P,1,1,8\nb,Q,2,0,eight\nc,R,3,1,-3\nd,S,4,0,\n"
    assert problems_of(write(tmp_path, text)) == [
        "row 3: downsample 'eight' is not above 0; also in row 4"
    ]


@pytest.mark.parametrize("name", ["patient", "dataset", "slide"])
def test_follow_up_cannot_be_read_from_a_column_with_another_meaning(name):
    frame = pd.DataFrame({"slide": ["1", "2"], "patient": [3, 4], "dataset": [0, 1]})
    frame = frame.assign(time=[5, 6], event=[1, 0])
    for role in ("time", "event"):
        with pytest.raises(ManifestError, match=f"{role}: column '{name}' has another meaning"):
            Cohort.from_frame(frame, **{role: name})


def test_codes_for_missing_values_count_in_every_optional_column(tmp_path):
    """R writes NA for a cohort that is not divided yet."""
    header = "slide,patient,time,event,split,time_unit,mpp\n"
    cohort = Cohort.read(write(tmp_path, f"{header}a,P,1,1,NA,NA,NA\nb,Q,2,0,-,-,16\n"))
    assert cohort.time_unit is None and cohort.in_unit("months").time_unit == "months"
    assert "split" not in cohort.to_frame()
    assert cohort.to_frame()["mpp"].tolist() == ["", "16"]
