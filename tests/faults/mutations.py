"""Mutations of valid files: of bytes, of JSON values, and of rows of tables."""

from __future__ import annotations

import copy
import json

import numpy as np

# Values that are put where others are expected.
ODD = (
    *(None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e-300, 1e308, -1e308, 10**30, -(10**30), 2**63),
    *(10**400, float("nan"), float("inf"), float("-inf"), "", " ", "x", "0", "1", "nan", "\ud800"),
    *("a\0b", "\ufeff", "../../x", "/etc/passwd", "<script>", "é" * 300, "x\ny", [], {}, [[]]),
    *([1, "a", None], {"a": 1}, {"": {}}, [0] * 50, "__import__('os')", "!!python/object"),
)
CELLS = ("", " ", "nan", "inf", "-inf", "-1", "1e400", "1_0", "0x1", "1,5", "١٢", "\0", '"', "'")
CELLS += ("=1+1", "../../x", "/etc/passwd", "true", "NA", "x" * 140_000, "\ud800", "\ufeff", "é\r")


def mutated(data: bytes, kind: str, random: np.random.Generator) -> tuple[str, bytes]:
    """Return a file with one defect.

    Args:
        data: A valid file.
        kind: ``"json"``, ``"jsonl"`` or ``"table"``; anything else mutates bytes only.
        random: Random generator.

    Returns:
        A description of the defect, and the file.
    """
    structured = {"json": _json, "jsonl": _jsonl, "table": _table}
    if kind in structured and random.random() < 0.65:
        return structured[kind](data, random)
    return _bytes(data, random)


def _bytes(data: bytes, random) -> tuple[str, bytes]:
    at, length = int(random.integers(len(data))), int(random.integers(1, 40))
    flipped = bytearray(data)
    for place in random.integers(len(data), size=int(random.integers(1, 4))):
        flipped[place] ^= 1 << int(random.integers(8))
    changed = {
        "bits flipped": bytes(flipped),
        "cut": data[:at],
        "cut at the front": data[at:],
        "a piece removed": data[:at] + data[at + length :],
        "a piece repeated": data[: at + length] + data[at:],
        "noise inserted": data[:at] + random.bytes(length) + data[at:],
        "a piece replaced with noise": data[:at] + random.bytes(length) + data[at + length :],
        "NUL bytes inserted": data[:at] + bytes(length) + data[at:],
        "invalid UTF-8": data[:at] + b"\xc3\x28\xff" + data[at:],
        "a byte order mark": b"\xef\xbb\xbf" + data,
        "UTF-16": data.decode("latin-1").encode("utf-16"),
        "carriage returns": data.replace(b"\n", b"\r"),
        "Windows line endings": data.replace(b"\n", b"\r\n"),
        "repeated": data + data,
        "brackets inserted": data[:at] + b"[" * 20_000 + data[at:],
        "only brackets": b'{"a":' * 20_000,
        "empty": b"",
        "noise": random.bytes(500),
    }
    names = list(changed)
    # Flips and cuts have many more possible places than the others.
    name = names[int(random.choice([0, 0, 0, 0, 1, 1, *range(2, len(names))]))]
    return name, changed[name]


def _json(data: bytes, random) -> tuple[str, bytes]:
    value = json.loads(data)
    holders = list(_holders(value))
    holder = holders[int(random.integers(len(holders)))]
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key, odd = keys[int(random.integers(len(keys)))], _one(ODD, random)
    what = int(random.integers(8))
    if what < 4:
        holder[key] = odd
        name = f"{key!r} is {odd!r:.40}"
    elif what == 4:
        del holder[key]
        name = f"without {key!r}"
    elif what == 5:
        old = copy.deepcopy(holder[key])
        holder[key] = {"in": old} if random.random() < 0.5 else [old]
        name = f"{key!r} wrapped"
    elif what == 6 and isinstance(holder, dict):
        holder[_one(("extra", "", "__class__", "epochs ", "Flops", "\ud800"), random)] = odd
        name = "an extra key"
    else:
        mark = "a mark that occurs nowhere else"
        old = json.dumps(holder[key])
        holder[key] = mark
        deep = _one(("[" * 3000 + "]" * 3000, "1" * 5000, f'{old}, "{key}": {old}'), random)
        text = json.dumps(value).replace(f'"{mark}"', deep)
        return f"{key!r} nested, long or repeated", text.encode()
    return name, json.dumps(value).encode()


def _holders(value):
    """Yield all non-empty objects and lists in a JSON value."""
    if isinstance(value, dict | list) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _holders(item)


def _jsonl(data: bytes, random) -> tuple[str, bytes]:
    lines = data.splitlines(keepends=True)
    i, j = (int(random.integers(len(lines))) for _ in range(2))
    what = int(random.integers(6))
    if what < 3:
        name, line = _json(lines[i], random)
        lines[i] = line + b"\n"
        return f"line {i + 1}: {name}", b"".join(lines)
    if what == 3:
        del lines[i]
        return f"line {i + 1} is missing", b"".join(lines)
    if what == 4:
        lines.insert(j, lines[i])
        return f"line {i + 1} repeated", b"".join(lines)
    lines[i], lines[j] = lines[j], lines[i]
    return f"lines {i + 1} and {j + 1} exchanged", b"".join(lines)


def _table(data: bytes, random) -> tuple[str, bytes]:
    text = data.decode()
    separator = max("\t;,", key=text.partition("\n")[0].count)
    rows = [line.split(separator) for line in text.splitlines()]
    i, j = (int(random.integers(len(rows))) for _ in range(2))
    k, m = (int(random.integers(len(rows[0]))) for _ in range(2))
    cell, what = _one(CELLS, random), int(random.integers(9))
    if what < 3:
        rows[i][k] = cell
        name = f"cell {k} of row {i + 1} is {cell[:20]!r}"
    elif what == 3:
        rows[i] = rows[i][:k] + rows[i][k + 1 :]
        name = f"row {i + 1} without cell {k}"
    elif what == 4:
        rows[i].insert(k, cell)
        name = f"row {i + 1} with an extra cell"
    elif what == 5:
        rows.insert(j, list(rows[i]))
        name = f"row {i + 1} repeated"
    elif what == 6:
        rows = [row[:k] + row[k + 1 :] for row in rows]
        name = f"column {k} is missing"
    elif what == 7:
        for row in rows:
            row[k], row[m] = row[m], row[k]
        rows[0][k], rows[0][m] = rows[0][m], rows[0][k]
        name = f"columns {k} and {m} exchanged, but not their names"
    else:
        rows[0][k] = _one((rows[0][m], "", "x", rows[0][k].upper(), cell), random)
        name = f"column {k} is called {rows[0][k][:20]!r}"
    lines = "".join(separator.join(row) + "\n" for row in rows)
    return name, lines.encode("utf-8", "surrogatepass")


def _one(choices, random):
    return choices[int(random.integers(len(choices)))]
