"""A grade is found again only where all that has decided it is the same."""

from __future__ import annotations

import ast
from pathlib import Path

from course_lib.grading import records, verdicts

RUNS_IT = {"isolation", "sandbox"}  # where a submission runs decides nothing of what it earns


def test_all_that_a_verdict_comes_from_is_in_the_key():
    tree = ast.parse(Path(verdicts.__file__).read_text(encoding="utf-8"))
    modules = [one.module for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)]
    used = {name.rpartition(".")[2] for name in modules if name.startswith("course_lib.grading.")}
    assert used > RUNS_IT
    assert {f"grading/{name}.py" for name in used - RUNS_IT} <= set(records._DECIDES)
    assert all((records._PACKAGE / name).exists() for name in records._DECIDES)
