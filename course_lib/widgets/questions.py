"""The quiz at the end of a notebook: plain HTML that opens and closes, with or without a kernel."""

from __future__ import annotations

from pathlib import Path

from course_lib import quizzes

from .cards import MATH, Card, letter, marked, show

_ROOT = Path(__file__).parents[2]  # of a checkout

# A group of <details> with one name lets one be open at a time: radio buttons that explain
# themselves. Where style sheets are stripped (GitHub, a notebook not yet trusted) triangles remain.
_STYLE = (
    "<style>"
    ".course-quiz summary { list-style: none; display: flex; gap: 8px } "
    ".course-quiz summary::-webkit-details-marker { display: none } "
    '.course-quiz summary::before { content: "\\25CB" } '
    '.course-quiz details[open] > summary::before { content: "\\25CF" }'
    "</style>"
)
_QUESTION = "margin: 14px 0 6px"
_OPTION = "margin: 4px 0 4px 12px; cursor: pointer"
_FEEDBACK = "margin: 4px 0 10px 22px; padding-left: 10px; border-left: 3px solid"


def quiz(name: str) -> None:
    """Show the three questions of a notebook; opening an answer tells whether it is right and why.

    Below them stands a link to the exercise set, where the checkout has one.

    Args:
        name: the number of the notebook (``"02"``) or its whole name.

    Raises:
        ValueError: no such quiz, or a damaged file; see :func:`course_lib.quizzes.load`.
    """
    loaded = quizzes.load(name)
    number = loaded.notebook[:2]
    html = [
        f'<div class="course-quiz {MATH}">',
        "<p><strong>Three questions.</strong> Choose an answer to see whether it is right, "
        "and why.</p>",
    ]
    plain = ["Three questions."]
    for i, question in enumerate(loaded.questions, 1):
        html.append(f'<p style="{_QUESTION}"><strong>{i}.</strong> {marked(question.text)}</p>')
        plain.append(f"\n{i}. {question.text}")
        for j, option in enumerate(question.options):
            verdict, color = ("Right.", "#009E73") if option.correct else ("Not right.", "#D55E00")
            html.append(
                f'<details name="quiz-{number}-{i}" style="{_OPTION}">'
                f"<summary><span>{letter(j)}. {marked(option.text)}</span></summary>"
                f'<p style="{_FEEDBACK} {color}"><strong>{verdict}</strong> '
                f"{marked(option.feedback)}</p></details>"
            )
            plain.append(f"   {letter(j)}. {option.text}")
    answers = ", ".join(f"{i} {letter(q.answer)}" for i, q in enumerate(loaded.questions, 1))
    plain.append(f"\nAnswers: {answers}")
    exercise = exercise_link(number)
    if exercise is not None:
        title = exercise.split("/")[-2]
        html.append(f'<p>Now try it yourself: <a href="{exercise}">exercise set {title}</a>.</p>')
        plain.append(f"Now try it yourself: exercise set {title} ({exercise})")
    html += ["</div>", _STYLE]
    show(Card("".join(html), "\n".join(plain)))


def exercise_link(number: str, root: Path = _ROOT) -> str | None:
    """Return the link from a notebook to exercise set ``number``, or None where there is none."""
    for folder in sorted((root / "exercises").glob(f"{number}_*")):
        if (folder / f"{folder.name}.ipynb").is_file():
            return f"../exercises/{folder.name}/{folder.name}.ipynb"
    return None
