"""The session's functions as they were, for the moments when the checker works itself.

A notebook may have replaced ``torch.allclose``, ``abs`` or ``torch.Tensor.tolist``, by accident or
not. The learner's function runs with whatever the notebook made; reading its result and judging it
happens inside :class:`Pristine`.
"""

from __future__ import annotations

import builtins
import json
import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_PLACES = (
    builtins,
    json,
    math,
    torch,
    torch.Tensor,
    torch.autograd,
    torch.nn.functional,
    torch.distributions,
    torch.random,
)
_ORIGINAL = [(place, {n: v for n, v in vars(place).items() if callable(v)}) for place in _PLACES]
_TENSOR_NAMES = frozenset(vars(torch.Tensor))
_MISSING = object()
_ORIGINAL_OF, _OF_SESSION = 2, 3
# Captured, because they are needed while the names themselves may be replaced.
_setattr, _delattr, _vars = setattr, delattr, vars
_all, _map, _is = all, map, operator.is_


class Pristine:
    """A context in which every replaced function of builtins, math and torch is its old self.

    At the end, and inside :meth:`session`, the notebook's replacements are in force again.
    """

    def __enter__(self) -> Pristine:
        self._replaced = list(_replacements())
        _put(self._replaced, _ORIGINAL_OF)
        return self

    def __exit__(self, *exception: object) -> None:
        _put(self._replaced, _OF_SESSION)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Let the notebook's replacements stand for a while, such as a call of its function."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()


def _replacements() -> Iterator[tuple]:
    """Find the replaced names: (place, name, original value, the session's value)."""
    for place, original in _ORIGINAL:
        now = _vars(place)
        if _all(_map(_is, _map(now.get, original), original.values())):
            continue  # nearly always, and this happens at every call of the learner's function
        for name in original:
            if now.get(name, _MISSING) is not original[name]:
                yield place, name, original[name], now.get(name, _MISSING)
    now = _vars(torch.Tensor)
    for name in [*now]:
        if name not in _TENSOR_NAMES:  # it hides the method of the base class
            yield torch.Tensor, name, _MISSING, now[name]


def _put(replaced: list[tuple], which: int) -> None:
    for entry in replaced:
        if entry[which] is _MISSING:
            _delattr(entry[0], entry[1])
        else:
            _setattr(entry[0], entry[1], entry[which])
