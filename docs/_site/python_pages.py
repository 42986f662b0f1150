"""The reference pages of the Python packages: which public name is documented on which page.

Public names are those in the ``__all__`` of a package or of one of its rooms (sub-packages). They
are read from the source, so nothing is imported. A name is documented once, on the page of its
room; the page of the package links to it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("resbuilder", "phs_optimizer", "survival")
# Names that the guides use and that no __all__ has, by module.
ALSO = {"phs_optimizer.policy": ["BrakingPolicy"]}
# The command lines have pages of their own.
SKIPPED = {"resbuilder.cli"}
# Names of types. As constants, they have no docstring, without which a member is not shown.
TYPES = {"CallbackFactory"}
FOLDER = "reference/python"


@functools.cache
def public_names() -> dict[str, list[str]]:
    """Return the ``__all__`` of every module that has one, by the module's name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            names = _exported(ast.parse(path.read_text(encoding="utf-8")))
            if names:
                parts = path.relative_to(ROOT).with_suffix("").parts
                found[".".join(part for part in parts if part != "__init__")] = names
    return found


def _exported(module: ast.Module) -> list[str]:
    """Return a module's ``__all__``: a list of names, or ``list(_HOMES)``."""
    assigned = {
        target.id: statement.value
        for statement in module.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    value = assigned.get("__all__")
    if isinstance(value, ast.Call):
        value = assigned[value.args[0].id]
    return list(ast.literal_eval(value)) if value else []


def rooms(package: str) -> list[str]:
    """Return the modules below a package that have public names and a page."""
    named = [*public_names(), *ALSO]
    return [name for name in named if name.startswith(f"{package}.") and name not in SKIPPED]


def homes(package: str) -> dict[str, str]:
    """Return the room that documents each name of a package, for those that a room exports."""
    names = public_names()
    return {
        name: room
        for room in rooms(package)
        for name in names.get(room, ())
        if name in names.get(package, ())
    }


def page_of(module: str) -> str:
    """Return the path of a module's page, relative to docs/."""
    return f"{FOLDER}/{module}.md"


def identifier(module: str, name: str) -> str:
    """Return the path under which a name is documented, which is its anchor.

    Where a submodule has the name of a function, as ``resbuilder.morphnet.prune`` has, that path
    would mean the submodule; the function is documented under its path in there.
    """
    is_hidden = (ROOT / module.replace(".", "/") / f"{name}.py").is_file()
    return f"{module}.{name}.{name}" if is_hidden else f"{module}.{name}"


def pages() -> Iterator[tuple[str, str]]:
    """Yield path and Markdown of each page of the reference."""
    names = public_names() | ALSO
    for package in PACKAGES:
        elsewhere = homes(package)
        own = [name for name in names[package] if name not in elsewhere]
        text = _module(package, own)
        if elsewhere:
            text += "\n## Documented with their sub-packages\n\n"
            text += "".join(
                f"- [`{package}.{name}`][{identifier(room, name)}]\n"
                for name, room in sorted(elsewhere.items())
            )
        if rooms(package):
            text += "\n## Sub-packages\n\n"
            text += "".join(f"- [`{room}`]({room}.md)\n" for room in rooms(package))
        yield page_of(package), text
        for room in rooms(package):
            yield page_of(room), _module(room, names[room])


def _module(module: str, names: list[str]) -> str:
    """Return a page: the module's docstring, its members, then what must be named on its own."""
    alone = [
        name
        for name in names
        if identifier(module, name) != f"{module}.{name}" or name in TYPES or _is_constant(name)
    ]
    members = "".join(f'        - "{name}"\n' for name in names if name not in alone)
    text = f"# {module}\n\n::: {module}\n    options:\n      members:"
    text += f"\n{members}" if members else " false\n"
    for name in alone:
        text += f"\n::: {identifier(module, name)}\n    options:\n      heading: {name}\n"
        text += "      show_root_heading: true\n      show_root_toc_entry: true\n"
    return text


def _is_constant(name: str) -> bool:
    return name.isupper() and name != "PHS"


def identifiers() -> dict[str, set[str]]:
    """Return for each page the anchors that it must have, one for each documented name."""
    found = {}
    for module, members in (public_names() | ALSO).items():
        if module not in SKIPPED:
            elsewhere = homes(module) if module in PACKAGES else {}
            found[page_of(module)] = {
                identifier(module, name) for name in members if name not in elsewhere
            }
    return found
