"""Errors that a reader can act on: what was wrong, what was expected, what to do."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor


def unknown(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """Return the error for an unknown name, with the nearest known one where there is one.

    Args:
        kind: what the name stands for, such as ``"data set"``.
        name: what was given.
        known: the names that would have been accepted.
    """
    known = sorted(known)
    near = get_close_matches(str(name).lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    hint = next((f" Did you mean '{k}'?" for k in known if near and k.lower() == near[0]), "")
    return ValueError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


def check_whole(value: object, name: str, low: int = 1, high: int | None = None) -> int:
    """Return ``value`` as a plain int, or raise ValueError unless it is one from ``low`` up."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        upper = "up" if high is None else f"to {high:,}"
        raise ValueError(f"{name} is {value!r}; a whole number from {low:,} {upper} was expected.")
    return number


def check_seed(seed: object) -> int:
    """Return ``seed`` as a plain int, or raise ValueError if torch can't be seeded with it."""
    try:
        return check_whole(seed, "seed", -(2**63), 2**64 - 1)
    except ValueError:
        raise ValueError(
            f"seed is {seed!r}; a whole number of at most 64 bits was expected, such as 0."
        ) from None


def check_number(value: object, name: str, good: Callable[[float], bool], expected: str) -> float:
    """Return ``value`` as a plain float, or raise ValueError unless it is finite and ``good``."""
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    if not (math.isfinite(number) and good(number)):
        raise ValueError(f"{name} is {value!r}; {expected} was expected.")
    return number


def check_rows(others: Sequence[object], count: int, name: str) -> None:
    """Raise ValueError unless each of ``others`` is a tensor with ``count`` rows."""
    for t in others:
        if not isinstance(t, Tensor) or t.dim() == 0 or len(t) != count:
            is_rows = isinstance(t, Tensor) and t.dim() > 0
            found = f"{len(t)} rows" if is_rows else f"a {type(t).__name__} without rows"
            raise ValueError(
                f"{name} holds {count} images but {found} beside them; "
                "tensors with one row for each image were expected."
            )


def check_examples(x: object, name: str = "x") -> None:
    """Raise ValueError unless ``x`` is a tensor ``[N, ...]`` with at least one example."""
    if not isinstance(x, Tensor) or x.dim() < 2 or len(x) == 0:
        found = f"has shape {list(x.shape)}" if isinstance(x, Tensor) else f"is {type(x).__name__}"
        raise ValueError(f"{name} {found}; a tensor [N, ...] with at least one image was expected.")


def check_model(model: object, num_context: int = 0) -> None:
    """Raise TypeError unless ``model`` has the three parts and they take ``num_context`` tensors.

    Args:
        model: should have ``prior(*context)``, ``posterior(x, *context)`` and
            ``likelihood(z, *context)``.
        num_context: how many tensors of context there are.
    """
    for part, own in {"prior": 0, "posterior": 1, "likelihood": 1}.items():
        method = getattr(model, part, None)
        if isinstance(model, type) or not callable(method):
            raise TypeError(
                f"model is {_called(model)}, without a {part} to call; a model with prior, "
                "posterior and likelihood was expected, such as course_lib.models.mlp_vae()."
            )
        try:
            inspect.signature(method).bind(*[None] * (own + num_context))
        except TypeError:
            raise TypeError(
                f"{num_context} tensors of context came with the images, but the {part} of this "
                f"{type(model).__name__} does not take as many. Give it images alone, or as much "
                "context as it is conditioned on."
            ) from None


def _called(value: object) -> str:
    """How a message names a value of the wrong kind."""
    if inspect.isroutine(value) or isinstance(value, type):
        return f"{value.__name__} itself"
    return f"a {type(value).__name__}"


def check_images(x: object, name: str = "x", *, binary: bool = False) -> None:
    """Raise unless ``x`` is a non-empty float tensor ``[B, C, H, W]`` with values in [0, 1].

    Args:
        x: the value to check.
        name: how the message calls it.
        binary: also require every pixel to be 0 or 1.

    Raises:
        TypeError: not a tensor, or integer pixels.
        ValueError: wrong shape, an empty batch, NaN, or pixels outside [0, 1].
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} is a {type(x).__name__}; a torch tensor [B, C, H, W] of pixels in [0, 1] "
            "was expected. Convert it with torch.as_tensor(...)."
        )
    if x.dim() != 4:
        raise ValueError(
            f"{name} has shape {list(x.shape)}; images [B, C, H, W] were expected, for example "
            "[64, 1, 28, 28]. Add the missing axes with reshape or unsqueeze."
        )
    if x.numel() == 0:
        raise ValueError(f"{name} is empty (shape {list(x.shape)}); at least one image is needed.")
    if not x.is_floating_point():
        raise TypeError(
            f"{name} holds {x.dtype} pixels; floats in [0, 1] were expected. "
            "For 8-bit images use x.float() / 255."
        )
    low, high = torch.aminmax(x)
    low, high = low.item(), high.item()
    if not (low >= 0 and high <= 1):  # written so that a NaN fails too
        raise ValueError(
            f"{name} has pixels from {low:g} to {high:g}; values in [0, 1] without NaN were "
            "expected. Divide 8-bit images by 255, and undo any mean/std normalization."
        )
    if binary and not ((x == 0) | (x == 1)).all():
        raise ValueError(
            f"{name} has grey pixels; 0 or 1 was expected. Binarize it first, "
            "for example with course_lib.data.binarize(x)."
        )


def check_split_size(wanted: int | None, split: str, name: str, there: int) -> int:
    """Return how many images of a set that has ``there`` are wanted; None stands for all."""
    if wanted is not None and wanted > there:
        raise ValueError(
            f"num_{split} is {wanted:,}, but {name} has {there:,} {split} images; "
            "leave it out to have them all, or use 'strokes', which draws any number."
        )
    return there if wanted is None else wanted
