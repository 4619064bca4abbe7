"""M2 against loops, sums and integrals, its objective, and what it refuses."""

import math
import re
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import distributions as td

from course_lib import bounds, training
from course_lib.models.semi_supervised import m2_objective, semi_supervised_vae

SHAPE, CLASSES = (1, 1, 2), 3
EVERY = torch.tensor(list(product((0.0, 1.0), repeat=2)), dtype=torch.float64).reshape(4, *SHAPE)


def small(**options):
    """Two pixels, one latent, three classes, weights large enough to matter."""
    model = semi_supervised_vae(SHAPE, CLASSES, 1, (8,), **options)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight))
    return model.double()


class Linear(torch.nn.Module):
    """p(x|z,y) = N(params, sigma^2): a normal without the sigmoid of the library's."""

    def __init__(self, sigma: float):
        super().__init__()
        self.sigma = sigma

    def forward(self, params):
        return td.Independent(td.Normal(params, self.sigma), 3)


def log_joint(model) -> torch.Tensor:
    """log p(x, y) of the four images by integrating over z, [4, CLASSES]."""
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)[:, None]
    log_pz, columns = model.prior().log_prob(grid), []
    for c in range(CLASSES):
        px = model.likelihood(grid, torch.full((len(grid),), c))
        log_p = torch.stack([px.log_prob(x) + log_pz for x in EVERY], 1).detach()
        columns.append(log_p.logsumexp(0) + (grid[1] - grid[0]).log() - math.log(CLASSES))
    return torch.stack(columns, 1)


def test_parts():
    model = semi_supervised_vae((2, 3, 5), 4, 3, (16,))
    x, y = torch.rand(6, 2, 3, 5).round(), torch.tensor([0, 1, 2, 3, 3, 1])
    assert model.classify(x).probs.shape == (6, 4) and model.classify(x).batch_shape == (6,)
    assert model.posterior(x, y).batch_shape == (6,) and model.prior(y).event_shape == (3,)
    assert model.likelihood(torch.randn(5, 6, 3), y).batch_shape == (5, 6)
    assert model.labeled_bound(x, y).shape == model.unlabeled_bound(x).shape == (6,)
    assert torch.equal(model.predict(x, batch_size=4), model.classify(x).probs.argmax(1))


def test_unlabeled_bound_is_what_a_loop_over_classes_gives():
    model = semi_supervised_vae((1, 4, 5), 3, 2, (7,)).double()
    x = torch.rand(5, 1, 4, 5, dtype=torch.float64).round()
    torch.manual_seed(1)
    found = model.unlabeled_bound(x)
    torch.manual_seed(1)
    eps = torch.randn(15, 2, dtype=torch.float64).reshape(5, 3, 2)
    log_q = model.classifier(x.flatten(1)).log_softmax(1)
    for i, one in enumerate(x):
        total = 0.0
        for y in range(3):
            c = F.one_hot(torch.tensor(y), 3).double()
            mu, logvar = model.encoder(torch.cat([one.flatten(), c])[None]).chunk(2, 1)
            z = mu + (0.5 * logvar).exp() * eps[i, y]
            logits = model.decoder(torch.cat([z[0], c])[None])[0]
            log_px = -F.binary_cross_entropy_with_logits(logits, one, reduction="sum")
            rate = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum()
            total = total + log_q[i, y].exp() * (log_px - rate - math.log(3) - log_q[i, y])
        torch.testing.assert_close(found[i], total, rtol=0, atol=1e-10)


def test_labeled_bound_is_the_conditional_elbo_and_the_prior_of_the_label():
    model, y = small(), torch.tensor([0, 2, 1, 0])
    torch.manual_seed(1)
    found = model.labeled_bound(EVERY, y)
    torch.manual_seed(1)
    torch.testing.assert_close(found, bounds.terms(model, EVERY, y).elbo - math.log(3))


@torch.no_grad()
def test_bounds_lie_below_the_integral():
    model, times = small(), 4000
    exact = log_joint(model)
    torch.testing.assert_close(exact.exp().sum(), torch.ones(()).double(), rtol=0, atol=1e-8)
    x = EVERY.repeat(times, 1, 1, 1)
    for c in range(CLASSES):
        drawn = model.labeled_bound(x, torch.full((4 * times,), c)).reshape(times, 4)
        error = drawn.std(0) / math.sqrt(times)
        assert (drawn.mean(0) < exact[:, c] + 5 * error).all()
    drawn = model.unlabeled_bound(x).reshape(times, 4)
    error = drawn.std(0) / math.sqrt(times)
    assert (drawn.mean(0) < exact.logsumexp(1) + 5 * error).all()
    # With these weights the gap is nats; a bound that is far too low is wrong as well.
    best = exact.logsumexp(1) - drawn.mean(0)
    log_q = model.classify(EVERY).logits.log_softmax(1)
    kl_y = (log_q.exp() * (log_q - exact.log_softmax(1))).sum(1)
    assert (best > kl_y - 5 * error).all()  # KL(q(y|x) || p(y|x)) alone is a part of the gap


@torch.no_grad()
def test_the_bound_is_log_px_where_both_posteriors_are_exact():
    """Linear-Gaussian in each class: x = w z + b_y + sigma eps, so p(z|x,y) and p(y|x) are known.

    With one covariance C in all classes, log p(y|x) is linear in x up to a constant.
    """
    model, sigma = semi_supervised_vae(SHAPE, CLASSES, 1, ()).double(), 0.5
    model.head = Linear(sigma)
    w = torch.tensor([0.8, -0.3], dtype=torch.float64)
    b = torch.randn(CLASSES, 2, dtype=torch.float64)
    variance = 1 / (1 + w @ w / sigma**2)
    gain = variance * w / sigma**2  # E[z|x,y] = gain (x - b_y)
    precision = torch.linalg.inv(torch.outer(w, w) + sigma**2 * torch.eye(2).double())
    encoder, decoder, classifier = model.encoder[0], model.decoder[0], model.classifier[0]
    encoder.weight.zero_()[0] = torch.cat([gain, -b @ gain])
    encoder.bias.copy_(torch.stack([torch.zeros_like(variance), variance.log()]))
    decoder.weight.copy_(torch.cat([w[:, None], b.T], 1))
    decoder.bias.zero_()
    classifier.weight.copy_(b @ precision)
    classifier.bias.copy_(-0.5 * ((b @ precision) * b).sum(1))

    x, times = torch.randn(6, *SHAPE, dtype=torch.float64), 20_000
    normal = td.MultivariateNormal(b, precision_matrix=precision)
    log_pxy = normal.log_prob(x.flatten(1)[:, None]) - math.log(CLASSES)
    torch.testing.assert_close(model.classify(x).probs, log_pxy.softmax(1))
    drawn = model.unlabeled_bound(x.repeat(times, 1, 1, 1)).reshape(times, 6)
    error = drawn.std(0) / math.sqrt(times)
    assert error.max() < 0.01
    assert ((drawn.mean(0) - log_pxy.logsumexp(1)).abs() < 5 * error).all()


def test_the_gradient_of_the_unlabeled_bound_reaches_the_classifier():
    """d/d logits of sum q (g - log q) is q (a - sum q a), with a = g - log q."""
    model = small()
    logits = torch.randn(4, CLASSES, dtype=torch.float64, requires_grad=True)
    model.classifier.forward = lambda x: logits
    torch.manual_seed(1)
    model.unlabeled_bound(EVERY).sum().backward()
    torch.manual_seed(1)
    y = torch.arange(CLASSES).repeat(4)
    with torch.no_grad():
        given_y = model.labeled_bound(EVERY.repeat_interleave(CLASSES, 0), y).reshape(4, CLASSES)
        a = given_y - logits.log_softmax(1)
        expected = logits.softmax(1) * (a - (logits.softmax(1) * a).sum(1, keepdim=True))
    torch.testing.assert_close(logits.grad, expected)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())


def test_objective_is_the_three_terms():
    model, y = small(), torch.tensor([2, 0])
    given = EVERY[1:3]
    torch.manual_seed(1)
    found = m2_objective(given, y, alpha=7.0, weight=0.3)(model, EVERY)
    torch.manual_seed(1)
    log_q = model.classify(given).logits.log_softmax(1)
    labeled = 7 * -log_q[[0, 1], y].mean() - 0.3 * model.labeled_bound(given, y).mean()
    torch.testing.assert_close(found, labeled - model.unlabeled_bound(EVERY))
    torch.manual_seed(1)
    unlabeled = m2_objective(given, y, alpha=0.0, weight=0.0)(model, EVERY)
    torch.manual_seed(1)
    torch.testing.assert_close(unlabeled, -model.unlabeled_bound(EVERY))


def test_labeled_images_are_drawn_anew_and_binarized_where_asked():
    model, seen = small(), []
    ask = model.classify

    def spy(x):
        seen.append(x.clone())
        return ask(x)

    model.classify = spy
    given = torch.full((50, *SHAPE), 0.5, dtype=torch.float64)
    given[:, 0, 0, 0] = torch.arange(50) / 100
    objective = m2_objective(given, torch.zeros(50, dtype=torch.int64), 1.0, batch_size=8)
    objective(model, EVERY)
    objective(model, EVERY)
    first, second = seen[0], seen[2]
    assert len(first) == 8 and not torch.equal(first, second)
    assert all((row == given).flatten(1).all(1).any() for row in first)
    seen.clear()
    m2_objective(given, torch.zeros(50, dtype=torch.int64), 1.0, binarize=True)(model, EVERY)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0} and len(seen[0]) == 50


def test_training_from_one_label_of_each_class():
    """Three prototypes with flipped pixels: unlabeled images must teach what flips mean."""
    prototypes = torch.randn(3, 1, 5, 6).sign().clamp(min=0)
    y = torch.arange(600) % 3
    x = (prototypes[y] - (torch.rand(600, 1, 5, 6) < 0.15).float()).abs()
    state = torch.random.get_rng_state()
    objective = m2_objective(prototypes, torch.arange(3), alpha=20.0)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(0)
    model = semi_supervised_vae((1, 5, 6), 3, 2, (32,))
    state = torch.random.get_rng_state()
    options = {"epochs": 10, "lr": 5e-3, "batch_size": 50, "progress": False, "device": "cpu"}
    run = training.fit(model, x, objective=objective, **options)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (model.predict(x) == y).float().mean() > 0.95
    assert run.history[-1]["valid_loss"] < run.history[0]["valid_loss"]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: m.labeled_bound(EVERY, torch.tensor([0, -1, 0, 1])), "unlabeled_bound(x)"),
        (lambda m: m.labeled_bound(EVERY, torch.tensor([0, 3, 0, 1])), "A label is 3"),
        (lambda m: m_objective(y=torch.tensor([0, 1, 3, 2]))(m, EVERY), "A label is 3"),
        (lambda m: m.classify(EVERY.reshape(2, 2, 1, 2)), "made for images [B, 1, 1, 2]"),
        (lambda m: m_objective(alpha=-1.0), "alpha is -1.0; a number from 0 up"),
        (lambda m: m_objective(weight=math.nan), "weight is nan"),
        (lambda m: m_objective(batch_size=0), "batch_size is 0"),
        (lambda m: m_objective(y=torch.zeros(3, dtype=torch.int64)), "3 rows"),
        (lambda m: m_objective(y=torch.tensor([0, 1, -1, 2])), "from 0 up"),
        (lambda m: m_objective(y=torch.zeros(4)), "y_labeled is torch.float32"),
        (lambda m: semi_supervised_vae(SHAPE, 1), "at least 2 classes"),
    ],
)
def test_refusals(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call(small())


def m_objective(y=None, alpha=1.0, **options):
    return m2_objective(EVERY, torch.arange(4) % 3 if y is None else y, alpha, **options)
