"""Archives from untrusted sources: datasets (npz) and models (.keras)."""

from __future__ import annotations

import base64
import io
import json
import marshal
import pickle
import zipfile
from pathlib import Path

import numpy as np

from tests.faults.mutations import mutated


class Payload:
    """An object that creates a file when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


def dataset() -> dict[str, np.ndarray]:
    """Return twelve training images and six test images of three classes."""
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (12, 6, 6, 3), np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": random.integers(0, 256, (6, 6, 6, 3), np.uint8),
        "y_test": np.arange(6) % 3,
        "class_names": np.array(["a", "b", "c"]),
    }


def broken_npz(random: np.random.Generator, trace: Path) -> tuple[str, bytes]:
    """Return a dataset with one defect; its pickles would leave a trace."""
    members = {f"{name}.npy": _npy(array) for name, array in dataset().items()}
    method = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[int(random.integers(2))]
    what = random.random()
    if what < 0.4:
        return mutated(packed(members, method), "bytes", random)
    name = list(members)[int(random.integers(len(members)))]
    if what < 0.8:
        odd = _arrays(dataset()[name[:-4]], trace)
        kind = list(odd)[int(random.integers(len(odd)))]
        members[name] = odd[kind]
        return f"{name} is {kind}", packed(members, method)
    kind = int(random.integers(7))
    if kind == 0:
        del members[name]
        return f"{name} is missing", packed(members, method)
    if kind == 1:
        outside = ("../../x.npy", "/tmp/x.npy", "..\\x.npy", "x_train.npy/../y.npy")
        members |= dict.fromkeys(outside, members[name])
        return "members that lead out of the folder", packed(members, method)
    if kind == 2:
        members[name[:-4]] = b"not an array"
        del members[name]
        return f"{name[:-4]} is not an array", packed(members, method)
    data = bytearray(packed(members, method))
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4 * int(random.integers(2)))
    if kind == 3:
        data[at + 8] |= 1
        return "a member is encrypted", bytes(data)
    if kind == 4:
        data[at + 10 : at + 12] = (99).to_bytes(2, "little")
        return "a member is compressed in an unknown way", bytes(data)
    if kind == 5:
        data[at + 24 : at + 28] = (2**32 - 2).to_bytes(4, "little")
        return "a member claims 4 GiB", bytes(data)
    data[at + 16 : at + 20] = bytes(4)
    return "a member with another checksum", bytes(data)


def _arrays(good: np.ndarray, trace: Path) -> dict[str, bytes]:
    """Return invalid replacements of an array, by description."""
    pickled = _header("|O", (2,)) + pickle.dumps(Payload(trace))
    floats = good.astype(np.float64) if good.dtype.kind in "iu" else np.ones(3)
    arrays = {
        "NaN": np.where(np.arange(floats.size).reshape(floats.shape) % 2, floats, np.nan),
        "infinite": np.full(floats.shape, np.inf),
        "huge": np.full(good.shape, 10**15),
        "negative": np.full(good.shape, -3),
        "complex": np.ones(good.shape, complex),
        "text": np.full(good.shape, "x"),
        "bytes": np.full(good.shape, b"\xff"),
        "dates": np.zeros(good.shape, "datetime64[s]"),
        "records": np.zeros(good.shape, [("a", "i4"), ("b", "f8")]),
        "a number": np.array(3),
        "empty": good[:0],
        "one too few": good[:-1],
        "of one more axis": good[None],
        "transposed": np.moveaxis(good, -1, 0),
        "boolean": np.ones(good.shape, bool),
    }
    return {name: _npy(array) for name, array in arrays.items()} | {
        "pickled": pickled,
        "a bare pickle": pickle.dumps(Payload(trace)),
        "8 terabytes": _header("<f8", (10**12,)) + bytes(100),
        "larger than any memory": _header("<f8", (10**20, 10**20)) + bytes(100),
        "3 gigabytes": _header("|u1", (10**5, 100, 100, 3)) + bytes(100),
        "of negative length": _header("|u1", (-5, 6, 6, 3)) + bytes(1000),
        "of an invalid shape": _header("|u1", "abc") + bytes(1000),
        "of an invalid type": _header("|q99", (2,)) + bytes(1000),
        "with a nested header": b"\x93NUMPY\x01\0\xff\x1f" + b"[" * 0x1FFF,
        "with a long header": b"\x93NUMPY\x02\0\xff\xff\xff\x7f" + b" " * 100,
        "with code as its header": b"\x93NUMPY\x01\0\x40\0" + b"__import__('os').abort()".ljust(64),
        "of version 9": b"\x93NUMPY\x09\0\x10\0" + b" " * 16,
        "an empty file": b"",
    }


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _header(kind: str, shape) -> bytes:
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text.encode()


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive of files by name; its bytes are reproducible."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return file.getvalue()


def broken_model(model: bytes, random: np.random.Generator, trace: Path) -> tuple[str, bytes]:
    """Return a .keras file with one defect, or one that contains code."""
    if random.random() < 0.4:
        return mutated(model, "bytes", random)
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if random.random() < 0.2:
        members["config.json"] = with_code(members["config.json"], trace)
        return "a layer with code", packed(members)
    name = list(members)[int(random.integers(len(members)))]
    if random.random() < 0.1:
        del members[name]
        return f"{name} is missing", packed(members)
    kind = "json" if name.endswith(".json") else "bytes"
    what, members[name] = mutated(members[name], kind, random)
    return f"{name}: {what}", packed(members)


def with_code(config: bytes, trace: Path) -> bytes:
    """Return a model's configuration with a layer of marshaled code that leaves a trace."""
    code = compile(f"lambda x: (open({str(trace)!r}, 'w'), x)[1]", "x", "eval").co_consts[0]
    model = json.loads(config)
    layer = model["config"]["layers"][-1]
    layer["class_name"], layer["module"] = "Lambda", "keras.layers"
    function = {"code": base64.b64encode(marshal.dumps(code)).decode(), "defaults": None}
    function = {"class_name": "__lambda__", "config": function | {"closure": None}}
    layer["config"] = {"name": layer["config"]["name"], "function": function}
    return json.dumps(model).encode()
