"""Public names of a package that are loaded on first use."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy(
    package: str, homes: Mapping[str, str], subpackages: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package.

    To a type checker, a module with ``__getattr__`` has every name. So the package imports the same
    names ``if TYPE_CHECKING``, and otherwise calls this function.

    Args:
        package: The package's ``__name__``.
        homes: For each public name, the module of the package that defines it.
        subpackages: Sub-packages that are loaded on first use, too.
    """

    def __getattr__(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        if name in subpackages:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *subpackages})

    return __getattr__, __dir__
