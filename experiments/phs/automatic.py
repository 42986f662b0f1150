"""Beyond the thesis: how the constants of automatic braking were chosen, on 10,000 images.

All rules explore with a heavy ball whose long-run step is 0.3, that is with SGD's rate 0.3·(1 − μ)
and momentum μ. Without another factor, the last braking ends in plain gradient descent. Validation
accuracy on Fashion-MNIST makes the choice; CIFAR-10 is not used. The chosen patience, factor and
stages are the defaults of ``GoalOrientedBraking(target="auto")``. The watched quantity is not: that
default is the validation loss. ``experiments.phs.alternatives`` measures the chosen rule on all
images of both datasets. The baseline is SGD with cosine decay, which knows its 30 epochs.

::

    python -m experiments.phs.automatic --preset quick
    python -m experiments.phs.automatic --preset thesis
"""

from __future__ import annotations

from pathlib import Path

from experiments.measuring import publish, stored
from experiments.script import script

LOSS, ACCURACY = "val_loss", "val_accuracy"
# Rule: momentum, watched quantity, patience, factor (None: the default), stages.
RULES = {
    "momentum 0.9, twice": (0.9, ACCURACY, 4, None, 2),
    "momentum 0.95, twice": (0.95, ACCURACY, 4, None, 2),
    "momentum 0.97, twice": (0.97, ACCURACY, 4, None, 2),
    "momentum 0.95, once": (0.95, ACCURACY, 4, None, 1),
    "momentum 0.95, twice, patience 3": (0.95, ACCURACY, 3, None, 2),
    "momentum 0.95, twice, watching the loss": (0.95, LOSS, 4, None, 2),
    "momentum 0.99, ×10 twice": (0.99, ACCURACY, 4, 10.0, 2),
    "momentum 0.99, ×10 twice, watching the loss": (0.99, LOSS, 4, 10.0, 2),
    "momentum 0.99, ×10 twice, patience 2": (0.99, ACCURACY, 2, 10.0, 2),
    "momentum 0.99, ×10 twice, patience 6": (0.99, ACCURACY, 6, 10.0, 2),
    "momentum 0.99, ×10 once": (0.99, ACCURACY, 4, 10.0, 1),
    "momentum 0.99, ×3 four times": (0.99, ACCURACY, 4, 3.0, 4),
}
LONG_RUN_STEP = 0.3
BASELINE = "SGD, cosine"
# Training images, most epochs, epochs of the baseline, seeds.
PRESETS = {"quick": (2_000, 12, 6, 1), "thesis": (10_000, 120, 30, 2)}


def rule_jobs(preset: str) -> dict[str, dict]:
    """Return the settings of the trainings by name, first all rules with the first seed."""
    limit, most, epochs, seeds = PRESETS[preset]
    jobs = {}
    for seed in range(seeds):
        common = {"dataset": "fashion_mnist", "limit": limit, "seed": seed, "batch_size": 128}
        sgd = {"optimizer": "sgd", "schedule": "cosine", "learning_rate": 0.03, "momentum": 0.9}
        jobs[f"cosine_seed{seed}"] = common | sgd | {"rule": BASELINE, "epochs": epochs}
        for rule, (momentum, validation, patience, factor, stages) in RULES.items():
            braking = {"validation": validation, "patience": patience, "stages": stages}
            given = {} if factor is None else {"factor": factor}
            by = "even" if factor is None else f"{factor:g}"
            name = f"{momentum:g}_{validation}_{patience}_{by}_{stages}"
            jobs[f"{name}_seed{seed}"] = common | {
                "rule": rule,
                "learning_rate": round(LONG_RUN_STEP * (1 - momentum), 6),
                "momentum": momentum,
                "epochs": most,
                "braking": braking | given,
            }
    return jobs


def work(job: dict) -> dict:
    """Do one job of either kind."""
    from experiments.phs.trainings import with_automatic_braking, with_other_optimizer

    return with_other_optimizer(job) if "optimizer" in job else with_automatic_braking(job)


# The columns of :func:`rules_table`.
COLUMNS = {
    "validation, test": "accuracy in %, mean ± standard deviation, of the weights that a training "
    "ends with: for the rules, those that were best on validation data",
    "test, best epoch by validation": "test accuracy after the epoch with the best validation "
    "accuracy",
    "brakes in epochs, epochs": "when it brakes, and how long it trains, for each seed",
    "seeds": "number of trainings",
}


def rules_table(groups: dict[str, list[dict]]) -> str:
    """Return the table of rules: accuracies in percent, and the epochs they took."""
    from experiments.phs.summary import accuracies, final_accuracy
    from experiments.summary import percent_spread

    lines = [
        "| rule | validation | test | test, best epoch by validation | brakes in epochs | epochs "
        "| seeds |",
        "|---" * 7 + "|",
    ]
    for rule, results in groups.items():
        validation = [
            r["final"]["validation"] if "final" in r else r["history"][-1]["val_accuracy"]
            for r in results
        ]
        brakes = [
            " and ".join(str(e["epoch"] + 1) for e in r["events"] if e["action"] == "brake") or "–"
            for r in results
            if "events" in r
        ]
        chosen = [accuracies(r["history"])["by_validation"] for r in results]
        epochs = [str(r["history"][-1]["epoch"]) for r in results]
        lines.append(
            f"| {rule} | {percent_spread(validation)} "
            f"| {percent_spread([final_accuracy(r) for r in results])} "
            f"| {percent_spread(chosen)} "
            f"| {'; '.join(brakes)} | {'; '.join(epochs)} | {len(results)} |"
        )
    return "\n".join(lines) + "\n"


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    from experiments.phs import figures
    from experiments.phs.summary import page

    groups: dict[str, list[dict]] = {}
    for result in stored(path):
        groups.setdefault(result["job"]["rule"], []).append(result)
    text = page(
        "Constants of automatic braking: LeNet on 10,000 images of Fashion-MNIST",
        "Validation accuracy made the choice.",
        COLUMNS,
        rules_table(groups),
    )
    publish(path, figures.methods(groups), text)


EXPERIMENTS, main = script(
    "phs/automatic",
    work,
    rule_jobs,
    publish_from,
    times={"quick": "minutes on 2 cores", "thesis": "10 minutes on one core with AVX-512"},
    doc=__doc__,
)

if __name__ == "__main__":
    main()
