"""The ordinary probe: call the learner's function as the plan says, and note what came back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .arguments import build
from .guard import Guard, Problem
from .plain import encode, numbers, to_tensor


def probe_calls(plan: dict, function: Callable, guard: Guard) -> list[list[dict]]:
    """Make every call of the plan, and return for each the list of its runs.

    A call is ``{"args": [...], "times": n, "weights": tensor, list or None}``. Its runs get the
    very same arguments. A run is ``{"problem": ...}`` or::

        {"value": ..., "grads": [numbers or None, ...], "grad_problem": None or ...,
         "changed": [index of a modified argument, ...], "reseeded": bool, "device": ...}

    where ``grads`` holds the gradient of the weighted sum of the value, one entry for each tensor
    that requires one. Where the value is a tuple, ``weights`` is a list with an entry for each part,
    None for a part of which no gradient is asked, and ``grads`` has a list for each part, which is
    empty where the part has no gradient. After a time-out the remaining calls are left out.
    """
    devices = ["cpu", *(["cuda"] if torch.cuda.is_initialized() else [])]
    record = []
    for call in plan["calls"]:
        runs: list[dict] = []
        for device in devices if call.get("every_device") else devices[:1]:
            runs.extend(_runs(call, function, guard, device, plan["seed"]))
        record.append(runs)
        if any(run.get("problem", {}).get("kind") in ("timeout", "interrupted") for run in runs):
            break
    return record


def _runs(call: dict, function: Callable, guard: Guard, device: str, plan_seed: int) -> list[dict]:
    leaves: list[Tensor] = []
    positions: list[int] = []
    args = []
    for index, plain in enumerate(call["args"]):
        args.append(build(plain, leaves, device))
        positions.extend([index] * (len(leaves) - len(positions)))
    before = [leaf.detach().clone() for leaf in leaves]
    inputs = [leaf for leaf in leaves if leaf.requires_grad]
    weights = _weights(call.get("weights"), device)

    runs = []
    for _ in range(call.get("times", 1)):
        try:
            value = guard.call(function, *args)
            run = {"value": guard.read(encode, value), "grads": [], "grad_problem": None}
        except Problem as problem:
            runs.append({"problem": problem.plain, "device": device})
            break
        run["device"] = device
        run["reseeded"] = torch.initial_seed() != plan_seed
        pairs = zip(positions, leaves, before, strict=True)
        run["changed"] = sorted({i for i, leaf, old in pairs if not torch.equal(leaf, old)})
        runs.append(run)
        if run["changed"]:
            break
        if inputs and weights is not None:
            try:
                run["grads"] = guard.read(_gradients, value, weights, inputs)
            except Problem as problem:
                run["grad_problem"] = problem.plain
    return runs


def _weights(plain: dict | list | None, device: str) -> Tensor | list | None:
    if isinstance(plain, list):
        return [_weights(part, device) for part in plain]
    return None if plain is None else to_tensor(plain, device)


def _gradients(value: object, weights: Tensor | list | None, inputs: list[Tensor]) -> list:
    """Return the gradients of the weighted sum; nothing is accumulated in anybody's ``.grad``."""
    if isinstance(weights, list):
        parts = list(value) if issubclass(type(value), (tuple, list)) else []
        some = zip(parts, weights, strict=False)
        return [_gradients(part, w, inputs) for part, w in some]
    if weights is None or not issubclass(type(value), Tensor):
        return []
    with torch._C.DisableTorchFunctionSubclass():
        if type(value) is not Tensor:
            value = Tensor.as_subclass(value, Tensor)
        if value.shape != weights.shape or not value.requires_grad:
            return []
        total = (value.double() * weights.to(value.device)).sum()
        # The graph is kept: a learner's function may return the same tensor twice.
        found = torch.autograd.grad(total, inputs, allow_unused=True, retain_graph=True)
    return [None if g is None else numbers(g) for g in found]
