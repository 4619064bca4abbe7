"""The judge of functions with one right value: compare it, and find the formula that was used.

Truth and wrong formulas are evaluated in float64 on the inputs that the learner's function got. A
wrong value is named when one row of the table gives the learner's numbers on every ordinary call.
For results of several tensors see ``pairs.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.checks import faults
from course_lib.checks.exercise import Exercise
from course_lib.checks.gradients import differentiated, found_gradients, gradients_of
from course_lib.checks.probes.arguments import build
from course_lib.checks.result import Result


class Row(NamedTuple):
    """A wrong answer that people give: its identifier, its formula, and what to say of it."""

    mistake: str
    formula: Callable[..., Tensor]
    sentence: str


class Seen(NamedTuple):
    """One run of the learner's function beside the truth."""

    call: dict
    run: dict
    args: list
    want: Tensor
    got: Tensor | None
    single: bool  # float32 inputs

    @property
    def agrees(self) -> bool:
        relative = _RELATIVE if takes_tensors(self.call) else 1e-6
        return self.got is not None and _same(self.got, self.want, self.single, relative=relative)


@dataclass(frozen=True)
class Comparison:
    """A judge for ``Exercise.judge``.

    Attributes:
        truth: the right formula.
        arguments: the names of the arguments.
        table: wrong formulas, the likelier first.
        what: the expected result in words, such as "a tensor of shape [B]".
        extreme: mistake and sentence for values that are right except on extreme inputs.
        errors: exceptions that give a mistake away.
        optional: arguments whose gradient is not asked.
        fallback: looks for an explanation where the table has none: (mistake, sentence) or None.
        comparable: maps (index of the argument, gradient, arguments) to the part of the gradient
            that the exercise determines.
        gradients: formulas with the right value and a wrong gradient, which autograd takes.
        integer: the result is a Python int.
        floating: the result is a Python float. Without either it is a tensor, and may be a Python
            number as well where no argument is a tensor.
        praise: what is said of a right answer.
    """

    truth: Callable[..., Tensor]
    arguments: Sequence[str]
    table: Sequence[Row]
    what: str
    extreme: tuple[str, str] = ("unstable", "Right on moderate inputs, wrong on extreme ones.")
    errors: faults.Errors = ()
    optional: Sequence[str] = ()
    fallback: Callable[[list[Seen]], tuple[str, str] | None] | None = None
    comparable: Callable[[int, Tensor, list], Tensor] | None = None
    gradients: Sequence[Row] = ()
    integer: bool = False
    floating: bool = False
    praise: str = "Values, shapes, dtypes and gradients agree."

    def __call__(self, exercise: Exercise, calls: list[dict], record: list) -> Result:
        seen, stop = self._look(calls, record)
        for one in seen:
            fed = self._fed(one)
            fault = self._kind(exercise, one, fed)
            # A wrong value of the wrong kind: what is wrong with the value helps more.
            later = fault and fault.mistake in ("wrong_shape", "not_an_int", "not_a_float")
            if fault and not (later and self._name(seen)):
                return fault
        stopped = stop and faults.stopped(exercise, stop[1], self.errors, self._fed_call(stop[0]))
        telling = stopped and any(stopped.mistake == mistake for _, mistake, _ in self.errors)
        verdict = (
            self._unsteady(exercise, seen)
            or (telling and not self._name(seen) and stopped)
            or self._values(exercise, seen)
            or stopped
            or self._dtypes(exercise, seen)
            or self._rounded(exercise, seen)
            or self._arguments_kept(exercise, seen)
            or self._gradients(exercise, seen)
        )
        if verdict:
            return verdict
        return Result(exercise.name, True, None, self.praise)

    def _kind(self, exercise: Exercise, one: Seen, fed: str) -> Result | None:
        value = one.run["value"]
        if self.integer:
            return faults.not_an_int(exercise, value, self.what, fed)
        if self.floating:
            return faults.not_a_float(exercise, value, self.what, fed)
        if not takes_tensors(one.call) and value.get("kind") in ("int", "float"):
            return None
        return faults.not_a_tensor(exercise, value, self.what, fed)

    def _look(self, calls: list[dict], record: list) -> tuple[list[Seen], tuple | None]:
        finished, stop = faults.finished_runs(calls, record)
        seen = []
        for call, runs in finished:
            args = read_arguments(call)
            want = self.truth(*args).detach()
            double = any(a.get("dtype") == "float64" for a in call["args"])
            single = takes_tensors(call) and not double
            for run in runs:
                got = faults.plain_number_or_values(run["value"])
                seen.append(Seen(call, run, args, want, got, single))
        return seen, stop

    def _unsteady(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        for first, second in itertools.pairwise(seen):
            if first.call is not second.call or first.run["changed"]:
                continue
            if first.got is None or second.got is None:
                continue
            if not _same(second.got, first.got, first.single, nan=True):
                message = (
                    "The same arguments gave two different values. The result is a formula without "
                    "chance: draw nothing in it, and keep nothing between calls."
                )
                return self._failed(exercise, "not_deterministic", message, second)
        return None

    def _values(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        bad = [one for one in seen if not one.agrees]
        if not bad:
            return None
        plain = [one for one in bad if one.call["tag"] != "extreme"]
        first = (plain or bad)[0]
        named = self._name(seen)
        if named:
            return self._failed(exercise, *named, first)
        if any(one.run["changed"] for one in seen):
            return self._arguments_kept(exercise, seen)
        if first.got.shape != first.want.shape:
            message = (
                f"The result has shape {list(first.got.shape)}; {self.what}, here "
                f"{list(first.want.shape)}, was expected."
            )
            return self._failed(exercise, "wrong_shape", message, first)
        imprecise = (
            "Right to a few digits only. Look for a small constant that is added, a clamp, a rounded "
            "number, or float32 inside."
        )
        if not plain:
            fault = self._dtypes(exercise, seen)
            if fault or not _imprecise(bad, 1e-5):
                return fault or self._failed(exercise, *self.extreme, first)
            return self._failed(exercise, "imprecise", imprecise, first)
        if not torch.isfinite(first.got).all():
            message = "The result holds NaN or infinite values where the right ones are finite."
            return self._failed(exercise, "not_finite", message, first)
        if self._dtypes(exercise, seen):
            return self._dtypes(exercise, seen)
        if _imprecise(plain):
            if not _imprecise(bad):
                return self._failed(exercise, *self.extreme, bad[-1])
            return self._failed(exercise, "imprecise", imprecise, first)
        factor = _common_factor(plain)
        if factor == 0:
            return self._failed(exercise, "zero", "Your value is zero on every input.", first)
        if factor is not None:
            message = f"Your value is {factor:.4g} times the right one, on every input."
            return self._failed(exercise, "scaled", message, first)
        return self._failed(exercise, None, "The value is not the expected one.", first)

    def _name(self, seen: list[Seen]) -> tuple[str, str] | None:
        """Find the formula that gives the learner's numbers on all ordinary inputs."""
        ordinary = [s for s in seen if s.call["tag"] != "extreme" and s.got is not None]
        if all(s.agrees for s in ordinary):
            return None
        if not any(torch.isfinite(s.got).any() for s in ordinary):
            return None  # anything could have given nothing but NaN
        likely = [row for row in self.table if explains(row, ordinary, 100.0)]
        for loose in (0.01, 1.0, 100.0):  # the learner may have worked in float32
            row = next((row for row in likely if explains(row, ordinary, loose)), None)
            if row:
                return row.mistake, row.sentence
            double = [s for s in ordinary if not s.single]
            explained = self.fallback and double and self.fallback(double)
            if explained:
                return explained
        return None

    def _dtypes(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        for one in seen:
            value = one.run["value"]
            if self.integer or self.floating or not takes_tensors(one.call):
                continue
            fault = faults.wrong_dtype(exercise, value, not one.single, self._fed(one))
            if fault:
                return fault
            if value.get("device") != one.run["device"]:
                message = (
                    f"The inputs are on {one.run['device']} and the result on {value['device']}. "
                    "Make new tensors with device= or with zeros_like and its relatives."
                )
                return self._failed(exercise, "wrong_device", message, one)
        return None

    def _rounded(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        """Fail values that float64 inputs gave and that are float32 numbers, one and all."""
        if self.floating:
            return None
        telling = [
            (s.got, s.want != s.want.float())
            for s in seen
            if not s.single and takes_tensors(s.call)
        ]
        if sum(int(off.sum()) for _, off in telling) < 3:
            return None
        if any((got != got.float())[off].any() for got, off in telling):
            return None
        message = (
            "The result is float64, and yet every number in it is a float32 number: something inside "
            "was computed in float32, and its digits are lost. Look for .float() or dtype=."
        )
        return self._failed(exercise, "imprecise", message, seen[0])

    def _arguments_kept(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        for one in seen:
            if one.run["changed"]:
                names = [self.arguments[i] for i in one.run["changed"]]
                return faults.changed(exercise, names, self._fed(one))
        return None

    def _gradients(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        for one in seen:
            asked = self._asked(one)
            if not asked:
                continue
            if one.run["grad_problem"]:
                return faults.stopped(exercise, one.run["grad_problem"], fed=self._fed(one))
            wanted = gradients_of(self.truth, one)
            fault = None
            if not one.run["value"]["graph"] and any(wanted[i].any() for i in asked):
                message = (
                    "The value is right, but no gradient flows through it. Look for detach(), "
                    ".data, .item(), numpy, torch.no_grad() or torch.tensor(...) around a result."
                )
                fault = self._failed(exercise, "detached", message, one)
            found = found_gradients(one)
            for i in asked:
                fault = fault or self._gradient(exercise, one, i, found[i], wanted[i])
            if fault:
                return self._named_gradient(exercise, seen, one) or fault
        return None

    def _asked(self, one: Seen) -> list[int]:
        """Return the arguments for which this call asks a gradient."""
        asked = differentiated(one) if one.call["weights"] else []
        return [i for i in asked if self.arguments[i] not in self.optional]

    def _gradient(
        self, exercise: Exercise, one: Seen, index: int, got: Tensor | None, want: Tensor
    ) -> Result | None:
        name = self.arguments[index]
        if self._same_gradient(one, index, got, want):
            return None
        if got is None:
            message = f"The value is right, but no gradient reaches {name}: it was detached."
            return self._failed(exercise, "detached", message, one)
        if self.comparable:
            got, want = (self.comparable(index, g, one.args) for g in (got, want))
        if not got.any():
            message = f"The value is right, but the gradient that reaches {name} is zero."
            return self._failed(exercise, "detached", message, one)
        details = (("gradient", faults.show(got)), ("expected", faults.show(want)))
        if not torch.isfinite(got).all():
            message = f"The value is right, but its gradient for {name} is NaN or infinite."
            return faults.failed(
                exercise, "nan_gradient", message, ("fed", self._fed(one)), *details
            )
        message = (
            f"The value is right, but its gradient for {name} is not. Part of it was detached, "
            "clamped, or computed without gradient."
        )
        return faults.failed(exercise, "wrong_gradient", message, ("fed", self._fed(one)), *details)

    def _same_gradient(self, one: Seen, index: int, got: Tensor | None, want: Tensor) -> bool:
        got = torch.zeros_like(want) if got is None else got
        if self.comparable:
            got, want = (self.comparable(index, g, one.args) for g in (got, want))
        return _same(got, want, one.single, loose=10.0)

    def _named_gradient(self, exercise: Exercise, seen: list[Seen], at: Seen) -> Result | None:
        """Find the formula whose gradient is the learner's on all ordinary inputs."""
        ordinary = [s for s in seen if s.call["tag"] != "extreme" and self._asked(s)]

        def alike(row: Row, one: Seen) -> bool:
            found, wrong = found_gradients(one), gradients_of(row.formula, one)
            return all(self._same_gradient(one, i, found[i], wrong[i]) for i in self._asked(one))

        for row in self.gradients:
            if ordinary and all(alike(row, one) for one in ordinary):
                return self._failed(exercise, row.mistake, row.sentence, at)
        return None

    def _fed_call(self, call: dict) -> str:
        built = zip(self.arguments, call["args"], strict=False)
        return "\n".join(f"{name} = {faults.show(plain)}" for name, plain in built)

    def _fed(self, one: Seen) -> str:
        return self._fed_call(one.call)

    def _failed(self, exercise: Exercise, mistake: str | None, message: str, one: Seen) -> Result:
        off = ()
        if mistake == "imprecise" and one.got.shape == one.want.shape:
            off = (("largest error", f"{float((one.got - one.want).abs().max()):.1g}"),)
        return faults.failed(
            exercise,
            mistake,
            message,
            ("fed", self._fed(one)),
            ("returned", faults.show(one.run["value"])),
            ("expected", faults.show(one.want)),
            *off,
        )


def reductions(terms: Callable[..., Tensor], axes: str, over: str) -> list[Row]:
    """Return the wrong ways to reduce right terms.

    Args:
        terms: the terms that should be summed, with every axis.
        axes: ``"last"`` or ``"rest"`` (all but the first): the axes to sum over.
        over: what those axes count, such as "latents".
    """
    many = f"{over}s"

    def total(*args: Tensor) -> Tensor:
        return summed(terms, axes)(*args)

    def mean(*args: Tensor) -> Tensor:
        t = terms(*args)
        return t.mean(-1) if axes == "last" else t.flatten(1).mean(1)

    rows = [
        Row("mean_instead_of_sum", mean, f"You took the mean over the {many} instead of the sum."),
        Row("not_summed", terms, f"You return one value per {over}: the sum over the {many} is missing."),
        Row(
            "averaged_over_batch",
            lambda *a: total(*a).mean(),
            f"You summed over the {many} and then averaged over the batch. Return one value per "
            "example; a mean is taken where a loss is needed and nowhere else.",
        ),
        Row(
            "averaged_over_batch",
            lambda *a: terms(*a).sum() / terms(*a).shape[0],
            f"You summed over everything and divided by the batch size. Sum over the {many} and "
            "keep the batch: one value per example.",
        ),
        Row(
            "averaged_over_batch",
            lambda *a: total(*a) / terms(*a).shape[0],
            "You divided the value of every example by the batch size. Return it whole; a mean over "
            "the batch is taken where a loss is needed and nowhere else.",
        ),
        Row(
            "summed_over_batch",
            lambda *a: total(*a).sum(),
            f"You summed over the batch too. Sum over the {many} only: one value per example.",
        ),
        Row(
            "mean_of_everything",
            lambda *a: terms(*a).mean(),
            f"You averaged over everything, {many} and batch. Sum over the {many} and keep the "
            "batch: one value per example.",
        ),
        Row(
            "summed_wrong_axis",
            lambda *a: terms(*a).sum(0),
            f"You summed over the batch axis instead of over the {many}.",
        ),
        Row(
            "summed_wrong_axis",
            lambda *a: terms(*a).mean(0),
            f"You averaged over the batch axis. Sum over the {many}, and keep the batch.",
        ),
        Row(
            "summed_one_axis_only",
            lambda *a: terms(*a).sum(1),
            f"You summed over axis 1. The sum has to be over all axes of {many}, wherever they are.",
        ),
    ]  # fmt: skip
    if axes == "rest":
        rows += [
            Row(
                "summed_one_axis_only",
                lambda *a: terms(*a).sum(-1),
                f"You summed over the last axis only. Sum over all axes of {many}, that is all but "
                "the first.",
            ),
            Row(
                "summed_wrong_axis",
                lambda *a: terms(*a).flatten(1).sum(0),
                f"You summed over the batch axis instead of over the {many}.",
            ),
        ]
    return rows


def summed(terms: Callable[..., Tensor], axes: str = "last") -> Callable[..., Tensor]:
    """Return the formula that sums the terms over the last axis, or over all but the first."""

    def formula(*args: Tensor) -> Tensor:
        t = terms(*args)
        return t.sum(-1) if axes == "last" else t.flatten(1).sum(1)

    return formula


def crossed(
    truth: Callable[..., Tensor], wrong: Iterable[Row], axes: str, over: str
) -> tuple[Row, ...]:
    """Return a table from wrong terms: each summed rightly, the truth reduced wrongly, and both.

    At its end all of them stand once more, with the sign turned besides.

    Args:
        truth: the right terms, before the sum.
        wrong: rows whose formulas are wrong terms, before the sum.
        axes: see :func:`reductions`.
        over: see :func:`reductions`.
    """
    wrong = list(wrong)
    single = [Row(r.mistake, summed(r.formula, axes), r.sentence) for r in wrong]
    double = [
        Row(r.mistake, reduced.formula, f"{r.sentence} Besides: {reduced.sentence}")
        for r in wrong
        for reduced in reductions(r.formula, axes, over)
    ]
    turned = [
        Row(
            r.mistake,
            lambda *a, formula=r.formula: -formula(*a),
            f"{r.sentence} Besides: the sign is turned.",
        )
        for r in (*single, *double)
        if r.mistake != "sign"
    ]
    return (*single, *reductions(truth, axes, over), *double, *turned)


def takes_tensors(call: dict) -> bool:
    """Whether some argument of the call is a tensor; otherwise all of them are numbers or words."""
    return any(a.get("kind") not in ("number", "word") for a in call["args"])


def read_arguments(call: dict) -> list:
    """Return the arguments as the learner's function got them, in float64."""
    built = [build(plain) for plain in call["args"]]
    return [a.detach().double() if isinstance(a, Tensor) else a for a in built]


_RELATIVE = 1e-9  # a sum of many terms is large, and still right to 1e-6


def _same(
    got: Tensor,
    want: Tensor,
    single: bool,
    *,
    loose: float = 1.0,
    nan: bool = False,
    relative: float = 1e-6,
) -> bool:
    """Whether two values agree to 1e-6 (float64) or to 1e-3 of the largest (float32)."""
    if got.shape != want.shape:
        return False
    if single:
        room = 1e-3 * (1 + _largest(want)) * loose
    else:
        room = (1e-6 + relative * want.abs()) * loose
    close = (got - want).abs() <= room
    close |= got == want  # infinities
    if nan:
        close |= got.isnan() & want.isnan()
    return bool(close.all())


def _largest(value: Tensor) -> float:
    finite = value[torch.isfinite(value)]
    return float(finite.abs().max()) if finite.numel() else 0.0


def explains(row: Row, ordinary: list[Seen], loose: float) -> bool | None:
    """Whether a row gives the learner's numbers and is wrong; None where it gives others.

    A row that gives them and is right on all these inputs explains nothing: False.
    """
    wrong = False
    for one in ordinary:
        try:
            value = row.formula(*one.args)
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
            return None
        if not _same(one.got, value.double(), one.single, loose=loose, nan=True):
            return None
        wrong = wrong or not _same(value.double(), one.want, one.single)
    return wrong


def _imprecise(bad: list[Seen], room: float = 2e-3) -> bool:
    if any(s.got.shape != s.want.shape for s in bad):
        return False
    off = (((s.got - s.want).abs() / (1e-3 + s.want.abs())).max() for s in bad)
    return all(float(o) < room for o in off)


def _common_factor(bad: list[Seen]) -> float | None:
    alike = [one for one in bad if not one.single and one.got.shape == one.want.shape]
    ratios = torch.cat([torch.ones(0), *((one.got / one.want).flatten() for one in alike)])
    if ratios.numel() < 2 or not torch.isfinite(ratios).all():
        return None
    spread = (ratios - ratios.mean()).abs().max()
    return float(ratios.mean()) if spread <= 1e-5 * ratios.mean().abs() else None
