"""Models with code of the user: activations, losses, layers, and compile() of their own."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

from resbuilder.morphnet import MorphNetRegularizer, prune, register_layer, shrink

pytestmark = pytest.mark.any_backend


def images(shape=(8, 8, 3), count=4):
    return np.random.default_rng(0).normal(size=(count, *shape)).astype("float32")


def classifier(*between, width=8, **options):
    """Return a model of a convolution, the given layers, and a classifier."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 3))
    x = layers.Conv2D(width, 3, name="conv", **options)(x)
    for layer in between:
        x = layer(x)
    return keras.Model(image, layers.Dense(4, name="out")(layers.GlobalAveragePooling2D()(x)))


def perceptron(**options):
    image = keras.Input((3,))
    return keras.Model(image, layers.Dense(2)(layers.Dense(8, name="hidden", **options)(image)))


def difference(model, other, x):
    return np.abs(model.predict(x, verbose=0) - other.predict(x, verbose=0)).max()


def relu(x):  # not Keras' function of this name
    return ops.clip(x, 0.0, 1.0)


@pytest.mark.parametrize("activation", [relu, lambda x: ops.clip(x, 0.0, 1.0)])
def test_the_users_own_activation_is_kept(activation):
    model = classifier(activation=activation)
    small = shrink(model, {"conv": np.ones(8, bool)})
    assert difference(model, small, images()) < 1e-6


@pytest.mark.parametrize("layer", [layers.LayerNormalization, layers.Softmax])
def test_channels_that_a_layer_combines_are_not_removed_even_if_they_are_0(layer):
    model, mask = classifier(layer()), np.arange(8) > 3
    with pytest.raises(ValueError, match=r"'conv' removes 4 channels \(0, 1, 2, .* combines"):
        shrink(model, {"conv": mask})


def test_outputs_of_the_model_are_not_removed():
    with pytest.raises(ValueError, match=r"'out' removes 1 channel \(3\) that are outputs"):
        shrink(classifier(), {"out": np.arange(4) < 3})


class OwnConvolution(layers.Layer):
    """A 3×3 convolution without the attribute kernel_size."""

    def __init__(self, filters, **options):
        super().__init__(**options)
        self.filters = filters

    def build(self, shape):
        self.kernel = self.add_weight(shape=(3, 3, shape[-1], self.filters), name="kernel")

    def call(self, x):
        return ops.conv(x, self.kernel)

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] - 2, shape[2] - 2, self.filters)

    def get_config(self):
        return super().get_config() | {"filters": self.filters}


def test_the_cost_of_a_users_convolution_follows_from_its_kernel():
    register_layer(OwnConvolution, "conv")
    model = classifier(OwnConvolution(16), width=16)
    flops = 2 * (36 * 9 * 3 * 16 + 16 * 9 * 16 * 16 + 16 * 4)
    assert MorphNetRegularizer(model).exact_cost() == flops
    assert prune(model, parameters=700).count_params() <= 700


def test_weights_that_do_not_decay_are_the_same():
    model = perceptron()
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=[model.layers[2].kernel], var_names=["bias"])
    model.compile(optimizer, "mse")
    small = prune(model, parameters=0.6)
    decays = [small.optimizer._use_weight_decay(v) for v in small.trainable_variables]
    assert decays == [True, False, False, False]  # kernel and bias of both layers


def test_a_single_weight_stays_frozen():
    model = classifier(layers.BatchNormalization(name="norm"))
    model.get_layer("norm").gamma.trainable = False
    small = prune(model, parameters=0.7)
    norm = small.get_layer("norm")
    assert (norm.gamma.trainable, norm.beta.trainable) == (False, True)


def test_the_scale_of_a_normalization_after_an_activation_counts():
    model = classifier(layers.ReLU(), layers.BatchNormalization(name="norm"))
    norm, dead = model.get_layer("norm"), np.arange(8) % 2 == 0
    for weight in (norm.gamma, norm.beta):
        weight.assign(np.where(dead, 0, 1.5))
    exact = shrink(model, {"conv": ~dead})
    small = prune(model, parameters=exact.count_params())
    assert small.count_params() == exact.count_params()
    assert difference(model, small, images()) < 1e-5


@keras.saving.register_keras_serializable("test_user_code")
class Focal(keras.losses.Loss):
    """A loss whose configuration lacks an argument."""

    def __init__(self, gamma=2.0, name="focal", **options):
        super().__init__(name=name, **options)
        self.gamma = gamma

    def call(self, y, p):
        return self.gamma * ops.mean(ops.square(y - p), -1)


def test_the_loss_is_the_same_object():
    model = perceptron()
    model.compile("sgd", Focal(7.0), loss_weights=[0.5])
    assert prune(model, parameters=0.6).loss is model.loss


class Distiller(keras.Model):
    def compile(self, optimizer, loss, alpha=0.1, **options):
        super().compile(optimizer=optimizer, loss=loss, **options)
        self.alpha = alpha


class Adversary(keras.Model):
    def compile(self, opt, alpha):
        super().compile(optimizer=opt, loss="mse")
        self.alpha = alpha


def test_arguments_of_a_compile_method_of_the_users_are_not_reset_silently():
    image = keras.Input((3,))
    output = layers.Dense(2)(layers.Dense(8)(image))
    model = Distiller(image, output)
    model.compile("adam", "mse", 0.7)
    with pytest.warns(UserWarning, match=r"Distiller has its own compile\(\): arguments that"):
        prune(model, parameters=0.6)
    model = Adversary(image, output)
    model.compile("adam", 0.7)
    with pytest.raises(ValueError, match=r"Adversary has its own compile\(\)"):
        prune(model, parameters=0.6)


class Forgetful(OwnConvolution):
    """A convolution whose configuration lacks an argument."""

    def __init__(self, filters, gain=1.0, **options):
        super().__init__(filters, **options)
        self.gain = gain

    def call(self, x):
        return self.gain * super().call(x)


class Shifted(Forgetful):
    """It passes the forgotten argument on to its base class."""

    def __init__(self, filters, shift=0.0, **options):
        super().__init__(filters, **options)
        self.shift = shift

    def get_config(self):
        return super().get_config() | {"shift": self.shift}


class Cooling(keras.optimizers.SGD):
    def __init__(self, learning_rate=0.1, cooling=0.5, **options):
        super().__init__(learning_rate, **options)
        self._cooling = cooling


class Within(keras.metrics.Mean):
    def __init__(self, margin, **options):
        super().__init__(**options)
        self.margin = margin

    @classmethod
    def from_config(cls, config):
        return cls(config.pop("margin", 3), **config)


def test_arguments_that_a_configuration_lacks_are_not_reset_silently():
    """A copy would have the default, which this object has too or not."""
    register_layer(Forgetful, "conv")
    assert prune(classifier(Forgetful(8)), parameters=0.7).count_params() > 0
    with pytest.raises(ValueError, match=r"layer 'forgetful.*' \(Forgetful\) lacks gain, so that"):
        prune(classifier(Forgetful(8, gain=2.0)), parameters=0.7)
    register_layer(Shifted, "conv")
    with pytest.raises(ValueError, match=r"layer 'shifted.*' \(Shifted\) lacks gain, so that"):
        prune(classifier(Shifted(8, shift=1.0, gain=2.0)), parameters=0.7)
    model = perceptron()
    model.compile(Cooling(0.1, cooling=0.9), "mse")
    with pytest.warns(UserWarning, match="cooling of Cooling will have the default in the new"):
        prune(model, parameters=0.6)
    for optimizer in (Cooling(0.1), keras.optimizers.Adam(1e-3, clipnorm=2.0)):
        model.compile(optimizer, "mse", metrics=[Within(3)])
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            prune(model, parameters=0.6)


def test_a_dropout_with_noise_for_each_channel_fits_the_new_width():
    model = classifier(layers.Dropout(0.5, noise_shape=(None, 1, 1, 8)))
    model.compile("sgd", "mse", jit_compile=False)
    small = prune(model, parameters=0.7)
    small.fit(images(), np.zeros((4, 4)), verbose=0)


class Shift(layers.Activation):
    """Looks like an activation, but divides by the size of all channels."""

    def call(self, x):
        return x / ops.sqrt(1e-3 + ops.mean(x**2, axis=-1, keepdims=True))


def relative(x):
    return x / ops.max(ops.abs(x), axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: keras.Model(
                image := keras.Input((3,)),
                layers.Dense(2)(
                    ops.clip(layers.Dense(8)(image), np.zeros(8, "f"), np.arange(8, dtype="f"))
                ),
            ),
            "it holds an array with one value for each channel",
        ),
        (
            lambda: keras.Model(
                image := keras.Input((8, 8, 3)), ops.conv(image, np.ones((3, 3, 3, 4), "f"))
            ),
            "its kernel is not a weight of a layer",
        ),
        (
            lambda: keras.Model(
                image := keras.Input((20, 6)),
                layers.GlobalAveragePooling1D()(layers.Dense(16)(layers.Masking()(image))),
            ),
            "models with masks are not supported",
        ),
        (lambda: classifier(Shift("linear")), "its effect on channels is unknown"),
    ],
)
def test_what_cannot_be_pruned_is_refused_at_once(model, message):
    with pytest.raises(ValueError, match=message):
        prune(model(), parameters=0.6)


def test_an_activation_that_depends_on_the_largest_channel_combines_channels():
    model = classifier(activation=relative, width=64)
    with pytest.raises(ValueError, match="combines"):
        shrink(model, {"conv": np.arange(64) > 3})
