"""The folder of a run, its journal, and which training in it is the best."""

from resbuilder.run.best import best_training
from resbuilder.run.folder import BEST_MODEL, Run, RunFolder, read_config, read_environment
from resbuilder.run.journal import Journal, read_records

__all__ = [
    "BEST_MODEL",
    "Journal",
    "Run",
    "RunFolder",
    "best_training",
    "read_config",
    "read_environment",
    "read_records",
]
