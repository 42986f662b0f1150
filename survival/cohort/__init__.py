"""The cohort: slides, patients and their follow-up, read from public files or a manifest."""

from survival.cohort.checks import SPLITS, ManifestError
from survival.cohort.clinical import ENDPOINTS, FollowUp, read_clinical
from survival.cohort.gdc import GdcCohort, cohort_from_gdc
from survival.cohort.left_out import Outcomes
from survival.cohort.manifest import Cohort
from survival.cohort.slide_list import read_slide_list
from survival.cohort.splits import split_by_patient
from survival.cohort.summary import median_follow_up, summarize, without_events

__all__ = [
    "ENDPOINTS",
    "SPLITS",
    "Cohort",
    "FollowUp",
    "GdcCohort",
    "ManifestError",
    "Outcomes",
    "cohort_from_gdc",
    "median_follow_up",
    "read_clinical",
    "read_slide_list",
    "split_by_patient",
    "summarize",
    "without_events",
]
