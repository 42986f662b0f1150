"""The search: the loop of the thesis, the race, and the work of each step."""

from resbuilder.pipeline.api import SearchResult, resume, search

__all__ = ["SearchResult", "resume", "search"]
