"""All printed tables of the thesis are available."""

import pytest

from experiments.thesis import table


def test_every_printed_cell_is_available():
    assert len(table("3_1")) == len(table("3_2")) == 20
    accuracies = [float(row["test_accuracy_percent"]) for row in table("3_1") + table("3_2")]
    assert min(accuracies) == 62.24 and max(accuracies) == 91.02
    methods = [list(row.values())[1:] for row in table("6_1")]
    assert sum(len(cells) for cells in methods) == 24 and all(map(all, methods))
    scores = [list(row.values())[2:] for row in table("7_2")]
    assert sum(len(cells) for cells in scores) == 16 and all(map(all, scores))
    assert {row["characteristic"] for row in table("7_1")} >= {"patients", "dead_or_event"}


def test_an_unknown_table_is_reported_with_the_known_ones():
    with pytest.raises(ValueError, match="'4_1'.*3_1, 3_2, 6_1, 7_1, 7_2"):
        table("4_1")
