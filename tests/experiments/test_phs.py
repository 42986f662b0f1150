"""The fast loop of chapter 3's experiments is Keras' fit, and what hangs on it is right."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_allclose

from experiments.phs.lenet import lenet
from experiments.phs.summary import accuracies, signed, spread
from phs_optimizer import PHS, GoalOrientedBraking

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the experiments run on TensorFlow"
)
JOB = {
    "dataset": "digits28",
    "data_dir": None,
    "limit": None,
    "seed": 3,
    "batch_size": 8,
    "epochs": 3,
    "learning_rate": 1e-2,
    "mass": 1e-2,
    "friction": 10.0,
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory, digits28):
    """Folder with real digits, enlarged to LeNet's 28×28, as a dataset that has no name."""
    x, y = digits28
    folder = tmp_path_factory.mktemp("data")
    np.savez(
        folder / "digits28.npz", x_train=x[:900], y_train=y[:900], x_test=x[900:], y_test=y[900:]
    )
    return folder


@pytest.fixture
def job(digits):
    return JOB | {"data_dir": str(digits)}


def optimizer():
    return PHS(JOB["learning_rate"], JOB["mass"], JOB["friction"], friction_form="rate")


def test_lenet_has_the_thesis_number_of_weights():
    assert lenet((28, 28, 1), 0).count_params() == 44_426
    assert lenet((32, 32, 3), 0).count_params() == 62_006


def test_lenet_is_initialised_as_pytorch_does():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Linear(400, 120)
    kernel, bias = next(
        layer.get_weights()
        for layer in lenet((32, 32, 3), 0).layers
        if layer.name.startswith("dense")
    )
    for ours, reference in ((kernel, theirs.weight), (bias, theirs.bias)):
        bound = 400**-0.5
        assert np.abs(ours).max() <= bound
        assert_allclose(np.abs(ours).max(), reference.abs().max().item(), rtol=0.05)
        assert_allclose(ours.std(), bound / 3**0.5, rtol=0.15)


def test_the_loop_is_fit(job):
    """Same order of the images, same callback: the same weights and the same event."""
    from experiments.phs.trainings import make_loop

    braking = dict(target=0.5, factor=10.0, average_steps=20, verbose=0)
    ours = GoalOrientedBraking(**braking)
    loop = make_loop(job, optimizer())
    loop.chunk = 5
    loop.run(3, [ours])

    model = lenet((28, 28, 1), JOB["seed"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(), loss, steps_per_execution=5, jit_compile=False)
    theirs = GoalOrientedBraking(**braking)
    x, y = loop.parts["train"]
    for epoch in range(3):
        order = np.random.default_rng((JOB["seed"], epoch)).permutation(len(y))
        order = order[: len(y) // 8 * 8]
        model.fit(
            x[order],
            y[order],
            batch_size=8,
            shuffle=False,
            verbose=0,
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[theirs],
        )
    assert [event["step"] for event in ours.events] == [event["step"] for event in theirs.events]
    assert len(ours.events) == 1
    for a, b in zip(loop.model.get_weights(), model.get_weights(), strict=True):
        assert_allclose(a, b, atol=2e-5)


def test_a_fork_is_a_training_that_brakes_from_the_start(job, monkeypatch):
    """The part before braking is shared between rows; that must not change a number."""
    from experiments.phs import trainings

    monkeypatch.setattr(trainings, "AVERAGE_STEPS", 20)
    forked = trainings.with_and_without_braking(job | {"brakes": [(0.5, 10.0), (0.99, 10.0)]})
    whole = trainings.with_callback(job | {"braking": {"target": 0.5, "factor": 10.0}})
    braked, unreached = forked["braked"]
    assert braked["history"] == whole["history"]
    assert braked["history"] != forked["unbraked"]
    (event,) = whole["events"]
    assert braked["epoch"] == event["step"] / (810 // 8)
    assert unreached["epoch"] is None
    assert unreached["history"] == forked["unbraked"]


def test_the_three_meanings_of_a_test_accuracy():
    history = [
        {"val_accuracy": 0.5, "test_accuracy": 0.9},
        {"val_accuracy": 0.8, "test_accuracy": 0.7},
        {"val_accuracy": 0.6, "test_accuracy": 0.6},
    ]
    assert accuracies(history) == {"final": 0.6, "by_validation": 0.7, "best": 0.9}


def test_spread_is_mean_and_sample_deviation_in_per_cent():
    assert spread([0.8, 0.9]) == "85.00 ± 7.07"
    assert signed([-0.01, -0.02]) == "−1.50 ± 0.71"
    assert spread([0.8]) == "80.00"


def test_a_table_from_the_command_to_the_figure(digits, tmp_path, monkeypatch):
    """The whole way of `python -m experiments.phs.fashion_mnist`, on small real images."""
    from experiments.phs import table

    monkeypatch.setitem(table.PRESETS, "quick", (400, 2, 2, table.DYNAMICS[:1]))
    command = table.table_command("digits28", "3.1", targets=(0.001, 0.9))
    arguments = ["--data-dir", str(digits), "--out", str(tmp_path), "--workers", "1"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "digits28_quick" / "report"
    assert (folder / "digits28.png").stat().st_size > 10_000
    rows = (folder / "digits28.md").read_text().splitlines()
    assert len(rows) == 2 + 4
    stored = json.loads((folder / "digits28.json").read_text())
    assert len(stored) == 2
    assert all("data_dir" not in entry["job"] for entry in stored.values())


def test_a_dataset_that_is_not_there_is_one_line(tmp_path):
    from experiments.phs.fashion_mnist import main

    done = CliRunner().invoke(main, ["--data-dir", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "fashion_mnist" in done.output and "Traceback" not in done.output
