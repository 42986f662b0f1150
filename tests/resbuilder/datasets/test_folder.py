"""Image folders: layouts, colours, sizes, and every way in which they can be broken."""

import zlib

import numpy as np
import pytest
from PIL import Image

from resbuilder.datasets import available, load


def paint(path, colour, size=(8, 6), **options):
    """Writes an image of one colour; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path, **options)


def animals(path, count=10, **options):
    """Writes two classes: cats of (200, 0, i), dogs of (0, 200, i)."""
    for i in range(count):
        paint(path / "cat" / f"{i:02}.png", (200, 0, i), **options)
        paint(path / "dog" / f"{i:02}.png", (0, 200, i), **options)
    return path


def test_classes_in_alphabetical_order_and_a_fifth_of_each_for_the_test(tmp_path):
    data = load(animals(tmp_path / "pets"))
    assert data.name == "pets" and data.class_names == ("cat", "dog")
    assert data.scaling == "standardize"
    assert data.x_train.shape == (16, 6, 8, 3) and data.x_train.dtype == np.uint8
    assert np.bincount(data.y_train).tolist() == [8, 8]
    assert np.bincount(data.y_test).tolist() == [2, 2]
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert np.array_equal(x[:, 0, 0, 1] == 200, y == 1)
    seen = np.concatenate([data.x_train, data.x_test])[:, 0, 0, 2]
    assert np.bincount(seen).tolist() == [2] * 10, "every image once"
    again = load(tmp_path / "pets")
    assert np.array_equal(data.x_test, again.x_test)


def test_train_and_test_folders_are_kept_apart(tmp_path):
    animals(tmp_path / "train", count=3)
    animals(tmp_path / "test", count=2)
    data = load(tmp_path)
    assert len(data.y_train) == 6 and data.y_test.tolist() == [0, 0, 1, 1]


def test_images_are_resized_without_turning_them(tmp_path):
    for name in "ab":
        for i in range(2):
            path = tmp_path / name / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            left_dark = np.zeros((20, 40 + 10 * i), np.uint8)
            left_dark[:, left_dark.shape[1] // 2 :] = 255
            Image.fromarray(left_dark).save(path)
    data = load(tmp_path, image_size=(5, 8))
    assert data.input_shape == (5, 8, 1)
    assert (data.x_train[:, :, :3] == 0).all() and (data.x_train[:, :, 5:] == 255).all()
    assert load(tmp_path, image_size=7).input_shape == (7, 7, 1)


def test_photographs_are_put_upright(tmp_path):
    """A camera held sideways stores the picture turned and notes it in the EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    animals(tmp_path, count=2, exif=exif)
    assert load(tmp_path).input_shape == (8, 6, 3)


def test_grey_images_have_one_channel_unless_one_is_coloured(tmp_path):
    for name, colour in (("a", 10), ("b", 250)):
        for i in range(2):
            paint(tmp_path / name / f"{i}.jpg", colour)
    assert load(tmp_path).input_shape == (6, 8, 1)
    paint(tmp_path / "a" / "2.jpg", (0, 0, 255))
    data = load(tmp_path)
    assert data.input_shape == (6, 8, 3)
    grey = data.x_train[data.y_train == 1]
    assert np.all(np.abs(grey.astype(int) - 250) < 3)


def test_other_files_and_hidden_ones_are_passed_over(tmp_path):
    animals(tmp_path)
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "cat" / "._00.png").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    paint(tmp_path / "dog" / "deeper" / "more.PNG", (0, 200, 99))
    data = load(tmp_path)
    assert len(data.y_train) + len(data.y_test) == 21 and data.classes == 2


def test_animals10_comes_from_the_data_folder_in_its_size(tmp_path):
    animals(tmp_path / "animals10" / "raw-img", count=2)
    assert load("animals10", tmp_path, image_size=12).input_shape == (12, 12, 3)
    data = load("animals10", tmp_path)
    assert data.name == "animals10" and data.input_shape == (300, 300, 3)
    assert data.class_names == ("cat", "dog")
    where = {record.name: record.where for record in available(tmp_path)}
    assert where["animals10"] == str(tmp_path / "animals10" / "raw-img")


def test_a_folder_in_the_data_folder_is_found_by_name(tmp_path):
    animals(tmp_path / "pets")
    assert load("pets", tmp_path).name == "pets"
    listed = [record for record in available(tmp_path) if record.description == "own data"]
    assert [record.where for record in listed] == [str(tmp_path / "pets")]


def test_different_sizes_need_an_image_size(tmp_path):
    animals(tmp_path)
    paint(tmp_path / "dog" / "wide.png", (0, 0, 0), size=(50, 6))
    message = r"00.png is 6x8, wide.png 6x50 \(height x width\); give image_size"
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
    for size in (0, -3, (5,), (5, 0), 2.5, "large"):
        with pytest.raises(ValueError, match="image_size must be"):
            load(tmp_path, image_size=size)


def test_an_unreadable_image_is_named(tmp_path):
    animals(tmp_path)
    broken = tmp_path / "dog" / "03.png"
    whole = broken.read_bytes()
    for content in (b"", b"not an image", whole[:20], whole[: len(whole) // 2]):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"dog/03.png cannot be read .*; repair or remove it"):
            load(tmp_path)
    Image.fromarray(np.full((6, 8), 40_000, np.uint16)).save(broken)
    with pytest.raises(ValueError, match=r"03.png cannot be read \(more than 8 bits"):
        load(tmp_path)


def test_an_image_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path):
    animals(tmp_path)
    bomb = tmp_path / "dog" / "03.png"
    data = bytearray(bomb.read_bytes())
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    bomb.write_bytes(data)
    with pytest.raises(ValueError, match=r"dog/03.png cannot be read .*1600000000 pixels"):
        load(tmp_path)


def test_folders_without_two_classes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least two sub-folders .* found none"):
        load(tmp_path)
    paint(tmp_path / "cat" / "1.png", 0)
    with pytest.raises(ValueError, match="at least two sub-folders .* found one, cat"):
        load(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match="dog holds no images"):
        load(tmp_path)
    paint(tmp_path / "dog" / "1.png", 0)
    paint(tmp_path / "dog" / "2.png", 0)
    with pytest.raises(ValueError, match="class cat has 1 image"):
        load(tmp_path)


def test_train_and_test_must_agree(tmp_path):
    animals(tmp_path / "train")
    animals(tmp_path / "test")
    paint(tmp_path / "test" / "emu" / "1.png", (0, 0, 0))
    with pytest.raises(ValueError, match="emu is only in one of them"):
        load(tmp_path)
    (tmp_path / "val").mkdir()
    with pytest.raises(ValueError, match="test, train, val; expected only train and test"):
        load(tmp_path)
