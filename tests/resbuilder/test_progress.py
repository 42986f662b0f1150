"""Bars on a terminal."""

import io

from rich.console import Console

from resbuilder.progress import step_bar


def test_a_bar_counts_steps_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")  # not "dumb", on which nothing can be drawn over
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
        with step_bar("s2 222", 64, console) as show:
            show(32)
            show(64)
        assert ("64/64" in console.file.getvalue()) == terminal
