"""HTML pages from templates; each page is one self-contained file."""

from __future__ import annotations

from collections.abc import Callable

import jinja2


def page_template(package: str, **filters: Callable) -> jinja2.Template:
    """Return the template ``page.html.j2`` of a package; an undefined variable in it is an error.

    Args:
        package: Name of the package that holds the template.
        **filters: Functions that the template may use as filters, by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template("page.html.j2")
