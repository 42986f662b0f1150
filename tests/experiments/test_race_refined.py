"""A race whose winners are refined: jobs, the variants, and the table."""

import io

import pytest
from rich.console import Console

from experiments.resbuilder import race_refined
from resbuilder import SearchConfig, cost


@pytest.mark.parametrize("preset", race_refined.PRESETS)
def test_a_search_accepts_every_job(preset):
    jobs = race_refined.jobs_of(preset)
    assert {SearchConfig(**job["settings"]).method for job in jobs.values()} == {"race"}
    assert sum(job["kind"] == race_refined.RACE for job in jobs.values()) == 1


def test_the_table_shows_what_remained_and_the_figure_each_network():
    moves = [
        {
            "label": "s2p+ 011",
            "epochs": 2,
            "losses": {"unchanged": 0.9, "inserted": 0.8},
            "architectures": {"unchanged": "A", "inserted": "B"},
        }
    ]
    results = [
        {"job": job, "test": 0.6}
        | {"race": {"test": 0.65}, "refined": {"test": 0.66, "moves": moves}}
        for job in race_refined.jobs_of("workstation").values()
    ]
    text = race_refined.markdown(results)
    assert "| race, refined | 66.00 |" in text and "| rb-r18 | 60.00 |" in text
    assert "| s2p+ 011 | 0.9000 | 0.8000 |" in text and "- s2p+ 011, inserted: `B`" in text
    assert len(race_refined.draw(results).axes[0].lines) == 4


@pytest.mark.slow
def test_refined_candidates_fill_no_more_than_their_part_and_leave_the_race_unchanged(tmp_path):
    from experiments.resbuilder.refinement import VARIANTS, Refinement
    from resbuilder.pipeline.race import Race, entrants
    from resbuilder.progress import SearchProgress
    from resbuilder.run import Run
    from resbuilder.training import TrainingData

    settings = {"dataset": "digits", "method": "race", "flops": 4e5, "total_epochs": 14}
    config = SearchConfig(**settings, train_limit=200, depths="1").resolved()
    data = TrainingData.load(config)

    def race_in(run):
        progress = SearchProgress(14, Console(file=io.StringIO()), "epoch")
        race = Race(run, data, entrants(config, data), progress)
        race.introduce()
        return race

    with Run.create(tmp_path / "refined", config) as run:
        race = race_in(run)
        refinement = Refinement(race)
        best = race.trial()
        variants = refinement._variants(best[0], 2)
        assert tuple(variants) == VARIANTS
        for variant in variants.values():
            assert cost(variant.architecture).flops <= config.flops / 2
            assert 0 < variant.loss < 10
        blocks = {name: len(c.architecture.blocks) for name, c in variants.items()}
        assert blocks["inserted"] == blocks["unchanged"] + 1 == blocks["other widths"] + 1
        result = refinement.go(best)
        assert len(result["moves"]) == len(best) == 2
        with_refinement = race.go().best
    with Run.create(tmp_path / "alone", config) as run:
        race = race_in(run)
        assert race.go().best == with_refinement
