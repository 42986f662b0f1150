"""The folder of a run: where everything lies and how it is made and opened again."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Generic, Self, TypeVar

import keras

from resbuilder.common.files import (
    LOCK,
    is_temporary,
    lock_folder,
    parse_json,
    remove_leftovers,
    write_json,
)
from resbuilder.common.replacing import check_place, strangers
from resbuilder.config import SearchConfig, TrainConfig
from resbuilder.datasets import DataRecord
from resbuilder.run.journal import Journal

#: 2 may hold a race, which programs that write 1 cannot read. 3 remembers its data, where programs
#: that write 2 would divide a folder differently.
FORMAT = 3
CONFIG, DATA = "config.json", "data.json"
BEST_MODEL = Path("models", "best.keras")
#: All files that a run folder may hold; one with others is never overwritten.
FILES = (
    *(CONFIG, DATA, "environment.json", "journal.jsonl", LOCK),
    *("models/best.keras", "models/[0-9]*_*.keras"),
    *("architecture.json", "labels.txt", "result.json"),
    *("report.html", "figures/*.png", "figures/*.svg"),
    "tensorboard/*events.out.tfevents.*",
)

#: Settings of a run: a training's or a search's.
C = TypeVar("C", bound=TrainConfig)


@dataclass
class RunFolder(Generic[C]):
    """Where the things of a run lie, for a process that is not its writer.

    Attributes:
        path: The folder.
        config: Its settings.
    """

    path: Path
    config: C

    @property
    def models(self) -> Path:
        """Folder of the saved models."""
        return self.path / "models"

    @property
    def best(self) -> Path:
        """The best model of the run."""
        return self.path / BEST_MODEL


class Run(RunFolder[C]):
    """A run folder: ``config.json``, ``data.json``, ``journal.jsonl``, ``models/`` and others.

    Use :meth:`create` or :meth:`open`, as a context manager: a run has one writer at a time.
    """

    def __init__(self, path: Path, config: C):
        super().__init__(path, config)
        self._lock = lock_folder(path)
        self.models.mkdir(exist_ok=True)
        for folder in (path, self.models):
            remove_leftovers(folder)
        self.journal = Journal(path / "journal.jsonl")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    @classmethod
    def create(
        cls, path: str | Path, config: C, overwrite: bool = False, data: DataRecord | None = None
    ) -> Run[C]:
        """Make a new run folder.

        It is made under another name and renamed, so that a folder of this name is a whole run.

        Args:
            path: The folder to make.
            config: Settings of the run.
            overwrite: Whether an existing run folder may be replaced.
            data: What it has to remember of its data; it must where they are a folder of images.

        Raises:
            ValueError: If the folder holds something and may not be overwritten, holds anything
                that is not of a run, or another process works in it.
        """
        path = Path(path).absolute()
        old, replaced = None, path.with_name(f".{path.name}.old")
        if replaced.exists() and not path.exists():  # killed between the two renames below
            os.rename(replaced, path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            instead = (
                "give another folder, resume the run in it, or say that it may be overwritten "
                "(--overwrite)"
            )
            check_place(path, overwrite, _foreign, instead)
            lock_folder(path).release()
            old = replaced
        part = path.with_name(f".{path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write_json(part / "environment.json", environment())
        if data is not None:
            write_json(part / DATA, data.to_json())
        kind = "search" if isinstance(config, SearchConfig) else "train"
        write_json(part / CONFIG, {"format": FORMAT, "kind": kind, **config.to_json()})
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
            os.rename(path, old)
        os.replace(part, path)
        if old is not None:
            shutil.rmtree(old)
        return cls(path, config)

    @staticmethod
    def open(path: str | Path) -> Run[SearchConfig]:
        """Open the folder of a search to go on with it.

        Raises:
            ValueError: If it is not the folder of a search, is damaged, of a newer format, was made
                on another backend, another process works in it, or it is an unfinished run of
                format 1 with a cosine schedule, which meant another one then.
        """
        written, settings = _read_settings(path, "search")
        config = SearchConfig.from_mapping(settings)
        begun = read_environment(path)
        made = begun.get("backend", "an unknown backend")
        if made != keras.backend.backend():
            raise ValueError(
                f"{path} was begun on {made} and Keras runs on {keras.backend.backend()} here, "
                f"where the numbers would differ; set KERAS_BACKEND={made}"
            )
        if made == "tensorflow" and begun.get("onednn") != _onednn():
            warnings.warn(
                f"{path} was begun with TF_ENABLE_ONEDNN_OPTS={begun.get('onednn')}, here it is "
                f"{_onednn()}: the numbers from here on may differ from those of an uninterrupted "
                "run",
                stacklevel=2,
            )
        run = Run(Path(path).absolute(), config)
        if written == 1 and config.schedule == "cosine" and not run.journal.has("finished"):
            run.__exit__()
            raise ValueError(
                f'{path} was begun with schedule "cosine" by a resbuilder whose cosine fell once '
                "an epoch; now it falls with every step, so the trainings from here on could not "
                "be compared with those before; start the search again in another folder"
            )
        return run

    def keep_models(self, *names: str, at_work: tuple[str, ...] = ()) -> None:
        """Remove every saved model but those named and the winner of a finished run.

        Args:
            names: Files to keep.
            at_work: Beginnings of names to keep. Files that are being written stay anyway.
        """
        for path in self.models.glob("*.keras"):
            kept = path.name in (*names, self.best.name)
            if not (kept or is_temporary(path) or path.name.startswith(at_work)):
                path.unlink()


def _foreign(path: Path) -> str | None:
    """Say why a folder is not that of a run alone."""
    try:
        read_config(path)
    except ValueError as error:
        return str(error)
    return strangers(path, FILES)


def read_config(path: str | Path, kind: str | None = None) -> dict:
    """Return the settings in a run folder.

    Args:
        path: The folder.
        kind: ``"search"`` or ``"train"`` if it must be the run of that command.

    Raises:
        ValueError: If it is not a run folder or not of that kind, damaged, or of a newer format.
    """
    return _read_settings(path, kind)[1]


def _read_settings(path: str | Path, kind: str | None) -> tuple[int, dict]:
    """Return the format of a run folder and its settings; see :func:`read_config`."""
    file = Path(path) / CONFIG
    if Path(path).exists() and not Path(path).is_dir():
        raise ValueError(f"{path} is not a run folder but a file")
    try:
        settings = parse_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is not a run folder: it has no {CONFIG}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    if not isinstance(settings, dict) or not {"format", "kind"} <= set(settings):
        raise ValueError(f'{file} cannot be read: it is not an object with "format" and "kind"')
    found, made_by = settings.pop("format"), settings.pop("kind")
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise ValueError(
            f"{path} is a run folder of format {found}, this program reads up to {FORMAT}; it was "
            "written by a newer resbuilder: update"
        )
    if kind not in (None, made_by):
        raise ValueError(
            f"{path} is the folder of `resbuilder {made_by}`, expected that of `resbuilder {kind}`"
        )
    return found, settings


def read_environment(path: str | Path) -> dict:
    """Return what :func:`environment` said when the run was begun; empty if it left nothing.

    Args:
        path: The run folder.

    Raises:
        ValueError: If it cannot be read.
    """
    file = Path(path) / "environment.json"
    try:
        found = parse_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file} cannot be read: it is no object")
    return found


def environment() -> dict:
    """Return versions, hardware and command, for users who want to repeat the run."""
    packages = {}
    for name in ("keras", keras.backend.backend(), "numpy", "scikit-learn"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "onednn": _onednn(),
        "packages": packages,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "accelerators": _accelerators(),
        "commit": _commit(),
    }


def _onednn() -> str | None:
    """What TensorFlow was told about oneDNN, which rounds otherwise; None: nothing."""
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS")


def _accelerators() -> list[str]:
    if keras.backend.backend() == "torch":
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [name for name in keras.distribution.list_devices() if "cpu" not in name.lower()]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Return the commit of the source this program runs from, if it is a git checkout."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
        return done.stdout.strip()

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        git("ls-files", "--error-unmatch", here.name)  # not installed inside another checkout
        return git("describe", "--always", "--dirty", "--abbrev=12")
    return None
