"""The judge reads what comes from a process that it does not trust."""

from __future__ import annotations

import copy
import random

import pytest
from bank import RIGHT

from course_lib.checks import Result, judge, plan, probe
from course_lib.checks.judging import exercises

_JUNK = (None, "nan", "x", -1, 10**400, 1e308, True, [], {}, [[1]], {"kind": "tensor"}, [None] * 3)


def _places(node: object, path: tuple = ()) -> list[tuple]:
    """Return the path of every node of a report, but only of the first of many numbers."""
    found = [path]
    if isinstance(node, dict):
        for key, part in node.items():
            found += _places(part, (*path, key))
    elif isinstance(node, list):
        for index, part in enumerate(node[:2]):
            found += _places(part, (*path, index))
    return found


def _replaced(report: object, path: tuple, junk: object) -> object:
    if not path:
        return junk
    report = copy.deepcopy(report)
    node = report
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = junk
    return report


@pytest.mark.parametrize("name", exercises())
def test_a_report_that_makes_no_sense_is_a_wrong_answer(name: str) -> None:
    answer = next(a for a in RIGHT if a.exercise == name)
    made = plan(name, 11)
    report = probe(made, answer.code)
    assert judge(made, report).passed
    dice = random.Random(4)
    places = _places(report)
    for path in dice.sample(places, min(25, len(places))):
        result = judge(made, _replaced(report, path, dice.choice(_JUNK)))
        assert isinstance(result, Result)


@pytest.mark.parametrize("name", exercises())
def test_what_was_not_run_was_not_right(name: str) -> None:
    answer = next(a for a in RIGHT if a.exercise == name)
    made = plan(name, 12)
    report = probe(made, answer.code)
    for record in ([], report["record"][:-1], report["record"][1:], None):
        assert not judge(made, {**report, "record": record}).passed
    if exercises()[name].probe == "calls":
        fewer = [runs[:-1] for runs in report["record"]]
        assert not judge(made, {**report, "record": fewer}).passed
        more = [runs + runs[-1:] for runs in report["record"]]
        assert not judge(made, {**report, "record": more}).passed
    assert not judge(made, {}).passed
    assert not judge(made, None).passed


@pytest.mark.parametrize("name", exercises())
def test_a_report_on_other_inputs_is_a_wrong_answer(name: str) -> None:
    """Numbers that were right for one seed are of no use for another."""
    answer = next(a for a in RIGHT if a.exercise == name)
    old = probe(plan(name, 13), answer.code)
    if name == "VAE":  # the judge compares a class with itself, and the class is the same
        return
    assert not judge(plan(name, 14), old).passed
