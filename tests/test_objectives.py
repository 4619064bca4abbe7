"""The objectives other than the ELBO: what they are, against their definitions in float64."""

import math
from itertools import combinations

import pytest
import torch
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)

from course_lib import bounds
from course_lib.bounds_objectives import (
    free_bits,
    iwae_loss,
    kl_per_latent,
    rate_parts,
    total_correlation,
)
from course_lib.models import mlp_vae
from course_lib.oracles import LinearGaussian, WithPosterior
from course_lib.training import fit


@pytest.fixture
def model():
    torch.manual_seed(0)
    return mlp_vae((1, 4, 4), latent_dim=3, hidden=(8,)).double()


@pytest.fixture
def x():
    return torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1)).round().double()


def seeded(function, *arguments):
    torch.manual_seed(5)
    return function(*arguments)


def gradient(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


def test_iwae_loss_is_minus_the_bound_and_close_to_the_evidence():
    oracle = LinearGaussian.example()
    x = oracle.sample(40)
    diagonal = WithPosterior(oracle, oracle.best_diagonal)
    loss = seeded(iwae_loss(2000), diagonal, x)
    assert loss.shape == (40,)
    # Its weights have a standard deviation below 3 here, so 2,000 of them leave about 0.05 nats.
    torch.testing.assert_close(-loss, oracle.log_evidence(x), rtol=0, atol=0.4)
    assert abs((-loss - oracle.log_evidence(x)).mean()) < 0.05
    exact = seeded(iwae_loss(3), oracle, x)  # with the true posterior every K gives the evidence
    torch.testing.assert_close(-exact, oracle.log_evidence(x), rtol=0, atol=1e-9)


def test_the_gradient_of_iwae_loss_weights_every_draw_by_its_share(model, x):
    """Burda et al. 2016, section 3: the weights, normalized, times the gradient of each log w."""
    found = gradient(seeded(iwae_loss(4), model, x).sum(), model)
    log_w = seeded(bounds.log_weights, model, x, 4)
    share = log_w.detach().softmax(0)
    for a, b in zip(found, gradient(-(share * log_w).sum(), model), strict=True):
        torch.testing.assert_close(a, b)


def test_one_draw_is_the_elbo_with_the_kl_by_monte_carlo(model, x):
    log_w = seeded(bounds.log_weights, model, x, 1)
    torch.testing.assert_close(seeded(iwae_loss(1), model, x), -log_w[0])


def test_the_kl_of_the_latents_sums_to_the_rate(model, x):
    q, p = model.posterior(x), model.prior()
    each = kl_per_latent(q, p)
    assert each.shape == (6, 3)
    torch.testing.assert_close(each.sum(-1), kl_divergence(q, p))


def test_free_bits_of_zero_are_the_terms_of_the_elbo(model, x):
    free, plain = (seeded(f, model, x) for f in (free_bits(0), bounds.terms))
    torch.testing.assert_close(free.distortion, plain.distortion)
    torch.testing.assert_close(free.rate, plain.rate)


def test_latents_below_the_floor_cost_the_floor_and_feel_no_pull(model, x):
    means = kl_per_latent(model.posterior(x), model.prior()).mean(0)
    low, middle, high = means.sort().values.tolist()
    floor = (low + middle) / 2
    found = seeded(free_bits(floor), model, x)
    each = kl_per_latent(model.posterior(x), model.prior())
    others = each[:, [i for i in range(3) if means[i] != low]]
    torch.testing.assert_close(found.rate, floor + others.sum(-1))  # one floor, two rates
    assert found.rate.std() > 0  # not averaged early

    all_free = seeded(free_bits(2 * high), model, x)
    torch.testing.assert_close(all_free.rate, torch.full((6,), 6 * high, dtype=torch.float64))
    assert not all_free.rate.requires_grad or all(
        g is None or not g.any()
        for g in torch.autograd.grad(
            all_free.rate.sum(), list(model.parameters()), allow_unused=True
        )
    )


def test_the_floor_holds_for_each_latent_not_for_their_sum(model, x):
    """With one latent far above the floor and two below, a floor on the sum would do nothing."""
    with torch.no_grad():
        model.encoder[-1].weight.mul_(0.01)
        model.encoder[-1].bias.copy_(torch.tensor([3.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    rate = seeded(free_bits(0.5), model, x).rate
    plain = kl_divergence(model.posterior(x), model.prior())
    assert (rate > plain + 0.9).all()


def test_bad_input_gets_a_sentence(x):
    oracle = LinearGaussian.example()
    with pytest.raises(TypeError, match=r"MultivariateNormal; a product over the latents"):
        free_bits(0.1)(oracle, oracle.sample(3))
    with pytest.raises(ValueError, match="num_samples is 0"):
        iwae_loss(0)
    with pytest.raises(ValueError, match=r"floor is -1.* nats per latent"):
        free_bits(-1)
    with pytest.raises(ValueError, match="floor is nan"):
        free_bits(math.nan)


def normals(mean, std):
    return Independent(Normal(mean, std), 1)


@pytest.fixture
def batch():
    """Posteriors of eight examples, a prior that is not standard, and a draw of each posterior."""
    g = torch.Generator().manual_seed(2)
    mu, z = torch.randn(2, 8, 3, generator=g, dtype=torch.float64)
    q = normals(mu, 0.3 + torch.rand(8, 3, generator=g, dtype=torch.float64))
    prior = normals(torch.full((3,), 0.2).double(), torch.full((3,), 1.5).double())
    return q, prior, q.mean + q.stddev * z


def test_the_three_parts_add_up_for_every_draw(batch):
    q, p, z = batch
    for num_data in (8, 100, 10**7):
        parts = rate_parts(q, p, z, num_data)
        assert [part.shape for part in parts] == [(8,)] * 3
        torch.testing.assert_close(parts.rate, q.log_prob(z) - p.log_prob(z), rtol=0, atol=1e-12)


def test_the_parts_of_all_data_by_a_mixture_of_torch(batch):
    """B = N: q(z) and each q(z_l) are mixtures of the N posteriors with equal weights."""
    q, p, z = batch
    weights = Categorical(logits=torch.zeros(8).double())
    log_qz = MixtureSameFamily(weights, q).log_prob(z)
    each = MixtureSameFamily(
        Categorical(logits=torch.zeros(3, 8).double()),
        Normal(q.mean.T, q.stddev.T),
    )
    log_qz_l = each.log_prob(z).sum(-1)
    parts = rate_parts(q, p, z, 8)
    torch.testing.assert_close(parts.mutual_information, q.log_prob(z) - log_qz)
    torch.testing.assert_close(parts.total_correlation, log_qz - log_qz_l)
    torch.testing.assert_close(parts.dimension_wise_kl, log_qz_l - p.log_prob(z))


def test_the_estimate_of_the_aggregate_is_unbiased_over_batches():
    """Every batch of 3 out of 6 with example 0 in it, equally often: the mean is q(z_0)."""
    mu = torch.randn(6, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    std, z = torch.full_like(mu, 0.7), torch.zeros(6, 2).double()
    p = normals(torch.zeros(2).double(), torch.ones(2).double())
    exact = normals(mu, std).log_prob(z[0]).exp().mean()
    found = []
    for others in combinations(range(1, 6), 2):
        rows = torch.tensor([0, *others])
        q = normals(mu[rows], std[rows])
        parts = rate_parts(q, p, z[rows], 6)
        found.append((q.log_prob(z[rows]) - parts.mutual_information)[0].exp())
    torch.testing.assert_close(torch.stack(found).mean(), exact)


def test_total_correlation_of_a_normal_aggregate():
    """q(z) = N(0, C), 1,000 examples of a million: TC is -log det corr(C) / 2."""
    C = torch.tensor([[1.5, 0.7], [0.7, 1.2]], dtype=torch.float64)
    g, std = torch.Generator().manual_seed(4), 0.6
    root = torch.linalg.cholesky(C - std**2 * torch.eye(2).double())
    mu, eps = torch.randn(2, 1000, 2, generator=g, dtype=torch.float64)
    mu = mu @ root.T
    q = normals(mu, torch.full_like(mu, std))
    p = normals(torch.zeros(2).double(), torch.ones(2).double())
    found = rate_parts(q, p, mu + std * eps, 10**6).total_correlation
    exact = -0.5 * (torch.logdet(C) - C.diagonal().log().sum())
    assert exact > 0.15
    assert abs(found.mean() - exact) < 5 * found.std() / math.sqrt(1000)


def test_the_objective_of_beta_tcvae(model, x):
    plain = seeded(total_correlation(1.0, 50), model, x)
    log_w = seeded(bounds.log_weights, model, x, 1)
    torch.testing.assert_close(plain.elbo, log_w[0])  # beta 1 is the ELBO, its KL by one draw
    torch.manual_seed(5)
    q = model.posterior(x)
    parts = rate_parts(q, model.prior(), q.rsample(), 50)
    heavy = seeded(total_correlation(6.0, 50), model, x)
    torch.testing.assert_close(heavy.distortion, plain.distortion)
    torch.testing.assert_close(heavy.rate - plain.rate, 5 * parts.total_correlation)
    assert all(g.abs().sum() > 0 for g in gradient(-heavy.elbo.mean(), model))


def test_a_batch_of_one_costs_what_the_elbo_costs(model, x):
    parts = seeded(total_correlation(9.0, 50), model, x[:1])
    torch.testing.assert_close(parts.elbo, seeded(bounds.log_weights, model, x[:1], 1)[0])


def test_fit_trains_on_it(model, x):
    run = fit(
        model.float(), x.float(), objective=total_correlation(3.0, 6), epochs=2, batch_size=4,
        validation=0, progress=False, device="cpu",
    )  # fmt: skip
    assert len(run.history) == 2


def test_total_correlation_refuses_what_it_cannot_mean(model, x):
    with pytest.raises(ValueError, match=r"num_data is 3 but the batch holds 6"):
        total_correlation(2.0, 3)(model, x)
    with pytest.raises(ValueError, match="beta is -1"):
        total_correlation(-1, 10)
    oracle = LinearGaussian.example()
    with pytest.raises(TypeError, match="a product over the latents"):
        total_correlation(2.0, 10)(oracle, oracle.sample(3))
