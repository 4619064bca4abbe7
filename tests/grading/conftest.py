"""What the tests of grading share: a set as it is released, and submissions made from it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from course_lib.grading.assignments import read_assignments
from course_lib.grading.notebooks import read_notebook

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def sets():
    return read_assignments(ROOT / "solutions")


@pytest.fixture(scope="session")
def assignment(sets):
    return sets["03_kl"]


def _load(folder: str, name: str) -> dict:
    return json.loads((ROOT / folder / name / f"{name}.ipynb").read_text(encoding="utf-8"))


@pytest.fixture
def released():
    """Return a function that gives a set as students get it, as plain JSON."""
    return lambda name="03_kl": copy.deepcopy(_load("exercises", name))


@pytest.fixture
def solved(released):
    """Return a function that gives a set with the right answers, or with others, filled in."""

    def fill(name: str = "03_kl", **others: str) -> dict:
        right = {cell["id"]: cell["source"] for cell in _load("solutions", name)["cells"]}
        notebook = released(name)
        for cell in notebook["cells"]:
            about = cell["metadata"].get("nbgrader", {})
            if about.get("solution") and cell["cell_type"] == "code":
                cell["source"] = others.get(cell["id"], right[cell["id"]])
        return notebook

    return fill


@pytest.fixture
def as_read():
    """Return a function that reads plain JSON as a submission is read."""
    return lambda notebook: read_notebook(json.dumps(notebook).encode())
