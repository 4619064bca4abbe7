"""Read a notebook that somebody handed in: whatever it holds, a notebook or a sentence comes back.

nbformat's own reader stops at what it does not know, and nbgrader's at metadata of another version.
Here only what grading needs is kept: the cells with their texts, ids and metadata. Outputs are
dropped before they are parsed.
"""

from __future__ import annotations

import json
import re

import nbformat
from nbformat import NotebookNode

__all__ = ["read_notebook"]

_LARGE = 1_000_000  # bytes
_MOST_PARTS = 1_000_000  # values in the file, outputs apart
_MOST_CELLS = 2_000
_MOST_TEXT = 1_000_000  # characters of a cell, in which there may be a picture
_MOST_CODE = 300_000  # characters of all code cells
_MOST_WORDS = 20_000_000  # characters of all others


def read_notebook(data: bytes) -> NotebookNode | str:
    """Read a notebook of format 3 or 4.

    Args:
        data: the file.

    Returns:
        The notebook, of format 4, with no outputs; or a sentence that says why it cannot be read.
        Of a file that breaks off, the cells before the break are kept, and a sentence about it is
        in ``metadata["damage"]``.
    """
    if not data.strip():
        return "The file is empty."
    if len(data) > _LARGE:
        data = _without_outputs(data)
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > _MOST_PARTS:
        return "The file holds far more than a notebook does, outputs apart."
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "The file is not UTF-8 text, so it is not a notebook (.ipynb)."
    damage = None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        cells = _cells_before_the_break(text)
        if not cells:
            return f"The file is not a notebook (.ipynb): {str(error)[:100]}."
        content = {"nbformat": 4, "cells": cells}
        damage = f"The file is damaged: only the first {len(cells)} cells could be read."
    cells = _cells_of(content)
    if isinstance(cells, str):
        return cells
    metadata = {} if damage is None else {"damage": damage}
    return nbformat.from_dict(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    )


def _cells_of(content: object) -> list[dict] | str:
    """Return the cells, reduced to what grading needs, or a sentence."""
    if not isinstance(content, dict):
        return "The file is not a notebook (.ipynb): it is JSON of another kind."
    cells = content.get("cells")
    if cells is None and isinstance(content.get("worksheets"), list):  # format 3
        sheets = [sheet for sheet in content["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in _list(sheet.get("cells"))]
    if not isinstance(cells, list):
        return "The file is not a notebook (.ipynb): it has no cells."
    if len(cells) > _MOST_CELLS:
        return f"The notebook has {len(cells):,} cells; more than {_MOST_CELLS:,} are not read."
    kept = [plain for plain in map(_plain, cells) if plain is not None]
    code = sum(len(cell["source"]) for cell in kept if cell["cell_type"] == "code")
    if code > _MOST_CODE:
        return f"The notebook has {code:,} characters of code; {_MOST_CODE:,} are read at most."
    words = sum(len(cell["source"]) for cell in kept) - code
    if words > _MOST_WORDS:
        return f"The notebook has {words:,} characters of text; {_MOST_WORDS:,} are read at most."
    return kept


def _plain(cell: object) -> dict | None:
    if not isinstance(cell, dict):
        return None
    kind = cell.get("cell_type")
    kind = kind if kind in ("code", "raw") else "markdown"
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    source = source[:_MOST_TEXT] if isinstance(source, str) else ""
    # A lone half of a pair of UTF-16 can be written in JSON, but nowhere else.
    source = source.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n")
    plain = {
        "cell_type": kind,
        "id": str(cell.get("id", ""))[:64],
        "metadata": _metadata(cell.get("metadata")),
        "source": source,
    }
    return plain | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def _metadata(found: object) -> dict:
    """Return nbgrader's entry, with its plain values only, and the tags."""
    found = found if isinstance(found, dict) else {}
    kept: dict = {}
    if isinstance(found.get("nbgrader"), dict):
        plain = (str, int, float, bool)
        kept["nbgrader"] = {k: v for k, v in found["nbgrader"].items() if isinstance(v, plain)}
    if isinstance(found.get("tags"), list):
        kept["tags"] = [tag for tag in found["tags"] if isinstance(tag, str)]
    return kept


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def _cells_before_the_break(text: str) -> list[dict]:
    """Return the cells that are whole in a text that breaks off or turns into something else."""
    start = re.search(r'"cells"\s*:\s*\[', text)
    cells: list[dict] = []
    if start is None:
        return cells
    place, decoder = start.end(), json.JSONDecoder()
    try:
        while len(cells) < _MOST_CELLS:
            place = re.compile(r"[\s,]*").match(text, place).end()
            cell, place = decoder.raw_decode(text, place)
            if not isinstance(cell, dict):
                break
            cells.append(cell)
    except (ValueError, RecursionError, MemoryError):
        pass
    return cells


def _without_outputs(data: bytes) -> bytes:
    """Return the text of a notebook with every ``"outputs": [...]`` empty.

    In valid JSON the key can't be part of a string, in which its quotes would have backslashes.
    """
    kept, place = [], 0
    for found in re.finditer(rb'(?<!\\)"outputs"\s*:\s*\[', data):
        if found.start() < place:
            continue  # within what is dropped
        end = _end_of_list(data, found.end())
        kept += [data[place : found.end()], b"]"]
        place = end
    return b"".join([*kept, data[place:]])


def _end_of_list(data: bytes, place: int) -> int:
    """Return the place behind the bracket that closes a list, which was opened before ``place``."""
    depth = 1
    while True:
        quote = data.find(b'"', place)
        quote = len(data) if quote < 0 else quote
        for bracket in re.finditer(rb"[\[\]]", data[place:quote]):
            depth += 1 if bracket[0] == b"[" else -1
            if depth == 0:
                return place + bracket.end()
        if quote == len(data):
            return quote
        place = _end_of_string(data, quote + 1)


def _end_of_string(data: bytes, place: int) -> int:
    """Return the place behind the quote that closes a string, which was opened before ``place``."""
    while True:
        quote = data.find(b'"', place)
        if quote < 0:
            return len(data)
        before = quote
        while before > place and data[before - 1 : before] == b"\\":
            before -= 1
        if (quote - before) % 2 == 0:
            return quote + 1
        place = quote + 1
