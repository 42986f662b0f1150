"""Arguments of a user's class that its ``get_config()`` lacks, so that a copy would lose them."""

from __future__ import annotations

import inspect
from typing import Any

from resbuilder.morphnet.rules import of_keras


def lost_arguments(thing: Any) -> list[str]:
    """Return the arguments that a copy of a layer, optimizer or metric would have by default only.

    Those of Keras return all of theirs. An argument whose default the object has as an attribute
    is not lost. A class with its own ``from_config()`` is trusted.
    """
    cls = type(thing)
    if of_keras(cls.__init__) or not of_keras(cls.from_config):
        return []
    config = thing.get_config()
    return [
        argument.name
        for argument in list(inspect.signature(cls.__init__).parameters.values())[1:]
        if argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)
        and argument.name not in config
        and not _has_default(thing, argument)
    ]


def _has_default(thing: Any, argument: inspect.Parameter) -> bool:
    """Return whether an attribute that is named like an argument has its default."""
    names = (argument.name, f"_{argument.name}")
    found = [getattr(thing, name) for name in names if hasattr(thing, name)]
    try:
        return bool(found) and bool(found[0] == argument.default)
    except Exception:  # such as an array, whose comparison is not a boolean
        return False
