"""Training of one architecture, with and without regularization terms."""

from resbuilder.training.data import TrainingData
from resbuilder.training.regularized import RegularizedModel
from resbuilder.training.trainer import NO_REG_RI, NO_REG_WI, VARIANTS, WITH_REG, Trainer

__all__ = [
    "NO_REG_RI",
    "NO_REG_WI",
    "VARIANTS",
    "WITH_REG",
    "RegularizedModel",
    "Trainer",
    "TrainingData",
]
