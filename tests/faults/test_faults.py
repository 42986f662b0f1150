"""A small fault run: broken slides and inputs of every kind, all with right outcomes."""

import warnings

import numpy as np
import pytest

from tests.faults.inputs import fuzzed_inputs
from tests.faults.kills import Command, kills
from tests.faults.readers import readers
from tests.faults.slides import broken_slides

SLIDES, INPUTS = 30, 20


@pytest.mark.slow
def test_broken_slides_are_rejected_or_look_like_valid_ones(tmp_path):
    tallies = broken_slides(SLIDES, tmp_path)
    assert [tally.wrong for tally in tallies] == [[]] * len(tallies)
    kinds = {tally.fault: tally.tried for tally in tallies}
    assert sum(kinds.values()) >= SLIDES and min(kinds.values()) > 0
    assert set(kinds) == {
        f"slides: {name}" for name in ("cut", "wrong tags", "bombs", "other files", "bits flipped")
    }
    assert all(tally.outcomes["rejected"] for tally in tallies)


@pytest.mark.slow
def test_fuzzed_inputs_are_rejected_with_a_message_or_valid(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tallies = fuzzed_inputs(INPUTS, tmp_path)
    assert {tally.fault: tally.wrong for tally in tallies if tally.wrong} == {}
    assert {tally.tried for tally in tallies} == {INPUTS} and len(tallies) == 20
    assert all(tally.outcomes["rejected"] for tally in tallies)
    # Some defects are harmless, so the checks of accepted contents do run.
    assert sum(tally.outcomes["accepted"] for tally in tallies) > len(tallies)


def test_the_same_seed_makes_the_same_defects(tmp_path):
    for reader in readers(tmp_path / "whole"):
        first, second = (np.random.default_rng(3) for _ in range(2))
        assert all(reader.broken(first) == reader.broken(second) for _ in range(10))


def test_a_command_that_fails_by_itself_is_counted_and_ends_the_run(tmp_path):
    fails_in_all_but_the_first = """
import sys, pathlib
pathlib.Path(sys.argv[1]).mkdir()
sys.exit(sys.argv[1].endswith("whole") is False)
"""
    command = Command("a script", fails_in_all_but_the_first, lambda folder: "nothing")
    tally = kills(command, count=3, folder=tmp_path)
    assert tally.tried >= 3 and any("ends with status 1" in line for line in tally.wrong)
