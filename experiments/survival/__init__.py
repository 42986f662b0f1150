"""Chapter 7: Cox networks on a two-scanner cohort that anyone can make."""

SCRIPTS = ("thesis_sizes", "domain_gap", "mnist", "cohort")
