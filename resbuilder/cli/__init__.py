"""The ``resbuilder`` command."""

from resbuilder.cli.commands import main

__all__ = ["main"]
