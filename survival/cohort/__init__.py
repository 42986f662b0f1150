"""The cohort: slides, patients and their follow-up, read from public files or a manifest."""

from typing import TYPE_CHECKING

from resbuilder.common.lazy import lazy

if TYPE_CHECKING:  # what editors and type checkers see; the same names as below
    from survival.cohort.checks import SPLITS as SPLITS
    from survival.cohort.checks import ManifestError as ManifestError
    from survival.cohort.clinical import FollowUp as FollowUp
    from survival.cohort.clinical import read_clinical as read_clinical
    from survival.cohort.endpoints import ENDPOINTS as ENDPOINTS
    from survival.cohort.gdc import GdcCohort as GdcCohort
    from survival.cohort.gdc import cohort_from_gdc as cohort_from_gdc
    from survival.cohort.left_out import Outcomes as Outcomes
    from survival.cohort.manifest import Cohort as Cohort
    from survival.cohort.slide_list import read_slide_list as read_slide_list
    from survival.cohort.splits import split_by_patient as split_by_patient
    from survival.cohort.summary import median_follow_up as median_follow_up
    from survival.cohort.summary import summarize as summarize
    from survival.cohort.summary import without_events as without_events

# Loaded on first use, so that `survival cohort --help` need not wait for pandas.
_HOMES = {
    "Cohort": "manifest",
    "ENDPOINTS": "endpoints",
    "FollowUp": "clinical",
    "GdcCohort": "gdc",
    "ManifestError": "checks",
    "Outcomes": "left_out",
    "SPLITS": "checks",
    "cohort_from_gdc": "gdc",
    "median_follow_up": "summary",
    "read_clinical": "clinical",
    "read_slide_list": "slide_list",
    "split_by_patient": "splits",
    "summarize": "summary",
    "without_events": "summary",
}

__all__ = list(_HOMES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _HOMES)
