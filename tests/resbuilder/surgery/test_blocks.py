"""Insertion and removal of blocks."""

import keras
import numpy as np
import pytest

from resbuilder import build_model, cost, minimal_architecture, resnet_architecture
from resbuilder.architecture import side_by_side
from resbuilder.surgery import (
    Position,
    draw_insertion,
    inherit,
    initialize_block,
    insert_block,
    insertion_positions,
    remove_blocks,
)

START = minimal_architecture((8, 8, 1), 3, 4)
RESNET = resnet_architecture((16, 16, 1), 3, (4, 6), (2, 1), "small")


def outputs(model):
    x = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype("float32")
    return keras.ops.convert_to_numpy(model(x, training=False))


def test_positions_may_be_plain_tuples_and_names_must_be_a_list():
    assert insert_block(START, (0, 0), "n") == insert_block(START, Position(0, 0), "n")
    with pytest.raises(ValueError, match="names must be a list of names of blocks, got 's0b0'"):
        remove_blocks(RESNET, "s0b0")


def test_there_is_no_position_before_a_strided_block():
    assert insertion_positions(START) == [(0, 0), (1, 0), (2, 0)]
    assert insertion_positions(RESNET) == [(0, 0), (0, 1), (0, 2), (1, 1)]
    assert (1, 0) in insertion_positions(remove_blocks(RESNET, ["s1b0"]))


def test_an_inserted_block_has_the_width_of_the_preceding_layer():
    grown = insert_block(RESNET, Position(1, 1), "new")
    block = grown.stages[1].blocks[1]
    assert (block.name, block.inner, grown.stages[1].width) == ("new", 6, 6)
    with pytest.raises(ValueError, match="no block can be inserted"):
        insert_block(RESNET, Position(1, 0), "new")


@pytest.mark.parametrize(("channels", "inner"), [(0.1, 1), (1, 1), (3.9, 3), (4, 4), (9, 4)])
def test_a_block_is_as_wide_as_its_flops_limit_allows(channels, inner):
    """An inner channel costs 2 FLOPs · 9 · 4 outer channels · two convolutions · 16·16."""
    one = 2 * 9 * 4 * 2 * 256
    grown = insert_block(RESNET, Position(0, 1), "new", most_flops=channels * one)
    assert grown.stages[0].blocks[1].inner == inner
    assert cost(grown).flops - cost(RESNET).flops == inner * one
    drawn, _ = draw_insertion(RESNET, (), "new", np.random.default_rng(0), most_flops=1)
    assert next(b for b in drawn.blocks if b.name == "new").inner == 1


def test_removal_undoes_insertion():
    grown = insert_block(RESNET, Position(0, 1), "new")
    assert remove_blocks(grown, ["new"]) == RESNET
    with pytest.raises(ValueError, match="unknown blocks"):
        remove_blocks(RESNET, ["new"])
    pair = side_by_side([RESNET, RESNET])
    (name,) = [b.name for b in pair.blocks if b.name.endswith("s0b1") and b.name != "s0b1"]
    with pytest.raises(ValueError, match="unknown blocks"):  # not silently kept
        remove_blocks(pair, [name])


def test_stages_are_drawn_uniformly_whatever_their_number_of_blocks():
    """Stage 0 has three positions, stage 1 one; each gets half of the draws (thesis sec. 4.1)."""
    rng = np.random.default_rng(0)
    stages = [draw_insertion(RESNET, (), "new", rng)[1].stage for _ in range(400)]
    assert abs(np.mean(stages) - 0.5) < 0.1


def test_only_new_architectures_are_drawn_until_the_space_is_exhausted():
    rng, seen = np.random.default_rng(0), {START}
    for _ in range(3):
        architecture, _ = draw_insertion(START, seen, "new", rng)
        assert architecture not in seen
        seen.add(architecture)
    assert draw_insertion(START, seen, "new", rng) is None


@pytest.mark.any_backend
@pytest.mark.parametrize("where", insertion_positions(RESNET))
def test_a_block_whose_last_convolution_is_zero_changes_nothing(where):
    before = build_model(RESNET, seed=1)
    after = build_model(insert_block(RESNET, where, "new"), seed=2)
    inherit(after, before)
    last = after.get_layer("new_conv2").kernel
    last.assign(np.zeros(last.shape, "float32"))
    np.testing.assert_allclose(outputs(after), outputs(before), rtol=1e-6, atol=1e-6)


@pytest.mark.any_backend
def test_removing_a_block_that_adds_zero_changes_nothing():
    before = build_model(RESNET, seed=1)
    last = before.get_layer("s0b1_conv2").kernel
    last.assign(np.zeros(last.shape, "float32"))
    after = build_model(remove_blocks(RESNET, ["s0b1"]), seed=2)
    inherit(after, before)
    np.testing.assert_allclose(outputs(after), outputs(before), rtol=1e-6, atol=1e-6)


def test_initial_weights_of_a_block():
    architecture = insert_block(minimal_architecture((8, 8, 1), 3, 32), Position(1, 0), "new")
    model = build_model(architecture, seed=1)
    first = keras.ops.convert_to_numpy(model.get_layer("new_conv1").kernel)
    initialize_block(model, "new", "last_conv", seed=1)
    last = keras.ops.convert_to_numpy(model.get_layer("new_conv2").kernel)
    assert last.std() == pytest.approx(1e-2, rel=0.05) and abs(last.mean()) < 1e-3
    unchanged = keras.ops.convert_to_numpy(model.get_layer("new_conv1").kernel)
    np.testing.assert_array_equal(unchanged, first)
    initialize_block(model, "new", "last_gamma")
    gamma = keras.ops.convert_to_numpy(model.get_layer("new_bn2").gamma)
    np.testing.assert_allclose(gamma, 1e-2)
    with pytest.raises(ValueError, match="must be one of"):
        initialize_block(model, "new", "zeros")


def test_only_a_small_gamma_keeps_the_block_near_the_identity_under_batch_statistics():
    """Batch normalization undoes the scale of the convolution before it, but not that of γ."""
    architecture = insert_block(minimal_architecture((8, 8, 1), 3, 16), Position(0, 0), "new")
    x = np.random.default_rng(0).uniform(size=(32, 8, 8, 1)).astype("float32")
    added = {}
    for scheme in ("glorot", "last_conv", "last_gamma"):
        model = build_model(architecture, seed=1)
        initialize_block(model, "new", scheme, seed=1)
        part = keras.Model(model.input, model.get_layer("new_relu2").output)
        added[scheme] = float(np.abs(keras.ops.convert_to_numpy(part(x, training=True))).mean())
    assert added["last_gamma"] < 0.02 * added["glorot"]
    assert added["last_conv"] > 0.5 * added["glorot"]
