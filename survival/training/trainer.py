"""Training of a Cox network on the images of a cohort, resumable from its run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from resbuilder.common.files import atomically, is_empty, only_writer, remove_leftovers
from resbuilder.common.strategy import devices, strategy_scope
from survival.cohort import Cohort
from survival.cohort.duplicates import check_contents
from survival.evaluation import log_hazards, predict, prediction_table
from survival.images import CanvasImages
from survival.losses import LargeBatchModel
from survival.metrics.merging import stratified_c
from survival.models import check_canvas, vgg_survival_model
from survival.run import (
    MODEL,
    PREDICTIONS,
    SETTINGS,
    Run,
    read_settings,
    write_settings,
    write_table,
)
from survival.training.checkpoint import Checkpoint, remove_checkpoint
from survival.training.dataset import TrainingBatches
from survival.training.settings import TrainingSettings

COHORT = "cohort.csv"
# Entries that are recorded but may differ when a training is resumed.
_CIRCUMSTANCES = (
    *("images", "microns_per_pixel", "strategy", "backend", "versions", "kept_epoch", "chosen_by"),
)


def train(
    cohort: Cohort,
    images: str | Path,
    out: str | Path,
    settings: TrainingSettings | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Train the network of chapter 7 on the split ``train`` of a cohort.

    The network of the epoch with the highest concordance index on the split ``validation`` is kept,
    or that of the last epoch if the cohort has no such split. As in the loss, all slides have the
    same weight, so patients with more slides have more. A second call with the same arguments
    resumes after the last complete epoch, and gives the same result as an uninterrupted training.

    Args:
        cohort: Slides and follow-up, with splits.
        images: Output folder of ``survival preprocess`` with their images.
        out: The run folder; :class:`survival.run.Run` describes its contents.
        settings: Settings of the training; by default :class:`TrainingSettings()`.
        callbacks: Further Keras callbacks; ``loss``, ``val_loss`` (of the whole split) and
            ``val_cindex`` are in the logs.

    Returns:
        The run, with the network and its risk scores for all slides.

    Raises:
        ValueError: The cohort is not split; the split ``train`` or ``validation`` has no events;
            images are missing, damaged, too small or of different sizes; one slide belongs to two
            patients or is in two splits; ``out`` contains something else, such as a training on
            other images, or another process is training in it; or the training diverges. Only in
            the last case something has been written.

    Example:
        >>> settings = TrainingSettings(epochs=2, width=0.03)  # seconds, for a first look
        >>> run = train(Cohort.read("cohort.csv"), "images", "runs/first", settings)
        >>> run.history[["epoch", "val_cindex"]].shape
        (2, 2)
    """
    settings, out = settings or TrainingSettings(), Path(out)
    if not cohort.part("train").event.any():
        raise ValueError("split 'train' has no event, so there is nothing to learn")
    _check_training(cohort, settings)
    _check_validation(cohort, settings)
    number = devices(settings.strategy, settings.batch_size)
    pictures = CanvasImages(images, cohort.slide)
    check_contents(cohort, pictures.contents)
    pictures.warn_of_scales()
    check_canvas(pictures.shape)
    learned = cohort.part("train")
    batches = TrainingBatches(
        pictures.select(cohort.split == "train"),
        learned.y_true(settings.strata),
        learned.patient,
        settings,
        number,
    )
    record = _record(cohort, pictures, settings)
    _refuse_other_folders(out, record)
    if not (out / SETTINGS).exists():
        pictures.check()  # Better than after the last epoch, which reads the test images first.
    with only_writer(out):
        if (out / SETTINGS).exists():  # another process may have written it meanwhile
            _refuse_other_folders(out, record)
        _begin(out, cohort, record)
        if not (out / PREDICTIONS).exists():
            _train(cohort, pictures, batches, out, settings, record, number, callbacks)
        remove_checkpoint(out)
    return Run(out)


def _train(
    cohort: Cohort,
    pictures: CanvasImages,
    batches: TrainingBatches,
    out: Path,
    settings: TrainingSettings,
    record: dict,
    number: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train from the last complete epoch on, and write network and predictions."""
    keras.utils.set_random_seed(settings.seed)
    with strategy_scope(settings.strategy, settings.batch_size):
        network = vgg_survival_model(pictures.shape, settings.width, settings.dtype, settings.seed)
        model = _in_bounded_memory(network, settings, batches, number)
        model.compile(keras.optimizers.Adam(settings.learning_rate), settings.loss())
        model.optimizer.build(model.trainable_variables)
    checkpoint = Checkpoint(out, network)
    done = checkpoint.restore(model)
    validation = []
    if "validation" in cohort.split:
        validation = [_Validation(network, cohort, pictures, settings)]
    if done < settings.epochs:
        batches.start_at(done)
        model.fit(
            batches,
            epochs=settings.epochs,
            initial_epoch=done,
            shuffle=False,
            callbacks=[*validation, *callbacks, checkpoint],
            verbose=0,
        )
    checkpoint.load_best()
    with atomically(out / MODEL) as part:
        network.save(part)
    chosen_by = (
        "val_cindex" if validation else "last epoch, because the cohort has no split 'validation'"
    )
    write_settings(out, record | {"kept_epoch": checkpoint.best, "chosen_by": chosen_by})
    write_table(out / PREDICTIONS, prediction_table(cohort, pictures, predict(network, pictures)))


def _in_bounded_memory(
    network: keras.Model, settings: TrainingSettings, batches: TrainingBatches, devices: int
) -> keras.Model:
    micro_batch = settings.micro_batch_of(network.input_shape[1:])
    if micro_batch >= batches.rows // devices and not batches.of_numbers:
        return network
    return LargeBatchModel(network, micro_batch, batches.load if batches.of_numbers else None)


class _Validation(keras.callbacks.Callback):
    """Add loss and concordance index of the whole split ``validation`` to the logs."""

    def __init__(
        self,
        network: keras.Model,
        cohort: Cohort,
        pictures: CanvasImages,
        settings: TrainingSettings,
    ):
        super().__init__()
        self.network, self.loss = network, settings.loss()
        self.targets = cohort.part("validation").y_true(settings.strata)
        self.images = pictures.select(cohort.split == "validation")

    def on_epoch_end(self, epoch, logs=None):
        log_hazard = log_hazards(self.network, self.images)
        finite = np.isfinite(log_hazard).all()
        logs["val_loss"] = float(self.loss(self.targets, log_hazard))
        logs["val_cindex"] = stratified_c(self.targets, log_hazard) if finite else float("nan")


def _check_training(cohort: Cohort, settings: TrainingSettings) -> None:
    """Refuse a training split in which no two slides are compared: the loss would be constant."""
    if not _has_pairs(cohort.part("train"), settings):
        within = " within a dataset" if settings.strata else ""
        raise ValueError(
            f"split 'train' has no two slides that can be compared{within}, so there is nothing to "
            "learn: in each comparison, one must have the event while the other is followed"
        )


def _check_validation(cohort: Cohort, settings: TrainingSettings) -> None:
    """Refuse a validation split that cannot select an epoch, before anything is written."""
    if "validation" not in cohort.split:
        return
    part = cohort.part("validation")
    if _has_pairs(part, settings):
        return
    lacks = "two patients that can be compared" if part.event.any() else "event"
    raise ValueError(
        f"split 'validation' of {', '.join(sorted(set(part.dataset)))} has no {lacks} "
        f"({len(set(part.patient))} patients): use `survival cohort split` with another --seed or "
        "a larger --validation, or train without a validation split"
    )


def _has_pairs(part: Cohort, settings: TrainingSettings) -> bool:
    """Return whether any two slides can be compared, with strata only within a dataset."""
    try:
        stratified_c(part.y_true(settings.strata), np.zeros(len(part)))
    except ValueError:
        return False
    return True


def _record(cohort: Cohort, pictures: CanvasImages, settings: TrainingSettings) -> dict:
    text = cohort.to_frame().to_csv(index=False)
    return settings.record() | {
        "datasets": sorted(set(cohort.dataset)),
        "time_column": cohort.time_column,
        "event_column": cohort.event_column,
        "time_unit": cohort.time_unit,
        "canvas": [pictures.shape[1], pictures.shape[0]],
        "microns_per_pixel": pictures.scale,
        "cohort_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "images": str(pictures.folder.absolute()),
        "images_sha256": pictures.fingerprint(),
        "backend": keras.backend.backend(),
        "versions": {name: version(name) for name in ("keras", keras.backend.backend(), "numpy")},
    }


def _refuse_other_folders(out: Path, record: dict) -> None:
    """Refuse a folder that is neither empty nor of the same training."""
    if (out / SETTINGS).exists():
        before = read_settings(out)
        names = sorted((before.keys() | record.keys()) - set(_CIRCUMSTANCES))
        other = [n for n in names if before.get(n) != record.get(n)]
        if other:
            content = {"cohort_sha256": "another cohort file", "images_sha256": "other images"}
            what = ", ".join(
                content.get(name) or f"{name} {before.get(name)} (now {record.get(name)})"
                for name in other
            )
            raise ValueError(
                f"the training in {out} was started with {what}; choose another folder, or delete "
                "this one"
            )
    elif not is_empty(out):
        raise ValueError(f"{out} is not empty and is not a run folder; choose another folder")


def _begin(out: Path, cohort: Cohort, record: dict) -> None:
    """Write settings and cohort, unless they exist."""
    remove_leftovers(out)
    # Settings come first: they identify the folder, whenever the training may be killed.
    if not (out / SETTINGS).exists():
        write_settings(out, record)
    if not (out / COHORT).exists():
        cohort.write(out / COHORT)
