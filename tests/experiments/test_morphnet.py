"""Chapter 5: costs, iterations, records and comparisons are as the figures describe them."""

import json
from importlib import import_module

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_allclose

from experiments.jobs import write
from experiments.morphnet import bad_start, inherited, iterations
from experiments.morphnet.bad_start import balance, distances, rounds_from
from experiments.morphnet.iterations import Iterations, iterate, pareto_front, trajectory
from experiments.morphnet.network import WIDTHS, expanded, flops, network, size
from experiments.morphnet.training import SETTING, train
from experiments.morphnet.two_iterations import remaining_widths
from experiments.morphnet.what_is_left import SECOND
from resbuilder.morphnet import MorphNetRegularizer

trains = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the experiments run on TensorFlow"
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory, digits28):
    """Return a folder with real digits, enlarged to 28×28, instead of MNIST."""
    x, y = digits28
    folder = tmp_path_factory.mktemp("data")
    np.savez(
        folder / "mnist.npz", x_train=x[:1400], y_train=y[:1400], x_test=x[1400:], y_test=y[1400:]
    )
    return str(folder)


@pytest.fixture
def job(digits):
    """Return a job of 146 steps with 4 images: in an epoch, Adam brings weights of 0.1 to 0."""
    return {
        "dataset": "mnist",
        "data_dir": digits,
        "limit": 700,
        "batch_size": 4,
        "seed": 0,
        "epochs": 1,
        "record_every": 50,
    }


def test_flops_and_size_equal_those_of_the_library_and_a_count_by_hand():
    # 26² positions of 9 inputs, 11² of 9·32, then 5²·64 features, 512 of them, 10 logits.
    multiplications = 676 * 9 * 32 + 121 * 9 * 32 * 64 + 1600 * 512 + 512 * 10
    assert flops(WIDTHS) == 2 * multiplications == 6_498_560
    assert size(WIDTHS) == 9 * 32 + 9 * 32 * 64 + 1600 * 512 + 512 * 10 == 843_040
    for widths in ((1, 1), (5, 12), (2, 3, 7)):
        cost = {
            resource: MorphNetRegularizer(
                network(widths), resource=resource, threshold=0
            ).exact_cost()
            for resource in ("flops", "model_size")
        }
        assert cost == {"flops": flops(widths), "model_size": size(widths)}


def test_widths_fill_the_budget_and_keep_their_proportion():
    assert expanded((8, 16, 128), flops(WIDTHS)) == WIDTHS
    first, second = expanded((3, 9), flops((32, 64)))
    assert flops((first, second)) <= flops((32, 64)) < flops((first + 1, second + 3))
    assert abs(second - 3 * first) <= 2
    assert expanded((32, 64), flops((16, 32))) == (16, 32)  # a start above the budget


def test_the_thesis_expansion_of_1_and_41_needs_a_dense_layer_that_narrows():
    """1·41 became 3·116, a factor of 2.83; the FLOPs show what else was scaled."""
    assert expanded((1, 41), flops((32, 64))) == (7, 304)  # no dense layer: far too wide
    for units, fits in ((341, False), (342, True), (348, True), (349, False), (512, False)):
        assert (expanded((1, 41, units), flops(WIDTHS))[:2] == SECOND[:2]) == fits


@pytest.mark.slow
@trains
def test_records_belong_to_their_steps(job):
    """There is one every 50 of 292 steps, done ten at once, of the network at that step."""
    history = train(job, (4, 6, 8), 2, strength=1e-5, record_every=50)["history"]
    assert [record["step"] for record in history] == [0, 50, 100, 156, 206, 256, 292]
    start = history[0]
    assert start["alive"] == (4, 6, 8)
    assert start["flops"] == flops((4, 6, 8))
    assert all(record["flops"] == flops(record["alive"]) for record in history)
    assert start["error"] > 0.7 > history[-1]["error"]
    assert start["loss"] > history[-1]["loss"]

    keras.utils.set_random_seed(job["seed"])
    fresh = MorphNetRegularizer(network((4, 6, 8)), threshold=SETTING["threshold"])
    assert_allclose(start["term"], 1e-5 * float(fresh.regularization_term()), rtol=1e-5)


@trains
def test_steps_between_records_must_be_a_multiple_of_those_done_at_once(job):
    with pytest.raises(ValueError, match="multiple of 10, got 25"):
        train(job, (1, 1), 1, record_every=25)


@trains
@pytest.mark.slow
def test_the_second_iteration_starts_from_the_widths_that_the_first_left(job):
    done = iterate(job | {"strength": 2e-5, "epochs": 2})
    first, second = done["iterations"]
    assert first["widths"] == WIDTHS
    assert all(first["alive"])
    assert first["alive"] != WIDTHS
    assert second["widths"] == expanded(first["alive"], flops(WIDTHS))
    left, wider = done["final"]["left"], done["final"]["expanded"]
    assert left["widths"] == left["alive"] == second["alive"]  # λ is 0 there
    assert left["flops"] == flops(second["alive"]) < flops(WIDTHS)
    assert wider["widths"] == expanded(second["alive"], flops(WIDTHS))
    assert all(record["term"] == 0 for record in left["history"])
    steps = [[r["step"] for r in training] for training in trajectory(done)]
    assert [training[0] for training in steps] == [0, steps[0][-1], steps[1][-1]]


@trains
@pytest.mark.slow
def test_a_run_ends_when_a_layer_loses_all_channels(job):
    broken = iterate(job | {"strength": 1e-2})
    assert len(broken["iterations"]) == 1
    assert 0 in broken["iterations"][0]["alive"]
    assert broken["final"] is None


@trains
@pytest.mark.slow
def test_nothing_is_removed_without_the_term(job):
    unchanged = iterate(job | {"strength": 0.0})
    assert [i["alive"] for i in unchanged["iterations"]] == [WIDTHS, WIDTHS]
    assert unchanged["final"]["left"] == unchanged["final"]["expanded"]


@trains
@pytest.mark.slow
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


def record(step, *alive):
    return {"step": step, "alive": alive}


@pytest.fixture
def measured(tmp_path):
    def trained(alive, test=0.9):
        return {"widths": [32, 64, 512], "flops": 9, "alive": alive, "test": test}

    strong = {"job": {"strength": 9e-6}, "iterations": [trained([0, 64, 3])], "final": None}
    weak = {
        "job": {"strength": 1e-9},
        "iterations": [trained([1, 41, 345], 0.97), trained([1, 2, 3])],
        "final": {"left": trained([1, 2, 3]), "expanded": trained([2, 4, 6])},
    }
    plain = {"job": {"widths": [1, 2, 3]}, "flops": 5}
    write(tmp_path / "iterations.json", {"a": strong, "b": plain, "c": weak})
    return Iterations(tmp_path / "iterations.json")


def test_a_first_iteration_suggests_its_alive_channels_unless_a_layer_has_none(measured):
    (suggested,) = measured.suggested()
    assert suggested["flops"] == flops((1, 41, 345))
    assert (suggested["strength"], suggested["test"]) == (1e-9, 0.97)
    assert [n["alive"] for n in measured.final("expanded")] == [[2, 4, 6]]
    assert list(measured.by_strength()) == [1e-9, 9e-6]
    assert list(measured.scaled) == [5]


def test_a_breakdown_is_reported_with_its_first_record():
    iteration = {
        "alive": [0, 64, 3],
        "history": [record(0, 3, 64, 9), record(100, 0, 64, 5), record(200, 0, 64, 3)],
    }
    assert remaining_widths({"iterations": [iteration]}, 0) == "0·64·3, broke down by step 100"


def test_the_front_contains_the_networks_that_no_cheaper_one_matches():
    networks = [
        {"flops": f, "error": e} for f, e in [(2, 0.2), (1, 0.2), (3, 0.3), (4, 0.1), (4, 0.15)]
    ]
    front = pareto_front(networks, lambda n: n["flops"], lambda n: n["error"])
    assert [(n["flops"], n["error"]) for n in front] == [(1, 0.2), (4, 0.1)]


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
    ("figures", "module", "preset"),
    [
        (
            {
                "one_iteration": ["one_iteration"],
                "two_iterations": ["two_iterations", "fronts"],
                "single_run": ["single_run"],
            },
            iterations,
            (400, 4, 1, 20, (iterations.SHOWN, 1e-2), ((1, 2, 4), (2, 4, 8)), 1),
        ),
        ({"bad_start": ["bad_start"]}, bad_start, (400, 8, 1, 2, 1e-6, 1)),
    ],
)
@pytest.mark.slow
def test_commands_share_their_trainings(figures, module, preset, digits, tmp_path, monkeypatch):
    """The commands run through to the figures, on small real images."""
    monkeypatch.setitem(module.PRESETS, "quick", preset)
    trained = []
    for name, drawn in figures.items():
        report = called(name, digits, tmp_path)
        for figure in drawn:
            assert (report / f"{figure}.png").stat().st_size > 10_000
        trained.append({p.name: p.stat().st_mtime_ns for p in report.parent.glob("*.json")})
    assert all(times == trained[0] for times in trained)
    (results,) = report.glob("*.json")
    assert len(json.loads(results.read_text())) == len(trained[0])


@trains
@pytest.mark.slow
def test_the_remaining_channels_of_each_setting_are_a_row_of_the_table(
    digits, tmp_path, monkeypatch
):
    module = import_module("experiments.morphnet.what_is_left")
    monkeypatch.setitem(module.PRESETS, "quick", (400, 4, 20, ("threshold 1e-2",)))
    (row,) = (
        (called("what_is_left", digits, tmp_path) / "what_is_left.md").read_text().split("\n")[2:-1]
    )
    assert row.startswith("| threshold 1e-2 | 32·64·512 | ")


@trains
@pytest.mark.slow
def test_pruned_and_scaled_networks_fill_the_same_budget(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(inherited, "DATASET", "mnist")
    monkeypatch.setitem(inherited.PRESETS, "quick", (240, 2, (4, 8, 16), (0.5,), 1))
    results = [
        {"job": job} | inherited.work(job | {"data_dir": digits})
        for job in inherited.jobs_of("quick").values()
    ]
    budget = results[0]["flops"] // 2
    for result in results:
        (network,) = result["networks"]
        # A small network shrinks in large steps: one of four channels before eight.
        assert 0.5 * budget < network["flops"] <= budget
    (row,) = inherited.markdown(results).split("\n")[2:3]
    assert row.startswith("| 50% | ")
    inherited.drawn(results).savefig(tmp_path / "drawn.png")


def test_the_sentence_names_the_shares_at_which_morphnet_is_better_by_two_standard_errors():
    def result(side, seed, *tests):
        job = {"side": side, "seed": seed, "shares": [0.5, 0.1]}
        return {"job": job, "networks": [{"test": t} for t in tests]}

    scaled = [result("scaled", 0, 0.80, 0.70), result("scaled", 1, 0.90, 0.74)]
    ours = [result("morphnet", 0, 0.80, 0.80), result("morphnet", 1, 0.91, 0.83)]
    shares = inherited.by_share(scaled + ours)
    assert inherited.lead(shares[0.1]) == pytest.approx((0.095, 0.005))
    sentence = inherited.sentence(shares)
    assert "is better than uniformly scaled widths at 10% (+9.5 points)" in sentence
    assert "worse at no share" in sentence
    assert "smaller at 50% (+0.5 points)" in sentence
    assert "not measured" in inherited.sentence(inherited.by_share(scaled)).lower()


def called(name, digits, out):
    """Run a command, and return the folder of its report."""
    command = import_module(f"experiments.morphnet.{name}").main
    arguments = ["--data-dir", digits, "--out", str(out), "--workers", "1"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (report,) = out.glob("*/report")
    return report
