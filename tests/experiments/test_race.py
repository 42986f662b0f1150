"""A race compared with hand-made networks and Hyperband: jobs, chosen rates and tables."""

import numpy as np
import pytest

from experiments.resbuilder import anytime, race, race_anytime
from resbuilder import SearchConfig
from resbuilder.config import CONTENDERS


def done(job, validation, test, **more):
    about = {"architecture": "", "flops": 4e6, "parameters": 1, "seconds": 10.0}
    epochs = {"epochs": job.get("epochs", 30)}
    return {"job": job, "validation": validation, "test": test} | about | epochs | more


@pytest.fixture
def results():
    """Return results of one seed: 3e-3 is best for ResNet-20, 1e-3 for the others."""
    tried = race.rate_jobs("cifar10", "laptop")
    best = {"resnet-20": 3e-3, "rb-r18": 1e-3, "rb-r18-small": 1e-3}
    found = {}
    for name, job in tried.items():
        good = job["settings"]["learning_rate"] == best[job["network"]]
        found[name] = done(job, 0.5 if good else 0.4, 0.45)
    rates = race.chosen_rates(list(found.values()))
    assert rates == best
    whole = {"resnet-20": 0.60, "rb-r18": 0.62, "rb-r18-small": 0.64}
    for name, job in race.jobs_of("cifar10", "laptop", 10, rates).items():
        if job["kind"] == race.RACE:
            scratch = {"scratch_validation": 0.6, "scratch_test": 0.67, "label": "s1p+ 0111"}
            found[name] = done(job, 0.66, 0.66, **scratch)
        elif job["kind"] == race.PAIR:
            found[name] = done(job, 0.65, 0.65)
        elif job["epochs"] == 42:
            found[name] = done(job, whole[job["network"]], whole[job["network"]])
    return list(found.values())


def test_the_trunks_of_the_hand_made_pair_share_the_budget():
    job = race.jobs_of("cifar10", "laptop", 10, dict.fromkeys(CONTENDERS, 3e-3))["pair_seed10"]
    assert [trunk["settings"]["flops"] for trunk in job["trunks"]] == [2e6, 2e6]
    assert job["settings"]["flops"] == 4e6


@pytest.mark.parametrize("preset", race.PRESETS)
def test_a_search_accepts_every_job_and_no_seed_was_seen_during_the_design(preset):
    rates = dict.fromkeys(CONTENDERS, 3e-3)
    jobs = race.rate_jobs("cifar10", preset)
    for seed in race.PRESETS[preset][0]:
        jobs |= race.jobs_of("cifar10", preset, seed, rates)
    trunks = [trunk for job in jobs.values() for trunk in job.get("trunks", ())]
    configs = [SearchConfig(**job["settings"]) for job in (*jobs.values(), *trunks)]
    assert {c.method for c in configs} == {"race"}
    assert not {c.seed for c in configs} & {0, 1, 3}


def test_the_table_shows_the_lead_of_the_race_over_each_row(results):
    text = race.markdown(results)
    assert "| race | 66.00" in text and "| rb-r18-small | 64.00" in text
    row = next(line for line in text.splitlines() if line.startswith("| rb-r18-small"))
    assert "+2.00" in row
    pair = next(line for line in text.splitlines() if line.startswith(f"| {race.PAIR}"))
    assert "65.00" in pair and "+1.00" in pair
    assert "hand-made network that is best on test data, by seed: +2.00 points." in text
    scratch = next(line for line in text.splitlines() if line.startswith(f"| {race.SCRATCH}"))
    assert "67.00" in scratch and "-1.00" in scratch
    third = next(line for line in text.splitlines() if line.startswith(f"| {race.THIRD}"))
    assert "45.00" in third and "| 30 |" in third  # three trainings of 10 s
    assert len(race.draw(results).axes[0].lines) == 2 * len(race.rows(results))


def test_over_time_the_best_network_on_validation_images_counts():
    settings = race.PRESETS["quick"][1] | {"dataset": "cifar10", "seed": 10}
    networks = [(10, 0.4, 0.5), (50, 0.3, 0.9), (60, 0.6, 0.7)]
    result = {
        "networks": [{"seconds": s, "validation": v, "test": t} for s, v, t in networks],
        "seconds": 100.0,
    }
    results = [result | {"job": {"method": m, "settings": settings}} for m in race_anytime.METHODS]
    times, found = race_anytime.curves(results)
    curve = found["race"][0]
    assert np.isnan(curve[times < 10]).all()
    assert set(curve[(times >= 10) & (times < 60)]) == {0.5} and set(curve[times >= 60]) == {0.7}
    assert "is above Hyperband for 0% of the rest" in race_anytime.markdown(results)
    anytime.draw(times, found)
