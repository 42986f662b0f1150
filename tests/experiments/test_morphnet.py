"""Chapter 5: costs, rounds and comparisons are what the figures say they are."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_allclose

from experiments.jobs import write
from experiments.morphnet import rounds as grid
from experiments.morphnet import starts as start_grid
from experiments.morphnet.bad_start import distances
from experiments.morphnet.network import WIDTHS, expanded, flops, network
from experiments.morphnet.rounds import Rounds, pareto_front
from experiments.morphnet.starts import balance, rounds_from
from experiments.morphnet.two_rounds import pairs
from resbuilder.morphnet import MorphNetRegularizer

trains = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the experiments run on TensorFlow"
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory, digits28):
    """Folder with real digits, enlarged to 28×28, in the place of MNIST."""
    x, y = digits28
    folder = tmp_path_factory.mktemp("data")
    np.savez(
        folder / "mnist.npz", x_train=x[:1400], y_train=y[:1400], x_test=x[1400:], y_test=y[1400:]
    )
    return str(folder)


@pytest.fixture
def job(digits):
    """145 steps of 4 images in an epoch: Adam takes weights of 0.1 to about 0 in one."""
    return {
        "dataset": "mnist",
        "data_dir": digits,
        "limit": 700,
        "batch_size": 4,
        "seed": 0,
        "epochs": 1,
    }


def test_flops_are_those_of_the_library_and_of_a_count_by_hand():
    # 26² positions of 9 inputs, 11² of 9·32, then 5²·64 features to 10 logits; 2 per multiply-add.
    assert flops(WIDTHS) == 2 * (676 * 9 * 32 + 121 * 9 * 32 * 64 + 1600 * 10) == 4_881_920
    for widths in ((1, 1), (5, 12)):
        assert flops(widths) == MorphNetRegularizer(network(widths), threshold=0).exact_cost()


def test_widths_fill_the_budget_and_keep_their_proportion():
    assert expanded((8, 16), flops(WIDTHS)) == WIDTHS
    first, second = expanded((3, 9), flops(WIDTHS))
    assert flops((first, second)) <= flops(WIDTHS) < flops((first + 1, second + 3))
    assert abs(second - 3 * first) <= 2
    assert expanded(WIDTHS, flops((16, 32))) == (16, 32)  # a start above the budget


@trains
def test_two_rounds_start_again_from_what_the_first_left(job):
    done = grid.two_rounds(job | {"strength": 5e-6})["rounds"]
    assert len(done) == 2
    left = done[0]["with_term"]["alive"]
    assert 0 < left[0] < WIDTHS[0]
    assert done[0]["with_term"]["widths"] == WIDTHS
    assert done[0]["anew"]["widths"] == left
    assert done[0]["anew"]["flops"] == flops(left) < flops(WIDTHS)
    assert done[0]["anew"]["alive"] == left  # λ is 0 there
    assert done[0]["anew"]["test"] > 0.6
    assert done[1]["with_term"]["widths"] == expanded(left, flops(WIDTHS))


@trains
def test_a_run_ends_where_a_layer_breaks_down_or_nothing_was_removed(job):
    broken = grid.two_rounds(job | {"strength": 1e-2})["rounds"]
    assert len(broken) == 1
    assert 0 in broken[0]["with_term"]["alive"]
    assert broken[0]["anew"] is None
    (unchanged,) = grid.two_rounds(job | {"strength": 0.0})["rounds"]
    assert unchanged["with_term"]["alive"] == WIDTHS
    assert unchanged["anew"] is None


@trains
def test_every_round_from_a_bad_start_fills_the_budget(job):
    budget = flops((6, 12))
    start = {"widths": [16, 2], "rounds": 2, "budget": budget, "strength": 1e-2}
    done = rounds_from(job | start)
    assert done["widths"][0] == (16, 2)
    assert done["rounds"][0]["alive"] != (16, 2)
    assert len(done["widths"]) == 3
    for trained, suggested in zip(done["rounds"], done["widths"][1:], strict=True):
        assert suggested == expanded(trained["alive"], budget)
        assert 0.85 * budget < flops(suggested) <= budget
    broken = rounds_from(job | start | {"epochs": 2})
    assert len(broken["rounds"]) == len(broken["widths"]) == 1


def result(strength, seed, *anew):
    """A run with the given (FLOPs, test accuracy) after each round."""
    networks = [{"flops": f, "test": t, "widths": [1, 1]} if f else None for f, t in anew]
    return {
        "job": {"strength": strength, "seed": seed},
        "rounds": [{"with_term": {"alive": [1, 1]}, "anew": n} for n in networks],
    }


@pytest.fixture
def measured(tmp_path):
    write(
        tmp_path / "rounds.json",
        {
            "a": {"job": {"seed": 0}, "flops": 10_000, "test": 0.97},
            "b": {"job": {"seed": 1}, "flops": 10_000, "test": 0.99},
            "c": {"job": {"seed": 0}, "flops": 100, "test": 0.90},
            "d": result(1e-6, 0, (1_000, 0.95), (100, 0.93)),
            "e": result(1e-6, 1, (1_000, 0.95), (None, None)),
            "f": result(1e-7, 0, (50, 0.99)),
        },
    )
    return Rounds(tmp_path / "rounds.json")


def test_a_network_is_compared_with_scaled_ones_of_its_own_flops(measured):
    """Half-way from 100 to 10,000 FLOPs in the logarithm lie 0.94, of 0.90 and 0.98."""
    last, one = measured.networks(1)[-1], measured.networks(1)[0]
    assert_allclose(measured.gain(one), 0.01)
    assert np.isnan(measured.gain(last))  # smaller than every scaled network: nothing to compare
    ((first, second),) = pairs(measured)  # the other runs have no second network
    assert_allclose(measured.gain(second) - measured.gain(first), 0.03 - 0.01)
    assert list(measured.by_strength()) == [1e-7, 1e-6]


def test_the_front_is_chosen_on_validation_images():
    networks = [
        {"flops": f, "validation": v, "test": t}
        for f, v, t in [(2, 0.8, 0.7), (1, 0.8, 0.6), (3, 0.7, 0.9), (4, 0.9, 0.5), (4, 0.85, 0.9)]
    ]
    assert [(n["flops"], n["validation"]) for n in pareto_front(networks)] == [(1, 0.8), (4, 0.9)]


def test_distance_of_starts_is_in_factors_of_two_of_their_proportions():
    def run(*widths):
        return {"job": {"rounds": 2}, "widths": widths}

    starts = {
        "large": [run((8, 8), (4, 16), (4, 32)), run((8, 8), (8, 8))],
        "small": [run((2, 16), (2, 8), (3, 24)), run((2, 16), (2, 8), (3, 24))],
    }
    assert_allclose(balance(starts["large"]), [[0, 2, 3], [0, 0, np.nan]])
    # Means 0 and 3, 1 and 2, 3 and 3; only one seed of the large start is left at the end.
    assert_allclose(distances(starts), [[3, 0], [1, np.sqrt(2) / 2], [0, 0]])


@trains
@pytest.mark.parametrize(
    ("names", "module", "preset"),
    [
        (("pareto", "two_rounds"), grid, (600, 4, 1, (3e-6, 1e-2), ((1, 2), WIDTHS), 1)),
        (("bad_start", "suggested_widths"), start_grid, (400, 8, 1, 2, 1e-6, 1)),
    ],
)
def test_two_commands_share_their_trainings(names, module, preset, digits, tmp_path, monkeypatch):
    """The whole way from the command to the figure, on small real images."""
    from importlib import import_module

    monkeypatch.setitem(module.PRESETS, "quick", preset)
    arguments = ["--data-dir", digits, "--out", str(tmp_path), "--workers", "1"]
    trained = []
    for name in names:
        command = import_module(f"experiments.morphnet.{name}").main
        done = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        (report,) = tmp_path.glob("*/report")
        assert (report / f"{name}.png").stat().st_size > 10_000
        trained.append({p.name: p.stat().st_mtime_ns for p in report.parent.glob("*.json")})
    assert trained[0] == trained[1]
    (results,) = report.glob("*.json")
    assert len(json.loads(results.read_text())) == len(trained[0])
