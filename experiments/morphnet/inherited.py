"""Beyond the thesis: MorphNet with inherited weights, compared with uniformly scaled widths.

::

    python -m experiments.morphnet.inherited --preset quick
    python -m experiments.morphnet.inherited --preset laptop

Chapter 5 trains the network that MorphNet has chosen from scratch. Here it inherits its weights.
The first half of the epochs trains the whole network, with or without MorphNet's term. Then
channels are removed until a given share of the FLOPs remains, and the second half trains the
remaining network. The baseline is the network with all widths scaled by one factor to the same
FLOPs, trained from scratch for all epochs. All share one cosine schedule over all epochs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.measuring import publish, stored
from experiments.morphnet.network import WIDTHS, expanded
from experiments.script import script
from experiments.summary import spread

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

SIDES = {
    "scaled": "widths scaled uniformly",
    "pruned": "pruned, without the term",
    "morphnet": "MorphNet, inherited weights",
}
DATASET = "fashion_mnist"
LEARNING_RATE, BATCH_SIZE = 2e-3, 32
#: λ·term at the start, where the cross-entropy is 2.3.
PULL = 0.3
#: Images from which statistics are recomputed after pruning.
CALIBRATION = 256
# Training and validation images (None: all), epochs, widths, shares of the FLOPs, seeds.
PRESETS = {
    "quick": (600, 2, (8, 16, 64), (0.25,), 1),
    "laptop": (2_400, 10, (16, 32, 128), (0.5, 0.25, 0.1), 3),
    "workstation": (None, 20, WIDTHS, (0.5, 0.25, 0.1, 0.05), 3),
}


def jobs_of(preset: str) -> dict[str, dict]:
    """Return the settings of the jobs by name, one for each method and seed."""
    limit, epochs, widths, shares, seeds = PRESETS[preset]
    return {
        f"{side}_seed{seed}": {
            "dataset": DATASET,
            "limit": limit,
            "side": side,
            "widths": widths,
            "shares": shares,
            "epochs": epochs,
            "seed": seed,
        }
        for seed in range(seeds)
        for side in SIDES
    }


def work(job: dict) -> dict:
    """Do one job; return ``flops`` of the start, and ``networks``, one for each share of them."""
    import keras

    from experiments.morphnet.network import flops, network
    from experiments.morphnet.training import parts
    from resbuilder.morphnet import ChannelGraph, prune

    keras.utils.set_random_seed(job["seed"])
    data = parts(job["dataset"], job["data_dir"], job["limit"])
    whole, half = flops(job["widths"]), job["epochs"] // 2
    budgets = [int(share * whole) for share in job["shares"]]
    networks = []
    if job["side"] != "scaled":
        start = network(job["widths"], normalized=True)
        fit(job, start, data["train"], 0, half, PULL if job["side"] == "morphnet" else 0.0)
    for budget in budgets:
        if job["side"] == "scaled":
            keras.utils.set_random_seed(job["seed"])
            model, first = network(expanded(job["widths"], budget), normalized=True), 0
            before = None
        else:
            images = data["train"][0][:CALIBRATION]
            model, first = prune(start, flops=budget, data=images, verbose=False), half
            before = accuracy(model, data["test"])
        fit(job, model, data["train"], first, job["epochs"])
        widths = tuple(ChannelGraph(model).widths().values())[:-1]
        networks.append(
            {
                "widths": widths,
                "flops": flops(widths),
                "right_after": before,
                "validation": accuracy(model, data["validation"]),
                "test": accuracy(model, data["test"]),
            }
        )
    return {"flops": whole, "networks": networks}


def fit(
    job: dict, model: keras.Model, data: tuple, first: int, last: int, pull: float = 0.0
) -> None:
    """Train from epoch ``first`` to ``last`` of the cosine schedule.

    Args:
        job: Settings, of which ``epochs`` is used: the length of the schedule.
        model: The network.
        data: Images and labels.
        first: Epochs already done.
        last: Epochs done at the end.
        pull: λ·term of MorphNet at the start; with 0, the term is left out.
    """
    import keras

    from resbuilder.morphnet import MorphNetRegularizer
    from resbuilder.training import RegularizedModel
    from resbuilder.training.regularized import NEEDS_JIT

    terms = {}
    if pull:
        morphnet = MorphNetRegularizer(model)
        terms["morphnet"] = morphnet.regularization_term
    trainer = RegularizedModel(model, terms)
    if pull:
        trainer.set_strengths(morphnet=pull / float(morphnet.regularization_term()))
    trainer.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=NEEDS_JIT,
    )

    def rate(epoch: int) -> float:
        return LEARNING_RATE * (1 + np.cos(np.pi * epoch / job["epochs"])) / 2

    trainer.fit(
        *data,
        batch_size=BATCH_SIZE,
        initial_epoch=first,
        epochs=last,
        verbose=0,
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
    )


def accuracy(model: keras.Model, data: tuple) -> float:
    """Return the fraction of images whose largest logit is that of their label."""
    images, labels = data
    return float((model.predict(images, batch_size=500, verbose=0).argmax(1) == labels).mean())


def by_share(results: list[dict]) -> dict[float, dict[str, list[dict]]]:
    """Return the networks of each share of FLOPs and each method, one for each seed."""
    found: dict[float, dict[str, list[dict]]] = {}
    for result in sorted(results, key=lambda r: r["job"]["seed"]):
        for share, network in zip(result["job"]["shares"], result["networks"], strict=True):
            sides = found.setdefault(share, {side: [] for side in SIDES})
            sides[result["job"]["side"]].append(network | {"seed": result["job"]["seed"]})
    return dict(sorted(found.items(), reverse=True))


def lead(sides: dict[str, list[dict]]) -> tuple[float, float] | None:
    """Return MorphNet's lead over uniformly scaled widths, and its standard error over seeds.

    Test accuracies are compared seed by seed. The result is None if fewer than two seeds have both.
    """
    scaled = {n["seed"]: n["test"] for n in sides["scaled"]}
    leads = [n["test"] - scaled[n["seed"]] for n in sides["morphnet"] if n["seed"] in scaled]
    if len(leads) < 2:
        return None
    return float(np.mean(leads)), float(np.std(leads, ddof=1) / np.sqrt(len(leads)))


def sentence(shares: dict[float, dict[str, list[dict]]]) -> str:
    """Return a sentence on the shares at which MorphNet leads by more than two standard errors."""
    leads = {share: found for share, sides in shares.items() if (found := lead(sides))}
    if not leads:
        return "Not measured yet: both methods need two seeds."
    wins = [s for s, (mean, error) in leads.items() if mean > 2 * error]
    losses = [s for s, (mean, error) in leads.items() if mean < -2 * error]
    even = [s for s in leads if s not in wins + losses]

    def at(chosen: list[float]) -> str:
        points = ", ".join(f"{s:.0%} ({100 * leads[s][0]:+.1f} points)" for s in chosen)
        return points.replace("-", "−") or "no share"

    return (
        f"By more than two standard errors, MorphNet with inherited weights is better than "
        f"uniformly scaled widths at {at(wins)} of the FLOPs and worse at {at(losses)}. "
        f"The difference is smaller at {at(even)}."
    )


def markdown(results: list[dict]) -> str:
    """Return the table of test accuracies by share and method, with the lead and a sentence."""
    shares, whole = by_share(results), results[0]["flops"]
    lines = [
        f"| FLOPs | {' | '.join(SIDES.values())} | lead of MorphNet | right after pruning "
        "| budget used (scaled / MorphNet) | widths of MorphNet, seed 0 |",
        "|" + "---|" * (len(SIDES) + 5),
    ]
    for share, sides in shares.items():
        cells = [over_seeds([n["test"] for n in sides[side]]) for side in SIDES]
        found = lead(sides)
        text = found and f"{100 * found[0]:+.1f} ± {100 * found[1]:.1f}".replace("-", "−")
        cells.append(text or "–")
        morphnet = sides["morphnet"]
        cells.append(over_seeds([n["right_after"] for n in morphnet]))
        filled = [filling(sides[side], share * whole) for side in ("scaled", "morphnet")]
        cells.append(" / ".join(filled))
        cells.append("·".join(map(str, morphnet[0]["widths"])) if morphnet else "–")
        lines.append(f"| {share:.0%} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{sentence(shares)}\n"


def filling(networks: list[dict], budget: float) -> str:
    """Return the share of a budget that networks use, in %, averaged over seeds."""
    return f"{np.mean([n['flops'] for n in networks]) / budget:.0%}" if networks else "–"


def over_seeds(values: list[float]) -> str:
    """Return the mean of accuracies in %, their spread, and their number."""
    text = spread(values, 1, 100)
    return f"{text} ({len(values)})" if values else text


def drawn(results: list[dict]) -> Figure:
    """Draw test accuracy over FLOPs for each method: means, and each seed as a point."""
    from resbuilder.common.figures import BLUE, GRAY, ORANGE, styled
    from resbuilder.report.style import new_figure, percent_axis

    shares = by_share(results)
    colors = {"scaled": GRAY, "pruned": ORANGE, "morphnet": BLUE}
    with styled():
        figure = new_figure(4.0)
        axes = figure.subplots()
        for side, label in SIDES.items():
            groups = [(s, [n["test"] for n in sides[side]]) for s, sides in shares.items()]
            groups = [(s, tests) for s, tests in groups if tests]
            means = [np.mean(tests) for _, tests in groups]
            axes.plot([s for s, _ in groups], means, color=colors[side], marker="o", label=label)
            for share, tests in groups:
                axes.plot([share] * len(tests), tests, ".", color=colors[side], alpha=0.5)
        axes.set(
            xscale="log",
            xlabel="FLOPs, as a share of those of the whole network",
            title="Test accuracy (large: mean; small: each seed)",
        )
        axes.set_xticks(list(shares), [f"{s:.0%}" for s in shares])
        axes.minorticks_off()
        percent_axis(axes.yaxis)
        axes.legend()
    return figure


def publish_from(path: Path) -> None:
    """Write the table and the figure next to the results file."""
    results = stored(path)
    publish(path, drawn(results), markdown(results))


EXPERIMENTS, main = script(
    "morphnet/inherited",
    work,
    jobs_of,
    publish_from,
    times={
        "quick": "a minute",
        "laptop": "6 minutes on one core (estimate)",
        "workstation": "10 hours on one core (estimate)",
    },
    doc=__doc__,
)

if __name__ == "__main__":
    main()
