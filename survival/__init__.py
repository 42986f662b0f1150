"""Cox networks on whole-slide images (chapter 7 of J. Burghoff's dissertation).

Slides become canvases (:func:`preprocess_slide`, ``survival preprocess``), clinical files
become a checked cohort (:mod:`survival.cohort`, ``survival cohort``), a network is trained on both
(:mod:`survival.training`, ``survival train``) and predicts other scanners' slides
(:mod:`survival.evaluation`, ``survival evaluate``), and a page shows how far its risks carry
(:mod:`survival.report`, ``survival report``). Loss, metrics, network and slides are of use alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what editors and type checkers see; the same names as below
    from survival.losses import CoxPHLoss as CoxPHLoss
    from survival.metrics import ConcordanceIndexCallback as ConcordanceIndexCallback
    from survival.models import vgg_survival_model as vgg_survival_model
    from survival.saliency import risk_saliency as risk_saliency
    from survival.slides import preprocess_slide as preprocess_slide

# Loaded on first use: `survival --help` need not wait for a backend.
_HOMES = {
    "ConcordanceIndexCallback": "metrics",
    "CoxPHLoss": "losses",
    "preprocess_slide": "slides",
    "risk_saliency": "saliency",
    "vgg_survival_model": "models",
}

__all__ = list(_HOMES)


if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name

    def __getattr__(name: str):
        if name not in _HOMES:
            raise AttributeError(f"module 'survival' has no attribute {name!r}")
        return getattr(import_module(f"survival.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
