"""The two methods of a search, and the settings that only one of them has."""

from __future__ import annotations

THESIS = "thesis"
RACE = "race"
METHODS = (THESIS, RACE)
# Settings that belong to only one of the methods.
_ONLY = {
    RACE: {"total_epochs", "depths", "contenders"},
    THESIS: {
        *("start", "width", "stages", "stem", "epochs", "schedule", "warmup"),
        *("rounds", "insertions", "insert_init", "insert_share"),
        *("lambda_morphnet", "tau_morphnet", "algorithm", "engine", "resource", "peak_flops"),
        *("bandwidth", "intensity", "inherit_channels"),
        *("lambda_layer", "tau_layer", "layer_statistic", "momentum", "tau_momentum"),
    },
}


def only_method(name: str) -> str | None:
    """Return the only method that has a setting, or None if both have it."""
    return next((method for method, names in _ONLY.items() if name in names), None)


def of_a_search() -> set[str]:
    """Return the settings that belong to one method; a single training may have some, too."""
    return set().union(*_ONLY.values())


def of_other_method(method: str) -> set[str]:
    """Return the settings that only the other method has."""
    if method not in METHODS:  # A file may hold anything here; a list is not hashable.
        return set()
    return _ONLY[THESIS if method == RACE else RACE]


def wrong_method(names: list[str], method: str) -> str:
    """Return the error about settings of the other method."""
    other = THESIS if method == RACE else RACE
    return (
        f'these settings belong to method "{other}", but the method is "{method}": '
        f"{', '.join(names)}; leave them out or choose the other method"
    )
