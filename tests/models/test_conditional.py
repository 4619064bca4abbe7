"""The conditional VAE against sums and integrals, its guidance, and what it refuses."""

import math
import re
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from course_lib import bounds, training
from course_lib.models import conditional_vae
from course_lib.models.conditional import cfg_logits, sometimes_hidden
from course_lib.models.conditions import Captions, Factors, Joined, Labels, Picture

SHAPE = (1, 1, 2)
EVERY = torch.tensor(list(product((0.0, 1.0), repeat=2)), dtype=torch.float64).reshape(4, *SHAPE)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def small(learned_prior: bool = False, **options):
    """Two binary pixels, one latent, three classes, weights large enough to matter."""
    model = conditional_vae(
        Labels(3), SHAPE, latent_dim=1, hidden=(8,), learned_prior=learned_prior, **options
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight))
        if learned_prior:  # widths that the grid below resolves
            model.prior_network[-1].weight.mul_(0.3)
    return model.double()


def probabilities(model, c: int, weight: float = 1.0) -> torch.Tensor:
    """p(x|c) of the four images by integrating over z, [4]."""
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    context = torch.full((len(grid),), c)
    log_pz = model.prior(torch.tensor([c])).log_prob(grid[:, None])
    if weight == 1:
        likelihood = model.likelihood(grid[:, None], context)
    else:
        likelihood = model.guided(grid[:, None], context, weight=weight)
    log_joint = torch.stack([likelihood.log_prob(x) + log_pz for x in EVERY], 1)
    return log_joint.exp().detach().sum(0) * (grid[1] - grid[0])


@pytest.mark.parametrize("learned_prior", [False, True])
def test_parts_are_distributions_of_one_row_of_context_each(learned_prior):
    model = conditional_vae(Labels(4), (2, 5, 7), 3, (16,), learned_prior=learned_prior)
    x, y = torch.rand(6, 2, 5, 7).round(), torch.tensor([0, 1, 2, 3, -1, 1])
    p = model.prior(y)
    assert p.batch_shape == ((6,) if learned_prior else ()) and p.event_shape == (3,)
    assert model.posterior(x, y).batch_shape == (6,)
    assert model.likelihood(torch.randn(5, 6, 3), y).batch_shape == (5, 6)
    terms = bounds.terms(model, x, y)
    assert terms.rate.shape == terms.distortion.shape == (6,) and terms.elbo.isfinite().all()
    assert bounds.log_weights(model, x, 9, y).shape == (9, 6)
    assert model.sample(y).shape == model.reconstruct(x, y).shape == x.shape
    assert set(model.sample(y).unique().tolist()) == {0.0, 1.0}
    assert ((model.sample(y, mean=True) % 1) > 0).any()


@pytest.mark.parametrize("learned_prior", [False, True])
def test_loss_is_the_formula_written_out(learned_prior):
    model = conditional_vae(Labels(4), (1, 5, 7), 3, (16,), learned_prior=learned_prior).double()
    x, y = torch.rand(6, 1, 5, 7, dtype=torch.float64).round(), torch.arange(6) % 4
    c = F.one_hot(y, 4).double()
    mu, logvar = model.encoder(torch.cat([x.flatten(1), c], 1)).chunk(2, 1)
    torch.manual_seed(1)
    terms = bounds.terms(model, x, y)
    torch.manual_seed(1)
    logits = model.decoder(torch.cat([mu + (0.5 * logvar).exp() * torch.randn_like(mu), c], 1))
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
    mu_p, logvar_p = torch.zeros_like(mu), torch.zeros_like(mu)
    if learned_prior:
        mu_p, logvar_p = model.prior_network(c).chunk(2, 1)
    ratio = (logvar.exp() + (mu - mu_p) ** 2) / logvar_p.exp()
    rate = 0.5 * (logvar_p - logvar + ratio - 1).sum(1)
    torch.testing.assert_close(terms.distortion, bce, rtol=0, atol=1e-10)
    torch.testing.assert_close(terms.rate, rate, rtol=0, atol=1e-10)


@pytest.mark.parametrize("learned_prior", [False, True])
def test_bounds_hold_against_the_integral(learned_prior):
    """Importance weights average to p(x|c), which sums to one, and the ELBO lies below its log."""
    model = small(learned_prior)
    for c in range(3):
        exact = probabilities(model, c)
        torch.testing.assert_close(exact.sum(), torch.ones(()).double(), rtol=0, atol=1e-8)
        y = torch.full((4,), c)
        with torch.no_grad():
            # Draws from the prior: these weights are bounded, so their standard error is honest.
            z = model.prior(torch.tensor([c])).sample((20_000,)).reshape(-1, 1)
            w = torch.stack(
                [model.likelihood(z, torch.full((len(z),), c)).log_prob(x).exp() for x in EVERY]
            )
            assert ((w.mean(1) - exact).abs() < 5 * w.std(1) / math.sqrt(len(z))).all()
            elbo = torch.stack([bounds.elbo(model, EVERY, 500, y) for _ in range(8)])
        error = elbo.std(0) / math.sqrt(8)
        assert (elbo.mean(0) < exact.log() + 5 * error).all()


@pytest.mark.parametrize("weight", [1.0, 2.5])
@pytest.mark.parametrize("learned_prior", [False, True])
def test_sampler_agrees_with_the_density(learned_prior, weight):
    model, n = small(learned_prior), 20_000
    for c in range(3):
        drawn = model.sample(torch.full((n,), c), weight=weight).flatten(1)
        share = torch.stack([(drawn == x.flatten()).all(1).double().mean() for x in EVERY])
        exact = probabilities(model, c, weight)
        assert ((share - exact).abs() < 5 * (exact * (1 - exact) / n).sqrt() + 1e-9).all()


def test_each_row_follows_its_own_context():
    model = small(learned_prior=True)
    z, y = torch.randn(7, 3, 1, dtype=torch.float64), torch.tensor([2, 0, 1])
    logits = model.decode(z, y)
    prior = model.prior(y)
    for i in range(3):
        torch.testing.assert_close(
            logits[:, i : i + 1], model.decode(z[:, i : i + 1], y[i : i + 1])
        )
        torch.testing.assert_close(prior.mean[i], model.prior(y[i : i + 1]).mean[0])
    assert not torch.allclose(logits, model.decode(z, y.flip(0)))


@pytest.mark.parametrize("weight", [-1.0, 0.0, 0.3, 1.0, 2.0, 4.0])
def test_guidance_is_the_normalized_product(weight):
    a, b = torch.randn(2, 100, dtype=torch.float64)
    on = torch.sigmoid(a) ** weight * torch.sigmoid(b) ** (1 - weight)
    off = torch.sigmoid(-a) ** weight * torch.sigmoid(-b) ** (1 - weight)
    torch.testing.assert_close(torch.sigmoid(cfg_logits(a, b, weight)), on / (on + off))


def test_guided_is_the_model_at_one_and_unconditional_at_zero():
    model = small()
    z, y = torch.randn(5, 1, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    one = model.guided(z, y, weight=1.0)
    torch.testing.assert_close(one.mean, model.likelihood(z, y).mean)
    zero = model.guided(z, y, weight=0)
    torch.testing.assert_close(zero.mean, model.likelihood(z, torch.full_like(y, -1)).mean)
    assert not torch.allclose(zero.mean, one.mean)


def test_the_hidden_share_is_the_share_that_was_asked_for():
    model = small()
    with torch.no_grad():  # a decoder and an encoder that show whether a row was hidden
        for network in (model.encoder, model.decoder):
            for weight in network.parameters():
                weight.zero_()
        model.encoder[0].weight[0, 2:], model.encoder[2].weight[0, 0] = 1.0, 1.0
    n, share = 4000, 0.3
    x, y = torch.zeros(n, *SHAPE, dtype=torch.float64), torch.randint(0, 3, (n,))
    shown, hidden = (bounds.terms(model, x[:1], c).rate for c in (y[:1], torch.tensor([-1])))
    assert shown != hidden
    rate = sometimes_hidden(share)(model, x, y).rate
    assert ((rate == shown) | (rate == hidden)).all()
    error = math.sqrt(share * (1 - share) / n)
    assert abs((rate == hidden).double().mean() - share) < 5 * error
    assert (sometimes_hidden(0)(model, x, y).rate == shown).all()
    assert (sometimes_hidden(1)(model, x, y).rate == hidden).all()


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan, "half"])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="share is .*from 0 to 1"):
        sometimes_hidden(share)


def test_hide_all_says_nothing_whatever_the_condition():
    factors = torch.randn(20, 3)
    both = Joined(Labels(4), Factors(factors), Captions(["a", "b"], 5, 3), Picture((1, 4, 4), 6))
    model = conditional_vae(both, (1, 4, 4), 2, (8,))

    def context(seed):
        torch.manual_seed(seed)
        tokens = torch.randint(0, 3, (7, 3))
        return torch.randint(0, 4, (7,)), torch.randn(7, 3), tokens, torch.rand(7, 1, 4, 4)

    first, second = model.hide_all(*context(1)), model.hide_all(*context(2))
    assert [t.shape for t in first] == [t.shape for t in context(1)]
    z = torch.randn(7, 2)
    assert torch.equal(model.decode(z, *first), model.decode(z, *second))
    assert not torch.allclose(model.decode(z, *context(1)), model.decode(z, *context(2)))


def test_training_gives_the_class_that_is_asked_for():
    """Images whose row is the class: shown, the class decides; hidden, all classes come."""
    y = torch.arange(600) % 3
    x = torch.zeros(600, 1, 3, 4)
    x[torch.arange(600), 0, y] = 1.0
    model = conditional_vae(Labels(3), (1, 3, 4), 2, (32,), learned_prior=True)
    options = {"epochs": 25, "batch_size": 50, "lr": 1e-2, "device": "cpu", "progress": False}
    model = training.fit(model, [x, y], objective=sometimes_hidden(0.3), **options).model

    def found(context):
        return model.sample(context, mean=True).mean((1, 3)).argmax(1)

    assert (found(y) == y).float().mean() > 0.95
    unasked = found(torch.full((600,), -1))
    assert all((unasked == c).sum() > 20 for c in range(3))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda m, x, y: m.posterior(x), TypeError, "0 tensors of context were given.*on 1"),
        (lambda m, x, y: m.sample(), TypeError, "0 tensors of context"),
        (lambda m, x, y: m.hide_all(), TypeError, "0 tensors of context"),
        (lambda m, x, y: m.sample(y, y), TypeError, "2 tensors of context"),
        (lambda m, x, y: m.sample(3), TypeError, "context is int; a tensor with one row"),
        (lambda m, x, y: m.sample(y[0]), TypeError, "a tensor with one row for each image"),
        (lambda m, x, y: m.sample(y + 9), ValueError, r"label is 9; the classes are 0 to 2"),
        (lambda m, x, y: m.posterior(x, y[:2]), ValueError, "4 images came with 2 rows"),
        (lambda m, x, y: m.likelihood(x.new_zeros(5, 1), y), ValueError, "beside 4 rows of cont"),
        (lambda m, x, y: m.likelihood(x.new_zeros(1), y), ValueError, "beside 4 rows of context"),
        (lambda m, x, y: m.posterior(x[..., :1], y), ValueError, "made for images"),
        (lambda m, x, y: m.posterior(x.float(), y), TypeError, "weights of this model are"),
        (lambda m, x, y: m.sample(y, weight=math.nan), ValueError, "weight is nan; a finite"),
        (lambda m, x, y: m.guided(x.new_zeros(4, 1), y, weight="2"), ValueError, "weight is '2'"),
    ],
)
def test_bad_input_gets_a_sentence(call, kind, message):
    with pytest.raises(kind, match=message):
        call(small(), EVERY, torch.tensor([0, 1, 2, 0]))


def test_context_of_unequal_lengths_is_refused():
    model = conditional_vae(Joined(Labels(3), Labels(2)), (1, 4, 4), 2, (8,))
    with pytest.raises(ValueError, match=r"context has \[3, 2\] rows"):
        model.sample(torch.zeros(3, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"hidden": 300}, TypeError, "hidden is 300; a sequence of widths"),
        ({"hidden": (0,)}, ValueError, "a width in hidden is 0"),
        ({"image_shape": (28, 28)}, ValueError, "image_shape is (28, 28)"),
    ],
)
def test_sizes_that_make_no_network_are_refused(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        conditional_vae(Labels(10), **arguments)
