"""Small networks of every kind, and gradients on every backend."""

import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from resbuilder.morphnet import ChannelGraph, MorphNetRegularizer


def conv_bn(x, width, name, size=3, strides=1, relu=True):
    x = layers.Conv2D(width, size, strides, "same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def image():
    return keras.Input((8, 8, 3), name="image")


def head(x):
    return layers.Dense(4, name="logits")(layers.GlobalAveragePooling2D(name="gap")(x))


def projections():
    """Return two residual stages, of which the second starts with a strided projection."""
    inputs = image()
    x = skip = conv_bn(layers.Rescaling(1 / 255, name="scale")(inputs), 6, "stem")
    x = layers.Add(name="a1")([skip, conv_bn(conv_bn(x, 5, "b1_conv1"), 6, "b1_conv2")])
    skip = conv_bn(x, 7, "proj", size=1, strides=2, relu=False)
    x = conv_bn(conv_bn(x, 4, "b2_conv1", strides=2), 7, "b2_conv2", relu=False)
    x = layers.ReLU(name="a2_relu")(layers.Add(name="a2")([skip, x]))
    return keras.Model(inputs, head(x))


def bottleneck():
    """Return a bottleneck block that adds by an operation instead of a layer."""
    inputs = image()
    x = skip = conv_bn(inputs, 8, "stem")
    x = conv_bn(conv_bn(conv_bn(x, 3, "c1", size=1), 3, "c2"), 8, "c3", size=1, relu=False)
    return keras.Model(inputs, head(ops.relu(skip + x)))


def depthwise():
    """Return depthwise convolutions with multipliers 1 and 2."""
    inputs = image()
    x = conv_bn(inputs, 5, "stem")
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="dw1")(x)
    x = layers.DepthwiseConv2D(3, 2, "same", 2, use_bias=False, name="dw2")(x)
    return keras.Model(inputs, head(conv_bn(x, 6, "pw", size=1)))


def concat():
    """Return a sum with a concatenation, so that one layer has two width groups."""
    inputs = image()
    x = conv_bn(inputs, 4, "stem")
    both = layers.Concatenate(name="cat")([conv_bn(x, 3, "left"), conv_bn(x, 5, "right")])
    x = layers.Add(name="sum")([both, conv_bn(x, 8, "wide")])
    return keras.Model(inputs, head(layers.Concatenate(name="cat2")([x, both])))


def flatten():
    """Return dense layers after Flatten, without batch normalization."""
    inputs = image()
    x = layers.Conv2D(4, 3, activation="relu", name="c0")(inputs)
    x = layers.MaxPooling2D(name="pool")(layers.Conv2D(5, 3, activation="relu", name="c1")(x))
    x = layers.Dense(6, activation="relu", name="d0")(layers.Flatten(name="flat")(x))
    return keras.Model(inputs, layers.Dense(4, name="logits")(x))


def squeeze_excite():
    """Return channels scaled by a gate, and positions scaled by a map of one channel."""
    inputs = image()
    x = conv_bn(inputs, 6, "stem")
    gate = layers.GlobalAveragePooling2D(name="squeeze")(x)
    gate = layers.Dense(3, activation="relu", use_bias=False, name="reduce")(gate)
    gate = layers.Dense(6, use_bias=False, name="excite")(gate)
    x = layers.Multiply(name="gated")([x, layers.Reshape((1, 1, 6), name="reshape")(gate)])
    where = layers.Conv2D(1, 1, activation="sigmoid", name="where")(x)
    return keras.Model(inputs, head(layers.Multiply(name="attended")([x, where])))


def transpose():
    """Return a sequential model with a transposed convolution."""
    return keras.Sequential(
        [
            image(),
            layers.Conv2D(5, 3, 2, "same", activation="relu", name="down"),
            layers.Conv2DTranspose(4, 3, 2, "same", activation="relu", name="up"),
            layers.PReLU(shared_axes=(1, 2), name="prelu"),
            layers.GlobalMaxPooling2D(name="gmp"),
            layers.Dense(4, name="logits"),
        ]
    )


NETWORKS = [projections, bottleneck, depthwise, concat, squeeze_excite, transpose]
# Eager JAX compiles each operation for each shape, so test only one network there.
NETWORKS += [pytest.param(flatten, marks=pytest.mark.any_backend)]


@pytest.fixture(params=NETWORKS, ids=lambda build: build.__name__)
def network(request):
    """Each kind of network, with weights and statistics that all differ."""
    model = request.param()
    rng = np.random.default_rng(1)
    for weight in model.weights:
        # Avoid 0, where |γ| has no derivative.
        value = rng.uniform(0.1, 0.6, weight.shape)
        positive = "variance" in weight.name
        weight.assign(value if positive else value * rng.choice([-1, 1], weight.shape))
    return model


@pytest.fixture
def kill():
    """Function (model, share) that zeroes a share of the prunable channels and returns masks.

    At least one channel of every width group stays. The masks are {layer: bool array (channels,)}.
    """

    def kill(model, share=0.5):
        rng = np.random.default_rng(2)
        graph = ChannelGraph(model)
        dead = np.zeros(graph.size, bool)
        for group in graph.width_groups():
            if not group.fixed:
                dead[rng.permutation(group.ids)[: int(share * len(group.ids))]] = True
        for step in graph.steps:
            mask = dead[graph.out_ids(step)]
            for weight in getattr(step.layer, "weights", []):
                # Statistics need not be zero if γ and β are.
                if weight.shape and "moving" not in weight.name:
                    value = weight.numpy().copy()
                    if step.kind == "depthwise" and weight.name == "kernel":
                        value.reshape(*value.shape[:2], -1)[..., mask] = 0
                    elif step.kind == "conv_transpose" and weight.name == "kernel":
                        value[..., mask, :] = 0
                    else:
                        value[..., mask] = 0
                    weight.assign(value)
        return {
            s.name: ~dead[graph.out_ids(s)]
            for s in graph.producers()
            if not graph.fixed[graph.out_ids(s)].all()
        }

    return kill


@pytest.fixture
def gradients():
    """Function (model, scalar function of no arguments): {weight's path: gradient array}."""

    def gradients(model, function):
        variables = model.trainable_variables
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                value = function()
            result = tape.gradient(value, [v.value for v in variables])
        elif keras.backend.backend() == "jax":
            import jax

            def of(values):
                with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
                    return function()

            result = jax.grad(of)([v.value for v in variables])
        else:
            for v in variables:
                v.value.grad = None
            function().backward()
            result = [v.value.grad for v in variables]
        return {
            v.path: np.zeros(v.shape) if g is None else ops.convert_to_numpy(g)
            for v, g in zip(variables, result, strict=True)
        }

    return gradients


@pytest.fixture
def equals_goldens(gradients):
    """Function (folder, name, **how) that compares a model with its recorded values, to 1e-5."""

    def check(folder, name, **how):
        rows = json.loads((folder / "goldens.json").read_text())[name]
        model = keras.models.load_model(folder / f"{name}.keras")
        for row in rows:
            morphnet = MorphNetRegularizer(
                model, row["regularizer"], row["resource"], row["threshold"], **how
            )
            alive = {layer: np.flatnonzero(a).tolist() for layer, a in morphnet.alive().items()}
            assert alive == row["alive"]
            assert morphnet.exact_cost() == row["cost"]
            assert float(morphnet.cost()) == pytest.approx(row["cost"], rel=1e-5)
            term = float(morphnet.regularization_term())
            assert term == pytest.approx(row["regularization_term"], rel=1e-5)
            norms = {
                path: np.linalg.norm(gradient)
                for path, gradient in gradients(model, morphnet.regularization_term).items()
                if gradient.any()
            }
            assert norms == pytest.approx(row["gradient_norms"], rel=1e-5)

    return check
