"""The goal and the state machine of braking: arithmetic on sequences of losses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phs_optimizer.goal import Goal
from phs_optimizer.policy import BrakingPolicy
from phs_optimizer.state import BrakingState


def observed(policy, losses):
    """Return the events of single steps as pairs of step, counted from 1, and event."""
    answers = [(step, policy.observe(loss)) for step, loss in enumerate(losses, start=1)]
    return [(step, event) for step, event in answers if event]


def epochs_ended(policy, validation_losses):
    """Return the events of epoch ends as pairs of epoch, counted from 1, and event."""
    answers = [(n, policy.epoch_end(loss)[-1]) for n, loss in enumerate(validation_losses, start=1)]
    return [(epoch, event) for epoch, event in answers if event]


@pytest.mark.parametrize(
    ("value", "meaning", "loss", "half_way"),
    [(0.8, "reduction", 0.4, 1.2), (0.2, "remaining", 0.4, 1.2), (0.4, "loss", 0.4, 1.2)],
)
def test_the_three_meanings_of_a_goal_for_an_initial_loss_of_2(value, meaning, loss, half_way):
    goal = Goal(value, meaning)
    assert goal.loss(2.0) == pytest.approx(loss)
    assert goal.loss(2.0, ease=0.5) == pytest.approx(half_way)


@given(st.floats(1e-6, 0.999), st.floats(1e-3, 1e3))
def test_the_suggested_value_is_reached_and_nearly_exact(share, initial):
    loss = share * initial
    for meaning in ("reduction", "remaining", "loss"):
        value = Goal(0.5, meaning).value_for(loss, initial)
        if value is None:  # the reduction would round to 0
            assert meaning == "reduction" or share > 0.99
            continue
        goal = Goal(float(f"{value:.3g}"), meaning).loss(initial)
        assert loss * (1 - 1e-9) <= goal <= loss + 0.01 * max(loss, initial * (1 - share))


def test_a_loss_that_has_not_fallen_reaches_no_relative_goal():
    for meaning in ("reduction", "remaining"):
        assert Goal(0.5, meaning).value_for(2.0, 1.0) is None
        assert Goal(0.5, meaning).value_for(0.5, math.nan) is None
    assert Goal(0.5, "loss").value_for(-0.12345, 1.0) == pytest.approx(-0.123)
    assert Goal(0.5, "loss").value_for(0.0, 1.0) == 0


@pytest.mark.parametrize("meaning", ["reduction", "remaining"])
@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, math.nan, math.inf, True, "0.5", None])
def test_an_unreachable_or_invalid_share_is_refused(share, meaning):
    with pytest.raises(ValueError, match=f'above 0 and below 1 with target_is="{meaning}"'):
        Goal(share, meaning)


def test_a_loss_to_reach_can_be_any_finite_number():
    assert Goal(-3, "loss").loss(2.0) == -3
    for value in (math.nan, -math.inf, "1"):
        with pytest.raises(ValueError, match="target must be a loss, a finite number"):
            Goal(value, "loss")


def test_a_share_of_a_negative_initial_loss_is_refused():
    with pytest.raises(ValueError, match=r'must be positive, not -2.*target_is="loss"'):
        Goal(0.5).loss(-2.0)


def test_the_average_by_hand():
    policy = BrakingPolicy(0.9, average_steps=4)
    assert math.isnan(policy.average)
    losses = [3.0, 1.0, 2.0]
    observed(policy, losses)
    weights = [0.75**2, 0.75, 1]
    by_hand = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    assert policy.average == pytest.approx(by_hand)


def test_several_steps_at_once_equal_the_same_loss_several_times():
    one, many = BrakingPolicy(0.9, average_steps=7), BrakingPolicy(0.9, average_steps=7)
    for loss, steps in [(2.0, 4), (1.0, 8), (0.5, 3)]:
        observed(one, [loss] * steps)
        many.observe(loss, steps)
    assert many.state.to_vector() == pytest.approx(one.state.to_vector())
    assert many.initial_loss == pytest.approx((4 * 2.0 + 6 * 1.0) / 10)


def test_the_initial_loss_is_the_mean_of_ten_steps_unless_it_is_given():
    losses = [float(n) for n in range(30)]
    measured, given_loss = BrakingPolicy(0.75), BrakingPolicy(0.75, initial_loss=8)
    observed(measured, losses), observed(given_loss, losses)
    assert (measured.initial_loss, measured.target_loss) == (4.5, 1.125)
    assert (given_loss.initial_loss, given_loss.target_loss) == (8, 2)


@pytest.mark.parametrize("average_steps", [1, 2, 25])
def test_a_low_loss_does_not_brake_before_the_average_is_complete(average_steps):
    policy = BrakingPolicy(0.5, average_steps=average_steps, initial_loss=1.0)
    ((step, event),) = observed(policy, [0.1] * 60)
    assert step == average_steps
    assert (event.action, event.from_best) == ("brake", False)
    assert event.loss == pytest.approx(0.1)
    assert "reached the goal 0.5" in event.reason


def test_it_brakes_at_the_first_step_whose_average_is_at_or_below_the_goal():
    losses = [0.97**n for n in range(200)]
    policy = BrakingPolicy(0.8, average_steps=10)
    ((step, event),) = observed(policy, losses)

    def average(steps):
        weights = [0.9 ** (steps - n) for n in range(1, steps + 1)]
        total = sum(w * loss for w, loss in zip(weights, losses[:steps], strict=True))
        return total / sum(weights)

    goal = 0.2 * sum(losses[:10]) / 10
    assert average(step) <= goal < average(step - 1)
    assert event.loss == pytest.approx(average(step))


def test_a_loss_that_is_not_a_number_never_reaches_the_goal_but_patience_ends():
    policy = BrakingPolicy(0.5, average_steps=5, initial_loss=1.0, patience=2)
    assert observed(policy, [math.nan] * 50) == []
    assert policy.unreached() == "never braked: the average loss is not a number (NaN)"
    ((epoch, event),) = epochs_ended(policy, [None] * 4)
    assert (epoch, event.action, event.from_best) == (2, "brake", True)
    assert policy.best == math.inf


@pytest.mark.parametrize("at", [0, 3, 20])
def test_a_single_loss_that_is_not_a_number_is_only_counted(at):
    """As a step that a LossScaleOptimizer skips, also among the first, which set the goal."""
    losses = [2.0] * 30 + [0.5] * 60
    one, other = (BrakingPolicy(0.5, average_steps=10) for _ in range(2))
    ((step, event),) = observed(one, losses)
    ((later, same),) = observed(other, [*losses[:at], math.nan, *losses[at:]])
    assert later == step + 1 and same.loss == pytest.approx(event.loss)
    assert other.initial_loss == pytest.approx(one.initial_loss) == 2


def test_without_patience_it_waits_forever():
    policy = BrakingPolicy(0.5)
    observed(policy, [1.0] * 300)
    assert epochs_ended(policy, [None] * 50) == []


def test_patience_brakes_from_the_best_weights_and_the_goal_does_not_brake_again():
    policy = BrakingPolicy(0.9, average_steps=5, patience=3)
    observed(policy, [1.0] * 20)
    ((epoch, event),) = epochs_ended(policy, [None] * 10)
    assert (epoch, event.action, event.from_best) == (3, "brake", True)
    assert "goal 0.1 not reached in 3 epochs" in event.reason
    assert observed(policy, [0.01] * 100) == []


def test_the_goal_is_adjusted_by_the_factor_each_time_until_it_is_reached():
    policy = BrakingPolicy(
        0.8, average_steps=5, patience=2, on_patience="adjust", adjustment=0.5, initial_loss=1.0
    )
    assert observed(policy, [0.6] * 50) == []
    events = epochs_ended(policy, [None] * 5)
    assert [(epoch, event.action) for epoch, event in events] == [(2, "adjust"), (4, "adjust")]
    # Of the way from 1 to 0.2, first a half is required and then a quarter.
    assert ["it is 0.6 now" in events[0][1].reason, "it is 0.8 now" in events[1][1].reason]
    assert policy.target_loss == pytest.approx(0.8)
    assert [(step, event.action) for step, event in observed(policy, [0.6] * 9)] == [(1, "brake")]


def test_it_brakes_after_the_given_epochs_without_a_better_validation_loss():
    policy = BrakingPolicy(0.99, overfitting_patience=2)
    observed(policy, [1.0] * 200)
    losses = [1.0, 0.8, 0.9, 0.7, 0.7, 0.71, 0.9, 0.9, 0.9]
    ((epoch, event),) = epochs_ended(policy, losses)
    assert (epoch, event.action, event.from_best) == (6, "brake", True)
    assert "nothing better on validation data for 2 epochs" in event.reason


def test_the_best_epoch_has_the_best_validation_loss_or_else_the_best_average():
    validated = BrakingPolicy(0.5)
    observed(validated, [1.0])
    assert [validated.epoch_end(v)[0] for v in (2.0, 2.0, 1.5, math.nan, 1.6, 1.4)] == [
        *(True, False, True),
        *(False, False, True),
    ]
    trained = BrakingPolicy(0.5, average_steps=1)
    best = []
    for loss in (1.0, 0.9, 0.95):
        trained.observe(loss)
        best.append(trained.epoch_end()[0])
    assert best == [True, True, False]


def test_an_epoch_without_a_validation_loss_is_not_the_best_once_there_was_one():
    """Training losses are lower than validation losses: an overfit epoch would win."""
    policy, best = BrakingPolicy(0.5, average_steps=1), []
    for trained, validated in ((1.0, None), (0.9, 2.0), (0.1, None), (0.1, 1.9)):
        policy.observe(trained)
        best.append(policy.epoch_end(validated)[:2])
    assert best == [(True, True), (True, True), (False, False), (True, True)]


def test_the_search_for_the_best_epoch_starts_again_after_an_acceleration():
    policy = BrakingPolicy(0.5, average_steps=1, initial_loss=1.0, minima=2, exploitation=1)
    observed(policy, [0.1])
    bests = [policy.epoch_end(loss)[:2] for loss in (0.2, 0.4, 0.3, 0.1)]  # accelerates after 0.2
    assert bests == [(True, True), (False, True), (False, True), (True, True)]


def test_several_minima_are_visited_in_turn_and_the_last_is_not_left():
    policy = BrakingPolicy(0.5, average_steps=5, initial_loss=1.0, minima=2, exploitation=3)
    happened = []
    for epoch in range(1, 13):
        happened += [(epoch, step, e.action) for step, e in observed(policy, [0.1] * 8)]
        happened += [(epoch, None, e.action) for _, e in epochs_ended(policy, [None])]
    # The average starts again, so the second minimum is again reached after five steps.
    assert happened == [(1, 5, "brake"), (3, None, "accelerate"), (4, 5, "brake")]
    assert policy.state.minima == 2


def test_after_acceleration_overfitting_refers_to_the_new_exploration():
    policy = BrakingPolicy(0.9, minima=2, exploitation=1, overfitting_patience=1)
    observed(policy, [1.0])
    events = epochs_ended(policy, [0.1, 0.2, 0.3, 0.9, 0.8, 0.85])
    assert [(epoch, event.action) for epoch, event in events] == [
        *[(2, "brake"), (3, "accelerate")],
        (6, "brake"),
    ]


def test_automatic_braking_brakes_harder_each_time_the_validation_loss_stalls_then_stops():
    policy = BrakingPolicy("auto", patience=2, stages=2)
    assert observed(policy, [0.01] * 300) == []  # no training loss counts as a goal
    losses = [1.0, 0.8, 0.9, 0.85, 0.7, 0.71, 0.7, 0.6, 0.61, 0.62]
    happened = []
    for epoch, loss in enumerate(losses, start=1):
        is_best, is_best_here, event = policy.epoch_end(loss)
        assert is_best == is_best_here == (loss < min([math.inf, *losses[: epoch - 1]]))
        if event:
            happened.append((epoch, event.action, event.from_best, policy.state.braking))
    # It is stale after epochs 2, 5 and 8; patience restarts with each braking.
    assert happened == [(4, "brake", True, 1), (7, "brake", True, 2), (10, "stop", False, 2)]
    assert "nothing better on validation data for 2 epochs" in event.reason
    assert policy.state.minima == 1


def test_automatic_braking_never_counts_nan_as_an_improvement():
    policy = BrakingPolicy("auto", patience=2, stages=1)
    events = epochs_ended(policy, [1.0, math.nan, math.nan, math.nan, math.nan])
    assert [(epoch, event.action) for epoch, event in events] == [(3, "brake"), (5, "stop")]
    assert policy.best == 1.0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("target_is", "loss"),
        ("initial_loss", 1.0),
        ("on_patience", "adjust"),
        ("overfitting_patience", 2),
        ("minima", 2),
        ("exploitation", 2),
    ],
)
def test_automatic_braking_refuses_options_of_a_goal(option, value):
    with pytest.raises(ValueError, match=f'target="auto" .* leave out {option}'):
        BrakingPolicy("auto", **{option: value})


def test_stages_without_automatic_braking_are_refused():
    with pytest.raises(ValueError, match='stages=5 is only for target="auto"; leave out stages'):
        BrakingPolicy(0.5, stages=5)
    with pytest.raises(ValueError, match="stages must be a whole number >= 1, not 0"):
        BrakingPolicy("auto", stages=0)


def test_the_state_can_be_stored_as_numbers():
    policy = BrakingPolicy(0.5, average_steps=3)
    observed(policy, [2.0, 1.5])
    policy.epoch_end(1.2)
    again = BrakingState.from_vector(policy.state.to_vector())
    assert again == policy.state
    assert BrakingState.from_vector([0] * len(policy.state.to_vector())) == BrakingState()
    with pytest.raises(ValueError, match=r"has 13 numbers, not 3.*another version"):
        BrakingState.from_vector([1, 2, 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_is": "share"}, "target_is must be one of 'reduction', 'remaining', 'loss'"),
        ({"average_steps": 0}, "average_steps must be a whole number >= 1, not 0"),
        ({"average_steps": 1.5}, "average_steps must be a whole number >= 1, not 1.5"),
        ({"initial_loss": 0}, "initial_loss must be > 0, not 0"),
        ({"initial_loss": math.nan}, "initial_loss must be > 0, not nan"),
        ({"patience": 0}, "patience must be a whole number >= 1, not 0"),
        ({"patience": 2, "on_patience": "stop"}, "on_patience must be one of 'brake', 'adjust'"),
        ({"on_patience": "adjust"}, 'on_patience="adjust" needs patience, the number of epochs'),
        ({"adjustment": 1}, "adjustment must be above 0 and below 1, not 1"),
        ({"adjustment": 0.5}, 'adjustment is only for on_patience="adjust"'),
        ({"overfitting_patience": 0}, "overfitting_patience must be a whole number >= 1"),
        ({"minima": 0}, "minima must be a whole number >= 1, not 0"),
        ({"minima": 2}, "minima=2 with exploitation=None"),
        ({"exploitation": 2}, "minima=1 with exploitation=2"),
        ({"minima": 2, "exploitation": 0}, "exploitation must be a whole number >= 1, not 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BrakingPolicy(0.5, **options)


losses_of_steps = st.floats(0.01, 3) | st.just(math.nan)
calls = st.lists(
    st.one_of(
        st.tuples(st.just("observe"), losses_of_steps, st.integers(1, 6)),
        st.tuples(st.just("epoch_end"), losses_of_steps | st.none()),
    ),
    max_size=80,
)


@st.composite
def options(draw):
    """Draw any valid combination of options."""
    if draw(st.booleans()):
        return {
            "target": "auto",
            "patience": draw(st.integers(1, 3)),
            "stages": draw(st.integers(1, 3)),
        }
    patience, minima = draw(st.none() | st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "target": draw(st.floats(0.05, 0.95)),
        "target_is": draw(st.sampled_from(["reduction", "remaining", "loss"])),
        "average_steps": draw(st.integers(1, 12)),
        "initial_loss": draw(st.none() | st.floats(0.5, 2)),
        "patience": patience,
        "on_patience": draw(st.sampled_from(["brake", "adjust"])) if patience else "brake",
        "overfitting_patience": draw(st.none() | st.integers(1, 3)),
        "minima": minima,
        "exploitation": draw(st.integers(1, 3)) if minima > 1 else None,
    }


def answer(policy, call):
    """Return the event of one call of the policy, or None."""
    name, *arguments = call
    result = getattr(policy, name)(*arguments)
    return result if name == "observe" else result[-1]


def numbers(policy):
    return [float(number) for number in policy.state.to_vector()]


@given(options(), calls)
def test_invariants_of_every_sequence(options, calls):
    policy = BrakingPolicy(**options)
    turns, since, eases = [], 0, [1.0]
    for call in calls:
        since += call[2] if call[0] == "observe" else 0
        event = answer(policy, call)
        state = policy.state
        if event and event.action not in ("adjust", "stop"):
            turns.append(event.action)
            assert (state.braking > 0) == (event.action == "brake")
        if event and event.action == "accelerate":
            since = 0
        if event and call[0] == "observe":  # the goal
            assert since >= policy.average_steps
            assert event.loss <= policy.target_loss
        eases.append(state.ease)
    brakes = turns.count("brake")
    if policy.automatic:  # once for each stage, in one minimum
        assert brakes == policy.state.braking <= policy.stages
        assert policy.state.minima == min(brakes, 1)
        return
    # It brakes once in each minimum, accelerates between two, and stays in the last.
    assert turns == ["brake", "accelerate"] * (len(turns) // 2) + ["brake"] * (len(turns) % 2)
    assert brakes == policy.state.minima <= policy.minima
    assert turns.count("accelerate") < policy.minima
    assert eases == sorted(eases, reverse=True)


@given(options(), calls, st.data())
def test_a_policy_resumes_from_its_vector_as_if_it_had_not_been_interrupted(options, calls, data):
    cut = data.draw(st.integers(0, len(calls)))
    straight = BrakingPolicy(**options)
    expected = [answer(straight, call) for call in calls]
    before, after = BrakingPolicy(**options), BrakingPolicy(**options)
    events = [answer(before, call) for call in calls[:cut]]
    after.state = BrakingState.from_vector(before.state.to_vector())
    events += [answer(after, call) for call in calls[cut:]]
    # Compare as text, because NaN is not equal to itself.
    assert repr(events) == repr(expected)
    assert repr(numbers(after)) == repr(numbers(straight))
