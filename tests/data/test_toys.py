"""Toys: each density integrates to one, and its sampler draws from that very density."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from course_lib.data import toys
from course_lib.data.planar import EqualGaussians

F64 = {"dtype": torch.float64}
VARIANTS = {
    "ring": {},
    "ring of one": {"modes": 1, "radius": 1.0, "scale": 0.5},
    "ring of five": {"modes": 5, "radius": 3.0, "scale": 0.3},
    "banana": {},
    "banana upside down": {"bend": -0.3, "width": 1.2, "thickness": 0.2},
    "two_moons": {},
    "two_moons thick": {"radius": 1.0, "scale": 0.4},
    "checkerboard": {},
    "checkerboard of two": {"squares": 2, "width": 5.0},
    "checkerboard of six": {"squares": 6, "width": 3.6},
    "spiral": {},
    "spiral tight": {"turns": 2.5, "radius": 2.0, "scale": 0.15},
}


def make(variant: str, **options) -> Distribution:
    return toys.load_toy(variant.split()[0], **{**VARIANTS[variant], **options})


def cells(side: int, parts: int) -> tuple[torch.Tensor, float]:
    """Midpoints of ``parts^2`` pieces of each of ``side^2`` cells of [-6, 6]^2, and a piece's area.

    Shape ``[side, side, parts, parts, 2]``, axes: cell in x, cell in y, piece in x, piece in y.
    The boards below have their edges between pieces, and no density is narrower than two pieces.
    """
    h = 12 / (side * parts)
    middle = (-6 + h * (torch.arange(side * parts, dtype=torch.float64) + 0.5)).view(side, parts)
    x = middle[:, None, :, None].expand(side, side, parts, parts)
    return torch.stack([x, x.transpose(0, 1).transpose(2, 3)], -1), h * h


@pytest.mark.parametrize("variant", VARIANTS)
def test_density_integrates_to_one(variant):
    points, area = cells(40, 6)
    assert make(variant, **F64).log_prob(points).exp().sum() * area == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_sampler_draws_from_the_density(variant):
    toy = make(variant, **F64)
    side, parts, draws = 40, 6, 100_000
    points, area = cells(side, parts)
    expected = toy.log_prob(points).exp().sum((2, 3)) * area * draws

    torch.manual_seed(0)
    x = toy.sample((draws,))
    index = ((x + 6) * (side / 12)).floor().long()
    index = index[((index >= 0) & (index < side)).all(-1)]
    found = torch.bincount(index[:, 0] * side + index[:, 1], minlength=side**2).double()
    expected = expected.flatten()

    # All else is one cell: where few are expected a count is not nearly normal.
    often = expected >= 20
    found, expected = (
        torch.cat([n[often], draws - n[often].sum()[None]]) for n in (found, expected)
    )
    expected = expected.clamp(min=1)
    assert ((found - expected).abs() <= 5 * expected.sqrt()).all()
    freedom = len(found) - 1
    assert abs(((found - expected) ** 2 / expected).sum() - freedom) < 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if "banana" not in v])
def test_mean_and_variance_are_those_of_the_samples(variant):
    toy = make(variant, **F64)
    torch.manual_seed(0)
    x = toy.sample((100_000,))
    assert ((x.mean(0) - toy.mean).abs() < 5 * (toy.variance / len(x)).sqrt()).all()
    fourth = (x - toy.mean).pow(4).mean(0)
    assert (
        (x.var(0) - toy.variance).abs() < 5 * ((fourth - toy.variance**2) / len(x)).sqrt()
    ).all()


@settings(max_examples=25)
@given(
    shape=array_shapes(min_dims=0, max_dims=3, max_side=4),
    name=st.sampled_from(sorted(toys.TOYS)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_any_shape_goes_in_and_comes_out(shape, name, dtype):
    toy = toys.load_toy(name, dtype=dtype)
    assert isinstance(toy, Distribution)
    assert toy.batch_shape == ()
    assert toy.event_shape == (2,)
    x = toy.sample(shape)
    assert x.shape == (*shape, 2)
    assert x.dtype == dtype
    assert not x.requires_grad
    log_p = toy.log_prob(x)
    assert log_p.shape == shape
    assert log_p.dtype == dtype
    assert log_p.isfinite().all()  # no sample where its own density is 0
    one_by_one = torch.stack([toy.log_prob(row) for row in x.reshape(-1, 2)])
    torch.testing.assert_close(log_p.flatten(), one_by_one)


@pytest.mark.parametrize("name", toys.TOYS)
def test_both_precisions_give_the_same_density(name):
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * 2
    double = toys.load_toy(name, dtype=torch.float64).log_prob(x.double())
    torch.testing.assert_close(
        toys.load_toy(name).log_prob(x).double(), double, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", [n for n in toys.TOYS if n != "checkerboard"])
def test_scores_are_right(name):
    toy = toys.load_toy(name, dtype=torch.float64)
    x = toy.sample((5,)).requires_grad_()
    assert torch.autograd.gradcheck(toy.log_prob, x)


@pytest.mark.parametrize("name", toys.TOYS)
def test_nearly_everything_lies_where_the_docstring_says(name):
    torch.manual_seed(0)
    assert (toys.load_toy(name).sample((10_000,)).abs() < 4).all(-1).double().mean() > 0.99


def test_ring_is_torchs_own_mixture():
    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    centers = 2 * torch.stack([angle.cos(), angle.sin()], -1)
    reference = MixtureSameFamily(
        Categorical(torch.ones(8, dtype=torch.float64)),
        Independent(Normal(centers, torch.tensor(0.2, dtype=torch.float64)), 1),
    )
    x = 3 * torch.randn(7, 50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(toys.ring(**F64).log_prob(x), reference.log_prob(x))
    torch.testing.assert_close(toys.ring(**F64).mean, reference.mean)
    torch.testing.assert_close(toys.ring(**F64).variance, reference.variance)


def test_two_moons_are_smooth_along_the_arc():
    # The chain must not be seen: along the middle of a moon the density hardly changes.
    angle = torch.linspace(0.35 * math.pi, 0.65 * math.pi, 200, dtype=torch.float64)
    arc = 1.5 * torch.stack([angle.cos(), angle.sin()], -1) - torch.tensor([0.75, 0.375])
    lone = EqualGaussians(toys.two_moons(**F64).centers[:32], 0.15).log_prob(arc)
    assert lone.max() - lone.min() < 1e-5


def test_spiral_is_smooth_along_the_arm():
    for options in (VARIANTS["spiral"], VARIANTS["spiral tight"], {"scale": 0.05}):
        toy = toys.spiral(**options, **F64)
        gaps = toy.centers.diff(dim=0).norm(dim=-1)
        assert gaps.max() < 1.5 * toy.scale
        assert gaps[len(gaps) // 4 :].max() < 1.1 * gaps[len(gaps) // 4 :].min()


def test_banana_is_symmetric_centered_and_reparameterized():
    toy = make("banana upside down", **F64)
    x = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(toy.log_prob(x), toy.log_prob(x * torch.tensor([-1.0, 1.0])))
    torch.manual_seed(0)
    draws = toy.rsample((100_000,))
    assert (draws.mean(0).abs() < 5 * draws.std(0) / 100_000**0.5).all()
    straight = toys.banana(bend=0.0, **F64)
    torch.testing.assert_close(straight.log_prob(x), straight.base_dist.log_prob(x))


def test_checkerboard_has_no_density_on_white_squares():
    toy = toys.checkerboard()
    black = toy.log_prob(torch.tensor([[-2.9, -2.9], [2.9, 2.9], [-0.1, -0.1], [-2.0, 1.0]]))
    torch.testing.assert_close(black, torch.full((4,), -math.log(18.0)))
    white = toy.log_prob(torch.tensor([[-2.9, 2.9], [0.1, -0.1], [3.1, 3.1], [-3.1, -3.1]]))
    assert (white == -math.inf).all()


def test_checkerboard_samples_never_round_over_an_edge(monkeypatch):
    real = torch.rand

    def edges(*shape, **options):  # the worst that torch.rand can give
        return torch.where(real(*shape, **options) < 0.5, 0.0, 1 - 2**-24)

    monkeypatch.setattr(torch, "rand", edges)
    for squares, width in ((4, 6.0), (6, 3.3), (16, 0.7), (2, 1e-3)):
        toy = toys.checkerboard(squares=squares, width=width)
        assert toy.log_prob(toy.sample((2000,))).isfinite().all()


def test_whole_numbers_may_come_from_numpy():
    assert len(toys.ring(np.int64(4)).centers) == 4
    x = torch.tensor([[-2.9, -2.9], [-2.9, 2.9]])
    board = toys.checkerboard(np.int64(4))
    assert torch.equal(board.log_prob(x), toys.checkerboard(4).log_prob(x))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: toys.load_toy("two_moon"), "Unknown toy 'two_moon'. Did you mean 'two_moons'"),
        (lambda: toys.ring(modes=0), "modes is 0; a whole number"),
        (lambda: toys.ring(modes=2.5), "modes is 2.5; a whole number"),
        (lambda: toys.ring(scale="wide"), "scale is 'wide'; a finite number above 0"),
        (lambda: toys.banana(bend="left"), "bend is 'left'; a finite number"),
        (lambda: toys.checkerboard(squares=True), "squares is True; a whole number from 2"),
        (lambda: toys.ring(scale=0.0), "scale is 0.0; a finite number above 0"),
        (lambda: toys.ring(radius=float("nan")), "radius is nan"),
        (lambda: toys.banana(bend=float("inf")), "bend is inf"),
        (lambda: toys.banana(thickness=-1.0), "thickness is -1.0"),
        (lambda: toys.two_moons(scale=-1.0), "scale is -1.0"),
        (lambda: toys.spiral(turns=0.0), "turns is 0.0"),
        (lambda: toys.checkerboard(squares=3), "squares is 3; an even whole number"),
        (lambda: toys.checkerboard(width=float("inf")), "width is inf"),
        (lambda: toys.ring().log_prob(torch.zeros(4, 3)), "right-most size"),
        (lambda: toys.spiral().log_prob(torch.full((2,), float("nan"))), "support"),
    ],
)
def test_bad_input_gets_a_clear_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call()
