"""The kinds of trainings that the scripts of chapter 3 are made of."""

from __future__ import annotations

import warnings

import keras

from experiments.phs.data import parts
from experiments.phs.lenet import lenet
from experiments.phs.loop import Loop
from phs_optimizer import PHS, GoalOrientedBraking
from phs_optimizer.policy import BrakingPolicy
from phs_optimizer.task_loss import TaskLoss

# Steps of the moving average that the goal is compared with: 4,000 images at batches of 4.
AVERAGE_STEPS = 1000
# The one row of the thesis' tables that is known: α, m, γ. With γ as a rate the long-run step is
# α/(mγ) = 0.01, and the momentum of heavy ball 1 − αγ = 0.999.
KNOWN_ROW = {"learning_rate": 1e-4, "mass": 1e-3, "friction": 10.0}


class _Fork(keras.callbacks.Callback):
    """Photographs a training where a braking policy would brake, and lets it go on."""

    def __init__(self, loop: Loop, target: float):
        super().__init__()
        self.loop = loop
        self.policy = BrakingPolicy(target, average_steps=AVERAGE_STEPS)
        self.task_loss = TaskLoss("loss", refresh=AVERAGE_STEPS)
        self.snapshot, self.epoch = None, None

    def on_epoch_begin(self, epoch, logs=None):
        self.task_loss.begin_epoch()

    def on_train_batch_end(self, batch, logs=None):
        if self.snapshot is not None:
            return
        if self.policy.observe(*self.task_loss.read(self, batch, logs)):
            self.snapshot = self.loop.snapshot()
            self.epoch = self.policy.state.steps / self.loop.steps_per_epoch


def make_loop(job: dict, optimizer: keras.optimizers.Optimizer) -> Loop:
    """LeNet on the job's data with its seed and batch size."""
    data = parts(job["dataset"], job["data_dir"], job["limit"])
    model = lenet(data["train"].x.shape[1:], job["seed"])
    # Between two calls of the callbacks there are 100 images, a tenth of the braking average.
    return Loop(
        model, optimizer, data, job["batch_size"], job["seed"], max(5, 400 // job["batch_size"])
    )


def make_phs(job: dict) -> PHS:
    """The optimizer of a row of the tables."""
    return PHS(job["learning_rate"], job["mass"], job["friction"], friction_form="rate")


def with_and_without_braking(job: dict) -> dict:
    """One training without braking, and one for each goal and factor that leaves it.

    Trainings that differ only in how they brake are the same until they do, so that part is done
    once; a test holds a fork against a training with :class:`GoalOrientedBraking` from the start.

    Args:
        job: ``dataset``, ``data_dir``, ``limit``, ``seed``, ``batch_size``, ``epochs``,
            ``learning_rate``, ``mass``, ``friction``, and ``brakes``: pairs of target (share of
            reduction) and factor.

    Returns:
        ``unbraked``: the history; ``braked``: target, factor, the step of braking (None if the
        goal was not reached) and the history of each.
    """
    loop = make_loop(job, make_phs(job))
    forks = {target: _Fork(loop, target) for target, _ in job["brakes"]}
    unbraked = loop.run(job["epochs"], list(forks.values()))
    braked = []
    for target, factor in job["brakes"]:
        fork = forks[target]
        if fork.snapshot is not None:
            loop.restore(fork.snapshot)
            loop.optimizer.friction = job["friction"] * factor
            history = loop.run(job["epochs"])
        else:
            history = unbraked
        braked.append({"target": target, "factor": factor, "epoch": fork.epoch, "history": history})
    return {"unbraked": unbraked, "braked": braked}


def with_callback(job: dict) -> dict:
    """One training with the braking callback.

    Args:
        job: As for :func:`with_and_without_braking`, with ``braking``: the arguments of
            :class:`GoalOrientedBraking`.

    Returns:
        History, events, and the accuracies of the final weights (which are the best ones where
        they are restored) as ``final``.
    """
    loop = make_loop(job, make_phs(job))
    options = {"average_steps": AVERAGE_STEPS, "verbose": 0} | job["braking"]
    callback = GoalOrientedBraking(**options)
    history = loop.run(job["epochs"], [callback])
    final = {part: loop.evaluate(loop.parts[part])["accuracy"] for part in ("validation", "test")}
    return {"history": history, "events": callback.events, "final": final}


def with_other_optimizer(job: dict) -> dict:
    """One training with an optimizer of Keras: what a user would pick instead.

    Args:
        job: As before, with ``optimizer`` (``"sgd"`` or ``"adam"``), ``learning_rate``,
            ``momentum`` and ``schedule`` (``"constant"``, ``"step"``: a tenth after 60 and 85 % of
            the steps, or ``"cosine"`` to zero).

    Returns:
        The history.
    """
    data = parts(job["dataset"], job["data_dir"], job["limit"])
    steps = len(data["train"].y) // job["batch_size"] * job["epochs"]
    rate = job["learning_rate"]
    schedules = keras.optimizers.schedules
    if job["schedule"] == "cosine":
        rate = schedules.CosineDecay(rate, steps)
    elif job["schedule"] == "step":
        rate = schedules.PiecewiseConstantDecay(
            [int(0.6 * steps), int(0.85 * steps)], [rate, rate / 10, rate / 100]
        )
    if job["optimizer"] == "adam":
        optimizer = keras.optimizers.Adam(rate)
    else:
        optimizer = keras.optimizers.SGD(rate, momentum=job["momentum"])
    return {"history": make_loop(job, optimizer).run(job["epochs"])}


def with_reading(job: dict) -> dict:
    """One training, braked after the first epoch, with friction read as the job says.

    The optimizer refuses a braking that makes the explicit step diverge; here the friction is
    assigned past that check, because what then happens is the question.

    Args:
        job: As before, with ``friction_form`` and ``factor``.

    Returns:
        The history; it ends early if the loss is no number any more.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an oscillating step, which is what we look at
        optimizer = PHS(
            job["learning_rate"], job["mass"], job["friction"], friction_form=job["friction_form"]
        )
    loop = make_loop(job, optimizer)
    loop.run(1)
    optimizer.friction.assign(job["friction"] * job["factor"])
    return {"history": loop.run(job["epochs"])}
