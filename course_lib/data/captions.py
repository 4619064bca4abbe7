"""Captions of ``strokes``: a few words, decided by the factors of an image and nothing else.

A caption names the digit, its size, pen, proportion and lean where they are out of the ordinary,
and the colors in the color version. :data:`WORDS` is the whole vocabulary. The order of the words
says one thing only: the ink's color stands before the digit, the paper's after "on".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import overload

from torch import Tensor

# Thresholds of the words: below the first, above the second; nothing is said in between.
SCALE_WORDS = (0.88, 0.96)  # small, large
WIDTH_WORDS = (2.1, 2.9)  # thin, thick
ASPECT_WORDS = (0.9, 1.1)  # narrow, wide
LEAN_WORDS = (-0.1, 0.2)  # leaning left, leaning right: slant + angle in radians
HUE_WORDS = ((0.08, "red"), (0.24, "yellow"), (0.43, "green"), (0.56, "cyan"), (0.71, "blue"),
             (1.0, "purple"))  # fmt: skip
DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

SPOKEN = ("class", "slant", "angle", "width", "scale", "aspect")
WORDS: tuple[str, ...] = (
    "a", "an", "small", "large", "thin", "thick", "narrow", "wide",
    *(word for _, word in HUE_WORDS), *DIGIT_WORDS, "leaning", "left", "right", "on",
)  # fmt: skip
"""Every word that a caption can hold."""


def _word(value: float, limits: tuple[float, float], low: str, high: str) -> list[str]:
    return [low] if value < limits[0] else [high] if value > limits[1] else []


def _hue_word(hue: float) -> str:
    return next(word for limit, word in HUE_WORDS if hue < limit)


def caption(row: Mapping[str, float | Tensor]) -> str:
    """Say in words of :data:`WORDS` what the factors of one image are.

    Args:
        row: a number (or a tensor of one) for each factor; ``style``, ``hand`` and the shifts are
            not spoken of, and ``ink`` and ``paper`` only where they are given.

    Returns:
        For example ``"a small thin seven leaning left"`` or ``"a thick red three on blue"``.

    Raises:
        ValueError: a factor is missing, or the class is not a digit.
    """
    missing = [name for name in SPOKEN if name not in row]
    if missing:
        raise ValueError(
            f"No value for the factor(s) {', '.join(missing)}; a caption needs each of "
            f"{', '.join(SPOKEN)}. Take a row of draw(...).factors."
        )
    f = {name: float(value) for name, value in row.items()}
    if f["class"] not in range(10):
        raise ValueError(f"class is {f['class']:g}; a digit from 0 to 9 was expected.")
    lean = f["slant"] + f["angle"] * (math.pi / 180)
    words = [
        *_word(f["scale"], SCALE_WORDS, "small", "large"),
        *_word(f["width"], WIDTH_WORDS, "thin", "thick"),
        *_word(f["aspect"], ASPECT_WORDS, "narrow", "wide"),
        *([_hue_word(f["ink"])] if "ink" in f else []),
        DIGIT_WORDS[int(f["class"])],
        *_word(lean, LEAN_WORDS, "leaning left", "leaning right"),
        *(["on", _hue_word(f["paper"])] if "paper" in f else []),
    ]
    return " ".join(["an" if words[0] == "eight" else "a", *words])


class Captions(Sequence[str]):
    """The captions of a set, each made when it is asked for."""

    def __init__(self, factors: dict[str, Tensor]) -> None:
        self._factors = {k: v.cpu().numpy() for k, v in factors.items() if k != "hand"}

    def __len__(self) -> int:
        return len(self._factors["class"])

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> list[str]: ...
    def __getitem__(self, i: int | slice) -> str | list[str]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        return caption({name: value[i] for name, value in self._factors.items()})
