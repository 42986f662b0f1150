"""Chapter 5: MorphNet on MNIST."""

SCRIPTS = (
    "one_iteration",
    "two_iterations",
    "single_run",
    "bad_start",
    "what_is_left",
    "inherited",
    "families",
)
