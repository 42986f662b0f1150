"""Check the language of everything people read: ``python -m tests.prose``, part of ``make lint``.

Phrases that a native reader stumbles over, each with what to write instead; and lines of the docs
that are too long to read in an editor.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUFFIXES = {".py", ".md", ".j2", ".toml", ".yml", ".cff", ".ipynb"}
NAMES = {"Makefile", "run"}
# Measured results are regenerated from numbers, and the list itself must name what it rejects.
SKIPPED = ("experiments/results/", "tests/prose.py", "CONTRIBUTING.md")
# Lines of docs; a table's row or a link cannot be broken.
WIDTH = 100

BANNED = {
    # In quotes it is a key of stored results, which must not change.
    r'(?<!")\banew\b(?!")': "again, or from scratch",
    r"\bwhoever\b": "users who, anyone who",
    r"\bwhat is (?:no|not a)\b": "name the thing: 'a file that is not a slide'",
    r"(?<!there )\bis no (?!longer|more|less|better|worse|such|\w+er\b)": "is not a ...",
    r"(?<!there )\bare no (?!longer|more|less|better|worse|such|\w+er\b)": "are not ...",
    r"\bso many\b": "the same number of, this many",
    r"\bso much\b": "this much",
    r"\bgoes on\b": "continues",
    r"\bgo on\b": "continue",
    r"\bwent on\b": "continued",
    r"\bin place of\b": "instead of",
    r"\bheld against\b": "compared with",
    r"\bcame of it\b": "the result",
    r"\bwhat it brings and what not\b": "what it gains and what it does not",
    r"\bnot before\b": "only after, only when",
    r"\bthe (?:same )?command goes\b": "run the same command again to resume",
    r"\bmust be there\b": "is required",
    r"\bas nothing had happened\b": "as if it had not been interrupted",
    r"\bby the hundred\b": "hundreds of times",
    r"\bwhole or not at all\b": "atomically",
    r"[}\d] (?:[a-z]+ )*[a-z]+\(s\)": "the singular or the plural: resbuilder.common.words.count",
    r"\bwhole-or-not-at-all\b": "atomic",
}
REJECTED = {re.compile(pattern, re.IGNORECASE): instead for pattern, instead in BANNED.items()}


def tracked() -> list[Path]:
    """Return the tracked text files that people read, relative to the repository's root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [Path(name) for name in listed.stdout.split("\0") if name]
    return sorted(
        name
        for name in names
        if (name.suffix in SUFFIXES or name.name in NAMES)
        and not name.as_posix().startswith(SKIPPED)
        and (ROOT / name).is_file()
    )


def complaints(name: Path, text: str) -> list[str]:
    """Return one line for each rejected phrase and overlong line of a file."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{name}:{number}"
        for pattern, instead in REJECTED.items():
            if match := pattern.search(line):
                found.append(f"{where}: {match.group()!r}: write {instead}")
        prose = name.suffix == ".md" and not line.startswith("|") and "](" not in line
        if prose and len(line) > WIDTH and "http" not in line:
            found.append(f"{where}: {len(line)} characters in a line, at most {WIDTH}")
    return found


def main() -> int:
    found = [c for name in tracked() for c in complaints(name, (ROOT / name).read_text("utf-8"))]
    print("\n".join(found) or "prose: nothing to complain about")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
