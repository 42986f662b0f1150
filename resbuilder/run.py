"""The folder of a run: where everything lies and how it is made and opened again."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import keras

from resbuilder.config import SearchConfig, TrainConfig
from resbuilder.journal import Journal

FORMAT = 1
CONFIG = "config.json"
BEST_MODEL = Path("models", "best.keras")


class Run:
    """A run folder: ``config.json``, ``environment.json``, ``journal.jsonl``, ``models/``.

    Use :meth:`create` or :meth:`open`.
    """

    def __init__(self, path: Path, config: TrainConfig):
        self.path, self.config = path, config
        self.models.mkdir(exist_ok=True)
        self.journal = Journal(path / "journal.jsonl")

    @classmethod
    def create(cls, path: str | Path, config: TrainConfig, overwrite: bool = False) -> Run:
        """Make a new run folder.

        Raises:
            ValueError: If the folder holds something and may not or must not be overwritten.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            if not overwrite:
                raise ValueError(
                    f"{path} already exists; give another folder, resume the run in it, or say "
                    "that it may be overwritten (--overwrite)"
                )
            if not (path / CONFIG).is_file():
                raise ValueError(f"{path} is not a run folder and is not overwritten")
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "environment.json", environment())
        # Last: a folder with a configuration is a whole run folder.
        write_json(path / CONFIG, {"format": FORMAT, **config.to_json()})
        return cls(path, config)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open the folder of a search to go on with it.

        Raises:
            ValueError: If it is not a run folder, damaged, or of a newer format.
        """
        return cls(Path(path), SearchConfig.from_mapping(read_config(path)))

    @property
    def models(self) -> Path:
        """Folder of the saved models."""
        return self.path / "models"

    @property
    def best(self) -> Path:
        """The best model of the run."""
        return self.path / BEST_MODEL

    def keep_models(self, *names: str) -> None:
        """Remove every saved model but those named and the winner of a finished run."""
        for path in self.models.glob("*.keras"):
            if path.name not in (*names, self.best.name):
                path.unlink()


def read_config(path: str | Path) -> dict:
    """The settings of a run folder, whatever command made it.

    Raises:
        ValueError: If it is not a run folder, damaged, or of a newer format.
    """
    file = Path(path) / CONFIG
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        found = settings.pop("format")
    except FileNotFoundError:
        raise ValueError(f"{path} is not a run folder: it has no {CONFIG}") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{file} cannot be read: {error!r}") from None
    if not isinstance(found, int) or found > FORMAT:
        raise ValueError(
            f"{path} is a run folder of format {found}, this program reads up to {FORMAT}; it was "
            "written by a newer resbuilder: update"
        )
    return settings


def environment() -> dict:
    """Versions, hardware and command, for whoever wants to repeat the run."""
    packages = {}
    for name in ("keras", keras.backend.backend(), "numpy", "scikit-learn"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "packages": packages,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "accelerators": [d for d in keras.distribution.list_devices() if "cpu" not in d.lower()],
        "commit": _commit(),
    }


def write_json(path: Path, value) -> None:
    """Write JSON under a temporary name and rename it."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the source this program runs from, if it runs from a git checkout."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        here = Path(__file__).resolve().parent
        text = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(
            text, capture_output=True, text=True, check=True, timeout=5
        ).stdout.strip()
    return None
