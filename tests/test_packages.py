"""The distribution: what the wheel holds, that it works elsewhere, and what an import costs."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("resbuilder", "phs_optimizer", "survival")

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
for name in {packages}:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
assert "tensorflow" not in sys.modules, "an import has pulled in TensorFlow"
import keras
print(keras.backend.backend())
"""


def python(*arguments, cwd, **environment):
    """Runs this interpreter on its own and returns what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy, because a build leaves its traces beside setup.py."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "experiments", "benchmarks"):  # these must stay out
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    build = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index")
    python(*build, "--wheel-dir", out, source, cwd=source)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel):
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted


def test_the_wheel_brings_command_licence_and_version(wheel):
    with ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        scripts = archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
        licence = archive.read(f"{info}/licenses/LICENSE").decode()
    assert "resbuilder = resbuilder.cli:main" in scripts
    assert "License-Expression: Apache-2.0" in metadata
    assert f"\nVersion: {version('resbuilder')}\n" in metadata
    assert licence == (ROOT / "LICENSE").read_text()


def test_the_wheel_works_away_from_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    install = ("-m", "pip", "install", "--no-deps", "--no-index", "--target", site)
    python(*install, wheel, cwd=tmp_path)
    run = "import resbuilder, resbuilder.cli; print(resbuilder.__file__); resbuilder.cli.main()"
    printed = python("-c", run, "--help", cwd=tmp_path, PYTHONPATH=str(site))
    assert printed.startswith(str(site))
    for command in ("search", "resume", "train", "evaluate", "report", "export", "datasets"):
        assert re.search(rf"^\W*{command}\b", printed, re.MULTILINE), command


def test_no_import_of_the_packages_pulls_in_tensorflow():
    code = IMPORT_EVERYTHING.format(packages=PACKAGES)
    assert python("-c", code, cwd=ROOT, KERAS_BACKEND="jax").strip() == "jax"


def test_the_version_is_written_in_one_place_and_has_its_entry_in_the_changelog():
    literal = re.compile(rf"""["']{re.escape(version("resbuilder"))}["']""")
    sources = (path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    holders = [path for path in (ROOT / "setup.py", *sources) if literal.search(path.read_text())]
    assert holders == [ROOT / "setup.py"]
    assert f"\n## {version('resbuilder')}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_pinned_within_its_range():
    text = (ROOT / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE))
    needs = [Requirement(line) for line in requires("resbuilder")]
    assert {need.name for need in needs} == set(pins) - {"setuptools"}
    for need in needs:
        assert need.specifier.contains(pins[need.name]), f"{need} but {pins[need.name]} is pinned"


def test_nothing_runs_what_a_file_says():
    """No pickles, no evaluated text, no unsafe models: see docs/security.md."""
    running = r"\b(?:eval|exec)\(|allow_pickle=True|safe_mode=False|shell=True|os\.system"
    libraries = r"^\s*(?:import|from) (?:pickle|marshal|shelve|joblib|dill|cloudpickle|yaml)\b"
    unsafe = re.compile(f"{running}|{libraries}|keras\\.models\\.load_model", re.MULTILINE)
    sources = [path for name in (*PACKAGES, "experiments") for path in (ROOT / name).rglob("*.py")]
    assert len(sources) > 100
    found = [(path.name, m[0]) for path in sources for m in unsafe.finditer(path.read_text())]
    assert found == []
    loads = [path.read_text() for path in sources if "np.load(" in path.read_text()]
    assert loads and all(t.count("np.load(") == t.count("allow_pickle=False") for t in loads)
