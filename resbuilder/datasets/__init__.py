"""Load, split and batch image classification data.

`load` returns a `Dataset` of numpy arrays from any source: scikit-learn, keras.datasets,
tensorflow_datasets, an `.npz` file or a folder of images. `Split` takes a validation part from the
training data, stratified by class; in a folder, the contents of the files decide. `ImageReading`
says how an image file becomes an input, and `read_image` reads it. `Preprocessing` holds the
statistics with which a model scales its raw pixels. `Batches` delivers reproducible batches to
`fit`, with augmentation.

Example:
    >>> data = load("digits")
    >>> split = Split.stratified(data.y_train, fraction=0.2, seed=0)
    >>> train = Batches(data.x_train, data.y_train, split.train, shuffle=True)
    >>> images, labels = train[0]
    >>> images.shape
    (128, 8, 8, 1)
"""

from resbuilder.datasets.batches import Augmentation, Batches
from resbuilder.datasets.dataset import Dataset
from resbuilder.datasets.downloads import DOWNLOADS
from resbuilder.datasets.error_level import error_level_analysis
from resbuilder.datasets.prepare import prepare
from resbuilder.datasets.preprocessing import Preprocessing
from resbuilder.datasets.reading import FITS, ImageReading, read_image
from resbuilder.datasets.record import DataRecord
from resbuilder.datasets.registry import (
    Listing,
    absolute_name,
    available,
    image_sizes,
    is_own_folder,
    load,
    names,
)
from resbuilder.datasets.split import Split

__all__ = [
    "Augmentation",
    "DOWNLOADS",
    "Batches",
    "DataRecord",
    "Dataset",
    "FITS",
    "ImageReading",
    "Listing",
    "Preprocessing",
    "Split",
    "available",
    "error_level_analysis",
    "load",
    "prepare",
    "read_image",
    "absolute_name",
    "image_sizes",
    "is_own_folder",
    "names",
]
