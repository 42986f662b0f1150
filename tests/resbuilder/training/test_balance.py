"""Imbalanced classes: balanced accuracy, and weights in the loss."""

import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils.class_weight import compute_class_weight

from resbuilder import build_model, minimal_architecture
from resbuilder.training import RegularizedModel
from resbuilder.training.balance import BalancedAccuracy, balanced_weights

pytestmark = pytest.mark.any_backend

LABELS = np.repeat([0, 1, 2], [30, 6, 4])


def test_balanced_accuracy_over_batches_equals_scikit_learns():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 3)).astype("float32")
    metric = BalancedAccuracy(3)
    for at in range(0, 40, 7):
        metric.update_state(LABELS[at : at + 7], logits[at : at + 7])
    expected = balanced_accuracy_score(LABELS, logits.argmax(axis=1))
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    metric.reset_state()
    metric.update_state([0, 0], [[1.0, 0, 0], [0, 1, 0]])  # classes without images do not count
    assert float(metric.result()) == 0.5


def test_predicting_only_the_frequent_class_has_the_balanced_accuracy_of_chance():
    metric = BalancedAccuracy(3)
    metric.update_state(LABELS, np.eye(3, dtype="float32")[np.zeros(40, int)])
    assert float(metric.result()) == pytest.approx(1 / 3)


def test_balanced_weights_equal_scikit_learns():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    assert balanced_weights(LABELS, 3) == pytest.approx(expected)
    assert balanced_weights(np.array([0, 0, 2]), 3).tolist() == [0.75, 0.0, 1.5]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_act_only_in_training_and_also_on_smoothed_labels(smoothing):
    network = build_model(minimal_architecture((4, 4, 1), 3, width=2, stages=1))
    weights = np.array([0.5, 1, 2], np.float32)
    model = RegularizedModel(network, {}, smoothing, class_weights=weights)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(40, 3)).astype("float32")
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    target = (1 - smoothing) * np.eye(3)[LABELS] + smoothing / 3
    each = -(target * logp).sum(axis=1)
    found = model.compute_loss(None, LABELS, logits, training=True)
    assert float(found) == pytest.approx((weights[LABELS] * each).mean(), rel=1e-5)
    plain = -logp[np.arange(40), LABELS].mean()
    evaluated = model.compute_loss(None, LABELS, logits, training=False)
    assert float(evaluated) == pytest.approx(plain, rel=1e-5)
