"""Nothing is replaced that this program has not made."""

import pytest

from resbuilder.common.replacing import begins_otherwise, check_place, strangers


def test_what_is_there_is_replaced_only_if_it_is_asked_for_and_ours(tmp_path):
    path = tmp_path / "out.csv"
    ours, theirs = (lambda _: None), (lambda _: "it is a letter")
    assert check_place(path, True, theirs) is False  # there is nothing
    path.write_text("text")
    with pytest.raises(ValueError, match="out.csv already exists; give --overwrite"):
        check_place(path, False, ours)
    with pytest.raises(ValueError, match="is not overwritten: it is a letter; move it away"):
        check_place(path, True, theirs)
    assert check_place(path, True, ours) is True
    with pytest.raises(ValueError, match="the folder of .*out.csv does not exist"):
        check_place(tmp_path / "no" / "out.csv", True, ours)


def test_every_file_in_a_folder_must_be_known_wherever_it_lies(tmp_path):
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


def test_a_link_is_something_that_somebody_put_there(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "models").symlink_to(tmp_path / "elsewhere")
    assert "it holds models, which" in strangers(tmp_path / "run", ["models/*"])
    link = tmp_path / "dangling"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="already exists"):
        check_place(link, False, lambda _: None)
    assert begins_otherwise(link, "slide,") == "it is not a file"


def test_a_file_is_known_by_its_beginning(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("slide,patient,time\n")
    assert begins_otherwise(file, "<html>", "slide,patient,") is None
    assert begins_otherwise(file, "patient") == "this program did not write it"
    assert begins_otherwise(tmp_path, "slide") == "it is not a file"
