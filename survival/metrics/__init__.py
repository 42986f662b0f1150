"""Metrics of risk scores over whole splits; a higher score means a higher risk."""

from typing import TYPE_CHECKING

from resbuilder.common.lazy import lazy

if TYPE_CHECKING:  # what editors and type checkers see; the same names as below
    from survival.metrics.bootstrap import Interval as Interval
    from survival.metrics.bootstrap import bootstrap_interval as bootstrap_interval
    from survival.metrics.bootstrap import event_interval as event_interval
    from survival.metrics.breslow import BaselineHazard as BaselineHazard
    from survival.metrics.calibration import calibration_table as calibration_table
    from survival.metrics.callback import ConcordanceIndexCallback as ConcordanceIndexCallback
    from survival.metrics.concordance import PairCounts as PairCounts
    from survival.metrics.concordance import auroc as auroc
    from survival.metrics.concordance import count_pairs as count_pairs
    from survival.metrics.concordance import harrell_c as harrell_c
    from survival.metrics.concordance import time_dependent_auroc as time_dependent_auroc
    from survival.metrics.concordance import uno_c as uno_c
    from survival.metrics.merging import DatasetScores as DatasetScores
    from survival.metrics.merging import cross_dataset_scores as cross_dataset_scores
    from survival.metrics.merging import cross_dataset_table as cross_dataset_table
    from survival.metrics.merging import merged_auroc as merged_auroc
    from survival.metrics.merging import merged_c as merged_c
    from survival.metrics.merging import standardize_per_dataset as standardize_per_dataset
    from survival.metrics.merging import within_dataset_auroc as within_dataset_auroc
    from survival.metrics.merging import within_dataset_c as within_dataset_c
    from survival.metrics.patients import PatientScores as PatientScores
    from survival.metrics.patients import per_patient as per_patient
    from survival.metrics.risk_groups import KaplanMeier as KaplanMeier
    from survival.metrics.risk_groups import LogRank as LogRank
    from survival.metrics.risk_groups import assign_risk_groups as assign_risk_groups
    from survival.metrics.risk_groups import kaplan_meier as kaplan_meier
    from survival.metrics.risk_groups import log_rank as log_rank
    from survival.metrics.risk_groups import numbers_at_risk as numbers_at_risk
    from survival.metrics.risk_groups import risk_thresholds as risk_thresholds

# Loaded on first use, so that most metrics do not need to load Keras and its backend.
_HOMES = {
    "BaselineHazard": "breslow",
    "ConcordanceIndexCallback": "callback",
    "Interval": "bootstrap",
    "KaplanMeier": "risk_groups",
    "LogRank": "risk_groups",
    "PairCounts": "concordance",
    "PatientScores": "patients",
    "assign_risk_groups": "risk_groups",
    "auroc": "concordance",
    "bootstrap_interval": "bootstrap",
    "calibration_table": "calibration",
    "count_pairs": "concordance",
    "DatasetScores": "merging",
    "cross_dataset_scores": "merging",
    "cross_dataset_table": "merging",
    "event_interval": "bootstrap",
    "harrell_c": "concordance",
    "kaplan_meier": "risk_groups",
    "log_rank": "risk_groups",
    "merged_auroc": "merging",
    "merged_c": "merging",
    "numbers_at_risk": "risk_groups",
    "per_patient": "patients",
    "risk_thresholds": "risk_groups",
    "standardize_per_dataset": "merging",
    "time_dependent_auroc": "concordance",
    "uno_c": "concordance",
    "within_dataset_auroc": "merging",
    "within_dataset_c": "merging",
}

__all__ = list(_HOMES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _HOMES)
