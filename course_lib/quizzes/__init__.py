"""The quizzes: data, one file ``NN.json`` for notebook ``NN``.

A file holds the name of the notebook and three questions. Each question has three or four options;
exactly one is correct, and each has feedback that says why it is right or wrong::

    {
      "notebook": "02_latent_variables_and_the_elbo",
      "questions": [
        {
          "question": "What is the gap between $\\\\log p(x)$ and the ELBO?",
          "options": [
            {"text": "...", "correct": true, "feedback": "..."},
            {"text": "...", "correct": false, "feedback": "..."},
            {"text": "...", "correct": false, "feedback": "..."}
          ]
        },
        ...
      ]
    }

Texts may hold LaTeX between dollar signs, code between backticks, *emphasis* and **strong
emphasis**; all else is plain text. "Right." or "Not right." is put before the feedback.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import unknown

FOLDER = Path(__file__).parent
QUESTIONS = 3
OPTIONS = (3, 4)


@dataclass(frozen=True)
class Option:
    """One answer: its text, whether it is the right one, and why."""

    text: str
    correct: bool
    feedback: str


@dataclass(frozen=True)
class Question:
    """A question with three or four options, one of them correct."""

    text: str
    options: tuple[Option, ...]

    @property
    def answer(self) -> int:
        """The position of the correct option."""
        return [option.correct for option in self.options].index(True)


@dataclass(frozen=True)
class Quiz:
    """The three questions at the end of a notebook."""

    notebook: str
    questions: tuple[Question, ...]


def known(folder: Path = FOLDER) -> list[str]:
    """Return the numbers of the notebooks that have a quiz, such as ``["00", "02"]``."""
    return sorted(path.stem for path in folder.glob("[0-9][0-9].json"))


def load(name: str, folder: Path = FOLDER) -> Quiz:
    """Read and check the quiz of a notebook.

    Args:
        name: the number of the notebook (``"02"``) or its whole name.
        folder: where the files are.

    Raises:
        ValueError: no such quiz, or a file that breaks the format; the message says where.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\d\d(_\w+)?", name):
        raise ValueError(
            f"The name of a quiz is {name!r}; the number of a notebook ('02') or its name was "
            "expected."
        )
    number = name[:2]
    if number not in known(folder):
        raise unknown("quiz", name, known(folder))
    path = folder / f"{number}.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON and UTF-8 errors alike
        raise ValueError(f"quizzes/{path.name} is no JSON: {error}. Mend the file.") from None
    quiz = _quiz(data, f"quizzes/{path.name}")
    if quiz.notebook[:2] != number or (len(name) > 2 and quiz.notebook != name):
        raise ValueError(
            f"quizzes/{path.name} says that it belongs to {quiz.notebook!r}, not to {name!r}. "
            "Correct one of the two."
        )
    return quiz


def _quiz(data: object, where: str) -> Quiz:
    _fields(data, {"notebook": str, "questions": list}, where)
    if not re.fullmatch(r"\d\d_\w+", data["notebook"]):
        raise ValueError(f"{where}: 'notebook' is {data['notebook']!r}; NN_name was expected.")
    if len(data["questions"]) != QUESTIONS:
        raise ValueError(
            f"{where} has {len(data['questions'])} questions; exactly {QUESTIONS} were expected."
        )
    questions = [_question(q, f"{where}, question {i}") for i, q in enumerate(data["questions"], 1)]
    return Quiz(data["notebook"], tuple(questions))


def _question(data: object, where: str) -> Question:
    _fields(data, {"question": str, "options": list}, where)
    _text(data["question"], where)
    low, high = OPTIONS
    if not low <= len(data["options"]) <= high:
        raise ValueError(
            f"{where} has {len(data['options'])} options; {low} to {high} were expected."
        )
    options = []
    for i, option in enumerate(data["options"], 1):
        place = f"{where}, option {i}"
        _fields(option, {"text": str, "correct": bool, "feedback": str}, place)
        options.append(
            Option(
                _text(option["text"], place),
                option["correct"],
                _text(option["feedback"], f"{place}, feedback"),
            )
        )
    right = sum(option.correct for option in options)
    if right != 1:
        raise ValueError(f"{where} has {right} correct options; exactly one was expected.")
    if len({option.text for option in options}) < len(options):
        raise ValueError(f"{where} has the same option twice.")
    return Question(data["question"], tuple(options))


def _fields(data: object, expected: dict[str, type], where: str) -> None:
    if not isinstance(data, dict) or set(data) != set(expected):
        found = ", ".join(map(repr, data)) if isinstance(data, dict) else type(data).__name__
        raise ValueError(
            f"{where} has {found}; the fields {', '.join(map(repr, expected))} were expected, "
            "and no others."
        )
    for name, kind in expected.items():
        if not isinstance(data[name], kind):
            raise ValueError(
                f"{where}: {name!r} is {data[name]!r}; a {kind.__name__} was expected."
            )


def _text(text: str, where: str) -> str:
    if not text.strip():
        raise ValueError(f"{where} is empty; a text was expected.")
    for mark, what in (("$", "dollar signs"), ("`", "backticks")):
        if text.replace("\\$", "").count(mark) % 2:
            raise ValueError(f"{where} has an odd number of {what}; they come in pairs.")
    return text
