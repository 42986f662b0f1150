"""Links in the pages lead to files and headings that exist, in the repository as on the site."""

import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
# Pages that are made when the site is built.
GENERATED = {"docs/reproduction/experiments.md"}


def headings(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site name them."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", _plain(title)).replace(" ", "-") for title in found}


def _plain(title: str) -> str:
    return unicodedata.normalize("NFC", title.replace("`", "").strip().lower())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).as_posix() in GENERATED:
            continue
        if not path.exists() or (anchor and anchor not in headings(path)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def test_pages_that_are_linked_and_not_written_are_generated():
    from docs._site import experiments_page

    assert {f"docs/{experiments_page.PAGE}"} == GENERATED
