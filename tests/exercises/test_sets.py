"""Each exercise set is what solutions/ generates, complete, and opens with the course alone."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from course_lib.grading.gradebook import generate

ROOT = Path(__file__).resolve().parents[2]
SETS = sorted(path.name for path in (ROOT / "solutions").iterdir())
POINTS, BY_HAND = 20, 6


def read(folder: str, name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / folder / name / f"{name}.ipynb", as_version=4)


def graded(notebook: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    about = {cell.id: cell.metadata.get("nbgrader", {}) for cell in notebook.cells}
    return {cell.id: cell for cell in notebook.cells if about[cell.id].get("grade")}


@pytest.mark.parametrize("name", SETS)
def test_exercises_are_what_solutions_generate(name, tmp_path):
    generate(ROOT, ROOT / "solutions", tmp_path, name)
    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    kept = ROOT / "exercises" / name
    there = {p.relative_to(kept.parent): p.read_bytes() for p in kept.rglob("*") if p.is_file()}
    assert made == there, "run `make exercises` and commit what it changes"


def test_every_set_has_its_exercises():
    assert SETS
    assert sorted(path.name for path in (ROOT / "exercises").iterdir()) == SETS


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_complete(name):
    """One test for each function, twenty points, three answers in words, hints and solutions."""
    source = read("solutions", name)
    cells = graded(source)
    tests = {i: c for i, c in cells.items() if c.cell_type == "code"}
    words = {i: c for i, c in cells.items() if c.cell_type == "markdown"}
    points = {i: c.metadata.nbgrader.points for i, c in cells.items()}
    assert sum(points.values()) == POINTS
    assert sum(points[i] for i in words) == BY_HAND
    assert set(words) == {"diagnosis", "question-1", "question-2"}
    assert any(i.startswith("mended_") for i in tests)
    for cell in words.values():
        assert "*Marking:" in cell.source
    for identifier, cell in tests.items():
        answer = identifier.removesuffix("-check")
        name_of_check = re.match(r'check\("(\w+)", (\w+)\)\n', cell.source)
        assert name_of_check and name_of_check[2] == answer
        assert name_of_check[1] == answer or answer.startswith("mended_")
        assert f'\nhidden_test("{name_of_check[1]}", {answer})\n' in cell.source
    text = "\n".join(cell.source for cell in source.cells)
    asked = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert asked[0] == "Predict first" and sum("Find the fault" in t for t in asked) == 1
    assert text.count("<summary>Hint 1</summary>") == text.count("<summary>Hint 2</summary>")
    assert text.count("<summary>Hint 1</summary>") == len(tests)
    assert text.count("*Difficulty ") == len(tests)
    link = f"[Worked solution](../../solutions/{name}/{name}.ipynb)"
    assert text.count(link) == len(tests)


@pytest.mark.parametrize("name", SETS)
def test_nothing_is_given_away(name):
    exercise = read("exercises", name)
    text = "\n".join(cell.source for cell in exercise.cells)
    for word in ("BEGIN", "END SOLUTION", "hidden_test", "course_lib.grading", "Marking"):
        assert word not in text
    assert not any(cell.get("outputs") for cell in exercise.cells)
    answers = [c.source for c in read("solutions", name).cells if "BEGIN SOLUTION" in c.source]
    bodies = re.findall(r"### BEGIN SOLUTION\n(.*?)### END", "\n".join(answers), re.DOTALL)
    lines = {line.strip() for body in bodies for line in body.splitlines()}
    telling = {line for line in lines if len(line) > 40 and not line.startswith("posterior = ")}
    shown = {line.strip() for line in text.splitlines()}
    # The code with the fault stands in the exercise, and shares lines with the mended one.
    fault = text[text.index("Find the fault") :]
    assert not {line for line in telling & shown if line not in fault}


@pytest.mark.parametrize("name", SETS)
def test_links_lead_somewhere(name):
    for folder in ("exercises", "solutions"):
        here = ROOT / folder / name
        for cell in read(folder, name).cells:
            for link in re.findall(r"\]\(([^)#\s]+)", cell.source):
                later = re.match(r"\.\./\.\./notebooks/(\d\d)_", link)  # not all are written yet
                assert link.startswith("https://") or (here / link).exists() or later, link


@pytest.mark.parametrize("name", SETS)
def test_an_untouched_set_runs_without_the_grading_tools(name, tmp_path):
    """From the first cell to the last, with every check open and nbgrader not to be found."""
    notebook = read("exercises", name)
    blocked = "import sys; sys.modules['nbgrader'] = None"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(blocked))
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    checks = [c for c in notebook.cells if c.id.endswith("-check")]
    assert checks
    for cell in checks:
        shown = [o.data["text/plain"] for o in cell.outputs if "data" in o]
        assert len(shown) == 1 and "not yet" in shown[0], cell.source
        assert "is not written yet" in shown[0]
