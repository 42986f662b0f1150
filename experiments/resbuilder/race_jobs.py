"""What the comparison of a race with hand-made networks trains: presets, kinds and jobs."""

from __future__ import annotations

from experiments.jobs import seed_of
from experiments.resbuilder.columns import FROM_SCRATCH, column_job
from experiments.resbuilder.dataset_table import PRESETS as TABLE_PRESETS
from resbuilder.config import CONTENDERS

DATASETS = ("mnist", "fashion_mnist", "cifar10")
# Learning rates tried for T/3 epochs. At the workstation preset 0.03 is the highest: only ResNet-20
# on CIFAR-10 is best at it there, and it is far behind the others.
RATES = {"laptop": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)}
RATES |= dict.fromkeys(("quick", "workstation"), RATES["laptop"][:4])
# Seeds, and settings of SearchConfig.
PRESETS = {
    "quick": ((10,), {"total_epochs": 12, "train_limit": 600, "flops": 1.5e6}),
    "laptop": ((10, 11, 12), {"total_epochs": 42, "train_limit": 5_000, "flops": 4e6}),
    "workstation": ((10, 11, 12), {"total_epochs": 20, "train_limit": None, "flops": 4e6}),
}
SEEDS = {preset: len(seeds) for preset, (seeds, _) in PRESETS.items()}
HAND_MADE = "hand-made"
RACE, THIRD, SCRATCH = "race", "best of three, T/3 epochs each", "the winner from scratch"
PAIR, PAIRED = "two hand-made side by side", ("rb-r18", "rb-r18-small")
# Hand-made networks that are trained for all epochs at the workstation preset.
FINALISTS = 2
# Learning rates of a hand-made network that are tried for all epochs at the other presets.
RATES_IN_FULL = 2
THESIS = "the thesis' search (RB-R18)"
# Those of Table 6.1; 21 trainings of one epoch at the workstation preset.
THESIS_SETTINGS = {
    "quick": TABLE_PRESETS["quick"][1],
    "workstation": TABLE_PRESETS["laptop"][1] | {"epochs": 1, "train_limit": None},
}


def rate_jobs(dataset: str, preset: str) -> dict[str, dict]:
    """Return the trainings that choose learning rates, by name."""
    seeds, settings = PRESETS[preset]
    epochs = settings["total_epochs"] // 3
    return dict(
        hand_made_job(network, epochs, rate, settings | {"dataset": dataset, "seed": seeds[0]})
        for network in CONTENDERS
        for rate in RATES[preset]
    )


def ranked_rates(results: list[dict]) -> dict[str, list[float]]:
    """Return the learning rates tried for each hand-made network, by validation accuracy.

    Args:
        results: Results that include the trainings of T/3 epochs of the first seed.

    Returns:
        Rates by network, the best first; the network with the highest validation accuracy first.
    """
    seed = min(seed_of(r["job"]) for r in results)
    tried = [r for r in results if r["job"]["kind"] == HAND_MADE and seed_of(r["job"]) == seed]
    fewest = min(r["job"]["epochs"] for r in tried)
    short = [r for r in tried if r["job"]["epochs"] == fewest]
    rates: dict[str, list[float]] = {}
    for r in sorted(short, key=lambda r: -r["validation"]):
        rates.setdefault(r["job"]["network"], []).append(r["job"]["settings"]["learning_rate"])
    return rates


def jobs_of(dataset: str, preset: str, seed: int, rates: dict[str, list[float]]) -> dict[str, dict]:
    """Return all jobs of a seed by name: first the race, then trainings of T and of T/3 epochs.

    Args:
        dataset: Name of the dataset.
        preset: A key of :data:`PRESETS`.
        seed: Seed of the images, the race and the trainings.
        rates: Learning rates of the hand-made networks, see :func:`ranked_rates`.
    """
    settings = PRESETS[preset][1] | {"dataset": dataset, "seed": seed}
    total = settings["total_epochs"]
    race = {"kind": RACE, "settings": settings | {"method": "race"}}
    if preset == "workstation":
        jobs = {f"race_seed{seed}": race | {"from_scratch": False}}
        for network, (rate, *_) in list(rates.items())[:FINALISTS]:
            jobs |= [hand_made_job(network, total, rate, settings)]
    else:
        jobs = {f"race_seed{seed}": race}
        for network, (best, *others) in rates.items():
            for rate in (best, *others)[:RATES_IN_FULL]:
                jobs |= [hand_made_job(network, total, rate, settings)]
            jobs |= [hand_made_job(network, total // 3, best, settings)]
        halves = settings | {"flops": settings["flops"] / len(PAIRED)}
        trunks = [hand_made_job(n, total, rates[n][0], halves)[1] for n in PAIRED]
        jobs[f"pair_seed{seed}"] = race | {"kind": PAIR, "trunks": trunks}
    if preset in THESIS_SETTINGS and seed == PRESETS[preset][0][0]:
        given = THESIS_SETTINGS[preset] | {"dataset": dataset, "seed": seed}
        thesis = column_job("rb-r18", given, scaled=True)
        jobs[f"thesis_seed{seed}"] = thesis | {"kind": THESIS, FROM_SCRATCH: 0}
    return jobs


def hand_made_job(network: str, epochs: int, rate: float, settings: dict) -> tuple[str, dict]:
    """Return the name and the settings of the training of a hand-made network."""
    given = settings | {"method": "race", "contenders": network, "learning_rate": rate}
    job = {"kind": HAND_MADE, "network": network, "epochs": epochs, "settings": given}
    return f"{network}_{epochs}_epochs_{rate:g}_seed{settings['seed']}", job
