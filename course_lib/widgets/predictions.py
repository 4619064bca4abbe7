"""A prediction before a result that surprises, and the meeting with it afterwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from course_lib.front_end import is_watched

from . import notes
from .cards import MATH, Card, letter, marked, show

_BAR = "padding-left: 12px; border-left: 4px solid"

# A form from an earlier session has lost its kernel; JupyterLab would print an error in its place.
# The selector finds that message, and nothing else, in the outputs after this one.
_STYLE = (
    "<style>.jp-OutputArea-child:has(.course-prediction) ~ .jp-OutputArea-child > "
    ".jp-OutputArea-output.jupyter-widgets { display: none }</style>"
)


class Form(NamedTuple):
    """The widgets of a prediction."""

    row: object
    field: object
    button: object
    status: object

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        # Where the widget cannot be shown, nothing stands in its place: the card has said it all.
        return {**(self.row._repr_mimebundle_() or {}), "text/html": "", "text/plain": ""}


def prediction(
    key: str,
    question: str,
    options: Sequence[str] | None = None,
    unit: str | None = None,
) -> None:
    """Ask for a prediction before the cell that answers the question.

    Where somebody watches, a form below the question keeps the answer on disk (see
    :mod:`course_lib.widgets.notes`), with its date; running the cell again shows it. Elsewhere the
    question stands alone.

    Args:
        key: names the prediction for :func:`recall`, for example ``"02-gap"``.
        question: text; LaTeX between dollar signs, code between backticks.
        options: two to six answers to choose from.
        unit: ask for a number in this unit (``""`` for a bare number). With neither options nor a
            unit the answer is free text.

    Raises:
        ValueError: an unfit key or question, fewer than two options, or both options and a unit.
    """
    notes.check_key(key)
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"question is {question!r}; a text that is not empty was expected.")
    options = _check_options(options, unit)
    live = is_watched()
    handle = show(_question(question, options, unit, notes.read(key), live), display_id=live)
    if not live:
        return

    def keep(text: str) -> None:
        notes.write(key, text)
        handle.update(_question(question, options, unit, notes.read(key), live))

    show(_form(options, unit, keep))


def recall(key: str, outcome: object) -> None:
    """Show the prediction written under ``key`` beside what happened.

    Args:
        key: as given to :func:`prediction`.
        outcome: what happened, in a few words, with the numbers of this run.

    Raises:
        ValueError: an unfit key or an empty outcome.
    """
    notes.check_key(key)
    happened = str(outcome).strip()
    if not happened:
        raise ValueError("outcome is empty; say in a few words what happened.")
    written = notes.read(key)
    if written:
        first, last = written[0], written[-1]
        said = f"You predicted: <strong>{marked(last.text)}</strong> ({last.day})."
        if first.text != last.text:
            said = (
                f"You predicted: <strong>{marked(first.text)}</strong> ({first.day}), "
                f"later <strong>{marked(last.text)}</strong> ({last.day})."
            )
        plain = " Later: ".join(
            f"{n.text} ({n.day})." for n in ([last] if first.text == last.text else [first, last])
        )
        plain = f"You predicted: {plain}"
    else:
        said = plain = "Your prediction stands here once you have written it down."
    html = (
        f'<div class="course-recall {MATH}" style="{_BAR} #0072B2">'
        f"<p>{said}</p><p>What happened: <strong>{marked(happened)}</strong></p></div>"
    )
    show(Card(html, f"{plain}\nWhat happened: {happened}"))


def _check_options(options: Sequence[str] | None, unit: str | None) -> list[str]:
    if unit is not None and not isinstance(unit, str):
        raise ValueError(f"unit is {unit!r}; a text such as 'nats per image' was expected.")
    if options is None:
        return []
    if unit is not None:
        raise ValueError("options and unit are both given; a choice or a number was expected.")
    if isinstance(options, str) or not all(isinstance(o, str) and o.strip() for o in options):
        raise ValueError("options must be a list of texts that are not empty.")
    if not 2 <= len(options) <= 6 or len(set(options)) < len(options):
        raise ValueError(
            f"options has {len(set(options))} different answers of {len(options)}; "
            "two to six, all different, were expected."
        )
    return list(options)


def _question(
    question: str, options: list[str], unit: str | None, written: list[notes.Note], live: bool
) -> Card:
    """Return the card: the question, its options, and what was written or how to write it."""
    html = [
        f'<div class="course-prediction {MATH}" style="{_BAR} #E69F00">',
        f"<p><strong>Predict before you run on.</strong> {marked(question)}</p>",
    ]
    plain = [f"Predict before you run on. {question}"]
    if options:
        items = "".join(f"<li>{marked(option)}</li>" for option in options)
        html.append(f'<ol type="A" style="list-style-type: upper-alpha">{items}</ol>')
        plain += [f"  {letter(i)}. {option}" for i, option in enumerate(options)]
    if written:
        last = written[-1]
        html.append(f"<p>Written down on {last.day}: <strong>{marked(last.text)}</strong></p>")
        plain.append(f"Written down on {last.day}: {last.text}")
    else:
        number = "Write a number" if unit is not None else "Write a few words"
        what = "Choose an answer" if options else number
        where = "in the form" if live else "in the form that this cell shows when you run it"
        html.append(f"<p><em>{what} {where}; you will meet it again after the result.</em></p>")
        plain.append(f"({what} {where}; you will meet it again after the result.)")
    html.append("</div>")
    if live:
        html.append(_STYLE)
    return Card("".join(html), "\n".join(plain))


def _form(options: list[str], unit: str | None, keep: Callable[[str], None]) -> Form:
    """Return the form; ``keep`` is called with the answer when the button is pressed."""
    import ipywidgets

    if options:
        letters = [letter(i) for i in range(len(options))]
        field = ipywidgets.RadioButtons(
            options=list(zip(letters, options, strict=True)), value=None, layout={"width": "auto"}
        )
        if field.has_trait("orientation"):  # not in the oldest ipywidgets that we allow
            field.orientation = "horizontal"
        read = _choice
    elif unit is not None:
        field = ipywidgets.Text(placeholder="a number", layout={"width": "10em"})
        read = _number
    else:
        field = ipywidgets.Text(placeholder="in a few words", layout={"width": "32em"})
        read = _words
    button = ipywidgets.Button(description="Write it down", tooltip="Keep this prediction")
    status = ipywidgets.Label()

    def press(_button: object) -> None:
        try:
            keep(read(field.value, unit or ""))
            status.value = "Written down."
        except ValueError as error:
            status.value = str(error)
        except OSError as error:
            reason = error.strerror or str(error)
            status.value = f"Not written: {reason}. Set COURSE_NOTES to a folder of yours."

    button.on_click(press)
    beside = [ipywidgets.Label(unit)] if unit else []
    row = ipywidgets.HBox([field, *beside, button, status])
    row.layout.align_items = "center"
    row.layout.flex_flow = "row wrap"
    return Form(row, field, button, status)


def _choice(value: object, _unit: str) -> str:
    if value is None:
        raise ValueError("Choose one first.")
    return str(value)


def _number(value: str, unit: str) -> str:
    try:
        number = float(value.strip().replace("−", "-"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("That is no number; write it like 12.5 or 1e-3.")
    return f"{number:g} {unit}".strip()


def _words(value: str, _unit: str) -> str:
    if not value.strip():
        raise ValueError("Write a few words first.")
    return value.strip()
