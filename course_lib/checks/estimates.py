"""The judge of unbiased estimators: their mean, their spread, and the estimator that was used.

Every test leaves a right answer a chance of failing far below one in a million: a mean may lie
``ROOM`` standard deviations off. The standard deviation is that of the plain estimator, or of the
estimates themselves where there are many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.checks import faults
from course_lib.checks.exercise import Exercise
from course_lib.checks.pictures import Drawing, histogram
from course_lib.checks.probes.arguments import build
from course_lib.checks.result import Result

ROOM = 6.5
_MANY = 60
_SIMULATED = (4, 16, 100)  # in steps, for few are often enough


class Row(NamedTuple):
    """A wrong estimator: its identifier, itself, and what to say of it."""

    mistake: str
    estimator: Callable[..., Tensor]
    sentence: str


class Truth(NamedTuple):
    """What a right estimator of one call does.

    Attributes:
        mean: its expectation, with the shape of the result.
        spread: the largest standard deviation of a right estimator, entry by entry; 0 where chance
            has no part.
        pooled: whether the entries are independent estimates of one number.
        least: the smallest standard deviation of a right estimator, entry by entry.
        covariance: the largest covariance of the flat entries of a right estimator, where the
            entries are to be judged together: noise that they share shows in them all.
        rare: whether rare large draws make the spread. Some tens of runs may miss them, and then they
            seem to vary little.
    """

    mean: Tensor
    spread: Tensor
    pooled: bool
    least: Tensor
    covariance: Tensor | None = None
    rare: bool = False


class Seen(NamedTuple):
    """All runs of one call."""

    call: dict
    args: list
    truth: Truth
    runs: list[dict]
    values: Tensor  # [runs, *shape of the result]

    @property
    def shaped(self) -> bool:
        return self.values.shape[1:] == self.truth.mean.shape

    @property
    def room(self) -> float:
        """The room for rounding: the inputs and so the result may be float32."""
        single = not any(_double(a) for a in self.call["args"])
        return (1e-4 if single else 1e-6) * (1 + float(self.truth.mean.abs().max()))


@dataclass(frozen=True)
class Estimation:
    """A judge for ``Exercise.judge``.

    Attributes:
        truth: maps the arguments to the mean and spread of a right estimator.
        right: a right estimator.
        arguments: the names of the arguments.
        table: wrong estimators, the likelier first.
        what: the expected result in words.
        errors: exceptions that give a mistake away.
        gradients: maps the arguments (leaves included) to the expected gradients of the sum, or
            None where no gradient is asked.
        replayed: whether the rows draw as learners do, so that the seed of the first call and a row
            give the learner's number.
    """

    truth: Callable[..., Truth]
    right: Callable[..., Tensor]
    arguments: Sequence[str]
    table: Sequence[Row]
    what: str
    errors: faults.Errors = ()
    gradients: Callable[[list, list[Tensor]], list[Tensor]] | None = None
    replayed: bool = False

    def __call__(self, exercise: Exercise, calls: list[dict], record: list) -> Result:
        seen, seed = [], torch.initial_seed()  # that of the plan: the probe began with it
        finished, stop = faults.finished_runs(calls, record)
        for call, runs in finished:
            for run in runs:
                fault = faults.not_a_tensor(exercise, run["value"], self.what, self._fed(call))
                if fault:
                    return fault
            values = [faults.plain_values(r["value"]) for r in runs]
            if values and all(v.shape == values[0].shape for v in values):
                args = [build(a) for a in call["args"]]
                seen.append(Seen(call, args, self.truth(*args), runs, torch.stack(values)))
        stopped = stop and faults.stopped(exercise, stop[1], self.errors, self._fed(stop[0]))
        telling = stopped and any(stopped.mistake == mistake for _, mistake, _ in self.errors)
        verdict = (
            self._seeded(exercise, seen)
            or self._whole_numbers(exercise, seen)
            or (self.replayed and self._replay(exercise, seen, calls, seed))
            or (telling and not self._row_that_explains(seen) and stopped)
            or self._values(exercise, seen)
            or stopped
            or self._frozen(exercise, seen)
            or self._form(exercise, seen)
            or self._gradients(exercise, seen)
        )
        if verdict:
            return verdict
        if len(seen) != len(calls):  # a call that was stopped has had its verdict
            raise ValueError("The results of one call have different shapes.")
        return Result(exercise.name, True, None, "Unbiased, with fresh draws at every call.")

    def _seeded(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        if not any(run["reseeded"] for one in seen for run in one.runs):
            return None
        message = (
            "It sets the seed of the global generator, so every call draws the same noise, and so "
            "does everything after it. Seed once at the top of a notebook, never in here."
        )
        return faults.failed(exercise, "reseeds", message)

    def _whole_numbers(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        """Name integers first: rounded estimates look like any other fault of the values."""
        for one in seen:
            for value in (run["value"] for run in one.runs):
                if "float" not in str(value.get("dtype")):
                    return faults.wrong_dtype(exercise, value, False, self._fed(one.call))
        return None

    def _replay(
        self, exercise: Exercise, seen: list[Seen], calls: list[dict], seed: int
    ) -> Result | None:
        """Find the row that gives the very number of the first call from the seed it began with.

        Statistics cannot tell heavy tails from a bias, nor half as many draws from bad luck.
        """
        if not seen or seen[0].call is not calls[0]:
            return None
        one = seen[0]

        def repeats(estimator: Callable[..., Tensor]) -> bool:
            torch.default_generator.manual_seed(seed)
            try:
                again = estimator(*one.args).detach().double()
            except (RuntimeError, ValueError, IndexError, NotImplementedError):
                return False
            return again.shape == one.values[0].shape and torch.allclose(again, one.values[0])

        row = next((row for row in self.table if repeats(row.estimator)), None)
        if row is None or repeats(self.right):
            return None
        return self._failed(exercise, row.mistake, row.sentence, one)

    def _frozen(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        for one in seen:
            alike = len(one.runs) > 1 and bool((one.values == one.values[0]).all())
            telling = torch.isfinite(one.values).all() and one.values.any()
            if alike and telling and self._is_random(one):
                message = (
                    "Two calls with the same arguments gave the same estimate. Draw fresh noise "
                    "inside the function, and set no seed there."
                )
                return self._failed(exercise, "same_noise_each_call", message, one)
        return None

    def _is_random(self, one: Seen) -> bool:
        return bool((one.truth.spread > 0).any())

    def _values(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        bad = next((one for one in seen if self._fault(one)), None)
        if bad is None:
            return None
        row = self._row_that_explains(seen)
        if row:
            return self._failed(exercise, row.mistake, row.sentence, bad)
        fault = self._fault(bad)
        if fault != "wrong_shape" and self._frozen(exercise, seen):
            return self._frozen(exercise, seen)
        if fault == "wrong_shape":
            message = (
                f"The result has shape {list(bad.values.shape[1:])}; {self.what}, here "
                f"{list(bad.truth.mean.shape)}, was expected."
            )
        elif fault == "not_finite":
            message = "The result holds NaN or infinite values where the right ones are finite."
        elif fault == "too_noisy":
            message = (
                "Its mean may be right, but it varies more than an average of num_samples independent "
                "draws does. Are all num_samples drawn, and each afresh?"
            )
        elif fault == "too_quiet":
            fault = "ignores_num_samples"
            message = (
                "The mean is right, but it hardly varies: more is averaged than num_samples draws, or "
                "nothing is drawn. Draw num_samples times."
            )
        elif _accumulates(bad):
            fault = "accumulates_gradient"
            message = (
                "The second call with the same tensors gives the sum of two gradients: backward() "
                "adds to .grad of the argument. Work on mu.detach().requires_grad_()."
            )
        else:
            fault = None
            message = (
                "The estimate is biased: its average over many calls is not the expected value."
                if self._is_random(bad)
                else "The value is not the expected one, though here chance has no part in it."
            )
        return self._failed(exercise, fault, message, bad)

    def _fault(self, one: Seen) -> str | None:
        if not one.shaped:
            return "wrong_shape"
        if not torch.isfinite(one.values).all():
            return "not_finite"
        error = one.values - one.truth.mean
        spread = one.truth.spread.expand_as(one.truth.mean)
        if one.truth.pooled:
            error, spread = error.flatten()[:, None], spread.flatten()[:1]
        count = error.shape[0]
        known = spread
        if count >= _MANY:
            known = error.std(0)
            known = torch.maximum(known, one.truth.least) if one.truth.rare else known
        if (error.mean(0).abs() > ROOM * known / math.sqrt(count) + one.room).any():
            return "biased"
        if one.truth.covariance is not None and _far(error.mean(0).flatten(), one):
            return "biased"
        if self._is_random(one) and error.numel() >= 20:
            excess = (error / spread).square().mean()
            if excess > 3 + 12 / math.sqrt(error.numel()):
                return "too_noisy"
            if error.numel() >= 60 and excess < 0.015:
                return "too_quiet"
        return None

    def _row_that_explains(self, seen: list[Seen]) -> Row | None:
        """Find the likeliest row under which all that was observed is possible, if any is likelier
        than the right estimator."""
        seen = [one for one in seen if one.call["tag"] == "plain"]
        seen.sort(key=lambda one: (not one.truth.pooled, len(one.runs)))
        best, highest = None, _likelihoods(self.right, seen, always=True)
        for row in self.table:
            total = _likelihoods(row.estimator, seen)
            if total > highest:
                best, highest = row, total
        return best

    def _form(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        for one in seen:
            for run in one.runs:
                double = any(_double(a) for a in one.call["args"])
                fault = faults.wrong_dtype(exercise, run["value"], double, self._fed(one.call))
                if fault:
                    return fault
                if run["changed"]:
                    names = [self.arguments[i] for i in run["changed"]]
                    return faults.changed(exercise, names, self._fed(one.call))
        return None

    def _gradients(self, exercise: Exercise, seen: list[Seen]) -> Result | None:
        for one in seen:
            if self.gradients is None or not one.call["weights"]:
                continue
            leaves: list[Tensor] = []
            args = [build(a, leaves) for a in one.call["args"]]
            wanted = self.gradients(args, [leaf for leaf in leaves if leaf.requires_grad])
            for run in one.runs:
                if run["grad_problem"]:
                    return faults.stopped(exercise, run["grad_problem"], fed=self._fed(one.call))
                if not run["value"]["graph"] or None in run["grads"]:
                    message = (
                        "The value is right, but no gradient flows through it. Draw the samples "
                        "without gradient if you like, and evaluate the densities with."
                    )
                    return self._failed(exercise, "detached", message, one)
                for got, want in zip(run["grads"], wanted, strict=True):
                    found = torch.tensor([float(v) for v in got], dtype=torch.float64)
                    off = (found.mean() - want).abs()
                    if not off <= ROOM * found.std() / math.sqrt(len(found)) + one.room:
                        message = "The value is right on average, but its gradient is not."
                        details = (
                            ("mean gradient", f"{found.mean():.4g}"),
                            ("expected", f"{want:.4g}"),
                        )
                        return faults.failed(exercise, "wrong_gradient", message, *details)
        return None

    def _fed(self, call: dict) -> str:
        named = zip(self.arguments, call["args"], strict=True)
        return "\n".join(f"{name} = {_show(plain)}" for name, plain in named)

    def _failed(self, exercise: Exercise, mistake: str | None, message: str, one: Seen) -> Result:
        if not one.shaped:
            details = (("returned", f"shape {list(one.values.shape[1:])}"),
                       ("expected", f"shape {list(one.truth.mean.shape)}"))  # fmt: skip
            return faults.failed(exercise, mistake, message, ("fed", self._fed(one.call)), *details)
        mean, want = one.values.mean(0), one.truth.mean
        count, drawing = len(one.runs), None
        if one.truth.pooled:
            drawing = _draw(one)
            mean, want, count = mean.mean(), want.mean(), one.values.numel()
        word = f"mean of {count} estimates" if count > 1 else "one estimate"
        return faults.failed(
            exercise,
            mistake,
            message,
            ("fed", self._fed(one.call)),
            (f"returned ({word})", faults.show(mean)),
            ("expected", faults.show(want)),
            drawing=drawing,
        )


def _far(error: Tensor, one: Seen) -> bool:
    """Whether the mean of all runs is too far off, measured by the covariance of the entries."""
    covariance = one.truth.covariance / len(one.runs)
    squared = error @ torch.linalg.solve(covariance, error)
    # Six entries exceed this once in 10^7 times.
    return float(squared) > 32 + 2 * len(error)


def _accumulates(one: Seen) -> bool:
    """Whether each result is the sum of all results so far."""
    if len(one.values) < 2 or not one.shaped:
        return False
    spread = one.truth.spread.expand_as(one.truth.mean)
    room = ROOM * 2 * spread + one.room
    first, second = one.values[0] - one.truth.mean, one.values[1] - 2 * one.truth.mean
    apart = (one.truth.mean.abs() > 2 * room).any()
    return bool(apart and (first.abs() <= room).all() and (second.abs() <= room).all())


def _likelihoods(
    estimator: Callable[..., Tensor], seen: list[Seen], *, always: bool = False
) -> float:
    """Return the log-likelihood of all estimates under an estimator that is run here.

    It is minus infinity where its mean or its spread is not the one observed, unless ``always``.
    """
    total = 0.0
    for one in seen:
        torch.default_generator.manual_seed(1)  # equal estimators get equal likelihoods
        total += _likelihood(estimator, one, always)
        if total == -math.inf:
            break
    return total


def _likelihood(estimator: Callable[..., Tensor], one: Seen, always: bool) -> float:
    got = one.values
    runs = (1,) if one.truth.pooled else _SIMULATED
    parts: list[Tensor] = []
    try:
        for count in runs:
            parts.append(_simulate(estimator, one.args, count))
            if parts[0].shape[1:] != got.shape[1:]:
                return -math.inf
            if count == _SIMULATED[1] and not always and _hopeless(got, torch.cat(parts), one.room):
                return -math.inf
            if len(parts[0]) > 1 and float(parts[0].var(0).max()) < one.room**2:
                break  # chance has no part in it
    except (RuntimeError, ValueError, IndexError, NotImplementedError):
        return -math.inf
    simulated = torch.cat(parts)
    if one.truth.pooled:
        simulated, got = simulated.flatten()[:, None], got.flatten()[:, None]
    if not torch.isfinite(simulated).all() or not torch.isfinite(got).all():
        return 0.0 if simulated.isnan().any() and got.isnan().any() else -math.inf
    variance = simulated.var(0) if len(simulated) > 1 else torch.zeros(got.shape[1:])
    if not (always or _possible(got, simulated, variance, one.room)):
        return -math.inf
    return _gaussian(got, simulated.mean(0), variance + one.room**2)


def _simulate(estimator: Callable[..., Tensor], args: list, runs: int) -> Tensor:
    """Run an estimator several times, all at once where it knows how or vmap does."""
    if hasattr(estimator, "many"):
        return estimator.many(runs, *args)

    def run(_: Tensor | None = None) -> Tensor:
        return estimator(*args).detach().double()

    if runs > 1:
        try:
            return torch.vmap(run, randomness="different")(torch.zeros(runs))
        except (RuntimeError, ValueError):  # an inner backward has no rule
            pass
    return torch.stack([run() for _ in range(runs)])


def _error(got: Tensor, simulated: Tensor, variance: Tensor) -> Tensor:
    """Return the standard deviation of the difference of two means."""
    if len(got) >= 4:  # either may have missed a rare large value
        variance = torch.maximum(variance, got.var(0))
    return (variance * (1 / len(got) + 1 / len(simulated))).sqrt()


def _hopeless(got: Tensor, simulated: Tensor, room: float) -> bool:
    """Whether a few simulations are enough to see that an estimator does not explain the mean."""
    if not torch.isfinite(simulated).all() or not torch.isfinite(got).all():
        return False
    error = _error(got, simulated, simulated.var(0))
    return bool(((got.mean(0) - simulated.mean(0)).abs() > 12 * error + 3 * room).any())


def _possible(got: Tensor, simulated: Tensor, variance: Tensor, room: float) -> bool:
    error = _error(got, simulated, variance)
    if ((got.mean(0) - simulated.mean(0)).abs() > 5.5 * error + 3 * room).any():
        return False
    freedom = got.numel() - got[0].numel()
    if freedom < 4:
        return True
    ours, theirs = float(variance.mean()), float(got.var(0).mean())
    factor = 6 if freedom >= 20 else 30
    too_quiet = freedom >= 20 and ours > factor * theirs + room
    return not too_quiet and theirs <= factor * ours + room


def _gaussian(values: Tensor, mean: Tensor, variance: Tensor) -> float:
    return float(-0.5 * ((values - mean).square() / variance + variance.log()).sum())


def _draw(one: Seen) -> Drawing:
    values = one.values.flatten()
    mean, spread = float(one.truth.mean.flatten()[0]), float(one.truth.spread.flatten()[0])

    def density(x: float) -> float:
        return math.exp(-0.5 * ((x - mean) / spread) ** 2) / (spread * math.sqrt(2 * math.pi))

    alt = (
        f"Histogram of {values.numel()} estimates with mean {values.mean():.3g} and standard "
        f"deviation {values.std():.3g}; expected are mean {mean:.3g} and about {spread:.3g}."
    )
    low, high = mean - 5 * spread, mean + 5 * spread
    return histogram(values.tolist(), density, low=low, high=high, label="estimate", alt=alt)


def _double(plain: dict) -> bool:
    """Whether an argument holds float64 numbers. A function does not: it takes what it is given."""
    if plain["kind"] == "tensor":
        return plain["dtype"] == "float64"
    if plain["kind"] == "function":
        return False
    return any(_double(part) for part in plain.get("parts", {}).values())


def _show(plain: dict) -> str:
    if "parts" not in plain:
        return faults.show(build(plain) if plain["kind"] == "tensor" else plain)
    inner = ", ".join(f"{name}={_show(part)}" for name, part in plain["parts"].items())
    return f"{plain.get('family') or plain.get('form')}({inner})"
