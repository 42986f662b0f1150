"""The kinds of trainings that the scripts of chapter 3 use."""

from __future__ import annotations

import math
import warnings

import keras

from experiments.phs.data import parts
from experiments.phs.lenet import lenet
from experiments.phs.loop import Loop, Snapshot
from experiments.phs.stages import Stages
from phs_optimizer import PHS, GoalOrientedBraking
from phs_optimizer.policy import BrakingPolicy
from phs_optimizer.state import BrakingState
from phs_optimizer.task_loss import TaskLoss

# Length, in images, of the moving average of the loss that is compared with the goal.
AVERAGE_IMAGES = 4000


def average_steps(job: dict) -> int:
    """Return the length of the moving average in steps: 4,000 images."""
    return max(1, round(AVERAGE_IMAGES / job["batch_size"]))


class _Fork(keras.callbacks.Callback):
    """Takes a snapshot where a braking policy would brake, and lets the training continue.

    From there on, the training is evaluated after every epoch. So is the one that brakes: both have
    the same epochs to choose from.
    """

    def __init__(self, loop: Loop, target: float, target_is: str, average: int):
        super().__init__()
        self.loop = loop
        self.policy = BrakingPolicy(target, target_is, average_steps=average)
        self.task_loss = TaskLoss("loss", refresh=average)
        self.snapshot: Snapshot | None = None
        self.epoch: float | None = None

    def on_epoch_begin(self, epoch, logs=None):
        self.task_loss.begin_epoch()

    def on_train_batch_end(self, batch, logs=None):
        if self.snapshot is not None:
            return
        if self.policy.observe(*self.task_loss.read(self, batch, logs)):
            self._take(self.loop.snapshot())
            self.epoch = self.policy.state.steps / self.loop.steps_per_epoch

    def _take(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.loop.evaluate_every = 1

    def state(self) -> dict:
        """Return what :meth:`restore` needs, at the end of an epoch."""
        return {
            "policy": self.policy.state.to_vector(),
            "snapshot": self.snapshot and vars(self.snapshot),
            "epoch": self.epoch,
            "lowest": self.policy.lowest,
        }

    def restore(self, state: dict) -> None:
        """Continue from a state that :meth:`state` returned."""
        self.policy.state = BrakingState.from_vector(state["policy"])
        if state["snapshot"]:
            self._take(Snapshot(**state["snapshot"]))
        self.epoch, self.policy.lowest = state["epoch"], state["lowest"]


def make_loop(job: dict, optimizer: keras.optimizers.Optimizer) -> Loop:
    """Return the training of LeNet on the job's data, with its seed and batch size."""
    variation = {key: job[key] for key in ("trained", "pixels") if key in job}
    data = parts(job["dataset"], job["data_dir"], job["limit"], **variation)
    model = lenet(data["train"].x.shape[1:], job["seed"])
    # The callbacks are called every few hundred images, which is short compared with the average.
    chunk = max(5, 400 // job["batch_size"])
    return Loop(
        model,
        optimizer,
        data,
        job["batch_size"],
        job["seed"],
        chunk,
        job.get("evaluate_every", 1),
    )


def make_phs(job: dict) -> PHS:
    """Return the optimizer of a row of the tables."""
    form = job.get("friction_form", "rate")
    return PHS(job["learning_rate"], job["mass"], job["friction"], friction_form=form)


def with_and_without_braking(job: dict) -> dict:
    """Do one training without braking, and fork one for each goal and factor.

    Trainings that differ only in how they brake are identical until they brake, so that part is
    done once. A test compares a fork with a training that has :class:`GoalOrientedBraking` from
    the start.

    Args:
        job: ``dataset``, ``data_dir``, ``limit``, ``seed``, ``batch_size``, ``epochs``,
            ``learning_rate``, ``mass``, ``friction``, and ``brakes``: pairs of target and factor.
            Optional are ``target_is`` (default ``"reduction"``), ``friction_form`` (``"rate"``),
            ``evaluate_every`` (1; after the first goal, every epoch is evaluated), ``trained``
            and ``pixels`` (see :func:`experiments.phs.data.parts`), and ``after``.
            With ``after``, every braked training ends this many epochs after it brakes, and the
            training without braking ends with the last of them. If a goal is not reached, it has
            at least ``epochs`` epochs.

    Returns:
        ``unbraked``: the history. ``braked``: for each pair, target, factor, the epoch of braking
        (None if the goal was not reached), the lowest average loss until then, and the history.
    """
    loop = make_loop(job, make_phs(job))
    target_is, after = job.get("target_is", "reduction"), job.get("after")
    forks = {
        target: _Fork(loop, target, target_is, average_steps(job)) for target, _ in job["brakes"]
    }
    stages = Stages(job, list(forks.values()))

    def end(fork: _Fork) -> int:
        """Return the last epoch of the training that this fork begins."""
        return job["epochs"] if after is None else math.ceil(fork.epoch) + after

    def last_unbraked() -> int:
        reached = [end(fork) for fork in forks.values() if fork.snapshot is not None]
        missed = len(reached) < len(forks) or not forks
        return max([*reached, *([job["epochs"]] if missed else [])])

    # Each goal may be reached as late as that, because of the goal before it.
    most = job["epochs"] + (after or 0) * len(forks)
    unbraked = stages.run(
        "unbraked", loop, most, callbacks=list(forks.values()), last_epoch=last_unbraked
    )
    braked = []
    for number, (target, factor) in enumerate(job["brakes"]):
        fork = forks[target]
        history = unbraked
        if fork.snapshot is not None:
            history = _braked(job, loop, fork, factor, f"brake {number}", stages, end(fork))
        braked.append(
            {
                "target": target,
                "factor": factor,
                "epoch": fork.epoch,
                "lowest": fork.policy.lowest,
                "history": history,
            }
        )
    return {"unbraked": unbraked, "braked": braked}


def _braked(job, loop, fork, factor, name, stages, last) -> list[dict]:
    """Continue from a fork with a higher friction, and return the history."""
    loop.restore(fork.snapshot)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some readings of the thesis oscillate
        # This bypasses the optimizer's check, which rejects divergence: here that is a result.
        loop.optimizer.friction.assign(job["friction"] * factor)
    return stages.run(name, loop, last, start=loop.snapshot())


def with_callback(job: dict) -> dict:
    """Do one training with the braking callback.

    Args:
        job: As for :func:`with_and_without_braking`, with ``braking``: the arguments of
            :class:`GoalOrientedBraking`.

    Returns:
        History, events, and the accuracies of the final weights as ``final``. The final weights
        are the best ones if the callback restores them.
    """
    loop = make_loop(job, make_phs(job))
    options = {"average_steps": average_steps(job), "verbose": 0} | job["braking"]
    callback = GoalOrientedBraking(**options)

    def end() -> float:
        return loop.epoch if loop.model.stop_training else math.inf

    history = loop.run(job["epochs"], [callback], last_epoch=end)
    final = {part: loop.evaluate(loop.parts[part])["accuracy"] for part in ("validation", "test")}
    return {"history": history, "events": callback.events, "final": final}


def with_automatic_braking(job: dict) -> dict:
    """Do one training of PHS with automatic braking, of at most ``epochs`` epochs.

    Args:
        job: As for :func:`with_callback`, but with ``learning_rate`` and ``momentum`` as for SGD
            instead of PHS' α, m and γ; ``braking`` may change the defaults.

    Returns:
        The same as :func:`with_callback`.
    """
    alpha = 0.1  # without effect: mass and friction compensate for it
    dynamics = {
        "learning_rate": alpha,
        "mass": alpha**2 / job["learning_rate"],
        "friction": (1 - job["momentum"]) / alpha,
    }
    braking = {"target": "auto", "validation": "val_accuracy"} | job.get("braking", {})
    return with_callback(job | dynamics | {"braking": braking})


def with_other_optimizer(job: dict) -> dict:
    """Do one training with another optimizer of Keras.

    Args:
        job: As for :func:`with_and_without_braking`, but with ``optimizer`` (``"sgd"`` or
            ``"adam"``), ``learning_rate``, ``momentum`` and ``schedule``: ``"constant"``;
            ``"step"``, a tenth after 60 and 85 % of the steps; ``"cosine"`` to zero; or
            ``"plateau"``, a tenth whenever the validation loss has not improved for 3 epochs.

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
    loop = make_loop(job, optimizer)
    if job["schedule"] == "plateau":  # whose callback cannot be resumed
        plateau = keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=3)
        return {"history": loop.run(job["epochs"], [plateau])}
    return {"history": Stages(job).run("all", loop, job["epochs"])}
