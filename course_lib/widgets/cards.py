"""What all widgets look like where no kernel runs: a few lines of HTML, and of plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

MATH = "tex2jax_process"  # a site of Sphinx sets formulas in outputs of this class only
_MARKS = re.compile(
    r"(`[^`]+`"
    r"|\$[^$]+\$"  # formulas first, so that an asterisk in one is no mark
    r"|(?<!\w)\*\*[^*\s](?:[^*]*[^*\s])?\*\*(?!\w)"
    r"|(?<!\w)\*[^*\s](?:[^*]*[^*\s])?\*(?!\w))"
)


@dataclass(frozen=True)
class Card:
    """HTML with its plain text; the same on every machine."""

    html: str
    text: str

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text


def show(thing: object, *, display_id: bool = False) -> object:
    """Display a card or a form; with ``display_id`` return a handle with ``.update(card)``."""
    from IPython.display import display

    return display(thing, display_id=True) if display_id else display(thing)


def marked(text: str) -> str:
    """Return text as HTML: everything escaped, and three marks of Markdown understood.

    They are code between backticks, emphasis between asterisks and strong emphasis between pairs
    of them. LaTeX between dollar signs is left to the page, which knows how to set it; it gets
    the delimiters that MathJax understands without being told, inside the class :data:`MATH`.
    """
    return "".join(_piece(piece) for piece in _MARKS.split(text.strip()))


def _piece(piece: str) -> str:
    if len(piece) > 2 and piece[0] == piece[-1] == "$":
        return rf"\({escape(piece[1:-1])}\)"
    for mark, tag in (("`", "code"), ("**", "strong"), ("*", "em")):
        if piece.startswith(mark) and piece.endswith(mark) and len(piece) > 2 * len(mark):
            inside = piece[len(mark) : -len(mark)]
            return f"<{tag}>{escape(inside)}</{tag}>"
    return escape(piece)


def letter(position: int) -> str:
    """Return the letter that names an option: A, B, C, ..."""
    return chr(ord("A") + position)
