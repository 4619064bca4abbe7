"""The bank that tests the checker: answers that learners give, and what must be said of each.

An answer is registered with :func:`right` or :func:`wrong`. The bank is written from the contract
of the exercises, so that it can say that the checker is mistaken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Answer(NamedTuple):
    """One answer: the exercise, the code, and the mistakes that may be named (none: it is right)."""

    exercise: str
    code: Callable
    mistakes: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.exercise}-{self.code.__name__}"


RIGHT: list[Answer] = []
WRONG: list[Answer] = []


def right(exercise: str) -> Callable:
    """Register a right answer to ``exercise``."""

    def register(code: Callable) -> Callable:
        RIGHT.append(Answer(exercise, code, ()))
        return code

    return register


def wrong(exercise: str, *mistakes: str) -> Callable:
    """Register a wrong answer to ``exercise``, of which one of ``mistakes`` must be named."""

    def register(code: Callable) -> Callable:
        WRONG.append(Answer(exercise, code, mistakes))
        return code

    return register
