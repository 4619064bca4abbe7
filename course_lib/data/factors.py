"""The factors of ``strokes``: what there is, in which range, drawn at random and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_lib.data.pen import random_bits
from course_lib.errors import unknown


class Factor(NamedTuple):
    """The range of a factor, both ends included, and what its numbers mean."""

    low: float
    high: float
    unit: str


FACTORS: dict[str, Factor] = {
    "class": Factor(0, 9, "the digit, an integer"),
    "style": Factor(0, 2, "the way to write it, an integer: STYLES[class][style]"),
    "slant": Factor(-0.25, 0.35, "shift of the top to the right, per unit of height"),
    "angle": Factor(-10.0, 10.0, "degrees clockwise"),
    "width": Factor(1.5, 3.5, "width of the pen in 28ths of the image"),
    "scale": Factor(0.82, 1.02, "height of the upright digit in units of 20/28 of the image"),
    "aspect": Factor(0.8, 1.2, "stretch from left to right"),
    "shift_x": Factor(-1.5, 1.5, "of the digit to the right, in 28ths of the image"),
    "shift_y": Factor(-1.5, 1.5, "of the digit downwards, in 28ths of the image"),
    "hand": Factor(0, 2**63 - 1, "serial number of the wobble, an integer"),
    "ink": Factor(0.0, 0.8, "hue in turns: 0 red, 1/3 green, 2/3 blue; color only"),
    "paper": Factor(0.0, 0.8, "hue in turns; color only"),
}
"""Name of each factor -> (low, high, unit). ``draw`` takes ``slant``, ``angle`` and the shifts from
a triangular law (the middle is likeliest), all others evenly; ``hand`` counts up."""

WHOLE = ("class", "style", "hand")
TRIANGULAR = ("slant", "angle", "shift_x", "shift_y")
COLOR = ("ink", "paper")


def draw_factors(hand: np.ndarray, color: bool) -> dict[str, Tensor]:
    """Draw the factors of each hand ``[N]``; stream j of the hand gives the j-th factor."""
    bits = random_bits(hand, 0, len(FACTORS))
    factors = {}
    for j, (name, (low, high, _)) in enumerate(FACTORS.items()):
        upper, lower = bits[:, j] >> np.uint64(32), bits[:, j] & np.uint64(2**32 - 1)
        u = upper.astype(np.float64) * 2.0**-32
        if name in TRIANGULAR:
            u = (u + lower.astype(np.float64) * 2.0**-32) / 2
        if name == "hand":
            value = hand
        elif name in WHOLE:
            value = np.floor(u * (high + 1)).astype(np.int64)
        else:
            value = (low + u * (high - low)).astype(np.float32)
        if color or name not in COLOR:
            factors[name] = torch.from_numpy(value)
    return factors


def check_factors(factors: Mapping[str, object], color: bool) -> dict[str, np.ndarray]:
    """Return the factors as arrays of one length and the right types, or say what is wrong."""
    for name in factors:
        if name not in FACTORS:
            raise unknown("factor", name, FACTORS)
    wanted = [name for name in FACTORS if color or name not in COLOR]
    missing = [name for name in wanted if name not in factors]
    if missing:
        raise ValueError(
            f"No value for the factor(s) {', '.join(missing)}; render needs each of "
            f"{', '.join(wanted)}. Take the others from draw(1).factors."
        )
    values = {name: _check_factor(name, factors[name]) for name in wanted}
    num = max(len(value) for value in values.values())
    for name, value in values.items():
        if len(value) not in (1, num):
            raise ValueError(
                f"Factor '{name}' has {len(value)} values where another has {num}; one for each "
                "image or a single one for all was expected."
            )
    return {name: np.broadcast_to(value, (num,)) for name, value in values.items()}


def _check_factor(name: str, given: object) -> np.ndarray:
    low, high, unit = FACTORS[name]
    value = np.atleast_1d(given.detach().cpu() if isinstance(given, Tensor) else np.asarray(given))
    if value.ndim != 1 or value.size == 0 or value.dtype.kind not in "iuf":
        raise ValueError(
            f"Factor '{name}' has shape {list(value.shape)} and type {value.dtype}; one or more "
            "numbers in a row, shape [N], were expected."
        )
    if name in WHOLE:
        good = (value == np.floor(value)) & (value >= low) & (value <= high)
    else:
        value = value.astype(np.float32)
        good = (value >= np.float32(low)) & (value <= np.float32(high))
    if not good.all():
        raise ValueError(
            f"Factor '{name}' is {value[~good][0]}; {low} to {high} was expected ({unit})."
        )
    return value.astype(np.int64) if name in WHOLE else value
