"""Epochs of a race and the choice after its trial: computed by hand, and properties of all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbuilder.race import averaging_decay, best_together, least_epochs, race_plan
from resbuilder.race.schedule import cross_entropy


def test_epochs_are_divided_as_documented():
    plan = race_plan(42, 7)
    # 84 epochs of half the cost; a fifth of them for seven candidates.
    assert (plan.trial, plan.cooldown) == (2, (84 - 7 * 2) / 2)
    assert str(plan) == "42 epochs = (7 × 2 (trial) + 2 × 35 (cooldown)) / 2"
    assert [plan.epochs(variant) for variant in ("trial", "cooldown", "whole")] == [2, 35, 42]
    assert [plan.cost(variant, 6) for variant in ("trial", "cooldown", "whole")] == [3, 3, 6]


@pytest.mark.parametrize("candidates", [1, 2, 3, 6, 7, 8, 11])
def test_least_epochs_are_the_fewest_with_that_trial(candidates):
    total = least_epochs(candidates, trial=2)
    if candidates <= 2:
        assert total == 1
    else:
        assert race_plan(total, candidates).trial == 2 > race_plan(total - 1, candidates).trial


def test_weights_are_averaged_over_about_one_epoch():
    assert averaging_decay(48_000, 32) == 1 - 1 / 1500
    assert (averaging_decay(96, 32), averaging_decay(10**7, 32)) == (0.9, 0.9999)


@pytest.mark.parametrize("candidates", [1, 2])
def test_candidates_that_all_remain_need_no_trial(candidates):
    plan = race_plan(3, candidates)
    assert (plan.trunks, plan.trial, plan.cooldown) == (candidates, 0, 3)
    assert str(plan) == f"3 epochs = ({candidates} × 3 (cooldown)) / {candidates}"


@given(st.integers(1, 500), st.integers(1, 20))
def test_less_than_an_epoch_is_left_over_or_the_error_names_the_least_number(total, candidates):
    try:
        plan = race_plan(total, candidates)
    except ValueError as error:
        least = int(str(error).partition("at least ")[2].partition(",")[0])
        assert total < least and race_plan(least, candidates).cooldown >= 1
        return
    assert 0 <= total - plan.spent < 1
    assert str(plan).startswith(f"{plan.spent:g}")
    assert plan.cooldown >= 1 and (plan.trial >= 1) == (candidates > 2)


def test_the_cross_entropy_is_exact_also_for_large_logits():
    logits = np.array([[0.0, np.log(3)], [1000.0, 0.0]])
    assert cross_entropy(logits, np.array([1, 0])) == pytest.approx(-np.log(0.75) / 2)


def test_the_pair_that_is_best_together_remains_not_the_two_best_alone():
    right, wrong = (2.0, 0.0), (0.0, 2.0)
    # Networks 0 and 1 err on the same images, network 2 more often, but on other ones.
    logits = [np.array(rows) for rows in (
        [right, right, right, right, wrong, wrong],
        [right, right, right, right, wrong, wrong],
        [wrong, wrong, wrong, right, right, right],
    )]  # fmt: skip
    labels = np.zeros(6, int)
    losses = [cross_entropy(rows, labels) for rows in logits]
    assert losses[0] == losses[1] < losses[2]
    kept, loss = best_together(losses, logits, labels, 2)
    assert kept == [0, 2]
    assert loss == pytest.approx(cross_entropy((logits[0] + logits[2]) / 2, labels))
    assert loss < losses[0]


def test_one_network_remains_after_the_cooldown_if_it_is_better_alone():
    labels = np.zeros(3, int)
    logits = [np.tile(row, (3, 1)) for row in ([2.0, 0.0], [0.0, 2.0], [1.9, 0.0])]
    losses = [cross_entropy(rows, labels) for rows in logits]
    assert best_together(losses[:2], logits[:2], labels, 2)[0] == [0, 1]
    assert best_together(losses[:2], logits[:2], labels, 2, fewer=True) == ([0], losses[0])
    # Different mistakes make the pair better than each.
    logits[2][0] = [0.0, 0.5]
    logits[0][1] = [0.0, 0.5]
    losses = [cross_entropy(rows, labels) for rows in logits]
    kept, loss = best_together(losses, logits, labels, 2, fewer=True)
    assert sorted(kept) == [0, 2] and loss < min(losses)


def test_a_loss_that_is_not_finite_drops_out():
    logits = [np.zeros((3, 2))] * 3
    labels = np.zeros(3, int)
    assert best_together([None, 0.7, 0.6], logits, labels, 2) == ([2, 1], np.log(2))
    assert best_together([None, 0.7, None], logits, labels, 2)[0] == [1]
    assert best_together([None] * 3, logits, labels, 2) == ([], None)
