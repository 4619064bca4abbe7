"""Lines: one panel, or several side by side, each line named where it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from course_lib.errors import check_whole

from .frame import Frame
from .picture import Picture
from .series import Panel, Series, check, describe
from .style import (
    COLORS,
    DASHES,
    MARKERS,
    SMALL_SIZE,
    SOFT,
    WIDTH,
    halo,
    ink,
    plain_log,
    style,
)

HEIGHT = 300  # of one panel, CSS pixels
_FEW = 20  # points up to which each is marked
_BANDS = "Bands: ± 2 standard errors."


def lines(
    series: Series,
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    alt: str | None = None,
    logx: bool = False,
    logy: bool = False,
    reference: Mapping[str, float] | None = None,
    vertical: Mapping[str, float] | None = None,
    note: str = "",
) -> Picture:
    """Draw lines, each with its name at its right end.

    Args:
        series: label to ``(xs, ys)`` or ``(xs, ys, se)``, each ``[N]``; with standard errors ``se``
            a band of two of them is drawn to either side.
        xlabel, ylabel: what the axes measure, with units, such as ``"−ELBO (nats per image)"``.
        title: states the finding.
        alt: for readers who do not see it; by default the title, the axes and where each line goes.
        logx, logy: logarithmic axes.
        reference: label to a height at which a dashed line is drawn, such as the exact value.
        vertical: label to a place at which an upright dashed line is drawn.
        note: small print.

    Raises:
        TypeError, ValueError: no series, unequal lengths, values that are not finite, or values
            that are not positive on a logarithmic axis.
    """
    panel = Panel(
        series, xlabel, ylabel, logx=logx, logy=logy,
        reference=reference or {}, vertical=vertical or {},
    )  # fmt: skip
    return panels([panel], title=title, alt=alt, note=note)


def panels(
    parts: Sequence[Panel],
    *,
    title: str,
    alt: str | None = None,
    columns: int = 3,
    sharey: bool = False,
    note: str = "",
) -> Picture:
    """Draw several panels of lines side by side; a label keeps its color in all of them.

    Args:
        parts: the panels, from left to right and from top to bottom.
        title: states the finding, for all panels together.
        alt: for readers who do not see it; by default the title and a sentence for each line.
        columns: panels in a row, at most three for the sake of legibility.
        sharey: the same vertical scale for all.
        note: small print.

    Raises:
        TypeError, ValueError: as for :func:`lines`, and for an empty list.
    """
    if isinstance(parts, Panel) or not all(isinstance(part, Panel) for part in parts):
        raise TypeError("parts must be a list of Panel(series, xlabel, ylabel, ...).")
    if not parts:
        raise ValueError("parts is empty; at least one Panel is needed.")
    columns = min(check_whole(columns, "columns"), len(parts), 3)
    rows = -(-len(parts) // columns)
    checked = [check(part) for part in parts]
    names = list(dict.fromkeys(name for values in checked for name in values))
    looks = {name: i for i, name in enumerate(names)}
    if any(len(value) == 3 for values in checked for value in values.values()):
        note = f"{note} {_BANDS}".strip()
    height = HEIGHT if columns == 1 else 250 if columns == 2 else 230
    with style():
        # The same few lines everywhere are named once; others where they end.
        shared = columns > 1 and 1 < len(names) <= 5 and all(len(v) == len(names) for v in checked)
        frame = Frame(WIDTH, rows * height, title, note, legend=shared)
        grid = frame.figure.subplots(rows, columns, squeeze=False, sharey=sharey)
        drawn = []
        for axes, part, values in zip(grid.flat, parts, checked, strict=False):
            drawn.append((axes, _draw(axes, part, values, looks, named=not shared)))
        for axes in list(grid.flat)[len(parts) :]:
            axes.set_axis_off()
        if sharey and len({part.ylabel for part in parts}) == 1:
            for axes in grid[:, 1:].flat:
                axes.set_ylabel("")
        if shared:
            frame.legend(drawn[0][0])
        frame.settle()
        for axes, labels in drawn:
            _spread(axes, labels)
    return Picture(frame.figure, alt or describe(title, parts, checked))


def _draw(
    axes: Axes,
    part: Panel,
    values: dict[str, tuple[np.ndarray, ...]],
    looks: dict[str, int],
    *,
    named: bool,
) -> list[tuple[str, float, float, str]]:
    """Draw one panel; return what is to be named: label, x, y and color."""
    axes.set_xlabel(part.xlabel)
    axes.set_ylabel(part.ylabel)
    if part.heading:
        axes.set_title(part.heading, loc="left")
    if part.logx:
        axes.set_xscale("log")
        plain_log(axes.xaxis)
    if part.logy:
        axes.set_yscale("log")
        plain_log(axes.yaxis)
    labels = []
    for name, (xs, ys, *se) in values.items():
        i = looks[name]
        color = COLORS[i % len(COLORS)]
        axes.plot(
            xs, ys, color=color, label=name,
            linestyle=DASHES[i // len(COLORS) % len(DASHES)],
            marker=MARKERS[i % len(MARKERS)] if len(xs) <= _FEW else None,
        )  # fmt: skip
        if se:
            low = ys - 2 * se[0]
            if part.logy:
                low = np.maximum(low, ys.min() * 1e-3)
            axes.fill_between(xs, low, ys + 2 * se[0], color=color, alpha=0.2, linewidth=0)
        if named:
            last = int(np.argmax(xs))
            labels.append((name, xs[last], ys[last], ink(color)))
    if not part.logx and all((xs == xs.round()).all() for xs, *_ in values.values()):
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    for name, y in part.reference.items():
        axes.axhline(float(y), color=SOFT, linestyle="--", linewidth=1.2)
        labels.append((name, np.inf, float(y), SOFT))
    for name, x in part.vertical.items():
        axes.axvline(float(x), color=SOFT, linestyle="--", linewidth=1.2)
        axes.annotate(
            name, (float(x), 1), xycoords=("data", "axes fraction"), xytext=(4, -2),
            textcoords="offset points", va="top", fontsize=SMALL_SIZE, color=SOFT,
            path_effects=halo(),
        )  # fmt: skip
    return [_name(axes, *label) for label in labels]


def _name(axes: Axes, label: str, x: float, y: float, color: str) -> object:
    """Write a label to the right of the point where its line ends (of the axes, for x = inf)."""
    where = (
        {"xy": (x, y)} if np.isfinite(x) else {"xy": (1, y), "xycoords": ("axes fraction", "data")}
    )
    return axes.annotate(
        label, **where, xytext=(6, 0), textcoords="offset points", va="center",
        fontsize=SMALL_SIZE, color=color, path_effects=halo(), annotation_clip=False,
    )  # fmt: skip


def _spread(axes: Axes, labels: list) -> None:
    """Move labels up and down until none covers another, keeping their order."""
    if len(labels) < 2:
        return
    point = 72 / axes.figure.dpi
    boxes = {label: label.get_window_extent() for label in labels}
    order = sorted(labels, key=lambda a: (boxes[a].y0 + boxes[a].y1) / 2)
    middles = np.array([(boxes[a].y0 + boxes[a].y1) / 2 for a in order])
    need = np.array(
        [
            0.5 * (boxes[a].height + boxes[b].height) + 1
            if boxes[a].x0 < boxes[b].x1 and boxes[b].x0 < boxes[a].x1
            else 0
            for a, b in pairwise(order)
        ]
    )
    placed = middles.copy()
    low, high = axes.bbox.y0, axes.bbox.y1
    for _ in range(200):
        short = need - np.diff(placed)
        if (short <= 0.01).all():
            break
        push = np.maximum(short, 0) / 2
        placed[:-1] -= push
        placed[1:] += push
        if placed[-1] - placed[0] < high - low:
            placed += max(0, low - placed[0]) - max(0, placed[-1] - high)
    for label, old, new in zip(order, middles, placed, strict=True):
        x, y = label.get_position()
        label.set_position((x, y + (new - old) * point))
