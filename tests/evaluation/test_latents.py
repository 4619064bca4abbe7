"""Active units and rates of latents, against the closed form of probabilistic PCA."""

import math

import pytest
import torch
from torch import distributions as td

from course_lib.evaluation import active_units, latent_rates, predicted_active
from course_lib.models import mlp_vae
from course_lib.oracles import LinearGaussian, WithPosterior

EIGENVALUES = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.2, 0.05], dtype=torch.float64)


def whitened(num_examples=500, eigenvalues=EIGENVALUES, seed=0):
    """Data ``[N, D]`` whose covariance (over N) has exactly these eigenvalues, not axis-aligned."""
    torch.manual_seed(seed)
    size = len(eigenvalues)
    x = torch.randn(num_examples, size, dtype=torch.float64)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(x.T @ x / num_examples), x.T, upper=False
    ).T
    rotation = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q
    return white * eigenvalues.sqrt() @ rotation.T + 3.0


def train_linear(x, latent_dim, sigma, beta, steps=1500):
    """Climb the exact beta-ELBO of a linear VAE in W and a diagonal q; return it as a model."""
    torch.manual_seed(1)
    x = x - x.mean(0)  # the best bias is the mean, whatever W is
    encode, weight = 0.3 * torch.randn(2, x.shape[1], latent_dim, dtype=torch.float64)
    logvar = torch.zeros(latent_dim, dtype=torch.float64)
    parameters = [encode.requires_grad_(), weight.requires_grad_(), logvar.requires_grad_()]
    optimizer = torch.optim.Adam(parameters, lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        mu = x @ encode
        squares = (x - mu @ weight.T).square().sum(1) + (weight.square() * logvar.exp()).sum()
        rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)
        loss = (squares / (2 * sigma**2) + beta * rate).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    q = td.Independent(td.Normal(mu.detach(), (0.5 * logvar.detach()).exp().expand_as(mu)), 1)
    return WithPosterior(LinearGaussian(weight.detach(), x[0], sigma), lambda _: q)


@pytest.mark.parametrize(("sigma", "beta", "expected"), [(0.6, 1.0, 4), (0.6, 4.0, 2), (2.1, 1, 0)])
def test_a_trained_linear_vae_uses_as_many_latents_as_predicted(sigma, beta, expected):
    x = whitened()
    assert predicted_active(x, sigma, beta) == expected
    model = train_linear(x, 6, sigma, beta)
    q = model.posterior(x)
    assert active_units(q.mean) == expected
    # Not only how many: how active each is, and what it costs, are in closed form.
    level = beta * sigma**2
    kept = EIGENVALUES[:expected]
    activity = q.mean.var(0, correction=0).sort(descending=True).values
    torch.testing.assert_close(activity[:expected], 1 - level / kept, rtol=0, atol=2e-3)
    rates = latent_rates(model, x).mean(0).sort(descending=True).values
    torch.testing.assert_close(rates[:expected], 0.5 * (kept / level).log(), rtol=0, atol=2e-3)
    assert rates[expected:].abs().max() < 2e-3


def test_the_prediction_is_a_step_at_each_eigenvalue():
    x = whitened()
    for i, value in enumerate(EIGENVALUES):
        sigma = value.sqrt().item()
        assert predicted_active(x, sigma * 1.001) == i
        assert predicted_active(x, sigma * 0.999) == i + 1
        assert predicted_active(x, sigma * 0.999 / math.sqrt(2), beta=2.0) == i + 1
    images = x.reshape(-1, 1, 2, 3).float()
    assert predicted_active(images, 0.9) == predicted_active(x, 0.9) == 3


def test_active_units_are_those_whose_mean_varies():
    mu = torch.tensor([[0.0, 1.0, -5.0, 0.1], [0.0, -1.0, -5.0, 0.3], [0.0, 0.0, -5.0, 0.2]])
    assert active_units(mu, 0.02) == 1  # the variances are 0, 1, 0 and 0.01
    assert active_units(mu.double() + 1e6, threshold=0.005) == 2
    assert active_units(mu, threshold=1.5) == 0
    assert active_units(torch.tensor([[0.0], [1.0]]), threshold=0.5) == 0  # strictly above it
    assert isinstance(active_units(mu), int)


def test_rates_of_latents_add_up_to_the_rate_in_any_batches():
    torch.manual_seed(2)
    model = mlp_vae((1, 6, 6), latent_dim=3, hidden=(8,)).double()
    x = torch.rand(7, 1, 6, 6, dtype=torch.float64)
    rates = latent_rates(model, x, batch_size=3)
    with torch.no_grad():
        q = model.posterior(x)
    assert rates.shape == (7, 3) and rates.dtype == torch.float64
    torch.testing.assert_close(rates.sum(1), td.kl_divergence(q, model.prior()))
    # Products of other shapes may round otherwise.
    torch.testing.assert_close(rates, latent_rates(model, x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: active_units([[1.0]]), TypeError, "mu is list"),
        (lambda: active_units(torch.ones(4, 2).long()), TypeError, "mu is torch.int64"),
        (lambda: active_units(torch.ones(4)), ValueError, r"\[N, L\] with at least two"),
        (lambda: active_units(torch.ones(1, 4)), ValueError, "at least two images"),
        (lambda: active_units(torch.ones(3, 4) * math.nan), ValueError, "NaN"),
        (lambda: active_units(torch.ones(3, 4), -1), ValueError, "threshold is -1"),
        (lambda: predicted_active(torch.ones(4, 2), 0.0), ValueError, "sigma is 0.0"),
        (lambda: predicted_active(torch.ones(4, 2), 1.0, 0), ValueError, "beta is 0"),
        (lambda: predicted_active(torch.ones(1, 2), 1.0), ValueError, "at least two examples"),
        (lambda: latent_rates(mlp_vae(), torch.ones(0, 1, 28, 28)), ValueError, "at least one"),
        (lambda: latent_rates(mlp_vae, torch.ones(2, 1, 28, 28)), TypeError, "mlp_vae itself"),
    ],
)
def test_bad_input_gets_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_posterior_that_is_no_product_has_no_rates_of_latents():
    oracle = LinearGaussian.example()
    with pytest.raises(TypeError, match="posterior is a MultivariateNormal"):
        latent_rates(oracle, oracle.sample(3))
