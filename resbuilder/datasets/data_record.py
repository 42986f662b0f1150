"""What a run records about its data: classes, how image files are read, and the parts of files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from resbuilder.common.words import composed
from resbuilder.datasets.reading import ImageReading
from resbuilder.variants import PARTS

#: The parts of a run's files: those of a dataset, and files beyond a limit of training images.
UNUSED = "unused"
RECORDED = (*PARTS, UNUSED)


class RecordedFile(NamedTuple):
    """An image file of a run.

    Attributes:
        name: Its path inside the dataset's folder, with slashes.
        content: Hash of its content, from :func:`.content.content_of`.
        label: Number of its class.
    """

    name: str
    content: str
    label: int


@dataclass(frozen=True)
class DataRecord:
    """What a run records about its data.

    Attributes:
        classes: Names of the classes, in the order of the labels.
        reading: How an image file becomes an input of the network; None if it cannot be one.
        files: For a folder, the files of each part in :data:`RECORDED`; None for other data.
        notes: How the data were converted, as sentences for the reader.
    """

    classes: tuple[str, ...]
    reading: ImageReading | None
    files: Mapping[str, tuple[RecordedFile, ...]] | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dictionary for JSON."""
        files = self.files
        return {
            "classes": list(self.classes),
            "reading": self.reading and self.reading.to_json(),
            "notes": list(self.notes),
            "files": files and {part: [list(f) for f in files[part]] for part in files},
        }

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Return the record from the dictionary of :meth:`to_json`; unknown fields are ignored.

        Raises:
            ValueError: If a field is missing or invalid.
        """
        if not isinstance(data, Mapping) or {"classes", "reading", "files", "notes"} - set(data):
            raise ValueError("it must have classes, reading, files and notes")
        classes = tuple(map(composed, _texts(data["classes"], "classes")))
        reading, files = data["reading"], data["files"]
        if files is not None:
            if not isinstance(files, Mapping) or set(files) != set(RECORDED):
                raise ValueError(f"'files' must have {', '.join(RECORDED)}")
            files = {part: _files(files[part], part, classes) for part in RECORDED}
        return cls(
            classes,
            None if reading is None else ImageReading.from_json(reading),
            files,
            _texts(data["notes"], "notes"),
        )


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{name!r} must be a list of strings")
    return tuple(value)


def _files(value: Any, part: str, classes: tuple[str, ...]) -> tuple[RecordedFile, ...]:
    def valid(file: Any) -> bool:
        kinds = isinstance(file, list) and [type(v) for v in file] == [str, str, int]
        return kinds and file[2] in range(len(classes))

    if not isinstance(value, list) or not all(map(valid, value)):
        raise ValueError(f"'files.{part}' must be a list of names, contents and labels")
    return tuple(RecordedFile(*file) for file in value)
