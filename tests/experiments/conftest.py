"""Fixtures for several experiments."""

import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digits28():
    """Return real digits enlarged to 28×28, uint8 (1797, 28, 28), and their labels."""
    x, y = load_digits(return_X_y=True)
    x = np.kron(x.reshape(-1, 8, 8), np.ones((3, 3)))
    return np.pad(x * 255 / 16, ((0, 0), (2, 2), (2, 2))).astype(np.uint8), y
