"""Evaluation: which images count, which classes they have, and what is refused."""

import shutil

import numpy as np
import pytest
from PIL import Image

from resbuilder import TrainConfig
from resbuilder.datasets import load
from resbuilder.evaluation import evaluate
from resbuilder.single import train


def test_a_model_file_of_a_run_is_evaluated_without_its_training_images(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(15):
            pixels = rng.integers(0, 256, (16, 16, 3), "uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    photos, run = str(tmp_path / "photos"), tmp_path / "run"
    with pytest.warns(UserWarning):  # there are few images
        train(TrainConfig(dataset=photos, epochs=1, width=2, stages=1), run)
        of_run = evaluate(run, "test", photos)
        of_file = evaluate(run / "models" / "best.keras", "test", photos)
    assert of_file == of_run and of_file["images"] < 10
    shutil.copy(run / "models" / "best.keras", tmp_path / "mine.keras")
    with pytest.warns(UserWarning, match="does not say with which images the network was trained"):
        assert evaluate(tmp_path / "mine.keras", "test", photos)["images"] == 30


def test_other_images_must_have_the_classes_and_the_units_of_the_training(tmp_path):
    x = np.random.default_rng(0).random((60, 8, 8, 3)).astype("float32")
    y, names = np.arange(60) % 3, np.array(["air", "bird", "car"])

    def saved(name, factor, kept=3):
        rows, file = y < kept, tmp_path / f"{name}.npz"
        parts = {"x_train": x[rows] * factor, "x_test": x[rows] * factor}
        labels = {"y_train": y[rows], "y_test": y[rows], "class_names": names[:kept]}
        np.savez(file, **parts, **labels)
        return str(file)

    config = TrainConfig(dataset=saved("mine", 1), epochs=1, width=2, start="rb-0net")
    train(config, tmp_path / "run")
    evaluate(tmp_path / "run", "test", dataset=saved("dark", 0.5))
    with pytest.raises(ValueError, match="pixels of bright are between 0.* and 25.*same units"):
        evaluate(tmp_path / "run", "test", dataset=saved("bright", 255))
    with pytest.warns(UserWarning, match="few has no images of these classes of the network: car"):
        evaluate(tmp_path / "run", "test", dataset=saved("few", 1, kept=2))


def test_classes_of_other_images_are_matched_by_their_names(tmp_path):
    """Gray levels are easy to learn, so that wrong labels would leave little of the accuracy."""
    rng, levels = np.random.default_rng(0), {"dark": 0.2, "gray": 0.5, "light": 0.8}
    images = {
        name: rng.normal(level, 0.05, (30, 8, 8, 1)).clip(0, 1).astype("float32")
        for name, level in levels.items()
    }

    def saved(name, *classes):
        x = np.concatenate([images.get(known, images["light"]) for known in classes])
        y, file = np.repeat(np.arange(len(classes)), 30), tmp_path / f"{name}.npz"
        parts = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
        np.savez(file, **parts, class_names=np.array(classes))
        return str(file)

    config = TrainConfig(
        dataset=saved("mine", *levels), epochs=30, batch_size=8, width=4, stages=1, ema=0.9
    )
    train(config, tmp_path / "run")
    alike = evaluate(tmp_path / "run", "test")
    assert alike["accuracy"] > 0.9
    moved = saved("moved", "light", "dark", "gray")
    assert evaluate(tmp_path / "run", "test", dataset=moved) == pytest.approx(alike)
    few = saved("few", "light", "dark")
    with pytest.warns(UserWarning, match="no images of these classes of the network: gray"):
        result = evaluate(tmp_path / "run", "test", dataset=few)
    assert min(result["accuracy"], result["balanced_accuracy"]) > 0.9 and result["images"] == 60
    odd = saved("odd", "dark", "gray", "white")
    with pytest.raises(ValueError, match="odd has classes .* was not trained on: white; its"):
        evaluate(tmp_path / "run", "test", dataset=odd)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Train on digits, whose pixels are 0 to 16, so not those of image files."""
    run = tmp_path_factory.mktemp("digits") / "run"
    config = TrainConfig(dataset="digits", epochs=1, width=2, stages=1, train_limit=60)
    train(config, run)
    return run


def test_image_files_are_refused_by_a_network_of_other_arrays(digits, tmp_path):
    for name in "012":
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8), 200).save(tmp_path / name / "one.png")
    for model in (digits, digits / "models" / "best.keras"):
        with pytest.raises(
            ValueError, match="cannot classify image files, .* other arrays, of .*give an .npz"
        ):
            evaluate(model, "test", str(tmp_path))


def test_a_model_file_may_be_in_a_folder_called_models(digits, tmp_path):
    (tmp_path / "models").mkdir()
    copy = shutil.copy(digits / "models" / "best.keras", tmp_path / "models" / "best.keras")
    assert evaluate(copy, "test", "digits") == evaluate(digits, "test", "digits")


def test_only_the_test_part_of_other_arrays_counts(digits, tmp_path):
    """One training image for each class could not be divided, and is fewer than the run's limit."""
    d = load("digits")
    first = [int(np.flatnonzero(d.y_train == label)[0]) for label in range(10)]
    few = {"x_train": d.x_train[first], "y_train": d.y_train[first]}
    np.savez(tmp_path / "few.npz", **few, x_test=d.x_test, y_test=d.y_test)
    given = str(tmp_path / "few.npz")
    assert evaluate(digits, "test", given) == evaluate(digits, "test", "digits")
    some = d.y_test < 3
    np.savez(tmp_path / "few.npz", **few, x_test=d.x_test[some], y_test=d.y_test[some])
    with pytest.warns(UserWarning, match="no images of these classes of the network: 3, 4, 5, 6, "):
        assert evaluate(digits, "test", given)["images"] == some.sum()


@pytest.mark.parametrize("parts", [("test",), ("val", "test"), ("Testing", "train")])
def test_of_a_divided_folder_only_the_test_part_is_read(parts, tmp_path):
    """The classes of other parts do not matter, nor whether there is a training part."""
    for name in ("cat", "dog"):
        for number in range(10):
            file = tmp_path / "animals" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (20 * number, 99, 80 * (name == "dog"))).save(file)
    train(
        TrainConfig(dataset=str(tmp_path / "animals"), epochs=1, width=2, stages=1),
        tmp_path / "run",
    )
    for part in parts:
        for name in ("cat", "dog") if part.casefold().startswith("test") else ("eel", "cat"):
            (tmp_path / "other" / part / name).mkdir(parents=True)
            Image.new("RGB", (8, 8), (255, 255, 255)).save(
                tmp_path / "other" / part / name / "new.png"
            )
    result = evaluate(tmp_path / "run", "test", str(tmp_path / "other"))
    assert (result["images"], result["part"]) == (2, "test")
