"""Classify image files and arrays with a trained network in any format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resbuilder.common.walking import is_broken
from resbuilder.datasets.layout import pictures_below
from resbuilder.datasets.reading import Picture, large_images, read_picture
from resbuilder.saved_network import SavedNetwork

# Pixels per batch: 64 images of 64×64.
_PIXELS = 2**18

#: Called with an image file that cannot be read, and the error.
Unreadable = Callable[[Path, ValueError], object]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of a network for one image file.

    Attributes:
        file: The image file.
        label: Name of the most probable class.
        probability: Probability of this class, according to the network.
        probabilities: Probabilities of all classes by name, in the order of the network's outputs.
        notes: The conversions other than resizing that reading the file took, such as
            ``"converted from CMYK"``; training reads files in the same way.
    """

    file: Path
    label: str
    probability: float
    probabilities: dict[str, float]
    notes: tuple[str, ...] = ()


class Predictor:
    """A trained network that classifies images.

    Args:
        path: A run folder, or an exported network: a ``.keras`` or ``.onnx`` file, or the folder
            of a SavedModel.

    Attributes:
        classes: Names of the classes, in the order of the network's outputs.
        reading: How image files are read (:class:`resbuilder.datasets.ImageReading`); None for
            networks that were not trained on 8-bit pixels.
        input_shape: Height, width and channels of the images that the network takes.
        card: The three attributes above as a :class:`.ModelCard`.

    Raises:
        ValueError: If the file does not exist, cannot be read, or does not name its classes.

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
        saved = SavedNetwork.open(path)
        if saved.card is None:
            raise ValueError(
                f"{saved.path} does not name its classes: another program or an earlier version "
                "of resbuilder wrote it; train the network again, or load the file with Keras"
            )
        self._path, self._outputs, self.card = saved.path, saved.outputs, saved.card
        self.classes, self.reading = self.card.classes, self.card.reading
        self.input_shape = self.card.input_shape

    def predict(
        self, photos: str | Path | Iterable[str | Path], unreadable: Unreadable | None = None
    ) -> Iterator[Prediction]:
        """Predict the classes of image files, one batch at a time.

        Files are decoded and resized like the network's training images.

        Args:
            photos: Image files, and folders. Of a folder, all images in it and in its sub-folders
                are used, in alphabetical order.
            unreadable: Called for an image that cannot be read, which is then skipped. By default,
                the error is raised.

        Yields:
            A :class:`Prediction` for each image.

        Raises:
            ValueError: If the network takes arrays only, a file does not exist or cannot be read,
                or a folder contains no image.
        """
        self.card.reading_of_files(
            self._path, "use Predictor.probabilities() in Python with arrays"
        )
        given = [photos] if isinstance(photos, str | Path) else photos
        return self._predicted(find_pictures(given)[0], unreadable)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of all classes for images given as an array.

        Args:
            images: Raw pixels (n, height, width, channels), in the units of the training data.

        Returns:
            Array of shape (n, classes); the sum of each row is 1.

        Raises:
            ValueError: If the images have the wrong shape, or pixels or outputs are not finite.
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:] != self.input_shape:
            raise ValueError(
                f"expected images (n, {', '.join(map(str, self.input_shape))}), got {images.shape}"
            )
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise ValueError(
                "images have pixels that are NaN or infinite; repair or leave out these images"
            )
        parts = [
            self._outputs(images[at : at + self._batch].astype(np.float32))
            for at in range(0, len(images), self._batch)
        ]
        logits = np.concatenate(parts or [np.empty((0, len(self.classes)))]).astype(np.float64)
        if broken := np.count_nonzero(~np.isfinite(logits).all(axis=1)):
            raise ValueError(
                f"the outputs of {self._path} for {broken} of {len(images)} images are not finite: "
                "the network was trained with too large a learning rate, or these pixels are far "
                "too large"
            )
        # Softmax; subtracting the maximum avoids overflow and changes nothing.
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
                with large_images():
                    read = list(zip(some, pool.map(self._read, some), strict=True))
                for file, picture in read:
                    if isinstance(picture, ValueError):
                        if unreadable is None:
                            raise picture
                        unreadable(file, picture)
                readable = [(f, p) for f, p in read if isinstance(p, Picture)]
                if not readable:
                    continue
                rows = self.probabilities(np.stack([picture.pixels for _, picture in readable]))
                for (file, picture), row in zip(readable, rows, strict=True):
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
    """Return the image files among files and folders.

    Args:
        photos: Files, which are all taken as images whatever their names, and folders.

    Returns:
        The image files, and the visible files in the folders that are not images.

    Raises:
        ValueError: If a file does not exist, or a folder contains no image.
    """
    files: list[Path] = []
    others: list[Path] = []
    for path in map(Path, photos):
        # Reading a broken link fails with a reason of its own.
        if not path.exists() and not is_broken(path):
            raise ValueError(f"{path} does not exist; give image files, or folders of them")
        if not path.is_dir():
            files.append(path)
            continue
        inside, skipped = pictures_below(path)
        if not inside:
            raise ValueError(f"{path} contains no image; give image files, or folders of them")
        files += inside
        others += skipped
    return files, others
