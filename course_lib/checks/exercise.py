"""What an exercise is to the checker, and the inputs it makes up on the trusted side."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from course_lib.checks.probes.plain import tensor
from course_lib.checks.result import Result


@dataclass(frozen=True)
class Exercise:
    """One checked function or class.

    Attributes:
        name: the name in ``check(name, ...)``.
        calls: makes the plain-data calls of the probe from a source of inputs.
        judge: turns the calls and what the probe recorded into a verdict.
        hidden: makes the further calls of a graded test: other shapes, more extreme values.
        probe: which probe runs it, see ``course_lib.checks.probes``.
        seconds: the time that the learner's code may take in all.
    """

    name: str
    calls: Callable[[Inputs], list[dict]]
    judge: Callable[[Exercise, list[dict], list], Result]
    hidden: Callable[[Inputs], list[dict]] | None = None
    probe: str = "calls"
    seconds: float = 10.0


class Inputs(random.Random):
    """Seeded inputs as plain data; independent of every generator that a learner can reach."""

    def normal(
        self, *shape: int, mean: float = 0.0, std: float = 1.0, dtype="float64", grad=False
    ) -> dict:
        """Return a plain tensor of normal values."""
        return self._filled(shape, dtype, grad, lambda: self.gauss(mean, std))

    def between(self, low: float, high: float, *shape: int, dtype="float64", grad=False) -> dict:
        """Return a plain tensor of values spread evenly between two limits."""
        return self._filled(shape, dtype, grad, lambda: self.uniform(low, high))

    def away_from_zero(
        self, low: float, high: float, *shape: int, dtype="float64", grad=False
    ) -> dict:
        """Return a plain tensor of values of either sign with a size between two limits."""
        return self._filled(
            shape, dtype, grad, lambda: self.choice((-1, 1)) * self.uniform(low, high)
        )

    def bits(self, *shape: int, dtype="float64", grad=False) -> dict:
        """Return a plain tensor of zeros and ones."""
        return self._filled(shape, dtype, grad, lambda: float(self.getrandbits(1)))

    def probabilities(
        self, size: int, *, zeros: int = 0, total: float = 1.0, dtype="float64", grad=False
    ) -> dict:
        """Return a plain vector of positive values, ``zeros`` of them zero, with a given sum."""
        values = [self.uniform(0.2, 1.0) for _ in range(size)]
        for index in self.sample(range(size), zeros):
            values[index] = 0.0
        scale = total / sum(values)
        return tensor([v * scale for v in values], [size], dtype, grad=grad)

    def _filled(
        self, shape: tuple[int, ...], dtype: str, grad: bool, draw: Callable[[], float]
    ) -> dict:
        size = 1
        for length in shape:
            size *= length
        return tensor([draw() for _ in range(size)], list(shape), dtype, grad=grad)


def number(value: float) -> dict:
    """Return the plain form of an argument that is a number."""
    return {"kind": "number", "value": value}


def word(value: str) -> dict:
    """Return the plain form of an argument that is a word, such as the name of a reduction."""
    return {"kind": "word", "value": value}


def call(
    *args: dict,
    tag: str = "plain",
    times: int = 1,
    weights: dict | list[dict | None] | None = None,
    every_device: bool = False,
) -> dict:
    """Return the plain form of one call.

    Args:
        args: plain arguments.
        tag: what the judge is to know about it, such as ``"extreme"``.
        times: how often the function is called with these arguments.
        weights: a plain tensor of the shape of the result; the probe brings back the gradient of
            the weighted sum of the result. For a tuple of tensors a list, one for each of them,
            and None where no gradient is asked.
        every_device: also call it on CUDA, where the session uses it.
    """
    return {
        "args": list(args),
        "tag": tag,
        "times": times,
        "weights": weights,
        "every_device": every_device,
    }
