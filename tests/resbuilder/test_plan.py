"""The plan before a search: settings that suit the images, and an estimate of the time."""

import math
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from resbuilder.cli import main
from resbuilder.cli.tables import plan_text
from resbuilder.config import SearchConfig
from resbuilder.plan import SearchPlan, plan, suggested_epochs
from resbuilder.race import candidates, race_plan
from resbuilder.suggestions import suggested_flops, suggested_size

pytestmark = pytest.mark.any_backend


def test_sizes_follow_the_median_image_and_the_budget_within_bounds():
    assert suggested_size([(32, 40)] * 3) == (32, 40)  # Small, and all equal.
    assert suggested_size([(100, 80), (70, 90), (75, 200)]) == (64, 64)
    assert suggested_size([(600, 400), (4000, 3000)]) == (128, 128)
    assert suggested_size([(20, 30), (10, 10)]) == (32, 32)
    photographs = [(224, 224)] * 3
    sides = {flops: suggested_size(photographs, flops)[0] for flops in (1e5, 4e6, 2e7, 1e8, 1e9)}
    assert sides == {1e5: 32, 4e6: 32, 2e7: 64, 1e8: 128, 1e9: 128}
    for side in (48, 64, 96, 128):
        # The suggested budget pays for the size, and so does the exact one, but nothing less.
        assert suggested_size(photographs, suggested_flops(side, side)) == (side, side)
        exact = 4e6 * (side / 32) ** 2
        assert suggested_size(photographs, exact) == (side, side)
        assert suggested_size(photographs, exact - 1)[0] < side


def test_the_budget_grows_with_the_pixels_and_epochs_fall_with_the_images():
    assert suggested_flops(28, 28) == suggested_flops(32, 32) == 4e6
    # Rounded up to one digit.
    sizes = (48, 64, 96, 128)
    assert [suggested_flops(side, side) for side in sizes] == [9e6, 2e7, 4e7, 7e7]
    assert suggested_epochs(4_000) == 42
    assert [suggested_epochs(n) for n in (100, 40_000, 10**6)] == [60, 20, 20]


@pytest.fixture
def folder(tmp_path):
    """Two classes of images of different sizes."""
    rng = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 255, (16 + i % 2, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{i}.png")
    return tmp_path / "images"


@pytest.mark.slow
def test_a_plan_describes_the_folder_and_prints_a_valid_command(folder):
    done = CliRunner().invoke(main, ["plan", "--dataset", str(folder), "--flops", "3e5"])
    assert done.exit_code == 0, done.output
    for said in (" training, ", " validation, ", " test\n", "classes: 2; the smallest has 1",
                 "16×16, 17×16; resized to 32×32 (fit: stretch)", "0.3 MFLOPs"):  # fmt: skip
        assert said in done.stdout
    command = done.stdout.splitlines()[-1]
    assert command.startswith("resbuilder search --method=race --dataset=")
    options = dict(part.lstrip("-").split("=") for part in command.split()[2:])
    assert {"method", "dataset", "image-size", "flops", "total-epochs", "out"} == set(options)


@pytest.mark.parametrize(
    ("flops", "seconds", "command", "time"),
    [
        (1_234_567.0, 600.0, "--flops=1234567 ", "about 10 minutes"),
        (3e5, 20.0, "--flops=300000 ", "less than two minutes"),
        (1234.5678, 9000.0, "--flops=1234.5678 ", "about 2.5 hours"),
    ],
)
def test_the_command_has_all_digits_of_the_budget(flops, seconds, command, time):
    config = SearchConfig(dataset="digits", method="race", flops=flops)
    space = candidates((8, 8, 1), 10, 1e6)
    sizes, race = [((8, 8), 9)], race_plan(42, 4)
    found = SearchPlan(config, sizes, (8, 8), 9, 9, 9, 10, 1, space, race, seconds)
    text = plan_text(found)
    assert command in text and f"time: {time} on this machine" in text


@pytest.mark.slow
def test_a_plan_describes_the_race_that_follows(folder):
    found = plan(str(folder), flops=3e5)
    assert found.seconds > 0 and found.race.total == found.config.total_epochs
    assert found.race.candidates == len(found.candidates)
    assert found.config == SearchConfig.from_mapping(found.config.to_json())


def test_the_time_of_a_plan_is_that_of_its_steps(folder, monkeypatch):
    """With 1 s to start a training and 0.01 s for a step, counted by hand."""
    monkeypatch.setattr(sys.modules["resbuilder.plan"], "_timed", lambda *_: (1.0, 0.01))
    found = plan(str(folder), flops=3e5)
    race, size = found.race, found.config.batch_size
    steps = math.ceil(found.train / size)
    forward = 0.01 / 3  # evaluating takes a third of a training step
    training = race.total * race.trunks * steps * (0.01 + forward * found.validation / found.train)
    tests = 2 * race.trunks * found.test / size * forward
    starts = (race.candidates if race.trial else 0) + race.trunks
    assert found.seconds == pytest.approx(training + tests + starts)


@pytest.mark.parametrize("flops", ["0", "inf"])
def test_an_impossible_budget_is_an_error_in_one_line(folder, flops):
    done = CliRunner().invoke(main, ["plan", "--dataset", str(folder), "--flops", flops])
    assert done.exit_code == 2 and "flops" in done.output and "Traceback" not in done.output


def test_a_budget_too_small_is_refused_before_anything_is_timed(folder):
    said = []
    with pytest.raises(ValueError, match="gets 5, but the smallest"):
        plan(str(folder), flops=10, say=said.append)
    assert not any("timing" in text for text in said)
