"""The judge of samplers: the form of what came back, then the noise in it, then its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.checks import faults
from course_lib.checks.exercise import Exercise
from course_lib.checks.noise import Finding
from course_lib.checks.probes.arguments import build
from course_lib.checks.result import Result


@dataclass(frozen=True)
class Sampling:
    """A judge for ``Exercise.judge``. Calls with the tag ``"many"`` are looked at as draws.

    Attributes:
        arguments: the names of the arguments; the result has the shape of the first.
        diagnose: maps draws ``[R, *shape]``, the arguments and whether the global generator was
            seeded to what is wrong.
        gradients: maps a draw, its arguments and the weights to the gradients of the weighted sum
            for those arguments that require one.
        what: the expected result in words.
        errors: exceptions that give a mistake away.
    """

    arguments: Sequence[str]
    diagnose: Callable[[Tensor, list, bool], Finding | None]
    gradients: Callable[[Tensor, list, Tensor], list[Tensor]]
    what: str
    errors: faults.Errors = ()

    def __call__(self, exercise: Exercise, calls: list[dict], record: list) -> Result:
        finished, stop = faults.finished_runs(calls, record)
        for call, runs in finished:
            for run in runs:
                fault = self._form(exercise, call, run)
                if fault:
                    return fault
        for call, runs in finished:
            if call["tag"] == "many" and len(runs) == call["times"]:
                fault = self._noise(exercise, call, runs)
                if fault:
                    return fault
        if stop:
            return faults.stopped(exercise, stop[1], self.errors, self._fed(stop[0]))
        for call, runs in finished:
            for run in runs:
                fault = self._after(exercise, call, run)
                if fault:
                    return fault
        return Result(exercise.name, True, None, "Right density, fresh noise, and gradients.")

    def _form(self, exercise: Exercise, call: dict, run: dict) -> Result | None:
        fed = self._fed(call)
        fault = faults.not_a_tensor(exercise, run["value"], self.what, fed)
        if fault:
            return fault
        shape, want = run["value"]["shape"], call["args"][0]["shape"]
        if shape != want:
            message = f"The result has shape {shape}; {self.what}, here {want}, was expected."
            return faults.failed(exercise, "wrong_shape", message, ("fed", fed))
        return None

    def _noise(self, exercise: Exercise, call: dict, runs: list[dict]) -> Result | None:
        draws = torch.stack([faults.plain_values(run["value"]) for run in runs])
        args = [build(a) for a in call["args"]]
        args = [a.detach().double() if isinstance(a, Tensor) else a for a in args]
        found = self.diagnose(draws, args, any(run["reseeded"] for run in runs))
        if found is None:
            return None
        details = (("fed", self._fed(call)), ("first draw", faults.show(runs[0]["value"])))
        return faults.failed(
            exercise, found.mistake, found.sentence, *details, drawing=found.drawing
        )

    def _after(self, exercise: Exercise, call: dict, run: dict) -> Result | None:
        fed = self._fed(call)
        double = call["args"][0]["dtype"] == "float64"
        fault = faults.wrong_dtype(exercise, run["value"], double, fed)
        if fault:
            return fault
        if run["value"]["device"] != run["device"]:
            message = f"The inputs are on {run['device']}, and the result is not."
            return faults.failed(exercise, "wrong_device", message, ("fed", fed))
        if run["changed"]:
            return faults.changed(exercise, [self.arguments[i] for i in run["changed"]], fed)
        return self._gradient(exercise, call, run, double) if call["weights"] else None

    def _gradient(self, exercise: Exercise, call: dict, run: dict, double: bool) -> Result | None:
        fed = ("fed", self._fed(call))
        if run["grad_problem"]:
            return faults.stopped(exercise, run["grad_problem"], fed=fed[1])
        names = [n for n, a in zip(self.arguments, call["args"], strict=True) if a.get("grad")]
        if not run["value"]["graph"]:
            message = (
                "The draws are right, but no gradient flows through them. Look for sample() in "
                "place of rsample(), detach(), .data or torch.no_grad()."
            )
            return faults.failed(exercise, "detached", message, fed)
        draw = faults.plain_values(run["value"])
        args = [build(a) for a in call["args"]]
        args = [a.detach().double() if isinstance(a, Tensor) else a for a in args]
        wanted = self.gradients(draw, args, build(call["weights"]))
        for name, got, want in zip(names, run["grads"], wanted, strict=True):
            if got is None:
                message = f"The draws are right, but no gradient reaches {name}: it was detached."
                return faults.failed(exercise, "detached", message, fed)
            found = torch.tensor([float(v) for v in got], dtype=torch.float64).reshape(want.shape)
            room = (1e-6 if double else 1e-3) * (1 + want.abs().max())
            if not found.any():
                message = f"The draws are right, but the gradient that reaches {name} is zero."
                return faults.failed(exercise, "detached", message, fed)
            if not ((found - want).abs() <= room).all():
                message = f"The draws are right, but the gradient for {name} is not."
                details = (("gradient", faults.show(found)), ("expected", faults.show(want)))
                return faults.failed(exercise, "wrong_gradient", message, fed, *details)
        return None

    def _fed(self, call: dict) -> str:
        built = zip(self.arguments, call["args"], strict=True)
        return "\n".join(f"{name} = {faults.show(plain)}" for name, plain in built)
