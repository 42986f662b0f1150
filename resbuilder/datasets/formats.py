"""Parse the formats of published datasets: IDX, NORB's matrices and CIFAR's records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_UBYTE = 0x08
_NORB_TYPES: dict[int, np.dtype] = {0x1E3D4C55: np.dtype("<u1"), 0x1E3D4C54: np.dtype("<i4")}
_CIFAR_IMAGE = (3, 32, 32)


def read_idx(content: bytes, name: str) -> np.ndarray:
    """Return the array of an IDX file of unsigned bytes, the format defined on MNIST's page.

    Args:
        content: The unpacked file: two zero bytes, the type, the number of dimensions, each
            dimension as a big-endian 32-bit integer, then the values, last dimension fastest.
        name: Name of the file for errors.

    Raises:
        ValueError: If it is not such a file, or is incomplete.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UBYTE or not content[3]:
        raise ValueError(f"{name} is not an IDX file of unsigned bytes")
    begin = 4 + 4 * content[3]
    if len(content) < begin:
        raise ValueError(f"{name} is incomplete")
    shape = np.frombuffer(content[4:begin], ">u4").astype(int)
    return _values(content, begin, np.dtype("u1"), shape.tolist(), name)


def read_norb(content: bytes, name: str) -> np.ndarray:
    """Return the array of one of NORB's binary matrices of bytes or 32-bit integers.

    Args:
        content: The unpacked file: type, number of dimensions d, max(d, 3) dimensions, each a
            little-endian 32-bit integer, then the values, last dimension fastest.
        name: Name of the file for errors.

    Raises:
        ValueError: If it is not such a file, or is incomplete.
    """
    head = np.frombuffer(content[:8], "<i4") if len(content) >= 8 else np.zeros(2, np.int32)
    kind, dimensions = _NORB_TYPES.get(int(head[0])), int(head[1])
    if kind is None or not 1 <= dimensions <= 4:
        raise ValueError(f"{name} is not a NORB matrix of bytes or 32-bit integers")
    begin = 8 + 4 * max(dimensions, 3)
    if len(content) < begin:
        raise ValueError(f"{name} is incomplete")
    shape = np.frombuffer(content[8:begin], "<i4")[:dimensions]
    return _values(content, begin, kind, shape.tolist(), name)


def read_cifar(content: bytes, labels: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 32, 32, 3) and labels (n,) of a file of CIFAR's binary version.

    Args:
        content: Records of `labels` bytes, then 3,072 bytes: red, green and blue, row by row.
        labels: Labels per record, of which the last is used: 1 for CIFAR-10; 2 for CIFAR-100,
            whose first label is the coarse class.
        name: Name of the file for errors.

    Raises:
        ValueError: If the length is not a multiple of a record's length.
    """
    record = labels + int(np.prod(_CIFAR_IMAGE))
    if not content or len(content) % record:
        raise ValueError(f"{name} does not consist of records of {record} bytes, or is incomplete")
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    pixels = rows[:, labels:].reshape(-1, *_CIFAR_IMAGE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels), rows[:, labels - 1].copy()


def _values(
    content: bytes, begin: int, kind: np.dtype, shape: Sequence[int], name: str
) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    found, expected = len(content) - begin, count * kind.itemsize
    if min(shape) < 0 or found != expected:
        sizes = "×".join(map(str, shape))
        raise ValueError(
            f"{name} has {found:,} bytes of values, but {sizes} values, {expected:,} bytes, "
            "according to its header"
        )
    return np.frombuffer(content, kind, count, begin).reshape(shape)
