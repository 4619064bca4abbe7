"""The hand that writes ``strokes``: its wobble, and the ink that its pen leaves on the pixels.

Everything here gives the same bits on every machine. Randomness is splitmix64 (Steele, Lea and
Flood 2014) in wrapping 64-bit integers, indexed by (hand, stream), so no state is carried from one
number to the next. After it come only operations that IEEE 754 rounds exactly (add, subtract,
multiply, divide, square root, minimum, maximum, floor, comparison), one array operation at a time
in a fixed order: no library transcendental, matrix product, summing reduction or fused operation.
"""

from __future__ import annotations

import math

import numpy as np

from course_lib.data.glyphs import SEGMENTS, table

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
WOBBLE = 0.027
"""Standard deviation of a control point's own displacement, in heights of the digit."""
BEND_X = (0.15, 0.27, 0.27, 0.22)
BEND_Y = (0.18, 0.18, 0.27, 0.27)
"""Standard deviations of the coefficients of the smooth deformation of the whole digit."""
PRESSURE = 0.12
"""Standard deviation of the pen's width along a digit, relative to its width."""
KNOTS = 5  # places along the digit where the pressure is drawn; linear between them
WOBBLE_STREAM = 64  # streams below are for the factors of an image


def random_bits(hand: np.ndarray, first: int, count: int) -> np.ndarray:
    """Return 64 random bits for each hand and stream: int64 ``[N]`` -> uint64 ``[N, count]``."""
    streams = np.arange(first + 1, first + count + 1, dtype=np.uint64) * GOLDEN
    return _mix(_mix(hand.astype(np.uint64) * GOLDEN + GOLDEN)[:, None] + streams)


def _mix(z: np.ndarray) -> np.ndarray:
    """Return the splitmix64 finalizer of uint64 ``z``: one-to-one, every bit depends on all."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _bell(bits: np.ndarray) -> np.ndarray:
    """Return float64 with mean 0, variance 1 and |value| < 3.5 (the sum of four uniforms)."""
    low = np.uint64(0xFFFF)
    total = sum((bits >> np.uint64(16 * i)) & low for i in range(4))
    return (total.astype(np.float64) - 131070.0) / 37837.0


def _smooth(noise: np.ndarray) -> np.ndarray:
    """Return noise ``[N, P]`` of unit variance in which neighbours go together."""
    padded = np.concatenate([noise[:, :1], noise, noise[:, -1:]], axis=1)
    return (noise + (padded[:, :-2] + padded[:, 2:]) * 0.5) / math.sqrt(1.5)


def trace(factors: dict[str, np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow the pen: from factors ``[N]`` to the line it draws, in pixels.

    Returns:
        ``points`` float64 ``[N, K+1, 2]`` (x right, y down, the image is ``[0, size]`` squared),
        ``radius`` float64 ``[N, K]`` of the pen on segment k, and ``pen`` float64 ``[N, K]``, 0
        where segment k is a jump with the pen lifted.
    """
    tables = table()
    glyph = factors["class"] * 3 + factors["style"]
    control = tables.control[glyph]
    num = control.shape[1]
    noise = _bell(random_bits(factors["hand"], WOBBLE_STREAM, 2 * num + 8 + KNOTS))
    x, y = control[..., 0], control[..., 1]
    bend = noise[:, 2 * num : 2 * num + 8, None]
    a = [bend[:, i] * BEND_X[i] for i in range(4)]
    b = [bend[:, 4 + i] * BEND_Y[i] for i in range(4)]
    xx, xy, yy = x * x, x * y, y * y
    moved_x = x + a[0] * yy + a[1] * xy + a[2] * (y * yy) + a[3] * xx
    moved_y = y + b[0] * xx + b[1] * xy + b[2] * yy + b[3] * (x * xy)
    moved_x = moved_x + _smooth(noise[:, :num]) * WOBBLE
    moved_y = moved_y + _smooth(noise[:, num : 2 * num]) * WOBBLE
    index, weight = tables.index[glyph], tables.weight[glyph]
    rows = np.arange(len(glyph))[:, None]
    x = y = 0.0
    for i in range(4):
        x = x + weight[..., i] * moved_x[rows, index[..., i]]
        y = y + weight[..., i] * moved_y[rows, index[..., i]]

    # The box around the digit gets height 1 and centre 0, so that the factors below are exact.
    left, right = x.min(1, keepdims=True), x.max(1, keepdims=True)
    top, bottom = y.min(1, keepdims=True), y.max(1, keepdims=True)
    x = (x - (left + right) / 2) / (bottom - top)
    y = (y - (top + bottom) / 2) / (bottom - top)
    f = {name: value.astype(np.float64)[:, None] for name, value in factors.items()}
    unit = size / 28
    x = x * f["aspect"] - f["slant"] * y
    sin, cos = _sin_cos(f["angle"])
    height = f["scale"] * (20 * unit)
    points = np.stack(
        [
            (x * cos - y * sin) * height + (f["shift_x"] * unit + size / 2),
            (x * sin + y * cos) * height + (f["shift_y"] * unit + size / 2),
        ],
        axis=-1,
    )
    along = np.arange(SEGMENTS) * ((KNOTS - 1) / SEGMENTS)
    knot = along.astype(np.int64)
    part = along - knot
    pressure = noise[:, -KNOTS:]
    pressure = pressure[:, knot] * (1 - part) + pressure[:, knot + 1] * part
    radius = f["width"] * (unit / 2) * (1 + PRESSURE * pressure)
    return points, radius, tables.pen[glyph]


def _sin_cos(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sine and cosine of at most 45 degrees to 1e-6, by their series."""
    t = degrees * (math.pi / 180)
    s = t * t
    sin = t * (1 - s / 6 * (1 - s / 20 * (1 - s / 42)))
    cos = 1 - s / 2 * (1 - s / 12 * (1 - s / 30 * (1 - s / 56)))
    return sin, cos


def draw_ink(points: np.ndarray, radius: np.ndarray, pen: np.ndarray, size: int) -> np.ndarray:
    """Lay ink along the lines of :func:`trace`: float32 ``[N, size, size]`` in [0, 1].

    A pixel's ink falls from 1 to 0 over one pixel across the edge of the nearest segment. Each
    segment visits only a window of pixels around it, for all N images at once.
    """
    num = len(points)
    start, end = points[:, :-1], points[:, 1:]
    step = (end - start) * pen[..., None]
    middle = start + step / 2
    length = np.sqrt(step[..., 0] * step[..., 0] + step[..., 1] * step[..., 1])
    safe = np.maximum(length, 1e-9)
    along_x, along_y = step[..., 0] / safe, step[..., 1] / safe
    along_x = np.where(length > 0, along_x, 1.0)  # a dot: any direction will do
    mean = radius[:, :1] * 0.5 + radius[:, -1:] * 0.5
    reach = radius * (1 + 0.5 / mean)
    span = np.maximum(np.abs(step[..., 0]), np.abs(step[..., 1])) + 2 * reach
    window = min(int(np.ceil(span.max())) + 1, size)
    corner = np.floor(middle - (window - 1) / 2)
    corner = np.minimum(np.maximum(corner, 0), size - window)  # all it reaches that is on the paper
    offset = np.arange(window) + 0.5
    # Distances are measured in pen radii: along and across each segment, by column and by row.
    dx = (corner[..., 0] - middle[..., 0])[..., None] + offset
    dy = (corner[..., 1] - middle[..., 1])[..., None] + offset
    along_x, along_y, half = (v / radius for v in (along_x, along_y, length / 2))

    def by_pixel(v: np.ndarray) -> np.ndarray:  # [N, K, W] -> [K, W, N]
        return np.ascontiguousarray(v.transpose(1, 2, 0), dtype=np.float32)

    col_along, row_along = by_pixel(dx * along_x[..., None]), by_pixel(dy * along_y[..., None])
    col_across, row_across = by_pixel(dx * along_y[..., None]), by_pixel(dy * along_x[..., None])
    half = np.ascontiguousarray(half.T, dtype=np.float32)
    corner = corner.astype(np.int64)
    first = (np.arange(num)[:, None] * size + corner[..., 1]) * size + corner[..., 0]
    first = np.ascontiguousarray(first.T)
    inside = (np.arange(window)[:, None] * size + np.arange(window))[..., None]

    nearest = np.full(num * size * size, 1e9, dtype=np.float32)  # squared, in pen radii
    u = np.empty((window, window, num), dtype=np.float32)
    v, old, where = np.empty_like(u), np.empty_like(u), np.empty(u.shape, dtype=np.int64)
    for k in range(SEGMENTS):
        np.add(row_along[k][:, None], col_along[k], out=u)
        np.abs(u, out=u)
        np.subtract(u, half[k], out=u)
        np.maximum(u, 0, out=u)
        np.multiply(u, u, out=u)
        np.subtract(row_across[k][:, None], col_across[k], out=v)
        np.multiply(v, v, out=v)
        np.add(u, v, out=u)
        np.add(inside, first[k], out=where)
        np.take(nearest, where, out=old, mode="clip")
        np.minimum(u, old, out=u)
        nearest[where] = u
    rho = np.sqrt(nearest).reshape(num, size, size)
    edge = mean.astype(np.float32)[..., None]
    ink = (1 - rho) * edge + np.float32(0.5)
    faint = np.minimum(edge * 2, 1)  # a pen thinner than a pixel never fills one
    return np.minimum(np.maximum(ink, 0), 1) * faint
