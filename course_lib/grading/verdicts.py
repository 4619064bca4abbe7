"""Grade one submission: run it where it can do no harm, and decide here what it has earned.

What a function is worth is decided by its name in the namespace that the submission leaves, so
cells may have been renamed, copied, moved or deleted. Each function is asked about inputs that
are made here and sent over when the cells have run (:func:`course_lib.checks.plan`), and its
numbers are judged here (:func:`course_lib.checks.judge`). What comes back is not trusted: it is
JSON of bounded size and known kinds, or a wrong answer.

A function that ends the process, or never ends, costs its own points: the others get a new process.
It is tried again as the first one in a process before it is charged for what may be another's.

``judge`` changes the settings of torch for a moment, so grade several submissions in processes, not
in threads.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import math
import secrets
import time
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from nbformat import NotebookNode

from course_lib.checks import Result, judge, plan
from course_lib.grading.assignments import (
    TEXT_STUB,
    Asked,
    Assignment,
    Written,
    defined,
    normal,
    read_assignment,
)
from course_lib.grading.hidden import ROUNDS
from course_lib.grading.isolation import LIBRARY, Ended, Limits, view
from course_lib.grading.reading import Source, read_source
from course_lib.grading.sandbox import Session

__all__ = ["Answer", "Flag", "Graded", "Verdict", "grade", "grade_id", "printable", "ungraded"]

MOST_STARTS = 10
CELL_SECONDS = 20.0
_START_SECONDS = 120.0  # to import torch, on a machine that is busy
_LEAST_SECONDS = 10.0  # in which a process gets anywhere
_GRACE = 15.0  # beyond the time that the other side should keep by itself
_MOST_LINES = 10_000  # that answer nothing
_MOST_WORDS = 20_000  # characters of an answer
_MOST_NODES = 1_000_000
_MOST_NUMBERS = 200_000
_MOST_DEPTH = 20
_MOST_TEXT = 3_000
_SPOILS = ("raised", "timed_out")  # mistakes after which a process may lack what others need
MACHINE = "machine"  # of a flag and of a mistake: not the submission's fault
UNDECIDED = ("timed_out", "not_tested")  # mistakes that a slow machine may make too


def printable(text: str) -> str:
    """Return a text without the characters that a terminal would obey, for it may be anybody's."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c)[0] != "C" else "\ufffd" for c in text
    )


@dataclass(frozen=True)
class Verdict:
    """What a function has earned.

    Attributes:
        grade_id: of its test cell.
        function: its name.
        exercise: what it was checked as.
        points: what it has earned, all or nothing.
        most: what it could earn.
        passed: whether it is right.
        mistake: the identifier of the mistake, or None.
        sentence: what the student reads.
        details: pairs of a heading and a text, as in :class:`course_lib.checks.Result`. They and
            the sentence may hold text that the submission made up: escape it.
    """

    grade_id: str
    function: str
    exercise: str
    points: float
    most: float
    passed: bool
    mistake: str | None
    sentence: str
    details: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sentence", printable(self.sentence))
        details = tuple((heading, printable(text)) for heading, text in self.details)
        object.__setattr__(self, "details", details)


@dataclass(frozen=True)
class Answer:
    """An answer in words.

    Attributes:
        grade_id: of its cell.
        most: the points that it can earn.
        text: what the student wrote; empty where there is nothing or only the stub.
    """

    grade_id: str
    most: float
    text: str


@dataclass(frozen=True)
class Flag:
    """Something about a submission that somebody should know.

    Attributes:
        kind: such as ``"library"``.
        sentence: what it is.
        person: whether a person has to look at it before the grade stands.
    """

    kind: str
    sentence: str
    person: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "sentence", printable(self.sentence))


@dataclass(frozen=True)
class Graded:
    """The grade of one submission, except for its answers in words.

    Attributes:
        assignment: the name of the set.
        verdicts: one for each function, in the order of the set.
        answers: one for each question in words.
        flags: see :class:`Flag`.
        seed: of the inputs.
        starts: how many processes it took.
        seconds: how long it took in all.
        peak_memory: the most memory that was seen in use, in bytes.
        unsafe: whether it ran without a sandbox.
    """

    assignment: str
    verdicts: tuple[Verdict, ...]
    answers: tuple[Answer, ...]
    flags: tuple[Flag, ...]
    seed: int
    starts: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    unsafe: bool = False

    to_read: ClassVar[str] = "To be read: "

    @property
    def points(self) -> float:
        """What the code has earned."""
        return sum(one.points for one in self.verdicts)

    @property
    def most(self) -> float:
        """What the code could earn."""
        return sum(one.most for one in self.verdicts)

    @property
    def for_a_person(self) -> tuple[str, ...]:
        """What a person has to look at, in sentences: flags, time-outs, and answers in words."""
        said = [flag.sentence for flag in self.flags if flag.person]
        said += [f"{v.function}: {v.sentence}" for v in self.verdicts if v.mistake in UNDECIDED]
        waiting = [one.grade_id for one in self.answers if one.text]
        return (*said, *([f"{self.to_read}{', '.join(waiting)}."] if waiting else []))


def grade(
    notebook: NotebookNode,
    assignment: Assignment | Path,
    *,
    seed: int = 0,
    limits: Limits | None = None,
    unsafe: bool = False,
) -> Graded:
    """Grade one submission.

    Args:
        notebook: what was handed in, from ``read_notebook``.
        assignment: the set, or the path of its notebook in ``solutions``.
        seed: of the hidden inputs; another one gives an equivalent test with other numbers.
        limits: what each of its processes may take, and together no more time than one may.
        unsafe: without a sandbox, with this user's rights.

    Returns:
        Its grade. Nothing that the submission does is raised.

    Raises:
        Ended: ``status="refused"``: there is no sandbox here; the text says what to do.
    """
    if not isinstance(assignment, Assignment):
        assignment = read_assignment(assignment)
    start = time.monotonic()
    cells = _cells(notebook, assignment)
    source = read_source(cell.text for cell in cells)
    work = _Work(assignment, cells, seed, limits or Limits(), unsafe)
    work.run()
    about = _about_library(assignment, source, work.told, work.verdicts)
    flags = [*_about_cells(notebook, assignment), *about]
    return Graded(
        assignment.name,
        tuple(work.verdicts[one.function] for one in assignment.asked),
        tuple(_answer(notebook, one) for one in assignment.written),
        (*flags, *work.flags),
        seed,
        work.starts,
        time.monotonic() - start,
        work.peak_memory,
        unsafe,
    )


def ungraded(assignment: Assignment, problem: str, *, seed: int = 0) -> Graded:
    """Return the grade of a submission that cannot be read: nothing yet, and a person is needed.

    Args:
        assignment: the set.
        problem: a sentence, as in ``Submission.problem``.
        seed: as in :func:`grade`.
    """
    return Graded(
        assignment.name,
        tuple(_failed(one, "unreadable", problem) for one in assignment.asked),
        tuple(Answer(one.grade_id, one.points, "") for one in assignment.written),
        (Flag("unreadable", problem, person=True),),
        seed,
    )


def _failed(asked: Asked, mistake: str, sentence: str) -> Verdict:
    name, exercise = asked.function, asked.exercise
    return Verdict(asked.grade_id, name, exercise, 0, asked.points, False, mistake, sentence)


# The cells


@dataclass
class _Cell:
    """A cell to run: what messages call it, its text, and how much of it is run."""

    label: str
    source: str
    how: str = "whole"  # then "definitions", then "nothing"

    @property
    def text(self) -> str:
        return {"whole": self.source, "definitions": definitions(self.source)}.get(self.how, "")


def _cells(notebook: NotebookNode, assignment: Assignment) -> list[_Cell]:
    """Return the cells to run, in order.

    Demonstrations and test cells are left out, but not where a student has put a function there:
    one of those that are asked, or another one that they call, of which only the definitions and
    imports of the cell are run. A stub that was not touched is left out where the function is
    written in another cell. The cells that everybody is given come first where they are not there,
    such as the imports.
    """
    code = [
        (f"cell {number}", cell)
        for number, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code"
    ]
    stubs = {one.stub for one in assignment.asked}
    written: set[str] = set()
    for _, cell in code:
        if normal(cell.source) not in stubs:
            written |= set(defined(cell.source)) & assignment.functions
    kept = []
    for label, cell in code:
        text = normal(cell.source)
        names = set(defined(cell.source)) & assignment.functions
        if not text or text in assignment.left_out or (text in stubs and names <= written):
            continue
        is_test = grade_id(cell) in assignment.tests
        shown = cell.get("id") in assignment.demonstrations
        shown = shown and "demonstration" in _tags(cell)
        how = "definitions" if not names and (is_test or shown) else "whole"
        kept.append(_Cell(label, cell.source, how))
    there = {normal(cell.source) for cell in kept}
    missing = [_Cell("a given cell", s) for s in assignment.given if normal(s) not in there]
    return missing + kept


def grade_id(cell: NotebookNode) -> str | None:
    """Return nbgrader's id of a cell; None where it has none."""
    about = cell.metadata.get("nbgrader")
    found = about.get("grade_id") if isinstance(about, dict) else None
    return found if isinstance(found, str) else None


def _tags(cell: NotebookNode) -> list:
    tags = cell.metadata.get("tags")
    return tags if isinstance(tags, list) else []


def definitions(source: str) -> str:
    """Return the imports and definitions of a cell, without what it does besides."""
    kept = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    try:
        tree = ast.parse(source)
        return "\n\n".join(ast.unparse(node) for node in tree.body if isinstance(node, kept))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


# Running it


@dataclass
class _Work:
    """The grading of one submission: in one process, or in several where one is not enough."""

    assignment: Assignment
    cells: list[_Cell]
    seed: int
    limits: Limits
    unsafe: bool
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    told: dict[str, dict] = field(default_factory=dict)
    flags: list[Flag] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    starts: int = 0
    peak_memory: int = 0

    def run(self) -> None:
        """Fill in the verdicts."""
        remaining, end = list(self.assignment.asked), time.monotonic() + self.limits.wall
        program = str((view() if self.unsafe else LIBRARY) / "inside.py")
        while remaining and self.starts < MOST_STARTS:
            seconds = end - time.monotonic()
            if self.starts and seconds < _LEAST_SECONDS:
                break
            self.starts += 1
            if self.starts == MOST_STARTS:  # the last chance: what cannot end a process
                for cell in self.cells:
                    cell.how = "definitions" if cell.how == "whole" else cell.how
            limits = replace(self.limits, wall=seconds)
            session = Session([program], limits, unsafe=self.unsafe)
            with session:
                if self._run_cells(session):
                    self._ask(session, remaining)
            self.peak_memory = max(self.peak_memory, session.peak_memory)
        for asked in remaining:
            if asked.function in self.verdicts:
                continue  # it has failed once, and there was no other process for it
            why = "the notebook ends every process"
            if end - time.monotonic() < _LEAST_SECONDS:
                why = f"the {self.limits.wall:.0f} s of the whole notebook were used up"
            self._set(asked, "not_tested", f"It could not be tested: {why}.")

    def _run_cells(self, session: Session) -> bool:
        """Run the cells; False where that ended the process, and then there is less to run."""
        sent = [cell for cell in self.cells if cell.text]
        names = [asked.function for asked in self.assignment.asked]
        cells = [{"id": cell.label, "source": cell.text} for cell in sent]
        task = {"cells": cells, "seconds": CELL_SECONDS, "names": names}
        current: _Cell | None = None
        ready = False
        line, seconds = json.dumps(task).encode(), _START_SECONDS
        try:
            for _ in range(_MOST_LINES):
                said = _parsed(session.ask(line, seconds))
                line, seconds = b"", CELL_SECONDS + _GRACE
                event = said.get("event")
                ready = ready or event == "ready"
                if event == "cell" and type(said.get("index")) is int:
                    index = said["index"]
                    current = sent[index] if 0 <= index < len(sent) else current
                elif event == "again":
                    seconds = CELL_SECONDS * (1 + len(sent)) + _GRACE
                elif event == "ran":
                    self._note(said)
                    return True
            raise Ended("output", "It answers what was not asked.")
        except Ended as ended:
            if not ready:  # nothing of the submission has been run yet
                sentence = f"Python could not be started for it: {ended}"
                self.flags.append(Flag(MACHINE, sentence, person=True))
                return False
            if current is None:
                return False
            current.how = "nothing" if current.how == "definitions" else "definitions"
            what = "left out" if current.how == "nothing" else "run for its definitions only"
            sentence = f"In {current.label}: {ended} It was {what}."
            self.flags.append(Flag("process", sentence))
            return False

    def _note(self, said: dict) -> None:
        """Keep what the other side tells of the cells; all of it may be made up."""
        names, failed = said.get("names"), said.get("failed")
        for asked in self.assignment.asked:
            about = names.get(asked.function) if isinstance(names, dict) else None
            self.told[asked.function] = about if isinstance(about, dict) else {}
        for one in failed if isinstance(failed, list) else []:
            problem = one.get("problem") if isinstance(one, dict) else None
            label = str(one.get("id"))[:40] if isinstance(one, dict) else ""
            if isinstance(problem, dict):
                kind = problem.get("kind")
                how = f"{problem.get('type')}: {problem.get('text')}".strip(": ")
                if kind == "timeout":
                    how = f"it ran longer than {CELL_SECONDS:.0f} s"
                elif kind != "raised":
                    how = str(kind)
                self.failed[label] = how[:300]

    def _ask(self, session: Session, remaining: list[Asked]) -> None:
        """Test one function after the other, until there is none left or the process is gone.

        A function that fails in a process that an earlier one has ended badly in gets another one:
        the memory or the threads that it lacks may be what the earlier one left behind.
        """
        first, spoiled = True, False
        while remaining:
            asked = remaining[0]
            try:
                self._test(session, asked)
            except Ended as ended:
                mistakes = {"timed_out": "timed_out", "memory": "memory", "output": "output"}
                self._set(asked, mistakes.get(ended.status, "process_ended"), str(ended))
                if first:
                    remaining.pop(0)
                return
            said = self.verdicts[asked.function]
            if spoiled and not said.passed:
                return
            remaining.pop(0)
            first, spoiled = False, spoiled or said.mistake in _SPOILS

    def _test(self, session: Session, asked: Asked) -> None:
        for number in range(ROUNDS):
            text = f"{asked.function}/{asked.exercise}/{self.seed}/{number}"
            made = plan(asked.exercise, zlib.crc32(text.encode()), hidden=True)
            token = secrets.token_hex(16)
            question = {"token": token, "name": asked.function, "plan": made}
            said = _answered(session, question, made["seconds"] + _GRACE)
            if said.get("missing") is True:
                self._set(asked, "missing", self._why_missing(asked))
                return
            result = verdict(made, said.get("report"))
            points = asked.points if result.passed else 0
            self.verdicts[asked.function] = Verdict(
                asked.grade_id,
                asked.function,
                asked.exercise,
                points,
                asked.points,
                result.passed,
                result.mistake,
                result.message,
                result.details,
            )
            if not result.passed:
                return

    def _why_missing(self, asked: Asked) -> str:
        for cell in self.cells:
            if asked.function in defined(cell.source):
                how = self.failed.get(cell.label)
                if how:
                    return f"{asked.function} is not there, because {cell.label} failed: {how}"
                if cell.how != "whole":
                    return f"{asked.function} is not there: {cell.label} could not be run."
        return f"There is no {asked.function} in the notebook."

    def _set(self, asked: Asked, mistake: str, sentence: str) -> None:
        self.verdicts[asked.function] = _failed(asked, mistake, sentence)


def _answered(session: Session, question: dict, seconds: float) -> dict:
    """Ask, and return the answer that carries the token of the question."""
    line, deadline = json.dumps(question).encode(), time.monotonic() + seconds
    for _ in range(_MOST_LINES):
        answer = session.ask(line, max(deadline - time.monotonic(), 0))
        line, said = b"", _parsed(answer)
        if said.get("token") == question["token"]:
            return said
    raise Ended("output", "It answers what was not asked.")


def verdict(made: dict, report: object) -> Result:
    """Judge a report that may be forged.

    Args:
        made: the plan that was made here.
        report: what came back, in the kinds of JSON.

    Returns:
        The verdict; on what is no report, that the answer cannot be read.
    """
    try:
        check_plain(report)
        return judge(made, report)
    except Exception as error:  # a forged report may lead the judge anywhere
        message = "What came back from your code cannot be read."
        details = (("because", repr(error)[:200]),)
        return Result(made["exercise"], False, "unreadable", message, details)


def check_plain(report: object) -> None:
    """Make sure that a report has the kinds and sizes that a probe makes.

    Raises:
        ValueError: it does not; the text says how.
    """
    if not isinstance(report, dict):
        raise ValueError("A report is a dictionary.")
    nodes, waiting = 0, [(report, 0)]
    while waiting:
        value, depth = waiting.pop()
        nodes += 1
        if nodes > _MOST_NODES or depth > _MOST_DEPTH:
            raise ValueError("The report is larger than what was asked.")
        if isinstance(value, dict):
            if value.get("kind") == "tensor":
                _check_tensor(value)
            if not all(len(key) < 200 for key in value):
                raise ValueError("The report has a key that no probe makes.")
            waiting += [(part, depth + 1) for key, part in value.items() if key != "data"]
            if "data" in value and value.get("kind") != "tensor":
                raise ValueError("The report has data of no tensor.")
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]
        elif isinstance(value, str):
            if len(value) > _MOST_TEXT:
                raise ValueError("The report has a text that is too long.")
        elif isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise ValueError("The report has a number that is too large.")


def _check_tensor(plain: dict) -> None:
    """Make sure that the data of a tensor are as many numbers as its shape says."""
    shape, data = plain.get("shape"), plain.get("data")
    if not isinstance(shape, list) or len(shape) > 16:
        raise ValueError("The report has a tensor without a shape.")
    if not all(type(length) is int and 0 <= length < 2**40 for length in shape):
        raise ValueError("The report has a tensor of an impossible shape.")
    if data is None:
        return
    count = math.prod(shape)
    if not isinstance(data, list) or len(data) != count or count > _MOST_NUMBERS:
        raise ValueError("The numbers of a tensor in the report do not fill its shape.")
    for number in data:
        if type(number) not in (float, int) and number not in ("nan", "inf", "-inf"):
            raise ValueError("The report has a tensor of something else than numbers.")


def _parsed(line: bytes) -> dict:
    """Read a line of JSON that may be anything; an empty dictionary where it is no dictionary."""
    with contextlib.suppress(ValueError, RecursionError, MemoryError):
        said = json.loads(line, parse_constant=_no_such_number, parse_int=_whole)
        if isinstance(said, dict):
            return said
    return {}


def _no_such_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON.")


def _whole(text: str) -> int:
    if len(text) > 30:
        raise ValueError("A number of that many digits is not read.")
    return int(text)


# What to know about it


def _about_cells(notebook: NotebookNode, assignment: Assignment) -> Iterator[Flag]:
    """Tell of test cells that are missing, changed, or there several times."""
    found: dict[str, list[str]] = {}
    for cell in notebook.cells:
        if (name := grade_id(cell)) is not None:
            found.setdefault(name, []).append(normal(cell.source))
    if damage := notebook.metadata.get("damage"):
        yield Flag("damaged", str(damage), person=True)
    if not found.keys() & assignment.grade_ids:
        yield Flag("metadata", "The cells have lost nbgrader's metadata; functions go by name.")
        return
    missing = [name for name in assignment.tests if name not in found]
    changed = [
        n for n, text in assignment.tests.items() if any(t != text for t in found.get(n, []))
    ]
    twice = [n for n in found if n in assignment.grade_ids and len(found[n]) > 1]
    for names, kind, what in (
        (missing, "missing", "Test cells that are not there any more, and are not needed"),
        (changed, "changed", "Test cells that were changed, and count for nothing"),
        (twice, "copied", "Cells that are there more than once"),
    ):
        if names:
            yield Flag(kind, f"{what}: {', '.join(names)}.")


def _about_library(
    assignment: Assignment, source: Source, told: dict[str, dict], verdicts: dict[str, Verdict]
) -> Iterator[Flag]:
    """Tell of functions that use what a student should have written."""
    detours = source.detours()
    given = read_source([*assignment.given, *assignment.answers])
    for asked in assignment.asked:
        name = asked.function
        allowed, _ = given.uses(name)
        library, roundabout = source.uses(name)
        library -= allowed
        about = told.get(name, {})
        module, place = str(about.get("module", "")), str(about.get("file", ""))
        if module.partition(".")[0] == "course_lib" or "/course_lib/" in place:
            library.add(f"{module[:100]}.{str(about.get('name'))[:100]}")
        if library:
            names = ", ".join(sorted(library))
            sentence = f"{name} uses {names}, which an answer of one's own does not need."
            yield Flag("library", sentence, person=True)
        if roundabout:
            names = ", ".join(sorted(roundabout))
            yield Flag("roundabout", f"{name} reaches for things by {names}.", person=True)
        if verdicts[name].passed and not source.binds(name):
            sentence = f"{name} is right, but where it is defined cannot be read from the cells."
            yield Flag("roundabout", sentence, person=True)
        detours -= roundabout
    if detours:
        names = ", ".join(sorted(detours))
        yield Flag("roundabout", f"Its cells reach for things by {names}.", person=True)
    yield from _about_machinery(source)


def _about_machinery(source: Source) -> Iterator[Flag]:
    if source.replaced:
        names = ", ".join(sorted(source.replaced))
        yield Flag("replaced", f"It replaces {names}, which changes nothing in the grade.")
    machinery = ("course_lib.checks", "course_lib.grading")
    names = [name for name in source.imported.values() if name.startswith(machinery)]
    if names:
        sentence = f"It imports {', '.join(sorted(names))}, the machinery of the checks."
        yield Flag("machinery", sentence, person=True)


# Answers in words


def _answer(notebook: NotebookNode, written: Written) -> Answer:
    texts = [text for text in _texts(notebook, written) if text and text != TEXT_STUB]
    text = printable("\n\n".join(dict.fromkeys(texts))[:_MOST_WORDS])
    return Answer(written.grade_id, written.points, text)


def _texts(notebook: NotebookNode, written: Written) -> Iterable[str]:
    """Return the texts of an answer, found by nbgrader's id, the cell's, or below its question."""
    words = [cell for cell in notebook.cells if cell.cell_type in ("markdown", "raw")]
    by_grade = [cell for cell in words if grade_id(cell) == written.grade_id]
    by_id = [cell for cell in words if cell.get("id") == written.grade_id]
    question = normal(written.question)
    below = [
        cell
        for before, cell in itertools.pairwise(words)
        if question and normal(before.source) == question
    ]
    return [normal(cell.source) for cell in by_grade or by_id or below]
