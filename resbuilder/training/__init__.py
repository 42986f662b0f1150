"""Training of one architecture, with and without regularization terms."""

from resbuilder.training.callbacks import CallbackFactory, TrainingInfo
from resbuilder.training.data import TrainingData
from resbuilder.training.regularized import RegularizedModel
from resbuilder.training.trainer import Trainer, layer_lasso_of, morphnet_of

__all__ = [
    "CallbackFactory",
    "RegularizedModel",
    "Trainer",
    "TrainingData",
    "TrainingInfo",
    "layer_lasso_of",
    "morphnet_of",
]
