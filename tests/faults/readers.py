"""The readers of the commands' input files, each with a valid file to start from."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from experiments import jobs
from experiments.provenance import this_version
from resbuilder.architecture import Architecture, minimal_architecture, resnet_architecture
from resbuilder.cli.settings import configuration, merged_settings
from resbuilder.cli.tables import search_table
from resbuilder.config import SearchConfig
from resbuilder.costs import cost
from resbuilder.datasets import DataRecord, ImageReading, load
from resbuilder.datasets.data_record import RECORDED, RecordedFile
from resbuilder.model import build_model
from resbuilder.report.decisions import decisions
from resbuilder.report.history import read_history, summary_rows
from resbuilder.run import Journal, Run, read_data
from resbuilder.single import load_model
from resbuilder.start_network import read_architecture
from tests.faults import cohorts
from tests.faults.archives import broken_model, broken_npz, dataset
from tests.faults.mutations import mutated
from tests.resbuilder.report.conftest import Run as InventedRun


@dataclass
class Reader:
    """A kind of file and its reader.

    Attributes:
        name: Name in the table.
        file: Path of the broken file; at first it is valid.
        kind: As for :func:`tests.faults.mutations.mutated`.
        read: Reads the file like a command, and asserts that the contents are valid.
        words: What a message may name besides the file: its keys or columns.
        make: Makes a broken file, if mutations are not enough.
        refusals: Exceptions with which a file may be rejected.
    """

    name: str
    file: Path
    kind: str
    read: Callable[[], object]
    words: tuple[str, ...] = ()
    make: Callable[[np.random.Generator, Path], tuple[str, bytes]] | None = None
    refusals: tuple = (ValueError, FileNotFoundError, click.ClickException)
    whole: bytes = field(init=False)

    def __post_init__(self):
        self.whole = self.file.read_bytes()

    @property
    def trace(self) -> Path:
        """Return the file that code in a file would create."""
        return self.file.parent / "trace"

    def broken(self, random: np.random.Generator) -> tuple[str, bytes]:
        """Return a description of a defect, and the bytes of the broken file."""
        if self.make is not None:
            return self.make(random, self.trace)
        return mutated(self.whole, self.kind, random)

    def mend(self) -> None:
        """Restore the valid file."""
        self.file.write_bytes(self.whole)


def readers(folder: Path) -> Iterator[Reader]:
    """Yield readers of all kinds of files, in separate folders."""
    yield _architecture(_made(folder / "architecture"))
    yield from _configurations(_made(folder / "config"))
    yield from _run_folder(folder / "run")
    yield from cohorts.tables(_made(folder / "cohort"), Reader)
    yield from cohorts.trainings(_made(folder / "training"), Reader)
    yield _results(_made(folder / "results"))
    yield _dataset(_made(folder / "dataset"))
    yield _model(_made(folder / "model"))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _architecture(folder: Path) -> Reader:
    file = folder / "net.json"
    file.write_text(json.dumps(resnet_architecture((16, 16, 3), 4, (3, 5), (1, 2)).to_json()))

    def read():
        found = read_architecture(file)
        assert Architecture.from_json(json.loads(json.dumps(found.to_json()))) == found
        assert cost(found).flops > 0 and str(found) and found.tree()

    return Reader("architecture", file, "json", read)


def _configurations(folder: Path) -> Iterator[Reader]:
    settings = {k: v for k, v in SearchConfig(dataset="digits").to_json().items() if v is not None}
    words = (*SearchConfig.__dataclass_fields__, "unknown settings")
    texts = {
        "config.json": json.dumps(settings, indent=1),
        "config.toml": "".join(f"{k.replace('_', '-')} = {json.dumps(v)}\n" for k, v in
                               settings.items()),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text)
        kind = name.partition(".")[2]
        read = functools.partial(_read_configuration, folder / name)
        yield Reader(f"settings ({kind})", folder / name, kind, read, words)


def _read_configuration(file: Path) -> None:
    config = configuration(SearchConfig, merged_settings(file, {}))
    assert SearchConfig.from_mapping(config.to_json()) == config


def _run_folder(folder: Path) -> Iterator[Reader]:
    invented = InventedRun(folder, class_names=["a", "b", "c"])
    invented.add(minimal_architecture((28, 28, 1), 3, width=8), "start")
    invented.train(0, 0.8)
    grown = invented.insert(0, 1, 0)
    invented.train(grown, 0.82)
    last = invented.judge(grown, 0, [b.name for b in invented.architectures[grown].blocks])
    last = invented.morphnet(last, 0, 1.3)
    invented.train(last, 0.84)
    invented.finish()
    environment = folder / "environment.json"
    environment.write_text(json.dumps({"backend": "tensorflow", "packages": {"keras": "3"}}))
    data = folder / "data.json"
    files = {part: (RecordedFile(f"a/{part}.png", "0" * 32, 0),) for part in RECORDED}
    data.write_text(json.dumps(DataRecord(("a", "b"), ImageReading(8, 8), files, ("n",)).to_json()))
    words = (*SearchConfig.__dataclass_fields__, "unknown settings", "backend", folder.name)
    journal = folder / "journal.jsonl"
    for file in (folder / "config.json", environment):
        yield Reader(f"run folder: {file.name}", file, "json", lambda: _open(folder), words)
    yield Reader("run folder: data.json", data, "json", lambda: read_data(folder))
    yield Reader("run folder: journal.jsonl", journal, "jsonl", lambda: _replay(folder))


def _open(folder: Path) -> None:
    with Run.open(folder) as run:
        assert run.config.flops > 0
    _look_at(folder)


def _replay(folder: Path) -> None:
    """Read the journal like a report, and like a search that is resumed."""
    lines = (folder / "journal.jsonl").read_bytes().count(b"\n")
    history = _look_at(folder)
    assert len(history.entries) + len(history.notes) >= lines, "lines are lost silently"
    assert len(Journal(folder / "journal.jsonl").entries) == len(history.entries)


def _look_at(folder: Path):
    history = read_history(folder)
    summary_rows(history), decisions(history), search_table(folder)
    if history.best():
        history.epochs_behind(history.best())
    return history


def _results(folder: Path) -> Reader:
    job = {"dataset": "digits", "epochs": 3, "learning_rate": 0.1, "names": ["a", "b"]}
    jobs.write(
        folder / "job.json",
        {
            "job": job,
            "version": this_version(),
            "result": {"accuracy": 0.5, "curve": [0.1, None]},
        },
    )

    def read():
        found = jobs.read(folder, "job", job)
        assert found["job"] == job and isinstance(found["result"], dict), "it has no result"

    return Reader("results of experiments", folder / "job.json", "json", read)


def _dataset(folder: Path) -> Reader:
    file = folder / "cells.npz"
    np.savez(file, **dataset())

    def read():
        found = load(file)
        assert len(found.x_train) == len(found.y_train) and len(found.x_test) == len(found.y_test)
        assert found.x_train.dtype in (np.uint8, np.float32) and np.isfinite(found.x_train).all()
        assert 0 <= found.y_train.min() and found.y_train.max() < found.classes

    return Reader("datasets (npz)", file, "bytes", read, ("cells",), broken_npz)


def _model(folder: Path) -> Reader:
    file = folder / "best.keras"
    build_model(minimal_architecture((8, 8, 1), 3, width=2, stages=2)).save(file)
    whole = file.read_bytes()

    def read():
        assert load_model(file).layers

    return Reader(
        "models (.keras)", file, "bytes", read,
        make=lambda random, trace: broken_model(whole, random, trace),
    )  # fmt: skip
