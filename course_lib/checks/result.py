"""What a check says, in a notebook and elsewhere."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

from course_lib.checks.pictures import Drawing

_GREEN, _RED = "#1a7f37", "#b42318"


@dataclass(frozen=True)
class Result:
    """The verdict on one answer.

    Attributes:
        name: the exercise.
        passed: whether the answer is right.
        mistake: the identifier of the mistake, such as ``"missing_half"``, or None.
        message: one or two sentences to the learner.
        details: pairs of a heading and a text: what was fed, what came back, what was expected.
        drawing: a picture of what was expected beside what came, where one helps.
    """

    name: str
    passed: bool
    mistake: str | None
    message: str
    details: tuple[tuple[str, str], ...] = ()
    drawing: Drawing | None = None

    def __str__(self) -> str:
        head = f"{self.name}: {'right' if self.passed else 'not yet'}. {self.message}"
        lines = [textwrap.fill(head, 96, break_long_words=False, break_on_hyphens=False)]
        for heading, text in self.details:
            if "\n" in text:
                lines += [f"  {heading}:", textwrap.indent(text, "    ")]
            else:
                lines.append(f"  {heading}: {text}")
        if self.drawing is not None:
            lines.append(f"  picture: {self.drawing.alt}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        color, word = (_GREEN, "right") if self.passed else (_RED, "not yet")
        parts = [
            f'<div style="border-left:4px solid {color};padding:.2em .8em;margin:.3em 0">',
            f'<div><strong style="color:{color}">{html.escape(self.name)}: {word}.</strong> '
            f"{html.escape(self.message)}</div>",
        ]
        if self.details:
            parts.append('<table style="margin:.4em 0">')
            for heading, text in self.details:
                parts.append(
                    f'<tr><th scope="row" style="text-align:left;vertical-align:top">'
                    f'{html.escape(heading)}</th><td style="text-align:left">'
                    f'<pre style="margin:0;white-space:pre-wrap">{html.escape(text)}</pre>'
                    f"</td></tr>"
                )
            parts.append("</table>")
        if self.drawing is not None:
            parts.append(self.drawing.html())
        return "".join([*parts, "</div>"])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": str(self)}
