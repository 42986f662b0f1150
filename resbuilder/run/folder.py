"""A run folder: its files, and how it is created and opened again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import keras
from filelock import FileLock

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
from resbuilder.datasets import DataRecord, folder_of
from resbuilder.run.environment import environment, onednn, precision, read_environment
from resbuilder.run.journal import Journal

#: Version of the format of run folders. Since 2, a run may be a race. Since 3, a run records its
#: data; programs of format 2 would divide a folder differently.
FORMAT = 3
CONFIG, DATA = "config.json", "data.json"
#: What the file of a training's settings has beyond them: how its network was scaled.
BUDGET = ("flops", "scale_to_budget")
BEST_MODEL = Path("models", "best.keras")
#: All files that a run folder may contain; a folder with other files is never overwritten.
FILES = (
    *(CONFIG, DATA, "environment.json", "journal.jsonl", LOCK),
    *("models/best.keras", "models/[0-9]*_*.keras", "models/[0-9]*_*.npy"),
    *("architecture.json", "labels.txt", "result.json"),
    *("report.html", "figures/*.png", "figures/*.svg"),
    "tensorboard/*events.out.tfevents.*",
)

#: The settings of a run: of a training or a search.
C = TypeVar("C", bound=TrainConfig)


@dataclass
class RunFolder(Generic[C]):
    """The paths in a run folder, for a process that does not write its journal.

    Attributes:
        path: The folder.
        config: The settings of the run.
    """

    path: Path
    config: C

    @property
    def models(self) -> Path:
        """The folder of the saved models."""
        return self.path / "models"

    @property
    def best(self) -> Path:
        """The file of the run's best model."""
        return self.path / BEST_MODEL


class Run(RunFolder[C]):
    """A run folder: ``config.json``, ``data.json``, ``journal.jsonl``, ``models/`` and more.

    Call :meth:`create` or :meth:`open`, and use the result as a context manager, which locks the
    folder: a run has one writer at a time.
    """

    def __init__(self, path: Path, config: C, lock: FileLock | None = None):
        super().__init__(path, config)
        self._lock = lock or lock_folder(path)
        try:
            self.models.mkdir(exist_ok=True)
            for folder in (path, self.models):
                remove_leftovers(folder)
            self.journal = Journal(path / "journal.jsonl")
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    @classmethod
    def create(
        cls,
        path: str | Path,
        config: C,
        overwrite: bool = False,
        data: DataRecord | None = None,
        budget: Mapping[str, Any] | None = None,
    ) -> Run[C]:
        """Create a new run folder.

        It is created under another name and then renamed, so that a folder of this name is always
        a complete run.

        Args:
            path: The folder to create.
            config: Settings of the run.
            overwrite: Whether an existing run folder may be replaced.
            data: What to record about the data; required if they are a folder of images.
            budget: Values of :data:`BUDGET`, for a training with the same settings.

        Raises:
            ValueError: If the folder is not empty and may not be overwritten, contains files that
                do not belong to a run, is in use by another process, or contains the current
                folder.
        """
        path, _ = place_of(path, overwrite)
        part, old = path.with_name(f".{path.name}.part"), _former(path)
        for hidden in (part, old):
            if hidden.is_dir() and (why := strangers(hidden, FILES)):
                raise ValueError(f"{hidden} is needed for a moment, but {why}; move them away")
        part.mkdir(parents=True, exist_ok=True)
        try:
            lock = lock_folder(part)
        except ValueError:
            raise ValueError(
                f"another process is creating {path}; give another folder, or try again later"
            ) from None
        try:
            _clear(part)  # A killed process may have left files there.
            if old.exists() and not path.exists():  # Killed between the two renames below.
                os.rename(old, path)
            write_json(part / "environment.json", environment())
            if data is not None:
                write_json(part / DATA, data.to_json())
            kind = "search" if isinstance(config, SearchConfig) else "train"
            settings = config.to_json() | dict(budget or {})
            write_json(part / CONFIG, {"format": FORMAT, "kind": kind, **settings})
            _, replaces = place_of(path, overwrite)  # Another process may have come first.
            if replaces:
                replaced = lock_folder(path)
                shutil.rmtree(old, ignore_errors=True)
                os.rename(path, old)
                replaced.release()
            try:
                os.replace(part, path)  # The lock moves with it.
            except OSError:
                if not path.exists():
                    raise
                raise ValueError(
                    f"another process has just written to {path}; give another folder"
                ) from None
            if replaces:
                shutil.rmtree(old)
        except BaseException:
            if old.exists() and not path.exists():
                os.rename(old, path)
            shutil.rmtree(part, ignore_errors=True)
            lock.release()
            raise
        return cls(path, config, lock)

    @staticmethod
    def open(path: str | Path) -> Run[SearchConfig]:
        """Open the folder of a search to resume it.

        Raises:
            ValueError: If it is not the folder of a search, is damaged, has a newer format, was
                begun on another backend or with another precision, is in use by another process,
                or is an unfinished run of format 1 with a cosine schedule, whose meaning has
                changed.
        """
        written, settings = _read_settings(path, "search")
        config = SearchConfig.from_mapping(settings)
        recorded = read_environment(path)
        if "backend" not in recorded:
            raise ValueError(
                f"{path} does not say with which backend it was begun, because its "
                "environment.json is missing or has no backend; restore that file"
            )
        backend = recorded["backend"]
        if backend != keras.backend.backend():
            raise ValueError(
                f"{path} was begun on {backend}, but Keras runs on {keras.backend.backend()} here, "
                f"where the numbers would differ; set KERAS_BACKEND={backend}"
            )
        if (begun := recorded.get("precision", "float32")) != precision():
            raise ValueError(
                f"{path} was begun with the precision {begun}, but here it is {precision()}, with "
                f'which the numbers would differ; call keras.config.set_dtype_policy("{begun}")'
            )
        if backend == "tensorflow" and recorded.get("onednn") != onednn():
            warnings.warn(
                f"{path} was begun with TF_ENABLE_ONEDNN_OPTS={recorded.get('onednn')}, but here "
                f"it is {onednn()}: the numbers from here on may differ from those of an "
                "uninterrupted run",
                stacklevel=2,
            )
        run = Run(Path(path).absolute(), config)
        if written == 1 and config.schedule == "cosine" and not run.journal.has("finished"):
            run.__exit__()
            raise ValueError(
                f'{path} was begun with schedule "cosine" by a version of resbuilder in which the '
                "learning rate fell once per epoch. Now it falls with every step, so the remaining "
                "trainings could not be compared with those before. Start the search again in "
                "another folder"
            )
        return run

    def keep_models(self, *names: str, at_work: tuple[str, ...] = ()) -> None:
        """Remove all saved models except those named and the winner of a finished run.

        Args:
            names: Names of files to keep.
            at_work: Prefixes of names to keep. Files that are being written always stay.
        """
        # Only names that a search gives: a user's callbacks may save models here, too.
        for path in (*self.models.glob("[0-9]*_*.keras"), *self.models.glob("[0-9]*_*.npy")):
            kept = path.name in (*names, self.best.name)
            if not (kept or is_temporary(path) or path.name.startswith(at_work)):
                path.unlink()


def place_of(
    path: str | Path, overwrite: bool, config: SearchConfig | TrainConfig | None = None
) -> tuple[Path, bool]:
    """Check that a run may be created, before the work for it begins.

    Args:
        path: The folder to create.
        overwrite: Whether an existing run folder may be replaced.
        config: Settings of the run. If its data are a folder of images, the run must not be inside.

    Returns:
        The path, absolute, and whether there is a run to replace.

    Raises:
        ValueError: As :meth:`Run.create`.
    """
    path = Path(path).resolve()  # A link stays a link to the folder that is replaced.
    if path in (here := Path.cwd(), *here.parents):
        raise ValueError(
            f"the run folder must not be the current folder or one that contains it, got {path}"
        )
    images = None if config is None else folder_of(config.dataset, config.data_dir)
    if images is not None and images.resolve() in (path, *path.parents):
        raise ValueError(
            f"the run folder must not be in the folder of the images, {images}: it would be read "
            f"as a class; got {path}"
        )
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return path, False
    instead = "give another folder, resume the run in it, or replace it with --overwrite"
    check_place(path, overwrite, _foreign, instead)
    lock_folder(path).release()
    return path, True


def _former(path: Path) -> Path:
    """Return the name of a run folder while it is being replaced."""
    return path.with_name(f".{path.name}.old")


def _clear(folder: Path) -> None:
    """Remove everything in a folder but its lock."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _foreign(path: Path) -> str | None:
    """Return why a folder is not a run folder, or contains other files; None if it is one."""
    try:
        read_config(path)
    except ValueError as error:
        return str(error)
    return strangers(path, FILES)


def read_config(path: str | Path, kind: str | None = None) -> dict:
    """Return the settings in a run folder.

    Args:
        path: The folder.
        kind: ``"search"`` or ``"train"`` if that command must have written the folder.

    Raises:
        ValueError: If it is not a run folder of that kind, is damaged, or has a newer format.
    """
    return _read_settings(path, kind)[1]


def _read_settings(path: str | Path, kind: str | None) -> tuple[int, dict]:
    """Return the format of a run folder and its settings; see :func:`read_config`."""
    file = Path(path) / CONFIG
    if Path(path).exists() and not Path(path).is_dir():
        raise ValueError(f"{path} is a file, not a run folder")
    try:
        settings = parse_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is not a run folder: it has no {CONFIG}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    if not isinstance(settings, dict) or not {"format", "kind"} <= set(settings):
        raise ValueError(f'{file} cannot be read: it is not an object with "format" and "kind"')
    found, made_by = settings.pop("format"), settings.pop("kind")
    if made_by == "train":
        settings = {k: v for k, v in settings.items() if k not in BUDGET}
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise ValueError(
            f"{path} is a run folder of format {found}, but this version reads formats up to "
            f"{FORMAT}; update resbuilder"
        )
    if kind not in (None, made_by):
        raise ValueError(
            f"{path} is the folder of a `resbuilder {made_by}`, expected that of a `resbuilder "
            f"{kind}`"
        )
    return found, settings


def settings_hash(path: str | Path) -> str:
    """Return a hash of the settings in a run folder that affect its results.

    Left out are the places of the data and of other files, whose contents the journal records, and
    the devices. The hash is that of the file, so a later version with more settings computes the
    same.

    Args:
        path: The run folder.

    Raises:
        ValueError: As :func:`read_config`.
    """
    places = {"dataset", "data_dir", "start", "contenders", "strategy"}
    settings = {k: v for k, v in read_config(path).items() if k not in places}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
