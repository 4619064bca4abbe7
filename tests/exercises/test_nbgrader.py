"""A class of three hands in a set, and the real nbgrader grades it by nbgrader_config.py.

Three sets stand for all, because a class takes nbgrader most of a minute. That every set's model
answers earn their points is tested in the sandbox, in ``tests/grading/test_verdicts.py``.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
SETS = sorted(path.name for path in (ROOT / "solutions").iterdir())[1::5]
BY_CODE = 14
NOISE = """
import logging, sys, warnings
from tqdm import tqdm
for _ in tqdm(range(3)):
    warnings.warn("careful")
    logging.getLogger("learner").error("a line of a log")
print("to stderr", file=sys.stderr)
"""


def answers(notebook: nbformat.NotebookNode) -> list[str]:
    """The ids of the cells in which code is asked, in order."""
    about = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
    return [a["grade_id"] for a in about if a.get("solution") and not a.get("grade")]


def copy_answers(exercise, solution, names) -> None:
    sources = {cell.id: cell.source for cell in solution.cells}
    for cell in exercise.cells:
        if cell.id in names:
            cell.source = sources[cell.id]


def make_submissions(name: str, folder: Path) -> dict[str, float]:
    """Write what the class hands in; return the points that each has earned."""
    solution = nbformat.read(ROOT / "solutions" / name / f"{name}.ipynb", as_version=4)

    def fresh() -> nbformat.NotebookNode:
        return nbformat.read(ROOT / "exercises" / name / f"{name}.ipynb", as_version=4)

    asked = answers(fresh())
    points = {
        cell.id.removesuffix("-check"): cell.metadata.nbgrader.points
        for cell in fresh().cells
        if cell.id.endswith("-check")
    }
    assert set(points) == set(asked)

    untouched = fresh()

    solved = fresh()  # and it is loud
    copy_answers(solved, solution, asked)
    for cell in solved.cells:
        if cell.id in asked:
            noise = NOISE.replace("\n", "\n    ")
            head, mark, body = cell.source.partition("    ### BEGIN SOLUTION\n")
            cell.source = f"{head}{noise}\n{mark}{body}" if head.startswith("def ") else cell.source

    # The answers to the first half are right. The tests behind the others are deleted, together
    # with their answers, or tagged so that they would not be run, or changed.
    half, first = fresh(), asked[: len(asked) // 2]
    copy_answers(half, solution, first)
    gone, tagged = asked[-1], asked[-2]
    half.cells = [c for c in half.cells if c.id not in (gone, f"{gone}-check")]
    half.cells = [c for c in half.cells if c.id != f"{first[0]}-check"]
    for cell in half.cells:
        if cell.id == f"{tagged}-check":
            cell.metadata["tags"] = ["demonstration", "skip-execution"]
            cell.metadata.nbgrader["points"] = 1000
            cell.source = "pass"

    earned = sum(points[i] for i in first)
    class_ = {"untouched": (untouched, 0), "solved": (solved, BY_CODE), "half": (half, earned)}
    for student, (notebook, _) in class_.items():
        place = folder / student / name
        place.mkdir(parents=True)
        nbformat.write(notebook, place / f"{name}.ipynb")
    return {student: score for student, (_, score) in class_.items()}


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory):
    """Run nbgrader as an instructor does, with a classroom of its own."""
    classroom = tmp_path_factory.mktemp("classroom")

    def run(*arguments: str) -> str:
        release = f"--CourseDirectory.release_directory={classroom / 'released'}"
        command = [sys.executable, "-m", "nbgrader", *arguments, release]
        environment = {**os.environ, "COURSE_CLASSROOM": str(classroom)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    run.classroom = classroom
    return run


@pytest.fixture(scope="module", params=SETS)
def graded(request, nbgrader):
    """One set, released, handed in, graded, and with feedback."""
    name = request.param
    nbgrader("generate_assignment", name)
    expected = make_submissions(name, nbgrader.classroom / "submitted")
    nbgrader("autograde", name)
    nbgrader("generate_feedback", name)
    nbgrader("export")
    return name, expected


def test_everyone_gets_what_was_earned(graded, nbgrader):
    name, expected = graded
    with open(nbgrader.classroom / "nbgrader-grades.csv", encoding="utf-8") as file:
        rows = {r["student_id"]: r for r in csv.DictReader(file) if r["assignment"] == name}
    assert {student: float(row["score"]) for student, row in rows.items()} == expected
    assert {float(row["max_score"]) for row in rows.values()} == {20.0}


def test_the_words_wait_for_a_person(graded, nbgrader):
    """An answer in words is graded by hand, but where there is none it is zero."""
    from nbgrader.api import Gradebook

    name, _ = graded
    with Gradebook(f"sqlite:///{nbgrader.classroom / 'gradebook.db'}") as book:
        solved = book.find_submission(name, "solved")
        assert not solved.needs_manual_grade  # it answered in code only
        assert solved.max_written_score == 6


def test_feedback_says_what_was_wrong(graded, nbgrader):
    name, _ = graded
    place = nbgrader.classroom / "feedback"
    untouched = (place / "untouched" / name / f"{name}.html").read_text(encoding="utf-8")
    assert "is not written yet" in untouched
    solved = (place / "solved" / name / f"{name}.html").read_text(encoding="utf-8")
    assert "not yet" not in solved.replace("is not yet", "")
