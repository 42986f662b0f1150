"""The output of ``resbuilder predict``: text, JSON and CSV."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resbuilder.common.cli import echo_json
from resbuilder.common.files import atomically
from resbuilder.common.words import count, some

if TYPE_CHECKING:
    from resbuilder.prediction import Prediction, Predictor

HEADER = ("file", "class", "probability")
# The most classes in a line of text; CSV and JSON have all of them.
_SHOWN = 3


def say_predictions(
    network: Predictor, photos: Iterable[Path], table: Path | None, as_json: bool
) -> None:
    """Predict and print the predictions, as lines of text or as JSON.

    Args:
        network: The trained network.
        photos: Image files, and folders of them.
        table: CSV file to write as well.
        as_json: Whether to print JSON.

    Raises:
        ValueError: If none of the images can be read.
        click.exceptions.Exit: With status 1 if some of them cannot be read; they are named.
    """
    from resbuilder.prediction import find_pictures

    files, others = find_pictures(photos)
    if others:
        named = some(map(click.format_filename, others), 3)
        click.echo(f"{count(len(others), 'file')} skipped, not an image: {named}", err=True)
    failed: list[Path] = []

    def unreadable(file: Path, error: ValueError) -> None:
        failed.append(file)
        click.echo(str(error), err=True)

    notes: Counter[str] = Counter()
    found = _counted(network.predict(files, unreadable), notes, len(files))
    if table is not None:
        found = _written(found, table, network.classes)
    if as_json:
        echo_json([_json(prediction) for prediction in found])
    else:
        for prediction in found:
            click.echo(f"{click.format_filename(prediction.file)}: {_text(prediction)}")
    of = f"of {count(len(files), 'image')}"
    for note, times in notes.items():
        click.echo(f"{times} {of}: {note}", err=True)
    if failed:
        click.echo(f"{len(failed)} {of} could not be read", err=True)
        click.get_current_context().exit(1)


def _counted(found: Iterator[Prediction], notes: Counter[str], files: int) -> Iterator[Prediction]:
    """Pass predictions on and count their notes; raise ValueError if there are none."""
    none = True
    for prediction in found:
        none = False
        notes.update(prediction.notes)
        yield prediction
    if none:
        raise ValueError(f"none of {count(files, 'image')} can be read")


def _written(
    found: Iterator[Prediction], path: Path, classes: tuple[str, ...]
) -> Iterator[Prediction]:
    """Pass predictions on and write them atomically as CSV."""
    with atomically(path) as part:
        # The bytes of a file name need not be valid UTF-8.
        with open(part, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.writer(file)
            rows.writerow([*HEADER, *(f"p_{name}" for name in classes)])
            for prediction in found:
                values = prediction.probabilities.values()
                rows.writerow([prediction.file, prediction.label, prediction.probability, *values])
                yield prediction


def _json(prediction: Prediction) -> dict:
    return {
        "file": click.format_filename(prediction.file),
        "class": prediction.label,
        "probability": prediction.probability,
        "probabilities": prediction.probabilities,
        "notes": list(prediction.notes),
    }


def _text(prediction: Prediction) -> str:
    most = sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])[:_SHOWN]
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in most)
