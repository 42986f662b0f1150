"""The command line of resbuilder."""

from resbuilder.cli.commands import main

__all__ = ["main"]
