"""The learned prior: its density, its samples, and the bounds and files that have to know it."""

import pytest
import torch
from torch import distributions as td

from course_lib import bounds
from course_lib.checkpoints import load_model
from course_lib.distributions import NormalMixture
from course_lib.evaluation import evaluate, latent_rates
from course_lib.models import build, make_prior, mlp_vae
from course_lib.training import fit

SHAPE = (1, 4, 4)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def mixture(dtype=torch.float64, components=5, latents=3):
    logits = torch.randn(components, dtype=dtype, requires_grad=True)
    means = (2 * torch.randn(components, latents, dtype=dtype)).requires_grad_()
    log_scales = (0.5 * torch.randn(components, latents, dtype=dtype)).requires_grad_()
    return logits, means, log_scales


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 2e-4)])
def test_density_and_gradient_are_those_of_torch(dtype, atol):
    parameters = mixture(dtype)
    logits, means, log_scales = parameters
    z = (3 * torch.randn(2, 7, 3, dtype=dtype)).requires_grad_()
    reference = td.MixtureSameFamily(
        td.Categorical(logits=logits), td.Independent(td.Normal(means, log_scales.exp()), 1)
    )
    got, expected = NormalMixture(*parameters).log_prob(z), reference.log_prob(z)
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)
    for a, b in zip(
        torch.autograd.grad(got.sum(), (*parameters, z)),
        torch.autograd.grad(expected.sum(), (*parameters, z)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=20 * atol)


def test_density_integrates_to_one_and_the_samples_follow_it():
    p = NormalMixture(*mixture(components=3, latents=1))
    edges = torch.linspace(-30, 30, 20_001, dtype=torch.float64)[:, None]
    density = p.log_prob(edges).exp()
    assert abs(torch.trapezoid(density, edges[:, 0]).item() - 1) < 1e-9
    mean = torch.trapezoid(density * edges[:, 0], edges[:, 0])
    z = p.sample((40_000,))[:, 0]
    assert abs(z.mean() - mean) < 5 * z.std() / 200
    below = torch.trapezoid(density[edges[:, 0] <= 1], edges[edges[:, 0] <= 1][:, 0])
    assert abs((z <= 1).double().mean() - below) < 5 * 0.5 / 200


def test_bounds_under_a_mixture_have_the_rate_of_its_density():
    """One component that is N(0, I) is the standard prior: the rates agree, within their noise."""
    plain = mlp_vae(SHAPE, 2, (8,)).double()
    learned = mlp_vae(SHAPE, 2, (8,), prior="mixture", components=1).double()
    learned.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        learned.learned_prior.means.zero_()
        learned.learned_prior.log_scales.zero_()
    x = torch.rand(3, *SHAPE, dtype=torch.float64).round()
    exact = bounds.terms(plain, x).rate
    draws = torch.stack([bounds.terms(learned, x).rate for _ in range(2000)]).detach()
    se = draws.std(0) / 2000**0.5
    assert ((draws.mean(0) - exact).abs() < 5 * se).all()


def test_training_moves_the_prior_and_a_checkpoint_keeps_it(tmp_path):
    x = (torch.rand(300, *SHAPE) < 0.3).float()
    model = mlp_vae(SHAPE, 2, (8,), prior="mixture", components=4)
    before = {k: v.clone() for k, v in model.learned_prior.state_dict().items()}
    fit(model, x, epochs=3, progress=False, checkpoint=tmp_path / "run.pt")
    for name, value in model.learned_prior.state_dict().items():
        assert not torch.equal(value, before[name]), name
    kept = load_model(tmp_path / "run.pt")
    z = torch.randn(5, 2)
    assert torch.equal(kept.prior().log_prob(z), model.prior().log_prob(z))
    assert kept.sample(3).shape == (3, *SHAPE)
    assert evaluate(kept, x[:20], num_samples=3).iwae.isfinite().all()


def test_the_parts_of_a_mixture_start_apart_and_as_wide_as_the_standard_normal():
    z = mlp_vae(SHAPE, 3, (8,), prior="mixture").prior().sample((20_000,))
    assert ((z.std(0) - 1).abs() < 0.2).all() and (z.mean(0).abs() < 0.4).all()
    means = make_prior("mixture", 3).means
    assert torch.pdist(means).min() > 0


def test_old_specs_and_bad_input():
    spec = mlp_vae(SHAPE, 2, (8,)).spec
    del spec["prior"], spec["components"]
    assert build(spec).learned_prior is None
    with pytest.raises(ValueError, match="Did you mean 'mixture'"):
        mlp_vae(SHAPE, prior="mixtures")
    with pytest.raises(ValueError, match="components is 0"):
        mlp_vae(SHAPE, prior="mixture", components=0)
    with pytest.raises(ValueError, match="do not fit"):
        NormalMixture(torch.zeros(2), torch.zeros(3, 1), torch.zeros(3, 1))
    model = mlp_vae(SHAPE, 2, (8,), prior="mixture")
    with pytest.raises(TypeError, match="NormalMixture; a product over the latents"):
        latent_rates(model, torch.zeros(2, *SHAPE))
