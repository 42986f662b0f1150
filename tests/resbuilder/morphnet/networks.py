"""Small networks in common styles, each with a part that can be pruned."""

import keras
import numpy as np
from keras import layers, ops


def image():
    return keras.Input((8, 8, 3), name="image")


def head(x):
    return layers.Dense(4, name="logits")(layers.GlobalAveragePooling2D(name="gap")(x))


def conv(x, width, name, size=3, **options):
    return layers.Conv2D(width, size, name=name, **options)(x)


def nested():
    """Return a model with a nested backbone and augmentation, as in transfer learning."""
    inner = keras.Input((None, None, 3))
    x = layers.ReLU()(layers.BatchNormalization(name="bn")(conv(inner, 6, "a")))
    skip = x
    x = keras.Sequential([layers.Conv2D(5, 1, name="b"), layers.ReLU()], name="block")(x)
    x = layers.Add(name="add")([skip, conv(x, 6, "c", 1)])
    backbone = keras.Model(inner, x, name="backbone")
    inputs = image()
    augment = keras.Sequential([layers.RandomFlip(), layers.RandomBrightness(0.1)], name="augment")
    x = backbone(layers.Rescaling(1 / 127.5, -1)(augment(inputs)), training=False)
    return keras.Model(inputs, head(x))


def sequential_of_models():
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(6, 3, name="a"), layers.ReLU()])
    return keras.Sequential(
        [image(), inner, layers.GlobalMaxPooling2D(), layers.Dense(4, name="logits")]
    )


def separable():
    inputs = image()
    x = layers.SeparableConv2D(6, 3, depth_multiplier=2, name="s1")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.SeparableConv2D(5, 3, activation="relu", use_bias=False, name="s2")(x)
    return keras.Model(inputs, head(x))


def normalized():
    """Return convolutions with group normalization between and layer normalization after them."""
    inputs = image()
    x = layers.ReLU()(layers.GroupNormalization(4, name="gn")(conv(inputs, 8, "a")))
    x = conv(x, 6, "b", activation="gelu")
    x = layers.LayerNormalization(name="ln")(conv(x, 5, "c", 1))
    return keras.Model(inputs, head(conv(x, 6, "d", 1, activation="relu")))


def grouped():
    inputs = image()
    x = layers.ReLU()(conv(inputs, 8, "a", 1))
    x = layers.ReLU()(conv(x, 12, "groups", groups=4))
    x = conv(x, 12, "as_depthwise", groups=12)
    return keras.Model(inputs, head(conv(x, 5, "b", 1)))


def operators():
    """Return arithmetic with tensors, constants and numbers, and reductions over positions."""
    inputs = image()
    x = (inputs - np.array([1.0, 2.0, 3.0], "float32")) / 127.5
    x = ops.leaky_relu(conv(x, 8, "a"), 0.1)
    x = x + np.linspace(-1, 1, 8).astype("float32")
    x = layers.Rescaling(np.linspace(0.5, 2, 8).tolist(), 0.1)(x)
    x = ops.sigmoid(conv(x, 6, "b")) / 3 - 0.5
    x = ops.mean(x, axis=(1, 2))
    return keras.Model(inputs, layers.Dense(4, name="logits")(x))


def slices():
    """Return a gated linear unit that splits channels, and a slice of channels."""
    inputs = image()
    left, right = ops.split(conv(inputs, 12, "a"), 2, axis=-1)
    x = conv(left * ops.sigmoid(right), 8, "b", 1)
    x = layers.Concatenate()([x[..., :3], ops.relu(x[..., 3:])])
    return keras.Model(inputs, head(conv(x, 5, "c", 1)))


def generator():
    """Return a dense layer reshaped to an image."""
    inputs = keras.Input((3,), name="image")
    x = layers.Dense(4 * 4 * 6, name="a", activation="relu", use_bias=False)(inputs)
    x = layers.Reshape((4, 4, 6), name="reshape")(x)
    x = layers.Conv2DTranspose(5, 2, 2, name="b", activation="tanh")(x)
    return keras.Model(inputs, head(x))


def gate():
    """Return squeeze and excitation, whose gate has a sigmoid and biases."""
    inputs = image()
    x = conv(inputs, 6, "a", activation="relu")
    g = layers.Dense(3, activation="relu", name="reduce")(layers.GlobalAveragePooling2D()(x))
    g = layers.Reshape((1, 1, 6))(layers.Dense(6, activation="sigmoid", name="excite")(g))
    return keras.Model(inputs, head(conv(layers.Multiply(name="gated")([x, g]), 5, "b", 1)))


def softmax_gate():
    """Return attention over channels, which combines all of them."""
    inputs = image()
    x = conv(inputs, 6, "a", activation="relu")
    weights = layers.Softmax()(conv(x, 6, "scores", 1))
    x = conv(layers.Multiply()([conv(x, 6, "values", 1), weights]), 5, "b", 1)
    return keras.Model(inputs, head(conv(x, 5, "c", 1, activation="softmax")))


NETWORKS = [
    *(nested, sequential_of_models, separable, normalized, grouped),
    *(operators, slices, generator, gate, softmax_gate),
]


def randomize(model, seed=1):
    """Give a model weights and statistics that all differ, and return it."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = rng.uniform(0.1, 0.6, weight.shape)
        positive = "variance" in weight.name
        weight.assign(value if positive else value * rng.choice([-1, 1], weight.shape))
    return model


def images_for(model, count=4):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def outputs(model, images=None):
    images = images_for(model) if images is None else images
    return ops.convert_to_numpy(model(images, training=False))


def silence(graph, dead):
    """Make dead channels constant by zeroing the weights that feed and scale them.

    Shifts (β, biases) stay, so that the constants are not zero.
    """
    from resbuilder.morphnet.rules import GROUPED

    for step in graph.steps:
        mask = dead[graph.out_ids(step)]
        if step.kernel is not None and step.kind != "depthwise":
            kernel = getattr(step.layer, step.kernel)
            value = kernel.numpy().copy()
            value[(..., mask, slice(None)) if step.kind == "conv_transpose" else (..., mask)] = 0
            kernel.assign(value)
        elif step.rule is GROUPED:
            value = step.layer.kernel.numpy().copy()
            value[..., mask] = 0
            step.layer.kernel.assign(value)


def some(graph, share=0.5, seed=2):
    """Return half of the removable channels, but leave at least one of each width group."""
    from resbuilder.morphnet.selection import removable

    rng = np.random.default_rng(seed)
    candidates, dead = removable(graph), np.zeros(graph.size, bool)
    for group in graph.width_groups():
        free = group.ids[candidates[group.ids]]
        dead[rng.permutation(free)[: int(share * len(free))]] = True
    return dead


def masks(graph, dead):
    return {s.name: ~dead[graph.out_ids(s)] for s in graph.producers()}
