"""The site's reference has every public name, and its navigation every page."""

import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from docs._site import command_pages, experiments_page, python_pages

ROOT = Path(__file__).parents[2]


def exported() -> dict[str, list[str]]:
    """Return the ``__all__`` of every module of the packages that has one, by importing them."""
    found = {}
    for package in python_pages.PACKAGES:
        path = import_module(package).__path__
        below = [module.name for module in pkgutil.walk_packages(path, f"{package}.")]
        for name in [package, *below]:
            if names := getattr(import_module(name), "__all__", None):
                found[name] = names
    return found


@pytest.mark.slow
def test_no_public_name_is_missing_from_the_reference():
    names = exported()
    assert names == python_pages.public_names()
    pages = dict(python_pages.pages())
    for module, members in names.items():
        if module in python_pages.SKIPPED:
            continue
        page = pages[python_pages.page_of(module)]
        for member in members:
            path = python_pages.identifier(module, member)
            is_documented = f'        - "{member}"\n' in page or f"\n::: {path}\n" in page
            is_linked = f"- [`{module}.{member}`][" in page
            assert is_documented != is_linked, f"{module}.{member}"


@pytest.mark.slow
def test_a_name_that_a_package_links_is_documented_by_its_room():
    pages = dict(python_pages.pages())
    for package in python_pages.PACKAGES:
        for name, room in python_pages.homes(package).items():
            assert (
                python_pages.identifier(room, name)
                in python_pages.identifiers()[python_pages.page_of(room)]
            )
            assert python_pages.page_of(room) in pages
            assert getattr(import_module(package), name) is getattr(import_module(room), name)


def test_the_navigation_has_each_page_of_the_python_reference():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {name for name, _ in python_pages.pages()}
    assert pages == set(re.findall(r"reference/python/[\w.]+\.md", navigation))


def test_no_constant_is_assigned_in_a_chain_which_the_tool_of_the_reference_cannot_follow():
    chain = re.compile(r"^\w[\w, ]* = [\w, ]+ = ", re.MULTILINE)
    for package in python_pages.PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert not chain.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("program", command_pages.PROGRAMS)
def test_every_command_and_option_is_in_the_reference(program):
    page = dict(command_pages.pages())[command_pages.page_of(program)]
    main = import_module(command_pages.PROGRAMS[program]).main
    contexts = list(command_pages.commands(click.Context(main, info_name=program)))
    assert len(contexts) > 5
    for context in contexts:
        path = context.command_path
        section = page if context.parent is None else page.split(f" `{path}`\n")[1]
        section = section.split("\n## ")[0].split("\n### ")[0]
        for parameter in context.command.get_params(context):
            if isinstance(parameter, click.Option):
                assert all(f"`{name}`" in section for name in parameter.opts), (path, parameter)
    assert "UNSET" not in page


def test_every_experiment_is_on_its_page():
    from experiments import catalog

    ((_, page),) = experiments_page.pages()
    for name, module in catalog.scripts():
        assert f"`python -m {name}" in page
        for experiment in getattr(module, "EXPERIMENTS", ()):
            for preset in experiment.times:
                assert preset == "quick" or f"| `{preset}` |" in page
    assert not re.search(r"\x1b\[", page)


@pytest.mark.slow
def test_the_navigation_has_every_page():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").split("\nnav:\n")[1]
    listed = set(re.findall(r"[\w./-]+\.(?:md|ipynb)", nav))
    written = {
        path.relative_to(ROOT / "docs").as_posix()
        for suffix in ("md", "ipynb")
        for path in (ROOT / "docs").rglob(f"*.{suffix}")
        if ".ipynb_checkpoints" not in path.parts
    }
    made = {uri for uri, _ in [*python_pages.pages(), *command_pages.pages()]}
    root = {"project/contributing.md", "project/changelog.md", experiments_page.PAGE}
    assert listed == written | made | root


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install -r requirements-docs.txt")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    home = (tmp_path / "index.html").read_text("utf-8")
    assert not re.search(r"""(?:src|href)="https?://[^"]+\.(?:js|css|woff2?)""", home)
