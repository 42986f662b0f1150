"""Data in tensors: the same images as `Batches`, each once per epoch, and the same training."""

import keras
import numpy as np
import pytest

from resbuilder import SearchConfig, minimal_architecture
from resbuilder.datasets import Augmentation, Batches
from resbuilder.training import Trainer, TrainingData, data, trainer

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="resident data are TensorFlow's"
)
CONFIG = SearchConfig(
    dataset="digits", epochs=2, batch_size=32, train_limit=240, lambda_l2=1e-3, lambda_layer=1e-4
)
ARCHITECTURE = minimal_architecture((8, 8, 1), 10, 4, 1)
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (43, 10, 12, 3), np.uint8), RNG.integers(0, 9, 43)


def spans(dataset):
    return list(dataset.as_numpy_iterator())


@pytest.mark.parametrize("augment", [None, Augmentation(0.2, True), Augmentation(0.1, False)])
def test_steps_gather_the_same_images_as_batches(augment):
    from resbuilder.training.resident import ResidentData

    indices = RNG.permutation(43)[:31]
    resident = ResidentData(
        {"train": (IMAGES[indices], LABELS[indices]), "test": (IMAGES[:5], LABELS[:5])}
    )
    batches = Batches(IMAGES, LABELS, indices, 10, shuffle=True, augment=augment, seed=3)
    expected = Batches(IMAGES, LABELS, indices, 10, shuffle=True, augment=augment, seed=3)
    callback = resident.shuffled(batches)
    for epoch in (0, 1):
        callback.on_epoch_begin(epoch)
        expected.epoch = epoch + 1
        cut = spans(resident.spans("train", 10))
        assert len(cut) == len(expected)
        for b, span in enumerate(cut):
            for got, wanted in zip(
                resident.training_batch(span, moved=augment is not None), expected[b], strict=True
            ):
                np.testing.assert_array_equal(got, wanted)
                assert got.dtype == wanted.dtype


def test_each_part_is_delivered_once_and_unchanged():
    from resbuilder.training.resident import ResidentData

    parts = {
        name: (IMAGES[a:b], LABELS[a:b]) for name, a, b in [("train", 0, 20), ("test", 20, 43)]
    }
    resident = ResidentData(parts)
    for part, (images, labels) in parts.items():
        pieces = [resident.batch(span) for span in spans(resident.spans(part, 9))]
        np.testing.assert_array_equal(np.concatenate([p for p, _ in pieces]), images)
        np.testing.assert_array_equal(np.concatenate([y for _, y in pieces]), labels)


def test_training_is_the_same_as_with_batches(monkeypatch):
    """Resident data with many steps per execution give the same as Keras' batches one by one."""
    resident = Trainer(ARCHITECTURE, TrainingData.load(CONFIG), CONFIG, 1, regularized=True)
    assert resident.model.steps_per_execution > 1
    monkeypatch.setattr(data, "MOST_RESIDENT_BYTES", 0)
    plain = Trainer(ARCHITECTURE, TrainingData.load(CONFIG), CONFIG, 1, regularized=True)
    assert plain.model.steps_per_execution == 1
    one, other = (t.fit(7, regularize=True) for t in (resident, plain))
    for key, curve in one["history"].items():
        np.testing.assert_allclose(curve, other["history"][key], rtol=1e-4, err_msg=key)
    assert one["test"]["loss"] == pytest.approx(other["test"]["loss"], rel=1e-4)
    # The model accepts other data, too, and the last epoch has evaluated the same weights.
    again = resident.model.evaluate(resident.data.batches("validation", 17), verbose=0)
    assert again[0] == pytest.approx(one["validation"]["loss"], rel=1e-5)


@pytest.mark.parametrize(("setting", "value"), [("strategy", "mirrored"), ("jit_compile", True)])
def test_settings_that_do_not_work_with_resident_data_get_batches(setting, value):
    config = SearchConfig(**CONFIG.to_json() | {setting: value})
    loaded = TrainingData.load(config)
    fed, callbacks = Trainer(ARCHITECTURE, loaded, config, 1, regularized=False).shuffled(seed=0)
    assert isinstance(fed, Batches) and callbacks == []


def test_large_networks_return_to_python_after_every_step(monkeypatch):
    monkeypatch.setattr(trainer, "EXECUTED_FLOPS", 1)
    loaded = TrainingData.load(CONFIG)
    large = Trainer(ARCHITECTURE, loaded, CONFIG, 1, regularized=False)
    assert large.model.steps_per_execution == 1
