"""The self-checks of the exercises.

``check(name, answer)`` tells a learner whether an answer is right and, where it is not, which
mistake it probably is. It has two halves. ``probe`` calls the answer and brings back plain numbers;
``judge`` turns the numbers into a verdict and never sees the answer, so that a grader can run the
two in different processes::

    made = plan(name, seed)              # trusted: plain data, fit for JSON
    report = probe(made, answer)         # where the answer is
    result = judge(made, report)         # trusted again

One file ``setNN_*.py`` holds the exercises of a set, see docs/adding-an-exercise.md.
"""

from __future__ import annotations

import json
import random

from course_lib.checks.judging import judge, plan
from course_lib.checks.probes import Pristine, probe
from course_lib.checks.result import Result

__all__ = ["Result", "check", "judge", "plan", "probe"]

_entropy = random.SystemRandom()


def check(name: str, answer: object, *, seed: int | None = None) -> Result:
    """Check a learner's answer to one exercise.

    Args:
        name: the exercise, such as ``"kl_standard_normal"``.
        answer: the function or class that the learner wrote.
        seed: fixes the inputs; by default they are fresh at every call.

    Returns:
        The verdict, which shows itself in a notebook. Nothing that the answer does is raised, and
        random state and settings of the session are as before. An unknown name is a verdict too,
        with the nearest known name.
    """
    with Pristine():
        seed = _entropy.getrandbits(48) if seed is None else seed
        try:
            made = plan(name, seed)
        except ValueError as unknown_name:
            return Result(str(name), False, "unknown_name", str(unknown_name))
    report = probe(made, answer)
    with Pristine():
        return judge(made, json.loads(json.dumps(report)))
