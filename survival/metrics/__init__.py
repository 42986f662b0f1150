"""How good predicted risks are, over whole splits; a higher score means a higher risk."""

from importlib import import_module

# Loaded on first use, so that metrics alone do not wait for Keras and its backend.
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
    "standardise_per_dataset": "merging",
    "time_dependent_auroc": "concordance",
    "uno_c": "concordance",
    "within_dataset_auroc": "merging",
    "within_dataset_c": "merging",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'survival.metrics' has no attribute {name!r}")
    return getattr(import_module(f"survival.metrics.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
