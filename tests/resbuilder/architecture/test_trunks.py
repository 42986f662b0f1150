"""Trunks beside each other: their costs add up, and the logits are the mean of theirs."""

import json

import keras
import numpy as np
import pytest

from resbuilder import Architecture, build_model, cost, resnet_architecture
from resbuilder.architecture import side_by_side
from resbuilder.datasets import Preprocessing
from resbuilder.surgery import inherit_trunk, scale_to_budget

pytestmark = pytest.mark.any_backend
SHAPE = (16, 16, 3)
WIDE = resnet_architecture(SHAPE, 10, (12, 24), (0, 1), "small")
DEEP = resnet_architecture(SHAPE, 10, (4, 8), (2, 2), "small")
PAIR = side_by_side([WIDE, DEEP])


def test_names_begin_with_the_trunk_and_are_unique():
    names = [c.name for c in PAIR.convolutions()]
    assert len(set(names)) == len(names)
    assert names[:2] == ["stem", "s1_proj"]
    assert [n for n in names if n.startswith("t1_")] == [
        f"t1_{c.name}" for c in DEEP.convolutions()
    ]
    assert PAIR.trunks == {"": WIDE, "t1_": DEEP}
    assert [b.name for b in PAIR.blocks] == ["s1b0", "t1_s0b0", "t1_s0b1", "t1_s1b0", "t1_s1b1"]


def test_costs_add_up_and_the_depth_is_that_of_the_deepest():
    alone, both = [cost(WIDE), cost(DEEP)], cost(PAIR)
    assert both.flops == sum(c.flops for c in alone)
    assert both.parameters == sum(c.parameters for c in alone)
    assert both.activations == sum(c.activations for c in alone)
    assert PAIR.depth == DEEP.depth > WIDE.depth
    assert both.parameters == sum(np.prod(w.shape) for w in build_model(PAIR).trainable_weights)


def test_the_logits_are_the_mean_of_those_of_the_trunks():
    pixels = Preprocessing(scale=(0.01,) * 3, offset=(-1.0, 0.0, 1.0))
    alone = [build_model(network, pixels, seed) for seed, network in enumerate((WIDE, DEEP))]
    joined = build_model(PAIR, pixels)
    for prefix, network in zip(PAIR.trunks, alone, strict=True):
        inherit_trunk(joined, network, prefix)
    images = np.random.default_rng(0).uniform(0, 255, (5, *SHAPE)).astype("float32")
    mean = sum(network.predict(images, verbose=0) for network in alone) / 2
    np.testing.assert_allclose(joined.predict(images, verbose=0), mean, atol=1e-6)


def test_equal_trunks_begin_with_different_weights():
    twins = build_model(side_by_side([WIDE, WIDE]), seed=3)
    first, second = (twins.get_layer(name).kernel for name in ("stem", "t1_stem"))
    assert np.abs(keras.ops.convert_to_numpy(first - second)).max() > 0.01


def test_json_round_trip_and_only_several_trunks_need_the_newer_version():
    assert Architecture.from_json(json.dumps(PAIR.to_json())) == PAIR
    assert (PAIR.to_json()["version"], WIDE.to_json()["version"]) == (2, 1)
    assert "beside" not in WIDE.to_json()
    assert str(PAIR) == f"{WIDE} ∥ {DEEP}"
    assert PAIR.tree().startswith(f"{WIDE.tree()}\n") and "├─ t1_s1b0: 3×3/2 8" in PAIR.tree()


def test_widths_change_in_each_trunk_and_fill_a_budget_together():
    wider = PAIR.with_widths({"t1_stem": 5, "t1_s0b0_conv2": 5, "t1_s0b1_conv2": 5})
    assert wider.trunks[""] == WIDE and wider.beside[0].stem.width == 5
    assert wider.with_plain_names() == wider
    scaled = scale_to_budget(PAIR, 3 * cost(PAIR).flops)
    assert 0.97 < cost(scaled).flops / (3 * cost(PAIR).flops) <= 1
    assert scaled.beside[0].stem.width > DEEP.stem.width


@pytest.mark.parametrize(
    ("trunks", "message"),
    [
        ([WIDE, PAIR], "of a single trunk, got"),
        ([PAIR, WIDE], "of a single trunk, got"),
        ([], "at least one architecture, got none"),
        (
            [WIDE, resnet_architecture(SHAPE, 7, (4,), (1,), "small")],
            "must agree in classes: trunk 1 has 7, the first has 10",
        ),
        (
            [WIDE, resnet_architecture((8, 8, 3), 10, (4,), (1,), "small")],
            r"must agree in input_shape: trunk 1 has \(8, 8, 3\)",
        ),
    ],
)
def test_trunks_that_do_not_fit_together_are_refused(trunks, message):
    with pytest.raises(ValueError, match=message):
        side_by_side(trunks)


def test_a_name_of_another_trunk_is_refused():
    data = WIDE.to_json()
    data["stages"][1]["blocks"][0]["name"] = "t1_s0b0"
    with pytest.raises(ValueError, match="'t1_s0b0_conv1' would exist twice"):
        side_by_side([Architecture.from_json(data), DEEP])
