"""strict=True returns the values of Google's MorphNet."""

from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures" / "morphnet"
NAMES = [
    *("chain", "resnet", "resnet_proj", "reference_style"),
    *("no_bn", "flatten_dense", "depthwise", "mixed_strides"),
]


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["depthwise", "mixed_strides"])
def test_equals_google_on_small_models(name, equals_goldens):
    equals_goldens(FIXTURES, name, strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_equals_google_on_all_reference_models(name, equals_goldens, shared):
    equals_goldens(shared / "morphnet_reference", name, strict=True)
