"""Chapter 7: Cox networks on a two-scanner cohort that anybody can make."""

SCRIPTS = ("thesis_sizes", "domain_gap", "mnist", "cohort")
