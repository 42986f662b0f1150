"""Set-up of all tests: a quiet TensorFlow, fixed random numbers, and the shared data."""

import os
from pathlib import Path

# Read by TensorFlow, XLA, matplotlib and JAX when first imported, so before everything else.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without AVX-512 it is off by default, and small convolutions then take three times as long.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# XLA then compiles in three quarters of the time. Tests compile a lot and compute little.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
# Compiled programs are shared by the processes, and kept for the next run.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Two processes on two cores: threads of both would only wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(variable, "1")
# A user's own data folder must not change what a test loads.
os.environ.pop("RESBUILDER_DATA", None)

import gc  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# Keras is imported by the processes that run tests, and not by the one that only starts them.
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")

# The same examples in every run; no deadline, because the first call of an example may compile.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")


def pytest_ignore_collect(collection_path):
    """Off TensorFlow, do not import modules of which no test runs."""
    if BACKEND == "tensorflow" or not collection_path.name.startswith("test_"):
        return None
    # A fixture there has networks that are marked.
    if collection_path.parent.name == "morphnet":
        return None
    return True if "any_backend" not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection_finish():
    """Exempt the imported modules from garbage collection, which would search them again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before `-m` deselects
def pytest_collection_modifyitems(items):
    """Mark tests as slow that are slow on the backend of this run only."""
    for item in items:
        if any(BACKEND in mark.args for mark in item.iter_markers("slow_on")):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Seed Python, numpy and the backend, so that tests do not depend on each other."""
    import keras

    keras.utils.set_random_seed(2023)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of reference values and real data that are too large for the repository."""
    folder = os.environ.get("RESBUILDER_SHARED")
    if not folder:
        pytest.skip("needs the reference data: RESBUILDER_SHARED is not set")
    if not Path(folder).is_dir():
        pytest.fail(f"RESBUILDER_SHARED={folder} is not a folder; correct it or unset it")
    return Path(folder)
