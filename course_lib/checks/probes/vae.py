"""The probe of a VAE class: build models, feed them, and note what their parts give and get.

A freshly made network says little: its log variances are near zero and its outputs near each other.
So most is observed with its parameters drawn again at a larger scale, which shows what the last
layers can give at all.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .guard import Guard, Problem
from .plain import encode, to_tensor

_MOST_CANDIDATES = 6


class _Stop(Exception):
    """The rest of a call is left out, because a part of the model did not come back."""


class _Steps:
    """Do one thing after another with the learner's code, and stop at the first that fails."""

    def __init__(self, guard: Guard, record: dict) -> None:
        self._guard = guard
        self._record = record

    def do(self, during: str, work: Callable, *args: object) -> object:
        """Return what the learner's code gives."""
        return self._try(during, self._guard.call, work, args)

    def read(self, during: str, work: Callable, *args: object) -> object:
        """Return what we make of what it gave."""
        return self._try(during, self._guard.read, work, args)

    def note(self, name: str, during: str, work: Callable, *args: object) -> None:
        """Record what the learner's code gives."""
        self._record[name] = self.read(during, encode, self.do(during, work, *args))

    def _try(self, during: str, how: Callable, work: Callable, args: tuple) -> object:
        try:
            return how(work, *args)
        except Problem as problem:
            self._record["problem"] = {**problem.plain, "during": during}
            raise _Stop from None


def probe_vae(plan: dict, cls: Callable, guard: Guard) -> list[dict]:
    """Observe models made by ``cls(latent_dim)``; one record for each call of the plan.

    A call is ``{"latent_dim", "x", "z", "scales", "seed", "times"}``. With scales, the parameters
    are drawn again, at the first scale that gives log variances of a useful size.
    """
    record = []
    for call in plan["calls"]:
        one: dict = {}
        record.append(one)
        try:
            _observe(call, cls, _Steps(guard, one), one)
        except _Stop:
            break
    return record


def _observe(call: dict, cls: Callable, step: _Steps, record: dict) -> None:
    x, z = to_tensor(call["x"]), to_tensor(call["z"])
    size = call["latent_dim"]
    record["is_class"] = not issubclass(type(cls), nn.Module)
    if not record["is_class"]:
        return
    model = step.do(f"VAE({size})", cls, size)
    record["is_module"] = issubclass(type(model), nn.Module)
    if not record["is_module"]:
        return
    record["parameters"] = step.do("parameters()", lambda: len(list(model.parameters())))
    if call["scales"]:
        step.do("encode(x)", _redraw, model, x, call["scales"], call["seed"])
    before = x.clone()

    # The methods are looked up inside the step, for the class may lack them.
    parts = {
        "encode": lambda given: model.encode(given),
        "decode": lambda given: model.decode(given),
        "forward": lambda given: model(given),
    }
    step.do("train()", lambda: model.train())
    step.note("train_encode", "encode(x)", parts["encode"], x)
    step.note("train_decode", "decode(z)", parts["decode"], z)
    step.note("train_forward", "forward(x)", parts["forward"], x)
    outputs = step.do("forward(x)", parts["forward"], x)
    step.read("forward(x)", _reach, record, model, outputs)

    step.do("eval()", lambda: model.eval())
    with torch.no_grad():
        for part, letter, given in (("encode", "x", x), ("decode", "z", z)):
            step.note(part, f"{part}({letter})", parts[part], given)
            step.note(f"{part}_first", f"{part}, one row", parts[part], given[:1])
            step.note(f"{part}_second", f"{part}, one row", parts[part], given[1:2])
        step.note("one", "forward, one image in evaluation mode", parts["forward"], x[:1])
        seen = step.do("forward(x)", _forwards, model, x, call["times"])
        record["eval"], place = step.read("forward(x)", _describe, seen)
        last = record["eval"][-1]["z"] if record["eval"] else None
        if last:
            step.note("decode_drawn", "decode(z)", parts["decode"], to_tensor(last))
    step.do("train()", lambda: model.train())
    seen = step.do("forward(x)", _forwards, model, x, call["times"])
    record["train"], _ = step.read("forward(x)", _describe, seen, place)
    record["changed"] = not torch.equal(x, before)


def _redraw(model: nn.Module, x: Tensor, scales: list[float], seed: int) -> None:
    """Draw all parameters again, so that the log variances spread over about a unit."""
    if any(nn.parameter.is_lazy(parameter) for parameter in model.parameters()):
        with torch.no_grad():
            model.eval()(x)  # lazy layers have no shape before
    for scale in scales:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                fan = parameter[0].numel() if parameter.dim() > 1 else 4
                parameter.copy_(
                    torch.randn(parameter.shape, generator=generator) * scale / fan**0.5
                )
            logvar = model.eval().encode(x)[1]
            if isinstance(logvar, Tensor) and logvar.std() > 0.5 and logvar.abs().max() < 8:
                return


def _forwards(model: nn.Module, x: Tensor, times: int) -> list[tuple]:
    """Run forward several times and watch it, see :func:`_watched`."""
    return [_watched(model, x) for _ in range(times)]


def _describe(seen: list[tuple], place: int | None = None) -> tuple[list[dict], int | None]:
    """Note mu, logvar, two images of logits, and z, of every run of forward.

    z is what ``decode`` was given. Where forward does not call it, z is the first input of a layer
    that has the shape of mu and changes from run to run, or else equals mu.

    Args:
        seen: what :func:`_watched` saw.
        place: which of the layers' inputs is z, where that is known from before.

    Returns:
        The runs, none where forward does not return three tensors, and the place of z.
    """
    runs, candidates = [], []
    for decoded, others, outputs in seen:
        if not _three_tensors(outputs):
            return [], None
        logits, mu, logvar = outputs
        fitting = [t for t in decoded[:1] or others if t.shape == mu.shape]
        candidates.append([encode(t) for t in fitting[:_MOST_CANDIDATES]])
        plain = {"logits": encode(logits[:2]), "mu": encode(mu), "logvar": encode(logvar)}
        runs.append({**plain, "z": None})
        place = 0 if decoded else place
    if place is None:
        fewest = min(map(len, candidates))
        changing = (j for j in range(fewest) if candidates[0][j] != candidates[1][j])
        as_mu = (j for j in range(fewest) if candidates[0][j]["data"] == runs[0]["mu"]["data"])
        place = next(changing, next(as_mu, None))
    if place is not None and all(len(found) > place for found in candidates):
        for run, found in zip(runs, candidates, strict=True):
            run["z"] = found[place]
    return runs, place


def _watched(model: nn.Module, x: Tensor) -> tuple[list[Tensor], list[Tensor], object]:
    """Return what decode was given, what other layers were given, and what forward returned."""
    decoded: list[Tensor] = []
    others: list[Tensor] = []

    def note(where: list[Tensor], value: object) -> None:
        if isinstance(value, Tensor) and len(where) < 4 * _MOST_CANDIDATES:
            value = value.detach().squeeze()  # z may come as [1, B, L] or [B, L, 1, 1]
            if value.dim() == 2:
                where.append(value.clone())

    own = dict(model.__dict__)
    decode = model.decode

    def spy(z: object, *args: object, **kwargs: object) -> object:
        note(decoded, z)
        return decode(z, *args, **kwargs)

    def before_layer(module: nn.Module, args: tuple) -> None:
        if args:
            note(others, args[0])

    object.__setattr__(model, "decode", spy)
    layers = [module for module in model.modules() if module is not model]
    hooks = [layer.register_forward_pre_hook(before_layer) for layer in layers]
    try:
        return decoded, others, model(x)
    finally:
        model.__dict__.pop("decode")
        model.__dict__.update({k: v for k, v in own.items() if k == "decode"})
        for hook in hooks:
            hook.remove()


def _three_tensors(outputs: object) -> bool:
    is_three = isinstance(outputs, (tuple, list)) and len(outputs) == 3
    return is_three and all(isinstance(t, Tensor) and t.dim() > 0 for t in outputs)


def _reach(record: dict, model: nn.Module, outputs: object) -> None:
    """Note which parameters each output depends on, and learnable tensors that are no parameters."""
    if not _three_tensors(outputs):
        return
    parameters = [p for p in model.parameters() if p.requires_grad]
    reach = []
    for output in outputs:
        found: list = [None] * len(parameters)
        if output.requires_grad and parameters:
            found = list(
                torch.autograd.grad(
                    output.double().sum(), parameters, allow_unused=True, retain_graph=True
                )
            )
        reach.append([g is not None for g in found])
    record["reach"] = reach
    known = {id(p) for p in model.parameters()}
    record["hidden"] = len([leaf for leaf in _leaves(outputs) if id(leaf) not in known])


def _leaves(outputs: list[Tensor]) -> list[Tensor]:
    """Return the tensors that a backward pass would give a gradient."""
    waiting = [t.grad_fn for t in outputs if t.grad_fn is not None]
    seen, leaves = set(), []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        waiting.extend(parent for parent, _ in node.next_functions)
    return leaves
