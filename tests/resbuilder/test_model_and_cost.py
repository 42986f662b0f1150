"""Models match their architecture, and their cost matches its cost."""

from functools import cache

import keras
import numpy as np
import pytest

from resbuilder import build_model, cost, minimal_architecture, resnet_architecture
from resbuilder.architecture import BLOCK_ORDERS, Architecture, Stage, Stem
from resbuilder.datasets import Preprocessing
from resbuilder.morphnet import MorphNetRegularizer
from resbuilder.surgery import Position, insert_block, remove_blocks

SMALL = resnet_architecture((32, 32, 3), 10, (8, 12, 20), (2, 1, 1), "small")
KINDS = {
    "RB-0Net": minimal_architecture((28, 28, 1), 10, 16),
    "RB-0Net with blocks": insert_block(
        minimal_architecture((28, 28, 1), 10, 16), Position(1, 0), "n1"
    ).with_widths({"n1_conv1": 5}),
    "ResNet-18": resnet_architecture((32, 32, 3), 10, (8, 16, 32, 64)),
    "small stem": SMALL,
    "odd image": resnet_architecture((37, 21, 3), 7, (8, 12, 20), (2, 1, 1)),
    "projection alone": remove_blocks(SMALL, ["s1b0"]),
    "one-pixel stages": resnet_architecture((8, 8, 1), 3, (4, 6, 8, 10, 12), (1,) * 5, "small"),
    "stages that start with a projection": Architecture(
        (16, 16, 1), 3, Stem(4, 5), (Stage(6, "projection"), Stage(6, "pool"))
    ),
}
KINDS |= {
    f"{name}, released order": Architecture.from_json(
        a.to_json() | {"block_order": BLOCK_ORDERS[1]}
    )
    for name, a in list(KINDS.items())
}


@cache
def model_of(name):
    """Return a model of a kind, built once."""
    return build_model(KINDS[name], seed=0)


def profiled_flops(model) -> int:
    """Return the FLOPs of convolutions and matrix products as TensorFlow's profiler counts them."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    from tensorflow.python.profiler import model_analyzer, option_builder

    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:])))
    graph = convert_variables_to_constants_v2(concrete).graph
    options = (
        option_builder.ProfileOptionBuilder(option_builder.ProfileOptionBuilder.float_operation())
        .with_accounted_types([".*"])
        .with_empty_output()
        .build()
    )
    profile = model_analyzer.profile(graph, cmd="op", options=options)
    counted = {child.name: child.float_ops for child in profile.children}
    total, node = 0, profile
    while node.children:  # the "op" view is a chain of nodes, one for each kind of operation
        node = node.children[0]
        if node.name in ("Conv2D", "MatMul"):
            total += node.float_ops
    assert counted
    return total


# The order within a block changes no operation, so one network of the released order is enough.
@pytest.mark.parametrize("name", list(KINDS)[: len(KINDS) // 2 + 1])
def test_flops_equal_those_of_the_tensorflow_profiler(name):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the profiler is TensorFlow's")
    assert cost(KINDS[name]).flops == profiled_flops(model_of(name))


@pytest.mark.any_backend
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.slow_on("jax")
def test_parameters_activations_and_shapes_equal_those_of_the_model(name):
    architecture = KINDS[name]
    model, counted = model_of(name), cost(architecture)
    assert counted.parameters == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    outputs = {
        layer.name: int(np.prod(layer.output.shape[1:]))
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
    }
    assert {layer.name: layer.outputs for layer in counted.layers} == outputs
    assert counted.activations == sum(outputs.values())
    assert model(np.zeros((2, *architecture.input_shape), "float32")).shape == (
        2,
        architecture.classes,
    )


@pytest.mark.parametrize("name", KINDS)
def test_morphnet_counts_the_same_flops_if_all_channels_are_alive(name):
    assert (
        MorphNetRegularizer(model_of(name), threshold=0.0).exact_cost() == cost(KINDS[name]).flops
    )


def test_the_cost_of_resnet18_matches_the_thesis():
    # Thesis sec. 6.1: about 7.3e7 with the ImageNet stem at 32x32; 1.1e9 with a small-image stem.
    assert cost(resnet_architecture((32, 32, 3), 10)).flops == pytest.approx(7.3e7, rel=0.02)
    small = resnet_architecture((32, 32, 3), 10, stem="small")
    assert cost(small).flops == pytest.approx(1.1e9, rel=0.02)


def test_hand_counted_network():
    a = minimal_architecture((4, 4, 1), 3, width=2, stages=2)
    counted = cost(a)
    assert counted.flops == 2 * (16 * 9 * 1 * 2) + 2 * (2 * 3)
    assert counted.parameters == 9 * 2 + 2 * 2 + (2 * 3 + 3)
    assert counted.activations == 16 * 2 + 3


@pytest.mark.any_backend
def test_block_computes_equation_4_1():
    """x + relu(BN(conv(relu(BN(conv x)))))"""
    a = insert_block(minimal_architecture((6, 6, 1), 2, 3, stages=1), Position(0, 0), "n1")
    model = build_model(a, seed=3)
    layer = model.get_layer
    part = keras.Model(model.input, [layer("stem_relu").output, layer("n1_add").output])
    x, y = part(np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32"))
    z = x
    for number in "12":
        z = layer(f"n1_bn{number}")(layer(f"n1_conv{number}")(z), training=False)
        z = keras.ops.relu(z)
    difference = keras.ops.convert_to_numpy(y) - keras.ops.convert_to_numpy(x + z)
    np.testing.assert_allclose(difference, 0, atol=1e-6)


@pytest.mark.any_backend
def test_initial_weights_do_not_depend_on_the_other_layers():
    plain = minimal_architecture((8, 8, 1), 10, 4)
    grown = insert_block(plain, Position(1, 0), "n1")
    kernels = [
        keras.ops.convert_to_numpy(build_model(a, seed=5).get_layer("logits").kernel)
        for a in (plain, grown)
    ]
    np.testing.assert_array_equal(*kernels)
    other = keras.ops.convert_to_numpy(build_model(plain, seed=6).get_layer("logits").kernel)
    assert not np.array_equal(kernels[0], other)


@pytest.mark.any_backend
def test_preprocessing_is_part_of_the_model():
    a = minimal_architecture((8, 8, 3), 4, 4)
    scaling = Preprocessing((0.5, 0.1, 2.0), (1.0, -1.0, 0.0))
    raw = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    with_it, without = build_model(a, scaling, seed=1), build_model(a, seed=1)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(with_it(raw)),
        keras.ops.convert_to_numpy(without(scaling(raw))),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.any_backend
@pytest.mark.parametrize("width", [5, 8])
@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.slow_on("jax")
def test_a_projection_equals_a_strided_convolution_even_with_few_channels(width, side):
    network = build_model(
        resnet_architecture((side, side, 1), 3, (width, 9), (1, 1), "small"), seed=1
    )
    before, after = (network.get_layer(n).output for n in ("s0b0_add", "s1_proj"))
    x = np.random.default_rng(0).normal(size=(2, side, side, 1)).astype("float32")
    values, found = keras.Model(network.input, [before, after]).predict(x, verbose=0)
    kernel = keras.ops.convert_to_numpy(network.get_layer("s1_proj").kernel)[0, 0]
    np.testing.assert_allclose(found, values[:, ::2, ::2] @ kernel, rtol=1e-4, atol=1e-5)
