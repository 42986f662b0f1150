"""Epochs and survivors of a race: computed by hand, and properties of every race."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbuilder.race import averaging_decay, race_plan, survivors


def test_epochs_are_divided_as_documented():
    plan = race_plan(42, 7)
    # 0.2 · 84 / 7 = 2.4 and 0.2 · 84 / 3 = 5.6
    assert (plan.starters, plan.rungs, plan.cooldown) == ((7, 3), (2, 6), (84 - 14 - 18) / 2)
    assert str(plan) == "42 epochs = (7 × 2 + 3 × 6 + 2 × 26 (cooldown)) / 2"
    assert [plan.stay(rung) for rung in (0, 1)] == [3, 2]
    assert [plan.cost(variant, 6) for variant in ("rung_2", "cooldown", "whole")] == [3, 3, 6]
    assert plan.before("rung_1") is None and plan.before("rung_2") == "rung_1"
    assert plan.before("cooldown") == "rung_2" and plan.before("whole") is None


def test_weights_are_averaged_over_about_one_epoch():
    assert averaging_decay(48_000, 32) == 1 - 1 / 1500
    assert (averaging_decay(96, 32), averaging_decay(10**7, 32)) == (0.9, 0.9999)


def test_a_single_candidate_gets_all_epochs():
    plan = race_plan(3, 1)
    assert (plan.trunks, plan.rungs, plan.cooldown) == (1, (), 3)
    assert plan.before("cooldown") is None and str(plan) == "3 epochs = 1 × 3 (cooldown)"


def test_two_candidates_need_no_rung():
    plan = race_plan(3, 2)
    assert (plan.trunks, plan.rungs, plan.cooldown) == (2, (), 3)


@given(st.integers(1, 500), st.integers(1, 20))
def test_less_than_an_epoch_is_left_over_or_the_error_names_the_least_number(total, candidates):
    try:
        plan = race_plan(total, candidates)
    except ValueError as error:
        least = int(str(error).partition("at least ")[2].partition(",")[0])
        assert total < least and race_plan(least, candidates).cooldown >= 1
        return
    spent = sum(n * e for n, e in zip(plan.starters, plan.rungs, strict=True))
    unspent = plan.trunks * total - spent - plan.trunks * plan.cooldown
    assert 0 <= unspent < plan.trunks and plan.cooldown >= 1 and min((1, *plan.rungs)) >= 1


def test_the_best_of_each_depth_comes_before_the_second_best_of_another():
    losses, depths = [1.0, 1.1, 1.2, 1.3, 2.0, 1.9], [1, 1, 1, 1, 2, 2]
    assert survivors(losses, depths, 3) == [0, 1, 5]
    assert survivors(losses, depths, 1, across=True) == [0]


@pytest.mark.parametrize(
    ("losses", "kept"), [([None, 2.0, 1.0], [2, 1]), ([None] * 3, []), ([1.0, 1.0, 1.0], [0, 1])]
)
def test_a_loss_that_is_not_finite_drops_out_and_the_earlier_of_equals_remains(losses, kept):
    assert survivors(losses, [1, 1, 1], 2) == kept
