"""Docstrings as Markdown: the roles, literal blocks and examples of reStructuredText in them."""

from __future__ import annotations

import re

import griffe

ROLE = re.compile(r":(?:func|class|mod|meth|attr|data|obj|exc):`([^`]+)`")


def to_markdown(text: str) -> str:
    """Return a docstring whose roles are code and whose literal blocks Markdown understands."""
    text = ROLE.sub(lambda match: f"`{match[1].lstrip('~').lstrip('.')}`", text)
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
    text = re.sub(r"^ *::\n\n", "", text, flags=re.MULTILINE)
    return re.sub(r"::\n\n(?=    )", ":\n\n", text)


class Roles(griffe.Extension):
    """Rewrites every docstring that mkdocstrings is about to show."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
