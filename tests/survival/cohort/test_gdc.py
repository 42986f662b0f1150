"""Clinical files and slide lists of GDC and cBioPortal, written by hand in every layout."""

import contextlib
import gzip
import math
import shutil
import warnings
import zlib
from pathlib import Path

import pandas as pd
import pytest

from survival.cohort import cohort_from_gdc, read_clinical, read_slide_list

DAYS = 30.4375


def table(folder, name, *rows):
    path = folder / name
    path.write_text("\n".join("\t".join(row.split("|")) for row in rows) + "\n", encoding="utf-8")
    return path


def new_layout(folder, *rows, header=""):
    columns = (
        "project.project_id|cases.submitter_id|cases.index_date|demographic.cause_of_death|"
        "demographic.days_to_death|demographic.vital_status|diagnoses.classification_of_tumor|"
        "diagnoses.days_to_diagnosis|diagnoses.days_to_last_follow_up|diagnoses.days_to_recurrence|"
        "diagnoses.diagnosis_is_primary_disease|diagnoses.submitter_id|treatments.treatment_type"
    )
    return table(folder, "clinical.tsv", columns, *rows)


def case(patient, vital="Alive", death="'--", last="'--", recurrence="'--", cause="'--", **more):
    """Return one row of a current export; missing values are ``'--``."""
    kind, day, primary = (more.get(k, d) for k, d in DIAGNOSIS.items())
    return (
        f"TCGA-SKCM|{patient}|{more.get('index', 'Diagnosis')}|{cause}|{death}|{vital}|{kind}|"
        f"{day}|{last}|{recurrence}|{primary}|{patient}_diagnosis|Surgery"
    )


DIAGNOSIS = {"kind": "primary", "day": "0", "primary": "true"}


def quiet(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_clinical(*arguments)


def test_current_export(tmp_path):
    path = new_layout(
        tmp_path,
        case("TCGA-AA-0001", "Dead", death="609"),
        case("TCGA-AA-0002", last="365"),
        case("TCGA-AA-0002", last="1200"),  # one row per treatment: the latest counts
        case("TCGA-AA-0002", last="'--"),
        case("TCGA-AA-0003", "Dead"),
        case("TCGA-AA-0004"),
        case("TCGA-AA-0005", "Not Reported", last="30"),
        case("TCGA-AA-0006", "Alive", death="70", last="80"),
    )
    known = quiet(path)
    assert known.table["OS_time"].to_dict() == pytest.approx(
        {"TCGA-AA-0001": 609 / DAYS, "TCGA-AA-0002": 1200 / DAYS}
    )
    assert known.table["OS_event"].tolist() == [True, False]
    assert set(known.table["project"]) == {"TCGA-SKCM"}
    assert known.left_out == {
        "TCGA-AA-0003": "OS: dead without days_to_death",
        "TCGA-AA-0004": "OS: no days_to_last_follow_up",
        "TCGA-AA-0005": "OS: vital status unknown",
        "TCGA-AA-0006": "OS: alive, but with days_to_death",
    }


FOLLOW_UPS = (
    "project.project_id|cases.submitter_id|follow_ups.days_to_follow_up|"
    "follow_ups.days_to_recurrence"
)
SINCE_2025 = (
    case("TCGA-AA-0001", "Dead", death="609"),
    case("TCGA-AA-0002"),
    case("TCGA-AA-0003", "Dead", death="100"),
    case("TCGA-AA-0004"),
)


def follow_ups(folder, *rows):
    return table(folder, "follow_up.tsv", FOLLOW_UPS, *(f"TCGA-SKCM|{row}" for row in rows))


def test_the_latest_of_several_follow_ups_counts(tmp_path):
    (tmp_path / "beside").mkdir()
    clinical = new_layout(tmp_path, *SINCE_2025)
    visits = follow_ups(
        tmp_path / "beside",
        "TCGA-AA-0002|30|'--",
        "TCGA-AA-0002|900|200",
        "TCGA-AA-0002|'--|'--",
        "TCGA-AA-0004|45|'--",
        "TCGA-AA-0001|700|'--",  # after the death: the death counts
        "TCGA-ZZ-0009|10|'--",  # a case that the clinical table lacks
    )
    known = quiet(clinical, ("OS",), visits)
    assert (known.table["OS_time"] * DAYS).round(6).tolist() == [609, 900, 100, 45]
    assert known.table["OS_event"].tolist() == [True, False, True, False]
    assert not known.left_out
    # That table also holds the recurrence.
    with pytest.warns(UserWarning, match="never says that a patient had no progr.* 1 living pat"):
        known = read_clinical(clinical, ("PFS",), visits).table
    assert (known["PFS_time"] * DAYS).round(6).tolist() == [609, 200, 100, 45]
    assert known["PFS_event"].tolist() == [True, True, True, False]


@pytest.mark.parametrize("kind", ["folder", "tar.gz", "zip"])
def test_the_portals_archive_is_read_without_unpacking(tmp_path, kind):
    folder = tmp_path / "clinical"
    folder.mkdir()
    new_layout(folder, *SINCE_2025)
    follow_ups(folder, "TCGA-AA-0002|900|'--", "TCGA-AA-0004|45|'--")
    table(folder, "exposure.tsv", "cases.submitter_id|exposures.tobacco", "TCGA-AA-0001|yes")
    (folder / "README.txt").write_text("not, a\ntable")
    (folder / "._clinical.tsv").write_bytes(b"\0\xff")  # metadata that macOS adds to archives
    path = folder
    if kind != "folder":
        form = {"tar.gz": "gztar", "zip": "zip"}[kind]
        path = Path(shutil.make_archive(str(tmp_path / "clinical.cart"), form, folder))
    known = quiet(path)
    assert (known.table["OS_time"] * DAYS).round(6).tolist() == [609, 900, 100, 45]


def test_tables_may_be_frames(tmp_path):
    clinical = new_layout(tmp_path, *SINCE_2025)
    visits = follow_ups(tmp_path, "TCGA-AA-0002|900|'--", "TCGA-AA-0004|45|'--")
    frames = [pd.read_csv(path, sep="\t") for path in (clinical, visits)]
    known = quiet(frames[0], ("OS",), frames[1])
    pd.testing.assert_frame_equal(known.table, quiet(clinical, ("OS",), visits).table)


def test_truncated_archives_and_folders_without_tables_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="contains no table"):
        read_clinical(tmp_path / "empty")
    new_layout(tmp_path / "empty", *SINCE_2025)
    whole = Path(shutil.make_archive(str(tmp_path / "whole"), "gztar", tmp_path / "empty"))
    for size in (0, 40):
        (tmp_path / "cut.tar.gz").write_bytes(whole.read_bytes()[:size])
        with pytest.raises(ValueError, match="not a complete archive"):
            read_clinical(tmp_path / "cut.tar.gz")


def test_a_changed_bit_in_an_archive_is_noticed(tmp_path):
    (tmp_path / "tables").mkdir()
    many = [case(f"TCGA-AA-{i:04}", "Dead", death=f"{i + 9}") for i in range(300)]
    new_layout(tmp_path / "tables", *many)
    whole = Path(shutil.make_archive(str(tmp_path / "whole"), "gztar", tmp_path / "tables"))
    content, path = whole.read_bytes(), tmp_path / "changed.tar.gz"
    for place in range(40, len(content) - 8, len(content) // 40):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with contextlib.suppress(gzip.BadGzipFile, zlib.error, EOFError):
            assert gzip.decompress(changed) == gzip.decompress(content)
            continue  # a bit that does not count
        with pytest.raises(ValueError, match="not a complete archive|is not a text file"):
            read_clinical(path)


def test_a_cohort_of_dead_patients_only_is_refused(tmp_path):
    others = [case(f"TCGA-AA-1{i:03}", "Dead", death="9") for i in range(3)]
    others += [case(f"TCGA-AA-2{i:03}") for i in range(3)]
    clinical = new_layout(tmp_path, *SINCE_2025, *others)
    with pytest.raises(ValueError, match="only patients with the event would remain") as error:
        quiet(clinical)
    text = str(error.value)
    assert "(5 with the event, 0 without)" in text and "(0 with the event, 5 without)" in text
    assert "no days_to_last_follow_up: 5×" in text
    assert "GDC keeps the last follow-up in a separate table" in text


def test_follow_ups_of_another_project_or_another_file_are_refused(tmp_path):
    clinical = new_layout(tmp_path, *SINCE_2025)
    (tmp_path / "other").mkdir()
    other = follow_ups(tmp_path / "other", "TCGA-ZZ-0009|10|'--")
    with pytest.raises(ValueError, match="none of the 1 patients in the follow-up table"):
        read_clinical(clinical, ("OS",), other)
    with pytest.raises(ValueError, match="clinical.tsv is not GDC's follow-up table"):
        read_clinical(clinical, ("OS",), clinical)


def test_a_warning_if_patients_left_out_differ_in_outcome(tmp_path):
    dead = [case(f"TCGA-AA-1{i:03}", "Dead", death="9") for i in range(20)]
    alive = [case(f"TCGA-AA-2{i:03}", last="9" if i < 2 else "'--") for i in range(20)]
    with pytest.warns(UserWarning, match="differ in outcome from those kept") as caught:
        known = read_clinical(new_layout(tmp_path, *dead, *alive))
    text = str(caught[0].message)
    assert "0 with the event, 18 without; kept: 20 with the event, 2 without" in text
    # Fisher's exact test, two-sided: all 18 left out are among the 20 without the event, or
    # equally unlikely, among the 20 with it.
    assert f"p = {2 * math.comb(20, 18) / math.comb(40, 18):.2g}" in text
    assert len(known.left_out) == 18 and (known.outcomes == 0).all()


def test_patients_without_a_slide_may_differ_too(tmp_path):
    dead = [case(f"TCGA-AA-1{i:03}", "Dead", death="9") for i in range(9)]
    alive = [case(f"TCGA-AA-2{i:03}", last="9") for i in range(9)]
    clinical = new_layout(tmp_path, *dead, *alive)
    names = [f"TCGA-AA-1{i:03}-01Z-00-DX1.svs" for i in range(9)] + ["TCGA-AA-2000-01Z-00-DX1.svs"]
    with pytest.warns(UserWarning, match="patients without a slide in .*: 0 with the event, 8 "):
        cohort_from_gdc(clinical, table(tmp_path, "m.tsv", "filename", *names))
    # Which slides to list is a choice: even a one-sided list only gives a warning.
    with pytest.warns(UserWarning, match="only patients with the event would remain"):
        cohort_from_gdc(clinical, table(tmp_path, "m.tsv", "filename", *names[:9]))
    # Two patients of each kind are too few for an error.
    with pytest.warns(UserWarning, match="only patients with the event would remain"):
        read_clinical(new_layout(tmp_path, *SINCE_2025))


def test_export_of_2019(tmp_path):
    path = table(
        tmp_path,
        "clinical.tsv",
        "case_id|submitter_id|project_id|vital_status|days_to_death|days_to_last_follow_up",
        "u1|TCGA-AA-0001|TCGA-BRCA|Dead|100|90",
        "u2|TCGA-AA-0002|TCGA-BRCA|Alive|--|50",
        "u2|TCGA-AA-0002|TCGA-BRCA|Alive|--|20",
    )
    known = quiet(path).table
    assert known["OS_time"].tolist() == pytest.approx([100 / DAYS, 50 / DAYS])
    assert known["OS_event"].tolist() == [True, False]


def test_other_endpoints_of_gdc(tmp_path):
    path = new_layout(
        tmp_path,
        case("TCGA-AA-0001", "Dead", death="600", cause="Cancer Related", recurrence="200"),
        case("TCGA-AA-0001", "Dead", death="600", cause="Cancer Related", recurrence="300"),
        case("TCGA-AA-0002", "Dead", death="500", cause="Not Cancer Related"),
        case("TCGA-AA-0003", "Dead", death="400", cause="Unknown"),
        case("TCGA-AA-0004", last="700", recurrence="100"),
        case("TCGA-AA-0005", last="800"),
        case("TCGA-AA-0006", last="100", recurrence="250"),  # after the last visit
        case("TCGA-AA-0007", "Dead", death="300", cause="Unknown", recurrence="310"),
        case("TCGA-AA-0008", recurrence="90"),  # without a last visit
    )
    known = quiet(path, ("DSS",))
    assert known.table["DSS_event"].tolist() == [True, False, False, False, False]
    unknown = dict.fromkeys(("TCGA-AA-0003", "TCGA-AA-0007"), "DSS: dead without cause_of_death")
    assert known.left_out == unknown | {"TCGA-AA-0008": "DSS: no days_to_last_follow_up"}
    with pytest.warns(UserWarning, match="never says that a patient had no progr.* 1 living pat"):
        known = read_clinical(path, ("PFS",)).table
    days = [200, 500, 400, 100, 800, 250, 300, 90]
    assert (known["PFS_time"] * DAYS).tolist() == pytest.approx(days)
    assert known["PFS_event"].tolist() == [True, True, True, True, False, True, True, True]
    both = quiet(path, ("OS", "DSS"))
    assert "TCGA-AA-0003" not in both.table.index
    assert (both.table["OS_event"].sum(), both.table["DSS_event"].sum()) == (2, 1)


def test_a_living_patient_whose_relapse_is_not_reported_has_no_pfs():
    """Only "no" means that there was none; the dead have the event in any case."""
    rows = [
        ("TCGA-AA-0001", "Alive", "--", "900", "Yes - Progression or Recurrence", "300"),
        ("TCGA-AA-0002", "Alive", "--", "900", "no", "--"),
        ("TCGA-AA-0003", "Alive", "--", "900", "not reported", "--"),
        ("TCGA-AA-0004", "Alive", "--", "900", "Unknown", "--"),
        ("TCGA-AA-0005", "Alive", "--", "900", "yes", "--"),
        ("TCGA-AA-0006", "Dead", "500", "--", "not reported", "--"),
        ("TCGA-AA-0007", "Alive", "--", "100", "unknown", "--"),
        ("TCGA-AA-0007", "Alive", "--", "900", "no", "--"),
    ]
    columns = (
        *("cases.submitter_id", "demographic.vital_status", "demographic.days_to_death"),
        *("diagnoses.days_to_last_follow_up", "diagnoses.progression_or_recurrence"),
        "diagnoses.days_to_recurrence",
    )
    known = read_clinical(pd.DataFrame(rows, columns=columns), ("PFS",))
    assert known.left_out == {
        "TCGA-AA-0003": "PFS: progression or recurrence not reported",
        "TCGA-AA-0004": "PFS: progression or recurrence not reported",
        "TCGA-AA-0005": "PFS: progression or recurrence without a day",
    }
    event = {"TCGA-AA-0001": True, "TCGA-AA-0002": False}
    event |= {"TCGA-AA-0006": True, "TCGA-AA-0007": False}
    assert known.table["PFS_event"].to_dict() == event


def test_frames_may_have_nullable_and_categorical_columns():
    frame = pd.DataFrame(
        {
            "case_submitter_id": ["TCGA-AA-0001", "TCGA-AA-0002"],
            "vital_status": pd.Categorical(["Dead", "Alive"]),
            "days_to_death": [100, None],
            "days_to_last_follow_up": [None, 50],
        }
    ).convert_dtypes()
    known = quiet(frame).table
    assert known["OS_time"].tolist() == pytest.approx([100 / DAYS, 50 / DAYS])


def test_an_export_without_recurrences_has_no_pfs(tmp_path):
    path = new_layout(tmp_path, case("TCGA-AA-0001", "Dead", death="9"), case("P", last="3"))
    with pytest.raises(ValueError, match="PFS for no patient.*no days_to_recurrence.*gives: OS"):
        quiet(path, ("PFS",))
    with pytest.raises(ValueError, match="names no cause_of_death"):
        quiet(path, ("DSS",))


def test_negative_follow_up_becomes_0_with_a_warning(tmp_path):
    path = new_layout(tmp_path, case("TCGA-AA-0001", last="-7"), case("TCGA-AA-0002", last="7"))
    with pytest.warns(UserWarning, match=r"1 patient set to 0: TCGA-AA-0001 \(-0.23 months"):
        known = read_clinical(path)
    assert known.table["OS_time"].tolist() == pytest.approx([0, 7 / DAYS])


def test_dead_in_one_row_and_alive_in_another(tmp_path):
    path = new_layout(tmp_path, case("P", last="10"), case("P", "Dead", death="20"))
    with pytest.warns(UserWarning, match="dead in one row and alive in another.*P"):
        known = read_clinical(path)
    assert known.table.loc["P", ["OS_time", "OS_event"]].tolist() == [20 / DAYS, True]


def test_warnings_name_the_right_patients_of_an_export_that_is_not_sorted(tmp_path):
    moved = case("B", last="10", day="400")
    index = case("C", last="10", index="Sample Procurement")
    twice = case("A", "Dead", death="20"), case("A", last="10")
    path = new_layout(tmp_path, case("D", last="10"), index, moved, *twice)
    with pytest.warns(UserWarning) as caught:
        read_clinical(path)
    named = {str(w.message).rpartition(": ")[2] for w in caught}
    assert named == {"A", "B", "C"}
    (contradiction,) = [str(w.message) for w in caught if "alive in another" in str(w.message)]
    assert contradiction.endswith(": A")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "metastasis", "primary": "false"}, "only of a metastasis"),
        ({"index": "Sample Procurement"}, "an index date other than the diagnosis"),
        ({"day": "400"}, "not day 0"),
    ],
)
def test_time_that_does_not_begin_with_the_primary_tumour(tmp_path, fields, message):
    path = new_layout(tmp_path, case("P", last="10", **fields), case("Q", last="20"))
    with pytest.warns(UserWarning, match=f"1 patient.*{message}.*: P$"):
        read_clinical(path)


def test_no_warning_about_a_metastasis_in_addition_to_a_primary_tumour(tmp_path):
    later = case("P", last="10", kind="metastasis", primary="false", day="300")
    assert len(quiet(new_layout(tmp_path, case("P", last="10"), later)).table) == 1


DISPLACED = (
    "submitter_id|vital_status|days_to_death|age_at_index|morphology|icd_10_code|site|"
    "days_to_last_follow_up|treatment_type"
)


def test_shifted_rows_are_moved_back_if_two_codes_agree(tmp_path):
    path = table(
        tmp_path,
        "clinical.tsv",
        DISPLACED,
        "P1|Dead|700|48|8500/3|C50.9|Breast|600|Radiation",
        "P2|Alive|62|8500/3|C50.9|Breast|647|Radiation|--",  # days_to_death is omitted
        "P3|Dead|47|8500/3|C50.9|Breast|26|Radiation|--",  # 47 is an age, not a death
        "P4|8500/3|C50.9|Breast|9|Radiation|--|--|--",  # the vital status is omitted
        "P5|Alive|--|50|8500/3|C50.9|Breast|Surgery|--",  # text instead of days
    )
    with pytest.warns(UserWarning, match=r"2 of 5 rows.*\(row 3, 4\)"):
        known = read_clinical(path)
    assert (known.table["OS_time"] * DAYS).to_dict() == pytest.approx({"P1": 700, "P2": 647})
    assert known.table["OS_event"].tolist() == [True, False]
    assert known.left_out == {
        "P3": "OS: dead without days_to_death",
        "P4": "OS: values are in the wrong columns",
        "P5": "OS: values are in the wrong columns",
    }


CBIOPORTAL = (
    "#Patient Identifier|Acronym|Status|Months|Status|Months",
    "#text|text|text|text|text|text",
    "#STRING|STRING|STRING|NUMBER|STRING|NUMBER",
    "#1|1|1|1|1|1",
    "PATIENT_ID|CANCER_TYPE_ACRONYM|OS_STATUS|OS_MONTHS|PFS_STATUS|PFS_MONTHS",
)


def test_cbioportal(tmp_path):
    path = table(
        tmp_path,
        "data_clinical_patient.txt",
        *CBIOPORTAL,
        "TCGA-AA-0001|SKCM|1:DECEASED|17.5|1:PROGRESSION|4",
        "TCGA-AA-0002|SKCM|0:LIVING|20|0:CENSORED|20",
        "TCGA-AA-0002|SKCM|0:LIVING|35|0:CENSORED|35",
        "TCGA-AA-0003|SKCM|LIVING|-1|[Not Available]|",  # older studies have no prefix
        "TCGA-AA-0004|SKCM||12|0:CENSORED|12",
        "TCGA-AA-0005|SKCM|1:DECEASED|NA|1:PROGRESSION|NA",
        "TCGA-AA-0006|SKCM|gone|3|0:CENSORED|3",
        # Two rows that are incomplete in different cells are not one complete row.
        "TCGA-AA-0007|SKCM|1:DECEASED||0:CENSORED|3",
        "TCGA-AA-0007|SKCM||10|0:CENSORED|3",
    )
    with pytest.warns(UserWarning, match="TCGA-AA-0003"):
        known = read_clinical(path)
    assert known.table["OS_time"].to_dict() == {
        "TCGA-AA-0001": 17.5, "TCGA-AA-0002": 35, "TCGA-AA-0003": 0,
    }  # fmt: skip
    assert known.table["OS_event"].tolist() == [True, False, False]
    assert known.left_out == {
        "TCGA-AA-0004": "OS: no OS_STATUS",
        "TCGA-AA-0005": "OS: no OS_MONTHS",
        "TCGA-AA-0006": "OS: unknown OS_STATUS 'gone'",
        "TCGA-AA-0007": known.left_out["TCGA-AA-0007"],
    }
    assert known.left_out["TCGA-AA-0007"] in ("OS: no OS_STATUS", "OS: no OS_MONTHS")
    with pytest.raises(ValueError, match="DFS for no patient.*endpoints that it gives: OS, PFS"):
        quiet(path, ("DFS",))


def slide(patient, kind="01Z-00-DX1"):
    return f"{patient}-{kind}.6B1A7C4C-0A5D-4F8E-9C0B-0D1E2F3A4B5C.svs"


def test_manifest_and_sample_sheet_give_the_diagnostic_slides(tmp_path):
    names = [
        slide("TCGA-AA-0001"),
        slide("TCGA-AA-0001", "01Z-00-DX2"),
        slide("TCGA-AA-0001", "01A-01-TS1"),  # frozen
        slide("TCGA-BB-0002", "06Z-00-DXA"),  # a metastasis
        "counts.tsv.gz",
    ]
    manifest = table(
        tmp_path, "m.txt", "id|filename|md5|size|state", *(f"u|{n}|0|1|released" for n in names)
    )
    with pytest.warns(UserWarning, match="2 of 5 files .* not diagnostic slides"):
        slides = read_slide_list(manifest)
    assert slides["slide"].tolist() == [names[0], names[1], names[3]]
    assert slides["patient"].tolist() == ["TCGA-AA-0001", "TCGA-AA-0001", "TCGA-BB-0002"]
    assert slides["metastasis"].tolist() == [False, False, True]
    sheet = table(
        tmp_path, "s.tsv", "File ID|File Name|Case ID|Sample ID",
        f"u|{names[0]}|TCGA-AA-0001, TCGA-AA-0001|TCGA-AA-0001-01Z",
    )  # fmt: skip
    assert read_slide_list(sheet)["patient"].tolist() == ["TCGA-AA-0001"]
    wrong = table(tmp_path, "w.tsv", "File Name|Case ID", f"{names[0]}|TCGA-AA-9999")
    with pytest.raises(ValueError, match="Case ID differs from the patient.* row 2"):
        read_slide_list(wrong)
    with pytest.raises(ValueError, match="neither a GDC manifest .* nor a GDC sample sheet"):
        read_slide_list(table(tmp_path, "x.tsv", "id|name", "1|2"))


def test_patients_without_slides_and_slides_without_patients_are_listed(tmp_path):
    clinical = new_layout(
        tmp_path,
        case("TCGA-AA-0001", "Dead", death="609", cause="Cancer Related"),
        case("TCGA-AA-0002", last="304"),
        case("TCGA-AA-0003", last="100"),
        case("TCGA-AA-0004"),
    )
    names = [slide(f"TCGA-AA-000{i}", kind) for i, kind in SLIDES]
    slides = table(tmp_path, "m.txt", "id|filename", *(f"u|{name}" for name in names))
    with pytest.warns(UserWarning, match="1 of 3 slides show a metastasis"):
        made = cohort_from_gdc(clinical, slides, ("OS", "DSS"))
    assert made.cohort.slide.tolist() == names[:3]
    assert made.cohort.time.tolist() == pytest.approx([20.01, 20.01, 9.99], abs=1e-9)
    assert made.cohort.event.tolist() == [True, True, False]
    assert made.cohort.further["dss_event"].tolist() == ["1", "1", "0"]
    assert set(made.cohort.dataset) == {"TCGA-SKCM"}
    assert made.without_slide == ("TCGA-AA-0003",)
    assert made.without_patient == (names[4],)
    assert list(made.left_out) == ["TCGA-AA-0004"]
    strangers = table(tmp_path, "o.txt", "id|filename", f"u|{slide('TCGA-ZZ-0001')}")
    with pytest.raises(ValueError, match="none of the 1 slides .* from the same project"):
        cohort_from_gdc(clinical, strangers)


SLIDES = (
    (1, "01Z-00-DX1"),
    (1, "01Z-00-DX2"),
    (2, "06Z-00-DX1"),
    (4, "01Z-00-DX1"),
    (9, "01Z-00-DX1"),
)


def test_bad_requests(tmp_path):
    path = new_layout(tmp_path, case("P", last="10"))
    for endpoints in ((), ("MSS",), ("OS", "OS")):
        with pytest.raises(ValueError, match="endpoints must be one or more of OS, DSS, PFS, DFS"):
            read_clinical(path, endpoints)
    with pytest.raises(ValueError, match="neither a clinical export .* columns are a, b"):
        read_clinical(table(tmp_path, "x.tsv", "a|b", "1|2"))
    with pytest.raises(ValueError, match="the cohort has no event"):
        cohort_from_gdc(path)


def late_files(folder, *samples, columns="cases.submitter_id|samples.submitter_id|{}"):
    """Write files of four melanoma patients, their slides and their samples."""
    clinical = new_layout(
        folder,
        case("TCGA-AA-0001", "Dead", death="609"),
        case("TCGA-AA-0002", last="1218"),
        case("TCGA-AA-0003", "Dead", death="100"),
        case("TCGA-AA-0004", last="700"),
    )
    kinds = ((1, "01Z-00-DX1"), (2, "01Z-00-DX1"), (2, "06Z-00-DX1"), (3, "06Z-00-DX1"))
    names = [slide(f"TCGA-AA-000{i}", kind) for i, kind in (*kinds, (4, "06Z-00-DX1"))]
    slides = table(folder, "m.txt", "id|filename", *(f"u|{name}" for name in names))
    header = columns.format("samples.days_to_sample_procurement|samples.days_to_collection")
    return clinical, slides, table(folder, "sample.tsv", header, *samples)


def test_patients_are_at_risk_from_the_day_of_their_last_specimen(tmp_path):
    files = late_files(
        tmp_path,
        "TCGA-AA-0001|TCGA-AA-0001-01A|'--|5000",  # a primary tumour: from the start
        "TCGA-AA-0002|TCGA-AA-0002-01A|3|5000",
        "TCGA-AA-0002|TCGA-AA-0002-06A|609|5000",
        "TCGA-AA-0002|TCGA-AA-0002-10A|900|5000",  # blood
        "TCGA-AA-0003|TCGA-AA-0003-06A|100|5000",  # died on the day of the operation
        "TCGA-AA-0004|TCGA-AA-0004-06A|'--|5000",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = cohort_from_gdc(*files[:2], samples=files[2])
    assert made.cohort.patient.tolist() == ["TCGA-AA-0001", "TCGA-AA-0002", "TCGA-AA-0002"]
    assert made.cohort.entry.tolist() == [0, round(609 / DAYS, 2), round(609 / DAYS, 2)]
    assert made.left_out == {
        "TCGA-AA-0003": "follow-up ends before the specimen was taken",
        "TCGA-AA-0004": "it is not known when the metastasis was taken",
    }
    assert str(made.outcomes["left out"]) == "1 with the event, 1 without"
    # Without a list of slides any of the samples may be used: at risk from the last one.
    made = cohort_from_gdc(files[0], samples=files[2])
    assert made.cohort.entry.tolist() == [0, round(609 / DAYS, 2), 0]


def test_the_day_on_which_the_biobank_received_a_sample_is_not_used(tmp_path):
    header = "cases.submitter_id|samples.submitter_id|samples.days_to_collection"
    files = late_files(tmp_path, "TCGA-AA-0002|TCGA-AA-0002-06A|5000", columns=header)
    with pytest.raises(ValueError, match="not GDC's sample table .*days_to_sample_procurement"):
        cohort_from_gdc(*files[:2], samples=files[2])
    files = late_files(tmp_path, "TCGA-AA-0002|TCGA-AA-0002-06A|'--|5000")
    with pytest.raises(ValueError, match="for no tumour sample of TCGA: put the time"):
        cohort_from_gdc(*files[:2], samples=files[2])


def test_the_warning_of_metastases_says_what_to_do(tmp_path):
    files = late_files(tmp_path)
    with pytest.warns(
        UserWarning, match=r"3 of 5 slides .* in a column entry.*\(--samples, in Python samples\)"
    ):
        made = cohort_from_gdc(*files[:2])
    assert not made.cohort.entry.any()


def test_cbioportal_may_give_the_day_of_the_tumour(tmp_path):
    path = table(
        tmp_path,
        "data_clinical_patient.txt",
        "PATIENT_ID|ICD_10|OS_STATUS|OS_MONTHS|SUBMITTED_TUMOR_DX_DAYS_TO",
        "TCGA-AA-0001|C77.3|1:DECEASED|17.5|365",
        "TCGA-AA-0002|C44.5|0:LIVING|35|[Not Available]",
        "TCGA-AA-0003|C44.5|0:LIVING|12|0",
        "TCGA-AA-0004|C77.3|1:DECEASED|9|[Not Available]",
        "TCGA-AA-0005|C77.3|0:LIVING|11.9|365",
    )
    made = cohort_from_gdc(path)
    assert made.cohort.entry.tolist() == [12, 0, 0]
    assert set(made.left_out) == {"TCGA-AA-0004", "TCGA-AA-0005"}
