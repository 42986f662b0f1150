"""Chapter 7: Cox networks on a two-scanner cohort that anybody can make."""
