"""From picture files to classes with probabilities, by a trained network in any form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resbuilder.artefact import Artefact
from resbuilder.datasets.layout import pictures_below
from resbuilder.datasets.reading import Picture, read_picture

# Pixels that a network works on at a time: 64 images of 64×64.
_PIXELS = 2**18

#: Is told of a picture that cannot be read, and why.
Unreadable = Callable[[Path, ValueError], object]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of one picture.

    Attributes:
        file: The picture.
        label: Name of the most probable class.
        probability: Its probability, as the network has it.
        probabilities: Of all classes by name, in the order of the network's outputs.
        notes: What reading the file took beside resizing it, such as ``"converted from CMYK"``;
            training reads files in the same way.
    """

    file: Path
    label: str
    probability: float
    probabilities: dict[str, float]
    notes: tuple[str, ...] = ()


class Predictor:
    """A trained network that is asked for classes, with all that this takes from its file.

    Args:
        path: A run folder, or what was exported: a ``.keras`` or ``.onnx`` file, or the folder of
            a SavedModel.

    Attributes:
        classes: Names of the classes, in the order of the network's outputs.
        reading: How pictures are read (:class:`resbuilder.datasets.ImageReading`); None for
            networks that were trained on something else than pixels of 8 bits.
        input_shape: Height, width and channels of the images that the network takes.
        card: The three together, as files of networks hold them.

    Raises:
        ValueError: If the file does not exist, cannot be read, or does not name the classes.

    Example:
        >>> from resbuilder import TrainConfig, train
        >>> from resbuilder.datasets import load
        >>> config = TrainConfig(dataset="digits", width=4, epochs=1, train_limit=200)
        >>> result = train(config, "runs/predicting")
        >>> network = Predictor("runs/predicting")
        >>> network.probabilities(load("digits").x_test[:5]).shape
        (5, 10)
    """

    def __init__(self, path: str | Path):
        artefact = Artefact.open(path)
        if artefact.card is None:
            raise ValueError(
                f"{artefact.path} does not say which classes it tells apart, as files of another "
                "program or of an earlier resbuilder do not; train it again, or load it with Keras"
            )
        self._path, self._outputs, self.card = artefact.path, artefact.outputs, artefact.card
        self.classes, self.reading = self.card.classes, self.card.reading
        self.input_shape = self.card.input_shape

    def predict(
        self, photos: str | Path | Iterable[str | Path], unreadable: Unreadable | None = None
    ) -> Iterator[Prediction]:
        """Say of pictures what they show, a batch at a time.

        Each is decoded and resized as the network's training images were.

        Args:
            photos: Picture files, and folders whose pictures are taken with those in their
                sub-folders, in alphabetical order.
            unreadable: Called for a picture that cannot be read, which is left out then. By
                default the error is raised.

        Yields:
            A :class:`Prediction` for each picture.

        Raises:
            ValueError: If the network takes arrays only, a file does not exist or cannot be read,
                or a folder holds no pictures.
        """
        if self.reading is None:
            raise ValueError(
                f"{self._path} was trained on arrays of {self.input_shape}, not on pixels of 8 "
                "bits, so no picture file can be given to it; use probabilities() with arrays"
            )
        given = [photos] if isinstance(photos, str | Path) else photos
        return self._predicted(find_pictures(given)[0], unreadable)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of all classes for images that are arrays already.

        Args:
            images: Raw pixels (n, height, width, channels), as the training data had them.

        Returns:
            Shape (n, classes), each row with the sum 1.

        Raises:
            ValueError: If the images have another shape, or pixels or outputs are not finite.
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:] != self.input_shape:
            raise ValueError(
                f"expected images (n, {', '.join(map(str, self.input_shape))}), got {images.shape}"
            )
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise ValueError(
                "images hold pixels that are NaN or infinite; repair or leave them out"
            )
        parts = [
            self._outputs(images[at : at + self._batch].astype(np.float32))
            for at in range(0, len(images), self._batch)
        ]
        logits = np.concatenate(parts or [np.empty((0, len(self.classes)))]).astype(np.float64)
        if broken := np.count_nonzero(~np.isfinite(logits).all(axis=1)):
            raise ValueError(
                f"the outputs of {self._path} for {broken} of {len(images)} images are not finite: "
                "it was trained with too large a learning rate, or these pixels are far too large"
            )
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    @property
    def _batch(self) -> int:
        height, width, _ = self.input_shape
        return max(1, _PIXELS // (height * width))

    def _predicted(self, files: list[Path], unreadable: Unreadable | None) -> Iterator[Prediction]:
        with ThreadPoolExecutor() as pool:
            for at in range(0, len(files), self._batch):
                some = files[at : at + self._batch]
                read = list(zip(some, pool.map(self._read, some), strict=True))
                for file, picture in read:
                    if isinstance(picture, ValueError):
                        if unreadable is None:
                            raise picture
                        unreadable(file, picture)
                there = [(f, p) for f, p in read if isinstance(p, Picture)]
                if not there:
                    continue
                rows = self.probabilities(np.stack([picture.pixels for _, picture in there]))
                for (file, picture), row in zip(there, rows, strict=True):
                    named = dict(zip(self.classes, row.tolist(), strict=True))
                    best = int(row.argmax())
                    yield Prediction(
                        file, self.classes[best], float(row[best]), named, picture.conversions
                    )

    def _read(self, file: Path) -> Picture | ValueError:
        assert self.reading is not None
        try:
            return read_picture(file, self.reading)
        except ValueError as error:
            return error


def find_pictures(photos: Iterable[str | Path]) -> tuple[list[Path], list[Path]]:
    """Return the picture files that are meant by files and folders.

    Args:
        photos: Files, which are taken whatever they are called, and folders.

    Returns:
        The pictures, and the visible files in the folders that are none.

    Raises:
        ValueError: If a file does not exist, or a folder holds no picture.
    """
    files: list[Path] = []
    others: list[Path] = []
    for path in map(Path, photos):
        if not path.exists():
            raise ValueError(f"{path} does not exist; give picture files, or folders of them")
        if not path.is_dir():
            files.append(path)
            continue
        inside, passed_over = pictures_below(path)
        if not inside:
            raise ValueError(f"{path} holds no picture; give picture files, or folders of them")
        files += inside
        others += passed_over
    return files, others
