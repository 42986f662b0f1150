"""Tables 3.1 and 3.2: tests of what the thesis leaves open ("breaking at x", friction, batch size).

Each reading is tested with one seed on a printed row that decides about it.
The adopted reading is not trained here: Tables 3.1 and 3.2 are measured with it, and its rows come
from their results.

::

    python -m experiments.phs.readings --preset quick
    python -m experiments.phs.readings --preset thesis
"""

from __future__ import annotations

from pathlib import Path

from experiments.jobs import as_stored
from experiments.measuring import publish, stored
from experiments.phs.reading import AFTER, FAR, READINGS, Reading, Tried
from experiments.phs.rows import TITLES
from experiments.script import script

# Training images (None: all), and most epochs (None: those of the reading).
PRESETS = {"quick": (10_000, 2), "thesis": (None, None)}


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
        path: Results of this script; those of the tables are expected in the same folder. Results
            of settings that no preset has are left out.
    """
    known = [as_stored(job) for preset in PRESETS for job in reading_jobs(preset).values()]
    results = {r["job"]["reading"]: r for r in stored(path) if r["job"] in known}
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
    adopted = {
        one.reading.printed: one.difference for one in found if one.reading.taken and one.braked
    }
    for one in found:
        one.adopted = adopted.get(one.reading.printed)
    return found


def _of_table(reading: Reading, path: Path) -> Tried:
    """Return the first seed of a printed row."""
    from experiments.phs.table import pairs_in

    for free, braked in pairs_in(path):
        if braked.row == reading.printed[1]:
            return Tried(
                reading,
                free.histories[0],
                braked.histories[0],
                braked.brakes[0],
                braked.lowest[0],
            )
    return Tried(reading)


# The columns of :func:`readings_table`.
COLUMNS = {
    "question, reading": "what the thesis leaves open, and one answer; the adopted ones are those "
    "of Tables 3.1 and 3.2",
    "row": "dataset, time step α, friction γ and mass m: the factor on the friction at the loss",
    "thesis, ours": "test accuracy after the last epoch, in %; the difference is in points",
    "brakes in epoch": "when x is reached, or the lowest average loss",
    "epochs": "length of the trainings",
    "verdict": "refuted: x is not reached in at least the epochs that the adopted reading needs, "
    f"or the accuracy with braking is more than {100 * FAR:g} points further from the printed one "
    "than the adopted reading's on the same row; for the adopted reading, its difference",
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


EXPERIMENTS, main = script(
    "phs/readings",
    work,
    reading_jobs,
    publish_from,
    times={"quick": "minutes on 2 cores", "thesis": "1.5 hours on one core"},
    doc=__doc__,
)

if __name__ == "__main__":
    main()
