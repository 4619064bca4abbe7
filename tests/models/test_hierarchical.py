"""Hierarchies: chains against closed forms, bounds against quadrature, ladders against Bayes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from course_lib import bounds
from course_lib.checkpoints import load_model
from course_lib.evaluation import estimate, evaluate
from course_lib.models.hierarchical import Chain, hierarchical_vae, layer_rates
from course_lib.training import fit

KINDS = pytest.mark.parametrize("ladder", [False, True], ids=["bottom up", "ladder"])
SHAPE = (1, 2, 3)


def small(ladder: bool, sizes=(1, 1), **options) -> nn.Module:
    torch.manual_seed(4)
    options = {"hidden": [5] * len(sizes), **options}
    model = hierarchical_vae(SHAPE, sizes, ladder=ladder, **options).double().eval()
    with torch.no_grad():
        for p in model.parameters():  # biases that are not zero
            p.mul_(0.7).add_(0.1 * torch.randn_like(p))
    return model


def some_images(count: int) -> torch.Tensor:
    return torch.bernoulli(torch.full((count, *SHAPE), 0.5, dtype=torch.float64))


def linear_chain(downwards: bool) -> tuple[Chain, MultivariateNormal]:
    """a ~ N(m, diag s^2), b|a ~ N(W a + c, diag t^2); and their joint, in the order of z."""
    torch.manual_seed(0)
    double = {"dtype": torch.float64}
    m, s = torch.randn(2, **double), torch.rand(2, **double) + 0.5
    w, c, t = torch.randn(3, 2, **double), torch.randn(3, **double), torch.rand(3, **double) + 0.5
    chain = Chain(
        Independent(Normal(m, s), 1),
        [lambda a: Independent(Normal(a @ w.T + c, t), 1)],
        (3, 2) if downwards else (2, 3),
        downwards,
    )
    a, cross = torch.diag(s**2), w @ torch.diag(s**2)
    b = cross @ w.T + torch.diag(t**2)
    if downwards:
        joint = (
            torch.cat([w @ m + c, m]),
            torch.cat([torch.cat([b, cross], 1), torch.cat([cross.T, a], 1)]),
        )
    else:
        joint = (
            torch.cat([m, w @ m + c]),
            torch.cat([torch.cat([a, cross.T], 1), torch.cat([cross, b], 1)]),
        )
    return chain, MultivariateNormal(*joint)


@pytest.mark.parametrize("downwards", [False, True])
def test_a_linear_chain_is_one_normal(downwards):
    chain, joint = linear_chain(downwards)
    z = joint.sample((4, 6))
    torch.testing.assert_close(chain.log_prob(z), joint.log_prob(z))
    z = chain.sample((40_000,))
    error = z.std(0) / math.sqrt(len(z))
    assert ((z.mean(0) - joint.mean).abs() < 5 * error).all()
    centered = z - joint.mean
    products = centered[:, :, None] * centered[:, None]
    error = products.std(0) / math.sqrt(len(z))
    assert ((products.mean(0) - joint.covariance_matrix).abs() < 5 * error).all()


@KINDS
def test_the_density_of_a_draw_needs_no_second_pass_and_is_the_same(ladder):
    model = small(ladder, (3, 2, 2))
    q = model.posterior(some_images(4))
    z = q.rsample((5,))
    passes = []
    handles = [m.register_forward_hook(lambda *_: passes.append(1)) for m in model.modules()]
    of_draw = q.log_prob(z)
    assert not passes
    torch.testing.assert_close(of_draw, q.log_prob(z.clone()), rtol=1e-12, atol=1e-12)
    assert passes
    for handle in handles:
        handle.remove()
    other = q.rsample((5,))
    assert (q.log_prob(other) != q.log_prob(z)).all()
    assert z.shape == (5, 4, 7) and q.event_shape == (7,) and q.batch_shape == (4,)


@KINDS
def test_the_density_of_a_sample_has_gradients(ladder):
    """A sample is drawn without, so its layers can't be those that the density is taken from."""
    model = small(ladder, (3, 2, 2))
    q = model.posterior(some_images(4))
    z = q.sample()
    networks = model.encoder if not ladder else (*model.heads, *model.generation)
    weights = [p for network in networks for p in network.parameters()]
    found = torch.autograd.grad(q.log_prob(z).sum(), weights, retain_graph=True)
    for a, b in zip(found, torch.autograd.grad(q.log_prob(z.clone()).sum(), weights), strict=True):
        torch.testing.assert_close(a, b)
        assert a.abs().sum() > 0
    with torch.no_grad():
        torch.testing.assert_close(q.log_prob(z), q.log_prob(z.clone()))


@KINDS
def test_bounds_against_quadrature(ladder):
    """log p(x) by a fine grid over both latents: IWAE reaches it, the ELBO stays below."""
    model, x = small(ladder), some_images(3)
    side = torch.linspace(-10, 10, 301, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        log_joint = model.prior().log_prob(grid)
        total = torch.logsumexp(log_joint, 0) + 2 * math.log(side[1] - side[0])
        assert abs(total) < 1e-6  # the prior is a density
        log_px_z = model.likelihood(grid[:, None]).log_prob(x)
        exact = torch.logsumexp(log_joint[:, None] + log_px_z, 0) + 2 * math.log(side[1] - side[0])
        # And q is one.
        log_q = model.posterior(x).log_prob(grid[:, None].expand(-1, 3, 2))
        mass = torch.logsumexp(log_q, 0) + 2 * math.log(side[1] - side[0])
        assert (mass.abs() < 1e-6).all()
        elbo = (log_q.exp() * (log_joint[:, None] + log_px_z - log_q)).sum(0)
        elbo = elbo * (side[1] - side[0]) ** 2
    assert (elbo < exact).all()
    torch.manual_seed(0)
    with torch.no_grad():
        log_w = bounds.log_weights(model, x, 20_000)
    error = log_w.std(0) / math.sqrt(len(log_w))
    assert ((log_w.mean(0) - elbo).abs() < 5 * error).all()
    w = torch.exp(log_w - exact)
    assert ((w.mean(0) - 1).abs() < 5 * w.std(0) / math.sqrt(len(w))).all()


def test_a_ladder_merges_by_the_product_of_two_normals():
    model, x = small(True, (3, 2)), some_images(4)
    q = model.posterior(x)
    above = torch.randn(4, 2, dtype=torch.float64)
    merged = q.steps[0](above)
    p = model.prior().steps[0](above)
    mu, logvar = model.heads[0](model.encoder[0](x)).chunk(2, -1)
    guess = Independent(Normal(mu, torch.exp(0.5 * logvar)), 1)
    a, b = torch.randn(2, 4, 3, dtype=torch.float64)
    left = merged.log_prob(a) - merged.log_prob(b)
    right = p.log_prob(a) + guess.log_prob(a) - p.log_prob(b) - guess.log_prob(b)
    torch.testing.assert_close(left, right)


@KINDS
def test_the_rates_of_the_layers_add_up_to_the_rate(ladder):
    model, x = small(ladder, (3, 2, 2)), some_images(5)
    torch.manual_seed(1)
    rates = layer_rates(model, x, 7)
    torch.manual_seed(1)
    q = model.posterior(x)
    z = q.rsample((7,))
    torch.testing.assert_close(rates.sum(0), (q.log_prob(z) - model.prior().log_prob(z)).mean(0))
    assert rates.shape == (3, 5)


def test_rates_of_a_ladder_are_averages_of_exact_ones():
    model, x = small(True, (3, 2)), some_images(3)
    torch.manual_seed(2)
    q, p = model.posterior(x), model.prior()
    z = q.rsample((4000,))
    lower = kl_divergence(q.steps[0](z[..., 3:]), p.steps[0](z[..., 3:]))
    torch.manual_seed(2)
    with torch.no_grad():
        got = layer_rates(model, x, 4000)
    draws = (q.log_probs(z)[0] - p.log_probs(z)[0]) - lower
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((got[0] - lower.mean(0)).abs() < 5 * error).all()
    upper = kl_divergence(q.first, p.first)
    draws = q.log_probs(z)[1] - p.log_probs(z)[1]
    assert ((got[1] - upper).abs() < 5 * draws.std(0) / math.sqrt(len(draws))).all()


@KINDS
def test_it_trains_evaluates_samples_and_is_kept(ladder, tmp_path):
    torch.manual_seed(0)
    x = (torch.rand(600, 1, 1, 1) < 0.5).float().expand(-1, *SHAPE).clone()
    torch.manual_seed(0)
    model = hierarchical_vae(SHAPE, (3, 2), (8, 8), ladder=ladder, prior="mixture", components=4)
    options = {"epochs": 12, "batch_size": 20, "lr": 1e-2, "progress": False}
    run = fit(model, x, **options, checkpoint=tmp_path / "a.pt")
    report = evaluate(run.model, x[:200], num_samples=50)
    # All pixels black or all white: log 2 nats, where independent pixels would cost 6 log 2.
    assert -estimate(report.iwae).mean < 2 * math.log(2)
    assert -estimate(report.iwae).mean > math.log(2) - 0.1
    assert run.model.sample(7).shape == (7, *SHAPE)
    again = load_model(tmp_path / "a.pt")
    torch.testing.assert_close(again.reconstruct(x[:5]), run.model.reconstruct(x[:5]))


def test_refill_keeps_the_upper_layers():
    model = small(False, (3, 2, 2))
    z = model.prior().sample((6,))
    again = model.refill(z, 2)
    assert torch.equal(again[:, 3:], z[:, 3:]) and (again[:, :3] != z[:, :3]).all()
    assert torch.equal(model.refill(z, 3), z)
    assert (model.refill(z, 0) != z).all()
    with pytest.raises(ValueError, match="from 0 to 3"):
        model.refill(z, 4)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sizes": (3, 2), "hidden": (5,)}, "hidden holds the widths of 1 layers and sizes has 2"),
        ({"sizes": (3, 0), "hidden": (5, 5)}, "a size in sizes is 0"),
        ({"sizes": (3,), "hidden": ([],)}, "at least one width"),
    ],
)
def test_unusable_sizes_get_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        hierarchical_vae(SHAPE, **options)


@KINDS
def test_images_and_latents_of_another_shape_are_refused(ladder):
    model = small(ladder)
    with pytest.raises(ValueError, match="this model was made for images"):
        model.posterior(torch.zeros(2, 1, 4, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="2 latents"):
        model.likelihood(torch.zeros(2, 3, dtype=torch.float64))
