"""What people read: ``grades.csv``, ``for_a_person.csv``, and an HTML page for each student.

Everything that a submission brought along is text here: escaped in pages, which allow no script and
load nothing, and in tables nothing that a spreadsheet would compute.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from course_lib.files import replacing
from course_lib.grading.gradebook import Mark, file_beside, handed_in
from course_lib.grading.records import Record, file_name
from course_lib.grading.verdicts import MACHINE, UNDECIDED, Verdict, printable

__all__ = ["Waiting", "all_waiting", "page", "write_pages", "write_tables"]

Marks = dict[tuple[str, str], dict[str, Mark]]
GRADES = (
    "student", "set", "item", "kind", "points", "most", "reason", "sentence", "needs_person",
    "file", "seed", "unsafe",
)  # fmt: skip


def write_tables(
    folder: Path, records: Sequence[Record], marks: Marks, waiting: Sequence[Waiting]
) -> None:
    """Write ``grades.csv`` and ``for_a_person.csv``.

    In ``grades.csv`` there is a row for each function (kind ``code``), for each answer in words
    (``words``: without points until a person has given some), and for each set (``set``: all points
    so far). ``reason`` is the identifier of the mistake.

    Args:
        folder: of the grades.
        records: all that is known.
        marks: what the gradebook says.
        waiting: see :func:`all_waiting`.
    """
    people = {(one.student, one.assignment) for one in waiting}
    rows = [row for record in records for row in _rows(record, marks, people)]
    _write_csv(folder / "grades.csv", GRADES, rows)
    _write_csv(folder / "for_a_person.csv", ("student", "set", "what", "file"), waiting)


class Waiting(NamedTuple):
    """Something that needs a person."""

    student: str
    assignment: str
    sentence: str
    file: str


def all_waiting(records: Sequence[Record], marks: Marks) -> list[Waiting]:
    """Return all that still needs a person, and who handed in the same work."""
    same: dict[str, list[Record]] = {}
    for record in records:
        if record.key and record.graded and record.graded.points:
            same.setdefault(record.key, []).append(record)
    found = []
    for record in records:
        sentences = waiting_for(record, marks)
        others = [o.student for o in same.get(record.key, ()) if o.student != record.student]
        if others:
            sentences.append(f"Cell for cell the same was handed in by {', '.join(others)}.")
        found += [Waiting(record.student, record.assignment, s, record.file) for s in sentences]
    return found


def waiting_for(record: Record, marks: Marks) -> list[str]:
    """Return what of a submission still needs a person: what is marked in the gradebook is done."""
    about = marks.get((record.student, record.assignment), {})
    said = list(record.for_a_person)
    if record.graded and about:
        unread = [a.grade_id for a in record.graded.answers if _waits(about, a.grade_id)]
        said = [sentence for sentence in said if not sentence.startswith(record.graded.to_read)]
        said += [f"{record.graded.to_read}{', '.join(unread)}."] if unread else []
        marked = [v for v in record.graded.verdicts if _marked(about, v.grade_id)]
        said = [s for s in said if s not in {f"{v.function}: {v.sentence}" for v in marked}]
        code = [v.grade_id for v in record.graded.verdicts if _waits(about, v.grade_id)]
        said += [f"The code has changed since it was marked: {', '.join(code)}."] if code else []
    return said


def _waits(about: dict[str, Mark], name: str) -> bool:
    return name in about and about[name].waiting


def _marked(about: dict[str, Mark], name: str) -> bool:
    return name in about and about[name].by_person


def _points(verdict: Verdict, about: dict[str, Mark]) -> float:
    """Return what counts for a function: a person's mark where there is one."""
    marked = _marked(about, verdict.grade_id)
    return about[verdict.grade_id].score if marked else verdict.points


def _rows(record: Record, marks: Marks, people: set[tuple[str, str]]) -> Iterable[tuple]:
    who = (record.student, record.assignment)
    graded, about = record.graded, marks.get(who, {})
    waits = "yes" if who in people else ""
    if graded is None:
        yield (*who, "", "set", 0, "", "unreadable", record.problem, "yes", record.file, "", "")
        return
    end = (record.file, graded.seed, "yes" if graded.unsafe else "")
    total = most = 0.0
    for verdict in graded.verdicts:
        marked, points = _marked(about, verdict.grade_id), _points(verdict, about)
        reason = "by a person" if marked else verdict.mistake or ""
        total, most = total + points, most + verdict.most
        undecided = verdict.mistake in (*UNDECIDED, MACHINE)
        waits_itself = _waits(about, verdict.grade_id) if marked else undecided
        yield (
            *who, verdict.function, "code", points, verdict.most, reason, verdict.sentence,
            "yes" if waits_itself else "", *end,
        )  # fmt: skip
    for answer in graded.answers:
        mark, marked = about.get(answer.grade_id), _marked(about, answer.grade_id)
        points: float | str = mark.score if marked else "" if answer.text else 0
        total, most = total + (points or 0), most + answer.most
        reason = "by a person" if marked else "to be read" if answer.text else "no answer"
        unread = mark.waiting if mark else answer.text
        said = mark.comment if marked else ""
        yield (
            *who, answer.grade_id, "words", points, answer.most, reason, said,
            "yes" if unread else "", *end,
        )  # fmt: skip
    sentences = [*record.notes, *(flag.sentence for flag in graded.flags)]
    yield (*who, "", "set", total, most, "", " ".join(sentences), waits, *end)


# Also behind a semicolon, at which spreadsheets of many countries split a line.
_FORMULA = re.compile(r"(^|;)(?=[\"']*[=+\-@＝＋－＠])")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    with replacing(path) as file:
        # With the mark by which spreadsheets know UTF-8.
        file.write(text.getvalue().encode("utf-8-sig"))


def _cell(value: object) -> object:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return f"{value:g}" if isinstance(value, float) else "" if value is None else value
    value = " ".join(printable(value).split())
    return _FORMULA.sub(r"\1'", value)


# Pages


def write_pages(folder: Path, records: Sequence[Record], marks: Marks) -> None:
    """Write ``feedback/STUDENT.html``, all sets, and ``feedback/STUDENT/SET/SET.html``.

    The second is where nbgrader's exchange takes feedback from.
    """
    by_student: dict[str, list[Record]] = {}
    for record in records:
        if record.graded and record.known:
            by_student.setdefault(record.student, []).append(record)
    for student, some in by_student.items():
        place = folder / "feedback" / file_name(student)
        _write_page(place.with_name(f"{place.name}.html"), page(student, some, marks))
        for record in some:
            name = record.assignment
            path = place / name / f"{name}.html"
            _write_page(path, page(student, [record], marks))
            if handed_in(record):  # by nbgrader's exchange, which asks for these two
                for one in ("timestamp.txt", "submission_secret.txt"):
                    if (content := file_beside(record, one)) is not None:
                        (path.parent / one).write_bytes(content)


def _write_page(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode("utf-8", "replace"))


def page(student: str, records: Sequence[Record], marks: Marks) -> str:
    """Return the page of a student as HTML that needs no other file.

    Args:
        student: the name.
        records: with grades, one for each set.
        marks: what the gradebook says.
    """
    sets = [_about_set(record, marks.get((student, record.assignment), {})) for record in records]
    unsafe = any(record.graded.unsafe for record in records)
    title = f"{records[0].assignment}: {student}" if len(records) == 1 else student
    return _template().render(title=title, sets=sets, unsafe=unsafe)


def _about_set(record: Record, about: dict[str, Mark]) -> dict:
    graded = record.graded
    functions, answers, code, words, unread = [], [], 0.0, 0.0, 0
    for one in graded.verdicts:
        points = _points(one, about)
        code += points
        # nbgrader keeps comments with the cell that the student fills in.
        written = about.get(one.function) or about.get(one.grade_id)
        functions.append(
            {
                "name": one.function, "passed": points >= one.most, "details": one.details,
                "points": f"{points:g} of {one.most:g}", "sentence": one.sentence,
                "comment": written.comment if written else "",
            }
        )  # fmt: skip
    for one in graded.answers:
        mark, marked = about.get(one.grade_id), _marked(about, one.grade_id)
        unread += bool(one.text) and not marked
        score = mark.score if marked else 0.0
        words += score
        answers.append(
            {
                "name": one.grade_id, "text": one.text, "comment": mark.comment if mark else "",
                "points": f"{score:g} of {one.most:g}" if marked or not one.text
                else f"{one.most:g} to earn, not read yet",
            }
        )  # fmt: skip
    most = sum(one.most for one in graded.answers)
    return {
        "name": record.assignment,
        "file": record.file,
        "code": f"{code:g} of {graded.most:g}",
        "words": "not read yet" if unread else f"{words:g} of {most:g} points",
        "notes": record.notes,
        "functions": functions,
        "answers": answers,
        "flags": [flag.sentence for flag in graded.flags],
    }


@cache
def _template() -> object:
    from jinja2 import Environment, StrictUndefined

    text = Path(__file__).with_name("feedback.html").read_text(encoding="utf-8")
    options = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    return Environment(autoescape=True, **options).from_string(text)
