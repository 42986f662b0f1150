"""The search itself: its loop, and the work behind each step."""

from resbuilder.pipeline.api import SearchResult, resume, search

__all__ = ["SearchResult", "resume", "search"]
