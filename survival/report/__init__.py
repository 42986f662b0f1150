"""A self-contained HTML report about one or more run folders."""

from survival.report.page import write_report

__all__ = ["write_report"]
