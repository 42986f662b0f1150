"""Chapter 6: ResBuilder."""
