"""The objectives other than the ELBO: what they are, against their definitions in float64."""

import math

import pytest
import torch
from torch.distributions import kl_divergence

from course_lib import bounds
from course_lib.bounds_objectives import free_bits, iwae_loss, kl_per_latent
from course_lib.models import mlp_vae
from course_lib.oracles import LinearGaussian, WithPosterior


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
