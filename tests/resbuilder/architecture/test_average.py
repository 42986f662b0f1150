"""Transition "average": a projection of 2×2 means, at the same cost as a strided projection."""

import json

import keras
import numpy as np
import pytest

from resbuilder import Architecture, build_model, cost, resnet_architecture

pytestmark = pytest.mark.any_backend
STRIDED, AVERAGED = (
    resnet_architecture((9, 10, 3), 10, (4, 8), (1, 0), "small", transition=transition)
    for transition in ("projection", "average")
)


def test_it_costs_the_same_and_has_its_own_json_and_text():
    assert cost(AVERAGED).flops == cost(STRIDED).flops
    assert cost(AVERAGED).parameters == cost(STRIDED).parameters
    assert AVERAGED.resolutions() == STRIDED.resolutions() and AVERAGED.depth == STRIDED.depth
    assert (AVERAGED.to_json()["version"], STRIDED.to_json()["version"]) == (2, 1)
    assert Architecture.from_json(json.dumps(AVERAGED.to_json())) == AVERAGED != STRIDED
    assert "⇘ā8" in str(AVERAGED) and "projection of 2×2 averages" in AVERAGED.tree()


def test_it_projects_the_means_of_2_by_2_pixels_without_padding():
    model = build_model(AVERAGED, seed=0)
    before, after = (model.get_layer(name).output for name in ("s0b0_add", "s1_proj"))
    seen = keras.Model(model.inputs, [before, after])
    images = np.random.default_rng(0).normal(size=(2, 9, 10, 3)).astype("float32")
    x, projected = (np.asarray(keras.ops.convert_to_numpy(t)) for t in seen(images))
    kernel = keras.ops.convert_to_numpy(model.get_layer("s1_proj").kernel)[0, 0]
    # With nine rows, the last row of means is over one row of pixels.
    means = np.stack(
        [
            np.stack([x[:, i : i + 2, j : j + 2].mean((1, 2)) for j in range(0, 10, 2)], 1)
            for i in range(0, 9, 2)
        ],
        1,
    )
    np.testing.assert_allclose(projected, means @ kernel, atol=1e-5)
