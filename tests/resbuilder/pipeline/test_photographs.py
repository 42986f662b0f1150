"""A search on a folder of photographs of all sizes, and results that stay reproducible."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_sample_images

from resbuilder import SearchConfig, cost
from resbuilder.cli import main
from resbuilder.datasets import Dataset, read_image
from resbuilder.run import read_data, read_journal
from resbuilder.start_network import start_architecture
from resbuilder.suggestions import dearest_flops, suggested_width

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="commands, the same on each backend"
)
# README's command, with fewer epochs and rounds.
SEARCH = "--flops 2e7 --width 16 --epochs 1 --rounds 0 --class-weights balanced --fit crop".split()


def call(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two classes, 24 of a temple and 10 of flowers: parts of photographs, 200 to 4,000 pixels."""
    folder = tmp_path_factory.mktemp("photographs") / "mine"
    rng = np.random.default_rng(0)
    for pixels, name, count in zip(
        load_sample_images().images, ("china", "flower"), (24, 10), strict=True
    ):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            height, width = rng.integers(200, 420, 2)
            y, x = rng.integers(0, 427 - height), rng.integers(0, 640 - width)
            part = Image.fromarray(pixels[y : y + height, x : x + width])
            if i == 0:
                part = part.resize((4000, 3000))
            part.save(folder / name / f"IMG_{i}.jpg")
    Image.new("RGBA", (300, 300), (0, 0, 0, 0)).save(folder / "flower" / "logo.png")
    return folder


@pytest.fixture(scope="module")
def searched(photographs, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "mine"
    done = call("search", "--dataset", photographs, *SEARCH, "--out", run)
    assert done.exit_code == 0, done.output
    return run, done


def test_the_command_of_the_readme_works_on_photographs_of_all_sizes(searched, photographs):
    run, done = searched
    for said in (
        "images: 64×64 pixels, 35 of height 201 to 3000 and width 206 to 4000, cropped",
        "start: rb-0net, 16 channels wide, 4 stages, 3.",
        "mine: of 35 images, 1 placed on a white background (transparency)",
    ):
        assert said in done.stderr
    assert done.stderr.index("start:") < done.stderr.index("With Reg")
    assert "balanced" in done.stdout
    config = json.loads((run / "config.json").read_text())
    assert (config["image_size"], config["fit"]) == ("64", "crop")
    page = (run / "report.html").read_text()
    assert "Balanced accuracy" in page and "1 placed on a white background" in page
    assert "<code>fit</code></td><td><sub></sub></td><td>crop" in page


def test_the_record_of_the_run_reads_an_image_as_training_did(searched, photographs):
    record = read_data(searched[0])
    assert record.classes == ("china", "flower") and record.reading.size == (64, 64)
    assert sum(map(len, record.files.values())) == 35
    assert read_image(photographs / "flower" / "logo.png", record.reading).min() == 255


def test_an_added_file_changes_no_result_and_a_renamed_class_is_refused(searched, photographs):
    run, _ = searched
    before = call("evaluate", run, "--json").stdout
    best = read_journal(run / "journal.jsonl")[0][-1].event.best
    assert json.loads(before)["accuracy"] == pytest.approx(best.accuracy_test)
    added = photographs / "china" / "AAA.jpg"
    shutil.copy(photographs / "china" / "IMG_0.jpg", added)
    added.write_bytes(added.read_bytes() + b"\0")
    try:
        after = call("evaluate", run, "--json")
        assert "images added since the run began, which are not used: 1" in after.stderr
        assert after.stdout == before and call("resume", run).exit_code == 0
        (photographs / "china").rename(photographs / "temple")
        refused = call("evaluate", run)
        assert refused.exit_code == 2 and "are now flower, temple" in refused.stderr
    finally:
        if (photographs / "temple").exists():
            (photographs / "temple").rename(photographs / "china")
        added.unlink()


def test_a_run_without_a_record_of_its_files_cannot_be_resumed(searched, tmp_path):
    old = shutil.copytree(searched[0], tmp_path / "old")
    (old / "data.json").unlink()
    for command in ("evaluate", "resume"):
        done = call(command, old)
        assert done.exit_code == 2 and "does not record which images were for" in done.stderr


@pytest.mark.parametrize("start", ["rb-0net", "rb-r18", "resnet-20"])
@pytest.mark.parametrize("flops", [4e6, 2e7, 5e8])
def test_the_suggested_start_is_the_widest_with_room_for_one_more_block(start, flops):
    """Images of 224 pixels used to get a start network of twice ζ."""
    zeros, labels = np.zeros((2, 224, 224, 3), np.uint8), [0, 1]
    dataset = Dataset("mine", zeros, labels, zeros, labels, None)
    config = SearchConfig(dataset="mine", start=start, flops=flops)
    width = suggested_width(config, dataset)
    most = 16 if start == "resnet-20" else 64
    assert 1 <= width <= most
    chosen, wider = (
        start_architecture(replace(config, width=w), dataset) for w in (width, width + 1)
    )
    assert width == 1 or dearest_flops(chosen, None) <= flops
    assert width == most or dearest_flops(wider, None) > flops
    assert width == 1 or cost(chosen).flops <= flops
