"""Terms in the loss: their gradient, their λ, and a network that does not contain them."""

import keras
import numpy as np
import pytest

from resbuilder import LayerLasso, build_model, resnet_architecture
from resbuilder.morphnet import MorphNetRegularizer
from resbuilder.training import RegularizedModel

pytestmark = pytest.mark.any_backend
ARCHITECTURE = resnet_architecture((8, 8, 1), 3, (4, 6), (1, 1), "small")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(32, 8, 8, 1)).astype("float32"), RNG.integers(0, 3, 32)


def regularized(jit_compile=False, optimizer=None):
    network = build_model(ARCHITECTURE, seed=1)
    terms = {
        "morphnet": MorphNetRegularizer(network).regularization_term,
        "layer_lasso": LayerLasso(network, ARCHITECTURE.block_convolutions()).regularization_term,
    }
    model = RegularizedModel(network, terms)
    model.compile(
        optimizer or keras.optimizers.SGD(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    return model


def same_outputs(loaded, model):
    # Not bit for bit: XLA fuses the wrapped network differently from the network alone.
    outputs = [m.predict(X, verbose=0) for m in (loaded, model)]
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)


@pytest.mark.slow_on("jax")
def test_training_loss_is_the_task_loss_plus_lambda_times_the_terms():
    model = regularized(optimizer=keras.optimizers.SGD(0.0))
    plain = model.fit(X, Y, batch_size=32, verbose=0).history["loss"][0]
    model.set_strengths(morphnet=1e-6, layer_lasso=1e-3)
    added = model.fit(X, Y, batch_size=32, verbose=0).history["loss"][0] - plain
    morphnet = MorphNetRegularizer(model.network).regularization_term()
    lasso = LayerLasso(model.network, ARCHITECTURE.block_convolutions()).regularization_term()
    assert added == pytest.approx(1e-6 * float(morphnet) + 1e-3 * float(lasso), rel=1e-3)


def test_evaluate_reports_only_the_task_loss():
    model = regularized()
    before = model.evaluate(X, Y, verbose=0, return_dict=True)
    model.set_strengths(morphnet=1.0)
    assert model.evaluate(X, Y, verbose=0, return_dict=True) == before


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.slow_on("jax")
def test_lambda_can_change_between_fits_of_a_compiled_step(jit_compile):
    """A large λ shrinks the block's L1 norm; λ = 0 in the same compiled step does not."""
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch does not compile with XLA")
    model = regularized(jit_compile)
    lasso = LayerLasso(model.network, ARCHITECTURE.block_convolutions())
    start = float(lasso.regularization_term())
    model.fit(X, Y, batch_size=16, verbose=0)
    without = float(lasso.regularization_term())
    model.set_strengths(layer_lasso=1.0)
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    assert abs(without - start) < 0.05
    # SGD with step 1e-3 moves each of the 1,044 weights by 1e-3 a step, four steps.
    count = sum(
        int(np.prod(model.network.get_layer(name).kernel.shape))
        for names in ARCHITECTURE.block_convolutions().values()
        for name in names
    )
    assert float(lasso.regularization_term()) == pytest.approx(without - 4e-3 * count, rel=0.05)


@pytest.mark.slow_on("jax")
def test_the_saved_network_is_plain_and_includes_the_optimizer(tmp_path):
    model = regularized(optimizer=keras.optimizers.Adam())
    model.set_strengths(morphnet=1e-6)
    model.fit(X, Y, batch_size=16, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model.network)
    assert loaded.losses == [] and not any("lambda" in w.path for w in loaded.weights)
    same_outputs(loaded, model)
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
    assert int(loaded.optimizer.iterations) == 2


def test_a_checkpoint_callback_saves_the_network(tmp_path):
    model = regularized()
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss")
    model.fit(X, Y, verbose=0, callbacks=[checkpoint])
    loaded = keras.models.load_model(tmp_path / "best.keras")
    same_outputs(loaded, model)


def test_a_schedule_needs_the_number_of_steps_before_the_training():
    model = RegularizedModel(build_model(ARCHITECTURE), {}, ema=0.9)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=r"call begin\(steps\) before fit"):
        model.fit(X, Y, verbose=0)


def test_unknown_terms_are_refused():
    with pytest.raises(ValueError, match="unknown terms: \\['lasso'\\]; expected \\["):
        regularized().set_strengths(lasso=1.0)


@pytest.mark.parametrize("option", [{"label_smoothing": 0.1}, {"class_weights": [1.0, 2.0, 1.0]}])
def test_one_hot_labels_are_refused_where_class_numbers_are_needed(option):
    model = RegularizedModel(build_model(ARCHITECTURE, seed=1), {}, **option)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
    with pytest.raises(ValueError, match="need class numbers of shape"):
        model.fit(X, np.eye(3)[Y], verbose=0)


def test_losses_are_found_by_the_names_of_the_outputs():
    image = keras.Input((8, 8, 1))
    x = keras.layers.GlobalAveragePooling2D()(image)
    outputs = [keras.layers.Dense(1, name=name)(x) for name in ("first", "second")]
    model = RegularizedModel(keras.Model(image, outputs), {})
    model.compile("sgd", {"second": "mae", "first": "mse"})
    model.fit(X, {"first": Y[:, None], "second": Y[:, None]}, verbose=0)
    plain = keras.Model(image, outputs)
    plain.compile("sgd", {"second": "mae", "first": "mse"})
    given = X, {"first": Y[:, None], "second": Y[:, None]}
    assert model.evaluate(*given, verbose=0)[0] == pytest.approx(
        plain.evaluate(*given, verbose=0)[0]
    )
