"""The notebooks and the widgets agree: nothing is recalled that was not asked."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from course_lib import quizzes

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def calls(path: Path) -> list[tuple[str, str]]:
    """Return (function, first argument) of every call of a widget, in order."""
    found = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[0]
                if name in ("prediction", "recall", "quiz") and isinstance(first, ast.Constant):
                    found.append((name, first.value))
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_recalled_was_asked_before(path):
    asked = set()
    for function, key in calls(path):
        if function == "prediction":
            assert key not in asked, f"{key} is asked twice"
            asked.add(key)
        elif function == "recall":
            assert key in asked, f"{key} is recalled, but was not asked before"
    recalled = {key for function, key in calls(path) if function == "recall"}
    assert recalled == asked, "a prediction is never met again"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_quiz_is_that_of_the_notebook(path):
    for function, name in calls(path):
        if function == "quiz":
            assert quizzes.load(name).notebook == path.stem


def test_keys_differ_between_notebooks():
    keys = [key for path in NOTEBOOKS for function, key in calls(path) if function == "prediction"]
    assert len(keys) == len(set(keys))
