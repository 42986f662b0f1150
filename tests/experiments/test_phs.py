"""Chapter 3: the fast loop equals Keras' fit, and the experiments built on it are right."""

import json
import math

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_allclose

from experiments.jobs import as_stored
from experiments.phs.lenet import lenet
from experiments.phs.rows import epochs_to, same_training
from experiments.phs.summary import accuracies, signed
from experiments.phs.table import gains_table, measured_rows, rows_table
from experiments.summary import percent_spread
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
    """Return a folder with real digits, enlarged to LeNet's 28×28, as an unregistered dataset."""
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


def test_lenet_is_initialized_as_pytorch_does():
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


def test_a_variation_trains_all_images_or_scales_the_pixels_differently(job):
    from experiments.phs.trainings import make_loop

    usual = make_loop(job, optimizer()).parts
    everything = make_loop(job | {"trained": "all"}, optimizer()).parts
    scaled = make_loop(job | {"pixels": "0 to 1"}, optimizer()).parts
    assert (len(usual["train"].y), len(everything["train"].y)) == (810, 900)
    for part, data in usual.items():
        assert (data.x.min(), data.x.max()) == (-1, 1)
        assert_allclose(scaled[part].x, (data.x + 1) / 2, atol=1e-6)
    standardized = make_loop(job | {"pixels": "standardized", "trained": "all"}, optimizer()).parts
    x = standardized["train"].x
    assert (x.dtype, x.mean(), x.std()) == ("float32", pytest.approx(0, abs=1e-4), pytest.approx(1))


def test_the_loop_equals_fit(job):
    """The same order of images and the same callback give the same weights and event."""
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


def test_a_fork_equals_a_training_with_the_callback_from_the_start(job, monkeypatch):
    """Rows share the part before braking, which must not change any number."""
    from experiments.phs import trainings

    monkeypatch.setattr(trainings, "AVERAGE_IMAGES", 160)
    forked = trainings.with_and_without_braking(job | {"brakes": [(0.5, 10.0), (0.99, 10.0)]})
    whole = trainings.with_callback(job | {"braking": {"target": 0.5, "factor": 10.0}})
    braked, unreached = forked["braked"]
    assert braked["history"] == whole["history"]
    assert braked["history"] != forked["unbraked"]
    (event,) = whole["events"]
    assert braked["epoch"] == event["step"] / (810 // 8)
    assert unreached["epoch"] is None
    assert unreached["history"] == forked["unbraked"]


def test_trainings_end_some_epochs_after_braking(job, monkeypatch):
    from experiments.phs import trainings

    monkeypatch.setattr(trainings, "AVERAGE_IMAGES", 160)
    settings = {"brakes": [(0.8, 10.0), (1.2, 5.0)], "target_is": "loss", "after": 2}
    found = trainings.with_and_without_braking(job | settings | {"epochs": 20, "evaluate_every": 3})
    ends = [math.ceil(braked["epoch"]) + 2 for braked in found["braked"]]
    assert [braked["history"][-1]["epoch"] for braked in found["braked"]] == ends
    assert found["unbraked"][-1]["epoch"] == max(ends)
    assert all(braked["lowest"] <= braked["target"] for braked in found["braked"])
    # Every third epoch until the first goal is reached, then every epoch, with or without braking.
    first = math.ceil(min(braked["epoch"] for braked in found["braked"]))
    for history in (found["unbraked"], *(braked["history"] for braked in found["braked"])):
        epochs = [entry["epoch"] for entry in history]
        assert epochs == [e for e in range(3, first, 3)] + list(range(first, epochs[-1] + 1))


def test_a_training_without_braking_is_as_long_as_one_that_brakes_late(job, monkeypatch):
    from experiments.phs import trainings

    monkeypatch.setattr(trainings, "AVERAGE_IMAGES", 160)
    settings = {"brakes": [(0.8, 10.0), (1e-6, 5.0)], "target_is": "loss", "after": 4}
    alone = settings | {"brakes": settings["brakes"][:1], "epochs": 20}
    early = trainings.with_and_without_braking(job | alone)["braked"][0]
    limit = math.ceil(early["epoch"]) + 1  # before the four epochs after braking are over
    found = trainings.with_and_without_braking(job | settings | {"epochs": limit})
    braked, missed = (run["history"] for run in found["braked"])
    assert braked[-1]["epoch"] == found["unbraked"][-1]["epoch"] == limit + 3
    assert missed == found["unbraked"]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("saves", [1, 4, 7])
@pytest.mark.slow
def test_an_interrupted_job_resumes_with_the_same_numbers(job, monkeypatch, tmp_path, saves):
    """It may be killed before braking, in the first braked training, and in the second."""
    from experiments import checkpoints
    from experiments.phs import trainings

    monkeypatch.setattr(trainings, "AVERAGE_IMAGES", 160)
    job = job | {"brakes": [(0.5, 10.0), (0.5, 20.0)]}
    whole = trainings.with_and_without_braking(job)
    monkeypatch.setattr(checkpoints.Checkpoint, "due", True)
    save, left = checkpoints.Checkpoint.save, [saves]

    def save_some(self, state):
        save(self, state)
        left[0] -= 1
        if not left[0]:
            raise Interrupted

    monkeypatch.setattr(checkpoints.Checkpoint, "save", save_some)
    job = job | {"checkpoint": str(tmp_path / "state.npz")}
    with pytest.raises(Interrupted):
        trainings.with_and_without_braking(job)
    left[0] = 100
    assert trainings.with_and_without_braking(job) == whole


def test_the_three_meanings_of_a_test_accuracy():
    history = [
        {"val_accuracy": 0.5, "test_accuracy": 0.9},
        {"val_accuracy": 0.8, "test_accuracy": 0.7},
        {"val_accuracy": 0.6, "test_accuracy": 0.6},
    ]
    assert accuracies(history) == {"final": 0.6, "by_validation": 0.7, "best": 0.9}


def test_spread_is_mean_and_sample_deviation_in_percent():
    assert percent_spread([0.8, 0.9]) == "85.00 ± 7.07"
    assert signed([-0.01, -0.02]) == "−1.50 ± 0.71"
    assert percent_spread([0.8]) == "80.00"


def test_rows_of_the_same_dynamics_are_one_training():
    """Four pairs of printed rows agree in α²/m and αγ, and also in their printed accuracies."""
    groups = {d: same_training(d) for d in ("cifar10", "fashion_mnist")}
    assert [len(group) for group in groups.values()] == [6, 6]
    pairs = [
        (first, second)
        for group in groups.values()
        for first, second in (braked for braked in group.values() if len(braked) == 2)
    ]
    assert len(pairs) == 4
    for first, second in pairs:
        assert first.learning_rate != second.learning_rate
        assert first.long_run_step == pytest.approx(second.long_run_step)
    assert sum(len(braked) for group in groups.values() for braked in group.values()) == 16


def test_epochs_follow_from_the_long_run_step():
    # T = 2,100 at α/(mγ) = 0.1 and 421 steps an epoch: 49.9 epochs for the goal of the first row.
    assert epochs_to("fashion_mnist", 0.15, 0.1, 421) == 50
    assert epochs_to("cifar10", 0.7, 0.004, 351) == 1567
    # SGD with α = 1e-4 cannot reach its cells: it would need some 50,000 epochs.
    assert epochs_to("fashion_mnist", 0.15, 1e-4, 421) > 30_000


def test_every_printed_cell_has_a_measurement_or_a_reason():
    """Two invented histories have the first and the third dynamics of CIFAR-10."""

    def history(*accuracies):
        return [
            {"epoch": n, "val_accuracy": a, "test_accuracy": a} for n, a in enumerate(accuracies, 1)
        ]

    # SGD reaches a training loss of 0.7 in epoch 3, so its epochs after the 43rd do not count.
    losses = [None, 0.71, 0.7, *[0.6] * 60]
    sgd = [
        e | {"loss": loss}
        for e, loss in zip(history(*np.linspace(0, 0.62, 63)), losses, strict=True)
    ]
    common = {"dataset": "cifar10", "batch_size": 128}
    job = common | {"learning_rate": 0.01, "friction": 0.01, "mass": 25.0}
    brakes = [
        {"target": 0.7, "factor": 50.0, "epoch": 1.5, "lowest": 0.69, "history": history(0.5, 0.6)},
        {"target": 0.85, "factor": 50.0, "epoch": 0.5, "lowest": 0.8, "history": history(0.4)},
    ]
    results = [
        {"job": job, "unbraked": history(0.5, 0.55, 0.57), "braked": brakes},
        {"job": common | {"learning_rate": 0.1, "momentum": 0.0}, "history": sgd},
    ]
    measured = measured_rows("cifar10", results)
    assert len(measured) == 20
    by_row = {
        (m.row.learning_rate, m.row.optimizer, m.row.friction): m.accuracy("final")
        for m in measured
        if m.histories
    }
    assert by_row == {
        (0.1, "SGD", None): [pytest.approx(0.42)],
        (0.01, "PHS", 0.01): [0.55],  # cut where the braked training ends
        (0.01, "goal-oriented", 0.01): [0.6],
        (0.001, "PHS", 0.1): [0.5],
        (0.001, "goal-oriented", 0.1): [0.4],
    }
    reasons = [m.missing for m in measured if not m.histories]
    assert all(reasons) and sum("out of reach" in reason for reason in reasons) == 1
    text = rows_table(measured)
    assert "| 64.82 | 42.00 | −22.82 |" in text and text.count("\n") == 22
    assert "| +0.46 | +5.00 | +5.00 | +5.00 |" in gains_table(measured)


def test_a_braked_row_is_whole_if_the_training_without_braking_diverges():
    def history(epochs):
        return [{"epoch": n, "val_accuracy": 0.1, "test_accuracy": n / 10} for n in epochs]

    job = {"dataset": "cifar10", "batch_size": 128, "learning_rate": 0.1, "friction": 0.01}
    brake = {"target": 0.9, "factor": 99.0, "epoch": 1.5, "lowest": 0.9, "history": history([5, 9])}
    result = {"job": job | {"mass": 100.0}, "unbraked": history([2, 5, 6]), "braked": [brake]}
    free, braked = (m for m in measured_rows("cifar10", [result]) if m.histories)
    assert free.histories == [history([5])]  # the epoch at which both were evaluated
    assert braked.histories == [history([5, 9])]


@pytest.mark.slow
def test_a_table_from_the_command_to_the_figure(digits, tmp_path, monkeypatch):
    """`python -m experiments.phs.fashion_mnist` runs through, on small real images."""
    from experiments.phs import rows, table_jobs

    monkeypatch.setitem(rows.TABLES, "digits28", "3_2")
    by_dataset = (
        rows.TITLES,
        rows.TRAINING_IMAGES,
        rows.SGD_LOSS,
        rows.SGD_TIME,
        rows.REACHED,
        table_jobs.CHECKED,
    )
    for limits in by_dataset:
        monkeypatch.setitem(limits, "digits28", limits["fashion_mnist"])
    preset = table_jobs.Preset(640, after=1, seeds=2, slow_seeds=0, most=2, fast=300)
    monkeypatch.setitem(table_jobs.PRESETS, "quick", preset)
    arguments = ["--data-dir", str(digits), "--out", str(tmp_path), "--workers", "1"]
    command = table_jobs.table_command("digits28")
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "digits28_quick" / "report"
    assert (folder / "digits28.png").stat().st_size > 10_000
    assert (folder / "digits28.md").read_text().count("goal-oriented") >= 8
    stored = json.loads((folder / "digits28.json").read_text())
    assert stored and all("data_dir" not in entry["job"] for entry in stored.values())
    assert all("checkpoint" not in entry["job"] for entry in stored.values())


def test_a_missing_dataset_is_reported_in_one_line(tmp_path):
    from experiments.phs.fashion_mnist import main

    given = ("--data-dir", str(tmp_path), "--out", str(tmp_path / "out"), "--workers", "1")
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 2
    assert "fashion_mnist" in done.output and "Traceback" not in done.output


def curve(*accuracies):
    """Return a history with these accuracies on validation and test images."""
    return [
        {"epoch": n, "loss": 1 - a, "accuracy": a, "val_accuracy": a, "test_accuracy": a}
        for n, a in enumerate(accuracies, 1)
    ]


def store_table(folder, dataset, *entries):
    """Write results: α, γ, m, the unbraked history, and (goal, factor, epoch, history)."""
    stored = {}
    for number, (dynamics, unbraked, *braked) in enumerate(entries):
        job = dict(zip(("learning_rate", "friction", "mass"), dynamics, strict=True))
        names = ("target", "factor", "epoch", "history")
        runs = [dict(zip(names, run, strict=True)) | {"lowest": 0.1} for run in braked]
        job |= {"dataset": dataset, "batch_size": 128}
        stored[str(number)] = {"job": job, "unbraked": unbraked, "braked": runs}
    (folder / f"{dataset}.json").write_text(json.dumps(stored))


def test_a_reading_is_refuted_by_a_row_that_it_misses_by_two_points_more_than_the_adopted(tmp_path):
    """The adopted reading comes from the table."""
    from experiments.phs import readings
    from experiments.phs.reading import READINGS

    fast, slow = (0.1, 0.1, 10.0), (0.1, 0.01, 10.0)
    long = curve(*[0.9] * 43)
    store_table(
        tmp_path,
        "fashion_mnist",
        # Two printed rows of each are the same training.
        (fast, long, (0.15, 50, 1.5, curve(*[0.9] * 41, 0.91)), (0.2, 10, 1.0, curve(0.9))),
        (slow, curve(0.83), (0.55, 20, None, curve(0.83)), (0.5, 5, None, curve(0.83))),
    )
    jobs = readings.reading_jobs("thesis")

    def result(name, epoch, accuracy):
        run = {"epoch": epoch, "lowest": 0.3, "history": curve(0.5, accuracy)}
        return {"job": as_stored(jobs[name]), "unbraked": curve(0.5, 0.9), "braked": [run]}

    names = {
        r.settings["target_is"]: r.name
        for r in READINGS
        if "target_is" in r.settings and r.dataset == "fashion_mnist"
    }
    (slow_batches,) = (r for r in READINGS if r.settings == {"batch_size": 64})
    results = {
        "a": result(names["remaining"], 1.0, 0.877),
        "b": result(names["reduction"], None, 0.9),
        "c": {"job": {"reading": slow_batches.name, "after": 1}},  # of settings that are not used
    }
    path = tmp_path / "readings.json"
    path.write_text(json.dumps(results))
    found = readings.tried(path)
    assert [one.verdict for one in found[:4]] == [
        "adopted: −0.02 points",
        "refuted: −3.32 points",
        "refuted: x is not reached",
        "not measured yet",
    ]
    assert found[0].accuracy == (0.9, 0.91)
    batches = {
        one.reading.answer: one.verdict
        for one in found
        if one.reading.question == "batch size" and one.reading.dataset == "fashion_mnist"
    }
    assert batches["batches of 128"] == "x is not reached"
    readings.publish_from(path)
    text = (tmp_path / "readings.md").read_text()
    assert text.startswith("# What the thesis leaves open") and "- **verdict**: refuted" in text
    assert "| 90.00 / 91.00 | −0.36 / −0.02 | 1.5 | 42 | adopted: −0.02 points |" in text
    assert path.with_suffix(".png").stat().st_size > 10_000
    # Without the adopted reading, there is nothing to compare with.
    (tmp_path / "fashion_mnist.json").unlink()
    assert readings.tried(path)[1].verdict == (
        "−3.32 points; the adopted reading is not measured on this row"
    )


def test_every_reading_changes_what_it_says_in_the_job_of_its_row():
    from experiments.phs.reading import READINGS
    from experiments.phs.readings import reading_jobs

    jobs = reading_jobs("thesis")
    assert len(jobs) == sum(not reading.taken for reading in READINGS)
    for reading in READINGS:
        free, braked = reading.printed
        assert (free.optimizer, braked.optimizer) == ("PHS", "goal-oriented")
        if not reading.taken:
            job, taken = jobs[reading.name], {"target_is": "loss", "batch_size": 128}
            optional = {"friction_form", "trained", "pixels"}
            changed = {k for k, v in taken.items() if job[k] != v} | job.keys() & optional
            assert changed == reading.settings.keys()
            assert len(changed) == (2 if " and " in reading.question else 1)
            assert job["brakes"] == [(braked.goal, braked.factor)]


def test_the_history_figure_shows_the_results_of_the_tables(tmp_path):
    from experiments.phs import accuracy_history

    store_table(
        tmp_path,
        "cifar10",
        ((0.1, 0.1, 100.0), curve(0.6, 0.65), (0.65, 49, 1.0, curve(0.6, 0.67))),
    )
    pairs = accuracy_history.panels(tmp_path)
    assert [pair is not None for pair in pairs] == [False, False, True, False]
    assert [m.accuracy("final") for m in pairs[2]] == [[0.65], [0.67]]
    accuracy_history.publish_from(tmp_path / "fashion_mnist.json")
    assert (tmp_path / "accuracy_history.png").stat().st_size > 10_000


def test_a_history_figure_without_results_is_reported_in_one_line(tmp_path, monkeypatch):
    from experiments.phs import accuracy_history

    monkeypatch.setattr(accuracy_history, "RESULTS", tmp_path)
    done = CliRunner().invoke(accuracy_history.main)
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert "no row of the figure is measured yet: Fashion-MNIST with α 0.1, γ 0.1, m 10" in line
    assert "python -m experiments.phs.cifar10 --preset thesis" in line


def test_a_method_is_represented_by_the_setting_that_seed_0_chooses_on_validation_images():
    from experiments.phs.alternatives import chosen

    def result(rate, seed, validation, test, method="Adam"):
        job = {"method": method, "learning_rate": rate, "momentum": 0.9, "seed": seed}
        return {"job": job, "history": [{"val_accuracy": validation, "test_accuracy": test}]}

    results = [
        result(0.1, 0, 0.8, 0.1),
        result(0.2, 0, 0.7, 0.9),
        result(0.3, 0, None, None),  # diverged
        result(0.1, 1, 0.5, 0.2),
        result(0.2, 1, 0.9, 0.9),
        result(0.1, 0, 0.99, 0.3, "SGD, cosine"),
    ]
    assert [r["history"][0]["test_accuracy"] for r in chosen(results, "Adam")] == [0.1, 0.2]
    assert chosen(results, "SGD, step decay") == []
    # What counts is the last epoch, or the restored best one: the weights a training ends with.
    results[0]["history"].append({"val_accuracy": 0.6, "test_accuracy": 0.1})
    assert [r["history"][0]["test_accuracy"] for r in chosen(results, "Adam")] == [0.9, 0.9]
    results[0]["final"] = {"validation": 0.8}
    assert [r["history"][0]["test_accuracy"] for r in chosen(results, "Adam")] == [0.1, 0.2]


def test_all_methods_are_expected_with_the_pair_that_the_first_seed_chooses(tmp_path):
    from experiments.command import Running
    from experiments.jobs import write
    from experiments.phs.alternatives import METHODS, expected_jobs, jobs_of

    running = Running(out=tmp_path)
    tuned = sum(len(pairs) for *_, pairs in METHODS.values())
    assert len(expected_jobs("cifar10", "thesis", running)) == tuned + 2 * len(METHODS) == 35
    before = expected_jobs("cifar10", "quick", running)
    jobs = jobs_of("cifar10", "quick", "Adam", METHODS["Adam"][2], [0])
    report = tmp_path / "alternatives_cifar10_quick" / "report" / "alternatives_cifar10.json"
    report.parent.mkdir(parents=True)
    results = zip(jobs.items(), (0.2, 0.7, 0.3), strict=True)
    write(report, {n: {"job": job, "history": [{"val_accuracy": a}]} for (n, job), a in results})
    after = expected_jobs("cifar10", "quick", running)
    assert after.keys() - before.keys() == {"adam_constant_0.001_0.9_seed1"}
    assert len(after) == len(before)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
def test_lenet_in_torch_computes_the_same_as_in_keras(shape):
    torch = pytest.importorskip("torch")
    from experiments.phs.schedule_free import torch_lenet

    model = lenet(shape, 5)
    _, logits = torch_lenet(model)
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    theirs = logits(torch.from_numpy(x.transpose(0, 3, 1, 2))).detach().numpy()
    assert_allclose(theirs, model(x).numpy(), atol=1e-5)


@pytest.mark.slow
def test_schedule_free_sees_the_same_batches_and_learns(job):
    """At a rate of almost 0, its running means equal those of SGD; at a real one, they fall."""
    pytest.importorskip("schedulefree")
    from experiments.phs.schedule_free import with_schedule_free
    from experiments.phs.trainings import with_other_optimizer

    still = job | {"learning_rate": 1e-12, "momentum": 0.9, "epochs": 1}
    ours = with_schedule_free(still)["history"][0]
    keras_too = still | {"optimizer": "sgd", "schedule": "constant"}
    assert ours == pytest.approx(with_other_optimizer(keras_too)["history"][0], rel=1e-5)
    moving = with_schedule_free(job | {"learning_rate": 0.5, "momentum": 0.9})["history"]
    assert moving[-1]["val_accuracy"] > 0.8
    assert moving[-1]["loss"] < moving[0]["loss"] / 2


def test_without_schedulefree_the_error_says_what_to_install(job, monkeypatch):
    import sys

    from experiments.phs.schedule_free import with_schedule_free

    monkeypatch.setitem(sys.modules, "schedulefree", None)
    with pytest.raises(ValueError, match=r"schedulefree .*pip install -r requirements-test.txt"):
        with_schedule_free(job)


def test_automatic_braking_explores_as_sgd_with_that_rate_and_momentum(job, monkeypatch):
    from experiments.phs import trainings

    monkeypatch.setattr(trainings, "AVERAGE_IMAGES", 160)
    job = job | {"learning_rate": 0.001, "momentum": 0.99, "epochs": 2}
    phs = trainings.with_automatic_braking(job)["history"]
    sgd = trainings.with_other_optimizer(job | {"optimizer": "sgd", "schedule": "constant"})
    assert [e["loss"] for e in phs] == pytest.approx([e["loss"] for e in sgd["history"]], rel=1e-3)


@pytest.mark.slow
def test_a_training_that_brakes_automatically_ends_by_itself_with_its_best_weights(job):
    from experiments.phs.trainings import with_automatic_braking

    found = with_automatic_braking(job | {"learning_rate": 0.002, "momentum": 0.99, "epochs": 80})
    assert found["events"][-1]["action"] == "stop"
    assert len(found["history"]) == found["events"][-1]["epoch"] + 1 < 80
    best = max(found["history"], key=lambda entry: entry["val_accuracy"])
    assert found["final"]["test"] == best["test_accuracy"]


def test_the_rules_of_automatic_braking_have_different_names_and_can_be_braked():
    """Before the first step, the optimizer rejects a last stage that would diverge."""
    from experiments.phs.automatic import RULES, rule_jobs

    jobs = rule_jobs("thesis")
    assert len(jobs) == 2 * (len(RULES) + 1)
    for job in jobs.values():
        braking = job.get("braking", {})
        if "factor" in braking:
            # αγ = 1 − momentum; above 1 the momentum would change its sign in every step.
            assert (1 - job["momentum"]) * braking["factor"] ** braking["stages"] < 1 + 1e-6


def test_the_table_of_rules_shows_validation_and_test_accuracies_and_epochs():
    from experiments.phs.automatic import rules_table

    events = [{"action": "brake", "epoch": 3}, {"action": "brake", "epoch": 5}, {"action": "stop"}]
    automatic = {
        "history": curve(*[0.5] * 9),
        "final": {"validation": 0.8, "test": 0.7},
        "events": events,
    }
    text = rules_table({"rule": [automatic], "SGD, cosine": [{"history": curve(0.5, 0.6)}]})
    assert "| rule | 80.00 | 70.00 | 50.00 | 4 and 6 | 9 | 1 |" in text
    assert "| SGD, cosine | 60.00 | 60.00 | 60.00 |  | 2 | 1 |" in text


def test_the_defaults_of_phs_are_among_the_tried_settings_of_sgd():
    from experiments.phs import problems

    name = "diabetes (regression, variance explained)"
    jobs = [
        {"problem": name, "method": method, "learning_rate": 0.01, "momentum": 0.9}
        | {"seed": 1, "epochs": 2}
        for method in ("PHS, defaults", "SGD with momentum")
    ]
    ours, theirs = (problems.work(job) for job in jobs)
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert ours["test"] > 0


def test_settings_are_chosen_by_the_validation_loss_of_the_first_seed():
    from experiments.phs import problems

    name = "license (text, accuracy)"
    jobs = problems.jobs_of("thesis", name, "Adam", problems.METHODS["Adam"], range(3))
    assert len(jobs) == 9
    losses = {1e-3: (2.0, 1.0, 1.0), 3e-3: (1.5, 9.0, 9.0), 1e-2: (1.6, 0.5, 0.5)}
    results = [
        {"job": job, "validation": losses[job["learning_rate"]][job["seed"]], "test": 0.5}
        | {"best_epoch": 3, "epochs": 20}
        for job in jobs.values()
    ]
    found = problems.chosen(results, name, "Adam")
    assert [(r["job"]["learning_rate"], r["job"]["seed"]) for r in found] == [
        (3e-3, seed) for seed in range(3)
    ]
    table = problems.settings_table({name: {"Adam": found}})
    assert "| Adam | 0.003, 0.9 | – | 50.00 ± 0.00 | 3, 3, 3 | 20, 20, 20 | 3 |" in table


def test_the_parts_of_the_small_problems_do_not_overlap_and_fill_the_data():
    from experiments.phs.small_problems import PROBLEMS, load

    sizes = {name: [len(y) for _, y in load(name).parts.values()] for name in PROBLEMS}
    assert [sum(parts) for parts in sizes.values()][:2] == [1797, 442]
    x, y = load("license (text, accuracy)").parts["train"]
    # Each target is the next character, which is the last input of the next window.
    np.testing.assert_array_equal(x[1:, -1], y[:-1])
