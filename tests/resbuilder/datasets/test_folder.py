"""Folders of images: layouts, colors, sizes, and all the ways in which they can be broken."""

import json
import shutil
import unicodedata
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from resbuilder.datasets import (
    DataRecord,
    Split,
    available,
    folder,
    image_sizes,
    is_own_folder,
    load,
)
from resbuilder.datasets.reading import read_header


def paint(path, color, size=(8, 6), **options):
    """Write an image of one color; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(color, int) else "RGB", size, color).save(path, **options)


def animals(path, count=10, **options):
    """Write two classes: cats of color (200, 0, i), dogs of color (0, 200, i)."""
    for i in range(count):
        paint(path / "cat" / f"{i:02}.png", (200, 0, i), **options)
        paint(path / "dog" / f"{i:02}.png", (0, 200, i), **options)
    return path


def test_classes_are_sorted_and_about_a_fifth_of_the_images_is_for_testing(tmp_path):
    data = load(animals(tmp_path / "pets", count=50))
    assert data.name == "pets" and data.class_names == ("cat", "dog")
    assert data.scaling == "standardize"
    assert data.x_train.shape[1:] == (6, 8, 3) and data.x_train.dtype == np.uint8
    assert 10 <= len(data.y_test) <= 30 and len(data.y_train) + len(data.y_test) == 100
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert np.array_equal(x[:, 0, 0, 1] == 200, y == 1)
    seen = np.concatenate([data.x_train, data.x_test])[:, 0, 0, 2]
    assert np.bincount(seen).tolist() == [2] * 50, "every image once"
    again = load(tmp_path / "pets")
    assert np.array_equal(data.x_test, again.x_test)


def test_train_and_test_folders_are_kept_apart(tmp_path):
    animals(tmp_path / "train", count=3)
    animals(tmp_path / "test", count=5)
    with pytest.raises(ValueError, match="every training image of class cat is"):
        load(tmp_path)
    for file in (tmp_path / "test").glob("*/0[012].png"):
        file.unlink()
    data = load(tmp_path)
    assert len(data.y_train) == 6 and data.y_test.tolist() == [0, 0, 1, 1]


def test_images_are_resized_without_rotating_them(tmp_path):
    for name in "ab":
        for i in range(4):
            path = tmp_path / name / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            left_dark = np.zeros((20, 40 + 10 * i + 2 * (name == "a")), np.uint8)
            left_dark[:, left_dark.shape[1] // 2 :] = 255
            Image.fromarray(left_dark).save(path)
    data = load(tmp_path, image_size=(5, 8))
    assert data.input_shape == (5, 8, 1)
    assert (data.x_train[:, :, :3] == 0).all() and (data.x_train[:, :, 5:] == 255).all()
    assert load(tmp_path, image_size=7).input_shape == (7, 7, 1)


def test_photographs_are_rotated_upright(tmp_path):
    """A camera held sideways stores the image rotated, and records this in the EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = 6  # Rotate clockwise to see it upright.
    animals(tmp_path, count=3, exif=exif)
    with pytest.warns(match=r"of 6 images, 6 rotated upright \(EXIF\)"):
        data = load(tmp_path)
    assert data.input_shape == (8, 6, 3) and len(data.notes) == 1
    (tmp_path / "cat" / "00.png").unlink()
    with pytest.warns(match=r"of 5 images, 5 rotated upright \(EXIF\)"):
        folder.read_unseen(tmp_path)


def test_gray_images_have_one_channel_unless_one_is_colored(tmp_path):
    for name, color in (("a", 10), ("b", 240)):
        for i in range(4):
            paint(tmp_path / name / f"{i}.jpg", color + i)
    data = load(tmp_path)
    assert data.input_shape == (6, 8, 1) and data.reading.mode == "L"
    paint(tmp_path / "a" / "4.jpg", (0, 0, 255))
    data = load(tmp_path)
    assert data.input_shape == (6, 8, 3) and data.reading.mode == "RGB"
    gray = data.x_train[data.y_train == 1]
    assert np.all(np.abs(gray.astype(int) - 242) < 5)


def test_other_files_are_counted_and_named_and_hidden_ones_ignored(tmp_path):
    animals(tmp_path)
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "cat" / "LICENSE").write_text("not an image")
    (tmp_path / "dog" / "IMG_1.HEIC").write_bytes(b"x")
    (tmp_path / "loose.png").write_bytes(b"x")
    (tmp_path / "cat" / "._00.png").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    paint(tmp_path / "cat" / ".trash" / "old.png", 0)
    message = (
        r"files skipped, because they are not images in a supported format or are outside the "
        r"class folders: 4 \(loose.png, cat/LICENSE, cat/Thumbs.db and 1 more\)"
    )
    with pytest.warns(match=message):
        data = load(tmp_path)
    assert len(data.y_train) + len(data.y_test) == 20 and data.classes == 2
    with pytest.warns(match=message):
        assert len(folder.read_unseen(tmp_path).y) == 20


def test_images_are_found_by_all_usual_suffixes_and_without_one(tmp_path):
    animals(tmp_path)
    for i, name in enumerate(("more.PNG", "b.JFIF", "c.avif", "d.jpe", "no_suffix")):
        kind = {"more.PNG": "png", "c.avif": "avif"}.get(name, "jpeg")
        paint(tmp_path / "dog" / "deeper" / name, (0, 200, 100 + 10 * i), format=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(tmp_path)
    assert len(data.y_train) + len(data.y_test) == 25


def test_linked_folders_are_read_and_a_link_to_a_folder_above_ends(tmp_path):
    animals(tmp_path / "data")
    for i in range(7):
        paint(tmp_path / "elsewhere" / "deeper" / f"{i}.png", (0, 200, 100 + 10 * i))
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cat" / "loop").symlink_to(tmp_path / "data" / "cat")
    data = load(tmp_path / "data")
    assert len(data.y_train) + len(data.y_test) == 27


@pytest.mark.parametrize("link", ["cat/new.png", "dog/deeper/new", "emu"])
def test_a_link_to_an_image_or_class_that_was_not_fetched_is_refused(tmp_path, link):
    """Training on the images that happen to be here would not be noticed."""
    animals(tmp_path)
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "annex" / "key")
    message = f"{link} is a link to .*annex/key, which does not exist; fetch it, or remove the link"
    for read in (load, image_sizes, folder.read_unseen):
        with pytest.raises(ValueError, match=f"{message}$"):
            read(tmp_path)
    (tmp_path / "cat" / "00.png").unlink()
    (tmp_path / "cat" / "00.png").symlink_to("nothing")
    if link == "cat/new.png":
        with pytest.raises(ValueError, match="00.png is a link .* link; links to nothing: 2$"):
            load(tmp_path)


def test_a_broken_link_that_is_no_image_is_named_among_the_skipped_files(tmp_path):
    animals(tmp_path)
    for name in ("cat/notes.txt", "readme.md"):
        (tmp_path / name).symlink_to("nothing")
    with pytest.warns(match=r"files skipped, .*: 2 \(readme.md, cat/notes.txt\)"):
        load(tmp_path)


def test_gray_images_of_16_bits_have_one_channel(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(5):
            levels = np.full((6, 8), 20_000 + 5_000 * i + 1_000 * (name == "b"), ">u2")
            header = b"P5 8 6 65535\n"
            (tmp_path / name / f"{i}.pgm").write_bytes(header + levels.tobytes())
    with pytest.warns(match="16 bits"):
        data = load(tmp_path)
    assert data.input_shape == (6, 8, 1)
    assert {int(v) for v in data.x_train[..., 0].ravel()} <= {
        round((20_000 + 1_000 * n) / 257) for n in range(22)
    }


def test_animals10_is_read_from_the_data_folder_and_resized_to_300(tmp_path):
    animals(tmp_path / "animals10" / "raw-img", count=10)
    assert load("animals10", tmp_path, image_size=12).input_shape == (12, 12, 3)
    data = load("animals10", tmp_path)
    assert data.name == "animals10" and data.input_shape == (300, 300, 3)
    assert data.class_names == ("cat", "dog")
    # It is always divided in the same way: an exact fraction, by the order of the names.
    assert np.bincount(data.y_test).tolist() == [2, 2] and data.files is None
    split, by_order = data.split(0.25, 3), Split.stratified(data.y_train, 0.25, 3)
    assert np.array_equal(split.validation, by_order.validation)
    assert not is_own_folder("animals10", tmp_path) and is_own_folder(tmp_path / "animals10")
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
    message = r"00.png is 6x8, but wide.png is 6x50 \(height x width\); give image_size"
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
    for size in (0, -3, (5,), (5, 0), 2.5, "large"):
        with pytest.raises(ValueError, match="image_size must be"):
            load(tmp_path, image_size=size)


def test_the_error_names_an_unreadable_image(tmp_path):
    animals(tmp_path)
    broken = tmp_path / "dog" / "03.png"
    whole = broken.read_bytes()
    for content in (b"", b"not an image", whole[:20], whole[: len(whole) // 2]):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"dog/03.png cannot be read .*; repair or remove it"):
            load(tmp_path)
    Image.fromarray(np.full((6, 8), 4000, np.uint16)).save(broken)
    with pytest.raises(ValueError, match=r"03.png cannot be read \(it has 16 bits, but the upper"):
        load(tmp_path)


def test_all_unreadable_images_are_counted_and_three_of_them_named(tmp_path):
    animals(tmp_path)
    for number in range(4):
        (tmp_path / "dog" / f"0{number}.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"4 images failed: .*00.png .*01.png .*02.png .* 1 "):
        load(tmp_path)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    animals(tmp_path)
    bomb = tmp_path / "dog" / "03.png"
    data = bytearray(bomb.read_bytes())
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    bomb.write_bytes(data)
    with pytest.raises(ValueError, match=r"dog/03.png cannot be read .*1600000000 pixels"):
        load(tmp_path)


def test_large_images_are_read_without_a_warning_up_to_twice_the_size_where_pillow_warns(
    tmp_path, monkeypatch
):
    animals(tmp_path)
    (tmp_path / "cat" / "00.png").rename(tmp_path / "cat" / "no_suffix")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24)  # The images have 48.
        assert len(folder.read_unseen(tmp_path).y) == 20 and len(image_sizes(tmp_path)) == 20
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 23)
        with pytest.raises(ValueError, match=r"cannot be read .*48 pixels"):
            load(tmp_path)


def test_folders_without_two_classes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least two sub-folders .* found none"):
        load(tmp_path)
    paint(tmp_path / "cat" / "1.png", 0)
    with pytest.raises(ValueError, match="at least two sub-folders .* found one, cat"):
        load(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match="dog contains no images"):
        load(tmp_path)
    for i in range(3):
        paint(tmp_path / "dog" / f"{i}.png", i)
    needed = "class cat has 1 different training image.*at least 3, for training, validation and"
    with pytest.raises(ValueError, match=needed):
        load(tmp_path)
    for i in (2, 3):  # Copies do not count as different images.
        paint(tmp_path / "cat" / f"{i}.png", 0)
    with pytest.raises(ValueError, match=needed):
        load(tmp_path)


def test_parts_must_agree(tmp_path):
    animals(tmp_path / "train")
    animals(tmp_path / "test")
    paint(tmp_path / "test" / "emu" / "1.png", (0, 0, 0))
    with pytest.raises(ValueError, match="emu is only in one of them"):
        load(tmp_path)
    (tmp_path / "extra").mkdir()
    with pytest.raises(ValueError, match="has extra, test, train; expected either classes, or"):
        load(tmp_path)
    (tmp_path / "extra").rename(tmp_path / "Training")
    with pytest.raises(ValueError, match="two folders for train"):
        load(tmp_path)


@pytest.mark.parametrize(
    "names",
    [("train", "val"), ("Train", "Test"), ("training", "validation", "test"),
     ("TRAIN", "Valid", "Testing")],
)  # fmt: skip
def test_folders_of_parts_are_not_taken_for_classes(tmp_path, names):
    """Two classes "train" and "val" would otherwise be learned silently."""
    for part, name in enumerate(names):
        for i in range(6):
            paint(tmp_path / name / "cat" / f"{i}.png", (200, 10 * part, i))
            paint(tmp_path / name / "dog" / f"{i}.png", (0, 200, 10 * part + i))
    if names == ("train", "val"):
        with pytest.warns(match="has no test folder: about 20% of the training images"):
            data = load(tmp_path)
    else:
        data = load(tmp_path)
    assert data.class_names == ("cat", "dog")
    split = data.split(0.2)
    cats = data.x_train[:, 0, 0, 0] == 200
    part = np.where(cats, data.x_train[:, 0, 0, 1], data.x_train[:, 0, 0, 2]) // 10
    if "al" in "".join(names):
        assert (part[split.validation] == 1).all() and len(split.validation) == 12
        assert (part[split.train] == 0).all()
    if names[-1].lower().startswith("test"):
        assert len(data.y_test) == 12


def test_a_class_may_be_called_train_and_parts_need_a_train_folder(tmp_path):
    for name in ("train", "bus", "car"):
        for i in range(4):
            paint(tmp_path / name / f"{i}.png", (ord(name[0]), 0, i))
    assert load(tmp_path).class_names == ("bus", "car", "train")
    for name in ("val", "test"):
        animals(tmp_path / "other" / name)
    with pytest.raises(ValueError, match="has test, val, but no folder train"):
        load(tmp_path / "other")


def test_class_names_are_the_same_in_either_unicode_form(tmp_path):
    """One system stores é as one character, another as an e and an accent."""
    forms = {form: unicodedata.normalize(form, "é") for form in ("NFC", "NFD")}
    for part, name in (("train", forms["NFD"]), ("test", forms["NFC"])):
        animals(tmp_path / part, count=6)
        (tmp_path / part / "cat").rename(tmp_path / part / name)
    for file in (tmp_path / "test").rglob("0[0-3].png"):
        file.unlink()
    with pytest.warns(match="also test or validation images: 4"):
        data = load(tmp_path)
    assert data.class_names == ("dog", forms["NFC"])
    assert np.array_equal(data.y_train, data.x_train[:, 0, 0, 0] == 200)
    record = data.record(data.split(0.3)).to_json()
    record["classes"] = ["dog", forms["NFD"]]
    assert load(tmp_path, record=DataRecord.from_json(record)).class_names == data.class_names
    shutil.copytree(tmp_path / "test" / forms["NFC"], tmp_path / "test" / forms["NFD"])
    with pytest.raises(ValueError, match="test has two folders called é, whose names differ only"):
        load(tmp_path)


def parts_of(data, seed=0):
    """Return the part of each file, by its content."""
    split = data.split(0.2, seed)
    names = np.full(len(data.y_train), "train", dtype=object)
    names[split.validation] = "validation"
    parts = {f.content: n for f, n in zip(data.files.train, names, strict=True)}
    return parts | {file.content: "test" for file in data.files.test}


def test_adding_and_renaming_files_leaves_all_others_in_their_parts(tmp_path):
    """With a split by order, 8 of 60 test images would have been trained on."""
    animals(tmp_path / "pets", count=30)
    before = parts_of(load(tmp_path / "pets"))
    paint(tmp_path / "pets" / "cat" / "00a.png", (200, 1, 1))
    for file in (tmp_path / "pets" / "dog").iterdir():
        file.rename(file.with_name(f"x{hash(file.name)}.png"))
    (tmp_path / "pets").rename(tmp_path / "zoo")
    after = parts_of(load(tmp_path / "zoo"))
    assert len(after) == len(before) + 1
    assert {content: after[content] for content in before} == before


def test_copies_are_never_in_two_parts_and_are_counted(tmp_path):
    animals(tmp_path)
    for i in range(10):
        shutil.copy(tmp_path / "cat" / f"{i:02}.png", tmp_path / "cat" / f"copy{i}.png")
    shutil.copy(tmp_path / "cat" / "00.png", tmp_path / "dog" / "odd.png")
    message = "exact copies of other images: 11, .*; images in more than one class: 1"
    with pytest.warns(match=message):
        data = load(tmp_path)
    split = data.split(0.3)
    contents = [file.content for file in data.files.train]
    parts = [
        {contents[i] for i in split.train},
        {contents[i] for i in split.validation},
        {file.content for file in data.files.test},
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 20


def test_copies_of_test_images_are_left_out_of_training(tmp_path):
    animals(tmp_path / "train")
    animals(tmp_path / "test", count=4)
    with pytest.warns(match="left out, because they are also test or validation images: 8"):
        data = load(tmp_path)
    assert len(data.y_train) == 12 and len(data.y_test) == 8


@pytest.fixture
def recorded(tmp_path):
    """A folder, its data and split, and what a run records about it."""
    data = load(animals(tmp_path / "pets", count=12), image_size=(4, 5), fit="crop")
    split = data.split(0.3, 1, limit=16)
    record = DataRecord.from_json(json.loads(json.dumps(data.record(split).to_json())))
    assert record == data.record(split)
    return tmp_path / "pets", data, split, record


def test_a_run_gets_exactly_its_files_back(recorded):
    path, data, split, record = recorded
    paint(path / "cat" / "new.png", (1, 2, 3))
    (path / "dog" / "01.png").rename(path / "dog" / "z.png")
    with pytest.warns(match="images added since the run began, which are not used: 1$"):
        again = load(path, record=record)
    for name in ("x_train", "y_train", "x_test", "y_test"):
        assert np.array_equal(getattr(again, name), getattr(data, name)), name
    same = again.split(0.9, 5)
    assert np.array_equal(same.train, split.train)
    assert np.array_equal(same.validation, split.validation)
    assert again.reading == data.reading and again.input_shape == (4, 5, 3)


def test_the_error_names_files_that_have_changed_since_the_run_began(recorded):
    path, _, _, record = recorded
    (path / "dog" / "03.png").unlink()
    paint(path / "cat" / "04.png", (9, 9, 9))
    (path / "cat" / "05.png").rename(path / "dog" / "05a.png")
    with pytest.raises(ValueError, match=r"lacks 3 of the run's 24 images in their") as caught:
        load(path, record=record)
    for part in ("dog/03.png is missing", "cat/04.png has changed", "cat/05.png is missing"):
        assert part in str(caught.value)


def test_a_run_whose_classes_have_other_names_is_refused(recorded):
    """With labels by order of the names, an accuracy of 92 % silently became 25 %."""
    path, _, _, record = recorded
    (path / "cat").rename(path / "zebra")
    with pytest.raises(ValueError, match="are now dog, zebra, but the run has cat, dog"):
        load(path, record=record)


def test_a_damaged_record_is_refused(recorded):
    whole = recorded[-1].to_json()
    for change, message in (
        ({"classes": "cat"}, "'classes' must be a list"),
        ({"reading": {"height": 1}}, "a reading must have"),
        ({"files": {}}, "'files' must have train, validation, test, unused"),
        ({"files": whole["files"] | {"test": [["a", "b", 7]]}}, "files.test"),
        ({"files": whole["files"] | {"test": 3}}, "files.test"),
    ):
        with pytest.raises(ValueError, match=message):
            DataRecord.from_json(whole | change)
    for data in ([], {"classes": []}):
        with pytest.raises(ValueError, match="must have classes, reading, files and notes"):
            DataRecord.from_json(data)


def test_headers_are_read_once_until_a_file_changes(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(folder, "read_header", lambda p: read.append(p) or read_header(p))
    animals(tmp_path / "pets", count=4)
    assert set(image_sizes(tmp_path / "pets")) == {(6, 8)}
    load(tmp_path / "pets")
    assert len(read) == 8
    paint(tmp_path / "pets" / "cat" / "00.png", (9, 9, 9), (80, 60))
    assert (60, 80) in image_sizes(tmp_path / "pets")


@pytest.mark.parametrize(
    "names", [("train", "eval"), ("seg_train", "seg_test", "seg_pred"), ("learn", "valid_set")]
)
def test_parts_with_other_names_are_not_taken_for_classes(tmp_path, names):
    for name in names[:2]:
        for animal in ("cat", "dog"):
            paint(tmp_path / name / animal / "0.png", "red")
    for name in names[2:]:
        paint(tmp_path / name / "0.png", "red")
    with pytest.raises(ValueError, match="have the folders cat, dog: they look like parts"):
        load(tmp_path)


def test_classes_may_have_the_same_sub_folders(tmp_path):
    for number in range(10):
        for animal in ("cat", "dog"):
            for side in ("left", "right"):
                paint(tmp_path / animal / side / f"{number}.png", (number, len(side), len(animal)))
    assert load(tmp_path).class_names == ("cat", "dog")
