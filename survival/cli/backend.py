"""The backend of Keras, loaded without its start-up notes."""

from __future__ import annotations

import os
import sys
import tempfile


def load_backend() -> None:
    """Imports Keras, and holds back what is written to file descriptor 2 unless that fails.

    TensorFlow writes there while it is imported, before its own settings take effect.
    """
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
