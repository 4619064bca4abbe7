"""Every answer of the bank gets the verdict that the contract asks for."""

from __future__ import annotations

import json
import zlib

import pytest
from bank import RIGHT, WRONG, Answer

from course_lib.checks import check, judge, plan, probe
from course_lib.checks.comparing import Comparison
from course_lib.checks.judging import exercises


def _seed(answer: Answer) -> int:
    """A seed for each answer, so that a run of the tests can be had again."""
    return zlib.crc32(answer.label.encode())


@pytest.mark.parametrize("answer", RIGHT, ids=lambda a: a.label)
def test_right_answers_pass(answer: Answer) -> None:
    result = check(answer.exercise, answer.code, seed=_seed(answer))
    assert result.passed, str(result)
    assert result.mistake is None


@pytest.mark.parametrize("answer", WRONG, ids=lambda a: a.label)
def test_wrong_answers_fail_and_the_mistake_is_named(answer: Answer) -> None:
    result = check(answer.exercise, answer.code, seed=_seed(answer))
    assert not result.passed
    assert result.mistake in answer.mistakes, str(result)
    assert result.mistake != "unreadable"


@pytest.mark.parametrize("name", exercises())
def test_the_bank_holds_five_right_and_eight_wrong_answers(name: str) -> None:
    assert sum(a.exercise == name for a in RIGHT) >= 5
    assert sum(a.exercise == name for a in WRONG) >= 8


@pytest.mark.parametrize("name", exercises())
def test_probe_and_judge_speak_json_only(name: str) -> None:
    """A plan sent as JSON, a report sent back as JSON, and the same verdict as in one process."""
    answer = next(a for a in RIGHT if a.exercise == name)
    made = plan(name, 7)
    sent = json.loads(json.dumps(made, allow_nan=False))
    assert sent == made
    report = json.loads(json.dumps(probe(sent, answer.code), allow_nan=False))
    assert judge(made, report).passed


@pytest.mark.parametrize(
    "name", [n for n, e in exercises().items() if isinstance(e.judge, Comparison)]
)
def test_each_row_of_a_table_is_recognized(name: str) -> None:
    """No two rows give the same numbers, and none gives the right ones."""
    table = exercises()[name].judge.table
    for row in table[:30]:
        result = check(name, lambda *args, row=row: row.formula(*args), seed=3)
        assert not result.passed, row
        assert result.mistake == row.mistake, (row, str(result))


@pytest.mark.parametrize("name", exercises())
def test_a_seed_fixes_the_inputs(name: str) -> None:
    assert plan(name, 5) == plan(name, 5)
    assert plan(name, 5) != plan(name, 6)
