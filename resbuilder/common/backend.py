"""Import Keras without the log messages of its backend, and with fast kernels."""

import gc
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


def prepare_backend() -> None:
    """Set environment variables for TensorFlow; call this before TensorFlow is imported.

    Without it, TensorFlow does not use oneDNN on processors without AVX-512, and convolutions take
    up to three times as long. Variables that the user has set are kept.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Each network is a new graph: TensorFlow's advice against tracing many does not apply.
    logging.getLogger("tensorflow").addFilter(_no_retracing)
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        if not any(isinstance(finder, _Quietly) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Quietly())


def load_backend() -> None:
    """Import Keras for a command, without the log messages of its backend."""
    prepare_backend()
    import keras  # noqa: F401

    # The backend's half a million objects live until the command ends. To visit them in every
    # garbage collection takes 5 % of a small search.
    gc.freeze()


def _no_retracing(record: logging.LogRecord) -> bool:
    return "function retracing" not in record.getMessage()


class _Quietly(MetaPathFinder):
    """An import hook that suppresses what TensorFlow writes while it is imported.

    TensorFlow writes to file descriptor 2 before its own log level takes effect.
    """

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def quietly(module):
                with _held_back():
                    run(module)

            spec.loader.exec_module = quietly  # type: ignore[method-assign]  # of this loader alone
        return spec


@contextmanager
def _held_back() -> Iterator[None]:
    """Capture what is written to file descriptor 2, and write it only if an exception is raised."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(kept, notes.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
