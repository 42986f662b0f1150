"""The search itself: its loop, the work behind each step, and which training is the best."""

from resbuilder.pipeline.api import SearchResult, resume, search

__all__ = ["SearchResult", "resume", "search"]
