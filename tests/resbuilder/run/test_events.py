"""Every event survives JSON unchanged, and the error about an invalid field names it."""

import json
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Annotated, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resbuilder.architecture import Architecture, minimal_architecture, resnet_architecture
from resbuilder.run import (
    ArchitectureEvent,
    BreakDownEvent,
    DataEvent,
    EntrantEvent,
    Entry,
    EvaluationEvent,
    ExhaustedEvent,
    FinishedEvent,
    MorphNetEvent,
    MorphNetStep,
    RemovalEvent,
    Scores,
    SelectionEvent,
    TrainingEvent,
    UnknownEvent,
)
from resbuilder.run.events import (
    ORIGINS,
    RACE_ORIGINS,
    THESIS_ORIGINS,
    TRAININGS,
    Counts,
    Origin,
    Variant,
)

KINDS = (
    DataEvent,
    ArchitectureEvent,
    EntrantEvent,
    SelectionEvent,
    TrainingEvent,
    EvaluationEvent,
    RemovalEvent,
    MorphNetEvent,
    MorphNetStep,
    ExhaustedEvent,
    BreakDownEvent,
    FinishedEvent,
)
NETS = (
    minimal_architecture((8, 8, 1), 3, 4, 2),
    resnet_architecture((8, 8, 3), 10, (4, 6), (1, 1)),
)
OWN_ORIGINS = {ArchitectureEvent: THESIS_ORIGINS, EntrantEvent: RACE_ORIGINS}
DEAD = {MorphNetEvent: st.text(), MorphNetStep: st.none()}


def some(hint) -> st.SearchStrategy:
    """Return values that a field of this type may have."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (Variant, Origin):
        return st.sampled_from(TRAININGS if hint == Variant else ORIGINS)
    if hint == Counts:
        row = st.tuples(*[st.integers(0)] * 2)
        return st.tuples(row, row)
    if origin is Annotated:
        return st.integers(min_value=0)
    if origin in (Union, UnionType):
        return st.none() | some(next(a for a in arguments if a is not NoneType))
    if origin is tuple:
        return st.lists(some(arguments[0]), max_size=3).map(tuple)
    if hint is Architecture:
        return st.sampled_from(NETS)
    if hint is float:
        return st.integers(-(2**60), 2**60) | st.floats(-1e299, 1e299)
    if hint is int:
        return st.integers()
    if hint is bool:
        return st.booleans()
    if hint is str:
        return st.text()
    if arguments:
        return st.dictionaries(st.text(), some(arguments[1]), max_size=3)
    return made(hint)


def made(kind) -> st.SearchStrategy:
    """Return objects of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    values = {f.name: some(hints[f.name]) for f in fields(kind)}
    # Only a step that left no network gives a reason.
    values |= {"dead": DEAD[kind]} if kind in DEAD else {}
    values |= {"origin": st.sampled_from(OWN_ORIGINS[kind])} if kind in OWN_ORIGINS else {}
    return st.builds(kind, **values)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(data=st.data(), key=st.text(), n=st.integers(0, 10**6))
def test_an_event_survives_json_unchanged(kind, data, key, n):
    entry = Entry(n, "2024-05-01T12:00:00+00:00", key, data.draw(made(kind)))
    line = json.dumps(entry.to_json(), allow_nan=False)
    again = Entry.from_json(json.loads(line), n)
    assert again == entry and type(again.event) is kind
    assert json.dumps(again.to_json()) == line


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_the_error_names_a_missing_or_wrong_field(kind, data):
    event = data.draw(made(kind))
    line = {"event": kind.name, "key": ""} | event.to_json()
    name = data.draw(st.sampled_from([f.name for f in fields(kind)]))
    without = {k: v for k, v in line.items() if k != name}
    if next(f for f in fields(kind) if f.name == name).default is MISSING:
        with pytest.raises(ValueError, match=f"it lacks '{name}'"):
            Entry.from_json(without, 0)
    else:  # An earlier version did not write it.
        Entry.from_json(without, 0)
    wrong = "yes" if isinstance(line.get(name), bool) else True
    with pytest.raises(ValueError, match=f"'{name}' must be .*, got {wrong!r}"):
        Entry.from_json(line | {name: wrong}, 0)


@given(st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e300, 10**400, True, "1"]))
def test_a_number_must_be_finite_and_not_too_large_for_figures(value):
    with pytest.raises(ValueError, match="'accuracy' must be a number or null, got"):
        EvaluationEvent.from_json(
            {"index": 0, "validation": {"accuracy": value, "loss": 1}, "test": {}}
        )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"accuracy": 1}, "'validation' must be accuracy and loss: it lacks 'loss'"),
        (3, "'validation' must be accuracy and loss, got 3"),
        ({"accuracy": "x", "loss": 1}, "'accuracy' must be a number or null, got 'x'"),
    ],
)
def test_the_error_says_what_is_wrong_inside_a_field(value, message):
    with pytest.raises(ValueError, match=message):
        EvaluationEvent.from_json({"index": 0, "validation": value, "test": value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("alive", {"stem": -1}, "'alive.stem' must be a whole number, got -1"),
        ("channels", {"stem": [0, None]}, r"'channels.stem\[1\]' must be a whole number, got None"),
        ("removed_blocks", "b1", "'removed_blocks' must be a list, got 'b1'"),
        ("result", "{}", "'result' must be an object, got '{}'"),
    ],
)
def test_the_error_names_the_position_in_a_list_or_an_object(field, value, message):
    widths = {"stem": 1}
    data = {
        "round": 0, "index": 0, "alive": widths, "widths_before": widths, "flops_before": 1,
        "dead": None, "widths_shrunk": widths, "widths_after": widths, "flops_shrunk": 1,
        "flops_after": 1, "kappa": 1, "removed_blocks": [], "channels": {"stem": [-1, 0]},
        "result": NETS[0].to_json(),
    }  # fmt: skip
    assert MorphNetStep.from_json(data).channels == {"stem": (-1, 0)}
    with pytest.raises(ValueError, match=message):
        MorphNetStep.from_json(data | {field: value})


def test_fields_and_events_of_later_versions_are_ignored():
    line = {"event": "evaluation", "key": "k", "index": 0, "energy": 3}
    scores = {"accuracy": 0.5, "loss": 1.0}
    entry = Entry.from_json(line | {"validation": scores, "test": scores | {"top5": 1}}, 0)
    assert entry.event == EvaluationEvent(index=0, validation=Scores(0.5, 1), test=Scores(0.5, 1))
    lunch = {"n": 4, "time": "noon", "event": "lunch", "key": "lunch 1", "soup": [1, None]}
    entry = Entry.from_json(lunch, 4)
    assert entry.event == UnknownEvent("lunch", {"soup": [1, None]})
    assert entry.to_json() == lunch
