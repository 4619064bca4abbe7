"""Binarization: one Bernoulli draw per pixel, from the right distribution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from course_lib.data import binarization, binarize, fixed_binarization


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    shape=array_shapes(min_dims=4, max_dims=4, max_side=5),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 2**32),
)
def test_any_images_become_zeros_and_ones_of_their_type(shape, dtype, seed):
    x = torch.rand(shape, generator=generator(seed)).to(dtype)
    before = x.clone()
    y = binarize(x, generator(seed))
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert ((y == 0) | (y == 1)).all()
    assert torch.equal(x, before)


@pytest.mark.parametrize("u", [0.0, 1 - 2**-24])
def test_certain_pixels_stay_whatever_is_drawn(monkeypatch, u):
    x = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    monkeypatch.setattr(binarization, "_uniform", lambda *_: torch.full((2,), u))
    assert torch.equal(binarize(x), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_pixel_is_one_with_its_own_probability(dtype):
    draws = 40_000
    p = (torch.arange(1, 255) / 255).to(dtype)
    mean = binarize(p.expand(draws, 1, 1, -1), generator()).double().mean((0, 1, 2))
    z = (mean - p.double()) / (p.double() * (1 - p.double()) / draws).sqrt()
    assert z.abs().max() < 5
    assert z.square().mean() == pytest.approx(1, abs=0.5)  # neither too loose nor too good


def test_faint_pixels_keep_their_probability():
    # A 16-bit uniform would give 0 or twice as much.
    p, draws = 2.0**-17, 20_000_000
    ones = binarize(torch.full((1, 1, 1, draws), p), generator()).sum(dtype=torch.float64)
    assert abs(ones - p * draws) < 5 * (p * draws) ** 0.5


def test_neighbours_are_independent():
    # Two pixels share a 64-bit draw of the generator: neither half may know of the other.
    y = binarize(torch.full((1, 1, 1000, 1000), 0.5), generator()).double().view(-1, 2)
    assert abs(((2 * y - 1).prod(1)).mean()) < 5 / len(y) ** 0.5


def test_the_uniform_numbers_are_uniform_multiples_and_never_one():
    u = binarization._uniform(1_000_001, torch.device("cpu"), generator())
    assert u.shape == (1_000_001,)
    assert (u >= 0).all()
    assert (u < 1).all()
    assert torch.equal(u * 2**24, (u * 2**24).round())
    for bit in range(24):
        ones = ((u * 2**24).to(torch.int64) >> bit & 1).double().mean()
        assert abs(ones - 0.5) < 5 * 0.5 / 1_000_001**0.5


def test_the_generator_decides_and_moves_on():
    x = torch.full((3, 1, 9, 9), 0.5)
    g = generator(1)
    first, second = binarize(x, g), binarize(x, g)
    assert not torch.equal(first, second)
    assert torch.equal(first, binarize(x, generator(1)))
    torch.manual_seed(1)
    assert torch.equal(first, binarize(x))


def test_fixed_is_the_same_at_each_call_and_leaves_torchs_generator_alone():
    x = torch.rand(6, 1, 9, 9, generator=generator())
    state = torch.get_rng_state()
    y = fixed_binarization(x)
    assert torch.equal(y, fixed_binarization(x))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(y, fixed_binarization(x, seed=1))
    assert torch.equal(y[:4], fixed_binarization(x[:4]))  # the first rows do not depend on the rest


def test_a_seed_that_is_none_gets_a_sentence():
    with pytest.raises(ValueError, match=r"seed is 0\.5; a whole number"):
        fixed_binarization(torch.zeros(1, 1, 2, 2), seed=0.5)


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (torch.full((1, 1, 2, 2), 1.01), ValueError, r"pixels from 1\.01"),
        (torch.full((1, 1, 2, 2), -0.1), ValueError, "pixels from -0.1"),
        (torch.full((1, 1, 2, 2), float("nan")), ValueError, "without NaN"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), TypeError, "float"),
        (torch.zeros(2, 2), ValueError, "shape"),
        (torch.zeros(0, 1, 2, 2), ValueError, "empty"),
        ([[0.5]], TypeError, "tensor"),
    ],
)
def test_bad_images_are_refused(x, error, says):
    with pytest.raises(error, match=says):
        binarize(x)
    with pytest.raises(error, match=says):
        fixed_binarization(x)
