"""Manipulated photographs differ from the authentic ones only under their masks."""

import keras
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from numpy.testing import assert_allclose
from PIL import Image
from scipy.ndimage import binary_dilation, label

from experiments.resbuilder.columns import FROM_SCRATCH
from experiments.resbuilder.manipulation.__main__ import main
from experiments.resbuilder.manipulation.generate import generate, generate_missing
from experiments.resbuilder.manipulation.kinds import (
    KINDS,
    blend,
    copy_move,
    draw_region,
    inpaint,
    recompress,
    splice,
)
from experiments.resbuilder.manipulation.networks import judge, train_and_judge
from experiments.resbuilder.manipulation.photographs import bundled_photographs, photographs_in
from experiments.resbuilder.manipulation.results import markdown
from resbuilder.datasets.error_level import jpeg

SIZE, PAIRS = 64, {"train": 16, "test": 8}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with generated images as seed 0, and their table."""
    folder = tmp_path_factory.mktemp("manipulation")
    generate(bundled_photographs(), folder / "seed0", SIZE, PAIRS, seed=0)
    return folder, pd.read_csv(folder / "seed0" / "manipulations.csv")


def pair(folder, row):
    images = folder / "seed0" / "images" / row.part
    files = [images / name / f"{row.name}.jpg" for name in ("authentic", "manipulated")]
    mask = folder / "seed0" / "masks" / row.part / f"{row.name}.png"
    return [Image.open(file) for file in files], np.asarray(Image.open(mask)) > 0


def test_the_images_of_a_pair_differ_only_under_the_mask(made):
    """Outside, only 16x16 JPEG blocks that the mask touches, and adjacent pixels, may differ."""
    folder, table = made
    for row in table.itertuples(index=False, name="Row"):
        (authentic, manipulated), mask = pair(folder, row)
        difference = np.abs(np.asarray(authentic, int) - np.asarray(manipulated)).max(axis=-1)
        touched = mask.reshape(SIZE // 16, 16, SIZE // 16, 16).any(axis=(1, 3))
        blocks = binary_dilation(np.kron(touched, np.ones((16, 16), bool)), iterations=2)
        assert not difference[~blocks].any(), row
        assert difference[mask].mean() > difference[~mask].mean(), row
        assert authentic.quantization == manipulated.quantization, "one quality reveals no label"
        assert_allclose(mask.mean(), row.area, rtol=1e-3)


def test_every_kind_occurs_and_photographs_stay_in_their_part(made):
    _, table = made
    assert table.groupby(["part", "kind"]).size().to_dict() == {
        (part, kind): count // 4 for part, count in PAIRS.items() for kind in KINDS
    }
    used = {p: set(rows.photograph) | set(rows.donor.dropna()) for p, rows in table.groupby("part")}
    assert not used["train"] & used["test"]
    assert (len(used["train"]), len(used["test"])) == (6, 2)
    splices = table[table.kind == "splice"]
    assert (splices.photograph != splices.donor).all()


def test_the_same_seed_makes_the_same_files(made, tmp_path):
    folder, _ = made
    generate(bundled_photographs(), tmp_path / "again", SIZE, PAIRS, seed=0)
    generate(bundled_photographs(), tmp_path / "other", SIZE, PAIRS, seed=1)
    files = sorted((folder / "seed0" / "images").rglob("*.jpg"))
    assert len(files) == 2 * sum(PAIRS.values())
    relative = [file.relative_to(folder / "seed0") for file in files]
    same = [file.read_bytes() == (tmp_path / "again" / r).read_bytes()
            for file, r in zip(files, relative, strict=True)]  # fmt: skip
    assert all(same)
    assert files[0].read_bytes() != (tmp_path / "other" / relative[0]).read_bytes()


def ramps(size=SIZE):
    """Return an image whose red is the column and whose green is the row."""
    rows, columns = np.mgrid[:size, :size].astype(np.uint8)
    return np.stack([columns, rows, rows + columns], axis=-1)


@pytest.mark.parametrize("seed", range(5))
def test_regions_are_connected_blobs_of_the_requested_size(seed):
    mask = draw_region(SIZE, np.random.default_rng(seed), (0.08, 0.1))
    assert mask.shape == (SIZE, SIZE) and label(mask)[1] == 1
    assert 0.07 < mask.mean() < 0.11


def test_a_copied_region_comes_from_where_the_table_says():
    """Ramps show the origin of every pixel, hence the move, the scale and the angle."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        mask = draw_region(SIZE, rng, (0.05, 0.08))
        region, move = copy_move(ramps(), mask, rng)
        points = np.argwhere(mask)[:, ::-1]
        origin = region[mask][:, :2].astype(float)
        inner = ((origin > 1) & (origin < SIZE - 2)).all(axis=1)  # not mirrored at the edge
        x, y = (points[inner] - np.argwhere(mask).mean(axis=0)[::-1]).T
        there = (origin[inner] @ [1, 1j]) - origin[inner].mean(axis=0) @ [1, 1j]
        here = (x + 1j * y) - (x + 1j * y).mean()
        turn = np.vdot(here, there) / np.vdot(here, here)
        assert_allclose(1 / abs(turn), move["scale"], rtol=0.03)
        assert_allclose(np.angle(turn, deg=True), move["angle"], atol=2)
        moved = points[inner].mean(axis=0) - origin[inner].mean(axis=0)
        assert_allclose(moved, [move["dx"], move["dy"]], atol=3)
        assert np.hypot(move["dx"], move["dy"]) > 4


def test_filling_in_continues_a_ramp():
    mask = draw_region(SIZE, np.random.default_rng(1))
    spoilt = np.where(mask[..., None], 255, ramps()).astype(np.uint8)
    filled, _ = inpaint(spoilt, mask, None)
    assert np.abs(filled.astype(int) - ramps())[mask].max() <= 1


def test_spliced_and_recompressed_regions_have_another_jpeg_quality():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    region, known = splice(None, None, rng, (image, {"photograph": "other.jpg"}))
    assert known["donor"] == "other.jpg"
    assert np.array_equal(region, jpeg(image, known["region_quality"]))
    for camera in (55, 70, 85):
        region, known = recompress(image, None, rng, camera)
        assert abs(known["region_quality"] - camera) >= 15
        assert np.array_equal(region, jpeg(image, known["region_quality"]))


def test_blending_leaves_the_outside_and_replaces_the_inside():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20:40, 20:40] = True
    blended = blend(np.zeros((SIZE, SIZE, 3), np.uint8), np.full((SIZE, SIZE, 3), 200), mask)
    assert not blended[~mask].any()
    assert (blended[24:36, 24:36] == 200).all()
    assert 50 < blended[20, 30, 0] < 200, "the edge is softened"


def test_scores_by_kind_equal_those_by_hand():
    logits = np.array([[0, -1], [0, 1], [0, 0.5], [0, 2], [0, -2], [0, 3]], float)
    labels = np.array([0, 0, 1, 1, 1, 1])
    scores = judge(logits, labels, ["splice", "splice", "inpainting", "inpainting"])
    assert_allclose(scores["accuracy"], 4 / 6)
    # Against -1 and 1: 0.5 wins once, 2 twice, -2 never, 3 twice.
    assert_allclose(scores["auc"], 5 / 8)
    assert scores["auc_by_kind"] == {"splice": 0.75, "inpainting": 0.5}


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="experiments: TensorFlow")
def test_a_search_on_six_channels_is_judged_on_the_test_part(made):
    folder, _ = made
    job = {
        "network": "resbuilder",
        "channels": "rgb_ela",
        "seed": 0,
        "data_dir": str(folder),
        "training": {"epochs": 1, "batch_size": 16},
        "search": {"width": 2, "stages": 1, "flops": 1e6, "rounds": 0, "insertions": 0},
    }
    found = train_and_judge(job)
    # One 3x3 convolution from 6 channels to 2 on 64x64 pixels, and 2 logits of 2 features.
    assert found["flops"] == 2 * 64 * 64 * 9 * 6 * 2 + 2 * 2 * 2
    assert found["parameters"] == 9 * 6 * 2 + 2 * 2 + 2 * 2 + 2
    assert set(found["auc_by_kind"]) == set(KINDS)
    assert train_and_judge(job) == found, "the finished search is not started again"
    assert found[FROM_SCRATCH]["epochs"] == 1 <= found["epochs"]
    assert found[FROM_SCRATCH]["flops"] == found["flops"]
    table = markdown([{"job": job} | found])
    assert f"| ResBuilder, from scratch | RGB + ELA | {found['parameters']}" in table
    assert f"| ResBuilder | RGB + ELA | {found['parameters']}" in table
    assert f"| {found['auc']:.3f} |" in table
    with pytest.raises(ValueError, match="started with other settings"):
        train_and_judge(job | {"search": job["search"] | {"flops": 2e6}})


def test_the_command_makes_a_folder_and_says_what_is_wrong(made, tmp_path):
    run = CliRunner().invoke
    source = tmp_path / "photographs"
    source.mkdir()
    for path in bundled_photographs()[:4]:
        Image.open(path).convert("RGB").save(source / f"{path.stem}.png")
    command = ["generate", str(source), str(tmp_path / "out"), "--size", "32", "--count", "16"]
    assert run(main, command).exit_code == 0
    assert (tmp_path / "out" / "contact_sheet.png").exists()
    few = [*command[:2], str(tmp_path / "few"), "--size", "32", "--count", "4"]
    assert run(main, few).exit_code == 0  # fewer than there are kinds of manipulation
    assert (tmp_path / "few" / "contact_sheet.png").exists()
    assert len(list((tmp_path / "out" / "images").rglob("*.jpg"))) == 32
    for wrong, message in (
        (command, "already exists"),
        ([*command[:2], str(tmp_path / "large"), "--size", "512"], "remove it or choose a smaller"),
        (["generate", str(tmp_path / "out" / "images" / "test"), str(tmp_path / "x")], "need 160"),
        (["measure", "--preset", "thesis"], "give a folder of photographs"),
    ):
        result = run(main, wrong)
        assert result.exit_code == 2 and message in " ".join(result.output.split()), result.output
    (source / "astronaut.png").unlink()
    with pytest.raises(ValueError, match="contains 3 photographs, but at least 4"):
        photographs_in(source)
    with pytest.raises(ValueError, match="made with other settings"):
        generate_missing(bundled_photographs(), made[0] / "seed0", SIZE, PAIRS, seed=1)
