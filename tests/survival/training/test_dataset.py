"""The batches of a training, and the augmentation of images."""

import json

import numpy as np
import openslide
import pytest
from PIL import Image

from survival.augmentation import flip, stain
from survival.evaluation import OrderedBatches
from survival.images import CanvasImages
from survival.training.dataset import TrainingBatches
from survival.training.settings import TrainingSettings


def batches(tissue, **settings):
    cohort, images = tissue
    settings = TrainingSettings(**{"batch_size": 7} | settings)
    pictures = CanvasImages(images, cohort.slide)
    return TrainingBatches(pictures, cohort.y_true(), cohort.patient, settings)


def epoch_of(data):
    return [data[i] for i in range(len(data))]


@pytest.mark.parametrize("kind", ["events", "patients", "shuffled"])
def test_every_slide_is_in_an_epoch_once(tissue, kind):
    cohort, images = tissue
    seen = np.concatenate([x[w > 0] for x, _, w in epoch_of(batches(tissue, batches=kind))])
    pictures = CanvasImages(images, cohort.slide)
    wanted = [pictures[i].tobytes() for i in range(60)]
    assert sorted(x.tobytes() for x in seen) == sorted(wanted)
    assert all(len(x) == 7 for x, _, _ in epoch_of(batches(tissue, batches=kind)))


@pytest.mark.parametrize("kind", ["events", "patients", "shuffled"])
def test_no_row_is_padding_in_the_largest_batch(tissue, kind):
    """60 slides in batches of at most 59 are two of 30."""
    data = batches(tissue, batch_size=59, batches=kind)
    for _ in range(3):
        weights = [w for _, _, w in epoch_of(data)]
        assert {len(w) for w in weights} == {data.rows}
        assert max(w.sum() for w in weights) == data.rows < 40
        data.on_epoch_end()


def test_targets_of_a_batch_have_the_type_of_the_loss(tissue):
    assert tissue[0].y_true().dtype == "float64"
    assert batches(tissue)[0][1].dtype == "float32"


def test_events_are_dealt_out_evenly_unless_shuffled(tissue):
    def events(kind):
        data = batches(tissue, batches=kind)
        return [int((y[:, 1] * w).sum()) for _, y, w in epoch_of(data)]

    assert np.ptp(events("events")) <= 1
    assert np.ptp(events("shuffled")) > 1


def test_an_epoch_depends_only_on_its_number(tissue):
    data = batches(tissue, augment=("flip", "stain"))
    first = epoch_of(data)
    data.on_epoch_end()
    second = epoch_of(data)
    later = batches(tissue, augment=("flip", "stain"))
    later.start_at(1)
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    for one, other in zip(second, epoch_of(later), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_ordered_batches_keep_the_order(tissue):
    cohort, images = tissue
    pictures = CanvasImages(images, cohort.slide)
    x = np.concatenate([batch[0] for batch in OrderedBatches(pictures)])
    assert all(np.array_equal(x[i], pictures[i]) for i in range(60))
    part = pictures.select(cohort.split == "test")
    assert len(part) == (cohort.split == "test").sum()
    np.testing.assert_array_equal(part[0], pictures[np.flatnonzero(cohort.split == "test")[0]])


@pytest.fixture
def picture(request):
    path = request.config.rootpath / "tests/fixtures/slides/CMU-1-Small-Region.svs"
    with openslide.OpenSlide(str(path)) as slide:
        return np.asarray(slide.get_thumbnail((222, 297)).convert("RGB"))


def test_flips_are_the_four_mirror_images(picture):
    random = np.random.default_rng(0)
    seen = {flip(picture, random).tobytes() for _ in range(40)}
    wanted = {picture[::a, ::b].tobytes() for a in (1, -1) for b in (1, -1)}
    assert seen == wanted


def test_a_stain_changes_tissue_and_not_the_background(picture):
    random = np.random.default_rng(0)
    white = picture.min(axis=-1) > 240
    changes = []
    for _ in range(10):
        changed = stain(picture, random)
        np.testing.assert_array_equal(changed[white], picture[white])
        changes.append(np.abs(changed[~white].astype(int) - picture[~white]).mean())
    assert changed.dtype == np.uint8 and changed.shape == picture.shape
    assert 3 < np.mean(changes) < 40
    # The structure is preserved: the order of light and dark is nearly the same.
    assert np.corrcoef(changed.mean(axis=-1).ravel(), picture.mean(axis=-1).ravel())[0, 1] > 0.97


def test_images_are_found_by_the_manifest_of_the_preprocessing(tissue, tmp_path):
    Image.new("RGB", (40, 32), "red").save(tmp_path / "made.png")
    text = "slide,output,status,reason\na.svs,made.png,ok,\nb.svs,,failed,it is truncated\n"
    (tmp_path / "manifest.csv").write_text(text)
    np.testing.assert_array_equal(CanvasImages(tmp_path, ["a.svs"])[0][0, 0], [255, 0, 0])
    with pytest.raises(ValueError, match=r"b.svs \(it is truncated\)"):
        CanvasImages(tmp_path, ["a.svs", "b.svs"])
    with pytest.raises(ValueError, match=r"not in .*manifest.csv .*: c.svs"):
        CanvasImages(tmp_path, ["c.svs"])
    (tmp_path / "made.png").unlink()
    with pytest.raises(ValueError, match="run `survival preprocess` again: a.svs"):
        CanvasImages(tmp_path, ["a.svs"])


def test_images_that_do_not_fit_together_are_refused(tmp_path):
    for name, size in (("a", (40, 32)), ("b", (32, 40))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="must have the same size"):
        CanvasImages(tmp_path, ["a.svs", "b.svs"])
    with pytest.raises(ValueError, match="c.png is not an image"):
        CanvasImages(tmp_path, ["a.svs", "c.svs"])
    with pytest.raises(ValueError, match=r"1 slide of the cohort: no image in .*: d.svs"):
        CanvasImages(tmp_path, ["a.svs", "d.svs"])
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-30])
    with pytest.raises(ValueError, match="a.png is damaged"):
        CanvasImages(tmp_path, ["a.svs"])[0]
    with pytest.raises(ValueError, match="does not exist"):
        CanvasImages(tmp_path / "nowhere", ["a.svs"])


def test_settings_take_numbers_of_numpy_and_name_a_wrong_augmentation():
    settings = TrainingSettings(seed=np.int64(1), learning_rate=np.float32(0.5), epochs=np.int8(3))
    assert json.loads(json.dumps(settings.record()))["seed"] == 1
    with pytest.raises(ValueError, match="seed must be below 2³², not 4294967296"):
        TrainingSettings(seed=2**32)
    for wrong in (3, "flip", ["flip", ["x"]]):
        with pytest.raises(ValueError, match="augment must be some of"):
            TrainingSettings(augment=wrong)
