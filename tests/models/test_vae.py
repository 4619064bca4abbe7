"""The VAE's three distributions, its likelihoods, and what it refuses."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import bounds
from course_lib.models import LIKELIHOODS, PRIORS, build, conv_vae, make_likelihood, mlp_vae


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@settings(max_examples=20, deadline=None)
@given(
    make=st.sampled_from([mlp_vae, conv_vae]),
    likelihood=st.sampled_from(sorted(LIKELIHOODS)),
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 17),
    width=st.integers(4, 17),
    latents=st.integers(1, 4),
    lead=st.lists(st.integers(1, 3), max_size=2),
)
def test_parts_are_distributions_with_declared_events(
    make, likelihood, channels, height, width, latents, lead
):
    shape = (channels, height, width)
    model = make(shape, latents, likelihood=likelihood)
    x = torch.rand(2, *shape).round()
    assert model.prior().batch_shape == () and model.prior().event_shape == (latents,)
    assert model.posterior(x).batch_shape == (2,) and model.posterior(x).event_shape == (latents,)
    p = model.likelihood(torch.randn(*lead, latents))
    assert p.batch_shape == tuple(lead) and p.event_shape == shape
    assert p.sample().shape == p.mean.shape == (*lead, *shape)
    assert bounds.terms(model, x).elbo.isfinite().all()
    assert model.sample(3).shape == (3, *shape) and model.reconstruct(x).shape == x.shape


def test_loss_is_the_formula_written_out():
    """Distortion is the summed cross-entropy, rate the closed form of Kingma & Welling."""
    model = mlp_vae(latent_dim=4, hidden=(16,)).double()
    x = torch.rand(6, 1, 28, 28, dtype=torch.float64).round()
    mu, logvar = model.encode(x)
    torch.manual_seed(1)
    terms = bounds.terms(model, x)
    torch.manual_seed(1)
    z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
    bce = F.binary_cross_entropy_with_logits(model.decode(z), x, reduction="none").sum((1, 2, 3))
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
    torch.testing.assert_close(terms.distortion, bce, rtol=0, atol=1e-10)
    torch.testing.assert_close(terms.rate, kl, rtol=0, atol=1e-10)


def test_default_is_the_784_400_20_network():
    sizes = [tuple(p.shape) for p in mlp_vae().parameters() if p.dim() == 2]
    assert sizes == [(400, 784), (40, 400), (400, 20), (784, 400)]


@pytest.mark.parametrize("name", ["gaussian", "continuous_bernoulli", "discretized_logistic"])
def test_density_integrates_to_one(name):
    """One pixel, summed over its grid or integrated over its support, in float64."""
    head = make_likelihood(name).double()
    params = torch.linspace(-2, 2, 5, dtype=torch.float64)
    params = params.reshape(5, 1, 1, 1).repeat(1, head.parameters_per_channel, 1, 1)
    p = head(params)
    if name == "discretized_logistic":
        grid, weight = torch.arange(256, dtype=torch.float64) / 255, 1.0
    else:
        low, high = (-6, 7) if name == "gaussian" else (0, 1)
        n = 20_001
        grid = torch.linspace(low, high, n, dtype=torch.float64)
        weight = torch.full((n, 1), (high - low) / (n - 1), dtype=torch.float64)
        weight[0] = weight[-1] = weight[0] / 2
    mass = (p.log_prob(grid.reshape(-1, 1, 1, 1, 1)).exp() * weight).sum(0)
    torch.testing.assert_close(mass, torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(LIKELIHOODS))
def test_sampler_agrees_with_density(name):
    """-E[log p(x)] over the sampler's draws is the entropy found by integrating the density."""
    head = make_likelihood(name).double()
    params = torch.tensor([0.3, -0.4], dtype=torch.float64)[: head.parameters_per_channel]
    p = head(params.reshape(-1, 1, 1))
    n = 40_000
    draws = -p.log_prob(p.sample((n,)))
    if name == "gaussian":
        grid = torch.linspace(-6, 7, 20_001, dtype=torch.float64)
        weight = 13 / 20_000
    elif name == "continuous_bernoulli":
        grid = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
        weight = 1 / 20_000
    else:
        levels = 2 if name == "bernoulli" else 256
        grid, weight = torch.arange(levels, dtype=torch.float64) / (levels - 1), 1.0
    log_p = p.log_prob(grid.reshape(-1, 1, 1, 1))
    entropy = -(log_p.exp() * log_p * weight).sum()
    assert abs(draws.mean() - entropy) < 5 * draws.std() / math.sqrt(n)


def test_gaussian_has_the_sigma_that_was_given():
    p = LIKELIHOODS["gaussian"](sigma=0.05)(torch.zeros(1, 2, 2))
    expected = torch.distributions.Normal(0.5, 0.05).log_prob(torch.tensor(0.6)) * 4
    torch.testing.assert_close(p.log_prob(torch.full((1, 2, 2), 0.6)), expected)


def test_discretized_logistic_is_the_one_written_out():
    """Parameters of zero: mean 1/2, log scale softplus(5) - 7; and few levels, if few are asked."""
    head = LIKELIHOODS["discretized_logistic"](levels=4).double()
    p = head(torch.zeros(2, 1, 1, dtype=torch.float64))
    scale = math.exp(math.log1p(math.exp(5.0)) - 7.0)
    edge = torch.tensor(1 / 6, dtype=torch.float64)  # between the levels 0 and 1/3
    mass = torch.sigmoid((edge - 0.5) / scale)
    found = p.log_prob(torch.zeros(1, 1, 1, dtype=torch.float64)).exp()
    torch.testing.assert_close(found, mass, rtol=1e-8, atol=0)
    assert set((p.sample((200,)) * 3).flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0}


def test_samples_are_draws_and_means_are_means():
    model = mlp_vae((1, 6, 6), latent_dim=2, hidden=(8,))
    draws, means = model.sample(4), model.sample(4, mean=True)
    assert ((draws == 0) | (draws == 1)).all() and ((means > 0) & (means < 1)).all()
    x = draws
    mu = model.encode(x)[0]
    expected = torch.sigmoid(model.decode(mu))
    torch.testing.assert_close(model.reconstruct(x), expected.detach(), rtol=0, atol=1e-6)


def test_learned_sigma_finds_the_root_mean_square_error():
    head = LIKELIHOODS["gaussian"]().double()
    x = torch.rand(200, 1, 3, 3, dtype=torch.float64)
    params = torch.zeros_like(x)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=100, tolerance_grad=1e-12)

    def loss():
        optimizer.zero_grad()
        value = -head(params).log_prob(x).mean()
        value.backward()
        return value

    optimizer.step(loss)
    rmse = ((x - 0.5) ** 2).mean().sqrt()
    torch.testing.assert_close(head.log_sigma.exp().detach(), rmse, rtol=1e-5, atol=0)


@pytest.mark.parametrize("prior", PRIORS)
def test_autocast_leaves_densities_in_float32(prior):
    model = mlp_vae(latent_dim=2, hidden=(8,), prior=prior)
    z = 3 * torch.randn(50, 2)
    with torch.autocast("cpu", torch.bfloat16):
        terms = bounds.terms(model, torch.rand(2, 1, 28, 28).round())
        p = model.prior()
        log_pz = p.log_prob(z)
    assert terms.distortion.dtype == terms.rate.dtype == log_pz.dtype == torch.float32
    torch.testing.assert_close(log_pz, p.log_prob(z), rtol=1e-5, atol=1e-5)


def test_build_makes_the_same_model():
    for model in (
        mlp_vae((1, 8, 9), 3, (7, 5), "gaussian"),
        mlp_vae((1, 8, 9), 3, (7,), activation="tanh"),
        mlp_vae((1, 8, 9), 3, (7, 5), activation="gated"),
        conv_vae((3, 9, 8), 2, width=4, hidden=6, likelihood="discretized_logistic"),
    ):
        again = build(model.spec)
        again.load_state_dict(model.state_dict())
        x = torch.rand(2, *model.image_shape)
        torch.testing.assert_close(again.encode(x), model.encode(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: mlp_vae(likelihood="bernouli"), "Did you mean 'bernoulli'"),
        (lambda: mlp_vae(activation="tahn"), "Did you mean 'tanh'"),
        (lambda: mlp_vae((28, 28)), "channels, height, width"),
        (lambda: mlp_vae(28), "image_shape is 28"),
        (lambda: mlp_vae(None), "image_shape is None"),
        (lambda: mlp_vae(latent_dim=2.0), "latent_dim is 2.0"),
        (lambda: mlp_vae(hidden=(4, -1)), "a width in hidden is -1"),
        (lambda: conv_vae(width=0), "width is 0"),
        (lambda: mlp_vae().sample(-1), "num_images is -1"),
        (lambda: mlp_vae().decode(torch.tensor(1.0)), "20 latents"),
        (lambda: build({"model": "mlp", "depth": 2}), "describes no mlp model of this version"),
        (lambda: LIKELIHOODS["discretized_logistic"](levels=1), "levels is 1"),
        (lambda: LIKELIHOODS["gaussian"](sigma="wide"), "sigma is 'wide'"),
        (lambda: mlp_vae(latent_dim=0), "latent_dim is 0; a whole number from 1 up"),
        (lambda: conv_vae((1, 3, 28)), "from 4 up"),
        (lambda: LIKELIHOODS["gaussian"](sigma=0), "positive number"),
        (lambda: build({"model": "mpl"}), "Did you mean 'mlp'"),
        (lambda: mlp_vae().encode(torch.rand(2, 784)), r"made for images\s+\[B, 1, 28, 28\]"),
        (lambda: mlp_vae().decode(torch.rand(2, 3)), "20 latents"),
    ],
)
def test_bad_input_gets_a_sentence(action, message):
    with pytest.raises(ValueError, match=message):
        action()


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda m: m.encode([[1.0]]), r"x is a list; .* torch\.as_tensor"),
        (lambda m: m.posterior(torch.zeros(1, 1, 6, 6).byte()), "divide 8-bit images by 255"),
        (lambda m: m.posterior(torch.zeros(1, 1, 6, 6).double()), r"x\.to\(torch\.float32\)"),
        (lambda m: m.decode([0.0, 0.0]), "z is a list"),
        (lambda m: m.likelihood(torch.zeros(2).double()), r"z\.to\(torch\.float32\)"),
        (lambda m: mlp_vae(hidden=400), r"sequence of widths .* \(400,\)"),
        (lambda m: build(None), "spec is a NoneType"),
    ],
)
def test_values_of_another_kind_get_a_sentence(action, message):
    with pytest.raises(TypeError, match=message):
        action(mlp_vae((1, 6, 6), latent_dim=2, hidden=(8,)))


@pytest.mark.parametrize("activation", ["relu", "tanh", "gated"])
def test_signals_keep_their_size_through_many_layers(activation):
    """Neither dying out nor blowing up: what initialization is for."""
    torch.manual_seed(0)
    model = mlp_vae((1, 10, 10), 8, (300,) * 6, activation=activation)
    hidden = model.encoder[:-1](torch.randn(500, 1, 10, 10))
    assert 0.2 < hidden.square().mean().sqrt() < 2
