"""Make figures and one self-contained HTML page from a run folder."""

from resbuilder.report.history import History, Record, Score, read_history, summary_rows
from resbuilder.report.page import write_report
from resbuilder.variants import VARIANTS

__all__ = [
    "VARIANTS",
    "History",
    "Record",
    "Score",
    "read_history",
    "summary_rows",
    "write_report",
]
