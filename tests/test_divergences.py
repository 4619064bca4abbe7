"""KL: closed forms against torch and quadrature, estimates against the closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions as td

from course_lib import divergences
from course_lib.divergences import (
    kl,
    kl_monte_carlo,
    kl_normal,
    kl_standard_normal,
    kl_values,
    log_ratio_samples,
    split_average_kl,
)
from course_lib.models import mlp_vae

DOUBLE = torch.float64


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Thousands of tiny operations: threads that wait for each other would only cost time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def diagonal(mu, logvar):
    return td.Independent(td.Normal(mu, torch.exp(0.5 * logvar)), 1)


@pytest.mark.parametrize(
    ("mu", "logvar", "expected"),
    [
        (0.0, 0.0, 0.0),
        (1.0, 0.0, 0.5),
        (0.0, math.log(4.0), 0.5 * (4 - 1 - math.log(4.0))),
        (0.0, -2.0, 0.5 * (math.exp(-2.0) + 1)),
        (2.0, 1.0, 0.5 * (4 + math.e - 2)),
    ],
)
def test_standard_normal_at_the_points_that_tell_formulas_apart(mu, logvar, expected):
    value = kl_standard_normal(torch.tensor([mu], dtype=DOUBLE), torch.tensor([logvar]).double())
    assert value.shape == ()
    # The log variance goes through float32 here.
    assert value.item() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_closed_forms_equal_torch_for_any_leading_shape(shape, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    mu_q, logvar_q, mu_p, logvar_p = 2 * torch.randn(4, *shape, generator=generator, dtype=dtype)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype is torch.float32 else {}
    q, p = diagonal(mu_q, logvar_q), diagonal(mu_p, logvar_p)
    prior = diagonal(torch.zeros_like(mu_q), torch.zeros_like(mu_q))
    got = kl_normal(mu_q, logvar_q, mu_p, logvar_p)
    assert got.dtype == dtype
    torch.testing.assert_close(got, td.kl_divergence(q, p), **tolerance)
    got = kl_standard_normal(mu_q, logvar_q)
    assert got.dtype == dtype
    torch.testing.assert_close(got, td.kl_divergence(q, prior), **tolerance)
    assert (got >= 0).all()


def test_closed_forms_broadcast_over_every_axis():
    mu, logvar = torch.randn(5, 3, dtype=DOUBLE), torch.randn(3, dtype=DOUBLE)
    wide = kl_standard_normal(mu, logvar.expand(5, 3))
    torch.testing.assert_close(kl_standard_normal(mu, logvar), wide)
    one = kl_normal(mu[:, :1], logvar, mu, logvar[:1])
    full = kl_normal(mu[:, :1].expand(5, 3), logvar.expand(5, 3), mu, logvar[:1].expand(5, 3))
    torch.testing.assert_close(one, full)


def test_closed_forms_by_quadrature():
    z = torch.linspace(-14, 14, 8001, dtype=DOUBLE)
    mu_q, std_q, mu_p, std_p = torch.tensor([[0.7], [0.5], [-0.4], [1.3]], dtype=DOUBLE)
    q, p = td.Normal(mu_q, std_q), td.Normal(mu_p, std_p)
    expected = torch.trapezoid(q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z)), z)
    got = kl_normal(mu_q, 2 * std_q.log(), mu_p, 2 * std_p.log())
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


def test_closed_forms_pass_gradcheck():
    torch.manual_seed(0)
    args = [torch.randn(2, 3, dtype=DOUBLE, requires_grad=True) for _ in range(4)]
    assert torch.autograd.gradcheck(kl_standard_normal, args[:2])
    assert torch.autograd.gradcheck(kl_normal, args)
    assert torch.autograd.gradgradcheck(kl_normal, args)


@pytest.mark.parametrize("logvar", [-1e4, -170.0, -60.0, 0.0, 60.0, 80.0])
def test_extreme_log_variances_in_float32(logvar):
    mu, lv = (torch.tensor([v], requires_grad=True) for v in (0.5, logvar))
    value = kl_standard_normal(mu, lv)
    value.backward()
    expected = 0.5 * (0.25 + math.expm1(logvar) - logvar)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert mu.grad.isfinite().all()
    assert lv.grad.isfinite().all()
    if logvar > -177:  # below, sigma itself is 0 in float32
        args = [torch.tensor([v], requires_grad=True) for v in (0.5, logvar, 0.5, logvar)]
        value = kl_normal(*args)
        value.backward()
        assert value.item() == 0
        assert all(a.grad.isfinite().all() for a in args)


def test_no_digits_are_lost_near_the_prior():
    logvar = 1e-3
    exact = 0.5 * (math.expm1(logvar) - logvar)
    value = kl_standard_normal(torch.tensor([0.0]), torch.tensor([logvar])).item()
    assert value == pytest.approx(exact, rel=1e-3)  # exp(logvar) - 1 - logvar is 10 % off


def test_wrong_parameters_are_refused():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"mu \[2, 3\], logvar \[2, 4\]"):
        kl_standard_normal(x, torch.zeros(2, 4))
    with pytest.raises(ValueError, match="no|none"):
        kl_standard_normal(torch.tensor(0.0), torch.tensor(0.0))
    with pytest.raises(TypeError, match="mu is torch.int64"):
        kl_standard_normal(torch.zeros(3, dtype=torch.int64), x)
    with pytest.raises(TypeError, match="logvar_p is float"):
        kl_normal(x, x, x, 0.0)


# kl: closed form or estimate


def test_kl_of_a_posterior_and_a_prior():
    torch.manual_seed(0)
    mu, logvar = torch.randn(2, 5, 3, dtype=DOUBLE)
    prior = diagonal(torch.zeros(3, dtype=DOUBLE), torch.zeros(3, dtype=DOUBLE))
    got = kl(diagonal(mu, logvar), prior)
    torch.testing.assert_close(got, kl_standard_normal(mu, logvar))
    # One q against a batch of p.
    got = kl(diagonal(mu[0], logvar[0]), diagonal(mu, logvar))
    torch.testing.assert_close(got, kl_normal(mu[0], logvar[0], mu, logvar))


def test_kl_of_nested_independent_is_in_closed_form():
    torch.manual_seed(0)
    mu, logvar = torch.randn(2, 4, 2, 3, dtype=DOUBLE)
    base = td.Normal(mu, torch.exp(0.5 * logvar))
    nested = td.Independent(td.Independent(base, 1), 1)
    prior = td.Independent(td.Normal(torch.zeros(2, 3).double(), 1.0), 2)
    expected = kl_standard_normal(mu, logvar).sum(-1)
    torch.testing.assert_close(kl(nested, prior), expected)
    torch.testing.assert_close(kl(td.Independent(base, 2), prior), expected)


def test_kl_of_diagonal_and_full_normals_is_in_closed_form():
    torch.manual_seed(0)
    mu, logvar = torch.randn(2, 4, 3, dtype=DOUBLE)
    factor = torch.randn(3, 3, dtype=DOUBLE)
    full = td.MultivariateNormal(torch.randn(3).double(), factor @ factor.T + torch.eye(3))
    q = diagonal(mu, logvar)
    dense = td.MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    torch.testing.assert_close(kl(q, full), td.kl_divergence(dense, full))
    torch.testing.assert_close(kl(full, q), td.kl_divergence(full, dense))
    assert kl(full, q).shape == (4,)


def mixture():
    weights = td.Categorical(torch.tensor([0.3, 0.7], dtype=DOUBLE))
    loc, scale = torch.tensor([[-1.0, 1.5], [0.5, 1.0]], dtype=DOUBLE)
    return td.MixtureSameFamily(weights, td.Normal(loc, scale))


def kl_to_mixture(mu, std):
    """KL(N(mu, std) || mixture) by the trapezoidal rule, exact to rounding for these."""
    z = torch.linspace(-15, 15, 6001, dtype=DOUBLE)
    q = td.Normal(mu, std)
    values = q.log_prob(z).exp() * (q.log_prob(z) - mixture().log_prob(z))
    return torch.trapezoid(values, z)


def test_kl_without_closed_form_is_unbiased_with_its_gradient():
    torch.manual_seed(0)
    params = [torch.tensor(v, dtype=DOUBLE, requires_grad=True) for v in (0.3, 0.8)]
    exact = kl_to_mixture(*params)
    exact_grad = torch.autograd.grad(exact, params)
    q = td.Normal(*(p.expand(2000) for p in params))
    estimates = kl(q, mixture(), num_samples=10)
    assert estimates.shape == (2000,)
    se = estimates.std() / math.sqrt(2000)
    assert abs(estimates.mean() - exact) < 5 * se
    assert abs(estimates.mean() - exact) < 0.05 * exact
    wide = [p.detach().expand(2000).clone().requires_grad_() for p in params]
    grads = torch.autograd.grad(kl(td.Normal(*wide), mixture(), num_samples=10).sum(), wide)
    for got, expected in zip(grads, exact_grad, strict=True):
        assert abs(got.mean() - expected) < 5 * got.std() / math.sqrt(2000)
        assert abs(got.mean() - expected) < 0.1 * abs(expected)


# the three estimators

GAUSSIANS = (td.Normal(torch.tensor(0.4).double(), 0.9), td.Normal(torch.tensor(0.0).double(), 1.0))
CATEGORICALS = tuple(
    td.Categorical(torch.tensor(v, dtype=DOUBLE)) for v in ([0.2, 0.5, 0.3], [0.3, 0.3, 0.4])
)


@pytest.mark.parametrize(("q", "p"), [GAUSSIANS, CATEGORICALS], ids=["normal", "categorical"])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_estimators_against_the_truth(q, p, estimator):
    torch.manual_seed(0)
    exact = td.kl_divergence(q, p).item()
    values = kl_values(log_ratio_samples(q, p, 200_000), estimator)
    assert values.shape == (200_000,)
    mean, se = values.mean().item(), values.std().item() / math.sqrt(200_000)
    if estimator == "k2":  # the biased one, by a margin that many draws resolve
        grid = torch.linspace(-12, 12, 8001, dtype=DOUBLE)
        z = torch.arange(3) if isinstance(q, td.Categorical) else grid
        ratio = q.log_prob(z) - p.log_prob(z)
        terms = q.log_prob(z).exp() * 0.5 * ratio**2
        expected = terms.sum() if isinstance(q, td.Categorical) else torch.trapezoid(terms, z)
        assert abs(mean - expected.item()) < 5 * se
        assert abs(mean - exact) > 8 * se
    else:
        assert abs(mean - exact) < 5 * se
        assert se < 0.02 * exact


def test_near_the_target_k3_varies_less_than_k1():
    torch.manual_seed(0)
    q, p = td.Normal(0.2, 1.0), td.Normal(0.0, 1.0)
    log_ratio = log_ratio_samples(q, p, 20_000)
    k1, k2, k3 = (kl_values(log_ratio, name) for name in ("k1", "k2", "k3"))
    assert (k1 < 0).any()
    assert (k2 >= 0).all()
    assert (k3 >= 0).all()
    assert k3.std() < 0.5 * k1.std()


def test_monte_carlo_shape_and_broadcasting():
    torch.manual_seed(0)
    q = diagonal(torch.zeros(5, 3), torch.zeros(5, 3))
    p = diagonal(torch.ones(3), torch.zeros(3))
    assert kl_monte_carlo(q, p, 4).shape == q.log_prob(torch.zeros(3)).shape == (5,)
    assert kl_monte_carlo(q, p, 1, "k3").shape == (5,)
    single = diagonal(torch.zeros(3), torch.zeros(3))
    many = diagonal(torch.ones(5, 3), torch.zeros(5, 3))
    values = kl_monte_carlo(single, many, 5)  # K = B: axes that could be taken for each other
    assert values.shape == (5,)
    assert len(values.unique()) == 5  # every row has its own draws
    elementwise = td.Normal(torch.zeros(2, 3), 1.0)
    assert kl_monte_carlo(elementwise, elementwise, 7).shape == (2, 3)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
@pytest.mark.parametrize("family", ["normal", "categorical", "mixture"])
def test_gradients_of_the_estimates_are_unbiased(estimator, family):
    torch.manual_seed(0)

    def make(a):
        """A distribution with batch shape a.shape[:-1] from three parameters."""
        if family == "normal":
            return td.Normal(a[..., 0], torch.exp(0.3 * a[..., 1]))
        if family == "categorical":
            return td.Categorical(logits=a)
        parts = td.Normal(a[..., :2], torch.ones_like(a[..., :2]))
        return td.MixtureSameFamily(td.Categorical(logits=a[..., 1:]), parts)

    q0, p0 = torch.tensor([[0.5, -0.2, 0.1], [0.0, 0.3, -0.4]], dtype=DOUBLE)
    exact_args = [a.clone().requires_grad_() for a in (q0, p0)]
    q, p = (make(a) for a in exact_args)
    z = torch.arange(3) if family == "categorical" else torch.linspace(-12, 12, 4001).double()
    terms = q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))
    exact = torch.autograd.grad(
        terms.sum() if family == "categorical" else torch.trapezoid(terms, z), exact_args
    )
    rows = 20_000
    args = [a.expand(rows, 3).clone().requires_grad_() for a in (q0, p0)]
    value = kl_monte_carlo(make(args[0]), make(args[1]), 2, estimator)
    grads = torch.autograd.grad(value.sum(), args)
    for got, expected in zip(grads, exact, strict=True):
        se = got.std(0) / math.sqrt(rows)
        assert ((got.mean(0) - expected).abs() <= 5 * se + 1e-12).all()
        assert (se < 0.02).all()


def test_wrong_arguments_of_the_estimates_are_refused():
    q = diagonal(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="Did you mean 'k3'"):
        kl_monte_carlo(q, q, 3, "k33")
    with pytest.raises(ValueError, match="Unknown KL estimator"):
        kl_values(torch.zeros(3), "")
    for count in (0, 2.0, True):
        with pytest.raises(ValueError, match="num_samples is"):
            kl_monte_carlo(q, q, count)
    with pytest.raises(ValueError, match=r"event shape \[3\] and p \[\]"):
        kl(q, td.Normal(0.0, 1.0))
    with pytest.raises(ValueError, match=r"batch shape \[2\] and p \[4\]"):
        kl(q, diagonal(torch.zeros(4, 3), torch.zeros(4, 3)))


# the average KL and its parts


def test_split_against_quadrature_in_one_dimension():
    mu = torch.tensor([-1.5, 0.2, 0.4, 2.0], dtype=DOUBLE)
    std = torch.tensor([0.3, 0.5, 0.4, 0.7], dtype=DOUBLE)
    z = torch.linspace(-12, 12, 8001, dtype=DOUBLE)
    log_q = td.Normal(mu[:, None], std[:, None]).log_prob(z)
    log_marginal = torch.logsumexp(log_q, 0) - math.log(4)
    log_prior = td.Normal(0.0, 1.0).log_prob(z)
    information = torch.trapezoid(log_q.exp() * (log_q - log_marginal), z).mean().item()
    marginal_kl = torch.trapezoid(log_marginal.exp() * (log_marginal - log_prior), z).item()
    result = split_average_kl(mu[:, None], 2 * std.log()[:, None], num_samples=10_000, seed=1)
    average = kl_standard_normal(mu[:, None], 2 * std.log()[:, None]).mean().item()
    assert information + marginal_kl == pytest.approx(average, abs=1e-9)  # the identity itself
    assert abs(result.mutual_information - information) < 4 * result.mutual_information_se
    assert abs(result.marginal_kl - marginal_kl) < 4 * result.marginal_kl_se
    assert abs(result.average - average) < 4 * result.average_se
    assert result.average_se < 0.01
    assert result.mutual_information_se < 0.01


def test_split_is_exact_draw_by_draw():
    torch.manual_seed(0)
    mu, logvar = torch.randn(2, 30, 4)
    result = split_average_kl(mu, logvar)
    assert result.log_qz.shape == (4, 30)
    assert result.log_qz.dtype == DOUBLE
    assert result.average == pytest.approx(
        result.mutual_information + result.marginal_kl, abs=1e-12
    )
    assert "mutual information" in str(result)
    # log q(z) by torch, at the draws that the seed gives.
    eps = torch.randn(4, 30, 4, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    z = mu.double() + eps * torch.exp(0.5 * logvar.double())
    q = diagonal(mu.double(), logvar.double())
    expected = torch.logsumexp(q.log_prob(z[:, :, None]), -1) - math.log(30)
    torch.testing.assert_close(result.log_qz, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.log_qz_x, q.log_prob(z), rtol=1e-12, atol=1e-12)


def test_split_standard_errors_are_calibrated():
    torch.manual_seed(0)
    mu, logvar = torch.randn(2, 20, 2, dtype=DOUBLE)
    mu *= 3  # examples that differ more from each other than draws of one example do
    runs = [split_average_kl(mu, logvar, num_samples=4, seed=s) for s in range(150)]
    for name in ("average", "mutual_information", "marginal_kl"):
        spread = np.std([getattr(r, name) for r in runs])
        claimed = np.sqrt(np.mean([getattr(r, name + "_se") ** 2 for r in runs]))
        assert 0.75 < claimed / spread < 1.33  # the ratio's own standard error is about 0.06


def test_split_limits_at_extreme_log_variances():
    same = torch.zeros(50, 3)
    collapsed = split_average_kl(same, same)
    assert collapsed.mutual_information == pytest.approx(0, abs=1e-12)
    assert collapsed.marginal_kl == pytest.approx(0, abs=1e-12)
    apart = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    points = split_average_kl(apart, torch.full((50, 3), -300.0))
    assert points.mutual_information == pytest.approx(math.log(50), abs=1e-12)
    assert math.isfinite(points.marginal_kl)
    wide = split_average_kl(apart, torch.full((50, 3), 300.0))
    assert wide.mutual_information == pytest.approx(0, abs=1e-9)


def test_split_memory_is_bounded_and_blocks_do_not_change_the_result(monkeypatch):
    torch.manual_seed(0)
    mu, logvar = torch.randn(2, 70, 3)
    whole = split_average_kl(mu, logvar)
    sizes = []
    logsumexp = torch.logsumexp
    monkeypatch.setattr(
        torch, "logsumexp", lambda a, **kw: (sizes.append(a.numel()), logsumexp(a, **kw))[1]
    )
    monkeypatch.setattr(divergences, "_BLOCK", 700)
    blocks = split_average_kl(mu, logvar)
    assert max(sizes) <= 700
    torch.testing.assert_close(blocks.log_qz, whole.log_qz, rtol=1e-13, atol=1e-13)


def test_split_with_another_prior_and_its_own_generator():
    torch.manual_seed(0)
    mu, logvar = torch.randn(2, 6, 2)
    before = torch.random.get_rng_state()
    shifted = split_average_kl(mu, logvar, prior=diagonal(torch.ones(2), torch.zeros(2)))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(split_average_kl(mu, logvar).log_qz, shifted.log_qz)
    moved = split_average_kl(mu - 1, logvar)
    assert shifted.average == pytest.approx(moved.average, abs=1e-6)


@pytest.mark.parametrize("name", ["mixture", "vamp", "flow"])
def test_split_takes_learned_priors_of_a_model_in_float32(name):
    torch.manual_seed(0)
    model = mlp_vae((1, 2, 2), 3, (4,), prior=name, components=4)
    mu, logvar = torch.randn(2, 6, 3)
    found = split_average_kl(mu, logvar, prior=model.prior())
    expected = split_average_kl(mu, logvar, prior=model.double().prior())
    assert found.log_pz.dtype == DOUBLE
    torch.testing.assert_close(found.log_pz, expected.log_pz, rtol=1e-5, atol=1e-5)


def test_split_refuses_bad_input():
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match="whole number from 2 up"):
        split_average_kl(x, x, num_samples=1)
    with pytest.raises(ValueError, match=r"both \[N, L\]"):
        split_average_kl(x[None], x[None])
    with pytest.raises(ValueError, match="NaN or infinity"):
        split_average_kl(x, x * math.nan)
    with pytest.raises(ValueError, match=r"prior has event shape \[3\]; \[2\] was"):
        split_average_kl(x, x, prior=diagonal(torch.zeros(3), torch.zeros(3)))


@pytest.mark.cuda
def test_divergences_on_cuda_equal_the_cpu():
    torch.manual_seed(0)
    mu, logvar = torch.randn(2, 40, 3)
    got = kl_standard_normal(mu.cuda(), logvar.cuda()).cpu()
    torch.testing.assert_close(got, kl_standard_normal(mu, logvar))
    here, there = split_average_kl(mu, logvar), split_average_kl(mu.cuda(), logvar.cuda())
    assert there.log_qz.is_cuda
    torch.testing.assert_close(there.log_qz.cpu(), here.log_qz)
    q = diagonal(mu.cuda(), logvar.cuda())
    assert kl_monte_carlo(q, q.expand((2, 40)), 3).shape == (2, 40)
