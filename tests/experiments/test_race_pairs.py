"""Pairs of candidates: jobs, the change of projections, and the table."""

from experiments.resbuilder import race_jobs, race_pairs
from resbuilder import SearchConfig, cost
from resbuilder.race import candidates


def test_a_search_accepts_every_job_and_its_seeds_are_those_of_the_design():
    measured, _ = race_jobs.PRESETS["laptop"]
    for preset in race_pairs.PRESETS:
        jobs = race_pairs.jobs_of(preset)
        assert all(SearchConfig(**job["settings"]).method == "race" for job in jobs.values())
        assert not {j["settings"]["seed"] for j in jobs.values()} & set(measured)


def test_strided_and_averaged_projections_cost_the_same():
    (averaged, *_) = candidates((32, 32, 3), 10, 4e6, [1])
    strided = race_pairs.with_transition(averaged.architecture, "projection")
    assert {s.transition for s in strided.stages} == {"none", "projection"}
    assert cost(strided).flops == cost(averaged.architecture).flops
    assert race_pairs.with_transition(strided, "average") == averaged.architecture


def test_the_table_and_the_figure_show_each_kind_with_both_projections():
    alone = {"s1p 111": 0.64, "s2p+ 011": 0.66}
    results = [
        {"job": job, "alone": alone, "pairs": {"s1p 111 ∥ s2p+ 011": 0.69}}
        for job in race_pairs.jobs_of("laptop").values()
    ]
    text = race_pairs.markdown(results)
    assert "| two of ζ/2 | averaged | s1p 111 ∥ s2p+ 011 | 69.00 ± 0.00 |" in text
    assert "| one of ζ | strided | s2p+ 011 | 66.00 ± 0.00 |" in text
    assert len(race_pairs.draw(results).axes[0].lines) == 6
