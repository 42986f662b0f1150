"""engine="google": Google's implementation on Keras models.

Tests that need ``morph_net`` are skipped if it is not installed (the README says how to).
"""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

from resbuilder import SearchConfig, search
from resbuilder.cli import main
from resbuilder.morphnet import MorphNetRegularizer
from resbuilder.morphnet.google import GoogleRegularizer, readable_model
from resbuilder.pipeline import steps
from resbuilder.run import MorphNetStep, read_journal
from resbuilder.training import RegularizedModel, morphnet_of

FIXTURES = Path(__file__).parents[2] / "fixtures" / "morphnet"
NAMES = [
    *("chain", "resnet", "resnet_proj", "reference_style"),
    *("no_bn", "flatten_dense", "depthwise", "mixed_strides"),
]
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
SEARCH = {
    "dataset": "digits",
    "train_limit": 100,
    "epochs": 1,
    "batch_size": 40,
    "width": 6,
    "stages": 2,
    "flops": 100_000,
    "rounds": 1,
    "insertions": 1,
    "tau_morphnet": 0.15,
    "lambda_morphnet": 1e-4,
}


on_tensorflow = pytest.mark.skipif(not ON_TENSORFLOW, reason="needs TensorFlow")


@pytest.fixture
def morph_net():
    if not ON_TENSORFLOW:
        pytest.skip("needs TensorFlow")
    return pytest.importorskip("morph_net")


@pytest.fixture
def no_morph_net(monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "morph_net"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "morph_net", None)


def conv_relu_dense(dtype=None):
    """Return a convolution 1 → 3 (3×3, image 4×4), ReLU, and a dense layer 3 → 2."""
    inputs = keras.Input((4, 4, 1))
    x = layers.ReLU(name="relu")(
        layers.Conv2D(3, 3, padding="same", name="conv", dtype=dtype)(inputs)
    )
    x = layers.Dense(2, name="logits", dtype=dtype)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x)


def normalized(network) -> bool:
    return any(isinstance(layer, layers.BatchNormalization) for layer in network.layers)


@pytest.mark.any_backend
def test_a_missing_requirement_is_reported(no_morph_net):
    message = "pip install .*morph-net@d9286a1" if ON_TENSORFLOW else "KERAS_BACKEND=tensorflow"
    with pytest.raises(ValueError, match=message):
        MorphNetRegularizer(conv_relu_dense(), engine="google")
    with pytest.raises(ValueError, match="engine must be one of.*'goggle'"):
        MorphNetRegularizer(conv_relu_dense(), engine="goggle")


def test_a_search_without_morph_net_leaves_no_files(no_morph_net, tmp_path):
    out = tmp_path / "run"
    options = ["search", "--dataset", "digits", "--engine", "google", "--out", str(out)]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 2
    assert result.output.startswith('Error: --engine="google" needs Google\'s morph_net')
    assert not out.exists()


@on_tensorflow
def test_the_readable_copy_has_the_outputs_of_the_model(network):
    import tensorflow as tf

    model = readable_model(network, "group_lasso")
    model.set_weights(network.get_weights())
    images = np.random.default_rng(0).normal(size=(2, *network.input_shape[1:])).astype("float32")
    expected = network(images, training=False)
    np.testing.assert_allclose(model(images, training=False), expected, rtol=1e-4, atol=1e-5)
    # Each batch normalization is the one operation that the crawl recognizes.
    traced = tf.function(model, autograph=False).get_concrete_function(images, training=False)
    kinds = [operation.type for operation in traced.graph.get_operations()]
    assert kinds.count("FusedBatchNormV3") == sum(
        isinstance(layer, layers.BatchNormalization) for layer in network.layers
    )


def test_gamma_of_anything_but_images_is_refused():
    inputs = keras.Input((4, 4, 1))
    x = layers.BatchNormalization(name="flat")(layers.Flatten()(inputs))
    with pytest.raises(ValueError, match="layer 'flat' normalizes .16,."):
        readable_model(keras.Model(inputs, layers.Dense(2)(x)), "gamma")


@pytest.mark.parametrize("name", ["depthwise", "mixed_strides"])
def test_recorded_values_of_small_models(name, equals_goldens, morph_net):
    equals_goldens(FIXTURES, name, engine="google")


@pytest.mark.parametrize("name", NAMES)
def test_recorded_values_of_all_reference_models(name, equals_goldens, morph_net, shared):
    equals_goldens(shared / "morphnet_reference", name, engine="google")


@pytest.mark.parametrize("resource", ["flops", "model_size", "activation"])
def test_both_engines_agree_on_every_kind_of_network(network, resource, morph_net):
    for algorithm in ("group_lasso", "gamma") if normalized(network) else ("group_lasso",):
        arguments = (network, algorithm, resource, 0.3)
        google = MorphNetRegularizer(*arguments, engine="google")
        native = MorphNetRegularizer(*arguments, strict=True)
        for result in ("regularization_term", "cost", "exact_cost"):
            expected = float(getattr(native, result)())
            assert float(getattr(google, result)()) == pytest.approx(expected, rel=1e-5)
        for result in ("alive", "group_values"):
            expected, found = getattr(native, result)(), getattr(google, result)()
            assert found.keys() == expected.keys()
            for layer, values in expected.items():
                np.testing.assert_allclose(found[layer], values, rtol=1e-5)


def test_latency_includes_the_data_moved_by_a_relu(morph_net):
    arguments = {"resource": "latency", "peak_flops": 1e12, "bandwidth": 1e3, "threshold": 0}
    model = conv_relu_dense()
    google = MorphNetRegularizer(model, engine="google", **arguments)
    native = MorphNetRegularizer(model, strict=True, **arguments)
    # 16 positions of 3 channels, 4 bytes each, read and written.
    moved = 2 * 16 * 3 * 4 / 1e3
    assert google.exact_cost() == pytest.approx(native.exact_cost() + moved)
    added = float(google.regularization_term()) - float(native.regularization_term())
    r = google.group_values()["conv"].sum()
    assert added == pytest.approx(2 * 16 * r * 4 / 1e3, rel=1e-4)


def test_weights_in_half_precision_are_read_as_float32(morph_net):
    model = conv_relu_dense("mixed_float16")
    google = float(MorphNetRegularizer(model, engine="google").regularization_term())
    native = MorphNetRegularizer(model, strict=True).regularization_term()
    assert google == pytest.approx(float(native), rel=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_training_gives_the_same_result(jit_compile, morph_net):
    start = keras.models.load_model(FIXTURES / "depthwise.keras")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, *start.input_shape[1:]))
    y = rng.integers(0, start.output_shape[-1], len(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    changes = []
    for options in ({"engine": "google"}, {"strict": True}):
        network = keras.models.clone_model(start)
        network.set_weights(start.get_weights())
        term = MorphNetRegularizer(network, **options).regularization_term
        model = RegularizedModel(network, {"morphnet": term})
        model.set_strengths(morphnet=1e-5)
        model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=jit_compile)
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        pairs = zip(network.weights, start.get_weights(), strict=True)
        changes.append([weight.numpy() - before for weight, before in pairs])
    for google, native in zip(*changes, strict=True):
        np.testing.assert_allclose(google, native, rtol=1e-3, atol=1e-6)
    assert float(term()) < float(MorphNetRegularizer(start, strict=True).regularization_term())


def test_a_search_makes_the_same_decisions_as_the_strict_native_engine(
    tmp_path, monkeypatch, morph_net
):
    judged = []

    def compared(network, config):
        google = morphnet_of(network, config)
        native = MorphNetRegularizer(network, threshold=config.tau_morphnet, strict=True)
        judged.append((google.alive(), native.alive()))
        assert isinstance(google, GoogleRegularizer)
        return google

    monkeypatch.setattr(steps, "morphnet_of", compared)
    result = search(SearchConfig(**SEARCH, engine="google"), tmp_path / "run")
    entries, _ = read_journal(result.run / "journal.jsonl")
    (step,) = (entry.event for entry in entries if isinstance(entry.event, MorphNetStep))
    ((google, native),) = judged
    assert {name: alive.tolist() for name, alive in google.items()} == {
        name: alive.tolist() for name, alive in native.items()
    }
    assert step.alive == {name: alive.sum() for name, alive in google.items()}
    assert 0 < step.alive["stem"] < SEARCH["width"]
    assert result.reason == "all rounds are done"
