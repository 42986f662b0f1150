"""The code block in the guide runs and does what the page says."""

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "phs_optimizer.md"


def test_the_code_block_runs(tmp_path, monkeypatch, capsys):
    block = re.search(r"```python\n(.+?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block, "guide", "exec"), names)
    assert [event["action"] for event in names["braking"].events] == ["brake"]
    assert "reached the goal" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"braking.png", "energy.png"}
    # Braking takes the noise out of the validation loss.
    epoch, losses = names["braking"].events[0]["epoch"], names["history"]["val_loss"]
    assert max(losses[-3:]) < min(losses[: epoch + 1])
