"""Cox networks on whole-slide images (chapter 7 of J. Burghoff's dissertation).

The steps are:

1. convert slides to canvases (:func:`preprocess_slide`, ``survival preprocess``);
2. build a checked cohort from clinical files (:mod:`survival.cohort`, ``survival cohort``);
3. train a network on both (:mod:`survival.training`, ``survival train``);
4. compute and evaluate risk scores for other slides, such as another scanner's
   (:mod:`survival.evaluation`, ``survival evaluate``);
5. write a report (:mod:`survival.report`, ``survival report``).

Loss, metrics, network and slide conversion can also be used separately.
"""

from typing import TYPE_CHECKING

from resbuilder.common.lazy import lazy

if TYPE_CHECKING:  # what editors and type checkers see; the same names as below
    from survival.losses import CoxPHLoss as CoxPHLoss
    from survival.metrics import ConcordanceIndexCallback as ConcordanceIndexCallback
    from survival.models import vgg_survival_model as vgg_survival_model
    from survival.saliency import risk_saliency as risk_saliency
    from survival.slides import preprocess_slide as preprocess_slide

# Loaded on first use, so that `survival --help` does not load a backend.
_HOMES = {
    "ConcordanceIndexCallback": "metrics",
    "CoxPHLoss": "losses",
    "preprocess_slide": "slides",
    "risk_saliency": "saliency",
    "vgg_survival_model": "models",
}

_SUBPACKAGES = ("cohort", "evaluation", "losses", "metrics", "report", "slides", "training")

__all__ = list(_HOMES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _HOMES, _SUBPACKAGES)
