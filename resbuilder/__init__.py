"""Architecture search that grows and prunes residual networks to a FLOPs budget.

:func:`search` does the whole job. Its parts are useful on their own: describe a network
(:class:`Architecture`), build it (:func:`build_model`), compute its cost (:func:`cost`),
regularize it (:class:`resbuilder.morphnet.MorphNetRegularizer`, :class:`LayerLasso`), and change
it (:mod:`resbuilder.surgery`).
"""

from typing import TYPE_CHECKING

from resbuilder.common.lazy import lazy

if TYPE_CHECKING:  # what editors and type checkers see; the same names as below
    from resbuilder import datasets as datasets
    from resbuilder import morphnet as morphnet
    from resbuilder import report as report
    from resbuilder import surgery as surgery
    from resbuilder import training as training
    from resbuilder.architecture import Architecture as Architecture
    from resbuilder.architecture import minimal_architecture as minimal_architecture
    from resbuilder.architecture import resnet_architecture as resnet_architecture
    from resbuilder.config import SearchConfig as SearchConfig
    from resbuilder.config import TrainConfig as TrainConfig
    from resbuilder.costs import Cost as Cost
    from resbuilder.costs import cost as cost
    from resbuilder.layer_lasso import LayerLasso as LayerLasso
    from resbuilder.model import build_model as build_model
    from resbuilder.pipeline import SearchResult as SearchResult
    from resbuilder.pipeline import resume as resume
    from resbuilder.pipeline import search as search
    from resbuilder.prediction import Prediction as Prediction
    from resbuilder.prediction import Predictor as Predictor
    from resbuilder.single import train as train

# Each public name and the module that defines it. They are loaded on first use, so that
# `import resbuilder` and `resbuilder --help` need not wait for a backend.
_HOMES = {
    "Architecture": "architecture",
    "Cost": "costs",
    "LayerLasso": "layer_lasso",
    "Prediction": "prediction",
    "Predictor": "prediction",
    "SearchConfig": "config",
    "SearchResult": "pipeline",
    "TrainConfig": "config",
    "build_model": "model",
    "cost": "costs",
    "minimal_architecture": "architecture",
    "resnet_architecture": "architecture",
    "resume": "pipeline",
    "search": "pipeline",
    "train": "single",
}

_SUBPACKAGES = ("datasets", "morphnet", "report", "surgery", "training")

__all__ = list(_HOMES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _HOMES, _SUBPACKAGES)
