"""Scatter plots: how many dots are drawn, and how that is said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from .values import number

_MOST = 2500  # more dots would only cover each other


def dots(
    axes: Axes,
    at: np.ndarray,
    colors: str | Sequence[str],
    kinds: np.ndarray | None = None,
    size: float = 5,
) -> None:
    """Draw at most 2,500 dots, evenly chosen, in the order given, so that no class covers another.

    Smooth edges would make the stored picture twice as large and, at this size, look no better.
    """
    chosen = _choose(len(at))
    if kinds is not None:
        colors = [colors[k % len(colors)] for k in kinds[chosen]]
    axes.scatter(*at[chosen].T, s=size, c=colors, linewidths=0, antialiased=False, zorder=3)


def _choose(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, _MOST)).astype(int))


def shown(count: int, noun: str = "sample") -> str:
    text = f"{count:,} {noun}s, none picked"
    return text if count <= _MOST else f"{text}; {_MOST:,} of them shown, at equal steps"


def place(x: float, y: float) -> str:
    return f"({number(round(float(x), 1))}, {number(round(float(y), 1))})"
