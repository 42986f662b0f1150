"""Architectures: equality, errors, and JSON."""

import json
from dataclasses import replace

import pytest

from resbuilder import Architecture, minimal_architecture, resnet_architecture
from resbuilder.architecture import Block, Stage, Stem

ARCHITECTURES = [
    minimal_architecture((28, 28, 1), 10),
    minimal_architecture((8, 8, 1), 3, width=5, stages=2, block_order="bn_conv_relu"),
    resnet_architecture((32, 32, 3), 100),
    resnet_architecture((32, 32, 3), 10, (4, 8), (1, 3), "small", "bn_conv_relu"),
    Architecture(
        (33, 17, 2),
        2,
        Stem(4, 5, 2, True),
        (Stage(4, "none", (Block(3, name="a"),)), Stage(6, "projection"), Stage(6, "pool")),
    ),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_json_round_trip_keeps_everything(architecture):
    text = json.dumps(architecture.to_json())
    again = Architecture.from_json(text)
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert [b.name for b in again.blocks] == [b.name for b in architecture.blocks]


def test_equality_depends_on_widths_and_order_but_not_on_names():
    a = resnet_architecture((32, 32, 3), 10, (8,), (2,), "small")
    renamed = replace(a, stages=(Stage(8, "none", (Block(8, name="x"), Block(8, name="y"))),))
    assert a == renamed and len({a, renamed}) == 1
    assert a != a.with_widths({"s0b0_conv1": 7})
    assert a != replace(a, block_order="bn_conv_relu")


def test_thesis_start_networks():
    rb0 = minimal_architecture((32, 32, 3), 10)
    assert (rb0.stem.width, len(rb0.stages), rb0.blocks, rb0.depth) == (64, 3, (), 1)
    assert rb0.resolutions() == ((32, 32), (16, 16), (8, 8))
    # There is one more stage for each doubling of the image's side beyond 32 pixels.
    assert len(minimal_architecture((96, 96, 1), 5).stages) == 5
    resnet18 = resnet_architecture((224, 224, 3), 1000)
    assert resnet18.depth == 17  # and the dense head: eighteen weighted layers
    assert resnet18.resolutions() == ((56, 56), (28, 28), (14, 14), (7, 7))
    assert [s.width for s in resnet18.stages] == [64, 128, 256, 512]


def test_depth_counts_a_projection_only_if_no_block_bypasses_it():
    a = resnet_architecture((32, 32, 3), 10, (4, 8), (1, 1), "small")
    alone = replace(a, stages=(a.stages[0], replace(a.stages[1], blocks=())))
    assert (a.depth, alone.depth) == (5, 4)


def test_with_widths_keeps_added_convolutions_equal():
    a = resnet_architecture((32, 32, 3), 10, (8, 16), (1, 1), "small")
    wider = a.with_widths({"s1_proj": 20, "s1b0_conv2": 20, "s0b0_conv1": 3})
    assert wider.stages[1].width == 20 and wider.blocks[0].inner == 3
    with pytest.raises(ValueError, match="would differ in width"):
        a.with_widths({"s1b0_conv2": 20})
    with pytest.raises(ValueError, match="unknown convolutions"):
        a.with_widths({"nothing": 3})


def test_a_block_without_inner_channels_is_removed():
    a = resnet_architecture((32, 32, 3), 10, (8,), (2,), "small")
    assert [b.name for b in a.with_widths({"s0b0_conv1": 0}).blocks] == ["s0b1"]


def test_text_forms_show_blocks_and_widths():
    a = resnet_architecture((32, 32, 3), 10, (8, 16), (1, 2), "small")
    assert str(a) == "32×32×3 → 8 [8·8] ⇘16 [16·16 16·16] → 10"
    assert str(minimal_architecture((8, 8, 1), 10, 4)) == "8×8×1 → 4 [] ↓ [] ↓ [] → 10"
    pooled = replace(a, stem=replace(a.stem, pool=True))
    assert str(pooled) == "32×32×3 → 8 (3×3/1, pool) [8·8] ⇘16 [16·16 16·16] → 10"
    assert "s1b0: 3×3/2 16, 3×3 16" in a.tree()


VALID = resnet_architecture((8, 8, 1), 3, (4, 6), (1, 1), "small").to_json()


def changed(path, value):
    data = json.loads(json.dumps(VALID))
    *parents, last = path
    target = data
    for key in parents:
        target = target[key]
    if value is KeyError:
        del target[last]
    else:
        target[last] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected a JSON object"),
        (changed(["version"], 3), "a newer release"),
        (changed(["version"], True), "of version True"),
        (changed(["format"], "x"), "expected a JSON object"),
        (changed(["classes"], 0), "classes must be a positive integer"),
        (changed(["classes"], "3"), "classes must be a positive integer"),
        (changed(["classes"], KeyError), "classes"),
        (changed(["color"], 1), "unknown keys"),
        (changed(["input_shape"], [8, 8]), "input_shape"),
        (changed(["input_shape"], 8), "must be a list"),
        (changed(["stages"], []), "at least one stage"),
        (changed(["stages", 0], 7), "must be a list"),
        (changed(["stages", 0, "width"], 5), "but its input has 4"),
        (changed(["stages", 0, "transition"], "jump"), "transition must be one of"),
        (changed(["stages", 1, "blocks", 0, "stride"], 3), "stride 3"),
        (changed(["stages", 0, "blocks", 0, "stride"], 2), "stride 2"),
        (changed(["stages", 1, "blocks", 0, "name"], "s0b0"), "needs a unique name"),
        (changed(["stages", 1, "blocks", 0, "inner"], -1), "inner width"),
        (changed(["stem", "stride"], 4), "a stride of 1 or 2"),
        (changed(["block_order"], "relu_first"), "block_order must be one of"),
    ],
)
def test_bad_json_is_refused_with_the_reason(data, message):
    with pytest.raises(ValueError, match=message):
        Architecture.from_json(data)


def test_a_start_network_needs_known_sides_and_a_stage():
    for family in (minimal_architecture, resnet_architecture):
        with pytest.raises(ValueError, match=r"each at least 1, got \(None, None, 1\)"):
            family((None, None, 1), 10)
    with pytest.raises(ValueError, match="stages must be at least 1, got 0"):
        minimal_architecture((8, 8, 1), 10, stages=0)


def test_images_too_small_for_the_stages():
    with pytest.raises(ValueError, match="too small for 3 stages"):
        minimal_architecture((3, 3, 1), 10, stages=3)
    assert len(minimal_architecture((3, 3, 1), 10).stages) == 2
    assert len(minimal_architecture((16, 256, 3), 10).stages) == 5  # 6 by the longer side
    with pytest.raises(ValueError, match="one entry for each stage"):
        resnet_architecture((32, 32, 3), 10, (8, 16), (1,))
    with pytest.raises(ValueError, match="stem must be"):
        resnet_architecture((32, 32, 3), 10, stem="large")
