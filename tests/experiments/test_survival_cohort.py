"""The two-scanner cohort: slides that OpenSlide reads, visible risk, and real censoring."""

import numpy as np
import openslide
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy import ndimage

from experiments.survival.cohort import main
from experiments.survival.cohort_figure import draw_cohort
from experiments.survival.follow_up import CENTERS, PATIENTS, Censoring, draw_fate, outcomes
from experiments.survival.morphology import Latent, paint
from experiments.survival.quilting import quilt
from experiments.survival.scanners import SCANNERS, scan
from experiments.survival.slides import is_whole, write_slide
from experiments.survival.tissue import WHITE, make_textures
from experiments.survival.two_scanner_cohort import make_cohort
from survival import preprocess_slide
from survival.cohort import Cohort
from survival.metrics import harrell_c

COLORS = {"dermis": (200, 0, 0), "tumour": (0, 0, 200), "epidermis": (0, 200, 0)}
FEW = {"patients_a": 10, "patients_b": 13}


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """Return a folder of shared data with only follow-up: censored after 10, 20, …, 1000 months."""
    folder = tmp_path_factory.mktemp("shared")
    path = folder / PATIENTS
    path.parent.mkdir()
    rows = [f"P{i}\t0:LIVING\t{10 * i}" for i in range(1, 101)]
    path.write_text("\n".join(["PATIENT_ID\tOS_STATUS\tOS_MONTHS", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def made(followed, tmp_path_factory):
    """Return a small cohort, made only of the repository's tissue."""
    folder = tmp_path_factory.mktemp("cohort")
    return folder, make_cohort(folder, followed, **FEW)


def flat():
    """Return textures of one color each."""
    return {kind: Image.new("RGB", (1700, 1700), color) for kind, color in COLORS.items()}


def shares(latent, seed):
    """Return the shares of tissue kinds on a slide of flat colors, and the number of nests."""
    picture = paint(latent, flat(), (1500, 1240), np.random.default_rng(seed))
    picture = np.asarray(picture, int)[::4, ::4]
    kinds = {kind: np.abs(picture - color).sum(axis=-1) < 60 for kind, color in COLORS.items()}
    tissue = sum(kind.sum() for kind in kinds.values())
    sizes = np.bincount(ndimage.label(kinds["tumour"])[0].ravel())[1:]
    return {kind: where.sum() / tissue for kind, where in kinds.items()} | {
        "nests": (sizes > 25).sum()
    }


def test_quilting_continues_a_pattern_if_a_patch_continues_it():
    wave = 128 + 100 * np.sin(2 * np.pi * np.arange(400) / 40)
    image = np.broadcast_to(wave[:, None, None], (400, 400, 3)).astype(np.uint8)
    patches = np.stack([image[y : y + 64, :64] for y in range(40)])
    quilted = quilt(patches, 300, 200, 16, np.random.default_rng(0)).astype(int)
    # One of the 5 best is used, shifted by at most 2 pixels, so nothing jumps.
    assert quilted.shape == (200, 300, 3)
    assert np.abs(np.diff(quilted, axis=1)).max() < 45
    assert np.abs(np.diff(quilted, axis=0)).max() < 60
    assert quilted.min() < 35 and quilted.max() > 220


def test_the_features_of_the_hazard_are_visible():
    def mean(kind, **latent):
        values = {"burden": 0.0, "dispersal": 0.0, "ulceration": 0.0} | latent
        return np.mean([shares(Latent(**values), seed)[kind] for seed in range(2)])

    assert mean("tumour", burden=1.5) > 2 * mean("tumour", burden=-1.0)
    assert mean("nests", dispersal=1.5) > 2 * mean("nests", dispersal=-1.5)
    assert mean("epidermis", ulceration=-1.5) > 1.5 * mean("epidermis", ulceration=1.5)


def test_tissue_lies_on_a_white_background_and_does_not_touch_the_border():
    picture = np.asarray(paint(Latent(0, 0, 0), flat(), (1500, 1240), np.random.default_rng(3)))
    white = (picture == int(WHITE)).all(axis=-1)
    assert 0.3 < white.mean() < 0.85
    border = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    assert border.mean() > 0.95


def test_scanners_show_the_same_tissue_in_their_colors_and_resolution():
    cells = Image.new("RGB", (64, 48), (90, 50, 110))
    white = Image.new("RGB", (640, 480), (int(WHITE),) * 3)
    for scanner in SCANNERS.values():
        seen = scan(white, scanner, False, np.random.default_rng(0))
        assert seen.size == (640 * scanner.enlarge, 480 * scanner.enlarge)
        np.testing.assert_allclose(np.asarray(seen)[20, 20], scanner.white, atol=2)
        marked = np.asarray(scan(white, scanner, True, np.random.default_rng(0)), int)
        assert (marked.max(axis=-1) - marked.min(axis=-1)).max() > 80
    a, b = (
        np.asarray(scan(cells, scanner, False, np.random.default_rng(0)), int)[9, 9]
        for scanner in SCANNERS.values()
    )
    assert np.abs(a - [90, 50, 110]).max() < 25
    assert np.abs(a - b).max() > 15


def test_openslide_reads_the_pyramid(tmp_path):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(60, 250, (21, 25, 3), dtype=np.uint8))
    picture = coarse.resize((1003, 847), Image.Resampling.BICUBIC)
    path = tmp_path / "slide.tif"
    write_slide(path, picture, level_factor=4, levels=3, mpp=0.5, description="it")
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == ((1003, 847), (250, 211), (62, 52))
        assert slide.level_downsamples[2] == pytest.approx((1003 / 62 + 847 / 52) / 2)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        read = slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")
        assert np.abs(np.asarray(read, int) - np.asarray(picture, int)).mean() < 4
    assert is_whole(path, "it")
    assert not is_whole(path, "another")
    path.write_bytes(path.read_bytes()[:-50])
    assert not is_whole(path, "it")
    assert not is_whole(tmp_path / "none.tif", "it")


def test_censoring_is_that_of_the_file(followed):
    censoring = Censoring(followed)
    # One of 100 patients is censored at 10, 20, ... months.
    np.testing.assert_allclose(
        censoring.quantile([0.005, 0.015, 0.505, 0.999]), [10, 20, 510, 1000]
    )


def test_follow_up_has_the_event_rate_and_limits_a_perfect_observer(followed):
    fates = [draw_fate(np.random.default_rng([7, i])) for i in range(1000)]
    for name, center in CENTERS.items():
        found = outcomes(fates, center, Censoring(followed))
        time, event, seen, frailty = np.array(
            [(o.time, o.event, o.log_hazard, o.frailty) for o in found]
        ).T
        assert event.sum() == round(1000 * center.event_rate), name
        assert time.max() <= center.closing and time.min() >= 0
        y = np.stack([time, event], axis=1)
        assert 0.78 < harrell_c(y, seen) < harrell_c(y, seen + frailty) < 0.9


def test_without_follow_up_the_error_says_where_to_get_it(tmp_path):
    with pytest.raises(ValueError, match="skcm_tcga_pan_can_atlas_2018"):
        make_cohort(tmp_path / "out", None, **FEW)
    result = CliRunner().invoke(main, ["--out", str(tmp_path / "out"), "--shared", str(tmp_path)])
    assert result.exit_code == 2 and "data_clinical_patient.txt" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_cohort_is_a_checked_manifest_of_slides(made):
    folder, cohort = made
    read = Cohort.read(folder / "cohort.csv", folder=folder)
    pd.testing.assert_frame_equal(read.to_frame(), cohort.to_frame())
    assert set(read.split) == {"train", "validation", "test"}
    assert len(set(read.patient)) == 23
    truth = pd.read_csv(folder / "truth.csv")
    assert list(truth.slide) == list(read.slide)
    assert (truth.groupby("patient").true_log_hazard.nunique() == 1).all()


@pytest.mark.slow
def test_both_scanners_slides_become_canvases_of_one_size(made):
    folder, cohort = made
    for dataset in "AB":
        rows = cohort.of_dataset(dataset)
        downsample = float(rows.further["downsample"][0])
        image = preprocess_slide(folder / rows.slide[0], downsample, (96, 80))
        assert image.image.shape == (80, 96, 3)
        assert image.provenance["width"] >= 88 and image.provenance["height"] >= 72
        assert 0.1 < (image.image.min(axis=-1) < 200).mean() < 0.7


@pytest.mark.slow
def test_a_second_call_makes_only_missing_slides_and_they_are_the_same(made, followed):
    folder, cohort = made
    lost, cut = folder / cohort.slide[0], folder / cohort.slide[-1]
    before = {slide: (folder / slide).read_bytes() for slide in cohort.slide}
    times = {slide: (folder / slide).stat().st_mtime_ns for slide in cohort.slide}
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:5000])
    (folder / "A" / ".0123456789abcdef.part.tif").write_bytes(b"of a killed run")
    reports = []
    make_cohort(folder, followed, **FEW, workers=2, progress=lambda *n: reports.append(n))
    assert reports == [(len(cohort) - missing, len(cohort)) for missing in (2, 1, 0)]
    assert {slide: (folder / slide).read_bytes() for slide in cohort.slide} == before
    again = [s for s in cohort.slide if (folder / s).stat().st_mtime_ns != times[s]]
    assert again == [cohort.slide[0], cohort.slide[-1]]
    assert len(list((folder / "A").iterdir())) == (cohort.dataset == "A").sum()


@pytest.mark.slow
def test_the_figure_shows_a_row_for_each_scanner(made):
    assert len(draw_cohort(made[0]).axes) == 12


@pytest.mark.slow
def test_crops_give_melanoma_and_fat(shared):
    textures = make_textures(shared)
    pink, purple, pale = (textures[kind].mean(axis=(0, 1)) for kind in ("dermis", "tumour", "fat"))
    assert pink[0] - pink[2] > 25 and purple[0] - purple[2] < 20 and pale.min() > 200
