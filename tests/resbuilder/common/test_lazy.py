"""Packages that load their public names on first use."""

from importlib import import_module

import pytest

LAZY = ("resbuilder", "resbuilder.datasets", "survival", "survival.cohort", "survival.metrics")


@pytest.mark.parametrize("name", LAZY)
def test_a_package_has_the_names_it_lists_and_no_others(name):
    package = import_module(name)
    assert set(package.__all__) <= set(dir(package))
    assert all(getattr(package, listed) is not None for listed in package.__all__)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        package.__getattr__("nothing")
