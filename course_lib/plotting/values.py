"""From whatever a notebook holds to float64 arrays, with one sentence where that fails."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

Values = Tensor | np.ndarray | Sequence[float]


def array(values: object, name: str, *, dims: int, finite: bool = True) -> np.ndarray:
    """Return ``values`` as a float64 array with ``dims`` axes, on the CPU, without gradients.

    Raises:
        TypeError: not numbers.
        ValueError: another number of axes, empty, or (where ``finite``) NaN or infinite entries.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    elif isinstance(values, Sequence) and any(isinstance(v, Tensor) for v in values):
        values = [v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in values]
    try:
        result = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} is a {type(values).__name__} that does not turn into numbers; "
            f"a tensor, an array or a list with {_axes(dims)} was expected."
        ) from None
    if result.ndim != dims:
        raise ValueError(
            f"{name} has shape {list(result.shape)}; {_axes(dims)} was expected. "
            "Select or reshape before plotting."
        )
    if result.size == 0:
        raise ValueError(f"{name} is empty; at least one value is needed.")
    if finite and not np.isfinite(result).all():
        bad = int((~np.isfinite(result)).sum())
        raise ValueError(
            f"{name} has {bad} of {result.size} values that are NaN or infinite; finite numbers "
            "were expected. Leave them out, and find out where they come from."
        )
    return result


def points(values: object, name: str) -> np.ndarray:
    """Return ``values`` as a float64 array ``[N, 2]``."""
    result = array(values, name, dims=2)
    if result.shape[1] != 2:
        raise ValueError(
            f"{name} has shape {list(result.shape)}; points [N, 2] were expected. "
            "Choose two coordinates, for example z[:, :2]."
        )
    return result


def texts(values: object, name: str, count: int, what: str) -> list[str]:
    """Return ``values`` as ``count`` strings; a tensor of labels will do."""
    if isinstance(values, str):
        raise ValueError(f"{name} is one text; a list with one for each {what} was expected.")
    if isinstance(values, Tensor):
        values = values.tolist()
    result = [str(v) for v in values]
    if len(result) != count:
        raise ValueError(
            f"{name} has {len(result)} entries for {count} {what}s; one for each was expected."
        )
    return result


def number(value: float) -> str:
    """Return ``value`` as one reads it aloud: four figures, no exponent where avoidable."""
    if isinstance(value, Tensor):
        value = value.item()
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        digits = max(0, 3 - int(np.floor(np.log10(abs(value)))))
        text = f"{value:,.{digits}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def measured(mean: float, error: float) -> str:
    """Return a mean with its standard error: the error to two figures, the mean no finer."""
    if not error:
        return number(mean)
    decimals = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{mean:,.{decimals}f} ± {error:,.{decimals}f}".replace("-", "−")


def _axes(dims: int) -> str:
    return {1: "one axis [N]", 2: "two axes [N, M]"}.get(dims, f"{dims} axes")


def sentence(text: str) -> str:
    """Return ``text`` with a full stop where it has no mark at its end."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
