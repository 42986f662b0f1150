"""strict=True returns what Google's MorphNet returns."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from resbuilder.morphnet import MorphNetRegularizer

FIXTURES = Path(__file__).parents[2] / "fixtures" / "morphnet"
NAMES = [
    *("chain", "resnet", "resnet_proj", "reference_style"),
    *("no_bn", "flatten_dense", "depthwise", "mixed_strides"),
]


def check(folder, name, gradients):
    rows = json.loads((folder / "goldens.json").read_text())[name]
    model = keras.models.load_model(folder / f"{name}.keras")
    for row in rows:
        morphnet = MorphNetRegularizer(
            model, row["regularizer"], row["resource"], row["threshold"], strict=True
        )
        alive = {layer: np.flatnonzero(a).tolist() for layer, a in morphnet.alive().items()}
        assert alive == row["alive"]
        assert morphnet.exact_cost() == row["cost"]
        assert float(morphnet.cost()) == pytest.approx(row["cost"], rel=1e-5)
        term = float(morphnet.regularization_term())
        assert term == pytest.approx(row["regularization_term"], rel=1e-5)
        norms = {
            path: np.linalg.norm(gradient)
            for path, gradient in gradients(model, morphnet.regularization_term).items()
            if gradient.any()
        }
        assert norms == pytest.approx(row["gradient_norms"], rel=1e-5)


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["depthwise", "mixed_strides"])
def test_equals_google_on_small_models(name, gradients):
    check(FIXTURES, name, gradients)


@pytest.mark.parametrize("name", NAMES)
def test_equals_google_on_all_reference_models(name, gradients, shared):
    check(shared / "morphnet_reference", name, gradients)
