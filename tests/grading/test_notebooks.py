"""A notebook that somebody handed in is read, or there is a sentence about it."""

from __future__ import annotations

import json
import time

import pytest

from course_lib.grading.notebooks import read_notebook


def cell(source, kind="code", **more):
    return {"cell_type": kind, "metadata": {}, "source": source, **more}


def notebook(*cells, **more):
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "cells": list(cells), **more}).encode()


def sources(found):
    return [one.source for one in found.cells]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"not json", "not a notebook"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"[1, 2]", "another kind"),
        (b"{}", "no cells"),
        (b"[" * 100_000, "not a notebook"),
        (b'{"cells": [' + b"[]," * 2_000_000 + b"[]]}", "far more"),
        (notebook(*[cell("1")] * 2001), "2,001 cells"),
        (notebook(*[cell("x = 1\n" * 10_000)] * 6), "360,000 characters of code"),
        (notebook(*[cell("a" * 900_000, "markdown")] * 23), "20,700,000 characters of text"),
    ],
)
def test_what_is_no_notebook_is_a_sentence(data, said):
    found = read_notebook(data)
    assert isinstance(found, str) and said in found and found.endswith(".")


def test_a_notebook_is_read():
    found = read_notebook(
        b"\xef\xbb\xbf" + notebook(cell(["a = 1\n", "b = 2"]), cell("*x*", "markdown"))
    )
    assert sources(found) == ["a = 1\nb = 2", "*x*"]
    assert [one.cell_type for one in found.cells] == ["code", "markdown"]


def test_what_is_odd_in_it_does_no_harm():
    about = {"grade_id": "f", "schema_version": 99, "x": {"y": []}}
    deep = json.loads("[" * 400 + "]" * 400)
    odd = cell("1", metadata={"nbgrader": about, "tags": ["a", 3, None], "deep": deep})
    more = [cell("\ud800"), cell(None), cell([1, "2"]), 7, {"source": "3"}, cell("4", metadata=[])]
    found = read_notebook(notebook(odd, *more, nbformat=4, nbformat_minor=99))
    assert sources(found) == ["1", "?", "", "2", "3", "4"]
    assert found.cells[0].metadata == {
        "nbgrader": {"grade_id": "f", "schema_version": 99},
        "tags": ["a"],
    }


def test_format_3():
    cells = [
        {"cell_type": "code", "input": ["a = 1"], "metadata": {"nbgrader": {"grade_id": "f"}}},
        {"cell_type": "heading", "source": "Title"},
    ]
    found = read_notebook(json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}).encode())
    assert sources(found) == ["a = 1", "Title"]
    assert found.cells[0].metadata.nbgrader.grade_id == "f"


def test_the_cells_before_a_break_are_kept():
    whole = notebook(cell("a = 1"), cell("b = 2"), cell("c = 3"))
    found = read_notebook(whole[: whole.index(b"c = 3")])
    assert sources(found) == ["a = 1", "b = 2"]
    assert "first 2 cells" in found.metadata.damage
    assert "damage" not in read_notebook(whole).metadata


def test_damage_cannot_be_claimed():
    assert "damage" not in read_notebook(notebook(cell("1"), metadata={"damage": "x"})).metadata


def test_a_huge_output_is_dropped_unread():
    tricky = 'text = "\\"outputs\\": [1, 2"\nx = [1]\\\\'
    text = 'a "quoted" [bracket] and \\ backslashes \\\\" ' * 1_000_000
    numbers = [[1.5] * 1_000] * 2_000  # as many values as no notebook has otherwise
    outputs = [{"data": {"outputs": [text, "]"]}}, {"numbers": numbers}]
    data = notebook(cell(tricky, outputs=outputs), cell("2", outputs=[]), cell("3", outputs=[{}]))
    assert len(data) > 50_000_000
    start = time.process_time()
    found = read_notebook(data)
    assert sources(found) == [tricky, "2", "3"]
    assert time.process_time() - start < 20
