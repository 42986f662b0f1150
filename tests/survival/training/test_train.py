"""A training on images of real tissue: which epoch it keeps, and how it resumes."""

import shutil
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from survival.cohort import Cohort
from survival.images import CanvasImages
from survival.metrics import harrell_c, within_dataset_c
from survival.metrics.merging import stratified_c
from survival.run import Run
from survival.training import TrainingSettings, train

ONE_EPOCH = TrainingSettings(epochs=1, width=0.03, batch_size=8)
SMALL = {"epochs": 3, "width": 0.03, "batch_size": 8, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def trained(tissue, tmp_path_factory):
    return train(*tissue, tmp_path_factory.mktemp("runs") / "run", ONE_EPOCH)


class Stop(keras.callbacks.Callback):
    """End a process in the middle of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.epoch = (epoch, batch), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def follow_up(table):
    return np.stack([table.time, table.event], axis=1)


@pytest.mark.any_backend
@pytest.mark.slow_on("jax")
def test_the_best_epoch_is_kept_and_gives_the_scores_in_the_table(tissue, tmp_path):
    cohort, images = tissue
    settings = TrainingSettings(**SMALL, strata=True, mean_penalty=0.1)
    run = train(cohort, images, tmp_path / "run", settings)
    history, table = run.history, run.predictions
    assert list(history.epoch) == [1, 2, 3]
    assert run.settings["kept_epoch"] == 1 + int(np.argmax(history.val_cindex))
    kept = history.iloc[run.settings["kept_epoch"] - 1]
    validation = table[table.split == "validation"]
    # Each stratum has a separate baseline, so the offset between strata is free and has no effect.
    assert kept.val_cindex == within_dataset_c(
        follow_up(validation), validation.log_hazard, validation.dataset
    )
    whole = cohort.part("validation")
    loss = settings.loss()(whole.y_true(strata=True), validation.log_hazard.to_numpy())
    np.testing.assert_allclose(kept.val_loss, float(loss), rtol=1e-5)
    pictures = CanvasImages(images, cohort.slide)
    again = run.model().predict(np.stack([pictures[i] for i in range(60)]), verbose=0)
    np.testing.assert_allclose(table.log_hazard, again[:, 0], rtol=1e-4, atol=1e-5)
    assert list(table.slide) == list(cohort.slide) and list(table.event) == list(cohort.event)
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_with_strata_the_epoch_is_selected_within_them(tissue):
    targets, rng = tissue[0].y_true(strata=True), np.random.default_rng(0)
    risk = rng.normal(size=len(targets)) - targets[:, 0] / targets[:, 0].std()
    shifted = risk + 3 * targets[:, 2]
    assert stratified_c(targets, risk) == stratified_c(targets, shifted)
    assert stratified_c(targets[:, :2], risk) == harrell_c(targets[:, :2], risk)
    assert stratified_c(targets[:, :2], risk) != stratified_c(targets[:, :2], shifted)


@pytest.mark.slow
def test_a_visible_hazard_is_learnt(tissue, tmp_path):
    cohort, images = tissue
    settings = TrainingSettings(epochs=10, width=0.06, batch_size=8)
    table = train(cohort, images, tmp_path / "run", settings).predictions
    test = table[table.split == "test"]
    assert harrell_c(follow_up(test), test.log_hazard) > 0.7


@pytest.mark.slow_on("jax")
@pytest.mark.any_backend
def test_an_interrupted_training_resumes_with_the_same_result(tissue, tmp_path):
    cohort, images = tissue
    settings = TrainingSettings(**SMALL, augment=("flip", "stain"))
    whole = train(cohort, images, tmp_path / "whole", settings)
    for stop in (Stop(1, 2), Stop(2, 0)):
        with pytest.raises(KeyboardInterrupt):
            train(cohort, images, tmp_path / "cut", settings, [stop])
        with pytest.raises(ValueError, match="has not finished"):
            Run(tmp_path / "cut")
    cut = train(cohort, images, tmp_path / "cut", settings)
    pd.testing.assert_frame_equal(
        cut.history.drop(columns="seconds"), whole.history.drop(columns="seconds")
    )
    pd.testing.assert_frame_equal(cut.predictions, whole.predictions)


def test_a_training_killed_while_its_folder_is_made_resumes(tissue, tmp_path, monkeypatch):
    cohort, images = tissue
    out = tmp_path / "run"
    for name in ("write_settings", "Cohort.write"):  # the first file, then the second

        def killed(*arguments):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"survival.training.trainer.{name}", killed)
            train(cohort, images, out, ONE_EPOCH)
        (out / ".0123456789abcdef.part.json").touch()  # a partial file, as SIGKILL leaves it
    run = train(cohort, images, out, ONE_EPOCH)
    assert {path.name for path in out.iterdir()} == {
        *("cohort.csv", "history.csv", "lock", "model.keras", "predictions.csv", "settings.json")
    }
    assert len(run.predictions) == len(cohort)


def test_a_finished_training_is_not_repeated(tissue, trained):
    changed = (trained.path / "model.keras").stat().st_mtime_ns
    train(*tissue, trained.path, ONE_EPOCH)
    assert (trained.path / "model.keras").stat().st_mtime_ns == changed


@pytest.mark.slow
def test_micro_batches_give_the_weights_of_the_whole_batch(tissue, trained, tmp_path):
    run = train(*tissue, tmp_path / "micro", replace(ONE_EPOCH, micro_batch=3))
    large = trained.predictions.log_hazard
    np.testing.assert_allclose(run.predictions.log_hazard, large, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_batches_too_large_for_memory_are_read_in_parts(tissue, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("survival.training.dataset.BATCH", 8 * 32 * 40 * 3 - 1)
    run = train(*tissue, tmp_path / "parts", replace(ONE_EPOCH, micro_batch=3))
    large = trained.predictions.log_hazard
    np.testing.assert_allclose(run.predictions.log_hazard, large, rtol=1e-3, atol=1e-4)


def test_without_validation_slides_the_last_epoch_is_kept(tissue, tmp_path):
    cohort, images = tissue
    rest = cohort.select(cohort.split != "validation")
    run = train(rest, images, tmp_path / "run", replace(ONE_EPOCH, epochs=2))
    assert run.settings["kept_epoch"] == 2 and "last" in run.settings["chosen_by"]
    assert list(run.history) == ["epoch", "loss", "seconds"]


def test_another_training_is_refused_in_the_same_folder(tissue, trained, tmp_path):
    cohort, images = tissue
    before = (trained.path / "settings.json").read_bytes()
    with pytest.raises(ValueError, match=r"mean_penalty 0.0 \(now 0.5\)"):
        train(cohort, images, trained.path, replace(ONE_EPOCH, mean_penalty=0.5))
    with pytest.raises(ValueError, match="was started with another cohort file, other images; cho"):
        train(cohort.select(np.arange(50)), images, trained.path, ONE_EPOCH)
    assert (trained.path / "settings.json").read_bytes() == before
    # The images may be moved. Different images mean a different training.
    moved = shutil.copytree(images, tmp_path / "images")
    train(cohort, moved, trained.path, ONE_EPOCH)
    changed = CanvasImages(moved, cohort.slide).paths[0]
    Image.new("RGB", Image.open(changed).size).save(changed)
    with pytest.raises(ValueError, match="was started with other images; choose another folder"):
        train(cohort, moved, trained.path, ONE_EPOCH)
    shutil.rmtree(moved)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="not empty"):
        train(cohort, images, tmp_path, ONE_EPOCH)


def test_cohorts_without_events_are_refused_before_anything_is_written(tissue, tmp_path):
    cohort, images = tissue
    with pytest.raises(ValueError, match="split the cohort first"):
        unsplit = Cohort(cohort.slide, cohort.patient, cohort.time, cohort.event)
        train(unsplit, images, tmp_path / "run")
    with pytest.raises(
        ValueError, match="split 'train' has no event, so there is nothing to learn"
    ):
        censored = cohort.select(~cohort.event | (cohort.split != "train"))
        train(censored, images, tmp_path / "run")
    train_part = cohort.split == "train"
    last = np.flatnonzero(train_part & cohort.event)[:1]
    with pytest.raises(ValueError, match="no two slides that can be compared, so there"):
        train(cohort.select([*np.flatnonzero(~train_part), *last]), images, tmp_path / "run")
    held = cohort.split == "validation"
    with pytest.raises(
        ValueError,
        match=r"'validation' of A, B has no event \(\d+ patients\): use `survival cohort split`",
    ):
        train(cohort.select(~cohort.event | ~held), images, tmp_path / "run")
    # An event at the end of follow-up cannot be compared with any other patient.
    lone = np.flatnonzero(held & cohort.event)[:1]
    with pytest.raises(ValueError, match=r"has no two patients that can be compared \(1 pat"):
        train(cohort.select([*np.flatnonzero(~held), *lone]), images, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_diverging_training_is_an_error(tissue, tmp_path):
    cohort, images = tissue
    settings = TrainingSettings(**SMALL | {"learning_rate": 100.0})
    with pytest.raises(ValueError, match="smaller"):
        train(cohort, images, tmp_path / "run", settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 2.5},
        {"batch_size": 1},
        {"learning_rate": -1},
        {"width": float("nan")},
        {"mean_penalty": -1},
        {"ties": "exact"},
        {"batches": "random"},
        {"augment": "flip"},
        {"augment": ("blur",)},
        {"augment": ("flip", "flip")},  # which would be no flip
        {"dtype": "float8"},
        {"micro_batch": 0},
        {"seed": -1},
    ],
)
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingSettings(**wrong)


def test_late_entries_count_in_training_and_validation(tissue, tmp_path):
    cohort, images = tissue
    number = np.array([int(patient[7:]) for patient in cohort.patient])
    late = replace(cohort, entry=np.where(number % 2, 0.7 * cohort.time, 0))
    run = train(late, images, tmp_path / "run", ONE_EPOCH)
    table = run.predictions
    np.testing.assert_allclose(table.entry, late.entry)
    part, whole = table[table.split == "validation"], late.part("validation")
    risk = part.log_hazard.to_numpy()
    assert run.history.val_cindex[0] == harrell_c(whole.y_true(), risk)
    loss = ONE_EPOCH.loss()
    np.testing.assert_allclose(run.history.val_loss[0], loss(whole.y_true(), risk), rtol=1e-5)
    ignored = float(loss(whole.y_true()[:, :2], risk))
    assert abs(run.history.val_loss[0] - ignored) > 1e-3
    assert Cohort.read(run.path / "cohort.csv").entry.any()


def test_what_cannot_be_trained_is_refused_before_anything_is_written(tissue, tmp_path):
    cohort, images = tissue
    shutil.copytree(images, tmp_path / "images")
    tested = cohort.slide[cohort.split == "test"][0]
    damaged = tmp_path / "images" / tested.replace("svs", "png")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-200])
    out = tmp_path / "run"
    with pytest.raises(ValueError, match=f"{damaged.name} is damaged"):
        train(cohort, tmp_path / "images", out, ONE_EPOCH)
    damaged.write_bytes(whole)
    frame = cohort.to_frame()
    first = frame.index[frame.split == "train"][:3]
    frame.loc[first, ["patient", "time", "event"]] = ["P", 1.0, 1]
    three = Cohort.from_frame(frame)
    with pytest.raises(ValueError, match="3 slides, which must be in one batch of 2"):
        train(three, images, out, TrainingSettings(batches="patients", batch_size=2))
    for path in (tmp_path / "images").glob("*.png"):
        Image.open(path).resize((20, 12)).save(path)
    with pytest.raises(ValueError, match="at least 16×16 pixels, not .12, 20, 3."):
        train(cohort, tmp_path / "images", out, ONE_EPOCH)
    assert not out.exists()
