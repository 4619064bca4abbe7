"""Bars: a number for each of a few things."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .frame import Frame
from .picture import Picture
from .style import COLORS, INK, SMALL_SIZE, SOFT, WIDTH, check_text, halo, plain_log, style
from .values import array, measured, number, sentence

Bar = float | tuple[float, float]


def bars(
    values: Mapping[str, Bar | Mapping[str, Bar]],
    *,
    xlabel: str,
    title: str,
    alt: str | None = None,
    reference: Mapping[str, float] | None = None,
    log: bool = False,
    note: str = "",
) -> Picture:
    """Draw horizontal bars, each with its number.

    Args:
        values: label to a number, or to ``(number, standard error)``; or label to a mapping of
            such things, for groups of bars with the same members.
        xlabel: what the bars measure, with its unit.
        title: states the finding.
        alt: for readers who do not see it; by default the title and all numbers.
        reference: label to a number at which a dashed line is drawn.
        log: logarithmic axis.
        note: small print.

    Raises:
        TypeError, ValueError: no bars, groups with different members, numbers that are not finite,
            or a standard error below 0.
    """
    check_text(xlabel, "xlabel")
    groups, members = _groups(values)
    flat = np.array([groups[g][m] for g in groups for m in members])
    if log and (flat[:, 0] <= 0).any():
        raise ValueError("values has a bar that is not positive; a logarithmic axis needs them so.")
    if flat[:, 1].any():
        note = f"{note} Whiskers: ± 2 standard errors.".strip()
    thick = 22 if len(members) == 1 else 15
    step = thick * len(members) + (10 if len(members) == 1 else 14)
    with style():
        frame = Frame(
            WIDTH, max(120, step * len(groups) + 60), title, note, legend=len(members) > 1
        )
        axes = frame.figure.subplots()
        for m, member in enumerate(members):
            at = [(g * step + (m - (len(members) - 1) / 2) * thick) for g in range(len(groups))]
            means, errors = np.array([groups[g][member] for g in groups]).T
            color = COLORS[m % len(COLORS)]
            axes.barh(at, means, height=thick * 0.86, color=color, label=member)
            if errors.any():
                axes.errorbar(means, at, xerr=2 * errors, fmt="none", ecolor=INK, elinewidth=1.2)
            for y, mean, error in zip(at, means, errors, strict=True):
                right = mean >= 0 or log
                axes.annotate(
                    measured(mean, error), (mean + (2 if right else -2) * error, y),
                    xytext=(4 if right else -4, 0), textcoords="offset points",
                    ha="left" if right else "right", va="center", fontsize=SMALL_SIZE,
                    path_effects=halo(),
                )  # fmt: skip
        axes.set_yticks([g * step for g in range(len(groups))], list(groups))
        axes.tick_params(axis="y", length=0, labelsize=10, labelcolor=INK)
        axes.grid(axis="y", visible=False)
        axes.invert_yaxis()
        axes.set_xlabel(xlabel)
        if log:
            axes.set_xscale("log")
            plain_log(axes.xaxis)
        else:
            axes.axvline(0, color=SOFT, linewidth=1)
        axes.margins(x=0.12)
        for name, x in (reference or {}).items():
            axes.axvline(float(x), color=SOFT, linestyle="--", linewidth=1.2)
            axes.annotate(
                name, (float(x), 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
                textcoords="offset points", ha="center", va="bottom", fontsize=SMALL_SIZE,
                color=SOFT,
            )  # fmt: skip
        if len(members) > 1:
            frame.legend(axes)
        frame.settle()
    if alt is None:
        said = [
            f"{' '.join(filter(None, (g, m)))} {measured(mean, error)}"
            for g, row in groups.items()
            for m, (mean, error) in row.items()
        ]
        alt = f"{sentence(title)} Bars of {xlabel}: {'; '.join(said)}."
        for name, x in (reference or {}).items():
            alt += f" Reference line {name}: {number(float(x))}."
    return Picture(frame.figure, alt)


def _groups(values: object) -> tuple[dict[str, dict[str, tuple[float, float]]], list[str]]:
    """Return group to member to (number, standard error), and the members of every group."""
    if not isinstance(values, Mapping) or not values:
        raise ValueError('values is empty or no mapping; {"label": number} was expected.')
    nested = [isinstance(v, Mapping) for v in values.values()]
    if any(nested) and not all(nested):
        raise ValueError("values mixes numbers and groups; one or the other was expected.")
    groups = {
        str(k): {str(m): bar for m, bar in v.items()} if all(nested) else {"": v}
        for k, v in values.items()
    }
    members = list(next(iter(groups.values())))
    for name, row in groups.items():
        if list(row) != members or not row:
            raise ValueError(
                f"The group {name!r} has the members {list(row)}; {members} were expected as in "
                "the first group."
            )
        for member, value in row.items():
            pair = value if isinstance(value, tuple) else (value, 0.0)
            if len(pair) != 2:
                raise ValueError(
                    f"values[{name!r}] is no pair; a number or (number, standard error) was "
                    "expected."
                )
            mean, error = array(list(pair), f"values[{name!r}]", dims=1)
            if error < 0:
                raise ValueError(f"values[{name!r}] has a negative standard error.")
            row[member] = (float(mean), float(error))
    return groups, members
