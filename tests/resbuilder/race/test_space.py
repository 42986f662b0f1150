"""The candidates of a race: all within ζ and close to it; ResNet-18 is one of them."""

import pytest

from resbuilder import cost, resnet_architecture
from resbuilder.race import candidates
from resbuilder.surgery import scale_to_budget

CASES = [
    ((8, 8, 1), 2e6), ((28, 28, 1), 2e6), ((32, 32, 3), 4e7), ((40, 64, 3), 4e7),
    ((224, 224, 3), 4e8),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "flops"), CASES)
def test_candidates_fill_the_budget_and_are_all_different(shape, flops):
    found = candidates(shape, 10, flops)
    assert len({c.architecture for c in found}) == len(found) >= 3
    assert len({str(c.architecture) for c in found}) == len(found)
    for candidate in found:
        # Two of them make the final network.
        assert 0.9 * flops / 2 < cost(candidate.architecture).flops <= flops / 2
        # Each stage halves the rows of features, but never below two.
        assert min(candidate.architecture.resolutions()[-1]) >= 2
        assert {len(s.blocks) for s in candidate.architecture.stages} <= {0, candidate.depth}


def test_the_labels_describe_the_networks():
    found = {c.label: c.architecture for c in candidates((32, 32, 3), 10, 8e6)}
    assert list(found) == [
        "s1p 111", "s1p+ 0111", "s2p 111", "s2p+ 011",
        "s1p+ 0222",  # s1 111, s1 2222 and s1p 2222 would begin with four to seven channels
    ]  # fmt: skip
    assert found["s1p+ 0111"].resolutions() == ((16, 16), (8, 8), (4, 4), (2, 2))
    assert found["s1p+ 0111"].depth == 7 and found["s2p 111"].stem.stride == 2
    assert [s.width for s in found["s1p+ 0111"].stages] == [12, 25, 50, 100]


def test_resnet_18_with_a_small_stem_and_averages_is_a_candidate():
    resnet = resnet_architecture((32, 32, 3), 10, stem="small", transition="average")
    resnet = scale_to_budget(resnet, 20_000_000)
    assert resnet in [c.architecture for c in candidates((32, 32, 3), 10, 4e7)]


def test_each_doubling_of_the_images_adds_a_first_stage_without_blocks():
    labels = [c.label for c in candidates((128, 128, 3), 10, 2e8, depths=[1])]
    assert "s1 00111" in labels and "s1p+ 000111" in labels


def test_a_single_candidate_fills_the_whole_budget():
    (only,) = candidates((2, 2, 1), 10, 1e5, depths=[1])
    assert 0.9e5 < cost(only.architecture).flops <= 1e5


@pytest.mark.parametrize("flops", [0, -1e6, float("inf"), float("nan")])
def test_a_budget_that_no_network_can_have_is_refused(flops):
    with pytest.raises(ValueError, match="flops must be a positive number of FLOPs, got"):
        candidates((32, 32, 3), 10, flops)


def test_a_budget_below_the_smallest_candidate_names_the_least_budget():
    with pytest.raises(ValueError, match="gets 5, but the smallest, .* needs") as error:
        candidates((32, 32, 3), 10, 10)
    least = 2 * int(str(error.value).partition("needs ")[2].partition(";")[0].replace(",", ""))
    assert candidates((32, 32, 3), 10, least)
    with pytest.raises(ValueError, match="too small"):
        candidates((32, 32, 3), 10, least - 1)
