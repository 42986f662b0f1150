"""The Cox loss: for a batch, a batch on several devices, or a batch too large for memory."""

from survival.losses.cox import CoxPHLoss
from survival.losses.large_batch import LargeBatchModel
from survival.losses.partial_likelihood import negative_log_partial_likelihood
from survival.losses.target_checks import check_targets

__all__ = [
    "CoxPHLoss",
    "LargeBatchModel",
    "check_targets",
    "negative_log_partial_likelihood",
]
