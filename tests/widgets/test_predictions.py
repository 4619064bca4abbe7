"""Predictions: the question, the form, and the meeting with what happened."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from course_lib.widgets import notes, prediction, predictions, recall
from course_lib.widgets.cards import marked

AWKWARD = "Is $a < b$ & `x<y` or <b>not</b>?"


class Text(HTMLParser):
    """The text and the tags of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


class Screen:
    """A notebook's output: what was displayed, and what it was replaced by."""

    def __init__(self) -> None:
        self.shown: list = []

    def display(self, thing, display_id=None):
        self.shown.append(thing)
        place = len(self.shown) - 1

        class Handle:
            def update(handle, new):
                self.shown[place] = new

        return Handle() if display_id else None

    @property
    def card(self):
        return self.shown[0]

    @property
    def form(self):
        return self.shown[1]


@pytest.fixture
def screen(monkeypatch, tmp_path) -> Screen:
    """A screen that somebody watches, with an empty folder for notes."""
    screen = Screen()
    monkeypatch.setenv("COURSE_NOTES", str(tmp_path))
    monkeypatch.setattr("IPython.display.display", screen.display)
    monkeypatch.setattr(predictions, "is_watched", lambda: True)
    return screen


@pytest.fixture
def page(screen, monkeypatch) -> Screen:
    """A screen that nobody watches: the notebook is executed by a program."""
    monkeypatch.setattr(predictions, "is_watched", lambda: False)
    return screen


def answer(form, value) -> str:
    form.field.value = value
    form.button.click()
    return form.status.value


def test_stored_question_reads_well_without_a_kernel(page):
    prediction("a", AWKWARD, ["the prior $p(z)$", "x<y"])
    (card,) = page.shown
    html = Text(card.html)
    assert r"Is \(a < b\) & x<y or <b>not</b>?" in html.text
    assert html.tags.count("li") == 2
    assert "b" not in html.tags
    assert "style" not in html.tags
    assert "when you run it" in html.text
    assert card.text.splitlines()[1:3] == ["  A. the prior $p(z)$", "  B. x<y"]
    assert set(card._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_choice_is_kept(screen):
    prediction("a", "Which?", ["one", "two", "three"])
    assert answer(screen.form, None) == "Choose one first."
    assert notes.read("a") == []
    assert [name for name, _ in screen.form.field.options] == ["A", "B", "C"]
    assert answer(screen.form, "two") == "Written down."
    (note,) = notes.read("a")
    assert note.text == "two"
    assert f"Written down on {note.day}: two" in Text(screen.card.html).text


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("12.50", "12.5 nats"), (" −3 ", "-3 nats"), ("1e-3", "0.001 nats"), ("1,5", None),
     ("", None), ("nan", None), ("inf", None), ("many", None)],
)  # fmt: skip
def test_number_is_kept_with_its_unit(screen, typed, kept):
    prediction("a", "How many?", unit="nats")
    status = answer(screen.form, typed)
    if kept is None:
        assert "no number" in status
        assert notes.read("a") == []
    else:
        assert [n.text for n in notes.read("a")] == [kept]


def test_words_are_kept(screen):
    prediction("a", "What?")
    assert answer(screen.form, "  ") == "Write a few words first."
    answer(screen.form, " blurred <digits> ")
    assert [n.text for n in notes.read("a")] == ["blurred <digits>"]
    assert "blurred <digits>" in Text(screen.card.html).text


def test_running_again_shows_the_earlier_prediction(screen):
    prediction("a", "How many?", unit="")
    answer(screen.form, "7")
    screen.shown.clear()
    prediction("a", "How many?", unit="")
    assert f"Written down on {notes.read('a')[0].day}: 7" in Text(screen.card.html).text


def test_form_leaves_nothing_where_it_cannot_be_shown(screen):
    """A stale form must not print an error: no text stands in for it, and a style hides it."""
    prediction("a", "What?")
    bundle = screen.form._repr_mimebundle_()
    assert bundle.pop("application/vnd.jupyter.widget-view+json")["model_id"]
    assert bundle == {"text/html": "", "text/plain": ""}
    assert ".jp-OutputArea-output.jupyter-widgets { display: none }" in screen.card.html


def test_folder_that_cannot_be_written_is_told_in_the_form(screen, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    prediction("a", "What?")
    monkeypatch.setattr(notes, "write", refuse)
    assert answer(screen.form, "words") == (
        "Not written: Permission denied. Set COURSE_NOTES to a folder of yours."
    )


def test_recall_sets_the_prediction_beside_what_happened(page):
    note = notes.write("a", "2 nats")
    recall("a", "$3.2 \\pm 0.1$ nats & more")
    html = Text(page.card.html).text
    assert (
        html == f"You predicted: 2 nats ({note.day}).What happened: \\(3.2 \\pm 0.1\\) nats & more"
    )
    assert page.card.text.startswith(f"You predicted: 2 nats ({note.day}).\n")


def test_recall_shows_a_change_of_mind(page):
    for text in ("2 nats", "5 nats", "3 nats"):
        notes.write("a", text)
    recall("a", 3.2)
    day = notes.read("a")[0].day
    assert f"You predicted: 2 nats ({day}), later 3 nats ({day})." in Text(page.card.html).text


def test_recall_does_not_scold(page):
    recall("a", "it collapsed")
    html = Text(page.card.html).text
    assert html.startswith("Your prediction stands here once you have written it down.")
    assert html.endswith("it collapsed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("../a", "What?"), "key of a prediction"),
        (("a", ""), "question is ''"),
        (("a", "What?", ["one"]), "two to six"),
        (("a", "What?", ["one", "one"]), "1 different answers of 2"),
        (("a", "What?", ["one", " "]), "not empty"),
        (("a", "What?", "ab"), "list of texts"),
        (("a", "What?", ["one", "two"], "nats"), "options and unit"),
        (("a", "What?", None, 3), "unit is 3"),
    ],
)
def test_unfit_predictions_get_one_sentence(page, arguments, message):
    with pytest.raises(ValueError, match=message):
        prediction(*arguments)
    assert not page.shown


def test_unfit_recalls_get_one_sentence(page):
    with pytest.raises(ValueError, match="outcome is empty"):
        recall("a", " ")
    with pytest.raises(ValueError, match="key of a prediction"):
        recall("a b", "x")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a *b c* **d**, *e*.", "a <em>b c</em> <strong>d</strong>, <em>e</em>."),
        ("$q^*(z)*2$ and `x*y*z`", r"\(q^*(z)*2\) and <code>x*y*z</code>"),
        ("2*3*4 or 5 * 3 * 2", "2*3*4 or 5 * 3 * 2"),
        ("<i> & \"q\" `<b>`", "&lt;i&gt; &amp; &quot;q&quot; <code>&lt;b&gt;</code>"),
        ("$a < b$", r"\(a &lt; b\)"),
        ("one $ alone", "one $ alone"),
    ],
)  # fmt: skip
def test_marks_become_html_and_all_else_is_escaped(text, html):
    assert marked(text) == html
