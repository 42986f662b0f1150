"""Load, split and batch image classification data.

`load` returns a `Dataset` of numpy arrays from any source: scikit-learn, keras.datasets,
tensorflow_datasets, an `.npz` file or a folder of images. `Split` takes a validation part from the
training data, stratified by class; in a folder, the contents of the files decide. `ImageReading`
says how an image file becomes an input, and `read_image` reads it. `Preprocessing` holds the
statistics with which a model scales its raw pixels. `Batches` delivers reproducible batches to
`fit`, with augmentation.

Example:
    >>> from resbuilder.datasets import Batches, Split, load
    >>> data = load("digits")
    >>> split = Split.stratified(data.y_train, fraction=0.2, seed=0)
    >>> train = Batches(data.x_train, data.y_train, split.train, shuffle=True)
    >>> images, labels = train[0]
    >>> images.shape
    (128, 8, 8, 1)
"""

from typing import TYPE_CHECKING

from resbuilder.common.lazy import lazy

if TYPE_CHECKING:  # what editors and type checkers see; the same names as below
    from resbuilder.datasets.batches import Augmentation as Augmentation
    from resbuilder.datasets.batches import Batches as Batches
    from resbuilder.datasets.data_record import DataRecord as DataRecord
    from resbuilder.datasets.dataset import Dataset as Dataset
    from resbuilder.datasets.downloads import DOWNLOADS as DOWNLOADS
    from resbuilder.datasets.error_level import error_level_analysis as error_level_analysis
    from resbuilder.datasets.preparation import prepare as prepare
    from resbuilder.datasets.preprocessing import Preprocessing as Preprocessing
    from resbuilder.datasets.reading import ImageReading as ImageReading
    from resbuilder.datasets.reading import read_image as read_image
    from resbuilder.datasets.registry import Listing as Listing
    from resbuilder.datasets.registry import absolute_name as absolute_name
    from resbuilder.datasets.registry import available as available
    from resbuilder.datasets.registry import check_found as check_found
    from resbuilder.datasets.registry import folder_of as folder_of
    from resbuilder.datasets.registry import image_sizes as image_sizes
    from resbuilder.datasets.registry import is_own_folder as is_own_folder
    from resbuilder.datasets.registry import load as load
    from resbuilder.datasets.registry import names as names
    from resbuilder.datasets.split import Split as Split

# Loaded on first use, so that a command can check its dataset before it loads a backend.
_HOMES = {
    "Augmentation": "batches",
    "Batches": "batches",
    "DOWNLOADS": "downloads",
    "DataRecord": "data_record",
    "Dataset": "dataset",
    "ImageReading": "reading",
    "Listing": "registry",
    "Preprocessing": "preprocessing",
    "Split": "split",
    "absolute_name": "registry",
    "available": "registry",
    "check_found": "registry",
    "error_level_analysis": "error_level",
    "image_sizes": "registry",
    "folder_of": "registry",
    "is_own_folder": "registry",
    "load": "registry",
    "names": "registry",
    "prepare": "preparation",
    "read_image": "reading",
}

__all__ = list(_HOMES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _HOMES)
