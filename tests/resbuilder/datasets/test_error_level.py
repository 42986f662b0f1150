"""Error level analysis finds parts with a different history, and folders get it as channels."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from resbuilder import TrainConfig
from resbuilder.datasets import error_level_analysis, load
from resbuilder.datasets.error_level import jpeg
from resbuilder.training import TrainingData


@pytest.fixture(scope="module")
def photograph():
    """A photograph without a JPEG history: halved in size, so that no blocks of its file remain."""
    pixels = load_sample_image("china.jpg")
    return np.asarray(Image.fromarray(pixels).resize((320, 208), Image.Resampling.LANCZOS))


def test_an_image_saved_at_the_same_quality_hardly_changes(photograph):
    assert error_level_analysis(photograph, 90).mean() > 2
    assert error_level_analysis(jpeg(photograph, 90), 90).mean() < 0.5
    flat = np.full((16, 24, 3), 128, np.uint8)
    assert not error_level_analysis(flat).any()


def test_levels_are_the_absolute_changes_of_the_pixels(photograph):
    levels = error_level_analysis(photograph, 70)
    assert levels.dtype == np.uint8 and levels.shape == photograph.shape
    darker, brighter = photograph.astype(int) - levels, photograph.astype(int) + levels
    saved = jpeg(photograph, 70)
    assert ((saved == darker) | (saved == brighter)).all()
    gray = photograph[..., :1]
    assert np.array_equal(error_level_analysis(gray[..., 0]), error_level_analysis(gray)[..., 0])


@pytest.mark.parametrize("patch_quality", [None, 60])
def test_a_pasted_patch_stands_out(photograph, patch_quality):
    """A patch without a history, or of lower quality; both are off the grid of 8x8 blocks."""
    patch = photograph[100:164, 150:214]
    pasted = jpeg(photograph, 90).copy()
    pasted[67:131, 69:133] = patch if patch_quality is None else jpeg(patch, patch_quality)
    levels = error_level_analysis(pasted, 90).mean(axis=-1)
    around = np.ones(levels.shape, bool)
    around[48:144, 48:144] = False
    assert levels[72:126, 74:128].mean() > 4 * levels[around].mean()


def test_bad_input_is_refused(photograph):
    for quality in (0, 101, 90.5, "high"):
        with pytest.raises(ValueError, match=f"from 1 to 100, got {quality!r}"):
            error_level_analysis(photograph, quality)
    for image in (photograph / 255, photograph[..., :2], photograph[0, 0]):
        with pytest.raises(ValueError, match="expected a gray or RGB image of uint8"):
            error_level_analysis(image)


def write_classes(folder, images, **options):
    for label in ("authentic", "manipulated"):
        (folder / label).mkdir(parents=True)
        for i, pixels in enumerate(images):
            quality = 80 + i + 5 * (label == "manipulated")  # No file is a copy of another.
            Image.fromarray(pixels).save(folder / label / f"{i}.jpg", quality=quality, **options)
    return folder


def test_the_channels_are_appended_to_those_of_the_image(photograph, tmp_path):
    crops = [photograph[:64, x : x + 96] for x in (0, 50, 100)]
    folder = write_classes(tmp_path / "images", crops)
    plain, both = load(folder), load(folder, ela_quality=90)
    assert both.x_train.dtype == np.uint8 and both.input_shape == (64, 96, 6)
    assert np.array_equal(both.x_train[..., :3], plain.x_train)
    for pixels, levels in zip(plain.x_test, both.x_test[..., 3:], strict=True):
        assert np.array_equal(levels, error_level_analysis(pixels, 90))
    config = TrainConfig(dataset=str(folder), ela_quality=90)
    assert TrainingData.load(config).dataset.input_shape == (64, 96, 6)


def test_levels_are_computed_from_the_file_then_rotated_and_resized(photograph, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Rotate clockwise to see it upright.
    folder = write_classes(tmp_path / "turned", [photograph[:64, :96]] * 3, exif=exif)
    data = load(folder, ela_quality=90)
    assert data.input_shape == (96, 64, 6)
    stored = np.asarray(Image.open(folder / data.files.train[0].name))
    assert np.array_equal(data.x_train[0, ..., :3], np.rot90(stored, -1))
    assert np.array_equal(data.x_train[0, ..., 3:], np.rot90(error_level_analysis(stored), -1))
    levels = Image.fromarray(np.rot90(error_level_analysis(stored), -1).copy())
    small = load(folder, image_size=32, ela_quality=90)
    expected = np.asarray(levels.resize((32, 32), Image.Resampling.BILINEAR))
    assert np.array_equal(small.x_train[0, ..., 3:], expected)


def test_gray_folders_get_one_channel_and_arrays_are_refused(photograph, tmp_path):
    folder = write_classes(tmp_path / "gray", [photograph[:16, :16, 0]] * 3)
    assert load(folder, ela_quality=75).input_shape == (16, 16, 2)
    with pytest.raises(ValueError, match="from 1 to 100, got 0"):
        load(folder, ela_quality=0)
    with pytest.raises(ValueError, match="ela_quality is for folders of images, but digits"):
        load("digits", ela_quality=90)
