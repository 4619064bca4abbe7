"""A small drawing for a failed check: the expected density over a histogram of what came back."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT, _BINS = 420, 150, 40


@dataclass(frozen=True)
class Drawing:
    """An SVG picture with its alternative text."""

    svg: str
    alt: str

    def html(self) -> str:
        data = base64.b64encode(self.svg.encode()).decode()
        return (
            f'<img src="data:image/svg+xml;base64,{data}" alt="{html.escape(self.alt)}" '
            f'width="{_WIDTH}" height="{_HEIGHT}">'
        )


def histogram(
    values: Sequence[float],
    density: Callable[[float], float],
    *,
    low: float,
    high: float,
    label: str,
    alt: str,
) -> Drawing:
    """Draw ``values`` as bars and the expected ``density`` as a line, from ``low`` to ``high``."""
    step = (high - low) / _BINS
    counts = [0] * _BINS
    for value in values:
        if math.isfinite(value):
            counts[min(max(int((value - low) / step), 0), _BINS - 1)] += 1
    bars = [count / (max(len(values), 1) * step) for count in counts]
    curve = [density(low + (high - low) * i / 200) for i in range(201)]
    ceiling = min(max([*bars, *curve]), 3 * max(curve)) * 1.1

    def height(p: float) -> float:
        return 115 * min(p / ceiling, 1.0)

    width = (_WIDTH - 20) / _BINS
    rects = "".join(
        f'<rect x="{10 + i * width:.1f}" y="{120 - height(p):.1f}" width="{width - 1:.1f}" '
        f'height="{height(p):.1f}"/>'
        for i, p in enumerate(bars)
    )
    points = " ".join(
        f"{10 + (_WIDTH - 20) * i / 200:.1f},{120 - height(p):.1f}" for i, p in enumerate(curve)
    )
    text = 'font-family="sans-serif" font-size="11" fill="#333"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/><g fill="#e69f00">{rects}</g>'
        f'<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="2"/>'
        f'<line x1="10" x2="{_WIDTH - 10}" y1="120" y2="120" stroke="#333"/>'
        f'<text x="10" y="133" {text}>{low:g}</text>'
        f'<text x="{_WIDTH - 10}" y="133" text-anchor="end" {text}>{high:g}</text>'
        f'<text x="{_WIDTH / 2}" y="133" text-anchor="middle" {text}>{html.escape(label)}</text>'
        f'<text x="{_WIDTH / 2}" y="147" text-anchor="middle" {text}>'
        f"bars: yours, line: expected</text></svg>"
    )
    return Drawing(svg, alt)
