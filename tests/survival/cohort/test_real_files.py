"""Real files of TCGA, compared with an independent reading by the csv module alone."""

import contextlib
import csv

import pytest

from survival.cohort import cohort_from_gdc, read_clinical, read_slide_list


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith("#")]
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.mark.parametrize("endpoint", ["OS", "DSS", "PFS"])
def test_melanoma_of_cbioportal(shared, endpoint):
    path = shared / "cohort" / "tcga_skcm_cbioportal_patient.txt"
    known = {
        row["PATIENT_ID"]: (float(row[f"{endpoint}_MONTHS"]), row[f"{endpoint}_STATUS"][0] == "1")
        for row in rows_of(path)
        if row[f"{endpoint}_MONTHS"] and row[f"{endpoint}_STATUS"]
    }
    # Only 1 of the 14 patients without PFS is known to have had the event; most others had it.
    differs = pytest.warns(UserWarning, match="1 with the event, 6 without, 7 unknown; kept: 303")
    with differs if endpoint == "PFS" else contextlib.nullcontext():
        result = read_clinical(path, (endpoint,))
    assert result.table[f"{endpoint}_time"].to_dict() == {p: t for p, (t, _) in known.items()}
    assert result.table[f"{endpoint}_event"].to_dict() == {p: e for p, (_, e) in known.items()}
    assert len(result.table) + len(result.left_out) == 442


def test_melanoma_without_disease_free_survival(shared):
    path = shared / "cohort" / "tcga_skcm_cbioportal_patient.txt"
    with pytest.raises(
        ValueError, match="DFS for no patient.*endpoints that it gives: OS, DSS, PFS"
    ):
        read_clinical(path, ("DFS",))


def test_breast_cancer_of_gdc_with_shifted_rows(shared):
    path = shared / "cohort" / "gdc_clinical_tcga_brca.tsv"
    with pytest.warns(UserWarning) as warned:
        result = read_clinical(path)
    messages = [str(w.message) for w in warned]
    assert any("893 of 1036 rows have values to the left of their columns" in m for m in messages)
    assert any("TCGA-PL-A8LV (-0.23 months)" in m for m in messages)
    # Read by the order of the values instead of the header: the follow-up comes seven values after
    # the ICD-10 code, between the site of resection and the treatment.
    expected = {}
    for row in rows_of(path):
        values = list(row.values())
        code = next(i for i, v in enumerate(values) if v.startswith("C50"))
        last, dead = values[code + 7], "Dead" in values
        days = row["days_to_death"] if dead else last
        if not (dead and code != list(row).index("icd_10_code")):
            expected[row["submitter_id"]] = max(0, int(days)) / 30.4375
    assert result.table["OS_time"].to_dict() == pytest.approx(expected)
    assert (len(result.table), result.table["OS_event"].sum()) == (1035, 143)
    assert result.left_out == {"TCGA-E9-A245": "OS: dead without days_to_death"}


def test_a_sample_sheet_without_slides(shared):
    with pytest.raises(ValueError, match="none of the 199 files .* is a TCGA diagnostic slide"):
        read_slide_list(shared / "cohort" / "gdc_sample_sheet_head.tsv")


def test_slides_of_real_patients(shared, tmp_path):
    clinical = shared / "cohort" / "tcga_skcm_cbioportal_patient.txt"
    samples = rows_of(shared / "cohort" / "tcga_skcm_cbioportal_sample.txt")
    # GDC's name for the slide of a sample; two samples of a patient are two slides.
    names = [f"{row['SAMPLE_ID']}Z-00-DX1.svs" for row in samples]
    manifest = tmp_path / "manifest.txt"
    manifest.write_text("id\tfilename\n" + "".join(f"u\t{name}\n" for name in names[:-5]))
    metastases = sum("-06Z-" in name or "-07Z-" in name for name in names)
    with pytest.warns(UserWarning, match="slides show a metastasis") as warned:
        made = cohort_from_gdc(clinical, manifest)
    number = int(str(warned[0].message).split()[0])
    assert 0.8 * metastases < number <= metastases
    usable = set(read_clinical(clinical).table.index)
    expected = [row for row in samples[:-5] if row["PATIENT_ID"] in usable]
    assert made.cohort.patient.tolist() == [row["PATIENT_ID"] for row in expected]
    assert set(made.without_slide) == usable - {row["PATIENT_ID"] for row in samples[:-5]}
    assert made.without_patient == ()
