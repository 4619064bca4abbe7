"""What a hidden test cell runs: the checks that learners know, on inputs that nobody has seen."""

from __future__ import annotations

import json
import zlib

from course_lib.checks import Result, judge, plan, probe

ROUNDS = 2


class WrongAnswer(AssertionError):
    """An answer did not pass; the text is the verdict that ``check`` would have shown."""

    def _render_traceback_(self) -> list[str]:
        # IPython and nbgrader show this in place of a stack of library files.
        return str(self).splitlines()


def hidden_test(name: str, answer: object, *, seed: int = 0) -> None:
    """Raise unless ``answer`` is right; the last line of a graded cell.

    It is the machinery of ``check``, so the two never disagree on what is right. The inputs are
    others: further seeds, and the larger shapes and more extreme values of ``plan(hidden=True)``.

    Args:
        name: the exercise, such as ``"kl_standard_normal"``.
        answer: the student's function or class.
        seed: of the inputs; another one gives an equivalent test with other numbers.

    Raises:
        WrongAnswer: the answer is wrong; the text says how.
        ValueError: no exercise has this name.
    """
    for number in range(ROUNDS):
        result = verdict(name, answer, seed=zlib.crc32(f"{name}/{seed}/{number}".encode()))
        if not result.passed:
            raise WrongAnswer(str(result))
    print(f"{name}: right.")


def verdict(name: str, answer: object, *, seed: int) -> Result:
    """Probe and judge an answer in this process, on the hidden inputs of ``seed``."""
    made = plan(name, seed, hidden=True)
    report = probe(made, answer)
    return judge(made, json.loads(json.dumps(report)))
