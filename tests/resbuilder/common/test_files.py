"""Files are written atomically."""

import pytest

from resbuilder.common.files import atomically, remove_leftovers


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / ("n" * 251 + ".csv")  # The longest possible name.
    with atomically(path) as part:
        part.write_text("whole")
    with pytest.raises(OSError, match="No space left"), atomically(path) as part:
        assert part.suffix == ".csv"
        part.write_text("ha")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_never_share_a_file(tmp_path):
    path = tmp_path / "a.png"
    with atomically(path) as first, atomically(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # It was renamed last.


def test_only_temporary_files_of_a_killed_process_are_removed(tmp_path):
    names = [".0123456789abcdef.part.png", ".notes.part.png", ".0123456789abcdef.png", "a.part.png"]
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[1:])
    remove_leftovers(tmp_path / "nowhere")
