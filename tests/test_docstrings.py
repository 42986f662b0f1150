"""Every example in a docstring runs, and its output is the documented one."""

import doctest
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from survival.cohort import Cohort

ROOT = Path(__file__).parents[1]
MODULES = [
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__")
    for package in ("resbuilder", "phs_optimizer", "survival")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Prepare a working folder with the files that examples open."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "tests/fixtures/slides/CMU-1-Small-Region.svs", "case.svs")
    Image.fromarray(load_sample_image("china.jpg")).save("photograph.jpg")
    names = [f"slide{i}.svs" for i in range(12)]
    split = ["train"] * 6 + ["validation"] * 4 + ["test"] * 2
    Cohort(names, names, np.arange(12) + 1.0, np.arange(12) % 2 == 0, split=split).write(
        Path("cohort.csv")
    )
    Path("images").mkdir()
    for i, name in enumerate(names):
        Image.new("RGB", (24, 16), (20 * i, 100, 100)).save(f"images/{Path(name).stem}.png")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, folder):
    results = doctest.testmod(import_module(name))
    assert results.attempted > 0
    assert results.failed == 0, "see what doctest printed"


def test_there_are_examples():
    assert len(MODULES) > 20
