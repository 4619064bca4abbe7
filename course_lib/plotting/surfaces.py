"""Surfaces over the plane as labelled contour lines, with points and paths on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from torch import Tensor

from .densities import DENSITY_MAP
from .frame import Frame
from .picture import Picture
from .scatter import place
from .style import COLORS, INK, SMALL_SIZE, WIDTH, check_text, halo, ink, style
from .values import array, number, points, sentence


def surface(
    values: Tensor | Mapping[str, Tensor],
    xs: Tensor,
    ys: Tensor,
    *,
    levels: Sequence[float],
    xlabel: str,
    ylabel: str,
    value_label: str,
    title: str,
    alt: str | None = None,
    marks: Mapping[str, tuple[float, float]] | None = None,
    paths: Sequence[Tensor] | Mapping[str, Sequence[Tensor]] | None = None,
    note: str = "",
) -> Picture:
    """Draw a function of two numbers as contour lines with their values, darker where it is higher.

    Args:
        values: ``[len(ys), len(xs)]``: row i belongs to ``ys[i]``; or label to such a table, for
            panels side by side on one scale.
        xs, ys: where the function was evaluated, each rising.
        levels: heights of the lines, rising, each written on its line.
        xlabel, ylabel: what the axes are, with units.
        value_label: what the heights measure, with its unit.
        title: states the finding.
        alt: for readers who do not see it; by default the title, and where each surface is lowest
            and each path begins and ends.
        marks: label to a point ``(x, y)``, drawn in every panel.
        paths: polylines ``[S, 2]``, such as those of a descent: a dot where each begins and a
            diamond where it ends; or the label of a panel to its paths.
        note: small print.

    Raises:
        TypeError, ValueError: tables that do not fit the axes, axes or levels that do not rise,
            values that are not finite, paths of a panel that does not exist.
    """
    for text, name in ((xlabel, "xlabel"), (ylabel, "ylabel"), (value_label, "value_label")):
        check_text(text, name)
    x, y, heights = (_rising(v, name) for v, name in ((xs, "xs"), (ys, "ys"), (levels, "levels")))
    tables = _tables(values, (len(y), len(x)))
    trails = _paths(paths, tables)
    if any(trails.values()):
        note = f"{note} Dots: where a path begins; diamonds: where it ends.".strip()
    several = len(tables) > 1
    with style():
        frame = Frame(WIDTH if several else 560, 300 if several else 340, title, note)
        grid = frame.figure.subplots(1, len(tables), squeeze=False, sharex=True, sharey=True)[0]
        for axes, (name, table) in zip(grid, tables.items(), strict=True):
            filled = _contours(axes, x, y, table, heights)
            for path in trails.get(name, ()):
                axes.plot(*path.T, color=COLORS[1], linewidth=2.2, path_effects=halo(3.5))
                axes.plot(*path[0], "o", color=COLORS[1], markeredgecolor="white", markersize=7)
                axes.plot(*path[-1], "D", color=COLORS[1], markeredgecolor="white", markersize=8)
            for label, at in (marks or {}).items():
                _mark(axes, label, at)
            if name:
                axes.set_title(name, loc="left")
            axes.set_xlabel(xlabel)
        grid[0].set_ylabel(ylabel)
        bar = frame.figure.colorbar(filled, ax=list(grid), pad=0.02, aspect=25)
        bar.set_label(value_label)
        bar.set_ticks(heights, labels=list(map(number, heights)))
        bar.outline.set_visible(False)
        frame.settle()
    return Picture(frame.figure, alt or _describe(title, x, y, tables, trails, marks or {}))


def _rising(values: object, name: str) -> np.ndarray:
    result = array(values, name, dims=1)
    if len(result) < 2 or (np.diff(result) <= 0).any():
        raise ValueError(f"{name} does not rise; at least two numbers in rising order expected.")
    return result


def _tables(values: object, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return label to table, with an empty label where there is one table only."""
    given = dict(values) if isinstance(values, Mapping) else {"": values}
    if not 1 <= len(given) <= 3:
        raise ValueError(f"values holds {len(given)} tables; one to three panels were expected.")
    tables = {}
    for name, value in given.items():
        label = f"values[{name!r}]" if name else "values"
        tables[name] = array(value, label, dims=2)
        if tables[name].shape != shape:
            raise ValueError(
                f"{label} has shape {list(tables[name].shape)}; {list(shape)} was expected: a row "
                "for each of ys and a column for each of xs. Transpose it if they are swapped."
            )
    return tables


def _paths(paths: object, tables: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Return the label of a panel to its paths ``[S, 2]``."""
    given = dict(paths) if isinstance(paths, Mapping) else dict.fromkeys(tables, paths or ())
    strangers = [name for name in given if name not in tables]
    if strangers:
        raise ValueError(
            f"paths has the label {strangers[0]!r}, which values has not; "
            f"labels of values were expected: {', '.join(map(repr, tables))}."
        )
    return {name: [points(p, "a path") for p in group] for name, group in given.items()}


def _contours(
    axes: Axes, x: np.ndarray, y: np.ndarray, table: np.ndarray, heights: np.ndarray
) -> ContourSet:
    """Fill between the lines by rank, so that steps near the bottom are as plain as high ones.

    The lowest region is white, and the next far enough from it to survive a small palette.
    """
    count = len(heights)
    filled = axes.contourf(
        x, y, table, levels=heights, extend="both",
        colors=[DENSITY_MAP(0.12 * (rank > 0) + 0.75 * rank / count) for rank in range(count + 1)],
    )  # fmt: skip
    lines = axes.contour(x, y, table, levels=heights, colors=INK, linewidths=0.8)
    for text in axes.clabel(lines, fmt=number, fontsize=SMALL_SIZE) or ():
        text.set_path_effects(halo())
    axes.grid(False)
    return filled


def _mark(axes: Axes, label: str, at: tuple[float, float]) -> None:
    check_text(label, "The label of a mark")
    px, py = array(list(at), f"marks[{label!r}]", dims=1)
    axes.plot(px, py, "o", color=COLORS[1], markeredgecolor="white", markersize=8, zorder=4)
    axes.annotate(
        label, (px, py), xytext=(7, 5), textcoords="offset points", fontsize=SMALL_SIZE,
        color=ink(COLORS[1]), path_effects=halo(3), zorder=5,
    )  # fmt: skip


def _describe(
    title: str,
    x: np.ndarray,
    y: np.ndarray,
    tables: Mapping[str, np.ndarray],
    trails: Mapping[str, list[np.ndarray]],
    marks: Mapping[str, tuple[float, float]],
) -> str:
    said = [sentence(title)]
    for name, table in tables.items():
        i, j = np.unravel_index(table.argmin(), table.shape)
        lowest = number(round(float(table.min()), 6) + 0.0)  # no −0, and no 1e-17 for it
        said.append(f"{name or 'The surface'} is lowest, {lowest}, at {place(x[j], y[i])}.")
        for path in trails.get(name, ()):
            said.append(f"A path goes from {place(*path[0])} to {place(*path[-1])}.")
    if marks:
        said.append(f"Marked: {', '.join(f'{k} at {place(*at)}' for k, at in marks.items())}.")
    return " ".join(said)
