"""The code blocks of the guide run in order and do what the guide says."""

import re
from pathlib import Path

import numpy as np

from resbuilder.morphnet import ChannelGraph, rules
from resbuilder.morphnet.selection import ChannelCost

GUIDE = Path(__file__).parents[3] / "docs" / "pruning.md"


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    names = {}

    def accuracy(model):
        return np.mean(model.predict(names["x_test"], verbose=0).argmax(axis=1) == names["y_test"])

    def flops(model):
        graph = ChannelGraph(model)
        return ChannelCost(graph, "flops").total(np.ones(graph.size, bool))

    registered = dict(rules._REGISTERED)
    try:
        for block in blocks:
            exec(compile(block, str(GUIDE), "exec"), names)
            if "small = prune(" in block:
                assert flops(names["small"]) <= 0.5 * flops(names["network"])
                assert accuracy(names["small"]) > 0.5
    finally:
        rules._REGISTERED.clear()
        rules._REGISTERED.update(registered)
    assert (tmp_path / "small.keras").exists()
    assert "outputs on 397 images changed by" in capsys.readouterr().out
    assert flops(names["small"]) < flops(names["network"])
