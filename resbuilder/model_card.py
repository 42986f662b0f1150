"""The model card: the meaning of a network's inputs and outputs, stored in each of its files.

It is stored under the name ``model_card``: in the ``metadata.json`` of a ``.keras`` file, whose
further keys Keras ignores; in the ``metadata_props`` of an ONNX file; in the ``assets.extra`` of a
SavedModel, TensorFlow's folder for files that users add; and in a run's ``architecture.json``.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from resbuilder.architecture import Architecture
from resbuilder.architecture.serialization import items, read_object
from resbuilder.common.files import atomically, parse_json, write_json
from resbuilder.datasets import Dataset, ImageReading

if TYPE_CHECKING:
    import onnx

FORMAT, VERSION = "resbuilder.model_card", 1
KEY = "model_card"
LABELS = "labels.txt"
# The most bytes of metadata to read; a thousand class names need some ten thousand.
_MOST_BYTES = 2**24


@dataclass(frozen=True)
class ModelCard:
    """The inputs and outputs of a network; the network itself scales the pixels.

    Attributes:
        classes: Names of the classes, in the order of the outputs (logits).
        input_shape: Height, width and channels of the input images, in raw pixels.
        reading: How to read an image file; None if the network cannot take image files, because it
            was not trained on 8-bit pixels.
    """

    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    reading: ImageReading | None

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Return the card of a network that is trained on a dataset."""
        return cls(dataset.class_names, dataset.input_shape, dataset.reading)

    def to_json(self) -> dict[str, Any]:
        """Return a versioned, plain dictionary for ``json.dump``."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "classes": list(self.classes),
            "input_shape": list(self.input_shape),
            "reading": None if self.reading is None else self.reading.to_json(),
            # For people only; the same for all networks.
            "input": "float32 raw pixels, batch × height × width × channels",
            "output": "logits, batch × classes; apply softmax to get probabilities",
        }

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Return the card from the dictionary of :meth:`to_json`; unknown keys are ignored.

        Raises:
            ValueError: If it is not a card, has a newer version, or contains an invalid value.
        """
        fields = read_object(data, FORMAT, VERSION)
        classes, shape = items(fields, "classes"), items(fields, "input_shape")
        if not classes or not all(isinstance(name, str) for name in classes):
            raise ValueError("'classes' must be a list of names")
        if len(set(classes)) < len(classes):
            raise ValueError("'classes' must be different names")
        if len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
            raise ValueError("'input_shape' must be height, width and channels")
        found = fields.get("reading")
        reading = None if found is None else ImageReading.from_json(found)
        if reading is not None and reading.input_shape != tuple(shape):
            raise ValueError(
                f"image files are read with shape {reading.input_shape}, but the network takes "
                f"{tuple(shape)}"
            )
        return cls(tuple(classes), (shape[0], shape[1], shape[2]), reading)

    def reading_of_files(self, path: object, instead: str) -> ImageReading:
        """Return how to read image files for the network.

        Args:
            path: The network's file, for the error.
            instead: What the user can do if the network cannot take image files.

        Raises:
            ValueError: If it cannot, because it was not trained on 8-bit pixels.
        """
        if self.reading is None:
            raise ValueError(
                f"{path} cannot classify image files, which have 1 or 3 channels of 8-bit pixels: "
                f"it was trained on other arrays, of shape {self.input_shape}; {instead}"
            )
        return self.reading

    def check_fits(self, input_shape: tuple, classes: int | None) -> None:
        """Raise ValueError if a network has other inputs or outputs than the card says."""
        if (self.input_shape, len(self.classes)) != (input_shape, classes):
            raise ValueError(
                f"it takes images of shape {input_shape} and has {classes} outputs, but its model "
                f"card says images of shape {self.input_shape} and {len(self.classes)} classes"
            )


def write_labels(folder: Path, card: ModelCard) -> None:
    """Write ``labels.txt``: one class name per line, in the order of the outputs."""
    lines = (" ".join(name.splitlines()) for name in card.classes)
    with atomically(folder / LABELS) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_architecture(folder: Path, architecture: Architecture, card: ModelCard) -> None:
    """Write ``architecture.json``, which includes the card, and ``labels.txt`` to a run folder."""
    write_json(folder / "architecture.json", architecture.to_json() | {KEY: card.to_json()})
    write_labels(folder, card)


def write_keras_card(path: Path, card: ModelCard) -> None:
    """Store a card in a ``.keras`` file."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with atomically(path) as part, zipfile.ZipFile(part, "w") as archive:
        for info, content in members:
            if info.filename == "metadata.json":
                content = json.dumps(json.loads(content) | {KEY: card.to_json()}).encode()
            # In metadata.json, because with one more member Keras would unpack the whole archive.
            archive.writestr(info, content)


def read_keras_card(path: Path) -> ModelCard | None:
    """Return the card in a ``.keras`` file; None if it has none, or is in an older format.

    Raises:
        ValueError: If the file or its card cannot be read.
    """
    try:
        if not zipfile.is_zipfile(path):  # such as .h5
            return None
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("metadata.json").file_size > _MOST_BYTES:
                raise ValueError("its metadata.json is too large")
            metadata = parse_json(archive.read("metadata.json"))
        return _card_in(metadata)
    except KeyError:  # no metadata.json
        return None
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is not a Keras model that can be read: {error}") from None


def write_saved_model_card(folder: Path, card: ModelCard) -> None:
    """Store a card and ``labels.txt`` in a SavedModel."""
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    write_json(extra / f"{KEY}.json", {KEY: card.to_json()})
    write_labels(extra, card)


def read_saved_model_card(folder: Path) -> ModelCard | None:
    """Return the card in a SavedModel, or None if it has none.

    Raises:
        ValueError: If the card cannot be read.
    """
    path = folder / "assets.extra" / f"{KEY}.json"
    try:
        return _card_in(parse_json(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def add_onnx_card(model: onnx.ModelProto, card: ModelCard) -> None:
    """Store a card in an ONNX model."""
    model.metadata_props.add(key=KEY, value=json.dumps(card.to_json(), ensure_ascii=False))


def onnx_card(metadata: dict[str, str]) -> ModelCard | None:
    """Return the card in the ``metadata_props`` of an ONNX model, or None if it has none.

    Raises:
        ValueError: If the card cannot be read.
    """
    return ModelCard.from_json(metadata[KEY]) if KEY in metadata else None


def _card_in(data: Any) -> ModelCard | None:
    if not isinstance(data, dict) or KEY not in data:
        return None
    return ModelCard.from_json(data[KEY])
