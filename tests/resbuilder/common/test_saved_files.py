"""JSON files and models are written atomically."""

from pathlib import Path

import pytest

from resbuilder import build_model, minimal_architecture
from resbuilder.common.files import atomically, write_json


def test_a_failed_write_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"whole": True})
    before = (tmp_path / "a.json").read_bytes()
    with pytest.raises(OSError, match="No space left"), atomically(tmp_path / "a.json") as part:
        Path(part).write_bytes(before[:5])
        raise OSError(28, "No space left on device")
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", float("nan"))
    assert (tmp_path / "a.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_temporary_name_has_a_suffix_that_keras_accepts(tmp_path):
    model = build_model(minimal_architecture((8, 8, 1), 3, 4))
    with atomically(tmp_path / "model.keras") as part:
        model.save(part)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
