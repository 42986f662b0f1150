"""Plan a race before anything is trained: inspect the images, suggest settings, estimate the time.

The suggestions come from :mod:`resbuilder.suggestions`. The number of epochs comes from the same
measurements, on 5,000 to 60,000 images. For the time, a few steps of the widest and the narrowest
candidate are timed on this machine.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

import keras

from resbuilder.config import RACE, SearchConfig
from resbuilder.datasets import image_sizes
from resbuilder.keras_session import clear_session
from resbuilder.progress import step_bar
from resbuilder.race import (
    Candidate,
    RacePlan,
    candidates,
    least_epochs,
    race_plan,
    training_config,
)
from resbuilder.suggestions import suggested_flops, with_image_size
from resbuilder.training import Trainer, TrainingData

# Epochs of a race on 4,000 training images, and the bounds for other numbers of images. Epochs
# fall with the cube root of the images: ten times the images get about half the epochs.
EPOCHS, FEWEST, MOST = 42, 20, 60
TIMED_STEPS = 64
# Epochs of each candidate in the trial of a suggested race, at least.
LEAST_TRIAL = 2


@dataclass(frozen=True)
class SearchPlan:
    """The plan of a race on a dataset.

    Attributes:
        config: The settings: those given, and suggestions for the others.
        sizes: Each original (height, width) and its number of images, the most frequent first.
        read_as: The (height, width) with which images are read.
        train: Number of training images, without validation images.
        validation: Number of validation images.
        test: Number of test images.
        classes: Number of classes.
        fewest: Training and validation images of the smallest class.
        candidates: The candidates of the race.
        race: The epochs of the race.
        seconds: Estimated duration on this machine.
    """

    config: SearchConfig
    sizes: list[tuple[tuple[int, int], int]]
    read_as: tuple[int, int]
    train: int
    validation: int
    test: int
    classes: int
    fewest: int
    candidates: list[Candidate]
    race: RacePlan
    seconds: float


def plan(
    dataset: str,
    data_dir: str | None = None,
    image_size: str | None = None,
    fit: str = "stretch",
    flops: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> SearchPlan:
    """Inspect a dataset, suggest settings for a race, and time a few training steps.

    Args:
        dataset: Name of a dataset, or a folder of images.
        data_dir: Folder of ``.npz`` files.
        image_size: Side, or height and width, to which images of a folder are resized; by default
            it is suggested.
        fit: How they are resized: ``"stretch"``, ``"crop"`` or ``"letterbox"``.
        flops: ζ, the FLOPs budget per image; by default it is suggested.
        say: Called with a line of text for each step.

    Raises:
        ValueError: If the data cannot be found or read, or the budget is too small.
    """
    config = SearchConfig(
        dataset=dataset, data_dir=data_dir, image_size=image_size, fit=fit, method=RACE
    ).resolved()
    config = with_image_size(config, flops, say)
    found = image_sizes(config.dataset, config.data_dir)
    data = TrainingData.load(config)
    d, train = data.dataset, len(data.split.train)
    height, width, _ = d.input_shape
    flops = suggested_flops(height, width) if flops is None else flops
    space = candidates(d.input_shape, d.classes, flops, config.candidate_depths)
    epochs = max(suggested_epochs(train), least_epochs(len(space), LEAST_TRIAL))
    race = race_plan(epochs, len(space))
    given = config.to_json() | {"flops": flops, "total_epochs": epochs}
    config = SearchConfig.from_mapping(given)
    by_width = sorted(space, key=lambda c: c.architecture.stem.width)
    chosen = [by_width[0], by_width[-1]] if len(space) > 1 else space
    timings = []
    for candidate in chosen:
        say(f"timing a few steps of {candidate.label}: {candidate.architecture}")
        timings.append(_timed(candidate, data, config))
    start, step = (mean(values) for values in zip(*timings, strict=True))
    steps = -(-train // config.batch_size)
    validation, test = len(data.split.validation), len(d.y_test)
    # A forward pass, as in an evaluation, takes about a third of a training step.
    epoch = steps * step * (1 + validation / train / 3)
    trainings = bool(race.trial) * race.candidates + race.trunks
    # Each candidate that remains is evaluated on test data, and then both together.
    tested = 2 * race.trunks * test / 3 * step / config.batch_size
    seconds = epochs * race.trunks * epoch + trainings * start + tested
    return SearchPlan(
        config=config,
        sizes=Counter(found or [(height, width)] * (train + validation + test)).most_common(),
        read_as=(height, width),
        train=train,
        validation=validation,
        test=test,
        classes=d.classes,
        fewest=min(Counter(d.y_train.tolist()).values()),
        candidates=space,
        race=race,
        seconds=seconds,
    )


def suggested_epochs(images: int) -> int:
    """Return the epochs of a race: fewer if an epoch has more training images."""
    epochs = EPOCHS * (4_000 / images) ** (1 / 3)
    return round(min(MOST, max(FEWEST, epochs)))


def _timed(candidate: Candidate, data: TrainingData, config: SearchConfig) -> tuple[float, float]:
    """Return the seconds that a training needs before its first step, and the seconds per step."""
    clear_session()
    began = time.monotonic()
    settings = training_config(config, epochs=1, ema=0.99)
    trainer = Trainer(candidate.architecture, data, settings, 0, regularized=False)
    batches, shuffling = trainer.shuffled(0)
    steps = min(TIMED_STEPS, len(batches))
    trainer.model.begin(steps)
    with step_bar(candidate.label, steps) as show:
        clock = _Clock(show)
        trainer.model.fit(
            batches,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[*shuffling, clock],
        )
    # The first steps include compilation, so a step is timed from their end to the last one's.
    (first, at), (last, end) = clock.times[0], clock.times[-1]
    done = first + 1
    step = (end - at) / (last - first) if last > first else (at - began) / done
    return max(0.0, at - began - done * step), step


class _Clock(keras.callbacks.Callback):
    """Records when steps end, and shows how many have; several may end at once."""

    def __init__(self, show: Callable[[int], None]):
        super().__init__()
        self.show = show
        self.times: list[tuple[int, float]] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Record the time."""
        self.times.append((batch, time.monotonic()))
        self.show(batch + 1)
