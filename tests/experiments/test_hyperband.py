"""Hyperband and the search: the same space, the same budget, and accuracies over time."""

import numpy as np
import pytest

from experiments.resbuilder.anytime import best_so_far, draw
from experiments.resbuilder.hyperband import (
    HYPERBANDS,
    METHODS,
    curves,
    follow,
    hyperband_jobs,
    markdown,
)
from experiments.resbuilder.hyperband_peer import network_of
from experiments.resbuilder.random_search import STARTS
from resbuilder import SearchConfig, cost
from resbuilder.training import Trainer, TrainingData


def test_every_network_of_the_space_fills_the_budget():
    config = SearchConfig(dataset="digits", flops=1e6, width=8).resolved()
    data = TrainingData.load(config)
    values = {f"blocks_{s}": s for s in range(4)} | {f"inner_{s}": 0.5 for s in range(4)}
    for start in STARTS:
        network = network_of(values | {"start": start}, config, data)
        assert 0.8e6 < cost(network).flops <= 1e6
        inserted = [[b.name for b in s.blocks if b.name.startswith("n")] for s in network.stages]
        assert [len(names) for names in inserted] == list(range(len(network.stages)))
        widths = network.widths()
        for names in inserted:
            for name in names:
                first, second = network.block_convolutions()[name]
                assert widths[first] == pytest.approx(widths[second] / 2, abs=1)


def test_a_method_is_judged_by_its_best_network_so_far_on_validation_images():
    networks = [
        {"seconds": 2, "validation": 0.5, "test": 0.6},
        {"seconds": 4, "validation": 0.4, "test": 0.9},
        {"seconds": 5, "validation": 0.7, "test": 0.65},
    ]
    found = best_so_far({"networks": networks}, np.arange(7))
    np.testing.assert_array_equal(found, [np.nan, np.nan, 0.6, 0.6, 0.6, 0.65, 0.65])


def job_of(method, **changes):
    return hyperband_jobs("quick")[f"{method}, seed 0"] | {"data_dir": None} | changes


@pytest.mark.slow
def test_hyperband_continues_to_train_its_own_networks(tmp_path, monkeypatch):
    begun, ended = [], []

    class Watched(Trainer):
        def fit(self, *arguments, **options):
            begun.append(self.network.get_weights())
            record = super().fit(*arguments, **options)
            ended.append(self.network.get_weights())
            return record

    def same(one, other):
        return len(one) == len(other) and all(map(np.array_equal, one, other))

    monkeypatch.setattr("experiments.resbuilder.hyperband_peer.Trainer", Watched)
    # One convolution only, because a few layers are traced much faster than a ResNet-18.
    monkeypatch.setattr("experiments.resbuilder.hyperband_peer.STARTS", ("rb-0net",))
    monkeypatch.setattr(
        "experiments.resbuilder.hyperband_peer._Time.over", lambda _: len(ended) > 5
    )
    result = follow(job_of("Hyperband"), tmp_path)
    assert len(result["networks"]) == 6 and list(tmp_path.iterdir()) == []
    # The sixth training continues the best of five with half of the epochs, for the other half.
    assert [any(same(b, e) for e in ended[:i]) for i, b in enumerate(begun)] == 5 * [0] + [1]


def test_hyperband_starts_no_training_after_the_time_is_up(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.resbuilder.hyperband_peer.STARTS", ("rb-0net",))
    result = follow(job_of("Hyperband", seconds=1), tmp_path)
    networks, seconds = result["networks"], [n["seconds"] for n in result["networks"]]
    assert networks and seconds == sorted(seconds)
    # The last one started before the end.
    assert all(second <= 1 for second in seconds[:-1]) and result["seconds"] >= 1
    assert all(0 <= n[part] <= 1 for n in networks for part in ("validation", "test"))


def test_hyperband_may_have_as_many_epochs_as_the_weights_of_a_search():
    jobs = hyperband_jobs("laptop")  # 2 epochs, n_M = 2, n_Λ = 2
    epochs = [jobs[f"{method}, seed 1"]["epochs"] for method in HYPERBANDS]
    assert epochs == [2 * (2 * 3 + 2), 2 * (2 + 2)]


def test_table_and_figure_show_which_method_is_ahead():
    results = [
        {"job": job | {"seconds": 100}, "networks": [{"seconds": s, "validation": v, "test": v}]}
        | {"seconds": 80}
        for job, s, v in zip(
            hyperband_jobs("quick").values(),
            (5, 55, 5, 5, 20, 5),
            (0.9, 0.9, 0.7, 0.7, 0.8, 0.95),
            strict=True,
        )
    ]
    times, found = curves(results)
    assert set(map(len, found.values())) == {1} and times[-1] == 100
    rows = markdown(results).splitlines()[2:]
    assert rows[0].startswith("| ResBuilder, thesis | 90.00 | 90.00 |")
    assert "| 100% | 0% |" in rows[0]
    assert "| nothing yet | nothing yet | nothing yet | 90.00 | 90.00 | 50% | 0% |" in rows[1]
    assert all(row.endswith("| – | – |") for row in rows[4:6])
    assert len(draw(*curves(results)).axes[0].lines) == 2 * len(METHODS) + 1
    # Before Hyperband is measured, the searches are shown without it.
    searches = [r for r in results if r["job"]["method"] not in HYPERBANDS]
    times, found = curves(searches)
    assert times[-1] == 80 and "time above" not in markdown(searches).splitlines()[0]
