"""The bounds against oracles, whose evidence and posterior are exact."""

import math

import pytest
import torch
from torch import distributions as td

from course_lib import bounds
from course_lib.models import mlp_vae
from course_lib.oracles import DiscreteLatent, LinearGaussian, WithPosterior


def widened(oracle, scale=1.5):
    """The best diagonal q of a linear-Gaussian oracle, made too wide, so that bounds are loose."""

    def q(x):
        best = oracle.best_diagonal(x).base_dist
        return td.Independent(td.Normal(best.loc, scale * best.scale), 1)

    return WithPosterior(oracle, q)


@pytest.fixture
def oracle():
    return LinearGaussian.example()


def test_elbo_plus_gap_is_the_evidence(oracle):
    """log p(x) = ELBO + KL(q || p(z|x)), with the expectation over q taken in closed form."""
    torch.manual_seed(0)
    x = oracle.sample(6)
    model = widened(oracle)
    q = model.posterior(x)
    # E_q[log p(x|z)] for a Gaussian likelihood: at the mean, less the spread through the weights.
    spread = (oracle.weight**2 @ q.base_dist.scale.T**2).sum(0) / (2 * oracle.sigma**2)
    distortion = -oracle.likelihood(q.mean).log_prob(x) + spread
    rate = td.kl_divergence(q, oracle.prior())
    dense = td.MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    gap = td.kl_divergence(dense, oracle.posterior(x))
    torch.testing.assert_close(
        bounds.Terms(distortion, rate).elbo + gap, oracle.log_evidence(x), rtol=0, atol=1e-10
    )


def test_terms_are_unbiased_for_the_elbo(oracle):
    torch.manual_seed(1)
    x, model = oracle.sample(4), widened(oracle)
    draws = torch.stack([bounds.terms(model, x).elbo for _ in range(4000)])
    many = bounds.elbo(model, x, num_samples=40_000)
    se = draws.std(0) * math.sqrt(1 / 4000 + 1 / 40_000)
    assert ((draws.mean(0) - many).abs() < 5 * se).all()


def test_bounds_are_ordered_and_tighten(oracle):
    """ELBO <= IWAE-5 <= IWAE-50 <= log p(x), each difference by several standard errors."""
    torch.manual_seed(2)
    x, model = oracle.sample(5), widened(oracle, 2.0)
    log_w = bounds.log_weights(model, x, 50 * 2000).reshape(50, 2000, -1)
    elbo = log_w.reshape(-1, len(x))
    five = bounds.iwae(log_w[:5])
    fifty = bounds.iwae(log_w)
    truth = oracle.log_evidence(x)

    def mean_se(a):
        return a.mean(0), a.std(0) / math.sqrt(len(a))

    (m1, s1), (m5, s5), (m50, s50) = map(mean_se, (elbo, five, fifty))
    assert (m5 - m1 > 4 * (s1 + s5)).all()
    assert (m50 - m5 > 4 * (s5 + s50)).all()
    assert (m50 < truth + 4 * s50).all()
    # Ordinary importance sampling: exp(log_w) has the evidence as its mean.
    ratio = torch.exp(log_w.reshape(-1, len(x)) - truth)
    m, s = mean_se(ratio)
    assert ((m - 1).abs() < 5 * s).all()


def test_exact_posterior_has_constant_weights(oracle):
    torch.manual_seed(3)
    x = oracle.sample(3)
    log_w = bounds.log_weights(oracle, x, 7)
    torch.testing.assert_close(log_w, oracle.log_evidence(x).expand(7, 3), rtol=0, atol=1e-10)
    torch.testing.assert_close(bounds.iwae(log_w), oracle.log_evidence(x), rtol=0, atol=1e-10)


def test_discrete_oracle_by_enumeration():
    """With every state visited, the mean of q-weighted log weights is the exact ELBO."""
    torch.manual_seed(4)
    oracle = DiscreteLatent.example()
    x = oracle.sample(5)
    with torch.no_grad():
        log_w = bounds.log_weights(oracle, x, 11)
    torch.testing.assert_close(log_w, oracle.log_evidence(x).expand(11, 5), rtol=0, atol=1e-10)


def test_terms_hold_for_a_posterior_without_closed_form_kl():
    """A mixture prior has no closed-form KL; the estimate from the draw must be unbiased."""
    torch.manual_seed(5)
    oracle = LinearGaussian.example()
    prior = td.MixtureSameFamily(
        td.Categorical(torch.tensor([0.5, 0.5], dtype=torch.float64)),
        oracle.prior().expand((2,)),
    )
    model = WithPosterior(oracle, oracle.best_diagonal)
    model.prior = lambda: prior  # the same density, without a registered KL
    x = oracle.sample(3)
    rates = torch.stack([bounds.terms(model, x).rate for _ in range(3000)])
    exact = td.kl_divergence(oracle.best_diagonal(x), oracle.prior())
    se = rates.std(0) / math.sqrt(3000)
    assert ((rates.mean(0) - exact).abs() < 5 * se).all()
    # Over many draws elbo is the same figure, with distortion and rate averaged alike.
    many = bounds.elbo(model, x, num_samples=3000)
    exact_elbo = bounds.elbo(WithPosterior(oracle, oracle.best_diagonal), x, num_samples=3000)
    assert many.shape == (3,) and (many - exact_elbo).abs().max() < 0.5


def test_shapes_and_gradients():
    torch.manual_seed(6)
    model = mlp_vae(latent_dim=3, hidden=(8,))
    x = torch.rand(5, 1, 28, 28).round()
    terms = bounds.terms(model, x)
    assert terms.distortion.shape == terms.rate.shape == (5,)
    assert bounds.elbo(model, x, num_samples=2).shape == (5,)
    assert bounds.log_weights(model, x, 4).shape == (4, 5)
    (-terms.elbo).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert (terms.rate > 0).all()
    model.zero_grad()
    bounds.terms(model, x).distortion.mean().backward()  # through the draw, not the rate
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())


@pytest.mark.parametrize("offset", [-1000.0, 0.0, 1000.0])
def test_log_mean_exp_far_from_zero(offset):
    a = torch.tensor([[0.0, math.log(3.0)]], dtype=torch.float64) + offset
    expected = torch.tensor([math.log(2.0) + offset], dtype=torch.float64)
    torch.testing.assert_close(bounds.log_mean_exp(a, 1), expected, rtol=0, atol=1e-10)


def test_a_posterior_without_reparameterization_is_refused_in_training():
    oracle = DiscreteLatent.example()
    x = oracle.sample(3)
    logits = torch.zeros(3, len(oracle.prior().probs), dtype=torch.float64, requires_grad=True)
    model = WithPosterior(oracle, lambda x: td.Categorical(logits=logits))
    with pytest.raises(ValueError, match="no reparameterized draw"):
        bounds.terms(model, x)


def test_number_of_samples_is_checked():
    oracle = LinearGaussian.example()
    for function in (bounds.elbo, bounds.log_weights):
        with pytest.raises(ValueError, match="num_samples is 0; a whole number"):
            function(oracle, oracle.sample(2), 0)
