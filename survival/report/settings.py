"""Settings of runs: which runs have the same ones, and how the others differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from survival.run import Run

# Entries about the data or the outcome of a run, not about how it was trained.
NOT_COMPARED = (
    "datasets",
    "time_unit",
    "cohort_sha256",
    "images",
    "images_sha256",
    "microns_per_pixel",
    "backend",
    "strategy",
    "kept_epoch",
    "chosen_by",
    "versions",
)
FINGERPRINTS = ("cohort_sha256", "images", "images_sha256")


def open_runs(folders: Iterable[str | Path]) -> dict[str, Run]:
    """Open runs, and name each by the shortest end of its path that is unique.

    Args:
        folders: Run folders.

    Returns:
        Runs by name.

    Raises:
        ValueError: A folder is given twice, or does not contain a finished training.
    """
    paths = [Path(folder).resolve() for folder in folders]
    if not paths:
        raise ValueError("a report needs at least one run folder")
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"{path} is given {paths.count(path)} times; give it once")
    # Without the root, because a name should not be an absolute path.
    parts = [path.relative_to(path.anchor).parts for path in paths]
    ends = range(1, max(map(len, parts)) + 1)
    candidates = (["/".join(path_parts[-n:]) for path_parts in parts] for n in ends)
    names = next(names for names in candidates if len(set(names)) == len(names))
    return {name: Run(path) for name, path in zip(names, paths, strict=True)}


def time_unit(runs: Mapping[str, Run]) -> str | None:
    """Return the unit of the times of all runs, None if no run states it.

    Args:
        runs: Runs by name.

    Raises:
        ValueError: The runs state different units.
    """
    units = {name: run.settings.get("time_unit") for name, run in runs.items()}
    known = {unit: name for name, unit in units.items() if unit is not None}
    if len({unit.casefold() for unit in known}) > 1:
        said = ", ".join(f"{name} in {unit}" for unit, name in known.items())
        raise ValueError(
            f"the runs have times in different units ({said}): write a separate report for each"
        )
    return next(iter(known), None)


def same_settings(runs: Mapping[str, Run]) -> list[tuple[str, dict[str, Run]]]:
    """Group runs that were trained with the same settings, on any data.

    Args:
        runs: Runs by name.

    Returns:
        For each group a title with the settings in which groups differ, empty if there is only one
        group, and its runs by name.
    """
    groups: dict[str, dict[str, Run]] = {}
    for name, run in runs.items():
        groups.setdefault(json.dumps(_compared(run), sort_keys=True), {})[name] = run
    settings = [_compared(next(iter(group.values()))) for group in groups.values()]
    keys = [key for key in _keys(settings) if _differs(key, settings)]
    titles = [", ".join(f"{_symbol(k)} = {text(s.get(k))}" for k in keys) for s in settings]
    return list(zip(titles, groups.values(), strict=True))


def settings_rows(runs: Mapping[str, Run]) -> list[dict]:
    """Return all settings of all runs.

    Args:
        runs: Runs by name.

    Returns:
        Rows with ``name``, ``values`` (one per run) and ``differs``, whether readers should see
        the row first. Versions have one row per package.
    """
    settings = [_flat(_without_folders(run.settings)) for run in runs.values()]
    return [
        {
            "name": key,
            "values": [text(one.get(key)) for one in settings],
            # Fingerprints differ whenever the data do, and carry no further information.
            "differs": _differs(key, settings) and key not in FINGERPRINTS,
        }
        for key in _keys(settings)
    ]


def text(value) -> str:
    """Return a setting as shown on the page."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(text, value)) or "none"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _compared(run: Run) -> dict:
    # A setting that an older version did not know counts as not given.
    items = run.settings.items()
    return {k: v for k, v in items if k not in NOT_COMPARED and v is not None}


def _keys(settings: list[dict]) -> list[str]:
    return list(dict.fromkeys(key for one in settings for key in one))


def _differs(key: str, settings: list[dict]) -> bool:
    return len({json.dumps(one.get(key), sort_keys=True) for one in settings}) > 1


def _flat(settings: dict) -> dict:
    """Return settings in which nested tables are flattened to keys such as ``versions.keras``."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            result |= {f"{key}.{name}": nested for name, nested in value.items()}
        else:
            result[key] = value
    return result


def _without_folders(settings: dict) -> dict:
    """Return settings that are safe to publish, without the folder of the images."""
    images = settings.get("images")
    return settings | {"images": Path(images).name} if images else settings


def _symbol(key: str) -> str:
    return "λ" if key == "mean_penalty" else key.replace("_", " ")
