"""Densities over the plane, and samples on top of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from .frame import Frame
from .picture import Picture
from .scatter import dots, place, shown
from .style import COLORS, WIDTH, style
from .values import number, points, sentence

Target = object  # a distribution with log_prob, or a function [M, 2] -> [M], or None
DENSITY_MAP = LinearSegmentedColormap.from_list(
    "density", ["#FFFFFF", "#D5E7F3", "#8FC1E0", "#3F8FC4", "#0B5C99", "#06335C"], N=24
)
_LEVELS = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # shares of the highest value
_GRID = 161  # points along each side


def density(
    target: Target | Mapping[str, Target],
    *,
    title: str,
    alt: str | None = None,
    samples: Tensor | Mapping[str, Tensor] | None = None,
    limits: tuple[float, float] = (-4.0, 4.0),
    xlabel: str = "x₁",
    ylabel: str = "x₂",
    note: str | None = None,
) -> Picture:
    """Draw densities over the plane as filled contours, with samples on top where given.

    Args:
        target: a distribution with ``log_prob: [M, 2] -> [M]``, or a function that is one; or
            label to such a thing, for panels side by side on one scale. None in a mapping leaves
            the plane blank (a model that can be sampled but not evaluated).
        title: states the finding.
        alt: for readers who do not see it; by default the title, the limits and where each
            density is highest.
        samples: ``[N, 2]``, or label to samples with the labels of ``target``.
        limits: lower and upper end of both axes.
        xlabel, ylabel: the names of the axes.
        note: small print; by default the number of samples.

    Raises:
        TypeError, ValueError: no density, a log density of the wrong shape or with NaN, labels
            of samples that are not labels of a density.
    """
    targets = dict(target) if isinstance(target, Mapping) else {"": target}
    clouds = dict(samples) if isinstance(samples, Mapping) else {"": samples}
    if isinstance(samples, Tensor) and isinstance(target, Mapping):
        clouds = dict.fromkeys(targets, samples)
    if not targets:
        raise ValueError("target is empty; at least one density is needed.")
    strangers = [name for name in clouds if name not in targets and clouds[name] is not None]
    if strangers:
        raise ValueError(
            f"samples has the label {strangers[0]!r}, which target has not; "
            f"labels of target were expected: {', '.join(map(repr, targets))}."
        )
    low, high = map(float, limits)
    if not low < high:
        raise ValueError(f"limits is {limits}; a lower and a higher number were expected.")
    axis = torch.linspace(low, high, _GRID, dtype=torch.float64)
    surfaces = {name: _evaluate(t, axis, name) for name, t in targets.items()}
    clouds = {n: points(c, f"samples[{n!r}]") for n, c in clouds.items() if c is not None}
    if note is None:
        note = "; ".join(
            f"{f'{name}: ' if name else ''}{shown(len(c))}" for name, c in clouds.items()
        )
    count = len(targets)
    if count > 1:  # densities with sharp and with flat peaks in one figure: each by its own peak
        scaled = {n: s if s is None else s / max(s.max(), 1e-300) for n, s in surfaces.items()}
        top, unit = 1.0, "density / peak"
    else:
        scaled, unit = surfaces, "density (per unit area)"
        top = max((s.max() for s in scaled.values() if s is not None), default=1.0)
        top = top or 1.0  # a density that is 0 everywhere in view: blank, on some scale
    columns = min(count, 3)
    rows = -(-count // columns)
    side = {1: 360, 2: 290, 3: 215}[columns]
    with style():
        frame = Frame(WIDTH if columns > 1 else 480, rows * side, title, note)
        grid = frame.figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        filled = None
        for axes, name in zip(grid.flat, targets, strict=False):
            if scaled[name] is not None:
                filled = axes.contourf(
                    axis.numpy(), axis.numpy(), scaled[name],
                    levels=top * np.array(_LEVELS), cmap=DENSITY_MAP, vmin=0, vmax=top,
                )  # fmt: skip
            if name in clouds:
                dots(axes, clouds[name], COLORS[1])
            if name:
                axes.set_title(name, loc="left")
            axes.grid(False)
            axes.set(aspect="equal", xlim=(low, high), ylim=(low, high))
        for axes in list(grid.flat)[count:]:
            axes.set_axis_off()
        for axes in grid[-1]:
            axes.set_xlabel(xlabel)
        for axes in grid[:, 0]:
            axes.set_ylabel(ylabel)
        if filled is not None:
            bar = frame.figure.colorbar(filled, ax=grid, shrink=0.8, pad=0.02, aspect=25)
            bar.set_label(unit)
            bar.locator = MaxNLocator(5)
            bar.outline.set_visible(False)
            bar.update_ticks()
        frame.settle()
    return Picture(frame.figure, alt or _describe(title, axis, surfaces, clouds, low, high))


def _evaluate(target: Target, axis: Tensor, name: str) -> np.ndarray | None:
    """Return the density on the grid ``[M, M]`` (rows are the second coordinate)."""
    if target is None:
        return None
    log_prob: Callable[[Tensor], Tensor] | None = getattr(target, "log_prob", None)
    if log_prob is None:
        log_prob = target if callable(target) else None
    label = f"target[{name!r}]" if name else "target"
    if log_prob is None:
        raise TypeError(
            f"{label} is a {type(target).__name__}; a distribution with log_prob, or a function "
            "[M, 2] -> [M] that returns log densities was expected."
        )
    x2, x1 = torch.meshgrid(axis, axis, indexing="ij")
    at = torch.stack([x1, x2], -1).reshape(-1, 2)
    with torch.no_grad():
        try:
            values = log_prob(at)
        except RuntimeError:  # a network in single precision
            values = log_prob(at.to(torch.get_default_dtype()))
    if not isinstance(values, Tensor) or values.shape != at.shape[:1]:
        shape = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"The log density of {label} at points [{len(at)}, 2] has shape {shape}; "
            f"[{len(at)}] was expected. Declare the event dimension with Independent(..., 1)."
        )
    if values.isnan().any():
        raise ValueError(f"The log density of {label} is NaN at some points inside the limits.")
    return values.double().exp().cpu().reshape(_GRID, _GRID).numpy()


def _describe(
    title: str,
    axis: Tensor,
    surfaces: Mapping[str, np.ndarray | None],
    clouds: Mapping[str, np.ndarray],
    low: float,
    high: float,
) -> str:
    said = [sentence(title), f"Both axes go from {number(low)} to {number(high)}."]
    for name, surface in surfaces.items():
        who = name or "The density"
        if surface is not None and not surface.any():
            said.append(f"{who} is 0 everywhere in view.")
        elif surface is not None:
            i, j = np.unravel_index(surface.argmax(), surface.shape)
            said.append(f"{who} is highest, {number(surface.max())}, at {place(axis[j], axis[i])}.")
        if name in clouds:
            inside = ((clouds[name] >= low) & (clouds[name] <= high)).all(1).mean()
            said.append(f"{len(clouds[name]):,} samples of {name or 'it'}, {inside:.0%} in view.")
    return " ".join(said)
