"""The studies of chapter 6 vary one aspect, share equal searches, and count correctly."""

import json

import keras
import pytest

from experiments.jobs import write
from experiments.measuring import stored
from experiments.resbuilder.columns import FROM_SCRATCH
from experiments.resbuilder.studies import (
    budget,
    insert_init,
    long_run,
    momentum,
    removal_cost,
)
from experiments.resbuilder.studies import removal_positions as positions
from experiments.resbuilder.studies.all import STUDIES
from experiments.resbuilder.studies.searches import measure_variant
from experiments.resbuilder.studies.study import SIZES
from experiments.resbuilder.studies.tables import compared, compared_networks, table, values
from resbuilder import SearchConfig
from resbuilder.datasets import load
from resbuilder.run import EvaluationEvent, RemovalEvent, TrainingEvent, read_journal
from resbuilder.start_network import start_architecture

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the experiments run on TensorFlow"
)


TRAINED = ("round", "flops", "validation", "test")


def result(variant="a", seed=0, test=None, epochs=2, scratch=(), trained=(), **settings):
    """Return the parts of a job's result that tables read."""
    found = test and {"test": test, "validation": test, "epochs": epochs, "network": "#1"}
    settings = {"seed": seed, "flops": 100.0, "rounds": 2} | settings
    return {
        "job": {"variant": variant, "settings": settings},
        "searched": {"found": found},
        "architecture": "…",
        FROM_SCRATCH: [{"epochs": e, "test": t} for e, t in scratch],
        "trained": [dict(zip(TRAINED, t, strict=True)) for t in trained],
    }


@pytest.mark.parametrize("preset", SIZES)
def test_the_settings_of_every_job_are_valid_and_equal_searches_are_shared(preset):
    by_folder, jobs = {}, [job for study in STUDIES for job in study.jobs(preset).values()]
    for job in jobs:
        config = SearchConfig.from_mapping(job["settings"])
        if preset == "quick":
            assert start_architecture(config, load("digits")).classes == 10
        key = (job["column"], job["settings"]["seed"])
        assert by_folder.setdefault(key, job["settings"]) == job["settings"]
        assert "." not in job["column"]
    distinct = {json.dumps(settings, sort_keys=True) for settings in by_folder.values()}
    assert len(distinct) == len(by_folder) < len(jobs)


def test_the_first_variant_is_the_thesis_method_and_the_others_differ_in_one_aspect():
    for study in STUDIES:
        first, *others = study.variants(SIZES["laptop"]).values()
        assert first in ({}, {"rounds": 5})
        assert all(others) and len({str(o) for o in others}) == len(others)
    thesis = SearchConfig(dataset="cifar10")
    for name, value in SIZES["thesis"].items():
        assert getattr(thesis, name) == value


def test_differences_are_taken_seed_by_seed():
    groups = {
        "a": [result("a", 0, 0.5), result("a", 1, 0.7)],
        "b": [result("b", 1, 0.72), result("b", 0, 0.51)],
        "c": [result("c", 0, 0.4), result("c", 1, 0.9)],
        "d": [result("d", 0, None), result("d", 1, 0.6)],
    }
    assert compared(groups) == (
        "b +1.50 points (in both seeds), c +5.00 points (seeds disagree), "
        "d −10.00 points (one seed)"
    )


def test_unequal_epochs_behind_the_networks_found_are_named():
    def groups(*epochs):
        one, other = ([result("", seed, 0.5, epochs=n) for seed, n in enumerate(e)] for e in epochs)
        return {"a": one, "b": other}

    assert compared_networks(groups((8, 4), (8, 4))) == "b no difference"
    text = compared_networks(groups((8, 8), (8, 2)))
    assert text.endswith("unequal numbers of epochs behind them, by seed (a 8, 8; b 8, 2)")


def test_a_search_is_compared_with_resnet_20_at_the_epochs_of_its_weights():
    curve = [(2, 0.5), (4, 0.6), (6, 0.7)]
    groups = {
        "thesis": [result("thesis", 0, 0.63, epochs=4, scratch=[(2, 0.4), (4, 0.5), (6, 0.6)])],
        "ResNet-20": [result("ResNet-20", 0, None, scratch=curve)],
    }
    assert "thesis: +3.00 points (one seed) as found, −10.00 points (one seed)" in budget.answer(
        groups
    )
    assert values(groups["ResNet-20"], budget.SCRATCH) == [70.0]
    # Searches that found nothing have no line.
    groups["share"] = [result("share"), result("share", 1, 0.5, scratch=curve)]
    groups["inherit"] = [result("inherit")]
    lines = {
        line.get_label(): line.get_xydata().tolist() for line in budget.draw(groups).axes[0].lines
    }
    assert lines["share"] == [list(point) for point in curve] and "inherit" not in lines


def test_the_best_so_far_is_within_the_budget_and_chosen_on_validation_data():
    trained = [
        *((0, 50, 0.5, 0.49), (0, 200, 0.9, 0.9), (0, 60, 0.4, 0.6)),
        *((1, 100, 0.45, 0.7), (2, 100, 0.55, 0.54), (2, 101, 0.8, 0.8)),
    ]
    groups = {"2 rounds": [result(trained=trained)]}
    assert long_run.best_by_round(groups["2 rounds"][0]) == [0.49, 0.49, 0.54]
    answer = long_run.answer(groups)
    assert "2 rounds: 49.0, 49.0, 54.0; last step with a new best network, by seed: 2." in answer


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return the searches of the momentum study, short, on digits, and with certain removals."""
    folder = tmp_path_factory.mktemp("studies")
    small = {"train_limit": 200, "batch_size": 40, "tau_layer": 0.5, "tau_momentum": -1.0}
    results = {}
    for name, job in momentum.STUDY.jobs("quick").items():
        job = job | {"settings": job["settings"] | small, "data_dir": None}
        results[name] = {"job": job} | measure_variant(job, folder / "searches")
    write(folder / "momentum.json", results)
    return folder


@pytest.mark.slow
def test_a_study_agrees_with_the_journal_of_its_search(measured):
    off = stored(measured / "momentum.json")[1]
    journal = measured / "searches" / "momentum=False_seed0" / "journal.jsonl"
    events = [entry.event for entry in read_journal(journal)[0]]
    judged = [e for e in events if isinstance(e, RemovalEvent)]
    gains = [e.gain for e in judged if e.gain is not None]
    assert [i["end"] for i in off["insertions"]] == pytest.approx(gains, abs=1e-4)
    removed = sum(len(e.removed) for e in judged)
    assert removed == 1 == len([r for r in off["removals"] if r["by"] == "LayerLasso"])
    (after,) = (e.validation.accuracy for e in events if isinstance(e, EvaluationEvent))
    accuracies = {
        (e.index, e.variant): e.validation.accuracy for e in events if isinstance(e, TrainingEvent)
    }
    before = accuracies[1, "with_reg"]
    assert removal_cost.COST.read(off) == pytest.approx(100 * (before - after), abs=1e-2)
    leaves = max(accuracies[0, "no_reg_wi"], accuracies[0, "no_reg_ri"])
    assert off["trained"][0]["validation"] == pytest.approx(leaves, abs=1e-4)
    assert [t["round"] for t in off["trained"]] == [0, 0, 1]


@pytest.mark.slow
def test_momentum_keeps_blocks_that_would_be_removed(measured):
    groups = {r["job"]["variant"]: [r] for r in stored(measured / "momentum.json")}
    on, off = groups.values()
    assert values(on, momentum.KEPT) == [1] and values(off, momentum.KEPT) == [0]
    assert values(on, momentum.REMOVED) == [0] and values(off, momentum.REMOVED) == [1]
    stage = off[0]["insertions"][0]["stage"]
    counts = positions.fates([*on, *off])
    assert counts["removed by LayerLasso"] == {stage: 1} and counts[positions.THERE].total() == 2


@pytest.mark.slow
def test_a_search_that_two_studies_share_is_done_once(measured):
    job = stored(measured / "momentum.json")[0]["job"]
    journal = measured / "searches" / "thesis_seed0" / "journal.jsonl"
    before = journal.stat().st_mtime_ns
    measure_variant(job, measured / "searches")
    assert journal.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "study", [momentum.STUDY, positions.STUDY, insert_init.STUDY, removal_cost.STUDY]
)
@pytest.mark.slow
def test_page_and_figure_come_from_the_stored_results_alone(study, measured, tmp_path):
    path = tmp_path / f"{study.name}.json"
    path.write_bytes((measured / "momentum.json").read_bytes())
    study.publish_from(path)
    page = path.with_suffix(".md").read_text()
    assert page.startswith(f"# {study.question}\n") and f"]({study.name}.png)" in page
    groups = {r["job"]["variant"]: [r] for r in stored(path)}
    assert study.answer(groups) in page and table(groups, study.columns) in page
    assert path.with_suffix(".png").stat().st_size > 10_000
    study.publish_from(path)
    assert path.with_suffix(".md").read_text() == page
