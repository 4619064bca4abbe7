"""The trusted half: make the plan of a check, and judge what came back."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from course_lib.checks import faults
from course_lib.checks.exercise import Exercise, Inputs
from course_lib.checks.probes import Pristine, untouched
from course_lib.checks.result import Result
from course_lib.errors import unknown


@cache
def exercises() -> dict[str, Exercise]:
    """Return all exercises by name: those in ``EXERCISES`` of each ``setNN_*.py`` of this folder."""
    import course_lib.checks as package

    names = [m.name for m in pkgutil.iter_modules(package.__path__) if m.name.startswith("set")]
    sets = [import_module(f"{package.__name__}.{name}") for name in sorted(names)]
    return {exercise.name: exercise for one in sets for exercise in one.EXERCISES}


def plan(name: str, seed: int, *, hidden: bool = False) -> dict:
    """Return the plan of a check as plain data: which inputs, how often, and what to bring back.

    Args:
        name: the exercise.
        seed: the inputs follow from it.
        hidden: for a graded test: with further calls, of other shapes and more extreme values.

    Raises:
        ValueError: no exercise has this name; the nearest is suggested.
    """
    known = exercises()
    if not isinstance(name, str) or name not in known:
        raise unknown("exercise", name, known)
    exercise = known[name]
    inputs = Inputs(seed)
    made = {
        "exercise": name,
        "probe": exercise.probe,
        "seconds": exercise.seconds,
        "seed": inputs.getrandbits(62),
        "calls": exercise.calls(inputs),
    }
    if hidden and exercise.hidden is not None:
        made["calls"] += exercise.hidden(inputs)
    return made


def judge(plan: dict, report: dict) -> Result:
    """Return the verdict on what :func:`course_lib.checks.probes.probe` brought back.

    Args:
        plan: the plan that was made here, not a copy from the other side.
        report: plain data from the other side. It is not trusted: a report that cannot be read is
            a wrong answer.
    """
    exercise = exercises()[plan["exercise"]]
    try:
        problem = report.get("problem")
        if problem:
            result = faults.stopped(exercise, problem)
        else:
            with Pristine(), untouched(plan["seed"]):
                result = exercise.judge(exercise, plan["calls"], report["record"])
    except _UNREADABLE as error:
        message = "What came back from your code cannot be read."
        result = faults.failed(exercise, "unreadable", message, ("because", repr(error)[:200]))
    return _with_output(result, report)


_UNREADABLE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def _with_output(result: Result, report: dict) -> Result:
    printed = report.get("printed") if isinstance(report, dict) else None
    if result.passed or not isinstance(printed, str) or not printed.strip():
        return result
    lines = printed.strip().splitlines()
    text = "\n".join([*lines[:6], *(["..."] if len(lines) > 6 else [])])[:600]
    details = (*result.details, ("printed", text))
    return Result(result.name, False, result.mistake, result.message, details, result.drawing)
