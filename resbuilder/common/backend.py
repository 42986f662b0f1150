"""Importing Keras without the start-up notes of its backend, and with fast kernels."""

import os
import sys
import tempfile


def prepare_backend() -> None:
    """Set what TensorFlow reads while it is imported; call this before that.

    TensorFlow leaves oneDNN out on processors without AVX-512, where convolutions then take up to
    three times as long. What the user has set stays.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def load_backend() -> None:
    """Import Keras without the start-up notes of its backend.

    TensorFlow writes them to file descriptor 2 while it is imported, before its own settings take
    effect. They are shown only if the import fails.
    """
    prepare_backend()
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import keras  # noqa: F401
        except BaseException:
            notes.seek(0)
            os.write(kept, notes.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
