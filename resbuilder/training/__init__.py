"""Training of one architecture, with and without regularization terms."""

from resbuilder.training.data import TrainingData
from resbuilder.training.regularized import RegularizedModel
from resbuilder.training.trainer import Trainer

__all__ = [
    "RegularizedModel",
    "Trainer",
    "TrainingData",
]
