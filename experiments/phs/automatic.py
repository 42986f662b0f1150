"""Beyond the thesis: how the constants of automatic braking were chosen, on 10,000 images.

All rules explore with the same heavy ball: SGD's rate 0.003 and momentum 0.99. Validation accuracy
on Fashion-MNIST made the choice; CIFAR-10 was not used. The chosen patience, factor and stages are
the defaults of ``GoalOrientedBraking(target="auto")``. The watched quantity is not: that default is
the validation loss. ``experiments.phs.alternatives`` measures the chosen rule on all images of both
datasets. The baseline is SGD with cosine decay, which knows its 30 epochs.

::

    python -m experiments.phs.automatic --preset quick
    python -m experiments.phs.automatic --preset thesis
"""

from __future__ import annotations

from pathlib import Path

from experiments.measuring import publish, stored
from experiments.script import script

LOSS, ACCURACY = "val_loss", "val_accuracy"
# Rule: watched quantity, patience, factor, stages.
RULES = {
    "accuracy, patience 4, ×10 twice": (ACCURACY, 4, 10.0, 2),
    "loss, patience 4, ×10 twice": (LOSS, 4, 10.0, 2),
    "accuracy, patience 2, ×10 twice": (ACCURACY, 2, 10.0, 2),
    "accuracy, patience 6, ×10 twice": (ACCURACY, 6, 10.0, 2),
    "accuracy, patience 4, ×10 once": (ACCURACY, 4, 10.0, 1),
    "accuracy, patience 4, ×3 four times": (ACCURACY, 4, 3.0, 4),
}
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
        for rule, values in RULES.items():
            braking = dict(zip(("validation", "patience", "factor", "stages"), values, strict=True))
            name = "_".join(
                f"{value:g}" if value not in (LOSS, ACCURACY) else value for value in values
            )
            jobs[f"{name}_seed{seed}"] = common | {
                "rule": rule,
                "learning_rate": 0.003,
                "momentum": 0.99,
                "epochs": most,
                "braking": braking,
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
    times={"quick": "minutes on 2 cores", "thesis": "10 minutes on one core"},
    doc=__doc__,
)

if __name__ == "__main__":
    main()
