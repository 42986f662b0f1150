"""Chapter 5: which settings leave 1 and 41 of 32 and 64 channels at λ = 9e-6, as the thesis found?

::

    python -m experiments.morphnet.what_is_left --preset quick
    python -m experiments.morphnet.what_is_left --preset thesis

Each row is one training with MorphNet's term. The thesis continues with 3 and 116 channels, which
is 1 and 41 scaled to the FLOPs of the start, and loses all 3 within 100 steps.
"""

from __future__ import annotations

from pathlib import Path

from experiments.measuring import publish_table, stored
from experiments.morphnet.network import WIDTHS, expanded
from experiments.script import script

STRENGTH = 9e-6
CHANNELS = WIDTHS[:2]
#: The thesis' second iteration: 3 and 116 channels, and the same FLOPs as the start.
SECOND = (3, 116, 980)
NORMALIZED, HIGH = {"normalized": True}, {"threshold": 1e-2}
# Name: widths, changes to the setting of the figures, epochs, factor of λ.
VARIATIONS: dict[str, tuple[tuple[int, ...], dict, int, float]] = {
    "batch normalization, no dense layer, threshold 1e-2": (CHANNELS, NORMALIZED | HIGH, 1, 1),
    "no dense layer, threshold 1e-2": (CHANNELS, HIGH, 1, 1),
    "threshold 1e-2": (WIDTHS, HIGH, 1, 1),
    "the setting of the figures": (WIDTHS, {}, 2, 1),
    "batch normalization": (WIDTHS, NORMALIZED, 1, 1),
    "one FLOP per multiply-add": (WIDTHS, {}, 1, 0.5),
    "learning rate 1e-2": (WIDTHS, {"learning_rate": 1e-2}, 1, 1),
    "second iteration": (SECOND, {}, 1, 1),
    "second iteration, batch normalization": (SECOND, NORMALIZED, 1, 1),
    "second iteration, learning rate 1e-2": (SECOND, {"learning_rate": 1e-2}, 1, 1),
}
# Training and validation images, batch size, steps between records, variations.
PRESETS = {
    "quick": (3_000, 64, 10, ("threshold 1e-2", "second iteration, learning rate 1e-2")),
    "thesis": (30_720, 64, 100, tuple(VARIATIONS)),
}


def jobs_of(preset: str) -> dict[str, dict]:
    """Return the settings of the trainings by name."""
    limit, batch_size, record_every, names = PRESETS[preset]
    jobs = {}
    for number, (name, (widths, setting, epochs, factor)) in enumerate(VARIATIONS.items()):
        if name in names:
            jobs[f"variation{number}"] = {
                "name": name,
                "dataset": "mnist",
                # The outcome of a second iteration shows early.
                "limit": limit // 2 if widths == SECOND else limit,
                "batch_size": batch_size,
                "seed": 0,
                "widths": widths,
                "setting": setting,
                "epochs": epochs,
                "strength": factor * STRENGTH,
                "record_every": record_every,
            }
    return jobs


def work(job: dict) -> dict:
    """Do one training; ``expanded`` is what it leaves, scaled to the FLOPs of its start."""
    from experiments.morphnet.training import train

    trained = train(job, job["widths"], job["epochs"], job["strength"], job["record_every"])
    whole = all(trained["alive"])
    wider = expanded(trained["alive"], trained["flops"]) if whole else None
    return trained | {"expanded": wider}


def markdown(results: list[dict]) -> str:
    """Return the table of what each setting leaves, and where a second iteration would start."""
    every = results[0]["job"]["record_every"]
    shown = (1, 2, 4)
    lines = [
        f"| setting | start | {' | '.join(f'left after {n * every} steps' for n in shown)} "
        "| at the end | scaled to the FLOPs of the start | test, % |",
        "|" + "---|" * (len(shown) + 5),
    ]
    for result in results:
        left = {record["step"] // every: record["alive"] for record in result["history"]}
        cells = [dots(left.get(n)) for n in shown]
        lines.append(
            f"| {result['job']['name']} | {dots(result['widths'])} | {' | '.join(cells)} "
            f"| {dots(result['alive'])} | {dots(result['expanded'])} | {100 * result['test']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def dots(widths) -> str:
    """Format widths for a table; None gives a dash."""
    return "–" if widths is None else "·".join(map(str, widths))


def publish_from(path: Path) -> None:
    """Write the table next to the results file."""
    publish_table(path, markdown(stored(path)))


EXPERIMENTS, main = script(
    "morphnet/what_is_left",
    work,
    jobs_of,
    publish_from,
    times={"quick": "minutes on 2 cores", "thesis": "7 minutes on one core"},
    doc=__doc__,
)

if __name__ == "__main__":
    main()
