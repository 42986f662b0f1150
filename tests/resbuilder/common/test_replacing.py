"""Only files that this program has written are replaced."""

import pytest

from resbuilder.common.replacing import begins_otherwise, check_place, strangers


def test_an_existing_file_is_replaced_only_with_overwrite_and_if_it_is_ours(tmp_path):
    path = tmp_path / "out.csv"
    ours, theirs = (lambda _: None), (lambda _: "it is a letter")
    assert check_place(path, True, theirs) is False  # The file does not exist yet.
    path.write_text("text")
    with pytest.raises(ValueError, match="out.csv already exists; give --overwrite"):
        check_place(path, False, ours)
    with pytest.raises(ValueError, match="is not overwritten: it is a letter; move it away"):
        check_place(path, True, theirs)
    assert check_place(path, True, ours) is True
    with pytest.raises(ValueError, match="the folder of .*out.csv does not exist"):
        check_place(tmp_path / "no" / "out.csv", True, ours)


def test_unknown_files_in_a_folder_are_named_however_deep_they_are(tmp_path):
    known = ("config.json", "models/*.keras", "logs/*events")
    for name in ("models", "logs/deep", "empty"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("config.json", "models/a.keras", "logs/deep/1.events", ".0123456789abcdef.part"):
        (tmp_path / name).touch()
    assert strangers(tmp_path, known) is None
    for name in ("notes", "models/a.txt", ".git", "CONFIG.json"):
        (tmp_path / name).touch()
    said = strangers(tmp_path, known)
    assert said.startswith("it holds .git, CONFIG.json, models/a.txt and 1 more file, which")


def test_a_link_is_never_ours(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "models").symlink_to(tmp_path / "elsewhere")
    assert "it holds models, which" in strangers(tmp_path / "run", ["models/*"])
    link = tmp_path / "dangling"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="already exists"):
        check_place(link, False, lambda _: None)
    assert begins_otherwise(link, "slide,") == "it is not a file"


def test_a_file_is_recognized_by_its_beginning(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("slide,patient,time\n")
    assert begins_otherwise(file, "<html>", "slide,patient,") is None
    assert begins_otherwise(file, "patient") == "this program did not write it"
    assert begins_otherwise(tmp_path, "slide") == "it is not a file"
