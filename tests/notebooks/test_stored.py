"""Each notebook is stored as one clean run that reads well where nothing can be executed.

nbval, which `make test` runs over the same files, executes them again.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 3_000_000
MAX_LINES = 45
MAX_IMPORT_LINES = 12

# A folder of someone's machine: two names or more after a slash that begins a word.
ABSOLUTE = re.compile(r"(?<![\w.:/~$)}\]<-])/(?:[\w.+-]+/)+[\w.+-]*|\b[A-Z]:\\\w")


def read(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(notebook: nbformat.NotebookNode):
    """Yield all that a reader sees, sources and outputs, with where it stands; no images."""
    for number, cell in enumerate(notebook.cells):
        yield number, cell.source
        for output in cell.get("outputs", []):
            yield number, output.get("text", "")
            for kind, data in output.get("data", {}).items():
                if kind.startswith("text/"):
                    # An image inside HTML is base64, whose letters include the slash.
                    yield number, re.sub(r"base64,[\w+/=]+", "base64,", data)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path) -> nbformat.NotebookNode:
    return read(path)


def test_every_figure_is_shown(notebook):
    """A figure that is made in the middle of a cell is seen by nobody."""
    for cell in code_cells(notebook):
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and node is not tree.body[-1]:
                assert not ast.unparse(node).startswith("plotting."), cell.source


def test_it_is_one_clean_run(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run it with `make notebooks`"
    for cell in code_cells(notebook):
        kinds = [(o.output_type, o.get("name")) for o in cell.outputs]
        assert ("stream", "stderr") not in kinds, f"a warning is stored below: {cell.source[:200]}"
        # What is meant to raise says so, and is then run like that by nbval too.
        meant = "raises-exception" in cell.metadata.get("tags", [])
        assert meant or "error" not in dict(kinds), f"an error is stored below: {cell.source[:200]}"


def test_no_progress_bar_is_stored(notebook):
    """Such as that of drawing the data the first time; run again, they are drawn already."""
    bars = {number for number, text in texts(notebook) if re.search(r"\d%\|.*\d/\d", text)}
    assert not bars, "cells with the bar of a slow first time: store the notebook again"


def test_it_carries_nothing_of_a_machine(notebook, path):
    found = {
        (number, match.group())
        for number, text in texts(notebook)
        for match in ABSOLUTE.finditer(text)
    }
    assert not found, "folders of a machine, by cell: store it with `make notebooks`"
    assert dict(notebook.metadata.kernelspec) == {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    assert set(notebook.metadata) == {"kernelspec", "language_info"}, "no widget state, no versions"
    assert dict(notebook.metadata.language_info) == {"name": "python"}
    assert not [cell for cell in notebook.cells if "execution" in cell.metadata]
    assert path.stat().st_size < MAX_BYTES


def test_its_cells_can_be_read(notebook):
    lines = {cell.source: len(cell.source.splitlines()) for cell in code_cells(notebook)}
    long = [source.splitlines()[0] for source, count in lines.items() if count > MAX_LINES]
    assert not long, f"cells of more than {MAX_LINES} lines"
    assert "" not in lines, "an empty code cell"
    imports = next(s for s in lines if re.search(r"^(import|from) ", s, re.MULTILINE))
    assert lines[imports] <= MAX_IMPORT_LINES


def test_its_images_can_be_heard(notebook):
    """Every stored picture has alternative text where Jupyter's tools and the site look for it."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            images = [kind for kind in output.get("data", {}) if kind.startswith("image/")]
            for kind in images:
                alt = output.metadata.get(kind, {}).get("alt", "")
                assert len(alt) >= 20, f"no alternative text below: {cell.source[:200]}"
            for tag in re.findall(r"<img\b[^>]*>", output.get("data", {}).get("text/html", "")):
                assert re.search(r"\balt=[\"'][^\"']{20}", tag), tag[:100]


def test_it_begins_with_a_title_and_ends_with_the_quiz(notebook):
    first, last = notebook.cells[0], notebook.cells[-1]
    assert first.cell_type == "markdown"
    assert re.match(r"# \S", first.source)
    assert last.cell_type == "code"
    assert re.search(r"\bquiz\(", last.source)
    titles = [c for c in notebook.cells if c.cell_type == "markdown" and c.source.startswith("# ")]
    assert len(titles) == 1


def test_nbval_compares_some_of_it(notebook):
    """A tag makes nbval compare a cell's text with the stored one; pictures it cannot compare."""
    tagged = [c for c in code_cells(notebook) if "nbval-check-output" in c.metadata.get("tags", [])]
    assert tagged, "tag the deterministic cells with nbval-check-output"
    for cell in tagged:
        # The first time, the bar of drawing the data comes first.
        assert not re.search(r"\bload\(", cell.source), "a cell that loads data cannot be compared"
        kinds = {kind for output in cell.outputs for kind in output.get("data", {"text/plain": ""})}
        assert any(kind.startswith("text/") for kind in kinds), f"no text below: {cell.source}"


def test_names_are_numbered_in_order():
    assert all(re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem) for path in NOTEBOOKS)
    numbers = [path.stem[:2] for path in NOTEBOOKS]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize(
    ("text", "is_folder"),
    [
        ("File /home/me/course/notebook.ipynb", True),
        ("'/tmp/a.png'", True),
        ("(/usr/lib/python3/site.py:1)", True),
        (r"C:\Users\me", True),
        ("https://arxiv.org/abs/1312.6114", False),
        ("nats / image and/or bits/dim", False),
        ("</b></td>", False),
        ("[02](../exercises/02_elbo/02_elbo.ipynb)", False),
        (r"$\log p(x)/q(z|x)/2$", False),
        ("kept in ~/.cache/vae-course", False),
    ],
)
def test_what_counts_as_a_folder_of_a_machine(text, is_folder):
    assert bool(ABSOLUTE.search(text)) == is_folder
