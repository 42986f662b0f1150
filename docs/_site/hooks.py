"""Hooks of MkDocs: pages that are made from the code, and links that leave docs/.

The pages in docs/ link to files of the repository as they lie there, so that they work in any
viewer. On the site, results of experiments are pages too; a file of source becomes a page that
shows it.
"""

from __future__ import annotations

import logging
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs._site import command_pages, experiments_page, python_pages  # noqa: E402

log = logging.getLogger("mkdocs.hooks.site")
# Files of the repository's root that are pages of the site.
ROOT_PAGES = {
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
}
RESULTS = "experiments/results"
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
CODE = {".py": "python", ".toml": "toml", ".yml": "yaml", ".cff": "yaml", ".json": "json"}

_sources: set[str] = set()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, and the results of the experiments."""
    generated = [*python_pages.pages(), *command_pages.pages(), *experiments_page.pages()]
    for uri, text in generated:
        files.append(File.generated(config, uri, content=text))
    for name, uri in ROOT_PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / name).read_text("utf-8")))
    for path in sorted((ROOT / RESULTS).rglob("*")):
        if path.suffix in {".md", ".png"}:
            uri = path.relative_to(ROOT).as_posix()
            uri = uri.replace("README.md", "index.md")
            if path.suffix == ".md":
                files.append(File.generated(config, uri, content=path.read_text("utf-8")))
            else:
                files.append(File.generated(config, uri, abs_src_path=str(path)))
    folders = {path.parent for path in (ROOT / RESULTS).rglob("*.md")} | {ROOT / RESULTS}
    for folder in sorted(folders):
        uri = f"{folder.relative_to(ROOT).as_posix()}/index.md"
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, content=_listing(folder)))
    _sources.clear()
    for page in [file for file in files if file.src_uri.endswith(".md")]:
        for match in LINK.finditer(page.content_string):
            target = _target(page.src_uri, match[1])
            if target and _uri(target).startswith("source/"):
                _sources.add(target)
    for name in sorted(_sources):
        files.append(File.generated(config, _uri(name), content=_source_page(name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files of the repository to their pages on the site."""
    here = posixpath.dirname(page.file.src_uri)

    def rewritten(match: re.Match[str]) -> str:
        target = _target(page.file.src_uri, match[1])
        if target is None:
            return match[0]
        return posixpath.relpath(_uri(target), here or ".") + (match[2] or "")

    return LINK.sub(rewritten, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of notebooks to pages, which MkDocs does for Markdown only."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html

    def rewritten(match: re.Match[str]) -> str:
        target = _target(page.file.src_uri, match[1])
        file = files.get_file_from_path(_uri(target)) if target else None
        if file is None:
            log.warning("%s: the link %r leads nowhere", page.file.src_uri, match[1])
            return match[0]
        return f'href="{file.url_relative_to(page.file)}{match[2] or ""}"'

    return re.sub(r'href="(?!\w+:)([^"#]+\.(?:md|ipynb|py))(#[^"]*)?"', rewritten, html)


def on_post_build(config: MkDocsConfig) -> None:
    """Fail if a public name has no anchor on its page."""
    for uri, anchors in python_pages.identifiers().items():
        html = Path(config.site_dir, uri).with_suffix(".html")
        if not html.is_file():
            html = Path(config.site_dir, uri.removesuffix(".md"), "index.html")
        text = html.read_text("utf-8")
        missing = sorted(anchor for anchor in anchors if f'id="{anchor}"' not in text)
        if missing:
            raise PluginError(f"{uri}: no documentation of {', '.join(missing)}")


def _repository_path(uri: str) -> str:
    """Return where the text of a page lies in the repository."""
    for name, page in ROOT_PAGES.items():
        if uri == page:
            return name
    if uri.startswith(f"{RESULTS}/"):
        readme = uri.replace("index.md", "README.md")
        return readme if (ROOT / readme).is_file() else uri
    return f"docs/{uri}"


def _target(page: str, link: str) -> str | None:
    """Return the file or folder of the repository that a page's link means, or None."""
    if "://" in link or link.startswith(("mailto:", "/", "#")):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(_repository_path(page)), link))
    is_here = not path.startswith("..") and (ROOT / path).exists()
    return path if is_here else None


def _uri(path: str) -> str:
    """Return the page or file of the site that shows a path of the repository."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == "README.md":
        return "index.md"
    if path == "experiments":
        return "reproduction/index.md"
    if path.startswith(RESULTS):
        if (ROOT / path).is_dir():
            return f"{path}/index.md"
        if path.endswith((".md", ".png")):
            return path.replace("README.md", "index.md")
    return f"source/{path}.md"


def _source_page(name: str) -> str:
    path = ROOT / name
    if path.is_dir():
        return _listing(path)
    language = CODE.get(path.suffix, "text")
    return f"# {name}\n\n``````{language}\n{path.read_text('utf-8')}\n``````\n"


def _listing(folder: Path) -> str:
    name = folder.relative_to(ROOT).as_posix()
    pages = [path.name for path in sorted(folder.glob("*.md")) if path.name != "README.md"]
    below = [path.parent.name for path in sorted(folder.glob("*/*.md"))]
    lines = [f"- [{page}]({page})" for page in pages]
    lines += [f"- [{below_name}/]({below_name}/index.md)" for below_name in dict.fromkeys(below)]
    return "\n".join([f"# {name}", "", *lines, ""])
