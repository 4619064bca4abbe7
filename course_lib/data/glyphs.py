"""The handwritten digits of ``strokes`` as curves: control points, and how a pen follows them.

A glyph is one way to write one digit: a list of strokes, each a list of control points that the pen
passes through, x to the right and y down, in hundredths of the digit's height. A point given twice
in a row is a corner; the same coordinates anywhere in a glyph are one control point, so that
strokes that meet still meet after the points have been moved.

Between control points the pen follows a cubic Hermite spline with centripetal knots and
finite-difference tangents (in the family of Catmull and Rom 1974), which hardly overshoots. It is
linear in the control points, so each of the ``SEGMENTS + 1`` points of the drawn line is a fixed
weighting of at most four of them; :func:`table` works the weights out once.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

SEGMENTS = 40
"""Straight pieces in which every glyph is drawn; breaks between strokes count as one each."""

Stroke = list[tuple[float, float]]

# One row per digit, three ways to write each: (name of the style, strokes).
GLYPHS: tuple[tuple[tuple[str, list[Stroke]], ...], ...] = (
    (
        ("closed", [[(36, 0), (12, 14), (1, 50), (10, 86), (34, 100), (58, 86), (68, 50),
                     (58, 14), (36, 0)]]),
        ("curled", [[(50, 8), (34, 0), (13, 12), (2, 50), (11, 87), (34, 100), (58, 85), (67, 48),
                     (57, 16), (42, 9), (29, 20)]]),
        ("open", [[(36, 0), (14, 12), (2, 42), (5, 76), (24, 99), (46, 94), (62, 70), (64, 38),
                   (54, 12)]]),
    ),
    (
        ("bare", [[(3, 0), (2, 50), (0, 100)]]),
        ("flag", [[(2, 23), (22, 0), (22, 0), (22, 50), (21, 100)]]),
        ("base", [[(3, 22), (24, 0), (24, 0), (24, 50), (23, 100)],
                  [(0, 100), (46, 99)]]),
    ),
    (
        ("looped", [[(4, 24), (14, 6), (34, 0), (54, 9), (57, 28), (46, 54), (26, 82), (10, 97),
                     (2, 91), (12, 82), (34, 91), (52, 98), (68, 91)]]),
        ("pointed", [[(4, 22), (16, 4), (36, 0), (55, 11), (56, 32), (42, 58), (22, 80), (2, 99),
                      (2, 99), (34, 98), (66, 96)]]),
        ("swan", [[(6, 18), (24, 1), (46, 4), (57, 20), (51, 42), (33, 64), (14, 84), (9, 96),
                   (22, 98), (42, 95), (68, 99)]]),
    ),
    (
        ("round", [[(5, 12), (26, 0), (49, 8), (53, 26), (40, 43), (22, 48), (22, 48), (46, 53),
                    (60, 72), (49, 93), (24, 100), (2, 88)]]),
        ("flat", [[(4, 2), (54, 1), (54, 1), (28, 38), (28, 38), (51, 46), (61, 68), (48, 93),
                   (22, 100), (0, 89)]]),
        ("knotted", [[(6, 14), (26, 0), (49, 8), (53, 26), (40, 42), (24, 49), (19, 44), (28, 42),
                      (50, 54), (60, 73), (48, 94), (24, 100), (2, 87)]]),
    ),
    (
        ("open", [[(10, 0), (7, 28), (2, 57), (2, 57), (30, 58), (62, 55)],
                  [(47, 12), (45, 56), (43, 100)]]),
        ("closed", [[(42, 0), (22, 32), (0, 64), (0, 64), (32, 65), (64, 63)],
                    [(42, 0), (42, 50), (41, 100)]]),
        ("round", [[(4, 4), (0, 30), (10, 52), (31, 55), (54, 42)],
                   [(58, 0), (54, 42), (51, 72), (49, 100)]]),
    ),
    (
        ("hatted", [[(12, 4), (8, 44), (8, 44), (30, 37), (54, 48), (58, 72), (42, 96), (18, 100),
                     (0, 90)], [(14, 5), (36, 3), (60, 0)]]),
        ("angular", [[(57, 0), (14, 3), (14, 3), (9, 42), (9, 42), (34, 38), (55, 54), (54, 80),
                      (34, 98), (2, 98)]]),
        ("rounded", [[(58, 2), (28, 2), (13, 16), (16, 36), (40, 46), (54, 68), (44, 93), (20, 100),
                      (0, 90)]]),
    ),
    (
        ("curved", [[(52, 2), (28, 16), (8, 46), (2, 76), (16, 98), (42, 98), (56, 78), (44, 59),
                     (22, 60), (4, 78)]]),
        ("straight", [[(36, 0), (20, 30), (6, 60), (3, 84), (18, 100), (40, 95), (48, 78), (36, 64),
                       (18, 68), (4, 84)]]),
        ("hooked", [[(56, 13), (44, 1), (22, 12), (6, 42), (2, 74), (18, 98), (44, 96), (57, 75),
                     (46, 56), (26, 54), (6, 68)]]),
    ),
    (
        ("plain", [[(0, 4), (33, 4), (67, 1), (67, 1), (44, 44), (27, 100)]]),
        ("barred", [[(0, 3), (32, 4), (63, 1), (63, 1), (43, 40), (26, 100)],
                    [(14, 51), (34, 50), (56, 47)]]),
        ("hooked", [[(-5, 21), (2, 3), (2, 3), (32, 6), (66, 0), (66, 0), (46, 34), (34, 66),
                     (27, 100)]]),
    ),
    (
        ("crossed", [[(50, 13), (30, 0), (9, 12), (13, 34), (33, 49), (55, 68), (51, 92), (28, 100),
                      (5, 91), (5, 69), (27, 50), (48, 34), (50, 13)]]),
        ("stacked", [[(28, 0), (8, 10), (8, 34), (28, 46), (48, 34), (49, 10), (28, 0)],
                     [(28, 46), (5, 58), (2, 86), (28, 100), (54, 86), (51, 58), (28, 46)]]),
        ("open", [[(46, 3), (22, 2), (7, 18), (22, 38), (45, 58), (53, 82), (32, 100), (8, 91),
                   (7, 70), (28, 47), (48, 26), (58, 3)]]),
    ),
    (
        ("straight", [[(51, 12), (30, 0), (6, 14), (4, 38), (24, 49), (45, 37), (51, 12), (51, 12),
                       (50, 56), (48, 100)]]),
        ("curved", [[(52, 12), (30, 0), (7, 13), (5, 36), (24, 47), (46, 36), (52, 12), (53, 48),
                     (46, 88), (22, 100), (2, 89)]]),
        ("slanted", [[(50, 10), (28, 0), (6, 14), (6, 36), (26, 45), (44, 32), (50, 10), (50, 10),
                      (44, 46), (30, 76), (14, 100)]]),
    ),
)  # fmt: skip

STYLES: tuple[tuple[str, ...], ...] = tuple(tuple(name for name, _ in row) for row in GLYPHS)
"""``STYLES[digit][style]`` is the name of that way of writing the digit."""


class Table(NamedTuple):
    """All glyphs, ready for indexing by ``glyph = 3 * digit + style``.

    ``control``: float64 ``[30, P, 2]``, in heights from the middle, unused points 0;
    ``index``: int64 ``[30, K+1, 4]`` and ``weight``: float64 ``[30, K+1, 4]`` make the points of
    the line from the control points; ``pen``: float64 ``[30, K]`` is 1 where segment k is drawn, 0
    where the pen is lifted.
    """

    control: np.ndarray
    index: np.ndarray
    weight: np.ndarray
    pen: np.ndarray


def _pieces(strokes: list[Stroke]) -> list[Stroke]:
    """Split strokes at their corners into smooth pieces."""
    pieces = []
    for stroke in strokes:
        piece = [stroke[0]]
        for point in stroke[1:]:
            if point == piece[-1]:
                pieces.append(piece)
                piece = []
            piece.append(point)
        pieces.append(piece)
    return pieces


def _spline(points: Stroke, at: list[float], values: np.ndarray) -> np.ndarray:
    """Evaluate the spline of ``values`` ``[n, D]`` over the knots of ``points`` at spans ``at``.

    ``at`` counts spans: 1.25 is a quarter of the way from point 1 to point 2. Returns ``[len, D]``.
    """
    steps = [(q[0] - p[0], q[1] - p[1]) for p, q in itertools.pairwise(points)]
    gaps = [math.sqrt(math.sqrt(dx * dx + dy * dy)) for dx, dy in steps]
    slope = [(values[i + 1] - values[i]) / gaps[i] for i in range(len(gaps))]
    inner = [
        (slope[i - 1] * gaps[i] + slope[i] * gaps[i - 1]) / (gaps[i - 1] + gaps[i])
        for i in range(1, len(gaps))
    ]
    if inner:  # at a free end the curvature is zero, as where a pen lands
        first = (slope[0] * 3 - inner[0]) / 2
        last = (slope[-1] * 3 - inner[-1]) / 2
    else:
        first = last = slope[0]
    if points[0] == points[-1]:
        first = last = (slope[-1] * gaps[0] + slope[0] * gaps[-1]) / (gaps[0] + gaps[-1])
    tangent = [first, *inner, last]
    rows = []
    for place in at:
        i = min(int(place), len(gaps) - 1)
        t = place - i
        s = 1 - t
        rows.append(
            values[i] * (s * s * (1 + 2 * t)) + values[i + 1] * (t * t * (3 - 2 * t))
            + (tangent[i] * (s * s * t) - tangent[i + 1] * (t * t * s)) * gaps[i]
        )  # fmt: skip
    return np.stack(rows)


def _arc(points: Stroke, fine: int = 32) -> tuple[list[float], list[float]]:
    """Return places along a piece (in spans) and the length of the curve up to each."""
    at = [i / fine for i in range(fine * (len(points) - 1) + 1)]
    curve = _spline(points, at, np.array(points, dtype=np.float64))
    length = [0.0]
    for step in (curve[1:] - curve[:-1]).tolist():
        length.append(length[-1] + math.sqrt(step[0] * step[0] + step[1] * step[1]))
    return at, length


def _even(at: list[float], length: list[float], count: int) -> list[float]:
    """Return ``count + 1`` places that cut the piece into parts of equal length."""
    places, j = [], 0
    for k in range(count + 1):
        want = length[-1] * k / count
        while j < len(length) - 2 and length[j + 1] < want:
            j += 1
        part = (want - length[j]) / (length[j + 1] - length[j])
        places.append(at[j] + (at[j + 1] - at[j]) * min(part, 1.0))
    return places


@lru_cache(maxsize=1)
def table() -> Table:
    """Work out the tables of all glyphs; sums and square roots only, in a fixed order."""
    glyphs = [strokes for row in GLYPHS for _, strokes in row]
    controls = [list(dict.fromkeys(p for stroke in s for p in stroke)) for s in glyphs]
    most = max(map(len, controls))
    control = np.zeros((len(glyphs), most, 2))
    index = np.zeros((len(glyphs), SEGMENTS + 1, 4), dtype=np.int64)
    weight = np.zeros((len(glyphs), SEGMENTS + 1, 4))
    pen = np.ones((len(glyphs), SEGMENTS))
    for g, (strokes, known) in enumerate(zip(glyphs, controls, strict=True)):
        points = np.array(known) / 100
        control[g, : len(known)] = points - (points.min(0) + points.max(0)) / 2
        pieces = _pieces(strokes)
        arcs = [_arc(piece) for piece in pieces]
        free = SEGMENTS - (len(pieces) - 1)
        counts = [1] * len(pieces)
        for _ in range(free - len(pieces)):  # the next segment goes where segments are longest
            longest = max(range(len(pieces)), key=lambda i: arcs[i][1][-1] / counts[i])
            counts[longest] += 1
        k = 0
        for piece, arc, count in zip(pieces, arcs, counts, strict=True):
            unit = np.eye(len(known))[[known.index(p) for p in piece]]
            for row in _spline(piece, _even(*arc, count), unit):
                used = np.flatnonzero(row)
                index[g, k, : len(used)], weight[g, k, : len(used)] = used, row[used]
                k += 1
            if k <= SEGMENTS:
                pen[g, k - 1] = 0
    return Table(control, index, weight, pen)
