"""A race compared with hand-made networks and Hyperband: jobs, chosen rates and tables."""

import json

import numpy as np
import pytest

from experiments.resbuilder import anytime, race, race_anytime, race_jobs, race_table
from experiments.resbuilder.columns import trainings
from resbuilder import SearchConfig, cost
from resbuilder.config import CONTENDERS
from resbuilder.race import candidates
from resbuilder.training import TrainingData


def done(job, validation, test, **more):
    about = {"architecture": "", "flops": 4e6, "parameters": 1, "seconds": 10.0}
    epochs = {"epochs": job.get("epochs", 30)}
    return {"job": job, "validation": validation, "test": test} | about | epochs | more


@pytest.fixture
def results():
    """Return results of one seed: 3e-3 is best for ResNet-20, 1e-3 for the others."""
    tried = race_jobs.rate_jobs("cifar10", "laptop")
    best = {"resnet-20": 3e-3, "rb-r18": 1e-3, "rb-r18-small": 1e-3}
    found = {}
    for name, job in tried.items():
        good = job["settings"]["learning_rate"] == best[job["network"]]
        found[name] = done(job, 0.5 if good else 0.4, 0.45)
    rates = race_jobs.ranked_rates(list(found.values()))
    assert {network: ranked[0] for network, ranked in rates.items()} == best
    whole = {"resnet-20": 0.60, "rb-r18": 0.62, "rb-r18-small": 0.64}
    for name, job in race_jobs.jobs_of("cifar10", "laptop", 10, rates).items():
        if job["kind"] == race_jobs.RACE:
            scratch = {"scratch_validation": 0.6, "scratch_test": 0.67, "label": "s1p+ 0111"}
            found[name] = done(job, 0.66, 0.66, **scratch)
        elif job["kind"] == race_jobs.PAIR:
            found[name] = done(job, 0.65, 0.65)
        elif job["epochs"] == 42:
            found[name] = done(job, whole[job["network"]], whole[job["network"]])
    return list(found.values())


def test_the_trunks_of_the_hand_made_pair_share_the_budget():
    job = race_jobs.jobs_of("cifar10", "laptop", 10, dict.fromkeys(CONTENDERS, [3e-3]))[
        "pair_seed10"
    ]
    assert [trunk["settings"]["flops"] for trunk in job["trunks"]] == [2e6, 2e6]
    assert job["settings"]["flops"] == 4e6


@pytest.mark.parametrize("preset", race_jobs.PRESETS)
def test_a_search_accepts_every_job_and_no_seed_was_seen_during_the_design(preset):
    rates = dict.fromkeys(CONTENDERS, [3e-3])
    jobs = race_jobs.rate_jobs("cifar10", preset)
    for seed in race_jobs.PRESETS[preset][0]:
        jobs |= race_jobs.jobs_of("cifar10", preset, seed, rates)
    trunks = [trunk for job in jobs.values() for trunk in job.get("trunks", ())]
    configs = [SearchConfig(**job["settings"]) for job in (*jobs.values(), *trunks)]
    methods = [c.method for c in configs]
    # The thesis' search runs once, where Table 6.1 does not have it at the same cost.
    assert methods.count("thesis") == (preset != "laptop")
    assert set(methods) <= {"race", "thesis"}
    assert not {c.seed for c in configs} & {0, 1, 3}


def test_the_table_shows_the_lead_of_the_race_over_each_row(results):
    text = race_table.markdown(results)
    assert "| race | 66.00" in text and "| rb-r18-small | 64.00" in text
    row = next(line for line in text.splitlines() if line.startswith("| rb-r18-small"))
    assert "+2.00" in row
    pair = next(line for line in text.splitlines() if line.startswith(f"| {race_jobs.PAIR}"))
    assert "65.00" in pair and "+1.00" in pair
    assert "hand-made network that is best on test data, by seed: +2.00 points." in text
    scratch = next(line for line in text.splitlines() if line.startswith(f"| {race_jobs.SCRATCH}"))
    assert "67.00" in scratch and "-1.00" in scratch
    third = next(line for line in text.splitlines() if line.startswith(f"| {race_jobs.THIRD}"))
    assert "45.00" in third and "| 30 |" in third  # three trainings of 10 s
    assert len(race_table.draw(results).axes[0].lines) == 2 * len(race_table.rows(results))


def test_a_hand_made_network_is_shown_at_the_rate_that_is_better_after_all_epochs(results):
    first, second = race_jobs.ranked_rates(results)["rb-r18-small"][:2]
    for r in results:
        job = r["job"]
        if job.get("network") == "rb-r18-small" and job["epochs"] == 42:
            r["validation"] += 0.01 * (job["settings"]["learning_rate"] == second)
    assert race_table.final_rates(results)["rb-r18-small"] == second
    assert f"rb-r18-small {second:g} and {first:g}" in race_table.markdown(results)
    # A rate counts once it is measured with as many seeds as the others.
    _, job = race_jobs.hand_made_job(
        "rb-r18-small", 42, first, race_jobs.PRESETS["laptop"][1] | {"seed": 11}
    )
    assert race_table.final_rates([*results, done(job, 0.1, 0.1)])["rb-r18-small"] == first


def test_before_the_first_race_there_is_no_table(results, tmp_path):
    rates = [r for r in results if r["job"]["kind"] == race_jobs.HAND_MADE]
    (tmp_path / "race.json").write_text(json.dumps(dict(enumerate(rates))))
    race.publish_from(tmp_path / "race.json")
    assert [path.name for path in tmp_path.iterdir()] == ["race.json"]


def test_the_other_methods_choose_among_the_candidates_of_the_race():
    from experiments.resbuilder.race_followed import space_of

    config = SearchConfig(dataset="digits", method="race", flops=3e5)
    data = TrainingData.load(config.resolved())
    space = space_of(config, data)
    assert list(space) == [c.label for c in candidates((8, 8, 1), 10, 3e5)]
    assert all(0.9 * 3e5 < cost(network).flops <= 3e5 for network in space.values())


def test_the_thesis_search_costs_as_many_epochs_as_the_race():
    jobs = race_jobs.jobs_of("cifar10", "workstation", 10, dict.fromkeys(CONTENDERS, [3e-3]))
    settings = SearchConfig(**jobs["thesis_seed10"]["settings"])
    total = jobs["race_seed10"]["settings"]["total_epochs"]
    epochs = settings.epochs * trainings(settings.rounds, settings.insertions)
    assert total <= epochs <= total + 1
    assert settings.flops == jobs["race_seed10"]["settings"]["flops"]


def test_on_all_images_only_the_two_best_hand_made_networks_get_all_epochs():
    reached = {"resnet-20": 0.5, "rb-r18": 0.4, "rb-r18-small": 0.6}
    tried = race_jobs.rate_jobs("cifar10", "workstation").values()
    rates = race_jobs.ranked_rates([done(job, reached[job["network"]], 0.1) for job in tried])
    jobs = race_jobs.jobs_of("cifar10", "workstation", 11, rates)
    rivals = [(j["network"], j["epochs"]) for j in jobs.values() if "network" in j]
    assert rivals == [("rb-r18-small", 20), ("resnet-20", 20)]
    assert len(jobs) == 3 and jobs["race_seed11"]["from_scratch"] is False


def test_a_row_of_the_thesis_search_is_in_the_table(results):
    job = {"kind": race_jobs.THESIS, "settings": {"seed": 10}}
    text = race_table.markdown([*results, done(job, 0.5, 0.48)])
    row = next(line for line in text.splitlines() if line.startswith(f"| {race_jobs.THESIS}"))
    assert "48.00" in row and "+18.00" in row


def test_over_time_the_best_network_on_validation_images_counts():
    settings = race_jobs.PRESETS["quick"][1] | {"dataset": "cifar10", "seed": 10}
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


def test_random_search_draws_until_its_time_is_up_and_pairs_share_the_budget(monkeypatch):
    from experiments.resbuilder import race_followed

    config = SearchConfig(
        dataset="digits", method="race", flops=3e5, total_epochs=3, train_limit=100
    ).resolved()
    data = TrainingData.load(config)
    drawn, known = [], {}

    def noted(architecture, *arguments):
        """Train a network, if it is drawn for the first time."""
        drawn.append(architecture)
        if (name := str(architecture)) not in known:
            known[name] = trained(architecture, *arguments)
        return known[name]

    trained = race_followed.trained
    monkeypatch.setattr(race_followed, "trained", noted)
    monkeypatch.setattr(race_followed.Clock, "seconds", lambda clock: len(drawn))  # one each
    found = race_followed.random_search(config, data, 4)  # The space has only four networks.
    assert len(found["networks"]) == len(drawn) == 5
    assert len(known) < 5
    assert all(0.9 * 3e5 < cost(network).flops <= 3e5 for network in drawn)
    drawn.clear()
    found = race_followed.random_pairs(config, data, 1)
    assert len(drawn) == 2 and len(found["networks"]) == 1
    assert all(0.4 * 3e5 < cost(network).flops <= 1.5e5 for network in drawn)
    assert 0 < found["networks"][-1]["test"] <= 1


def test_hyperband_draws_networks_with_replacement(tmp_path):
    from experiments.resbuilder.race_followed import oracle_of

    oracle = oracle_of(["a", "b"], SearchConfig(dataset="digits", method="race", total_epochs=42))
    oracle._set_project_dir(str(tmp_path), "hyperband")
    drawn = [oracle.create_trial(f"tuner {n}") for n in range(9)]
    assert {trial.status for trial in drawn} == {"RUNNING"}
    assert {trial.hyperparameters.values["network"] for trial in drawn} == {"a", "b"}
    assert len({trial.hyperparameters.values["seed"] for trial in drawn}) == 9
