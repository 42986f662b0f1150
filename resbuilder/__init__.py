"""Architecture search that grows and prunes residual networks to a FLOPs budget.

The whole job is :func:`search`; its pieces are useful on their own: describe a network
(:class:`Architecture`), build it (:func:`build_model`), count it (:func:`cost`), regularize it
(:class:`resbuilder.morphnet.MorphNetRegularizer`, :class:`LayerLasso`), and change it
(:mod:`resbuilder.surgery`).
"""

from importlib import import_module

# Loaded on first use: `import resbuilder` and `resbuilder --help` need not wait for a backend.
_HOMES = {
    "Architecture": "architecture",
    "Cost": "costs",
    "LayerLasso": "layer_lasso",
    "SearchConfig": "config",
    "SearchResult": "pipeline",
    "TrainConfig": "config",
    "build_model": "model",
    "cost": "costs",
    "minimal_architecture": "architecture",
    "resnet_architecture": "architecture",
    "resume": "pipeline",
    "search": "pipeline",
}

_ROOMS = ("datasets", "morphnet", "report", "surgery", "training")

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name in _ROOMS:
        return import_module(f"resbuilder.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'resbuilder' has no attribute {name!r}")
    return getattr(import_module(f"resbuilder.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_ROOMS])
