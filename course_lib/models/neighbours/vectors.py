"""What the neighbours work on: vectors ``[B, D]``, checked at the door, and all binary ones."""

import torch
from torch import Tensor

__all__ = ["all_binary", "check_vectors"]


def check_vectors(x: object, dim: int, *, binary: bool = False) -> None:
    """Raise unless ``x`` is a float tensor ``[B, dim]``, of 0 and 1 where ``binary``.

    Raises:
        TypeError: not a tensor of floats.
        ValueError: another shape, or values other than 0 and 1.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = f"tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x is a {kind}; a tensor of floats [B, {dim}] was expected.")
    if x.dim() != 2 or x.shape[1] != dim:
        raise ValueError(
            f"x has shape {list(x.shape)}; vectors [B, {dim}] were expected. "
            "Images [B, C, H, W] become vectors with x.flatten(1)."
        )
    if binary and not ((x == 0) | (x == 1)).all():
        raise ValueError(
            "x has values other than 0 and 1; binary vectors were expected. Make images black "
            "and white first, for example with (x > 0.5).to(x.dtype)."
        )


def all_binary(dim: int, like: Tensor) -> Tensor:
    """Return all binary vectors, ``[2^dim, dim]``, with the dtype and device of ``like``."""
    number = torch.arange(2**dim, device=like.device)[:, None]
    return (number >> torch.arange(dim, device=like.device) & 1).to(like)
