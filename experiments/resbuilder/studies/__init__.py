"""Studies of chapter 6: the effect of each part of the search, and how to improve it."""

SCRIPTS = (
    "insert_init",
    "momentum",
    "removal_positions",
    "regularization",
    "long_run",
    "intensity",
    "budget",
    "removal_cost",
    "all",
)
