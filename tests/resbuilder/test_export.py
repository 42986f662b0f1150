"""Exported models compute the same as the original, or are not written."""

import keras
import numpy as np
import pytest

from resbuilder import build_model, resnet_architecture
from resbuilder.datasets import Preprocessing
from resbuilder.export import export


@pytest.fixture(scope="module")
def model():
    architecture = resnet_architecture((12, 12, 3), 5, (4, 8), (1, 1), "small")
    model = build_model(architecture, Preprocessing((0.01,) * 3, (-1.0,) * 3), seed=0)
    # Moving statistics that differ from those of a new layer.
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(size=layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
    return model


def images(n):
    return np.random.default_rng(1).uniform(0, 255, (n, 12, 12, 3)).astype("float32")


@pytest.mark.parametrize("format", ["keras", "saved_model", "onnx"])
def test_exported_model_gives_the_same_outputs_for_any_batch(model, tmp_path, format):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow writes SavedModel and ONNX")
    path = tmp_path / ("exported" if format == "saved_model" else f"exported.{format}")
    assert export(model, path, format) < 1e-4
    x = images(7)
    if format == "keras":
        outputs = keras.models.load_model(path).predict(x, verbose=0)
    elif format == "saved_model":
        import tensorflow as tf

        loaded = tf.saved_model.load(str(path))
        outputs = loaded.serve(x).numpy()
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: x})[0]
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("half", ["mixed_float16", "mixed_bfloat16"])
def test_an_onnx_file_of_a_network_in_mixed_precision_computes_in_float32(model, tmp_path, half):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow writes ONNX")
    import onnxruntime

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(half)
    try:
        architecture = resnet_architecture((12, 12, 3), 5, (4, 8), (1, 1), "small")
        mixed = build_model(architecture, Preprocessing((0.01,) * 3, (-1.0,) * 3), seed=0)
    finally:
        keras.config.set_dtype_policy(before)
    mixed.set_weights(model.get_weights())
    export(mixed, tmp_path / "mixed.onnx", "onnx")
    session = onnxruntime.InferenceSession(tmp_path / "mixed.onnx")
    (outputs,) = session.run(["logits"], {"image": images(7)})
    expected = model.predict(images(7), verbose=0)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_an_export_that_computes_something_else_leaves_no_file(model, tmp_path, monkeypatch):
    other = keras.models.clone_model(model)  # It has other weights.
    monkeypatch.setattr("resbuilder.export._keras", lambda model, path, card: other.save(path))
    with pytest.raises(ValueError, match="computes something else"):
        export(model, tmp_path / "model.keras", "keras")
    assert list(tmp_path.iterdir()) == []


def test_a_bad_argument_is_named_in_the_error(model, tmp_path):
    with pytest.raises(ValueError, match="format must be one of"):
        export(model, tmp_path / "m", "tflite")
    with pytest.raises(ValueError, match="must end in .keras, got m.h5"):
        export(model, tmp_path / "m.h5", "keras")
    two = keras.Model(model.inputs, {"a": model.output, "b": model.output})
    with pytest.raises(ValueError, match="only a model with one output can be exported, got 2"):
        export(two, tmp_path / "two.keras", "keras")
    (tmp_path / "taken.keras").write_text("")
    with pytest.raises(ValueError, match="already exists"):
        export(model, tmp_path / "taken.keras", "keras")
    with pytest.raises(ValueError, match="folder of .* does not exist"):
        export(model, tmp_path / "no" / "m.keras", "keras")
