"""What all widgets look like where no kernel runs: a few lines of HTML, and of plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape


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
    """Return text as HTML: everything escaped, code between backticks as code.

    LaTeX between dollar signs is left to the page, which knows how to set it.
    """
    parts = re.split(r"(`[^`]+`)", text.strip())
    return "".join(
        f"<code>{escape(part[1:-1])}</code>" if re.fullmatch(r"`[^`]+`", part) else escape(part)
        for part in parts
    )


def letter(position: int) -> str:
    """Return the letter that names an option: A, B, C, ..."""
    return chr(ord("A") + position)
