"""Where a result comes from: the version, the commit and the machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path


@cache
def this_version() -> str:
    """Return the installed version."""
    from importlib.metadata import version

    return version("resbuilder")


@cache
def commit() -> str | None:
    """Return the checkout's commit, with ``+`` if files differ from it; None without git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    # Publishing changes the results, but not the code that measures.
    status = ["status", "--porcelain", "--untracked-files=no", ":/", ":(exclude)results"]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, *status], capture_output=True, text=True)
    except OSError:
        return None
    if head.returncode or changed.returncode:
        return None
    return head.stdout.strip()[:12] + ("+" if changed.stdout.strip() else "")


def machine(strategy: str) -> str:
    """Return the processor and devices that this process computes on, and the Python version."""
    devices = _devices(strategy)
    return f"{_processor()}, {devices}, Python {platform.python_version()}"


@cache
def _processor() -> str:
    """Return the processor's name and, on Linux, whether it has AVX-512.

    Processors with the same name can differ in it, and with it trainings take two thirds of the
    time.
    """
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        about = ""
    named = re.search(r"^model name\s*: (.+)$", about, re.M)
    name = named.group(1) if named else platform.processor() or platform.machine()
    return f"{name} with AVX-512" if re.search(r"^flags.*\bavx512f\b", about, re.M) else name


def _devices(strategy: str) -> str:
    """Return the cores and GPUs that this process computes on."""
    names = []
    if tf := sys.modules.get("tensorflow"):  # if it is not imported, it computed nothing
        gpus = tf.config.list_physical_devices("GPU")
        names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    cores = f"{os.cpu_count()} cores" if strategy == "mirrored" else "one core"
    return ", ".join((cores, *(name or "GPU" for name in names)))
