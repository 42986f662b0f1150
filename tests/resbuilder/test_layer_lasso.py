"""LayerLasso: the term of eq. (4.4) and the blocks that it removes."""

import keras
import numpy as np
import pytest

from resbuilder import LayerLasso, build_model, resnet_architecture

pytestmark = pytest.mark.any_backend
ARCHITECTURE = resnet_architecture((8, 8, 1), 3, (4, 6), (1, 1), "small")


def kernel(model, name):
    return keras.ops.convert_to_numpy(model.get_layer(name).kernel)


def test_term_is_the_l1_norm_of_the_convolutions_inside_blocks_only():
    model = build_model(ARCHITECTURE, seed=0)
    lasso = LayerLasso(model, ARCHITECTURE.block_convolutions())
    inside = ("s0b0_conv1", "s0b0_conv2", "s1b0_conv1", "s1b0_conv2")
    expected = sum(np.abs(kernel(model, name)).sum() for name in inside)
    assert float(lasso.regularization_term()) == pytest.approx(expected, rel=1e-6)
    before = float(lasso.regularization_term())
    for outside in ("stem", "s1_proj", "logits"):
        layer = model.get_layer(outside)
        layer.kernel.assign(layer.kernel * 3)
    assert float(lasso.regularization_term()) == before


def test_a_block_is_removed_if_one_of_its_convolutions_is_below_the_threshold():
    model = build_model(ARCHITECTURE, seed=0)
    lasso = LayerLasso(model, ARCHITECTURE.block_convolutions(), threshold=1e-3)
    assert lasso.removable() == []
    weights = np.full(kernel(model, "s1b0_conv1").shape, 0.9e-3, "float32")
    model.get_layer("s1b0_conv1").kernel.assign(weights)
    assert lasso.removable() == ["s1b0"]
    assert lasso.values()["s1b0"] == pytest.approx(0.9e-3)
    # Eq. (4.6) as printed uses the sum, which is never this small in a layer of realistic size.
    summed = LayerLasso(model, ARCHITECTURE.block_convolutions(), 1e-3, "sum")
    assert summed.removable() == []
    assert summed.values()["s1b0"] == pytest.approx(0.9e-3 * weights.size, rel=1e-5)


def test_without_blocks_the_term_is_zero():
    model = build_model(ARCHITECTURE, seed=0)
    assert float(LayerLasso(model, {}).regularization_term()) == 0


def test_a_bad_argument_is_named_in_the_error():
    model = build_model(ARCHITECTURE, seed=0)
    with pytest.raises(ValueError, match="statistic must be one of"):
        LayerLasso(model, {}, statistic="max")
    with pytest.raises(ValueError, match="threshold must not be negative"):
        LayerLasso(model, {}, threshold=-1)
    with pytest.raises(ValueError, match="'b'.*'nothing'"):
        LayerLasso(model, {"b": ["stem", "nothing"]})
