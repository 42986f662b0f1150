"""Models that users bring: what cannot be pruned is refused, and what can computes the same."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy.testing import assert_allclose

from resbuilder.morphnet import GradualPruning, prune, register_layer, shrink

X = np.random.default_rng(0).normal(size=(8, 12, 12, 3)).astype("float32")
ALIVE = np.arange(8) >= 4


def head(x):
    return layers.Dense(3)(layers.GlobalAveragePooling2D()(x))


def with_constants(x, name="conv"):
    """Return a convolution of which four channels of eight are constant, 1."""
    x = layers.Conv2D(8, 1, name=name)(x)
    scale = [0.0] * 4 + [1.0] * 4
    return layers.Rescaling(scale, np.where(scale, 0.0, 1.0).tolist())(x)


def check_same(model, small, x=X, rtol=1e-4):
    assert small.count_params() < model.count_params()
    assert_allclose(
        ops.convert_to_numpy(small(x)), ops.convert_to_numpy(model(x)), rtol=rtol, atol=1e-5
    )


def attention(x):
    """Return the attention-weighted sum over rows."""
    return ops.sum(x * layers.Softmax(axis=1)(x), axis=1, keepdims=True)


def blur(x):
    register_layer(Blur, "keep")
    return Blur()(x)


class Blur(layers.Layer):
    """Averages 3×3 pixels of each channel, without padding."""

    def call(self, x):
        kernel = ops.ones((3, 3, x.shape[-1], 1), x.dtype) / 9
        return ops.depthwise_conv(x, kernel, padding="valid")

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] - 2, shape[2] - 2, shape[3])


@pytest.mark.parametrize(
    "over_positions",
    [layers.Softmax(axis=1), layers.Softmax(axis=(1, 2)), attention, blur],
    ids=["softmax over rows", "softmax over pixels", "attention", "blur"],
)
def test_constants_pass_exactly_through_layers_that_combine_positions(over_positions):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 3))
    x = over_positions(with_constants(inputs))
    model = keras.Model(inputs, head(layers.Conv2D(4, 1)(x)))
    check_same(model, shrink(model, {"conv": ALIVE}))


def test_estimated_means_that_are_not_finite_are_refused_and_measured_ones_are_not():
    """The logarithm of a pixel with mean 0 and deviation 1 is NaN for every other pixel."""
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, kernel_initializer=keras.initializers.RandomUniform(0.1, 0.2))(inputs)
    model = keras.Model(inputs, head(layers.Conv2D(4, 1)(ops.sqrt(x))))
    with pytest.raises(ValueError, match="are not finite.*data=images"):
        prune(model, flops=0.5, verbose=False)
    images = np.abs(X)
    small = prune(model, flops=0.5, data=images, verbose=False)
    assert np.isfinite(ops.convert_to_numpy(small(images))).all()


def test_channels_that_a_layer_normalization_combines_stay_if_they_depend_on_dead_ones():
    inputs = keras.Input((12, 12, 3))
    before = layers.Conv2D(8, 3, name="before", padding="same", activation="relu")(inputs)
    x = layers.Concatenate()([layers.Conv2D(6, 1)(before), layers.Conv2D(6, 1)(inputs)])
    model = keras.Model(inputs, head(layers.LayerNormalization()(x)))
    with pytest.raises(ValueError, match="at_least=1"):
        shrink(model, {"before": np.zeros(8, bool)})


@pytest.mark.parametrize(
    "first",
    [
        layers.SpectralNormalization(layers.Conv2D(8, 3)),
        layers.EinsumDense("bhwc,cd->bhwd", output_shape=(None, None, 8)),
    ],
    ids=["wrapped convolution", "einsum"],
)
def test_layers_on_the_image_whose_kernels_would_not_be_counted_are_refused(first):
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, head(first(inputs)))
    with pytest.raises(ValueError, match="neither be counted nor pruned"):
        prune(model, flops=0.5)


def test_a_table_of_positions_on_the_input_is_no_kernel():
    class Positions(layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=shape[1:], name="table")

        def call(self, x):
            return x + self.table

    model = keras.Sequential(
        [keras.Input((12, 3)), Positions(), layers.Conv1D(8, 3), layers.Flatten(), layers.Dense(3)]
    )
    assert prune(model, flops=0.5, verbose=False).count_params() < model.count_params()


def test_the_first_layer_is_refused_for_its_own_reason():
    inputs = keras.Input((3, 12, 12))
    x = layers.Conv2D(8, 3, data_format="channels_first")(inputs)
    with pytest.raises(ValueError, match="channels must be on the last axis"):
        prune(keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x))), flops=0.5)
    model = keras.Sequential([keras.Input((12,)), layers.Dense(4), layers.Dense(3)])
    model.layers[0].quantize("int8")
    with pytest.raises(ValueError, match="its weights are quantized"):
        prune(model, flops=0.5)


class OwnCall(keras.Model):
    def call(self, x, training=None):
        return ops.softmax(super().call(x, training=training) * 3)


class OwnStep(keras.Model):
    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


class OwnInit(keras.Model):
    def __init__(self, inputs, outputs, factor, **kwargs):
        super().__init__(inputs, outputs, **kwargs)
        self.factor = factor


def small_network(cls, *args):
    inputs = keras.Input((12, 12, 3))
    return cls(inputs, head(layers.Conv2D(8, 3)(inputs)), *args)


def test_a_model_with_its_own_call_is_refused_and_one_with_its_own_train_step_keeps_it():
    with pytest.raises(ValueError, match="OwnCall overrides call"):
        prune(small_network(OwnCall), flops=0.5)
    nested = keras.Sequential([keras.Input((12, 12, 3)), small_network(OwnCall), layers.Dense(2)])
    with pytest.raises(ValueError, match="OwnCall overrides call"):
        prune(nested, flops=0.5)
    assert type(prune(small_network(OwnStep), flops=0.5, verbose=False)) is OwnStep
    with pytest.warns(UserWarning, match="not OwnInit, which has its own __init__"):
        small = prune(small_network(OwnInit, 2), flops=0.5, verbose=False)
    assert not isinstance(small, OwnInit)


class Standardized(layers.Conv2D):
    """A convolution whose kernel is standardized, which Keras provides `convolution_op` for."""

    def convolution_op(self, inputs, kernel):
        kernel = (kernel - ops.mean(kernel)) / ops.std(kernel)
        return super().convolution_op(inputs, kernel)


class Named(layers.Conv2D):
    """A convolution that computes the same as its parent."""


def test_a_subclass_of_a_convolution_that_computes_something_else_needs_a_rule():
    def network(cls):
        return keras.Sequential(
            [keras.Input((12, 12, 3)), layers.Conv2D(8, 3), cls(8, 3), layers.Flatten()]
            + [layers.Dense(3)]
        )

    with pytest.raises(ValueError, match="Standardized.*register_layer"):
        prune(network(Standardized), flops=0.5)
    prune(network(Named), flops=0.5, verbose=False)


def test_weights_that_all_channels_share_are_copied():
    inputs = keras.Input((12, 12, 3))
    x = layers.PReLU(shared_axes=[1, 2, 3], alpha_initializer="ones")(layers.Conv2D(8, 3)(inputs))
    small = prune(keras.Model(inputs, head(x)), flops=0.5, verbose=False)
    (shared,) = (layer for layer in small.layers if isinstance(layer, layers.PReLU))
    assert shared.alpha.shape == (1, 1, 1) and float(shared.alpha[0, 0, 0]) == 1


def test_normalizations_of_other_axes_are_allowed_on_the_image_only():
    rows = layers.Normalization(axis=1)
    rows.adapt(X)
    given = layers.Normalization(axis=1, mean=np.zeros(12), variance=np.ones(12))
    for first in (rows, given, layers.BatchNormalization(axis=1)):
        model = keras.Sequential(
            [keras.Input((12, 12, 3)), first, layers.Conv2D(8, 3), layers.Flatten()]
            + [layers.Dense(3)]
        )
        prune(model, flops=0.5, verbose=False)
    inputs = keras.Input((12, 12, 3))
    x = layers.BatchNormalization(axis=1, scale=False)(layers.Conv2D(8, 3)(inputs))
    with pytest.raises(ValueError, match="normalizes along axis 1, but channels must be on the"):
        prune(keras.Model(inputs, head(x)), flops=0.5)


def test_positions_are_not_concatenated_and_the_error_names_their_axis():
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3)(inputs)
    model = keras.Model(inputs, head(layers.Concatenate(axis=1)([x, x])))
    with pytest.raises(ValueError, match="it concatenates along axis 1, but only channels, on the"):
        prune(model, flops=0.5)


def test_gradual_pruning_refuses_before_training_what_it_cannot_rebuild():
    class NoConfig(layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, x):
            return x * self.factor

    register_layer(NoConfig, "keep")
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, head(NoConfig(2)(layers.Conv2D(8, 3)(inputs))))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="cannot be rebuilt"):
        model.fit(X, np.zeros((8, 3)), verbose=0, callbacks=[GradualPruning(flops=0.5)])


def two_inputs(**outputs):
    a, b = keras.Input((12, 12, 3), name="a"), keras.Input((12, 12, 3), name="b")
    x = layers.Concatenate()([layers.Conv2D(8, 3)(a), layers.Conv2D(8, 3)(b)])
    return keras.Model([a, b], {name: head(x) for name in outputs} or head(x))


def test_taylor_importance_takes_lists_and_dicts_of_images_and_labels():
    y = np.zeros((8, 3), "float32")
    for images in ([X, X], {"a": X, "b": X}):
        prune(
            two_inputs(),
            flops=0.5,
            importance="taylor",
            data=(images, y),
            loss="mse",
            verbose=False,
        )

    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3)(inputs)
    model = keras.Model(inputs, [head(x), head(x)])

    def loss(labels, outputs):
        return sum(ops.mean((a - b) ** 2, -1) for a, b in zip(labels, outputs, strict=True))

    given = dict(flops=0.5, importance="taylor", data=(X, [y, y]), verbose=False)
    prune(model, loss=loss, **given)
    with pytest.raises(ValueError, match=r"a loss for each of several outputs"):
        prune(model, loss=["mse", "mse"], **given)
    with pytest.raises(ValueError, match="data has 8 images, but 7 or 8 labels"):
        prune(model, loss=loss, **given | {"data": (X, [y, y[:7]])})
    with pytest.raises(ValueError, match="data has 8 images, but 3 labels"):
        prune(model, loss=loss, **given | {"data": (X, [0, 1, 2])})


def test_layers_that_were_unfrozen_in_a_frozen_model_stay_so():
    backbone = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, name="c1"),
            layers.Conv2D(8, 3, name="c2"),
        ],
        name="backbone",
    )
    backbone.trainable = False
    backbone.get_layer("c2").trainable = True
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, head(backbone(inputs)))
    small = prune(model, flops=0.5, verbose=False)
    assert [w.path for w in small.trainable_weights] == [w.path for w in model.trainable_weights]


@pytest.mark.parametrize("pruned, nested", [("ab", ["shared"]), ("b", ["shared", "shared_2"])])
def test_a_nested_model_without_weights_may_be_called_twice(pruned, nested):
    """It stays one model, unless its calls lose different channels."""
    keras.utils.set_random_seed(0)
    shared = keras.Sequential([layers.ReLU(), layers.MaxPooling2D()], name="shared")
    inputs = keras.Input((12, 12, 3))
    both = [shared(layers.Conv2D(8, 3, name=name)(inputs)) for name in "ab"]
    model = keras.Model(inputs, head(layers.Concatenate()(both)))
    small = shrink(model, dict.fromkeys(pruned, ALIVE))
    found = [layer.name for layer in small.layers if isinstance(layer, keras.Model)]
    assert found == nested
    assert small(X).shape == (8, 3)


class Residual(keras.Sequential):
    """A sequential model that adds its input, which its layers do not say."""

    def call(self, x, training=None, mask=None):
        return x + super().call(x, training=training)


def test_a_sequential_model_with_its_own_call_is_refused():
    own = Residual([keras.Input((12, 12, 8)), layers.Conv2D(8, 3, padding="same")], name="own")
    image = keras.Input((12, 12, 3))
    model = keras.Model(image, head(own(layers.Conv2D(8, 3, padding="same", name="conv")(image))))
    for network in (model, own):
        with pytest.raises(ValueError, match="Residual overrides call, .* model 'own' computes"):
            prune(network, flops=0.5)


def test_a_nested_model_may_be_called_with_a_dict_of_its_inputs():
    """Keras finds them by name, in whatever order the dict has them."""
    inputs = [keras.Input((6,), name=name) for name in ("second", "first")]
    made = [layers.Dense(3, name=f"of_{tensor.name}")(tensor) for tensor in inputs]
    inner = keras.Model(inputs, made[0] + 2 * made[1])
    images = [keras.Input((4,)), keras.Input((4,))]
    a, b = (layers.Dense(6, name=n)(x) for n, x in zip("ab", images, strict=True))
    model = keras.Model(images, inner({"second": a, "first": b}))
    kernel = model.get_layer("a").kernel
    kernel.assign(ops.convert_to_numpy(kernel) * np.repeat([0.0, 1.0], 3))
    small = shrink(model, {"a": np.arange(6) >= 3})
    x = [np.random.default_rng(i).normal(size=(5, 4)).astype("float32") for i in range(2)]
    assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-5)
    rows = {w.path.split("/")[-2]: w.shape[0] for w in small.weights if len(w.shape) == 2}
    assert (rows["of_second"], rows["of_first"]) == (3, 6)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch has no sparse inputs")
def test_inputs_stay_sparse():
    image = keras.Input((100,), sparse=True)
    small = prune(keras.Model(image, layers.Dense(4)(layers.Dense(16)(image))), flops=0.5)
    assert small.inputs[0].sparse


class Rectified(layers.Layer):
    """A layer that keeps the name of its activation."""

    activation = "relu"

    def call(self, x):
        return ops.relu(x)


def test_a_custom_layer_may_have_the_name_of_its_activation():
    register_layer(Rectified, "keep")
    image = keras.Input((12, 12, 3))
    model = keras.Model(image, head(Rectified()(layers.Conv2D(8, 3, name="conv")(image))))
    assert prune(model, flops=0.5).get_layer("conv").filters == 4
