"""Build from plain data what a learner's function is given: tensors, densities, functions, models.

``build`` is used on both sides: by the probe, to call the learner's function, and by the judge, to
know what the function was given.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as D
from torch.nn.functional import softplus

from .latent_model import LinearModel
from .plain import to_tensor


def build(plain: dict, leaves: list[Tensor] | None = None, device: str = "cpu") -> object:
    """Return the argument that ``plain`` describes.

    Args:
        plain: ``{"kind": "tensor" | "number" | "word" | "distribution" | "function" | "model",
            ...}``.
        leaves: receives every tensor in it, in order.
        device: where the tensors live.

    Raises:
        ValueError: the kind is unknown.
    """
    leaves = [] if leaves is None else leaves
    kind = plain["kind"]
    if kind == "tensor":
        built = to_tensor(plain, device).requires_grad_(bool(plain["grad"]))
        leaves.append(built)
        return built
    if kind in ("number", "word"):
        return plain["value"]
    parts = {name: build(part, leaves, device) for name, part in plain["parts"].items()}
    if kind == "distribution":
        return _distribution(plain["family"], parts)
    if kind == "function":
        return _FUNCTIONS[plain["form"]](**parts)
    if kind == "model":
        return LinearModel(**parts)
    raise ValueError(f"An argument of the kind {kind!r} is not known.")


def distribution(family: str, **parts: dict) -> dict:
    """Return the plain form of a ``torch.distributions`` object, see ``_distribution``."""
    return {"kind": "distribution", "family": family, "parts": parts}


def function(form: str, **parts: dict) -> dict:
    """Return the plain form of a function ``f: [K, ...] -> [K]``, see ``_FUNCTIONS``."""
    return {"kind": "function", "form": form, "parts": parts}


def model(**parts: dict) -> dict:
    """Return the plain form of a model with its three distributions, see ``LinearModel``."""
    return {"kind": "model", "form": "LinearModel", "parts": parts}


def _distribution(family: str, parts: dict[str, Tensor]) -> D.Distribution:
    if family == "Normal":
        return D.Normal(parts["loc"], parts["scale"])
    if family == "Independent":  # over the last axis
        return D.Independent(D.Normal(parts["loc"], parts["scale"]), 1)
    if family == "Categorical":
        return D.Categorical(probs=parts["probs"])
    if family == "Mixture":
        components = D.Normal(parts["loc"], parts["scale"])
        return D.MixtureSameFamily(D.Categorical(probs=parts["probs"]), components)
    raise ValueError(f"A distribution of the family {family!r} is not known.")


def _of_draws(f: Callable[[Tensor], Tensor], shape: torch.Size) -> Callable[[Tensor], Tensor]:
    """Make ``f`` refuse anything but a batch of draws, for a wrong axis must not pass unseen."""

    def checked(z: Tensor) -> Tensor:
        if z.shape[1:] != shape or z.dim() != len(shape) + 1:
            raise ValueError(
                f"f was given a tensor of shape {list(z.shape)}; draws of shape "
                f"[K, {', '.join(map(str, shape))}] were expected. Put the draws first."
            )
        return f(z)

    return checked


def _per_draw(terms: Tensor) -> Tensor:
    return terms.reshape(terms.shape[0], -1).sum(1)


def _linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return _of_draws(lambda z: _per_draw(weight.to(z) * z), weight.shape)


def _bends(weight: Tensor, at: Tensor, mix: Tensor, mix_at: Tensor) -> Callable[[Tensor], Tensor]:
    """Smooth steps in each latent and in a sum of them, with slopes between 0 and the weight."""

    def f(z: Tensor) -> Tensor:
        single = weight.to(z) * softplus(4 * (z - at.to(z))) / 4
        joint = softplus(4 * (_per_draw(mix.to(z) * z) - mix_at.to(z))) / 4
        return _per_draw(single) + joint

    return _of_draws(f, weight.shape)


def _jumps(weight: Tensor, at: Tensor, level: Tensor) -> Callable[[Tensor], Tensor]:
    """A step in each latent: nothing to differentiate, and no gradient passes."""

    def f(z: Tensor) -> Tensor:
        with torch.no_grad():
            z = z.detach()
            return level.to(z) + _per_draw(weight.to(z) * torch.sign(z - at.to(z)))

    return _of_draws(f, weight.shape)


def _decoys(weight: Tensor, at: Tensor, level: Tensor) -> Callable[[Tensor], Tensor]:
    """The same steps with a gradient that has nothing to do with them, for those who use it."""
    jumps = _jumps(weight, at, level)
    return lambda z: jumps(z) + 1000 * _per_draw(z - z.detach())


_FUNCTIONS = {"linear": _linear, "bends": _bends, "jumps": _jumps, "decoys": _decoys}
