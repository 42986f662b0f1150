"""The rows of Tables 3.1 and 3.2 as trainings: which are the same, and how long each one takes.

With friction as a rate, a training depends on two numbers only: the step η = α²/m and the decay αγ
of the momentum. Rows that agree in both are trained once. The long-run time T = steps · α/(mγ) is
the time that plain gradient descent with step α/(mγ) covers; it determines when a goal is reached.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from experiments.thesis import table

TABLES = {"cifar10": "3_1", "fashion_mnist": "3_2"}
TITLES = {"cifar10": "CIFAR-10", "fashion_mnist": "Fashion-MNIST"}
# T at which the training loss reached two goals in trials. Between them, T = a · (loss / b)^−c.
REACHED = {"fashion_mnist": ((0.2, 1400), (0.15, 2100)), "cifar10": ((0.9, 1000), (0.7, 2200))}
# Epochs for which a training continues after it has reached its goal.
AFTER = 40
# Loss that plain SGD is expected to reach; it determines the number of epochs of SGD.
SGD_LOSS = {"fashion_mnist": 0.15, "cifar10": 0.7}
# T at which it did with α = 0.01. The trials had steps of 0.1, whose noise made T twice as long.
SGD_TIME = {"fashion_mnist": 670, "cifar10": 310}
# A tenth of the training images is held out.
TRAINING_IMAGES = {"fashion_mnist": 54_000, "cifar10": 45_000}
# Rows that need more epochs at batches of 128 are not trained.
MOST_EPOCHS = 2_000


@dataclass(frozen=True)
class Row:
    """A printed row.

    Attributes:
        dataset: ``"cifar10"`` or ``"fashion_mnist"``.
        optimizer: ``"SGD"``, ``"PHS"`` or ``"goal-oriented"``.
        learning_rate: Time step α.
        friction: Friction γ, a rate; None for SGD.
        mass: Mass m; None for SGD.
        goal: Training loss at which to brake; None for a row without braking.
        factor: Factor by which braking multiplies the friction; None for a row without braking.
        accuracy: The printed test accuracy, as a fraction.
    """

    dataset: str
    optimizer: str
    learning_rate: float
    friction: float | None
    mass: float | None
    goal: float | None
    factor: float | None
    accuracy: float

    @property
    def dynamics(self) -> tuple[float, float]:
        """Return η = α²/m and αγ, which determine a training with friction as a rate.

        For SGD, which has no momentum, they are α and 1.
        """
        if self.optimizer == "SGD":
            return self.learning_rate, 1.0
        eta = self.learning_rate**2 / self.mass
        return float(f"{eta:.6g}"), float(f"{self.learning_rate * self.friction:.6g}")

    @property
    def long_run_step(self) -> float:
        """Return α/(mγ), or α for SGD."""
        step, decay = self.dynamics
        return step / decay


def rows(dataset: str) -> list[Row]:
    """Return the printed rows of a dataset; a braked row follows its row without braking."""
    found = []
    for printed in table(TABLES[dataset]):
        number = {key: float(value) if value else None for key, value in list(printed.items())[3:]}
        found.append(
            Row(
                dataset,
                printed["optimizer"],
                float(printed["alpha"]),
                number["friction"],
                number["mass"],
                number["breaking_at"],
                number["factor"],
                round(number["test_accuracy_percent"] / 100, 6),
            )
        )
    return found


def same_training(dataset: str) -> dict[Row, list[Row]]:
    """Return the braked rows of each distinct training without braking.

    Returns:
        Maps the first row with given dynamics, without goal and factor, to its braked rows.
    """
    groups: dict[tuple, tuple[Row, list[Row]]] = {}
    for row in rows(dataset):
        if row.optimizer == "goal-oriented":
            free = replace(row, optimizer="PHS", goal=None, factor=None)
            groups.setdefault(row.dynamics, (free, []))[1].append(row)
    return dict(groups.values())


def job_dynamics(job: dict) -> tuple[float, float]:
    """Return the :attr:`Row.dynamics` of a job's settings."""
    kind = "PHS" if "mass" in job else "SGD"
    friction, mass = job.get("friction"), job.get("mass")
    return Row("", kind, job["learning_rate"], friction, mass, None, None, 0.0).dynamics


def time_to(dataset: str, loss: float) -> float:
    """Return the long-run time T at which the training loss is expected to reach ``loss``."""
    (high, early), (low, late) = REACHED[dataset]
    exponent = math.log(late / early) / math.log(high / low)
    return early * (loss / high) ** -exponent


def sgd_epochs(row: Row, steps_per_epoch: int) -> int:
    """Return the number of epochs after which plain SGD is expected to reach its loss."""
    if row.learning_rate >= 0.01:
        loss = SGD_LOSS[row.dataset]
        return epochs_to(row.dataset, loss, row.learning_rate, steps_per_epoch)
    return math.ceil(SGD_TIME[row.dataset] / row.learning_rate / steps_per_epoch)


def epochs_to(dataset: str, loss: float, long_run_step: float, steps_per_epoch: int) -> int:
    """Return the number of epochs after which the training loss is expected to reach ``loss``."""
    return math.ceil(time_to(dataset, loss) / long_run_step / steps_per_epoch)
