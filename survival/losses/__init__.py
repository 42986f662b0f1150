"""The Cox loss: of a batch, of a batch on several devices, of a batch larger than the memory."""

from survival.losses.cox import CoxPHLoss
from survival.losses.large_batch import LargeBatchModel
from survival.losses.partial_likelihood import negative_log_partial_likelihood
from survival.losses.targets import check_targets

__all__ = [
    "CoxPHLoss",
    "LargeBatchModel",
    "check_targets",
    "negative_log_partial_likelihood",
]
