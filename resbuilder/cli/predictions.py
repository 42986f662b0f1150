"""What ``resbuilder predict`` prints and writes."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resbuilder.common.cli import echo_json
from resbuilder.common.files import atomically
from resbuilder.common.replacing import begins_otherwise, check_place
from resbuilder.common.words import some

if TYPE_CHECKING:
    from resbuilder.prediction import Prediction, Predictor

HEADER = ("file", "class", "probability")
# Classes in a line of text; the others are in the table and in JSON.
_SHOWN = 3


def check_table(path: Path, overwrite: bool) -> None:
    """Raise ValueError unless a table of predictions may be written to a path."""
    instead = "give --overwrite to replace it, or another file"
    check_place(path, overwrite, lambda p: begins_otherwise(p, ",".join(HEADER)), instead)


def say_predictions(
    network: Predictor, photos: Iterable[Path], table: Path | None, as_json: bool
) -> None:
    """Predict, and say it: in lines of text or as JSON, and in a table where there is to be one.

    Raises:
        ValueError: If no picture can be read.
        click.exceptions.Exit: With status 1 if some cannot be read, which are named.
    """
    from resbuilder.prediction import find_pictures

    files, others = find_pictures(photos)
    if others:
        named = some(map(click.format_filename, others), 3)
        click.echo(f"{_count(len(others), 'file')} passed over, no picture: {named}", err=True)
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
    of = f"of {_count(len(files), 'picture')}"
    for note, count in notes.items():
        click.echo(f"{count} {of}: {note}", err=True)
    if failed:
        click.echo(f"{len(failed)} {of} cannot be read", err=True)
        click.get_current_context().exit(1)


def _counted(found: Iterator[Prediction], notes: Counter[str], files: int) -> Iterator[Prediction]:
    """Pass predictions on, and count their notes; fail where there are none."""
    none = True
    for prediction in found:
        none = False
        notes.update(prediction.notes)
        yield prediction
    if none:
        raise ValueError(f"none of {_count(files, 'picture')} can be read")


def _written(
    found: Iterator[Prediction], path: Path, classes: tuple[str, ...]
) -> Iterator[Prediction]:
    """Pass predictions on, and write them as CSV: whole, or not at all."""
    with atomically(path) as part:
        # Names of files need not be text.
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


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
