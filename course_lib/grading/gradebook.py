"""nbgrader's gradebook and its graded notebooks, filled from grades that were decided elsewhere.

With ``COURSE_CLASSROOM=GRADES`` nbgrader's formgrader shows them, a person marks the answers in
words there, and ``nbgrader generate_feedback``, ``export`` and the exchange work as they always do.
What a person has entered is never overwritten: a new grade of the code leaves the marks where they
are and asks for another look where the text has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode

from course_lib.files import replacing
from course_lib.grading.assignments import Assignment, normal, read_assignment
from course_lib.grading.isolation import COURSE
from course_lib.grading.records import Record, file_name
from course_lib.grading.verdicts import Graded, Verdict, grade_id, printable

if TYPE_CHECKING:
    from nbgrader.api import Gradebook

__all__ = [
    "Mark",
    "enter",
    "enter_sets",
    "file_beside",
    "graded_notebook",
    "handed_in",
    "marks",
    "missing_nbgrader",
    "write_notebook",
]

# What begins a tag, or the address of a link or picture; a space behind it makes a text of it.
_ACTIVE = re.compile(r"<(?=[A-Za-z/!?])|\](?=[(:])")
MISSING = "The gradebook needs nbgrader, which is not installed: pip install -e '.[lab,grade]'."


@dataclass(frozen=True)
class Mark:
    """What the gradebook says of one function or one answer in words.

    Attributes:
        score: what counts: a person's mark where there is one.
        by_person: whether a person has set it.
        waiting: whether a person has still to look at it.
        comment: a person's, or ``""``.
    """

    score: float
    by_person: bool
    waiting: bool
    comment: str


def missing_nbgrader() -> str | None:
    """Return None where nbgrader is installed, and else what to do."""
    try:
        import nbgrader.api  # noqa: F401
    except ImportError:
        return MISSING
    return None


def enter(folder: Path, records: Iterable[Record], solutions: Path) -> None:
    """Enter grades into ``folder/gradebook.db``, which is made where there is none.

    A record that is in the gradebook already is left alone.

    Args:
        folder: of the grades.
        records: those with a grade, of known students.
        solutions: the folder of the sets.

    Raises:
        RuntimeError: nbgrader refuses; the text says why.
    """
    known = _Entered(folder)
    by_set: dict[str, list[Record]] = {}
    for record in records:
        by_set.setdefault(record.assignment, []).append(record)
    for name, some in by_set.items():
        _enter_set(folder, Path(solutions) / name / f"{name}.ipynb")
        with _open(folder) as book:
            there = {one.student.id for one in book.assignment_submissions(name)}
            for record in some:
                if record.student not in there or known.key(record) != record.key:
                    _enter(book, record, known.answers(record))
                    known.add(record)
        known.write()


def enter_sets(folder: Path, names: Iterable[str], solutions: Path) -> None:
    """Enter sets, before there are grades, into ``folder/gradebook.db``.

    Args:
        folder: of the grades.
        names: of the sets.
        solutions: the folder of the sets.

    Raises:
        RuntimeError: nbgrader refuses; the text says why.
    """
    for name in sorted(names):
        _enter_set(folder, Path(solutions) / name / f"{name}.ipynb")


class _Entered:
    """What of each submission is in the gradebook: the key, and digests of the answers in words."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "records" / "entered.json"
        self._known: dict[str, dict] = {}
        with contextlib.suppress(OSError, ValueError):
            self._known = dict(json.loads(self._path.read_bytes()))

    def key(self, record: Record) -> str | None:
        return self._known.get(self._name(record), {}).get("key")

    def answers(self, record: Record) -> dict[str, str]:
        return self._known.get(self._name(record), {}).get("answers", {})

    def add(self, record: Record) -> None:
        answers = {one.grade_id: _digest(one.text) for one in record.graded.answers}
        self._known[self._name(record)] = {"key": record.key, "answers": answers}

    def write(self) -> None:
        with replacing(self._path) as file:
            file.write(json.dumps(self._known, indent=1).encode())

    @staticmethod
    def _name(record: Record) -> str:
        return f"{record.student}/{record.assignment}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def marks(folder: Path) -> dict[tuple[str, str], dict[str, Mark]]:
    """Return what the gradebook says: ``{(student, set): {id: Mark}}``, empty without one.

    The ids are nbgrader's, of tests and answers, and those of functions, which have comments only.
    """
    if missing_nbgrader() or not (folder / "gradebook.db").exists():
        return {}
    found: dict[tuple[str, str], dict[str, Mark]] = {}
    with _open(folder) as book:
        for assignment in book.assignments:
            for submission in assignment.submissions:
                about: dict[str, Mark] = {}
                for notebook in submission.notebooks:
                    for comment in notebook.comments:
                        said = comment.manual_comment or ""
                        about[comment.name] = Mark(0.0, False, False, said)
                    for grade in notebook.grades:
                        comment = about.get(grade.name)
                        about[grade.name] = Mark(
                            float(grade.score or 0),
                            grade.manual_score is not None or bool(grade.extra_credit),
                            bool(grade.needs_manual_grade),
                            comment.comment if comment else "",
                        )
                found[submission.student.id, assignment.name] = about
    return found


def _url(folder: Path) -> str:
    return f"sqlite:///{(folder / 'gradebook.db').resolve()}"


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[Gradebook]:
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SQLAlchemyError

    # nbgrader calls the program alembic, which stands beside the Python that runs it.
    beside, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if beside not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([beside, path])
    try:
        with Gradebook(_url(folder)) as book:
            yield book
    except SQLAlchemyError as error:
        raise RuntimeError(
            f"{folder / 'gradebook.db'} cannot be used: {getattr(error, 'orig', error)}. It may be "
            "in use, damaged, or of another version of nbgrader. The grades are kept in records/, "
            "and the same command goes on."
        ) from error


def _enter_set(folder: Path, path: Path) -> None:
    """Enter a set as nbgrader's own ``generate_assignment`` does, if it is new or has changed."""
    from nbgrader.api import MissingEntry

    name = path.stem
    asked = {
        one: float(about["points"]) if about["grade"] else None
        for one, about in read_assignment(path).metadata.items()
    }
    with _open(folder) as book, contextlib.suppress(MissingEntry):
        notebook = book.find_notebook(name, name)
        known = {one.name: None for one in notebook.solution_cells}
        known |= {one.name: one.max_score for one in notebook.grade_cells}
        if known == asked:
            return
    try:
        generate(COURSE, path.parents[1], None, name, _url(folder))
    except RuntimeError as error:
        raise RuntimeError(
            f"{error} If the cells of the set have changed since the first grades, new ones need a "
            "folder of their own (--out)."
        ) from error


def generate(
    course: Path, source: Path, target: Path | None, name: str, database: str | None = None
) -> None:
    """Let nbgrader make what students get of a set, and enter it in a gradebook.

    Args:
        course: the folder with ``nbgrader_config.py``.
        source: the folder of the sets with their answers.
        target: the folder for what is made; None to enter it in the gradebook only.
        name: of the set.
        database: the address of the gradebook to enter it in; None for none.

    Raises:
        RuntimeError: nbgrader refuses; the text says why.
    """
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader("nbgrader_config.py", path=str(course)).load_config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.source_directory = str(source.resolve())
    with tempfile.TemporaryDirectory(prefix="course-release-") as scratch:
        # Not in its place: nbgrader removes what was there where it fails.
        config.CourseDirectory.release_directory = f"{scratch}/release"
        if database is None:
            config.SaveCells.enabled = False
            config.GenerateAssignment.no_database = True
        config.CourseDirectory.db_url = database or f"sqlite:///{scratch}/gradebook.db"
        api = NbGraderAPI(CourseDirectory(config=config), config=config)
        done = api.generate_assignment(name, force=True, create=True)
        if not done["success"]:
            lines = str(done.get("log") or done.get("error") or "no reason given").splitlines()
            said = next((line.strip() for line in reversed(lines) if "Error:" in line), lines[-1])
            raise RuntimeError(f"nbgrader does not take the set {name}: {said}")
        if target is not None:
            made = Path(scratch, "release", name)
            for path in made.rglob("*"):
                if path.is_file():
                    with replacing(target / name / path.relative_to(made)) as file:
                        file.write(path.read_bytes())


def _enter(book: Gradebook, record: Record, before: dict[str, str]) -> None:
    """Enter the grade of one submission.

    Args:
        book: the gradebook.
        record: the grade.
        before: digests of the answers in words that were there before.
    """
    graded, name = record.graded, record.assignment
    book.update_or_create_student(record.student)
    when = {"timestamp": handed_in(record)} if handed_in(record) else {}
    with book.db.no_autoflush:  # which would warn of what nbgrader has not finished yet
        submission = book.update_or_create_submission(name, record.student, **when)
    (notebook,) = submission.notebooks
    grades = {one.name: one for one in notebook.grades}
    comments = {one.name: one for one in notebook.comments}
    for verdict in graded.verdicts:
        grade = grades[verdict.grade_id]
        # A mark that a person has set stays, and that person should know of a new result.
        news = grade.auto_score not in (None, verdict.points)
        marked = grade.manual_score is not None
        grade.needs_manual_grade = marked and (news or grade.needs_manual_grade)
        grade.auto_score = verdict.points
        if verdict.function in comments:
            comments[verdict.function].auto_comment = verdict.sentence
    for answer in graded.answers:
        grade, comment = grades[answer.grade_id], comments[answer.grade_id]
        news = before.get(answer.grade_id, _digest(answer.text)) != _digest(answer.text)
        marked = grade.manual_score is not None
        grade.auto_score = None if answer.text else 0
        grade.needs_manual_grade = news or grade.needs_manual_grade if marked else bool(answer.text)
        comment.auto_comment = None if answer.text else "No response."
    book.db.commit()


def handed_in(record: Record) -> str | None:
    """Return the time that nbgrader's exchange wrote beside a submission, or None."""
    from nbgrader.utils import parse_utc

    with contextlib.suppress(Exception):  # the file may be the student's, with anything in it
        text = (file_beside(record, "timestamp.txt") or b"").decode("ascii").strip()
        parse_utc(text)
        return text
    return None


def file_beside(record: Record, name: str) -> bytes | None:
    """Return a small file beside a submission on the disk; None where there is none, or a link."""
    if not record.path.endswith(".ipynb"):
        return None
    with contextlib.suppress(OSError):
        path = Path(record.path).with_name(name)
        about = path.lstat()
        if stat.S_ISREG(about.st_mode) and about.st_size < 1000:
            return path.read_bytes()
    return None


def write_notebook(
    folder: Path, record: Record, notebook: NotebookNode, assignment: Assignment
) -> None:
    """Write the graded notebook to where nbgrader's formgrader looks for it.

    Args:
        folder: of the grades.
        record: the grade.
        notebook: what was handed in, from ``read_notebook``.
        assignment: the set.
    """
    name = record.assignment
    path = folder / "autograded" / file_name(record.student) / name / f"{name}.ipynb"
    made = graded_notebook(notebook, assignment, record.graded)
    with replacing(path) as file:
        file.write(nbformat.writes(made).encode())
    if when := handed_in(record):
        (path.parent / "timestamp.txt").write_text(f"{when}\n", encoding="ascii")


def graded_notebook(notebook: NotebookNode, assignment: Assignment, graded: Graded) -> NotebookNode:
    """Return a submission as nbgrader keeps it: its cells, with each verdict below its test.

    Nothing in it is active: outputs are those that are made here, HTML, links and pictures in texts
    are shown as text, and of the metadata only nbgrader's own is left, each id once.

    Args:
        notebook: what was handed in.
        assignment: the set.
        graded: its grade.
    """
    about = assignment.metadata
    verdicts = {one.grade_id: one for one in graded.verdicts}
    words = {one.grade_id: one.text for one in graded.answers}
    cells, there = [], set()
    for cell in notebook.cells:
        name = grade_id(cell)
        kind = "code" if name in verdicts or name in assignment.functions else "markdown"
        known = (
            name in about and name not in there and (cell.cell_type == "code") == (kind == "code")
        )
        if known and name in verdicts and normal(cell.source) != assignment.tests[name]:
            cells.append(_cell(cell, {}))  # what the student has made of the test, for a person
        cells.append(_cell(cell, {"nbgrader": about[name]} if known else {}))
        if known:
            there.add(name)
            if name in verdicts:
                _add_verdict(cells[-1], assignment.tests[name], verdicts[name])
    for name in about:  # what the student has deleted
        if name in there:
            continue
        metadata = {"nbgrader": about[name]}
        if name in verdicts:
            cells.append(nbformat.v4.new_code_cell("", metadata=metadata))
            _add_verdict(cells[-1], assignment.tests[name], verdicts[name])
        elif name in words:
            text = _ACTIVE.sub(r"\g<0> ", words[name]) or "*There is no answer.*"
            cells.append(nbformat.v4.new_markdown_cell(text, metadata=metadata))
        else:
            text = "# This cell is not there any more."
            cells.append(nbformat.v4.new_code_cell(text, metadata=metadata))
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": python, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _cell(cell: NotebookNode, metadata: dict) -> NotebookNode:
    source = printable(cell.source)
    if cell.cell_type == "code":
        return nbformat.v4.new_code_cell(source, metadata=metadata)
    return nbformat.v4.new_markdown_cell(_ACTIVE.sub(r"\g<0> ", source), metadata=metadata)


def _add_verdict(cell: NotebookNode, test: str, verdict: Verdict) -> None:
    """Show a test as it was released, and below it what came of it."""
    cell.source = test
    details = [f"  {heading}: {text}" for heading, text in verdict.details]
    lines = [f"{verdict.function}: {verdict.sentence}", *details]
    if verdict.passed:
        said = nbformat.v4.new_output("stream", name="stdout", text="\n".join(lines) + "\n")
    else:
        said = nbformat.v4.new_output(
            "error", ename="WrongAnswer", evalue=verdict.sentence, traceback=lines
        )
    cell.outputs = [said]
