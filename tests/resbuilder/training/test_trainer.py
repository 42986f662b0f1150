"""Train one architecture on real digits."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from resbuilder import SearchConfig, minimal_architecture
from resbuilder.training import Trainer, TrainingData

pytestmark = pytest.mark.any_backend
CONFIG = SearchConfig(dataset="digits", epochs=2, batch_size=32, train_limit=300)


@pytest.fixture(scope="module")
def data():
    return TrainingData.load(CONFIG)


def trainer(data, config=CONFIG):
    return Trainer(minimal_architecture((8, 8, 1), 10, 4), data, config, 3, regularized=True)


def arrays(variables):
    return [keras.ops.convert_to_numpy(v) for v in variables]


def test_parts_do_not_overlap_and_preprocessing_is_fitted_to_training(data):
    assert not set(data.split.train) & set(data.split.validation)
    assert len(data.split.train) + len(data.split.validation) == 300
    assert data.preprocessing.scale == (1 / 16,)
    with pytest.raises(ValueError, match="part must be one of"):
        data.batches("all", 32)


def test_the_fingerprint_notices_a_change_of_any_image(data):
    before = data.fingerprint()
    for part in ("x_train", "x_test"):
        images = getattr(data.dataset, part).copy()
        images[1, 0, 0, 0] += 1
        changed = replace(data, dataset=replace(data.dataset, **{part: images})).fingerprint()
        assert changed["sha256"] == before["sha256"]  # one image in 101
        assert changed["images"] != before["images"]


def test_reset_and_the_same_seed_give_the_same_numbers_on_one_compiled_step(data):
    t = trainer(data)
    first = t.fit(7, regularize=True)
    state = arrays([*t.network.weights, *t.optimizer.variables])
    t.fit(8, regularize=False)
    t.reset()
    keras.utils.set_random_seed(99)  # Has no effect: everything random gets its own seed.
    assert int(t.optimizer.iterations) == 0
    again = t.fit(7, regularize=True)
    assert again | {"seconds": 0} == first | {"seconds": 0}
    for a, b in zip(state, arrays([*t.network.weights, *t.optimizer.variables]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_is_compiled_on_jax_which_otherwise_executes_each_operation_alone(data):
    assert trainer(data).model.jit_compile is (keras.backend.backend() == "jax")


def test_training_starts_from_saved_weights(data, tmp_path):
    t = trainer(data)
    t.fit(7, regularize=True)
    t.save(tmp_path / "start.keras")
    start = arrays(t.network.weights)
    t.fit(8, regularize=True)
    t.reset(tmp_path / "start.keras")
    for a, b in zip(start, arrays(t.network.weights), strict=True):
        np.testing.assert_array_equal(a, b)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["start.keras"]


@pytest.mark.slow_on("jax")
def test_the_result_is_that_of_weights_which_a_callback_restores(data):
    """Those of the first epoch, which has the lowest loss."""
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    t = trainer(data)
    record = t.fit(7, regularize=False, callbacks=[stopping])
    first, last = record["history"]["val_loss"]
    assert first < last
    assert record["validation"] == t.evaluate("validation")
    assert record["validation"]["loss"] == pytest.approx(first, rel=1e-5)


def test_a_diverged_training_is_recorded_as_such_without_nan(data):
    config = SearchConfig(**CONFIG.to_json() | {"learning_rate": 1e30})
    record = trainer(data, config).fit(7, regularize=True)
    assert record["finite"] is False
    assert record["history"]["loss"][-1] is None or record["test"]["loss"] is None


def test_variants_differ_in_strengths_and_l2_stays_on(data):
    t = trainer(data)
    t.fit(7, regularize=True)
    on = {name: float(v) for name, v in t.model.strengths.items()}
    t.fit(7, regularize=False)
    off = {name: float(v) for name, v in t.model.strengths.items()}
    assert on == pytest.approx({"l2": 1e-5, "morphnet": 1e-7, "layer_lasso": 1e-8}, rel=1e-6)
    assert off == pytest.approx({"l2": 1e-5, "morphnet": 0.0, "layer_lasso": 0.0}, rel=1e-6)


def test_l2_is_the_sum_of_squares_of_all_kernels(data):
    t = trainer(data)
    kernels = [
        keras.ops.convert_to_numpy(t.network.get_layer(name).kernel) for name in ("stem", "logits")
    ]
    expected = sum(np.square(k).sum() for k in kernels)
    assert float(t._l2()) == pytest.approx(expected, rel=1e-5)
