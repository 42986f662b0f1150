"""A trained network for deployment: Keras, SavedModel or ONNX, checked against the original."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np

from resbuilder.common.replacing import check_place
from resbuilder.model import image_shape, load_network

FORMATS = ("keras", "saved_model", "onnx")
TOLERANCE = 1e-4


def export(model: keras.Model, path: str | Path, format: str) -> float:
    """Write a model and compare what the written file computes with the model itself.

    Args:
        model: A model of one batch of images.
        path: File (``keras``, ``onnx``) or folder (``saved_model``) to write; must not exist.
        format: ``"keras"``, ``"saved_model"`` (TensorFlow) or ``"onnx"``.

    Returns:
        The largest difference between the outputs on random images, relative to the largest output.

    Raises:
        ValueError: If the format is unknown, the path exists, a package is missing, the model takes
            something else than images of a fixed size, or the outputs differ by more than 1e-4.
            Nothing is left at the path then.
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"format must be one of {FORMATS}, got {format!r}")
    if format != "saved_model" and path.suffix != f".{format}":
        raise ValueError(f"a file in the format {format} must end in .{format}, got {path.name}")
    check_place(path, False, lambda _: None, "give another path")
    images = np.random.default_rng(0).uniform(0, 255, (4, *image_shape(model))).astype("float32")
    expected = np.asarray(keras.ops.convert_to_numpy(model(images, training=False)))
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        written = Path(folder, f"model.{format}" if format != "saved_model" else "model")
        write = {"keras": _keras, "saved_model": _saved_model, "onnx": _onnx}[format]
        try:
            outputs = write(model, written, images)
        except (ValueError, OSError):
            raise
        except Exception as error:  # whatever the exporter's own libraries raise
            first_line = (str(error) or type(error).__name__).splitlines()[0]
            raise ValueError(f"the {format} export failed: {first_line}") from error
        difference = float(np.abs(outputs - expected).max() / max(np.abs(expected).max(), 1e-30))
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the exported {format} model computes something else: its outputs differ by "
                f"{difference:.1e} of the largest; not written"
            )
        if written.is_dir():
            shutil.move(written, path)
        else:
            os.replace(written, path)
    return difference


def _keras(model: keras.Model, path: Path, images: np.ndarray) -> np.ndarray:
    model.save(path)
    return load_network(path).predict(images, verbose=0)


def _saved_model(model: keras.Model, path: Path, images: np.ndarray) -> np.ndarray:
    try:
        import tensorflow as tf
    except ImportError:
        raise ValueError("a SavedModel needs TensorFlow: pip install tensorflow") from None
    model.export(path, format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(str(path))  # must outlive the call: it owns the variables
    return loaded.serve(images).numpy()


def _onnx(model: keras.Model, path: Path, images: np.ndarray) -> np.ndarray:
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError:
        raise ValueError('ONNX needs further packages: pip install "resbuilder[onnx]"') from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # tf2onnx' own, of numpy
        model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]
