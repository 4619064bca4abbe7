"""Quizzes: the format, the files of the course, and what is shown."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from course_lib import quizzes
from course_lib.widgets import questions, quiz
from course_lib.widgets.questions import exercise_link

GOOD = {
    "notebook": "97_example",
    "questions": [
        {
            "question": f"Question {i}: is $a < b$?",
            "options": [
                {"text": f"Option {j} <b>", "correct": j == i, "feedback": f"Because {i}{j}."}
                for j in range(3)
            ],
        }
        for i in range(3)
    ],
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with one good quiz, which the library takes for its own."""
    (tmp_path / "97.json").write_text(json.dumps(GOOD))
    (tmp_path / "README.json").write_text("{}")
    load = quizzes.load
    monkeypatch.setattr(quizzes, "load", lambda name: load(name, tmp_path))
    return tmp_path


def change(folder: Path, path: list, value: object) -> None:
    """Write the good quiz with one value replaced (or, for ``...``, taken away)."""
    data = copy.deepcopy(GOOD)
    *way, last = path
    inner = data
    for step in way:
        inner = inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    (folder / "97.json").write_text(json.dumps(data))


@pytest.mark.parametrize("name", quizzes.known())
def test_every_quiz_of_the_course_is_sound(name):
    loaded = quizzes.load(name)
    assert len(loaded.questions) == 3
    answers = [question.answer for question in loaded.questions]
    assert len(set(answers)) > 1, "the same letter is right three times"
    longest = [
        max(range(len(q.options)), key=lambda i, q=q: len(q.options[i].text))
        for q in loaded.questions
    ]
    assert longest != answers, "the longest option is right three times"
    feedback = [option.feedback for q in loaded.questions for option in q.options]
    verdicts = [f for f in feedback if re.match(r"(Right|Yes|Correct|No|Wrong|Not right)[.:,]", f)]
    assert not verdicts, "the verdict stands before the feedback already"


@pytest.mark.parametrize("name", ["97", "97_example"])
def test_quiz_is_found_by_number_and_by_name(folder, name):
    loaded = quizzes.load(name)
    assert loaded.notebook == "97_example"
    assert [question.answer for question in loaded.questions] == [0, 1, 2]
    assert quizzes.known(folder) == ["97"]


@pytest.mark.parametrize("name", ["", "2", "../97", "97.json", "97/..", None, 97, "README"])
def test_names_that_are_none_are_refused(folder, name):
    with pytest.raises(ValueError, match="number of a notebook"):
        quizzes.load(name)


def test_unknown_quiz_answers_with_the_nearest(folder):
    with pytest.raises(ValueError, match=r"Unknown quiz '96'\. Did you mean '97'\?"):
        quizzes.load("96")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["notebook"], "97", "NN_name was expected"),
        (["notebook"], "96_other", "says that it belongs to '96_other'"),
        (["notebook"], ..., "'notebook', 'questions' were expected"),
        (["extra"], 1, "and no others"),
        (["questions"], [], "0 questions; exactly 3"),
        (["questions"], {}, "a list was expected"),
        (["questions", 1, "question"], " ", "question 2 is empty"),
        (["questions", 1, "question"], "$x", "odd number of dollar signs"),
        (["questions", 1, "options"], GOOD["questions"][0]["options"][:2], "has 2 options"),
        (["questions", 1, "options"], GOOD["questions"][0]["options"] * 2, "has 6 options"),
        (["questions", 0, "options", 1, "correct"], True, "2 correct options"),
        (["questions", 0, "options", 0, "correct"], False, "0 correct options"),
        (["questions", 0, "options", 0, "correct"], "yes", "a bool was expected"),
        (["questions", 0, "options", 2, "feedback"], "", "option 3, feedback is empty"),
        (["questions", 0, "options", 2, "feedback"], ..., "question 1, option 3 has"),
        (["questions", 0, "options", 2, "text"], "Option 1 <b>", "the same option twice"),
    ],
)
def test_damaged_quizzes_say_where(folder, path, value, message):
    change(folder, path, value)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        quizzes.load("97")
    assert "quizzes/97.json" in str(error.value)
    assert str(folder) not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]"])
def test_files_that_are_no_quiz_say_so(folder, content):
    (folder / "97.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"quizzes/97\.json"):
        quizzes.load("97")


def test_quiz_belongs_to_the_notebook_that_asks(folder):
    with pytest.raises(ValueError, match="belongs to '97_example', not to '97_other'"):
        quizzes.load("97_other")


class Details(HTMLParser):
    """Each folded answer: its group, its summary and what opening it shows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict] = []
        self.tags: list[str] = []
        self.part = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "details":
            assert "open" not in dict(attrs)
            self.found.append({"group": dict(attrs)["name"], "summary": "", "p": ""})
        elif tag in ("summary", "p"):
            self.part = tag

    def handle_endtag(self, tag):
        if tag == "details":
            self.part = None

    def handle_data(self, data):
        if self.part and self.found and self.found[-1] is not None and self.part in self.found[-1]:
            self.found[-1][self.part] += data


@pytest.fixture
def card(folder, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    quiz("97")
    (card,) = shown
    return card


def test_every_answer_is_folded_and_explained(card):
    details = Details(card.html)
    assert [d["group"] for d in details.found] == [f"quiz-97-{i}" for i in (1, 2, 3) for _ in "abc"]
    for n, d in enumerate(details.found):
        i, j = divmod(n, 3)
        assert d["summary"] == f"{'ABC'[j]}. Option {j} <b>"
        assert d["p"].startswith(f"{'Right' if i == j else 'Not right'}. Because {i}{j}.")
    assert "b" not in details.tags
    assert "script" not in details.tags


def test_plain_text_has_questions_options_and_answers(card):
    assert "2. Question 1: is $a < b$?" in card.text
    assert "   C. Option 2 <b>" in card.text
    assert "Answers: 1 A, 2 B, 3 C" in card.text


def test_link_leads_to_the_exercise_set_where_there_is_one(tmp_path):
    assert exercise_link("97", tmp_path) is None
    (tmp_path / "exercises" / "97_practice").mkdir(parents=True)
    assert exercise_link("97", tmp_path) is None  # a folder without its notebook
    (tmp_path / "exercises" / "97_practice" / "97_practice.ipynb").write_text("{}")
    assert exercise_link("97", tmp_path) == "../exercises/97_practice/97_practice.ipynb"
    assert exercise_link("98", tmp_path) is None


def test_quiz_ends_with_the_link(folder, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setattr(questions, "exercise_link", lambda number: f"../{number}/x")
    quiz("97")
    assert '<a href="../97/x">exercise set 97</a>' in shown[0].html
