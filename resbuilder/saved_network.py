"""Load a trained network from disk, in any of the formats that training and export write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resbuilder.common.words import first_line
from resbuilder.model import KERAS_SUFFIXES, image_shape, load_network
from resbuilder.model_card import ModelCard, onnx_card, read_keras_card, read_saved_model_card
from resbuilder.run import BEST_MODEL

#: A function from images (n, height, width, channels), float32, to logits (n, classes).
Outputs = Callable[[np.ndarray], np.ndarray]


class _Loaded(NamedTuple):
    outputs: Outputs
    input_shape: tuple
    classes: int | None
    card: ModelCard | None


@dataclass(frozen=True)
class SavedNetwork:
    """A loaded network, whatever the format of its file.

    Attributes:
        path: The file or folder of the network.
        outputs: Function from images (n, height, width, channels), float32, to logits (n, classes).
        card: The meaning of inputs and outputs; None if the file has no card.
    """

    path: Path
    outputs: Outputs
    card: ModelCard | None

    @classmethod
    def open(cls, path: str | Path) -> SavedNetwork:
        """Open a run folder, a ``.keras`` or ``.onnx`` file, or the folder of a SavedModel.

        Raises:
            ValueError: If the file does not exist or cannot be read, its card does not fit the
                network, or the package that runs it is not installed.
        """
        path = Path(path)
        if path.is_dir() and not is_saved_model(path):
            path /= BEST_MODEL
        if not path.exists():
            raise ValueError(
                f"{path} does not exist; give a finished run, a .keras or .onnx file, or the "
                "folder of a SavedModel"
            )
        if path.is_dir():
            loaded = _saved_model(path)
        elif is_onnx(path):
            loaded = _onnx(path)
        elif path.suffix in KERAS_SUFFIXES:
            loaded = _keras(path)
        else:
            raise ValueError(
                f"{path} is not a trained network; give a run folder, a .keras or .onnx file, or "
                "the folder of a SavedModel"
            )
        if loaded.card is not None:
            try:
                loaded.card.check_fits(loaded.input_shape, loaded.classes)
            except ValueError as error:
                raise ValueError(f"{path} is damaged: {error}") from None
        return cls(path, loaded.outputs, loaded.card)


def is_saved_model(path: Path) -> bool:
    """Return whether a path is the folder of a SavedModel."""
    return (path / "saved_model.pb").is_file()


def is_onnx(path: Path) -> bool:
    """Return whether a path has the name of an ONNX file."""
    return path.suffix.lower() == ".onnx"


def _keras(path: Path) -> _Loaded:
    model = load_network(path)
    shape, classes = image_shape(model), model.output_shape[-1]
    return _Loaded(lambda x: model.predict(x, verbose=0), shape, classes, read_keras_card(path))


def _saved_model(path: Path) -> _Loaded:
    try:
        import tensorflow as tf
    except ImportError:
        raise ValueError(f"{path} is a SavedModel and needs TensorFlow to run") from None
    try:
        loaded = tf.saved_model.load(str(path))
        (spec,) = loaded.signatures["serving_default"].structured_input_signature[1].values()
        (output,) = loaded.signatures["serving_default"].structured_outputs.values()
    except Exception as error:  # TensorFlow raises many kinds of exceptions for broken files.
        reason = first_line(error)[:300]
        raise ValueError(f"{path} is not a SavedModel that can be read: {reason}") from None
    # The function keeps a reference to `loaded`, which owns the variables.
    return _Loaded(
        lambda x: loaded.serve(x).numpy(),
        tuple(spec.shape[1:]),
        output.shape[-1],
        read_saved_model_card(path),
    )


def _onnx(path: Path) -> _Loaded:
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(
            f'{path.name} needs onnxruntime to run: pip install "resbuilder[onnx]"'
        ) from None
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (image,), (logits,) = session.get_inputs(), session.get_outputs()
        card = onnx_card(session.get_modelmeta().custom_metadata_map)
    except Exception as error:  # The exceptions of onnxruntime have no common base class.
        reason = first_line(error)[:300]
        raise ValueError(f"{path} is not an ONNX model that can be read: {reason}") from None
    return _Loaded(
        lambda x: session.run(None, {image.name: x})[0],
        tuple(image.shape[1:]),
        logits.shape[-1],
        card,
    )
