"""The distribution: the contents of the wheel, its use elsewhere, its types and its imports."""

import contextlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    """Run this interpreter in a new process, and return its output."""
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
    """Return a wheel built from a copy, because a build leaves files next to setup.py."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "experiments", "benchmarks"):  # must not be in the wheel
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    build = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index")
    python(*build, "--wheel-dir", out, source, cwd=source)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_contains_the_three_packages_and_nothing_else(wheel):
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted


def test_the_wheel_includes_commands_license_and_version(wheel):
    with ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        scripts = archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
        license = archive.read(f"{info}/licenses/LICENSE").decode()
    assert "resbuilder = resbuilder.cli:main" in scripts
    assert "License-Expression: Apache-2.0" in metadata
    assert f"\nVersion: {version('resbuilder')}\n" in metadata
    assert license == (ROOT / "LICENSE").read_text()


def test_the_wheel_works_away_from_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    install = ("-m", "pip", "install", "--no-deps", "--no-index", "--target", site)
    python(*install, wheel, cwd=tmp_path)
    run = "import resbuilder, resbuilder.cli; print(resbuilder.__file__); resbuilder.cli.main()"
    printed = python("-c", run, "--help", cwd=tmp_path, PYTHONPATH=str(site))
    assert printed.startswith(str(site))
    for command in ("search", "resume", "train", "evaluate", "report", "export", "datasets"):
        assert re.search(rf"^\W*{command}\b", printed, re.MULTILINE), command


# A line that must fail ends in mypy's error code; a reveal_type ends in the expected type.
USER_PROGRAM = """
import numpy as np

{imports}
import resbuilder
from resbuilder.datasets import Dataset
from survival.cohort import Cohort

config = SearchConfig(dataset="digits", epochs=2)
reveal_type(config)  # resbuilder.config.search.SearchConfig
reveal_type(config.resolved())  # resbuilder.config.search.SearchConfig
found = SearchConfig.from_mapping(dict(dataset="digits"))
reveal_type(found)  # resbuilder.config.search.SearchConfig
reveal_type(config.width)  # int | None
architecture = minimal_architecture((28, 28, 1), 10)
reveal_type(architecture.widths())  # dict[str, int]
reveal_type(cost(architecture).flops)  # int
reveal_type(search)  # SearchResult
reveal_type(resbuilder.datasets.load("digits").input_shape)  # tuple[int, int, int]
y = np.zeros((4, 2))
cohort = Cohort(["a", "b"], ["P", "Q"], [1.0, 2.0], [True, False])
reveal_type(cohort.dataset)  # ndarray
reveal_type(harrell_c(y, y[:, 0]))  # float
optimizer = PHS(1e-3, friction=0.1)

SearchConfig()  # call-arg
SearchConfig(dataset="digits", epochs="many")  # arg-type
TrainConfig(dataset="digits", rounds=3)  # call-arg
search(architecture)  # arg-type
build_model("rb-r18")  # arg-type
minimal_architecture((28, 28), 10)  # arg-type
PHS(mass="heavy")  # arg-type
CoxPHLoss(ties=1)  # arg-type
cohort.part(0)  # arg-type
resbuilder.searches  # attr-defined
from survival.metrics import c_index  # attr-defined
"""


@pytest.mark.slow
def test_a_type_checker_sees_the_types_of_the_installed_packages(wheel, tmp_path):
    """The wheel is checked in a separate environment; without py.typed, all types would be Any."""
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True, with_pip=False)
    (site,) = environment.glob("lib/python*/site-packages")
    install = ("-m", "pip", "install", "--no-deps", "--no-index", "--target", site)
    python(*install, wheel, cwd=tmp_path)
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    imports = "\n".join(
        f"from {name} import {', '.join(import_module(name).__all__)}"
        for name in (*PACKAGES, "survival.metrics")
    )
    program = tmp_path / "program.py"
    program.write_text(USER_PROGRAM.format(imports=imports))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml"),
            *("--python-executable", environment / "bin" / "python", "--no-pretty", program),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    messages = {}
    for number, what in re.findall(r"^program\.py:(\d+): (.+)$", done.stdout, re.MULTILINE):
        messages.setdefault(int(number), []).append(what)
    for number, line in enumerate(program.read_text().splitlines(), start=1):
        code, _, wanted = line.partition("  # ")
        found = "\n".join(messages.pop(number, []))
        if code.startswith("reveal_type"):
            assert "note: Revealed type" in found and wanted in found, (line, found)
        elif wanted:
            assert f"[{wanted}]" in found, (line, found or done.stdout + done.stderr)
        else:
            assert not found, (line, found)


@pytest.mark.parametrize("name", [*PACKAGES, "resbuilder.morphnet", "survival.metrics"])
def test_everything_that_a_package_exports_is_annotated(name):
    package = import_module(name)
    for exported in package.__all__:
        value = getattr(package, exported)
        functions = [value] if inspect.isfunction(value) else _methods(value)
        for function in functions:
            signature = inspect.signature(function)
            arguments = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
            bare = [p.name for p in arguments if p.annotation is p.empty]
            assert not bare, f"{name}.{function.__qualname__}: {bare}"
            returns = signature.return_annotation is not signature.empty
            assert returns or function.__name__ == "__init__", function.__qualname__


def _methods(kind):
    """Yield the constructor and the public methods that a class itself defines."""
    for name, value in vars(kind).items():
        if name == "__init__" or not name.startswith("_"):
            value = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if inspect.isfunction(value):
                yield value


def test_no_import_of_the_packages_pulls_in_tensorflow():
    code = IMPORT_EVERYTHING.format(packages=PACKAGES)
    assert python("-c", code, cwd=ROOT, KERAS_BACKEND="jax").strip() == "jax"


def test_the_version_is_defined_in_one_place_and_has_an_entry_in_the_changelog():
    literal = re.compile(rf"""["']{re.escape(version("resbuilder"))}["']""")
    sources = (path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    holders = [path for path in (ROOT / "setup.py", *sources) if literal.search(path.read_text())]
    assert holders == [ROOT / "setup.py"]
    assert f"\n## {version('resbuilder')}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_names_the_version():
    released = version("resbuilder")
    assert f"\nversion: {released}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"version = {{{released}}}" in (ROOT / "docs" / "project" / "cite.md").read_text()


def pinned() -> dict[str, str]:
    """Return the version of each distribution in requirements.txt, without the build's."""
    text = (ROOT / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE))
    del pins["setuptools"]
    return pins


def needs_of(*extras: str) -> list[Requirement]:
    """Return the declared requirements of the base installation with some extras."""
    found = [Requirement(line) for line in requires("resbuilder")]
    return [
        need
        for need in found
        if not need.marker or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def test_base_and_all_extras_equal_the_pinned_requirements():
    needs = needs_of("all")
    assert {need.name for need in needs} == set(pinned())
    for need in needs:
        version_pinned = pinned()[need.name]
        assert need.specifier.contains(version_pinned), f"{need}, but {version_pinned} is pinned"
    every_extra = [name for name in metadata("resbuilder").get_all("Provides-Extra")]
    assert {str(need) for need in needs_of(*every_extra)} >= {str(need) for need in needs}


def installed_with(*extras: str) -> set[str]:
    """Return the names of the distributions that an installation with some extras includes."""
    found, waiting = set(), [need.name for need in needs_of(*extras)]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        with contextlib.suppress(PackageNotFoundError):
            for line in requires(name) or ():
                need = Requirement(line)
                if not need.marker or need.marker.evaluate({"extra": ""}):
                    waiting.append(need.name)
    return found


# Hides the modules of all distributions that an installation would not include.
HIDE = """
import sys
from importlib.metadata import packages_distributions
from packaging.utils import canonicalize_name
there = set({there!r}) | {{"resbuilder", "packaging", "pip", "setuptools"}}
class Hide:
    def find_spec(self, name, path=None, target=None):
        makers = MAKERS.get(name.partition(".")[0])
        if makers and not any(canonicalize_name(maker) in there for maker in makers):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
MAKERS = packages_distributions()
sys.meta_path.insert(0, Hide())
"""
# A backend that users install themselves; no extra includes it.
JAX = 'there |= {"jax", "jaxlib", "ml-dtypes", "opt-einsum"}\n'


def with_extras(program: str, *extras: str, **environment) -> subprocess.CompletedProcess:
    """Run a program that sees only the distributions of an installation with some extras."""
    code = HIDE.format(there=sorted(installed_with(*extras))) + program
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_the_optimizer_needs_only_the_base_and_any_backend():
    program = """
import keras, numpy as np
from phs_optimizer import PHS, GoalOrientedBraking
from resbuilder.morphnet import MorphNetRegularizer
import resbuilder.common.files, resbuilder.common.page, resbuilder.common.figures
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile(PHS(0.01), "mse")
model.fit(np.ones((8, 3)), np.ones(8), verbose=0, callbacks=[GoalOrientedBraking(0.5, verbose=0)])
assert not {"tensorflow", "sklearn", "pandas"} & set(sys.modules)
print(keras.backend.backend())
"""
    done = with_extras(JAX + program, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "jax"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("resbuilder.cli", "resbuilder[search]"),
        ("survival.cli", "resbuilder[survival]"),
    ],
)
def test_a_command_without_its_extra_says_in_one_line_how_to_install_it(command, line):
    arguments = {
        "resbuilder.cli": ["search", "--dataset", "digits", "--out", "nowhere"],
        "survival.cli": ["preprocess", ".", "--out", "nowhere"],
    }[command]
    program = f"from {command} import main\nsys.argv = ['x', *{arguments!r}]\nmain()"
    done = with_extras(JAX + program, KERAS_BACKEND="jax")
    assert done.returncode == 2, done.stderr
    assert line in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_survival_does_not_need_the_search():
    program = """
import importlib, pkgutil, survival
for module in pkgutil.walk_packages(survival.__path__, "survival."):
    importlib.import_module(module.name)
ours = {name for name in sys.modules if name.startswith("resbuilder.")}
assert all(name.startswith("resbuilder.common") for name in ours), ours
"""
    done = with_extras(JAX + program, "survival", KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr


def test_no_code_in_input_files_is_run():
    """The packages use no pickles, no evaluated text and no unsafe models: see docs/security.md."""
    running = r"(?<![.\w])(?:eval|exec)\(|allow_pickle=True|safe_mode=False|shell=True|os\.system"
    libraries = r"^\s*(?:import|from) (?:pickle|marshal|shelve|joblib|dill|cloudpickle|yaml)\b"
    unsafe = re.compile(f"{running}|{libraries}|keras\\.models\\.load_model", re.MULTILINE)
    sources = [path for name in (*PACKAGES, "experiments") for path in (ROOT / name).rglob("*.py")]
    assert len(sources) > 100
    found = [(path.name, m[0]) for path in sources for m in unsafe.finditer(path.read_text())]
    assert found == []
    loads = [path.read_text() for path in sources if "np.load(" in path.read_text()]
    assert loads and all(t.count("np.load(") == t.count("allow_pickle=False") for t in loads)
