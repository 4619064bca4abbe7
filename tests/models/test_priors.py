"""Learned priors: their densities and draws, and the bounds and files that have to know them."""

import copy

import pytest
import torch
from torch import distributions as td

from course_lib import bounds
from course_lib.checkpoints import load_model
from course_lib.compression import compress, decompress
from course_lib.distributions import NormalMixture
from course_lib.evaluation import evaluate, latent_rates
from course_lib.models import build, hierarchical_vae, make_prior, mlp_vae
from course_lib.models.priors import FlowPrior, VampPrior
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


# The VampPrior and the flow


def vae(prior, latents=2):
    """A small model in float64 whose prior is far from N(0, I)."""
    model = mlp_vae(SHAPE, latents, (8,), prior=prior, components=4).double()
    with torch.no_grad():
        for p in model.learned_prior.parameters():
            p.add_(0.4 * torch.randn_like(p) / p.shape[-1] ** 0.5)
    return model


@pytest.mark.parametrize("name", ["vamp", "flow"])
def test_density_has_mass_one_and_the_draws_follow_it(name):
    p = vae(name).prior()
    assert (p.batch_shape, p.event_shape) == (torch.Size([]), torch.Size([2]))
    axis = torch.linspace(-15, 15, 601, dtype=torch.float64)
    at = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = p.log_prob(at).exp() * (axis[1] - axis[0]) ** 2
        z = p.sample((100, 200)).flatten(0, 1)
    assert abs(mass.sum().item() - 1) < 1e-4

    def statistics(z):
        a, b = z.T
        return torch.stack([a, b, a * a, b * b, a * b, (2 * a).sin(), (a > 0.3).to(a)], 1)

    drawn, exact = statistics(z), mass @ statistics(at)
    assert (mass @ at.square()).max() > 0.1  # nothing degenerate
    assert ((drawn.mean(0) - exact).abs() < 5 * drawn.std(0) / len(z) ** 0.5 + 0.01).all()


def test_a_vamp_prior_is_the_mean_of_the_posteriors_of_its_inputs():
    model = vae("vamp", 3)
    z = torch.randn(2, 5, 3, dtype=torch.float64)
    q = model.posterior(model.learned_prior.inputs)
    expected = q.log_prob(z.unsqueeze(-2)).logsumexp(-1) - torch.tensor(4.0).log()
    torch.testing.assert_close(model.prior().log_prob(z), expected)


def test_a_vamp_prior_shares_the_encoder_and_stores_it_once():
    model = vae("vamp")
    assert not [k for k in model.state_dict() if "learned_prior" in k and "input_logits" not in k]
    z = torch.randn(3, 2, dtype=torch.float64)
    (slope,) = torch.autograd.grad(
        model.prior().log_prob(z).sum(), model.learned_prior.input_logits, retain_graph=True
    )
    assert (slope.flatten(1).abs().sum(1) > 0).all()
    before = model.prior().log_prob(z)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        copied.encoder[-1].bias.add_(1.0)
    assert torch.equal(model.prior().log_prob(z), before)
    assert not torch.allclose(copied.prior().log_prob(z), before)


def test_a_vamp_prior_can_start_from_images():
    model = mlp_vae(SHAPE, 2, (8,), prior="vamp", components=4)
    x = torch.rand(4, *SHAPE)
    model.learned_prior.start_from(x)
    torch.testing.assert_close(model.learned_prior.inputs, x.clamp(0.02, 0.98))
    with pytest.raises(ValueError, match="as many training images as pseudo-inputs"):
        model.learned_prior.start_from(x[:2])


def test_a_flow_prior_starts_as_the_standard_normal_and_is_inverted_exactly():
    z = torch.randn(6, 3)
    standard = td.Independent(td.Normal(torch.zeros(3), torch.ones(3)), 1)
    torch.testing.assert_close(FlowPrior(3)().log_prob(z), standard.log_prob(z))
    p = vae("flow", 3).prior()
    noise = torch.randn(50, 3, dtype=torch.float64)
    moved = p.flow.to_x(noise)
    torch.testing.assert_close(p.flow.to_z(moved)[0], noise, rtol=0, atol=1e-10)
    assert (moved - noise).abs().mean() > 0.01
    z = p.rsample((2, 4))
    assert z.shape == (2, 4, 3) and z.requires_grad and not p.sample().requires_grad
    torch.testing.assert_close(p.log_prob(z), p.log_prob(z.reshape(8, 3)).reshape(2, 4))


@pytest.mark.parametrize("name", ["vamp", "flow"])
def test_training_checkpoints_and_evaluation_know_them(name, tmp_path):
    x = (torch.rand(300, *SHAPE) < 0.3).float()
    model = mlp_vae(SHAPE, 2, (8,), prior=name, components=4)
    before = {k: v.clone() for k, v in model.learned_prior.state_dict().items()}
    fit(model, x, epochs=2, progress=False, ema=0.9, checkpoint=tmp_path / "run.pt")
    moved = [not torch.equal(v, before[k]) for k, v in model.learned_prior.named_parameters()]
    assert any(moved)
    kept = load_model(tmp_path / "run.pt")
    z = torch.randn(5, 2)
    torch.testing.assert_close(kept.prior().log_prob(z), model.prior().log_prob(z))
    report = evaluate(kept, x[:20], num_samples=8)
    assert (report.iwae >= report.elbo).double().mean() > 0.5 and report.iwae.isfinite().all()
    assert kept.sample(3).shape == (3, *SHAPE)


def test_files_with_a_vamp_prior_and_the_sentence_for_a_flow():
    """A VampPrior is a mixture of normals, which the coder knows; a flow it must refuse."""
    pytest.importorskip("constriction")
    x = (torch.rand(12, *SHAPE) < 0.3).float()
    model = vae("vamp").float()
    assert torch.equal(decompress(model, compress(model, x).data), x)
    with pytest.raises(TypeError, match="prior is a FlowDistribution; independent normals"):
        compress(vae("flow"), x)


def test_priors_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="'vamp' is made of posteriors"):
        hierarchical_vae(SHAPE, (2, 2), (8, 8), prior="vamp")
    with pytest.raises(ValueError, match="latent_dim is 1"):
        mlp_vae(SHAPE, 1, (8,), prior="flow")
    x = torch.rand(3, *SHAPE).round()
    assert bounds.elbo(hierarchical_vae(SHAPE, (3, 2), (8, 8), prior="flow"), x).shape == (3,)
    with pytest.raises(ValueError, match="components is 0"):
        VampPrior(torch.nn.Identity(), SHAPE, 0)
