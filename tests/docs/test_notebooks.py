"""The notebooks run from their first cell to their last, and are committed with their outputs."""

import os
from pathlib import Path

import keras
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
# Values of the cell tagged "parameters", so that a notebook takes seconds.
TINY = {
    "optimizer": {"EPOCHS": 2},
    "pruning": {"EPOCHS": 1},
    "search": {"IMAGES": 120, "EPOCHS": 9, "DEPTHS": "1"},
    "survival": {"EPOCHS": 1, "DRAWS": 10},
}
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="their outputs are TensorFlow's"
)


def parameters(notebook) -> int:
    """Return the position of the cell of settings, tagged as papermill tags it."""
    (place,) = [
        place
        for place, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", ())
    ]
    return place


def test_every_audience_has_a_notebook():
    assert [path.stem for path in NOTEBOOKS] == sorted(TINY)


@pytest.mark.parametrize(
    "path",
    # The others take up to twenty seconds each.
    [
        path if path.stem == "optimizer" else pytest.param(path, marks=pytest.mark.slow)
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)
def test_the_notebook_runs_in_order(path, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    notebook = nbformat.read(path, as_version=4)
    place, tiny = parameters(notebook), TINY[path.stem]
    names = {line.split(" = ")[0] for line in notebook.cells[place].source.splitlines()}
    assert names == set(tiny)
    given = "\n".join(f"{name} = {value!r}" for name, value in tiny.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(given))
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=folder).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_committed_without_errors_or_paths_of_a_machine(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert all(output.output_type != "error" for output in outputs)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    shown = "".join(output.get("text", "") for output in outputs)
    assert "/root" not in shown and "/home" not in shown and "/tmp" not in shown
