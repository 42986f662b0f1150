"""Beyond the thesis: why a race joins two candidates, and why their projections see averages.

::

    python -m experiments.resbuilder.race_pairs --preset laptop

It trains each candidate with one block in a stage from scratch for all T epochs, as one network of
ζ and as one of ζ/2, with averaged and with strided projections. Then it takes the mean logits of
every pair of ζ/2. Accuracies are those on 20,000 training images (or all that are left) that no
network sees, so neither validation nor test images decide how a race works.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.measuring import publish, stored
from experiments.resbuilder.points import rows_of_points
from experiments.script import script
from experiments.summary import percent_spread
from resbuilder.common.figures import BLUE, GRAY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from resbuilder import Architecture

# Seeds of the design: experiments.resbuilder.race uses others.
PRESETS = {
    "quick": ((0,), {"total_epochs": 2, "train_limit": 600, "flops": 1.5e6}),
    "laptop": ((0, 1), {"total_epochs": 42, "train_limit": 5_000, "flops": 4e6}),
}
TRANSITIONS = {"average": "averaged", "projection": "strided"}
SHARES = (1, 2)
JUDGED = 20_000


def jobs_of(preset: str) -> dict[str, dict]:
    """Return a job for each projection, part of ζ and seed, by name."""
    seeds, settings = PRESETS[preset]
    shared = settings | {"dataset": "cifar10", "method": "race"}
    return {
        f"{transition}_{share}_seed{seed}": {
            "transition": transition,
            "share": share,
            "settings": shared | {"seed": seed},
        }
        for seed in seeds
        for share in SHARES
        for transition in TRANSITIONS
    }


def measure_job(job: dict) -> dict:
    """Train all candidates of a job.

    Returns:
        ``alone``: the accuracy of each candidate by label; ``pairs``: that of the mean logits of
        each pair, by both labels.
    """
    from experiments.resbuilder.from_scratch import trained
    from resbuilder import SearchConfig
    from resbuilder.race import candidates
    from resbuilder.surgery import scale_to_budget
    from resbuilder.training import TrainingData

    config = SearchConfig(**job["settings"], data_dir=job["data_dir"]).resolved()
    data = TrainingData.load(config)
    d = data.dataset
    seen = np.union1d(data.split.train, data.split.validation)
    unseen = np.setdiff1d(np.arange(len(d.y_train)), seen)
    judged = np.random.default_rng(0).permutation(unseen)[:JUDGED]
    logits = {}
    for number, candidate in enumerate(candidates(d.input_shape, d.classes, config.flops, [1])):
        scaled = scale_to_budget(candidate.architecture, int(config.flops / job["share"]))
        architecture = with_transition(scaled, job["transition"])
        seed = 1_000 * config.seed + number
        trainer, _ = trained(architecture, data, config, config.total_epochs, seed)
        logits[candidate.label] = trainer.network.predict(
            d.x_train[judged], batch_size=256, verbose=0
        )

    def accuracy(*labels: str) -> float:
        mean = np.mean([logits[label] for label in labels], axis=0)
        return float((mean.argmax(1) == d.y_train[judged]).mean())

    return {
        "alone": {label: accuracy(label) for label in logits},
        "pairs": {" ∥ ".join(pair): accuracy(*pair) for pair in combinations(logits, 2)},
    }


def with_transition(architecture: Architecture, transition: str) -> Architecture:
    """Return the same network with another kind of projection, which costs the same."""
    stages = tuple(
        replace(stage, transition=transition) if stage.projects else stage
        for stage in architecture.stages
    )
    return replace(architecture, stages=stages)


def groups(results: list[dict]) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Return accuracies over seeds by network, for each size and projection."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for r in sorted(results, key=lambda r: r["job"]["settings"]["seed"]):
        share, transition = r["job"]["share"], TRANSITIONS[r["job"]["transition"]]
        kinds = {"one of ζ" if share == 1 else "one of ζ/2": r["alone"]}
        if share == 2:
            kinds["two of ζ/2"] = r["pairs"]
        for kind, accuracies in kinds.items():
            group = found.setdefault((kind, transition), {})
            for name, value in accuracies.items():
                group.setdefault(name, []).append(value)
    order = ["one of ζ/2", "one of ζ", "two of ζ/2"]
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


def markdown(results: list[dict]) -> str:
    """Return the table of accuracies."""
    from resbuilder.report.style import si

    s = results[0]["job"]["settings"]
    seeds = sorted({r["job"]["settings"]["seed"] for r in results})
    lines = [
        f"{s['dataset']}: ζ = {si(s['flops'])}FLOPs; {s['train_limit']:,} training images, "
        f"validation included; {s['total_epochs']} epochs. Accuracy in % on training images that "
        f"no network saw, mean ± deviation over seeds {', '.join(map(str, seeds))}.\n",
        "| | projections | network | accuracy |",
        "|---" * 4 + "|",
    ]
    lines += [
        f"| {kind} | {transition} | {name} | {percent_spread(accuracies)} |"
        for (kind, transition), group in groups(results).items()
        for name, accuracies in group.items()
    ]
    return "\n".join(lines) + "\n"


def draw(results: list[dict]) -> Figure:
    """Draw the mean accuracy of each network as a point, a row for each size and projection."""
    colors = {"one of ζ/2": GRAY, "one of ζ": ORANGE, "two of ζ/2": BLUE}
    found = groups(results)
    rows = {
        f"{kind}, {how}": [float(np.mean(accuracies)) for accuracies in group.values()]
        for (kind, how), group in found.items()
    }
    title = "Accuracy on unseen training images (points: networks, mean over seeds)"
    return rows_of_points(rows, [colors[kind] for kind, _ in found], title)


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    results = stored(path)
    publish(path, draw(results), markdown(results))


EXPERIMENTS, main = script(
    "resbuilder/race_pairs",
    measure_job,
    jobs_of,
    publish_from,
    times={"quick": "minutes on 2 cores", "laptop": "40 minutes on one core"},
    doc=__doc__,
)

if __name__ == "__main__":
    main()
