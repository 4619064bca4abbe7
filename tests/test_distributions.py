"""The pixel likelihoods: against high precision, quadrature, and their own samples."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions as td

from course_lib.distributions import Bernoulli, ContinuousBernoulli, DiscretizedLogistic

mp = pytest.importorskip("mpmath")  # comes with torch, by way of sympy
DOUBLE = torch.float64
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=["float32", "float64"])


@pytest.fixture(autouse=True)
def _precise():
    with mp.workdps(60):
        yield


def close(got, expected, rel):
    return abs(got - float(expected)) <= rel * max(1.0, abs(float(expected)))


# discretized logistic


def logistic_level(level, top, loc, log_scale):
    """log P(level) by the definition, a difference of two CDFs, in 60 digits."""

    def cdf(edge):
        return 1 / (1 + mp.exp(-(edge - loc) / mp.exp(log_scale)))

    upper = 1 if level == top else cdf((mp.mpf(level) + 0.5) / top)
    lower = 0 if level == 0 else cdf((mp.mpf(level) - 0.5) / top)
    return mp.log(upper - lower)


@DTYPES
@pytest.mark.parametrize("log_scale", [-6.0, -4.0, -1.0, 0.0, 3.0, 20.0])
@pytest.mark.parametrize("loc", [-1.0, 0.0, 0.2, 0.7311, 1.0, 2.0])
def test_logistic_log_prob_in_high_precision(loc, log_scale, dtype):
    # At small scales the float32 pixel itself is off by 6e-8 / scale of the logistic's tail.
    rel = 1e-13 if dtype is DOUBLE else 1e-6 * max(1.0, 0.1 * math.exp(-log_scale))
    d = DiscretizedLogistic(torch.tensor(loc, dtype=dtype), torch.tensor(log_scale, dtype=dtype))
    stored = mp.mpf(d.loc.item())
    with mp.workdps(1500):  # the plain difference of CDFs needs them in the tails
        for level in (0, 1, 127, 254, 255):
            got = d.log_prob(torch.tensor(level, dtype=dtype) / 255).item()
            assert close(got, logistic_level(level, 255, stored, log_scale), rel)


@settings(max_examples=40, deadline=None)
@given(
    loc=st.floats(-3, 4),
    log_scale=st.floats(-700, 700),
    levels=st.sampled_from([2, 3, 16, 256]),
)
def test_logistic_sums_to_one(loc, log_scale, levels):
    d = DiscretizedLogistic(torch.tensor(loc).double(), torch.tensor(log_scale).double(), levels)
    grid = d.enumerate_support()
    assert grid.shape == (levels,)
    assert abs(d.log_prob(grid).exp().sum().item() - 1) < 1e-12


def test_logistic_with_two_levels_is_a_bernoulli():
    loc, log_scale = torch.randn(2, 50, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    x = (torch.arange(50) % 2).double()
    bernoulli = td.Bernoulli(logits=(loc - 0.5) / log_scale.exp())
    got = DiscretizedLogistic(loc, log_scale, levels=2).log_prob(x)
    torch.testing.assert_close(got, bernoulli.log_prob(x))


@DTYPES
@pytest.mark.parametrize("log_scale", [-1e4, -100.0, -60.0, -20.0, -7.0, 7.0, 60.0, 1e4])
def test_logistic_is_finite_with_finite_gradients_at_any_scale(log_scale, dtype):
    loc = torch.tensor([[-2.0], [0.0], [0.5], [1.0], [3.0]], dtype=dtype, requires_grad=True)
    log_scale = torch.tensor(log_scale, dtype=dtype, requires_grad=True)
    d = DiscretizedLogistic(loc, log_scale)
    grid = torch.tensor([0, 1, 127, 128, 254, 255], dtype=dtype) / 255
    value = d.log_prob(grid)
    value.sum().backward()
    assert value.isfinite().all()
    assert loc.grad.isfinite().all()
    assert log_scale.grad.isfinite()


def test_logistic_far_tail_in_float32_where_a_difference_of_sigmoids_is_zero():
    d = DiscretizedLogistic(torch.tensor(0.0), torch.tensor(-7.0))
    got = d.log_prob(torch.tensor(200 / 255)).item()
    with mp.workdps(1500):
        assert close(got, logistic_level(200, 255, mp.mpf(0), -7), 1e-5)
    assert got < -800


def test_logistic_gradcheck():
    torch.manual_seed(0)
    x = torch.tensor([0, 3, 200, 255], dtype=DOUBLE) / 255
    args = [torch.rand(4, dtype=DOUBLE), -3 * torch.rand(4, dtype=DOUBLE)]
    for a in args:
        a.requires_grad_()
    assert torch.autograd.gradcheck(lambda m, s: DiscretizedLogistic(m, s).log_prob(x), args)
    assert torch.autograd.gradcheck(lambda m, s: DiscretizedLogistic(m, s, 8).mean, args)
    assert torch.autograd.gradcheck(lambda m, s: DiscretizedLogistic(m, s, 8).variance, args)


@pytest.mark.parametrize(("loc", "log_scale"), [(0.1, -2.5), (0.5, -1.0), (1.2, -3.0), (0.4, -6.0)])
def test_logistic_samples_follow_the_density(loc, log_scale):
    torch.manual_seed(0)
    n, levels = 100_000, 16
    d = DiscretizedLogistic(torch.tensor(loc), torch.tensor(log_scale), levels)
    x = d.sample((n,))
    assert x.dtype == torch.float32
    assert d.support.check(x).all()
    counts = torch.bincount((x * (levels - 1)).round().long(), minlength=levels).double()
    probs = d.log_prob(d.enumerate_support()).double().exp()
    often = n * probs > 20
    chi2 = ((counts - n * probs)[often].square() / (n * probs[often])).sum().item()
    degrees = max(int(often.sum()) - 1, 1)
    assert chi2 < degrees + 5 * math.sqrt(2 * degrees) + 5
    rare = probs[~often].sum().item()
    assert abs(counts[~often].sum().item() - n * rare) < 5 * math.sqrt(n * rare) + 3


@DTYPES
def test_logistic_moments_by_enumeration(dtype):
    loc = torch.tensor([-1.0, 0.0, 0.31, 0.5, 1.0, 3.0], dtype=dtype)
    log_scale = torch.tensor([[-20.0], [-6.0], [-3.0], [0.0], [5.0]], dtype=dtype)
    d = DiscretizedLogistic(loc, log_scale, levels=32)
    exact = DiscretizedLogistic(loc.double(), log_scale.double(), levels=32)
    grid = exact.enumerate_support()
    p = exact.log_prob(grid).exp()
    mean = (p * grid).sum(0)
    variance = (p * (grid - mean).square()).sum(0)
    tolerance = {"rtol": 1e-11, "atol": 1e-13} if dtype is DOUBLE else {"rtol": 2e-4, "atol": 2e-7}
    torch.testing.assert_close(d.mean.double(), mean, **tolerance)
    torch.testing.assert_close(d.variance.double(), variance, **tolerance)


def test_logistic_small_variances_keep_their_digits_in_float32():
    loc, log_scale = torch.full((5,), 0.9), torch.linspace(-9.0, -5.0, 5)
    got = DiscretizedLogistic(loc, log_scale).variance.double()
    exact = DiscretizedLogistic(loc.double(), log_scale.double()).variance
    torch.testing.assert_close(got, exact, rtol=1e-3, atol=0)


def test_logistic_refuses_values_off_its_grid():
    d = DiscretizedLogistic(torch.zeros(3), torch.zeros(3))
    eight_bit = torch.arange(256, dtype=torch.uint8)
    assert d.support.check(eight_bit.float() / 255).all()
    assert d.support.check(eight_bit.double() / 255).all()
    for bad in (0.3, -1 / 255, 256 / 255, math.nan):
        with pytest.raises(ValueError, match="not on the grid"):
            d.log_prob(torch.tensor([0.0, bad, 1.0]))
    with pytest.raises(ValueError, match="not on the grid"):
        d.expand((2, 3)).log_prob(torch.tensor([0.0, 0.3, 1.0]))
    with pytest.raises(ValueError, match="not on the grid"):
        td.Independent(d, 1).log_prob(torch.tensor([0.0, 0.3, 1.0]))
    with pytest.raises(ValueError, match="not broadcastable"):
        d.log_prob(torch.zeros(4))
    sixteen_bit = DiscretizedLogistic(0.0, 0.0, levels=65536)
    assert sixteen_bit.support.check(torch.arange(65536).float() * (1 / 65535)).all()
    loose = DiscretizedLogistic(torch.zeros(3), torch.zeros(3), validate_args=False)
    near = torch.tensor([0.0, 0.3, 1.0])
    torch.testing.assert_close(loose.expand((2, 3)).log_prob(near)[0], loose.log_prob(near))
    torch.testing.assert_close(loose.log_prob(near), d.log_prob((near * 255).round() / 255))


def test_logistic_refuses_bad_parameters():
    for levels in (1, 2.0, True):
        with pytest.raises(ValueError, match="levels is"):
            DiscretizedLogistic(0.0, 0.0, levels)
    with pytest.raises(ValueError, match="loc"):
        DiscretizedLogistic(torch.tensor(math.nan), 0.0)


# Bernoulli


@DTYPES
@pytest.mark.parametrize("logit", [0.0, 1e-6, -0.3, 1.0, -5.0, 16.0, -20.0, 40.0, -80.0, 500.0])
def test_bernoulli_log_prob_and_gradient_in_high_precision(logit, dtype):
    logits = torch.tensor(logit, dtype=dtype, requires_grad=True)
    rel = 1e-15 if dtype is DOUBLE else 3e-7
    exact = mp.mpf(logits.item())
    softplus = mp.log1p(mp.exp(exact))
    for value in (0.0, 0.3, 1.0):
        x = torch.tensor(value, dtype=dtype)
        log_prob = Bernoulli(logits=logits).log_prob(x) if value in (0, 1) else None
        grey = Bernoulli(logits=logits, validate_args=False).log_prob(x)
        assert log_prob is None or log_prob == grey
        assert close(grey.item(), exact * mp.mpf(x.item()) - softplus, rel)
        (gradient,) = torch.autograd.grad(grey, logits)
        assert close(gradient.item(), mp.mpf(x.item()) - mp.exp(exact - softplus), rel)
    # A black pixel that the model is sure of keeps its digits, however little it costs.
    black = Bernoulli(logits=-logits.abs()).log_prob(torch.zeros((), dtype=dtype)).item()
    expected = float(-mp.log1p(mp.exp(-abs(exact))))
    assert black == pytest.approx(expected, rel=4 * torch.finfo(dtype).eps, abs=1e-37)


def test_bernoulli_equals_torch_wherever_it_is_called():
    torch.manual_seed(0)
    logits = 4 * torch.randn(3, 1, 5, dtype=DOUBLE)
    x = torch.bernoulli(torch.full((2, 5), 0.5, dtype=DOUBLE))
    own, torchs = Bernoulli(logits=logits), td.Bernoulli(logits=logits)
    torch.testing.assert_close(own.log_prob(x), torchs.log_prob(x))
    torch.testing.assert_close(own.expand((3, 2, 5)).log_prob(x), torchs.log_prob(x))
    with pytest.raises(ValueError, match="support"):
        own.log_prob(x / 2)

    def log_prob(a):
        return Bernoulli(logits=a, validate_args=False).log_prob(x)

    a = logits.requires_grad_()
    assert torch.autograd.gradcheck(log_prob, a)
    assert torch.autograd.gradgradcheck(log_prob, a)
    mapped = torch.vmap(log_prob)(a.detach())
    torch.testing.assert_close(mapped, torchs.log_prob(x).detach())


def test_compiled_bernoulli_keeps_its_digits(compiler):
    a = torch.linspace(-30, 30, 64, requires_grad=True)
    x = torch.tensor([0.0, 1.0]).repeat(32)

    def loss(a):
        return Bernoulli(logits=a, validate_args=False).log_prob(x)

    compiled = torch.compile(loss)(a)
    torch.testing.assert_close(compiled, loss(a), rtol=1e-6, atol=1e-12)
    slopes = [torch.autograd.grad(f.sum(), a)[0] for f in (compiled, loss(a))]
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-12)


# continuous Bernoulli

LOGITS = [0.0, 1e-6, 0.006, -0.2499, 0.25, 1.0, -5.0, 15.0, 20.0, -40.0, 90.0, -1e3, 1e6]


@DTYPES
@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_in_high_precision(logit, dtype):
    logits = torch.tensor(logit, dtype=dtype, requires_grad=True)
    rel = 1e-14 if dtype is DOUBLE else 1e-6
    exact = mp.mpf(logits.item())
    d = ContinuousBernoulli(logits)
    if exact == 0:
        log_norm, mean, variance = mp.mpf(0), mp.mpf(1) / 2, mp.mpf(1) / 12
    else:
        size = abs(exact)
        log_norm = mp.log(size / -mp.expm1(-size)) - max(exact, 0)
        mean = 1 / -mp.expm1(-exact) - 1 / exact
        variance = 1 / exact**2 - mp.exp(-size) / mp.expm1(-size) ** 2
    for value in (0.0, 0.3, 0.9, 1.0):
        x = torch.tensor(value, dtype=dtype)
        log_prob = d.log_prob(x)
        (gradient,) = torch.autograd.grad(log_prob, logits)
        pixel = mp.mpf(x.item())
        assert close(log_prob.item(), exact * pixel + log_norm, rel)
        assert close(gradient.item(), pixel - mean, rel)  # d log p / d logits = x - mean
    assert close(d.mean.item(), mean, rel)
    assert close(d.variance.item() / float(variance), 1, 1e-4 if dtype is torch.float32 else 1e-12)
    (skew,) = torch.autograd.grad(d.variance, logits)
    assert skew.isfinite()
    (slope,) = torch.autograd.grad(d.mean, logits)  # d mean / d logits = variance
    assert close(slope.item() / float(variance), 1, 1e-4 if dtype is torch.float32 else 1e-12)


@pytest.mark.parametrize("logit", [0.0, 0.006, 3.0, 17.0, -40.0, 200.0])
def test_continuous_bernoulli_integrates_to_one_in_float32(logit):
    d = ContinuousBernoulli(torch.tensor(logit))
    x = torch.linspace(0, 1, 100_001)
    assert torch.trapezoid(d.log_prob(x).exp().double(), x.double()).item() == pytest.approx(
        1, abs=1e-5
    )


def test_continuous_bernoulli_equals_torch_where_torch_is_right():
    torch.manual_seed(0)
    logits, x = 4 * torch.randn(2, 200, dtype=DOUBLE)
    x = torch.sigmoid(x)
    reference = td.ContinuousBernoulli(logits=logits)
    d = ContinuousBernoulli(logits)
    torch.testing.assert_close(d.log_prob(x), reference.log_prob(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(d.mean, reference.mean, rtol=1e-9, atol=1e-9)


def test_continuous_bernoulli_gradcheck():
    x = torch.tensor([0.01, 0.2, 0.7, 0.99], dtype=DOUBLE, requires_grad=True)
    logits = torch.tensor([-3.0, 0.0, 0.1, 8.0], dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, x: ContinuousBernoulli(a).log_prob(x), (logits, x))
    assert torch.autograd.gradcheck(lambda a: ContinuousBernoulli(a).mean, logits)
    assert torch.autograd.gradcheck(lambda a: ContinuousBernoulli(a).variance, logits)


@pytest.mark.parametrize("logit", [0.0, 1e-8, 0.3, -4.0, 30.0, -1000.0])
def test_continuous_bernoulli_samples_follow_the_density(logit):
    stats = pytest.importorskip("scipy.stats")
    torch.manual_seed(0)
    x = ContinuousBernoulli(torch.tensor(logit)).sample((20_000,))
    assert x.dtype == torch.float32
    assert x.min() >= 0
    assert x.max() <= 1

    def cdf(x):
        grid = torch.as_tensor(x, dtype=DOUBLE)
        if logit == 0:
            return grid.numpy()
        return (torch.expm1(logit * grid) / math.expm1(logit)).numpy()

    assert stats.kstest(x.double().numpy(), cdf).pvalue > 1e-4


def test_continuous_bernoulli_refuses_values_outside_the_unit_interval():
    d = ContinuousBernoulli(torch.zeros(2))
    for checked in (d, d.expand((3, 2))):
        with pytest.raises(ValueError, match="support"):
            checked.log_prob(torch.tensor([0.5, 1.5]))
    loose = ContinuousBernoulli(torch.zeros(2), validate_args=False).expand((3, 2))
    assert loose.log_prob(torch.tensor([0.5, 1.5])).shape == (3, 2)


# both


@pytest.mark.parametrize("levels", [None, 256])
def test_shapes_expand_and_half_precision(levels):
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 3, 2, 2)
    a.requires_grad_()
    d = ContinuousBernoulli(a) if levels is None else DiscretizedLogistic(a, b[:, :1], levels)
    assert d.batch_shape == (4, 3, 2, 2)
    assert d.event_shape == ()
    image = td.Independent(d, 3)
    x = image.sample((5,))
    assert x.shape == (5, 4, 3, 2, 2)
    assert not x.requires_grad
    assert image.log_prob(x).shape == (5, 4)
    assert image.mean.shape == image.variance.shape == (4, 3, 2, 2)
    wide = d.expand((6, 4, 3, 2, 2))
    assert wide.batch_shape == (6, 4, 3, 2, 2)
    torch.testing.assert_close(wide.log_prob(x[0])[2], d.log_prob(x[0]))
    assert wide.sample().shape == (6, 4, 3, 2, 2)
    low = (a.bfloat16(), b.bfloat16())
    half = ContinuousBernoulli(low[0]) if levels is None else DiscretizedLogistic(*low, levels)
    assert half.log_prob(x[0]).dtype == torch.float32
    same = (low[0].float(), low[1].float())
    full = ContinuousBernoulli(same[0]) if levels is None else DiscretizedLogistic(*same, levels)
    torch.testing.assert_close(half.log_prob(x[0]), full.log_prob(x[0]))
    scalar = ContinuousBernoulli(0.5) if levels is None else DiscretizedLogistic(0.5, -2.0)
    assert scalar.sample().shape == ()


@pytest.mark.cuda
def test_densities_on_cuda_equal_the_cpu():
    torch.manual_seed(0)
    a, b = torch.randn(2, 50, dtype=DOUBLE)
    x = torch.randint(256, (50,)).double() / 255
    for make in (lambda a, b: DiscretizedLogistic(a, b), lambda a, b: ContinuousBernoulli(9 * a)):
        here, there = make(a, b), make(a.cuda(), b.cuda())
        torch.testing.assert_close(there.log_prob(x.cuda()).cpu(), here.log_prob(x))
        torch.testing.assert_close(there.variance.cpu(), here.variance)
        assert there.support.check(there.sample((9,))).all()
