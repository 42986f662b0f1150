"""From the folders of trainings to one self-contained HTML page."""

from survival.report.page import write_report

__all__ = ["write_report"]
