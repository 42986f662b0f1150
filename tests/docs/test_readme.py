"""The blocks of the README that people paste are complete, and run."""

import re
from pathlib import Path

import pytest

from resbuilder import cost

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def run(package, tmp_path, monkeypatch):
    """Run the block that imports a package, in an empty folder, and return its names."""
    (block,) = [block for block in BLOCKS if f"from {package} import" in block]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block, "README", "exec"), names)
    return names


def test_there_is_one_block_for_each_package():
    assert len(BLOCKS) == 3


@pytest.mark.slow
def test_the_search_finds_a_network_within_the_budget(tmp_path, monkeypatch):
    names = run("resbuilder", tmp_path, monkeypatch)
    assert cost(names["result"].architecture).flops <= 1e6
    assert names["model"].output_shape == (None, 10)
    assert (tmp_path / "runs/digits/models/best.keras").is_file()


def test_the_optimizer_brakes(tmp_path, monkeypatch):
    names = run("phs_optimizer", tmp_path, monkeypatch)
    assert [event["action"] for event in names["braking"].events] == ["brake"]
    assert (tmp_path / "braking.png").is_file()


def test_the_cox_network_orders_the_risks(tmp_path, monkeypatch, capsys):
    history = run("survival", tmp_path, monkeypatch)["history"].history
    (name,) = [name for name in history if "cindex" in name]
    assert history[name][-1] > 0.65
    assert name in capsys.readouterr().out
