"""The data of a panel of lines: checked at the door, and told in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .style import check_text
from .values import array, number, sentence

Series = Mapping[str, tuple]


@dataclass(frozen=True)
class Panel:
    """One set of axes for :func:`panels`.

    Attributes:
        series: label to ``(xs, ys)`` or ``(xs, ys, se)``, each ``[N]``; ``se`` are standard errors.
        xlabel, ylabel: what the axes measure, with units.
        heading: a few words above the panel.
        logx, logy: logarithmic axes (base 10).
        reference: label to a height at which a dashed line is drawn.
        vertical: label to a place at which an upright dashed line is drawn.
    """

    series: Series
    xlabel: str
    ylabel: str
    heading: str = ""
    logx: bool = False
    logy: bool = False
    reference: Mapping[str, float] = field(default_factory=dict)
    vertical: Mapping[str, float] = field(default_factory=dict)


def check(part: Panel) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the series as arrays ``(xs, ys)`` or ``(xs, ys, se)``."""
    check_text(part.xlabel, "xlabel")
    check_text(part.ylabel, "ylabel")
    if not isinstance(part.series, Mapping) or not part.series:
        raise ValueError(
            'series is empty or no mapping; something like {"ELBO": (xs, ys)} was expected.'
        )
    result = {}
    for name, value in part.series.items():
        check_text(name, "The label of a series")
        if not isinstance(value, tuple) or len(value) not in (2, 3):
            raise ValueError(
                f"series[{name!r}] is no pair; (xs, ys) or (xs, ys, standard errors) was expected."
            )
        arrays = tuple(
            array(v, f"{what} of {name!r}", dims=1)
            for v, what in zip(value, ("xs", "ys", "standard errors"), strict=False)
        )
        if len({len(a) for a in arrays}) > 1:
            lengths = " and ".join(str(len(a)) for a in arrays)
            raise ValueError(
                f"series[{name!r}] has arrays of lengths {lengths}; equal lengths were expected."
            )
        for log, axis, values in ((part.logx, "x", arrays[0]), (part.logy, "y", arrays[1])):
            if log and (values <= 0).any():
                raise ValueError(
                    f"series[{name!r}] has {axis} values down to {values.min():g} on a logarithmic "
                    f"axis; positive values were expected. Leave log{axis} out, or shift them."
                )
        if len(arrays) == 3 and (arrays[2] < 0).any():
            raise ValueError(f"series[{name!r}] has negative standard errors.")
        result[name] = arrays
    for group, what in ((part.reference, "reference"), (part.vertical, "vertical")):
        array(list(group.values()) or [0.0], what, dims=1)
    return result


def describe(
    title: str, parts: Sequence[Panel], checked: Sequence[dict[str, tuple[np.ndarray, ...]]]
) -> str:
    """Return the default alternative text: what is drawn, and where each line goes."""
    said = [sentence(title)]
    for part, values in zip(parts, checked, strict=True):
        head = f"{part.heading}: " if part.heading else ""
        said.append(f"{head}{part.ylabel} against {part.xlabel}.")
        for name, (xs, ys, *_) in values.items():
            if len(xs) == 1:
                said.append(f"{name}: {number(ys[0])} at {number(xs[0])}.")
                continue
            first, last = int(np.argmin(xs)), int(np.argmax(xs))
            text = f"{name}: from {number(ys[first])} at {number(xs[first])}"
            text += f" to {number(ys[last])} at {number(xs[last])}"
            low, high = int(np.argmin(ys)), int(np.argmax(ys))
            if low not in (first, last):
                text += f", lowest {number(ys[low])} at {number(xs[low])}"
            if high not in (first, last):
                text += f", highest {number(ys[high])} at {number(xs[high])}"
            said.append(text + ".")
        for name, y in part.reference.items():
            said.append(f"Reference line {name}: {number(float(y))}.")
        for name, x in part.vertical.items():
            said.append(f"Upright line {name}: {number(float(x))}.")
    return " ".join(said)
