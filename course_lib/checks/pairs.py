"""The judge of functions that return several tensors, such as ``mu, logvar``.

A wrong formula returns a tuple as the truth does. It is looked for in all parts together first, so
that swapped parts have a row of their own. Where none explains all parts, each is judged by itself,
as ``comparing.py`` judges a single tensor, and the message says of which part it speaks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.checks import faults
from course_lib.checks.comparing import Comparison, Row, Seen, explains, read_arguments
from course_lib.checks.exercise import Exercise
from course_lib.checks.result import Result


class _View(NamedTuple):
    """One part of the result as a result of its own."""

    name: str
    judge: Comparison
    seen: list[Seen]


@dataclass(frozen=True)
class PairComparison(Comparison):
    """A judge for ``Exercise.judge``: as ``Comparison``, for a result that is a tuple of tensors.

    Truth and rows return tuples. A list is as good as a tuple. The ``weights`` of a call are a list
    with an entry for each part, None for those of which no gradient is asked. ``fallback`` is not
    used; ``gradients`` and ``comparable`` are those of one part at a time.

    Attributes:
        parts: the name of each part, in order, and what it is in words.
        integers: the parts that hold integers, of whatever integer dtype. They have no gradient.
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    integers: Sequence[str] = ()

    def __call__(self, exercise: Exercise, calls: list[dict], record: list) -> Result:
        finished, stop = faults.finished_runs(calls, record)
        for call, runs in finished:
            for run in runs:
                fault = self._kind_of_parts(exercise, run["value"], self._fed_call(call))
                if fault:
                    return fault
        views = self._views(finished)
        stopped = stop and faults.stopped(exercise, stop[1], self.errors, self._fed_call(stop[0]))
        telling = stopped and any(stopped.mistake == mistake for _, mistake, _ in self.errors)

        def first(judged: Callable[[_View], Result | None]) -> Result | None:
            found = ((view, judged(view)) for view in views)
            return next((_of_part(view.name, fault) for view, fault in found if fault), None)

        verdict = first(lambda v: v.judge._unsteady(exercise, v.seen))
        verdict = verdict or self._named(exercise, views) or (telling and stopped)
        verdict = (
            verdict
            or self._integers(exercise, views)
            or first(lambda v: v.judge._values(exercise, v.seen))
            or stopped
            or first(lambda v: v.judge._dtypes(exercise, v.seen))
            or first(lambda v: v.judge._rounded(exercise, v.seen))
            or self._arguments_kept(exercise, views[0].seen)
            or first(lambda v: v.judge._gradients(exercise, v.seen))
        )
        return verdict or Result(exercise.name, True, None, self.praise)

    def _kind_of_parts(self, exercise: Exercise, value: dict, fed: str) -> Result | None:
        """Return the verdict on what is no tuple of as many tensors as there are parts."""
        names, number = ", ".join(self.parts), len(self.parts)
        if value.get("kind") == "none":
            return faults.not_a_tensor(exercise, value, self.what, fed)
        if value.get("kind") != "tuple" or value["length"] != number:
            kind = value.get("kind")
            given = {
                "tuple": f"a tuple or list of {value.get('length')}",
                "tensor": f"one tensor of shape {value.get('shape')}",
                "other": f"an object of the type {value.get('type', 'unknown')}",
            }.get(str(kind), f"a Python {kind}")
            message = f"It returned {given}; {self.what} was expected: return {names}"
            return faults.failed(exercise, "wrong_type", f"{message}.", ("fed", fed))
        for name, part in zip(self.parts, value["items"], strict=True):
            fault = faults.not_a_tensor(exercise, part, f"{self.parts[name]}", fed)
            if fault:
                kind = "wrong_type" if fault.mistake == "nothing_returned" else fault.mistake
                message = fault.message.partition("; ")[0].removeprefix("It returned ")
                message = f"The part {name} is {message}; {self.parts[name]} was expected."
                return dataclasses.replace(fault, mistake=kind, message=message)
        return None

    def _integers(self, exercise: Exercise, views: list[_View]) -> Result | None:
        for view in views:
            for one in view.seen if view.name in self.integers else ():
                dtype = str(one.run["value"]["dtype"])
                if "int" in dtype:
                    continue
                message = (
                    f"The part {view.name} is a {dtype} tensor; {self.parts[view.name]} was "
                    "expected, and these are integers. argmin, for one, gives them."
                )
                fed = ("fed", self._fed(one))
                return faults.failed(exercise, "wrong_dtype", message, fed)
        return None

    def _views(self, finished: list[tuple[dict, list]]) -> list[_View]:
        views = [_View(name, self._judge_of(k, name), []) for k, name in enumerate(self.parts)]
        for call, runs in finished:
            args = read_arguments(call)
            wanted = self.truth(*args)
            double = any(a.get("dtype") == "float64" for a in call["args"])
            for k, view in enumerate(views):
                whole = view.name in self.integers
                weights = call["weights"] and call["weights"][k]
                part_of_call = {**call, "weights": None if whole else weights}
                for run in runs:
                    value = run["value"]["items"][k]
                    grads = run["grads"][k] if run["grads"] else []
                    part = {**run, "value": value, "grads": grads}
                    got, want = faults.plain_values(value), wanted[k].detach().double()
                    single = not double and not whole
                    view.seen.append(Seen(part_of_call, part, args, want, got, single))
        return views

    def _judge_of(self, k: int, name: str) -> Comparison:
        def part_of(formula: Callable) -> Callable[..., Tensor]:
            return lambda *args: formula(*args)[k]

        def of_rows(rows: Sequence[Row]) -> list[Row]:
            return [Row(r.mistake, part_of(r.formula), r.sentence) for r in rows]

        judge = _IntegerPart if name in self.integers else Comparison
        return judge(
            truth=part_of(self.truth),
            arguments=self.arguments,
            table=of_rows(self.table),
            what=self.parts[name],
            extreme=self.extreme,
            optional=self.optional,
            comparable=self.comparable,
            gradients=of_rows(self.gradients),
        )

    def _named(self, exercise: Exercise, views: list[_View]) -> Result | None:
        """Find the formula that gives all parts of the learner's result on all ordinary inputs."""
        ordinary = [[s for s in v.seen if s.call["tag"] != "extreme"] for v in views]
        if all(one.agrees for seen in ordinary for one in seen):
            return None
        if not any(torch.isfinite(one.got).any() for seen in ordinary for one in seen):
            return None  # anything could have given nothing but NaN

        def found(row: Row, loose: float) -> bool:
            parts = zip(views, ordinary, strict=True)
            told = [explains(v.judge.table[row], seen, loose) for v, seen in parts]
            return None not in told and any(told)

        for loose in (0.01, 1.0, 100.0):
            for k, row in enumerate(self.table):
                if found(k, loose):
                    one = next(s for v in views for s in v.seen if not s.agrees)
                    return self._failed_in(exercise, row, views, one)
        return None

    def _failed_in(self, exercise: Exercise, row: Row, views: list[_View], at: Seen) -> Result:
        """Return the verdict with all parts of the run beside what was expected of them."""
        here = [
            next(s for s in v.seen if s.args is at.args and s.run["device"] == at.run["device"])
            for v in views
        ]
        shown = [
            detail
            for v, one in zip(views, here, strict=True)
            for detail in (
                (f"returned {v.name}", faults.show(one.run["value"])),
                (f"expected {v.name}", faults.show(one.want)),
            )
        ]
        details = (("fed", self._fed(at)), *shown)
        return faults.failed(exercise, row.mistake, row.sentence, *details)


class _IntegerPart(Comparison):
    """A part that holds integers: the dtype is looked at before, and no digit can be lost."""

    def _dtypes(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        return None

    def _rounded(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        return None


def _of_part(name: str, fault: Result) -> Result:
    """Return the verdict on a part as a verdict that says so."""
    if fault.mistake == "modified_arguments":
        return fault
    own = {"returned", "expected", "gradient", "largest error"}
    details = tuple((f"{h} {name}" if h in own else h, text) for h, text in fault.details)
    return dataclasses.replace(fault, message=f"{name}: {fault.message}", details=details)
