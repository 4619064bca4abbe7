"""The curves and the ink under the drawn digits, against slow and obvious references."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from course_lib.data import glyphs, pen


def test_splitmix64_gives_the_outputs_of_its_reference() -> None:
    states = np.array([0, 1234567], dtype=np.uint64) + pen.GOLDEN
    assert pen._mix(states).tolist() == [0xE220A8397B1DCDAF, 6457827717110365317]


def test_noise_has_mean_0_and_variance_1() -> None:
    noise = pen._bell(pen.random_bits(np.arange(5_000), 0, 20))
    assert abs(noise.mean()) < 4.5 / noise.size**0.5
    assert abs(noise.var() - 1) < 4.5 * (1.7 / noise.size) ** 0.5  # kurtosis 2.7
    assert np.abs(noise).max() < 3.5
    assert np.abs(np.corrcoef(noise.T) - np.eye(20)).max() < 4.5 / 5_000**0.5
    smooth = pen._smooth(noise)
    assert abs(smooth[:, 1:-1].var() - 1) < 0.05
    assert np.corrcoef(smooth[:, 5], smooth[:, 6])[0, 1] > 0.5


def test_sine_and_cosine_are_those_of_the_library() -> None:
    degrees = np.linspace(-45, 45, 91)
    sin, cos = pen._sin_cos(degrees)
    np.testing.assert_allclose(sin, np.sin(np.radians(degrees)), atol=1e-6)
    np.testing.assert_allclose(cos, np.cos(np.radians(degrees)), atol=1e-6)


def test_lines_pass_through_their_control_points_in_even_steps() -> None:
    table = glyphs.table()
    np.testing.assert_allclose(table.weight.sum(-1), 1, atol=1e-12)
    flat = [(digit, name, s) for digit, row in enumerate(glyphs.GLYPHS) for name, s in row]
    for g, (digit, name, strokes) in enumerate(flat):
        points = (table.weight[g][..., None] * table.control[g][table.index[g]]).sum(1)
        control = np.array(sorted({p for stroke in strokes for p in stroke})) / 100
        control -= (control.min(0) + control.max(0)) / 2
        near = np.abs(points[:, None] - control).max(-1).min(0)
        assert near.max() < 0.05, f"the {name} {digit} misses a control point"
        steps = np.sqrt(((points[1:] - points[:-1]) ** 2).sum(-1))[table.pen[g] == 1]
        assert steps.max() < 0.12
        assert steps.max() < 1.1 * np.median(steps), f"the {name} {digit} has uneven segments"
        # One jump for each corner and each lift of the pen.
        breaks = sum(p == q for s in strokes for p, q in itertools.pairwise(s))
        assert (table.pen[g] == 0).sum() == breaks + len(strokes) - 1


def test_a_closed_curve_closes_smoothly() -> None:
    table = glyphs.table()
    g = 0  # the closed zero
    points = (table.weight[g][..., None] * table.control[g][table.index[g]]).sum(1)
    np.testing.assert_allclose(points[0], points[-1], atol=1e-12)
    first, last = points[1] - points[0], points[-1] - points[-2]
    turn = math.degrees(math.acos(first @ last / np.sqrt((first @ first) * (last @ last))))
    assert turn < 25  # about what it turns between any two of the 40 segments


def slow_ink(points: np.ndarray, radius: np.ndarray, lifted: np.ndarray, size: int) -> np.ndarray:
    """The ink of one image in float64, each pixel against each segment."""
    at = np.arange(size) + 0.5
    pixel = np.stack(np.meshgrid(at, at), -1)
    rho = np.full((size, size), np.inf)
    for k in range(glyphs.SEGMENTS):
        a, b = points[k], points[k + 1] if lifted[k] else points[k]
        along = ((pixel - a) @ (b - a)) / max((b - a) @ (b - a), 1e-12)
        nearest = a + np.clip(along, 0, 1)[..., None] * (b - a)
        rho = np.minimum(rho, np.sqrt(((pixel - nearest) ** 2).sum(-1)) / radius[k])
    mean = (radius[0] + radius[-1]) / 2
    return np.clip((1 - rho) * mean + 0.5, 0, 1) * min(2 * mean, 1)


@pytest.mark.parametrize("size", [9, 14, 28, 56])
def test_ink_is_that_of_the_nearest_segment(size: int) -> None:
    num = 30
    factors = {
        "class": np.arange(num) // 3,
        "style": np.arange(num) % 3,
        "hand": np.arange(num) + 1000,
        **{name: np.linspace(low, high, num) for name, low, high in (
            ("slant", -0.25, 0.35), ("angle", 10, -10), ("scale", 1.02, 0.82), ("aspect", 0.8, 1.2),
            ("shift_x", -9, 9), ("shift_y", 9, -9))},
        "width": np.tile([1.5, 2.5, 3.5], 10),
    }  # fmt: skip
    points, radius, lifted = pen.trace(factors, size)  # the shifts push some off the paper
    ink = pen.draw_ink(points, radius, lifted, size)
    assert ink.dtype == np.float32
    for i in range(num):
        np.testing.assert_allclose(
            ink[i], slow_ink(points[i], radius[i], lifted[i], size), atol=2e-5
        )
