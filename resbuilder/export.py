"""Export a trained network as Keras, SavedModel or ONNX, and compare it with the original."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import tree

from resbuilder.common.replacing import check_place
from resbuilder.common.words import first_line
from resbuilder.model import image_shape
from resbuilder.model_card import ModelCard, add_onnx_card, write_keras_card, write_saved_model_card
from resbuilder.saved_network import SavedNetwork

if TYPE_CHECKING:
    import onnx

FORMATS = ("keras", "saved_model", "onnx")
TOLERANCE = 1e-4
IMAGE, LOGITS, BATCH = "image", "logits", "batch"


def export(
    model: keras.Model, path: str | Path, format: str, card: ModelCard | None = None
) -> float:
    """Write a model to a file and check that the file computes the same outputs.

    The input, output and batch axis of an ONNX model are named ``image``, ``logits`` and ``batch``.
    It computes in float32, also if the network was trained in mixed precision: its weights are
    float32 then, and runtimes lack operations in half precision.

    Args:
        model: A Keras model that takes one batch of images.
        path: File (``keras``, ``onnx``) or folder (``saved_model``) to write; must not exist.
        format: ``"keras"``, ``"saved_model"`` (TensorFlow) or ``"onnx"``.
        card: The meaning of inputs and outputs, which is stored in the file, so that
            :class:`.Predictor` can use it.

    Returns:
        The largest difference between the outputs on random images, relative to the largest output.

    Raises:
        ValueError: If the format is unknown, the path exists, a package is missing, the model does
            not take images of a fixed size, or the relative difference exceeds 1e-4. Nothing is
            left at the path in this case.
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"format must be one of {FORMATS}, got {format!r}")
    if format != "saved_model" and path.suffix != f".{format}":
        raise ValueError(
            f"the name of a file in the format {format} must end in .{format}, got {path.name}"
        )
    check_place(path, False, lambda _: None, "give another path")
    images = np.random.default_rng(0).uniform(0, 255, (4, *image_shape(model))).astype("float32")
    if len(model.outputs) != 1:
        raise ValueError(
            f"only a model with one output can be exported, got {len(model.outputs)}: make a model "
            "of the output that you need with keras.Model(model.inputs, output)"
        )
    if format == "onnx":
        model = _in_float32(model)
    (output,) = tree.flatten(model(images, training=False))
    expected = np.asarray(keras.ops.convert_to_numpy(output))
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        written = Path(folder, f"model.{format}" if format != "saved_model" else "model")
        write: Callable[[keras.Model, Path, ModelCard | None], None]
        write = {"keras": _keras, "saved_model": _saved_model, "onnx": _onnx}[format]
        try:
            write(model, written, card)
            outputs = SavedNetwork.open(written).outputs(images)
        except (ValueError, OSError):
            raise
        except Exception as error:  # The exporters' libraries raise many kinds of exceptions.
            raise ValueError(f"the {format} export failed: {first_line(error)}") from error
        difference = float(np.abs(outputs - expected).max() / max(np.abs(expected).max(), 1e-30))
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the exported {format} model computes something else: its outputs differ by "
                f"{difference:.1e} of the largest output; nothing was written"
            )
        if written.is_dir():
            shutil.move(written, path)
        else:
            os.replace(written, path)
    return difference


def _keras(model: keras.Model, path: Path, card: ModelCard | None) -> None:
    model.save(path)
    if card is not None:
        write_keras_card(path, card)


def _saved_model(model: keras.Model, path: Path, card: ModelCard | None) -> None:
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        raise ValueError(
            "the format saved_model needs TensorFlow: pip install 'resbuilder[tensorflow]'"
        ) from None
    model.export(path, format="tf_saved_model", verbose=False)
    if card is not None:
        write_saved_model_card(path, card)


def _onnx(model: keras.Model, path: Path, card: ModelCard | None) -> None:
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError:
        raise ValueError(
            "the format onnx needs further packages: pip install 'resbuilder[onnx]'"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # tf2onnx uses deprecated numpy functions.
        model.export(path, format="onnx", verbose=False)
    written = onnx.load(path)
    _name_ends(written)
    if card is not None:
        add_onnx_card(written, card)
    onnx.checker.check_model(written)
    onnx.save(written, path)


def _in_float32(model: keras.Model) -> keras.Model:
    """Return the model itself, or a copy that computes in float32 if it has mixed precision."""

    def plain(config: Any) -> Any:
        if isinstance(config, dict):
            if config.get("class_name") == "DTypePolicy":
                name = config["config"]["name"]
                if name.startswith("mixed_"):
                    return config | {"config": config["config"] | {"name": "float32"}}
            return {key: plain(value) for key, value in config.items()}
        if isinstance(config, (list, tuple)):
            return type(config)(map(plain, config))
        return config

    before = model.get_config()
    config = plain(before)
    if config == before:
        return model
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def _name_ends(model: onnx.ModelProto) -> None:
    """Name the input, output and batch axis, because each converter chooses other names."""
    graph = model.graph
    (image,), (logits,) = graph.input, graph.output
    names = {image.name: IMAGE, logits.name: LOGITS}
    inside = {name for node in graph.node for name in (*node.input, *node.output)}
    inside |= {tensor.name for tensor in graph.initializer}
    # A tensor inside the graph that already has one of these names is renamed.
    names |= {name: f"{name}_inside" for name in (IMAGE, LOGITS) if name in inside - set(names)}
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        named.name = names.get(named.name, named.name)
    for end in (image, logits):
        end.type.tensor_type.shape.dim[0].dim_param = BATCH
