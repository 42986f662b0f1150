"""Before anything is trained: what the images are, which settings suit them, how long it will take.

The suggestions are those of :mod:`resbuilder.suggestions`, and epochs by the same measurements on
5,000 to 60,000 images. The time is measured: a few steps of two candidates, the widest and the
narrowest, on this machine.
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
from resbuilder.race import Candidate, RacePlan, candidates, race_plan, training_config
from resbuilder.suggestions import suggested_flops, with_image_size
from resbuilder.training import Trainer, TrainingData

# Epochs of a race on 4,000 training images; on ten times as many half of that.
EPOCHS, FEWEST, MOST = 42, 20, 60
TIMED_STEPS = 64


@dataclass(frozen=True)
class SearchPlan:
    """What a race on a dataset will be.

    Attributes:
        config: Its settings: those given, and suggestions for the others.
        sizes: Images of each (height, width) before they are resized, the most frequent first.
        train: Training images, without those that validate.
        validation: Images that validate.
        test: Test images.
        classes: Number of classes.
        fewest: Images of the smallest class, of those that train or validate.
        candidates: Who races.
        race: For how many epochs.
        seconds: How long it will take on this machine, roughly; 0 before :func:`timed`.
    """

    config: SearchConfig
    sizes: list[tuple[tuple[int, int], int]]
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
    """Look at a dataset, suggest settings for a race, and time a few steps.

    Args:
        dataset: Name of a dataset, or a folder of images.
        data_dir: Folder of ``.npz`` files.
        image_size: Side, or height and width, that images of a folder are brought to; by default
            it is suggested.
        fit: How they are brought to it.
        flops: ζ, FLOPs for one image; by default it is suggested.
        say: Is told what is being done.

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
    # Enough for one epoch of each network in each rung.
    epochs = max(suggested_epochs(train), 3 * len(space))
    race = race_plan(epochs, len(space))
    given = config.to_json() | {"flops": flops, "total_epochs": epochs}
    config = SearchConfig.from_mapping(given)
    by_width = sorted(space, key=lambda c: c.architecture.stem.width)
    chosen = [by_width[0], by_width[-1]] if len(space) > 1 else space
    timings = []
    for candidate in chosen:
        say(f"timing a few steps of {candidate.label}: {candidate.architecture}")
        timings.append(_timed(candidate, data, config))
    begin, step = (mean(values) for values in zip(*timings, strict=True))
    steps = -(-train // config.batch_size)
    validation, test = len(data.split.validation), len(d.y_test)
    # Going forward is a third of a training step.
    epoch = steps * step * (1 + validation / train / 3)
    trainings = sum(race.starters) + 1
    seconds = epochs * epoch + trainings * begin + 2 * test / 3 * step / config.batch_size
    return SearchPlan(
        config=config,
        sizes=Counter(found or [(height, width)] * (train + validation + test)).most_common(),
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
    """Return epochs of a race: fewer where an epoch has more steps."""
    epochs = EPOCHS * (4_000 / images) ** (1 / 3)
    return round(min(MOST, max(FEWEST, epochs)))


def _timed(candidate: Candidate, data: TrainingData, config: SearchConfig) -> tuple[float, float]:
    """Return the seconds until the first steps are done, and those of each further step."""
    keras.backend.clear_session()
    began = time.monotonic()
    settings = training_config(config, epochs=1, ema=0.99)
    trainer = Trainer(candidate.architecture, data, settings, 0, regularized=False)
    batches, shuffling = trainer.shuffled(0)
    clock = _Clock()
    steps = min(TIMED_STEPS, len(batches))
    trainer.model.begin(steps)
    trainer.model.fit(
        batches,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=0,
        callbacks=[*shuffling, clock],
    )
    (first, at), (last, end) = clock.times[0], clock.times[-1]
    done = first + 1
    step = (end - at) / (last - first) if last > first else (at - began) / done
    return max(0.0, at - began - done * step), step


class _Clock(keras.callbacks.Callback):
    """Notes when steps have ended; several may end at once."""

    def __init__(self):
        super().__init__()
        self.times: list[tuple[int, float]] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Note the time."""
        self.times.append((batch, time.monotonic()))
