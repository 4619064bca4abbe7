"""Tensors and other values as plain data, and back: all that passes between probe and judge."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MOST_NUMBERS = 100_000
_MOST_ITEMS = 8


def tensor(
    data: list[float], shape: list[int], dtype: str = "float64", *, grad: bool = False
) -> dict:
    """Return the plain form of a tensor argument.

    Args:
        data: the values in row-major order; a single one fills the whole shape.
        shape: the lengths of the axes.
        dtype: the name of a torch dtype.
        grad: whether the learner's function receives it as a leaf that requires a gradient.
    """
    return {"kind": "tensor", "dtype": dtype, "shape": list(shape), "data": data, "grad": grad}


def to_tensor(plain: dict, device: str = "cpu") -> Tensor:
    """Build the tensor that :func:`tensor` or :func:`encode` describes.

    Raises:
        ValueError: the description is not that of a tensor, or contradicts itself.
    """
    dtype = getattr(torch, plain["dtype"]) if plain.get("kind") == "tensor" else None
    if not isinstance(dtype, torch.dtype) or not isinstance(plain.get("data"), list):
        raise ValueError("This is not the plain form of a tensor with its values.")
    values = [float(v) for v in plain["data"]]
    if len(values) == 1:
        values *= math.prod(plain["shape"])
    if math.prod(plain["shape"]) != len(values):
        raise ValueError(f"{len(values)} values do not fill the shape {plain['shape']}.")
    built = torch.tensor(values, dtype=torch.float64, device="cpu").reshape(plain["shape"])
    return built.to(dtype=dtype, device=device).contiguous()


def numbers(value: Tensor) -> list:
    """Return the values of a tensor as floats, those that JSON has no word for as strings."""
    flat = value.detach().to(device="cpu", dtype=torch.float64).flatten().tolist()
    return [v if math.isfinite(v) else repr(v) for v in flat]


def encode(value: object) -> dict:
    """Return the plain form of whatever the learner's function gave back.

    Only the exact type is asked and only stored numbers are read, so an object that claims to be
    a tensor, or to equal everything, is described as what it is.
    """
    kind = type(value)
    if value is None:
        return {"kind": "none"}
    if issubclass(kind, Tensor):
        return _encode_tensor(value)
    if kind is bool:
        return {"kind": "bool", "value": value}
    if issubclass(kind, (int, float)):
        number = int(value) if issubclass(kind, int) else float(value)
        plain = number if math.isfinite(number) else repr(number)
        return {"kind": "int" if issubclass(kind, int) else "float", "value": plain}
    if issubclass(kind, (tuple, list)):
        items = list(value)
        some = [encode(item) for item in items[:_MOST_ITEMS]]
        return {"kind": "tuple", "length": len(items), "items": some}
    return {"kind": "other", "type": str(kind.__name__)[:80]}


def _encode_tensor(value: Tensor) -> dict:
    with torch._C.DisableTorchFunctionSubclass():  # a subclass has no say in what it holds
        if type(value) is not Tensor:
            value = Tensor.as_subclass(value, Tensor)
        plain = {
            "kind": "tensor",
            "dtype": str(value.dtype).removeprefix("torch."),
            "shape": list(value.shape),
            "device": value.device.type,
            "graph": bool(value.requires_grad),
            "data": None,
        }
        readable = value.layout is torch.strided and not value.is_complex()
        if readable and value.device.type != "meta" and value.numel() <= MOST_NUMBERS:
            plain["data"] = numbers(value)
    return plain
