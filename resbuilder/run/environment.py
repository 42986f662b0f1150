"""The environment in which a run was begun: versions, hardware and command."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import keras

from resbuilder.common.files import parse_json


def read_environment(path: str | Path) -> dict:
    """Return the :func:`environment` in which a run was begun; empty if it is not recorded.

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
        raise ValueError(f"{file} cannot be read: it is not a JSON object")
    return found


def environment() -> dict:
    """Return versions, hardware and command, for users who want to repeat a run."""
    packages = {}
    for name in ("keras", keras.backend.backend(), "numpy", "scikit-learn"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "onednn": onednn(),
        "precision": precision(),
        "packages": packages,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "accelerators": _accelerators(),
        "commit": _commit(),
    }


def precision() -> str:
    """Return the name of the policy of precision of new layers, such as ``"mixed_bfloat16"``."""
    return keras.config.dtype_policy().name


def onednn() -> str | None:
    """Return the setting for oneDNN, which rounds differently; None if it is not set."""
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
    """Return the commit of the source code, if it is in a git checkout."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
        return done.stdout.strip()

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        # Fails if this package is installed inside another project's checkout.
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=12")
    return None
