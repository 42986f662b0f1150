"""Tables 3.1 and 3.2: tests of what the thesis leaves open ("breaking at x", friction, batch size).

Each reading is tested with one seed on a printed row that decides about it within a few epochs.
The adopted reading is not trained here: Tables 3.1 and 3.2 are measured with it, and its rows come
from their results.

::

    python -m experiments.phs.readings --preset quick
    python -m experiments.phs.readings --preset thesis
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import Running, standard_options
from experiments.measuring import measure, publish, stored
from experiments.phs.rows import TITLES, Row, rows
from resbuilder.common.cli import Command

# α, γ and m of the rows that decide.
FASHION, FASHION_FAST = (0.1, 0.1, 10.0), (0.1, 0.01, 10.0)
FASHION_SLOW, CIFAR = (1e-4, 10.0, 1e-3), (0.1, 0.01, 100.0)
# Epochs after braking, as in the tables.
AFTER = 40
# A reading is refuted if it ends further than this from the printed accuracy (a fraction).
FAR = 0.02
# Training images (None: all), and most epochs (None: those of the reading).
PRESETS = {"quick": (10_000, 2), "thesis": (None, None)}


@dataclass(frozen=True)
class Reading:
    """One way to read the thesis, on one of its rows.

    Attributes:
        question: What the thesis leaves open.
        answer: The reading.
        dataset: Dataset of the row.
        dynamics: α, γ and m of the row.
        settings: What the reading changes in the job of the row.
        epochs: Most epochs.
        taken: Whether Tables 3.1 and 3.2 are measured with this reading.
    """

    question: str
    answer: str
    dataset: str
    dynamics: tuple[float, float, float]
    settings: dict = field(default_factory=dict)
    epochs: int = 40
    taken: bool = False

    @property
    def name(self) -> str:
        """Return the name of the job."""
        words = "_".join(str(value) for value in self.settings.values())
        return f"{self.dataset}_a{self.dynamics[0]:g}_g{self.dynamics[1]:g}_{words}"

    @property
    def printed(self) -> tuple[Row, Row]:
        """Return the row without braking, and the braked row that follows it."""
        found = rows(self.dataset)
        for free, braked in zip(found, found[1:], strict=False):
            if (free.learning_rate, free.friction, free.mass) == self.dynamics:
                return free, braked
        raise ValueError(f"{self.dataset} has no row with α, γ, m = {self.dynamics}")


GOAL, FRICTION, BATCH = "breaking at x", "friction", "batch size"
LOSS = "x is the training loss"
REMAINING = "x is the remaining fraction of the initial loss"
REDUCTION = "x is the fraction by which the loss has fallen"
READINGS = (
    Reading(GOAL, LOSS, "fashion_mnist", FASHION, taken=True),
    Reading(GOAL, REMAINING, "fashion_mnist", FASHION, {"target_is": "remaining"}),
    Reading(GOAL, REDUCTION, "fashion_mnist", FASHION, {"target_is": "reduction"}),
    Reading(GOAL, LOSS, "cifar10", CIFAR, taken=True),
    Reading(GOAL, REMAINING, "cifar10", CIFAR, {"target_is": "remaining"}),
    Reading(FRICTION, "−γp, a rate", "fashion_mnist", FASHION, taken=True),
    Reading(
        FRICTION,
        "−(γ/m)p, as printed",
        "fashion_mnist",
        FASHION,
        {"friction_form": "viscous"},
        epochs=12,
    ),
    Reading(
        FRICTION,
        "−(γ/m)p, as printed",
        "fashion_mnist",
        FASHION_SLOW,
        {"friction_form": "viscous"},
        epochs=3,
    ),
    Reading(BATCH, "batches of 128", "fashion_mnist", FASHION_FAST, taken=True),
    Reading(BATCH, "batches of 64", "fashion_mnist", FASHION_FAST, {"batch_size": 64}, epochs=12),
    Reading(BATCH, "batches of 16", "fashion_mnist", FASHION_FAST, {"batch_size": 16}, epochs=6),
    Reading(BATCH, "batches of 4", "fashion_mnist", FASHION_FAST, {"batch_size": 4}, epochs=6),
)


@dataclass
class Tried:
    """A reading and its result.

    Attributes:
        reading: The reading.
        unbraked: History without braking; empty if it is not measured yet.
        braked: History with braking; the same as ``unbraked`` if the goal was not reached.
        epoch: Epoch of braking; None if the goal was not reached.
        lowest: Lowest average training loss before braking; None if there is none.
    """

    reading: Reading
    unbraked: list[dict] = field(default_factory=list)
    braked: list[dict] = field(default_factory=list)
    epoch: float | None = None
    lowest: float | None = None

    @property
    def accuracy(self) -> tuple[float, float]:
        """Return the test accuracy without and with braking after the last epoch, as fractions."""
        from experiments.phs.summary import accuracies

        return accuracies(self.unbraked)["final"], accuracies(self.braked)["final"]

    @property
    def verdict(self) -> str:
        """Return what this result says about the reading."""
        from experiments.phs.summary import signed

        if not self.braked:
            return "not measured yet"
        if self.epoch is None:
            return "refuted: x is not reached"
        difference = self.accuracy[1] - self.reading.printed[1].accuracy
        return f"refuted: {signed([difference])} points" if abs(difference) > FAR else "fits"


def reading_jobs(preset: str) -> dict[str, dict]:
    """Return the settings of the trainings by name."""
    limit, most = PRESETS[preset]
    jobs = {}
    for reading in READINGS:
        if reading.taken:
            continue
        braked = reading.printed[1]
        jobs[reading.name] = {
            "reading": reading.name,
            "dataset": reading.dataset,
            "limit": limit,
            "seed": 0,
            "batch_size": 128,
            "learning_rate": braked.learning_rate,
            "friction": braked.friction,
            "mass": braked.mass,
            "target_is": "loss",
            "brakes": [(braked.goal, braked.factor)],
            "after": AFTER,
            "epochs": min(most or reading.epochs, reading.epochs),
        } | reading.settings
    return jobs


def tried(path: Path) -> list[Tried]:
    """Return every reading with its measurements.

    Args:
        path: Results of this script; those of the tables are expected in the same folder.
    """
    results = {result["job"]["reading"]: result for result in stored(path)}
    found = []
    for reading in READINGS:
        if reading.taken:
            found.append(_of_table(reading, path.with_name(f"{reading.dataset}.json")))
        elif reading.name in results:
            result = results[reading.name]
            run = result["braked"][0]
            found.append(
                Tried(reading, result["unbraked"], run["history"], run["epoch"], run["lowest"])
            )
        else:
            found.append(Tried(reading))
    return found


def _of_table(reading: Reading, path: Path) -> Tried:
    """Return the first seed of a printed row, with as many epochs after braking as the others."""
    from experiments.phs.table import pairs_in

    for free, braked in pairs_in(path):
        if braked.row == reading.printed[1]:
            epoch = braked.brakes[0]
            end = math.inf if epoch is None else math.ceil(epoch) + AFTER
            unbraked, history = (
                [entry for entry in m.histories[0] if entry["epoch"] <= end] for m in (free, braked)
            )
            return Tried(reading, unbraked, history, epoch, braked.lowest[0])
    return Tried(reading)


# The columns of :func:`readings_table`.
COLUMNS = {
    "question, reading": "what the thesis leaves open, and one answer; the adopted ones are those "
    "of Tables 3.1 and 3.2",
    "row": "dataset, time step α, friction γ and mass m: the factor on the friction at the loss",
    "thesis, ours": "test accuracy after the last epoch, in %; the difference is in points",
    "brakes in epoch": "when x is reached, or the lowest average loss",
    "epochs": "length of the trainings",
    "verdict": f"refuted: x is not reached, or the accuracy with braking is more than "
    f"{100 * FAR:g} points from the printed one",
}


def readings_table(found: list[Tried]) -> str:
    """Return the table of accuracies without / with braking, in percent."""
    from experiments.phs.summary import signed

    lines = [
        "| question | reading | row | thesis | ours | ours − thesis | brakes in epoch | epochs "
        "| verdict |",
        "|---" * 9 + "|",
    ]
    for one in found:
        reading = one.reading
        free, braked = reading.printed
        alpha, friction, mass = reading.dynamics
        cells = ["", "", "", ""]
        if one.braked:
            cells = [
                " / ".join(f"{100 * a:.2f}" for a in one.accuracy),
                " / ".join(
                    signed([a - row.accuracy])
                    for a, row in zip(one.accuracy, (free, braked), strict=True)
                ),
                _when(one),
                str(one.braked[-1]["epoch"]),
            ]
        lines.append(
            f"| {reading.question} | {reading.answer}{' (adopted)' if reading.taken else ''} "
            f"| {TITLES[reading.dataset]}, α {alpha:g}, γ {friction:g}, m {mass:g}: "
            f"×{braked.factor:g} at {braked.goal:g} "
            f"| {100 * free.accuracy:.2f} / {100 * braked.accuracy:.2f} "
            f"| {' | '.join(cells)} | {one.verdict} |"
        )
    return "\n".join(lines) + "\n"


def _when(one: Tried) -> str:
    if one.epoch is not None:
        return f"{one.epoch:.1f}"
    return "–" if one.lowest is None else f"never (lowest loss {one.lowest:.3g})"


def work(job: dict) -> dict:
    """Do one job."""
    from experiments.phs.trainings import with_and_without_braking

    return with_and_without_braking(job)


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    from experiments.phs import figures
    from experiments.phs.summary import page

    found = tried(path)
    text = page(
        "What the thesis leaves open: each reading on a printed row that decides",
        "Pairs of numbers are without / with braking.",
        COLUMNS,
        readings_table(found),
    )
    publish(path, figures.readings(found), text)


EXPERIMENTS = (
    Experiment(
        jobs={"phs/readings": reading_jobs},
        publish_from=publish_from,
        times={"quick": "minutes on 2 cores", "thesis": "15 minutes of one core"},
    ),
)


@click.command(cls=Command, help=__doc__.splitlines()[0])
@standard_options("phs")
def main(preset: str, running: Running) -> None:
    """Measure, and write the table and the figure."""
    publish_from(measure("phs/readings", work, reading_jobs(preset), preset, running))


if __name__ == "__main__":
    main()
