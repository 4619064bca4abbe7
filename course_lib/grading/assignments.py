"""What a set asks and what it is worth, read from its notebook in ``solutions``."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["Asked", "Assignment", "Written", "normal", "read_assignment", "read_assignments"]

CODE_STUB = "raise NotImplementedError"  # as nbgrader_config.py has them
TEXT_STUB = "*Your answer, in two or three sentences.*"


@dataclass(frozen=True)
class Asked:
    """A function that is graded by its check.

    Attributes:
        grade_id: of the test cell.
        points: what it earns.
        exercise: the name in ``check(name, ...)``.
        function: the name in the student's namespace; ``mended_rate`` is checked as another.
        stub: the cell that students fill in, as it is released.
    """

    grade_id: str
    points: float
    exercise: str
    function: str
    stub: str


@dataclass(frozen=True)
class Written:
    """An answer in words, graded by a person.

    Attributes:
        grade_id: of the cell.
        points: the most that it earns.
        question: the cell before it.
        model: the model answer, with the scheme for marking.
    """

    grade_id: str
    points: float
    question: str
    model: str


@dataclass(frozen=True)
class Assignment:
    """A set of exercises as the grader needs it.

    Attributes:
        name: of the set, such as ``"03_kl"``.
        asked: the functions.
        written: the answers in words.
        given: code cells that students get and that are run: imports, the faulty function.
        left_out: cells that are not run: demonstrations and tests, as they are released.
        demonstrations: the ids of the demonstrations.
        tests: the released test cells by their grade_id.
        answers: the code cells with the worked answers.
        metadata: nbgrader's of its cells, by their ids.
    """

    name: str
    asked: tuple[Asked, ...]
    written: tuple[Written, ...]
    given: tuple[str, ...]
    left_out: frozenset[str]
    demonstrations: frozenset[str]
    tests: dict[str, str]
    answers: tuple[str, ...]
    metadata: dict[str, dict]

    @cached_property
    def grade_ids(self) -> frozenset[str]:
        """All of nbgrader's ids in the set."""
        ids = {one.grade_id for one in (*self.asked, *self.written)}
        return frozenset(ids | {one.function for one in self.asked})

    @cached_property
    def functions(self) -> frozenset[str]:
        """The names of the functions that are asked."""
        return frozenset(one.function for one in self.asked)


def read_assignments(folder: Path) -> dict[str, Assignment]:
    """Return the sets in ``folder``, in which each is ``SET/SET.ipynb``, by name.

    Raises:
        ValueError: there is no set in the folder, or one cannot be read.
    """
    found = [p for p in sorted(Path(folder).glob("*/*.ipynb")) if p.stem == p.parent.name]
    if not found:
        raise ValueError(f"There is no set in {folder}; SET/SET.ipynb was expected there.")
    return {path.stem: read_assignment(path) for path in found}


def read_assignment(path: Path) -> Assignment:
    """Read a set from its notebook with the worked answers and nbgrader's metadata.

    Raises:
        ValueError: the file is no such notebook.
    """
    path = Path(path)
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a notebook: {error}") from None
    asked, written, given, left_out, demonstrations, tests, answers = [], [], [], [], [], {}, []
    question, stub, metadata = "", {}, {}
    for cell in cells:
        source = "".join(cell["source"])
        about = cell["metadata"].get("nbgrader")
        if about:
            metadata[about["grade_id"]] = about
        if cell["cell_type"] != "code":
            if about and about["grade"]:
                points = about["points"]
                written.append(Written(about["grade_id"], points, question, source))
            question = source
        elif about and about["grade"]:
            exercise, function = _checked(source, path)
            released = normal(_without(source, "HIDDEN TESTS", ""))
            tests[about["grade_id"]] = released
            filled_in = stub.get(function, "")
            asked.append(Asked(about["grade_id"], about["points"], exercise, function, filled_in))
        elif about and about["solution"]:
            released = normal(_without(source, "SOLUTION", CODE_STUB))
            stub |= dict.fromkeys(defined(source), released)
            answers.append(source)
        elif "demonstration" in cell["metadata"].get("tags", []):
            left_out.append(normal(source))
            demonstrations.append(cell["id"])
        else:
            given.append(source)
    if not asked:
        raise ValueError(f"{path} asks for nothing: it has no test cell with nbgrader's metadata.")
    return Assignment(
        path.stem,
        tuple(asked),
        tuple(written),
        tuple(given),
        frozenset([*left_out, *tests.values()]),
        frozenset(demonstrations),
        tests,
        tuple(answers),
        metadata,
    )


def _checked(source: str, path: Path) -> tuple[str, str]:
    """Return the two arguments of ``check("exercise", function)``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Name("check"), args=[ast.Constant(str(exercise)), ast.Name(function)]
            ):
                return exercise, function
    raise ValueError(f'{path}: a test cell without check("exercise", function): {source[:80]!r}')


def _without(source: str, what: str, stub: str) -> str:
    """Return a cell with the regions ``### BEGIN what`` to ``### END what`` replaced."""
    pattern = rf"(?m)^([ \t]*)### BEGIN {what}\n(?:.*\n)*?[ \t]*### END {what}[ \t]*$"
    return re.sub(pattern, lambda found: found[1] + stub if stub else "", source)


def normal(source: str) -> str:
    """Return the text of a cell without what an editor may change: spaces at the ends of lines."""
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def defined(source: str) -> Iterator[str]:
    """Yield the names of the functions, classes and variables that stand at the left margin."""
    pattern = r"(?m)^(?:(?:async[ \t]+)?def[ \t]+|class[ \t]+)(\w+)|^(\w+)[ \t]*(?::[^=\n]*)?=[^=]"
    for found in re.finditer(pattern, source):
        yield found[1] or found[2]
