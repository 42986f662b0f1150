"""Predictions: every format of a network gives the same as the network that was trained."""

import csv
import html
import json
import re
import shutil
import unicodedata
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from resbuilder import Architecture, Predictor, SearchConfig, search
from resbuilder.cli import main
from resbuilder.datasets import ImageReading, load, read_image
from resbuilder.datasets.reading import PRINT
from resbuilder.evaluation import evaluate
from resbuilder.export import export
from resbuilder.model_card import ModelCard, write_keras_card
from resbuilder.single import load_model
from tests.resbuilder.pictures import KINDS, write_pictures

FORMS = ("run", "best", "keras", "onnx", "saved_model")
READING = ImageReading(20, 20)


def call(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    parts = {"train": 5 * len(KINDS), "test": 2 * len(KINDS)}
    return write_pictures(tmp_path_factory.mktemp("pictures") / "photos", parts)


@pytest.fixture(scope="module")
def run(folder) -> Path:
    config = SearchConfig(
        **{"dataset": str(folder), "image_size": 20, "flops": 2e5, "width": 4, "stages": 2},
        **{"rounds": 0, "insertions": 0, "epochs": 6, "batch_size": 16, "learning_rate": 3e-3},
    )
    result = search(config, folder.parent / "run")
    result.report()
    return result.run


@pytest.fixture(scope="module")
def saved(run) -> dict[str, Path]:
    """The network of the run in every format."""
    model, best = load_model(run), run / "models" / "best.keras"
    card = Predictor(run).card
    found = {"run": run, "best": best, "saved_model": run.parent / "saved"}
    found |= {form: run.parent / f"network.{form}" for form in ("keras", "onnx")}
    for form in ("keras", "onnx", "saved_model"):
        export(model, found[form], form, card)
    return found


@pytest.fixture(scope="module")
def reference(run, folder):
    """Probabilities of the plain Keras model for the test images, and their labels."""
    images = load(folder, image_size=20)
    logits = load_model(run).predict(images.x_test, verbose=0).astype(np.float64)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True), images.y_test


@pytest.mark.parametrize("form", FORMS)
def test_every_format_predicts_files_of_every_kind_like_the_run(
    saved, form, folder, run, reference
):
    network = Predictor(saved[form])
    assert (network.classes, network.reading) == (("china", "flower"), READING)
    found = list(network.predict(folder / "test"))
    assert [p.file.parent.name for p in found] == ["china"] * 16 + ["flower"] * 16
    right = [p.label == p.file.parent.name for p in found]
    assert np.mean(right) == pytest.approx(evaluate(run, "test")["accuracy"], abs=1e-12)
    assert 0.5 < np.mean(right)  # Otherwise the order of the classes would not be tested.
    probabilities, labels = reference
    given = np.array([list(p.probabilities.values()) for p in found])
    np.testing.assert_array_equal(labels, [0] * 16 + [1] * 16)
    np.testing.assert_allclose(given, probabilities, rtol=2e-4, atol=1e-6)
    for p in found:
        assert list(p.probabilities) == ["china", "flower"]
        assert p.probability == max(p.probabilities.values()) == p.probabilities[p.label]


def test_predictions_name_the_conversions_of_a_file(run, folder):
    kinds = {p.file.name.split(".", 1)[1]: p.notes for p in Predictor(run).predict(folder / "test")}
    assert kinds["png"] == kinds["jpg"] == ()
    assert all(len(kinds[kind]) == 1 for kind in KINDS if kind not in ("png", "jpg", "webp"))


def test_other_programs_can_read_the_model_card_of_every_format(saved, run):
    onnx = pytest.importorskip("onnx")
    card = {"classes": ["china", "flower"], "input_shape": [20, 20, 3]}
    card |= {"reading": READING.to_json()}
    found = []
    model = onnx.load(saved["onnx"])
    found.append(json.loads({p.key: p.value for p in model.metadata_props}["model_card"]))
    for form in ("best", "keras"):
        with zipfile.ZipFile(saved[form]) as archive:
            found.append(json.loads(archive.read("metadata.json"))["model_card"])
            assert len(archive.namelist()) == 3  # With one more, Keras would unpack the archive.
    extra = saved["saved_model"] / "assets.extra"
    found.append(json.loads((extra / "model_card.json").read_text())["model_card"])
    described = json.loads((run / "architecture.json").read_text())
    found.append(described["model_card"])
    for data in found:
        assert card.items() <= data.items()
        assert "logits" in data["output"] and "raw pixels" in data["input"]
    for path in (run, extra):
        assert (path / "labels.txt").read_text() == "china\nflower\n"
    assert Architecture.from_json(described).classes == 2  # It is still a valid start network.
    (image,), (logits,) = model.graph.input, model.graph.output
    sizes = [
        [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim]
        for end in (image, logits)
    ]
    assert (image.name, logits.name) == ("image", "logits")
    assert sizes == [["batch", 20, 20, 3], ["batch", 2]]


def test_the_code_on_the_report_page_runs(run, folder, capsys, tmp_path, monkeypatch):
    page = (run / "report.html").read_text()
    section = page[page.index('id="use"') :]
    python, shell = (
        html.unescape(text) for text in re.findall("<pre>(.*?)</pre>", section, re.S)[:2]
    )
    monkeypatch.chdir(tmp_path)
    exec(python, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and all(
        re.search(r"\.\w+ (china|flower) \d+\.\d%$", line) for line in lines
    )
    predict, exported = (line.split() for line in shell.splitlines())
    assert predict[:2] == ["resbuilder", "predict"] and exported[:2] == ["resbuilder", "export"]
    assert call(*predict[1:]).exit_code == 0
    with open("predictions.csv") as file:
        assert len(list(csv.DictReader(file))) == 7 * 2 * len(KINDS)
    # The page has a title without a path, and begins with the result.
    assert "<title>A network for photos: run</title>" in page
    first = re.search('<p class="found">(.*?)</p>', page)[1]
    assert re.match(r"The best network classifies [\d.]+ % of 32 test images correctly", first)


def test_the_command_writes_text_json_and_csv(saved, folder, tmp_path):
    photos = folder / "test" / "china"
    result = call("predict", saved["onnx"], photos)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 16
    assert re.match(rf"{photos}/00.png: (china|flower) [\d.]+ %, ", result.stdout)
    assert f"2 of 16 images: {PRINT}\n" in result.stderr
    table = tmp_path / "out.csv"
    result = call("predict", saved["onnx"], photos / "00.png", photos, "--json", "--csv", table)
    listed = json.loads(result.stdout)
    assert len(listed) == 17 and listed[0] == listed[1]
    with open(table) as file:
        rows = list(csv.DictReader(file))
    for row, entry in zip(rows, listed, strict=True):
        assert (row["file"], row["class"]) == (entry["file"], entry["class"])
        assert float(row["p_flower"]) == entry["probabilities"]["flower"]
    again = call("predict", saved["onnx"], photos, "--csv", table)
    assert again.exit_code == 2 and "give --overwrite" in again.stderr
    table.write_text("mine")
    refused = call("predict", saved["onnx"], photos, "--csv", table, "--overwrite")
    assert refused.exit_code == 2 and "is not overwritten" in refused.stderr
    assert table.read_text() == "mine"


def test_unreadable_files_are_named_and_the_others_predicted(saved, folder, tmp_path):
    photos = shutil.copytree(folder / "test" / "flower", tmp_path / "photos")
    (photos / "00.png").write_bytes((photos / "00.png").read_bytes()[:200])
    (photos / "notes.txt").write_text("not an image")
    network = Predictor(saved["onnx"])
    with pytest.raises(ValueError, match=r"00.png cannot be read"):
        list(network.predict(photos))
    broken = []
    found = list(network.predict(photos, lambda file, error: broken.append(file)))
    assert broken == [photos / "00.png"] and len(found) == 15
    result = call("predict", saved["onnx"], photos)
    assert result.exit_code == 1 and len(result.stdout.splitlines()) == 15
    assert "1 file skipped, not an image: " in result.stderr and "notes.txt" in result.stderr
    assert result.stderr.splitlines()[-1] == "1 of 16 images could not be read"
    (photos / "fetched later.png").symlink_to("nothing")
    result = call("predict", saved["onnx"], photos)
    assert result.exit_code == 1 and len(result.stdout.splitlines()) == 15
    assert "later.png cannot be read: it is a link to nothing, which does not" in result.stderr
    assert result.stderr.splitlines()[-1] == "2 of 17 images could not be read"
    table = tmp_path / "none.csv"
    result = call("predict", saved["onnx"], photos / "00.png", "--csv", table)
    assert result.exit_code == 2 and "none of 1 image can be read" in result.stderr
    assert not table.exists()
    for given, message in (
        (tmp_path / "nothing", "nothing does not exist"),
        (tmp_path, "contains no image"),
    ):
        if given is tmp_path:
            shutil.rmtree(photos)
        with pytest.raises(ValueError, match=message):
            network.predict(given)


def test_a_large_image_is_classified_without_a_warning(saved, folder, monkeypatch):
    photos = folder / "test" / "flower"
    pixels = [width * height for width, height in (Image.open(p).size for p in photos.iterdir())]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", max(pixels) // 2 + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        assert len(list(Predictor(saved["onnx"]).predict(photos))) == len(pixels)


def test_arrays_of_the_wrong_shape_are_refused(saved):
    network = Predictor(saved["onnx"])
    assert network.probabilities(np.zeros((0, 20, 20, 3))).shape == (0, 2)
    with pytest.raises(ValueError, match=r"expected images \(n, 20, 20, 3\), got \(20, 20, 3\)"):
        network.probabilities(np.zeros((20, 20, 3)))
    with pytest.raises(ValueError, match="pixels that are NaN or infinite"):
        network.probabilities(np.full((2, 20, 20, 3), np.nan))


def test_a_network_without_a_card_or_with_a_wrong_one_is_refused(saved, run, tmp_path):
    model = load_model(run)
    export(model, tmp_path / "bare.keras", "keras")
    with pytest.raises(ValueError, match="does not name its classes"):
        Predictor(tmp_path / "bare.keras")
    shutil.copy(tmp_path / "bare.keras", tmp_path / "other.keras")
    write_keras_card(tmp_path / "other.keras", ModelCard(("a", "b", "c"), (20, 20, 3), None))
    with pytest.raises(
        ValueError, match="is damaged: .* 2 outputs, but its model card says .* 3 classes"
    ):
        Predictor(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="nothing.onnx does not exist; give a finished run"):
        Predictor(tmp_path / "nothing.onnx")
    for broken in ("a.onnx", "a.keras"):
        (tmp_path / broken).write_bytes(b"PK nothing")
        with pytest.raises(ValueError, match=f"{broken} is not .* model that can be read"):
            Predictor(tmp_path / broken)
    with pytest.raises(ValueError, match=r"a.keras is not .*: it is not a complete archive"):
        Predictor(tmp_path / "a.keras")
    card = Predictor(saved["onnx"]).card.to_json()
    for change, message in [
        ({"classes": []}, "'classes' must be a list of names"),
        ({"classes": ["cat", "cat"]}, "'classes' must be different names"),
        ({"input_shape": [20, 20]}, "height, width and channels"),
        ({"input_shape": [20, 21, 3]}, "image files are read with shape"),
        ({"version": 2}, "of version 2"),
        ({"reading": {"height": 1}}, "reading must have"),
    ]:
        with pytest.raises(ValueError, match=message):
            ModelCard.from_json(card | change)


def test_evaluation_and_export_say_what_only_prediction_takes(saved, run, folder, tmp_path):
    for form, name in (("onnx", "an ONNX file"), ("saved_model", "a SavedModel")):
        for command in (
            ("evaluate", saved[form], "--dataset", folder),
            ("export", saved[form], tmp_path / "again.onnx", "--format", "onnx"),
        ):
            result = call(*command)
            assert result.exit_code == 2 and result.stderr.endswith(
                f"{saved[form]} is {name}, which only `resbuilder predict` takes; give the run "
                "folder or the .keras file of the network\n"
            )
    other = run / "architecture.json"
    result = call("predict", other, folder)
    assert result.exit_code == 2 and result.stderr.endswith(
        f"{other} is not a trained network; give a run folder, a .keras or .onnx file, or the "
        "folder of a SavedModel\n"
    )
    result = call("evaluate", other, "--dataset", folder)
    assert result.exit_code == 2 and "architecture.json is not a Keras model" in result.stderr
    assert result.stderr.endswith(
        "name that ends in .keras or .h5; give a run folder or a .keras file\n"
    )


def test_other_images_are_evaluated_as_a_whole_and_counted(saved, run, folder, tmp_path):
    """Not only the fifth that would be drawn for tests if they were to train on.

    A run knows the images that the network has seen, and leaves them out.
    """
    other = tmp_path / "other"
    for part in ("train", "test"):
        for file in (folder / part).rglob("*.*"):
            (other / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, other / file.parent.name / f"{part}_{file.name}")
    images = len([*other.rglob("*.*")])
    whole = evaluate(saved["keras"], "test", str(other))
    assert (whole["images"], whole["part"]) == (images, "all images")
    tested = evaluate(run, "test")
    assert (tested["images"], tested["part"]) == (len([*(folder / "test").rglob("*.*")]), "test")
    with pytest.warns(UserWarning, match=f"left out, because .* {images - tested['images']} of "):
        unseen = evaluate(run, "test", str(other))
    assert unseen == tested | {"part": "all images"}
    # Moved, the folder has a test part, which is the run's own.
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert evaluate(run, "test", str(moved)) == tested
    seen = shutil.copytree(folder / "train", tmp_path / "seen")
    with pytest.raises(ValueError, match="trained or validated with each of these images"):
        evaluate(run, "test", str(seen))
    # Arrays have no settings of image files, so those of the run do not matter.
    x = np.stack([read_image(file, Predictor(run).card.reading) for file in other.rglob("*.*")])
    y = np.array([sorted(p.name for p in other.iterdir()).index(f.parent.name)
                  for f in other.rglob("*.*")])  # fmt: skip
    names = sorted(p.name for p in other.iterdir())
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y, "class_names": names}
    np.savez(tmp_path / "other.npz", **arrays)
    assert evaluate(run, "test", str(tmp_path / "other.npz"))["images"] == images


def test_classes_of_a_network_may_be_in_either_unicode_form(saved, folder, tmp_path):
    card = Predictor(saved["keras"]).card
    for form in ("NFC", "NFD"):
        network = shutil.copy(saved["keras"], tmp_path / f"{form}.keras")
        names = ("china", unicodedata.normalize(form, "flör"))
        write_keras_card(network, ModelCard(names, card.input_shape, card.reading))
        shutil.copytree(folder / "test" / "china", tmp_path / form / "china")
        shutil.copytree(folder / "test" / "flower", tmp_path / form / names[1])
    results = [
        evaluate(tmp_path / f"{network}.keras", "test", str(tmp_path / images))
        for network, images in (("NFC", "NFC"), ("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD"))
    ]
    assert all(result == results[0] for result in results)


def test_a_few_images_of_a_class_are_enough_to_evaluate_on(saved, folder, tmp_path):
    """They would be too few to train on."""
    for kind in ("china", "flower"):
        (tmp_path / kind).mkdir()
        for file in sorted((folder / "test" / kind).iterdir())[:2]:
            shutil.copy(file, tmp_path / kind / file.name)
    assert evaluate(saved["keras"], "test", str(tmp_path))["images"] == 4
    shutil.rmtree(tmp_path / "china")
    with pytest.warns(UserWarning, match="no images of these classes of the network: china"):
        assert evaluate(saved["keras"], "test", str(tmp_path))["images"] == 2
    shutil.rmtree(tmp_path / "flower")
    with pytest.raises(ValueError, match="must have sub-folders of images, one per class; found"):
        evaluate(saved["keras"], "test", str(tmp_path))


def test_a_renamed_class_is_not_mistaken_for_another(saved, run, folder):
    renamed = [(folder / part / "china", folder / part / "shanghai") for part in ("train", "test")]
    for old, new in renamed:
        old.rename(new)
    try:
        with pytest.raises(ValueError, match="china"):
            evaluate(run, "test")
        with pytest.raises(ValueError, match="not trained on: shanghai; its classes are china"):
            evaluate(saved["keras"], "test", str(folder))
    finally:
        for old, new in renamed:
            new.rename(old)
    assert evaluate(saved["best"], "test", str(folder))["accuracy"] > 0.5
