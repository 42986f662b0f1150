"""Search for half-written files, which a killed process must never leave under a final name."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import h5py
from PIL import Image

from resbuilder.run.journal import read_journal


def half_written(folder: Path) -> list[str]:
    """Return every half-written file below a folder, except drafts: names that start with a dot."""
    wrong = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") for part in inside):
            try:
                _read(path)
            except Exception as error:
                wrong.append(f"{path}: half written: {type(error).__name__}: {error}")
    return wrong


def _read(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".jsonl":
        read_journal(path)  # only the last line may be cut; its step is repeated
    elif path.suffix in (".png", ".jpg"):
        Image.open(path).load()
    elif path.suffix == ".keras":
        with zipfile.ZipFile(path) as file:
            assert file.testzip() is None, "a damaged archive"
    elif path.suffix == ".h5":
        with h5py.File(path) as file:
            file.visit(lambda name: None)
    elif path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert len({len(row) for row in rows}) == 1, "rows of different lengths"
