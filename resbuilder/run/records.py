"""What the records of a search hold, so that a damaged journal is refused where it is read."""

from __future__ import annotations

import math
from collections.abc import Callable

from resbuilder.architecture import Architecture
from resbuilder.variants import VARIANTS


def _whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _real(value) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and abs(value) < 1e300 and math.isfinite(value)


def _text(value) -> bool:
    return isinstance(value, str)


def _or_none(fits: Callable) -> Callable:
    return lambda value: value is None or fits(value)


def _list(fits: Callable) -> Callable:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _table(fits: Callable) -> Callable:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _object(**keys: Callable) -> Callable:
    return lambda value: (
        isinstance(value, dict) and all(k in value and fits(value[k]) for k, fits in keys.items())
    )


def _variant(value) -> bool:
    return _text(value) and value in VARIANTS


def _square(value) -> bool:
    return _list(_list(_whole))(value) and all(len(row) == len(value) for row in value)


_WHOLE = "a whole number", _whole
_REAL = "a number", _real
_REAL_OR_NULL = "a number or null", _or_none(_real)
_YES_OR_NO = "true or false", lambda value: isinstance(value, bool)
_TEXT = "text", _text
_NAMES = "a list of names", _list(_text)
_WIDTHS = "whole numbers by name", _table(_whole)
_VARIANT = f"one of {', '.join(VARIANTS)}", _variant
_SCORES = "accuracy and loss", _object(accuracy=_or_none(_real), loss=_or_none(_real))
_WINNER = "a training or null", _or_none(_object(index=_whole, variant=_variant))
_ARCHITECTURE = "an architecture", lambda value: isinstance(value, dict)
_PLACE = _object(stage=_whole, position=_whole)

_FIELDS: dict[str, dict[str, tuple[str, Callable]]] = {
    "data": {"sha256": _TEXT},
    "architecture": {
        "index": _WHOLE,
        "round": _WHOLE,
        "origin": ("a step of the search", lambda v: v in ("start", *_GROWN)),
        "parent": ("a whole number or null", _or_none(_whole)),
        "inserted": _NAMES,
        "removed": _NAMES,
        "position": ("a stage and a position, or null", _or_none(_PLACE)),
        "architecture": _ARCHITECTURE,
        **dict.fromkeys(("flops", "parameters", "activations", "depth"), _WHOLE),
    },
    "training": {
        "index": _WHOLE,
        "variant": _VARIANT,
        "epochs": _WHOLE,
        "seconds": _REAL,
        "finite": _YES_OR_NO,
        "history": ("curves by name", _table(_list(_or_none(_real)))),
        "validation": _SCORES,
        "test": _SCORES,
    },
    "evaluation": {"index": _WHOLE, "validation": _SCORES, "test": _SCORES},
    "removal": {
        "index": _WHOLE,
        "values": ("numbers by block", _table(_or_none(_real))),
        "positions": (
            "places by block",
            _table(_object(stage=_whole, position=_whole, relative=_real)),
        ),
        "threshold": _REAL,
        "gain": _REAL_OR_NULL,
        "kept_by_momentum": _YES_OR_NO,
        "removed": _NAMES,
    },
    "morphnet": {
        "index": _WHOLE,
        "round": _WHOLE,
        "alive": _WIDTHS,
        "widths_before": _WIDTHS,
        "flops_before": _WHOLE,
        "dead": ("text or null", _or_none(_text)),
    },
    "exhausted": {"round": _WHOLE},
    "breakdown": {"index": _WHOLE, "reason": _TEXT},
    "finished": {
        "reason": _TEXT,
        "best": _WINNER,
        "best_any_size": _WINNER,
        "confusion": ("a square table of counts, or null", _or_none(_square)),
        "class_names": _NAMES,
    },
}
_GROWN = ("insertion", "removal", "morphnet")
# Of a MorphNet step after which channels are left.
_ALIVE = {
    "widths_shrunk": _WIDTHS,
    "widths_after": _WIDTHS,
    "flops_shrunk": _WHOLE,
    "flops_after": _WHOLE,
    "kappa": _REAL_OR_NULL,
    "removed_blocks": _NAMES,
    "channels": ("channels by name", _table(_list(lambda v: isinstance(v, int)))),
    "result": _ARCHITECTURE,
}


class RecordChecks:
    """Checks the records of a journal one after the other; events that are not known pass."""

    def __init__(self):
        self._keys: set[str] = set()
        self._blocks: list[set[str]] = []
        self._trained: set[tuple[int, str]] = set()

    def check(self, record) -> None:
        """Take the next record.

        Raises:
            ValueError: If it is none, lacks something, or does not follow those before.
        """
        if not isinstance(record, dict) or not all(_text(record.get(k)) for k in ("event", "key")):
            raise ValueError('it is no object with the texts "event" and "key"')
        if record.get("n", len(self._keys)) != len(self._keys):
            raise ValueError(f"it is number {record['n']!r} and should be {len(self._keys)}")
        if record["key"] in self._keys:
            raise ValueError(f"a step {record['key']!r} stands there twice")
        _require(record, _FIELDS.get(record["event"], {}) | {"time": _TEXT})
        if record["event"] in _FIELDS:
            self._follow(record)
        self._keys.add(record["key"])

    def _follow(self, record: dict) -> None:
        """What one record says of others must be so."""
        event, index = record["event"], record.get("index")
        if event == "architecture":
            self._grow(record)
        elif index is not None and index >= len(self._blocks):
            raise ValueError(f"its architecture {index} is not there")
        if event == "training":
            if record["variant"] == "no_reg_wi" and (index, "with_reg") not in self._trained:
                raise ValueError(f"architecture {index} has no training with_reg before it")
            self._trained.add((index, record["variant"]))
        if event == "removal" and (odd := set(record["removed"]) - self._blocks[index]):
            raise ValueError(f"architecture {index} has no block {', '.join(sorted(odd))}")
        if event == "morphnet":
            if record["dead"] is None:
                _require(record, _ALIVE)
                Architecture.from_json(record["result"])
            if odd := record["widths_before"].keys() - record["alive"].keys():
                raise ValueError(f"'alive' lacks {', '.join(sorted(odd))}")
        if event == "finished":
            if record["confusion"] and len(record["confusion"]) != len(record["class_names"]):
                raise ValueError("'confusion' and 'class_names' speak of different classes")
            for name in ("best", "best_any_size"):
                best = record[name]
                if best and (best["index"], best["variant"]) not in self._trained:
                    raise ValueError(f"{name!r} is a training that is not there")

    def _grow(self, record: dict) -> None:
        known, parent = len(self._blocks), record["parent"]
        if record["index"] != known:
            raise ValueError(f"'index' is {record['index']} and should be {known}")
        if (parent is None) != (record["origin"] == "start") or (parent or 0) > known:
            raise ValueError(f"'parent' is {parent}, which cannot be for {record['origin']!r}")
        if record["origin"] == "insertion" and record["position"] is None:
            raise ValueError("'position' is null, which cannot be for 'insertion'")
        blocks = {block.name for block in Architecture.from_json(record["architecture"]).blocks}
        if odd := set(record["inserted"]) - blocks:
            raise ValueError(f"its architecture has no block {', '.join(sorted(odd))}")
        self._blocks.append(blocks)


def _require(record: dict, fields: dict[str, tuple[str, Callable]]) -> None:
    for name, (wording, fits) in fields.items():
        if name == "time" and name not in record:
            continue
        if name not in record:
            raise ValueError(f"it lacks {name!r}")
        if not fits(record[name]):
            raise ValueError(f"{name!r} must be {wording}, got {repr(record[name])[:60]}")
