"""The gradients of one run: those that the probe brought back, and those of a formula.

A run is whatever has the ``call``, what the probe noted of it as ``run``, and the ``args`` in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from course_lib.checks.probes.arguments import build


class Run(Protocol):
    """One call of the learner's function."""

    call: dict
    run: dict
    args: list


def differentiated(one: Run) -> list[int]:
    """Return the indices of the arguments that require a gradient."""
    return [i for i, plain in enumerate(one.call["args"]) if plain.get("grad")]


def found_gradients(one: Run) -> dict[int, Tensor | None]:
    """Return the gradients that the probe took, by argument; None where none arrived."""
    inputs = differentiated(one)
    plain = one.run["grads"] or [None] * len(inputs)
    return {
        i: None if g is None else _tensor(g).reshape(one.args[i].shape)
        for i, g in zip(inputs, plain, strict=True)
    }


def gradients_of(formula: Callable[..., Tensor], one: Run) -> dict[int, Tensor]:
    """Return what autograd says of a formula, by argument; zero where no gradient arrives."""
    inputs = differentiated(one)
    args = [a.detach().requires_grad_(i in inputs) if isinstance(a, Tensor) else a
            for i, a in enumerate(one.args)]  # fmt: skip
    total = (formula(*args) * build(one.call["weights"])).sum()
    chosen = [args[i] for i in inputs]
    found = [None] * len(inputs)
    if total.requires_grad:
        found = torch.autograd.grad(total, chosen, allow_unused=True)
    zeros = (torch.zeros_like(a) for a in chosen)
    return {i: z if g is None else g for i, g, z in zip(inputs, found, zeros, strict=True)}


def _tensor(numbers: list) -> Tensor:
    return torch.tensor([float(v) for v in numbers], dtype=torch.float64)
