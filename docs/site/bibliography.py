"""The entries of ``references.bib``, and citations put where the notebooks name a source."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("references.bib")
_ENTRY = re.compile(r"^@\w+\{(\w+),\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_ARXIV = re.compile(r"\[arXiv ([\d.]+)\]\(https://arxiv\.org/abs/\1\)")
_SOURCES = re.compile(r"^(?:\*\*)?(?:Sources|To read on)\b.*?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


class Entry(NamedTuple):
    """What a text says of a source: its first authors, its year, its number at arXiv."""

    key: str
    surname: str
    second: str
    year: str
    eprint: str


@cache
def entries() -> tuple[Entry, ...]:
    """All entries of the bibliography, in their order."""
    found = []
    for key, body in _ENTRY.findall(FILE.read_text(encoding="utf-8")):
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.MULTILINE))
        surnames = [name.partition(",")[0].strip("{}") for name in fields["author"].split(" and ")]
        first, second = [*surnames, surnames[0]][:2]
        found.append(Entry(key, first, second, fields.get("year", ""), fields.get("eprint", "")))
    return tuple(found)


def cited(text: str) -> str:
    """Put a citation after each number at arXiv, and after each other source in a list of sources.

    A number that the bibliography does not have stays as it is; a test tells about it.
    """
    keys = {entry.eprint: entry.key for entry in entries() if entry.eprint}
    text = _SOURCES.sub(lambda found: _by_name(found[0]), text)
    return _ARXIV.sub(
        lambda m: f"{m[0]} {{cite}}`{keys[m[1]]}`" if m[1] in keys else m[0],
        text,
    )


def _by_name(text: str) -> str:
    """Cite the sources without a number: a surname, and the year that follows it."""
    for entry in entries():
        if not entry.year or (entry.eprint and entry.eprint in text):
            continue
        alike = [e for e in entries() if (e.surname, e.year) == (entry.surname, entry.year)]
        names = re.escape(entry.surname)
        if len(alike) > 1 and entry.second != entry.surname:
            names += rf"\b[^;:\[]{{0,20}}?\b{re.escape(entry.second)}"
        named = rf"\b{names}\b[^;:\[]{{0,90}}?\(?\b{entry.year}\b\)?"
        text = re.sub(named, lambda m, key=entry.key: f"{m[0]} {{cite}}`{key}`", text, count=1)
    return text
