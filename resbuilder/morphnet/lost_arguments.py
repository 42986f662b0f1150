"""Arguments of a user's class that its ``get_config()`` lacks, so that a copy would lose them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from resbuilder.morphnet.rules import of_keras


def lost_arguments(thing: Any) -> list[str]:
    """Return the arguments that a copy of a layer, optimizer or metric would have by default only.

    Those of Keras return all of theirs. An argument whose default the object has as an attribute
    is not lost. A class with its own ``from_config()`` is trusted.
    """
    if not of_keras(type(thing).from_config):
        return []
    config = thing.get_config()
    return [
        argument.name
        for argument in _arguments(type(thing))
        if argument.name not in config and not _has_default(thing, argument)
    ]


def _arguments(cls: type) -> Iterator[inspect.Parameter]:
    """Yield the arguments that a class takes, and those that it passes on to a user's base class.

    An argument that a class does not pass on by ``**kwargs`` is a matter of its own code.
    """
    for one in cls.__mro__:
        if (own := vars(one).get("__init__")) is None:
            continue
        if of_keras(one) or not inspect.isfunction(own):
            return
        parameters = list(inspect.signature(own).parameters.values())[1:]
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        yield from (each for each in parameters if each.kind not in variable)
        if all(each.kind != inspect.Parameter.VAR_KEYWORD for each in parameters):
            return


def _has_default(thing: Any, argument: inspect.Parameter) -> bool:
    """Return whether an attribute that is named like an argument has its default."""
    names = (argument.name, f"_{argument.name}")
    found = [getattr(thing, name) for name in names if hasattr(thing, name)]
    try:
        return bool(found) and bool(found[0] == argument.default)
    except Exception:  # such as an array, whose comparison is not a boolean
        return False
