"""Cox networks on whole-slide images (chapter 7 of J. Burghoff's dissertation).

So far: slides become canvases (:func:`preprocess_slide`, ``survival preprocess``), clinical files
become a checked cohort (:mod:`survival.cohort`, ``survival cohort``), and there are the Cox loss,
metrics over whole splits and the network. Training and the report are not written yet.
"""

from importlib import import_module

# Loaded on first use: `survival --help` need not wait for a backend.
_HOMES = {
    "ConcordanceIndexCallback": "metrics",
    "CoxPHLoss": "losses",
    "preprocess_slide": "slides",
    "vgg_survival_model": "models",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'survival' has no attribute {name!r}")
    return getattr(import_module(f"survival.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
