"""Studies of chapter 6: what each part of the search does, and what makes it better."""

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
