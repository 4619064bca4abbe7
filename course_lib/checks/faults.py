"""Verdicts that do not depend on the exercise: nothing came back, or something of the wrong kind."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.checks.exercise import Exercise
from course_lib.checks.result import Result

Errors = Sequence[tuple[str, str, str]]
"""Rows (pattern for "Type: text (in function)" of an exception, mistake, sentence), tried in order."""

_SIGNATURE = r"TypeError: .*(positional argument|unexpected keyword|required keyword)"


def failed(
    exercise: Exercise, mistake: str | None, message: str, *details: tuple[str, str], drawing=None
) -> Result:
    """Return the verdict on a wrong answer."""
    return Result(exercise.name, False, mistake, message, tuple(details), drawing)


def stopped(exercise: Exercise, problem: dict, errors: Errors = (), fed: str = "") -> Result:
    """Return the verdict on code that did not come back with a value."""
    details = (("fed", fed),) if fed else ()
    kind = problem.get("kind")
    if kind == "not_callable":
        message = (
            f"It was given an object of the type {problem.get('type')}. Hand over the function itself, "
            "without calling it: its name, and no brackets."
        )
        return failed(exercise, "not_callable", message)
    if kind == "timeout":
        message = (
            f"Stopped after {problem.get('seconds', 0):g} s: it was still running. Look for a loop "
            "that never ends; a right answer needs a fraction of a second."
        )
        return failed(exercise, "timed_out", message, *details)
    if kind == "exit":
        message = "It called exit() instead of returning a value. Use return."
        return failed(exercise, "exit_called", message, *details)
    if kind == "interrupted":
        message = "It was interrupted before it returned. Run the cell again for a verdict."
        return failed(exercise, "interrupted", message, *details)
    error, text = str(problem.get("type", "an exception")), str(problem.get("text", ""))
    line, inside = str(problem.get("line", "")), str(problem.get("inside", ""))
    short = text if len(text) <= 200 else f"{text.splitlines()[0][:200]} ..."
    raised = (("raised", f"{error}: {short}".rstrip(": ")), *((("at", line),) if line else ()))
    for pattern, mistake, sentence in errors:
        if re.search(pattern, f"{error}: {text} (in {inside})", re.DOTALL):
            return failed(exercise, mistake, sentence, *details, *raised)
    if error == "NotImplementedError":
        # Where one function calls another, it says which of the two is missing.
        what = inside if inside.isidentifier() else "It"
        message = (
            f"{what} is not written yet: it raises NotImplementedError. Write it and check again."
        )
        return failed(exercise, "not_implemented", message)
    details += raised
    if re.search(_SIGNATURE, f"{error}: {text}"):
        message = (
            "It cannot be called as the exercise says. Compare the names and the number of its "
            "arguments with the stub."
        )
        return failed(exercise, "wrong_signature", message, *details)
    message = f"It raised {error} instead of returning a value."
    return failed(exercise, "raised", message, *details)


def finished_runs(calls: list[dict], record: list) -> tuple[list[tuple[dict, list]], tuple | None]:
    """Return the finished runs of every call, and the first (call, problem) if there is one.

    Raises:
        ValueError: runs are missing though nothing stopped them, or there are more than were asked
            for. A report may come from a process that is not trusted: what was not run was not
            right, and nobody looks at runs in a number that no probe makes.
    """
    finished, stop = [], None
    for index, call in enumerate(calls):
        runs = record[index] if index < len(record) else []
        stop = stop or next(((call, run["problem"]) for run in runs if "problem" in run), None)
        runs = [run for run in runs if "problem" not in run]
        if stop is None and len(runs) < call["times"] and not any(run["changed"] for run in runs):
            raise ValueError(f"Call {index} was made {len(runs)} times, not {call['times']} times.")
        if len(runs) > call["times"] * (2 if call["every_device"] else 1):
            raise ValueError(f"Call {index} was made {len(runs)} times, more often than asked.")
        finished.append((call, runs))
    return finished, stop


def not_a_tensor(exercise: Exercise, value: dict, what: str, fed: str = "") -> Result | None:
    """Return the verdict on a value that is no tensor of real numbers; None where it is one."""
    details = (("fed", fed),) if fed else ()
    kind = value.get("kind")
    if kind == "none":
        message = (
            f"It returned None; {what} was expected. Is the code written, and is there a return?"
        )
        return failed(exercise, "nothing_returned", message, *details)
    if kind == "tensor":
        if isinstance(value.get("data"), list):
            return None
        if "complex" in str(value.get("dtype")):
            message = f"It returned complex numbers; {what} was expected."
            return failed(exercise, "wrong_dtype", message, *details)
        message = (
            f"It returned a {value.get('dtype')} tensor of shape {value.get('shape')}; {what} was "
            "expected."
        )
        return failed(exercise, "wrong_shape", message, *details)
    given = {"float": "a Python float", "int": "a Python int", "bool": "a bool"}.get(str(kind))
    if kind == "tuple":
        given = f"a tuple or list of {value.get('length')}"
    given = given or f"an object of the type {value.get('type', 'unknown')}"
    message = f"It returned {given}; {what} was expected."
    if kind in ("float", "int"):
        message += " Leave out .item() and float(): they cut the gradient."
    if "array" in given:
        message += " Leave out .numpy(): it cuts the gradient. Stay with torch."
    return failed(exercise, "wrong_type", message, *details)


def not_an_int(exercise: Exercise, value: dict, what: str, fed: str = "") -> Result | None:
    """Return the verdict on a value that is no Python int; None where it is one."""
    kind, details = value.get("kind"), (("fed", fed),) if fed else ()
    if kind == "int":
        return None
    if kind == "tensor" and value.get("shape") == []:
        given, cure = "a tensor of shape []", "int(...) or .item() makes an int of a whole number."
    elif kind == "float":
        given, cure = "a Python float", "Sum True and False rather than floats, or use int(...)."
    elif kind == "bool":
        given, cure = "True or False", "A number is asked for: is something summed?"
    elif kind == "other" and re.fullmatch(r"u?int\d+|float\d+", str(value.get("type"))):
        given, cure = f"a NumPy {value['type']}", "int(...) makes a Python int of it."
    else:
        return not_a_tensor(exercise, value, what, fed) or failed(
            exercise,
            "wrong_shape",
            f"It returned a tensor of shape {value['shape']}; {what} was expected.",
            *details,
        )
    message = f"It returned {given}; {what} was expected. {cure}"
    return failed(exercise, "not_an_int", message, *details)


def not_a_float(exercise: Exercise, value: dict, what: str, fed: str = "") -> Result | None:
    """Return the verdict on a value that is no Python number; None where it is one."""
    kind, given = value.get("kind"), str(value.get("type", value.get("kind")))
    details = (("fed", fed),) if fed else ()
    if kind in ("float", "int"):
        return None
    if kind == "tensor" and isinstance(value.get("data"), list):
        given = f"a tensor of shape {value.get('shape')}"
    elif kind == "other" and re.fullmatch(r"u?int\d+|float\d+", given):
        given = f"a NumPy {given}"
    elif kind in ("none", "tensor"):
        return not_a_tensor(exercise, value, what, fed)
    else:
        message = f"It returned an object of the type {given}; {what} was expected: float(...)."
        return failed(exercise, "wrong_type", message, *details)
    message = f"It returned {given}; {what} was expected: float(...) or .item()."
    return failed(exercise, "not_a_float", message, *details)


def wrong_dtype(exercise: Exercise, value: dict, double: bool, fed: str = "") -> Result | None:
    """Return the verdict on a result of too little precision; None where the dtype is right."""
    got = value.get("dtype")
    if got == "float64" or (got == "float32" and not double):
        return None
    given = "float64" if double else "float32"
    message = (
        f"The inputs are {given} and the result is {got}. Keep the dtype of the inputs; look for "
        ".float(), .half(), .int() or a tensor made without dtype=."
    )
    return failed(exercise, "wrong_dtype", message, *((("fed", fed),) if fed else ()))


def changed(exercise: Exercise, names: Sequence[str], fed: str = "") -> Result:
    """Return the verdict on a function that writes into its arguments."""
    message = (
        f"It changes its argument {' and '.join(names)}. An operation that ends in an underscore, "
        "or +=, writes into the caller's tensor; make a new one instead."
    )
    return failed(exercise, "modified_arguments", message, *((("fed", fed),) if fed else ()))


def show(value: Tensor | dict | list | float, dtype: str = "") -> str:
    """Return a value as short text: all numbers of a small tensor, shape and range of a large one."""
    if isinstance(value, dict):
        if value.get("kind") != "tensor" or value.get("data") is None:
            return str(value.get("value", value.get("kind")))
        value, dtype = plain_values(value), value["dtype"]
    if not isinstance(value, Tensor):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    if value.numel() <= 24:
        return _nested(value.tolist())
    finite = value[torch.isfinite(value)]
    spread = f"values from {finite.min():.4g} to {finite.max():.4g}" if finite.numel() else ""
    return f"{dtype} tensor of shape {list(value.shape)}, {spread}".strip().rstrip(",")


def plain_values(plain: dict) -> Tensor:
    """Return the values of an encoded tensor in float64."""
    values = [float(v) for v in plain["data"]]
    if math.prod(plain["shape"]) != len(values):
        raise ValueError("The values do not fill the shape.")
    return torch.tensor(values, dtype=torch.float64).reshape(plain["shape"])


def plain_number_or_values(plain: dict) -> Tensor | None:
    """Return an encoded number or tensor in float64; None where it is something else."""
    if plain.get("kind") in ("int", "float", "bool"):
        return torch.tensor(float(plain["value"]), dtype=torch.float64)
    if plain.get("kind") == "tensor" and plain.get("data") is not None:
        return plain_values(plain)
    return None


def _nested(values: list | float) -> str:
    if isinstance(values, list):
        return f"[{', '.join(_nested(v) for v in values)}]"
    return f"{values:.4g}"
