"""`make notebooks` stores clean runs and leaves a failing notebook as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

STORE = Path(__file__).with_name("store.py")


def write(path: Path, *sources: str) -> Path:
    cells = [new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    notebook = new_notebook(cells=[new_markdown_cell("# A title", id="title"), *cells])
    notebook.metadata["kernelspec"] = {"display_name": "mine", "name": "mine", "language": "python"}
    notebook.metadata["widgets"] = {"state": {}}
    notebook.cells[1].metadata["execution"] = {"iopub.execute_input": "2024-01-01T00:00:00Z"}
    nbformat.write(notebook, path)
    return path


def test_store(tmp_path):
    form = {"text/plain": "a form", "application/vnd.jupyter.widget-view+json": {"model_id": "x"}}
    good = write(
        tmp_path / "good.ipynb",
        "import os, pathlib\n"
        "print(os.environ['COURSE_DEVICE'])\n"
        "print('in', pathlib.Path.cwd().name)",
        f"from IPython.display import display\ndisplay({form}, raw=True)\n1 + 1",
    )
    bad = write(tmp_path / "bad.ipynb", "print(1)", "1 / 0")
    before = bad.read_bytes()
    run = subprocess.run(
        [sys.executable, STORE, good, bad], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 1, run.stderr
    assert "good.ipynb: stored" in run.stdout
    assert "ZeroDivisionError" in run.stderr
    assert bad.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [bad, good]

    stored = nbformat.read(good, as_version=4)
    first, second = stored.cells[1:]
    assert (first.execution_count, second.execution_count) == (1, 2)
    assert [o.text for o in first.outputs] == [f"cpu\nin {tmp_path.name}\n"]
    assert second.outputs[0].data == {"text/plain": "a form"}
    assert second.outputs[1].data == {"text/plain": "2"}
    assert "execution" not in first.metadata
    assert set(stored.metadata) == {"kernelspec", "language_info"}
    assert stored.metadata.kernelspec.name == "python3"

    again = good.read_bytes()
    subprocess.run([sys.executable, STORE, good], check=True, capture_output=True, timeout=120)
    assert good.read_bytes() == again, "storing twice gives the same file"
