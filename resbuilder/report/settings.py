"""The settings of a search with the symbols the thesis uses for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from resbuilder.common.words import number
from resbuilder.config import SearchConfig


def settings_rows(config: dict) -> list[dict]:
    """Return all settings of a run; those with a symbol in the thesis come first.

    Args:
        config: Settings by name, as in ``config.json``.

    Returns:
        Rows with ``name``, ``symbol`` (empty if the thesis has none), ``value`` and ``help``.
    """
    known: dict[str, Mapping] = {f.name: f.metadata for f in fields(SearchConfig)}
    rows = [
        {
            "name": name,
            "symbol": known.get(name, {}).get("symbol") or "",
            "value": _text(value),
            "help": known.get(name, {}).get("help", ""),
        }
        for name, value in config.items()
    ]
    return sorted(rows, key=lambda row: not row["symbol"])


def _text(value) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else str(value)
