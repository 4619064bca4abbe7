"""Histograms, with the densities they should follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from course_lib.errors import check_whole

from .frame import Frame
from .picture import Picture
from .style import (
    COLORS,
    DASHES,
    INK,
    SMALL_SIZE,
    SOFT,
    WIDTH,
    check_text,
    halo,
    style,
)
from .values import array, number, sentence


def histogram(
    values: Mapping[str, Tensor] | Tensor,
    *,
    xlabel: str,
    title: str,
    alt: str | None = None,
    bins: int = 40,
    limits: tuple[float, float] | None = None,
    curves: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    reference: Mapping[str, float] | None = None,
    ylabel: str = "density",
    note: str | None = None,
) -> Picture:
    """Draw histograms of total area one, with densities over them where given.

    Args:
        values: ``[N]``, or label to ``[N]``.
        xlabel: what was measured, with its unit.
        title: states the finding.
        alt: for readers who do not see it; by default the title, means and standard deviations.
        bins: number of bins, the same for all.
        limits: ends of the axis; by default those of the data. What lies outside is left out of the
            bins and counted in the note.
        curves: label to a density ``[M] -> [M]`` (not its logarithm).
        reference: label to a number at which a dashed line is drawn.
        ylabel: the name of the upright axis.
        note: small print; by default how many values there are.

    Raises:
        TypeError, ValueError: no values, several axes, values that are not finite.
    """
    check_text(xlabel, "xlabel")
    bins = check_whole(bins, "bins")
    given = dict(values) if isinstance(values, Mapping) else {"": values}
    if not given:
        raise ValueError("values is empty; at least one array is needed.")
    data = {
        name: array(v, f"values[{name!r}]" if name else "values", dims=1)
        for name, v in given.items()
    }
    low, high = limits or (min(map(np.min, data.values())), max(map(np.max, data.values())))
    if limits is None and low == high:
        low, high = low - 0.5, high + 0.5
    if not low < high:
        raise ValueError(f"limits is {limits}; a lower and a higher number were expected.")
    edges = np.linspace(low, high, bins + 1)
    if note is None:
        counts = {name: f"{len(v):,}" for name, v in data.items()}
        same = len(set(counts.values())) == 1
        note = f"{next(iter(counts.values()))} values" + (" each" if len(data) > 1 else "")
        if not same:
            note = ", ".join(f"{name}: {count} values" for name, count in counts.items())
        outside = sum(((v < low) | (v > high)).sum() for v in data.values())
        note += f"; {outside:,} outside the axis" if outside else ""
    with style():
        frame = Frame(WIDTH, 280, title, note)
        axes = frame.figure.subplots()
        for i, (name, v) in enumerate(data.items()):
            color = COLORS[i % len(COLORS)]
            heights = np.histogram(v, edges)[0] / (len(v) * np.diff(edges))
            axes.stairs(heights, edges, fill=True, color=color, alpha=0.25)
            axes.stairs(
                heights, edges, color=color, linewidth=1.6, label=name or None,
                linestyle=DASHES[i % len(DASHES)],
            )  # fmt: skip
        x = torch.linspace(low, high, 400, dtype=torch.float64)
        for i, (name, curve) in enumerate((curves or {}).items()):
            y = array(curve(x), f"curves[{name!r}]", dims=1)
            color = INK if len(data) > 1 else COLORS[(i + 1) % len(COLORS)]
            axes.plot(x.numpy(), y, color=color, label=name, linestyle=DASHES[i % len(DASHES)])
        for name, at in (reference or {}).items():
            axes.axvline(float(at), color=SOFT, linestyle="--", linewidth=1.2)
            axes.annotate(
                name, (float(at), 1), xycoords=("data", "axes fraction"), xytext=(4, -2),
                textcoords="offset points", va="top", fontsize=SMALL_SIZE, color=SOFT,
                path_effects=halo(),
            )  # fmt: skip
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(low, high))
        axes.set_ylim(bottom=0)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="best")
        frame.settle()
    if alt is None:
        said = [
            f"{name + ': ' if name else ''}mean {number(v.mean())}, standard deviation "
            f"{number(v.std())}, from {number(v.min())} to {number(v.max())}"
            for name, v in data.items()
        ]
        alt = f"{sentence(title)} Histogram of {xlabel}. {'. '.join(said)}."
        alt += f" Density curves: {', '.join(curves)}." if curves else ""
        for name, at in (reference or {}).items():
            alt += f" Reference line {name}: {number(float(at))}."
    return Picture(frame.figure, alt)
