"""The two gaps, on the linear-Gaussian oracle where both are exact."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import distributions as td

from course_lib.evaluation import estimate, inference_gaps, refine
from course_lib.models import mlp_vae
from course_lib.oracles import LinearGaussian, WithPosterior


def normal(mu, sigma):
    return td.Independent(td.Normal(mu, sigma), 1)


def bad_encoder(oracle):
    """A q that sees only the first pixel and is too wide."""
    return lambda x: normal(x[:, :1].expand(-1, oracle.latent_dim), torch.full((), 1.5).double())


# Enough to arrive from a start as bad as this one.
CLIMB = {"steps": 500, "lr": 0.2}


@pytest.fixture
def oracle():
    return LinearGaussian.example(seed=2)


@pytest.fixture
def x(oracle):
    torch.manual_seed(0)
    return oracle.sample(60)


def test_refine_reaches_the_best_diagonal_from_a_bad_start(oracle, x):
    model = WithPosterior(oracle, bad_encoder(oracle))
    q, best = refine(model, x, **CLIMB, num_samples=64), oracle.best_diagonal(x)
    torch.testing.assert_close(q.mean, best.mean, rtol=0, atol=5e-2)
    torch.testing.assert_close(q.stddev, best.stddev, rtol=0.1, atol=0)
    left = oracle.elbo(x, best) - oracle.elbo(x, q)
    assert (left > -1e-9).all() and left.max() < 0.01
    assert (oracle.elbo(x, best) - oracle.elbo(x, model.posterior(x))).min() > 0.1


def test_both_gaps_agree_with_the_oracle(oracle, x):
    model = WithPosterior(oracle, bad_encoder(oracle))
    gaps = inference_gaps(model, x, num_samples=2000, **CLIMB)
    log_px, best = oracle.log_evidence(x), oracle.elbo(x, oracle.best_diagonal(x))
    exact = {
        "log_px": log_px,
        "elbo_best": best,
        "elbo_encoder": oracle.elbo(x, model.posterior(x)),
        "approximation": oracle.mean_field_gap().expand(60),
        "amortization": best - oracle.elbo(x, model.posterior(x)),
        "total": log_px - oracle.elbo(x, model.posterior(x)),
    }
    for name, truth in exact.items():
        off = estimate(getattr(gaps, name) - truth)
        # What is left of the climb (0.01, see above) and of Jensen's gap is added to the noise.
        assert abs(off.mean) < 5 * off.se + 0.01, name
    assert estimate(gaps.approximation - exact["approximation"]).se < 0.05  # noise is shared
    torch.testing.assert_close(gaps.approximation + gaps.amortization, gaps.total)
    assert gaps.num_samples == 2000 and "2 × 2,000 draws" in str(gaps)


def test_the_best_encoder_has_no_amortization_gap(oracle, x):
    gaps = inference_gaps(WithPosterior(oracle, oracle.best_diagonal), x, num_samples=500)
    assert abs(estimate(gaps.amortization).mean) < 0.02  # the same noise in both
    off = estimate(gaps.approximation - oracle.mean_field_gap())
    assert abs(off.mean) < 5 * off.se + 0.01


def test_images_are_refined_one_by_one_and_beside_a_context(oracle, x):
    model = WithPosterior(oracle, bad_encoder(oracle))
    shift = torch.arange(60.0).double()[:, None]
    conditional = SimpleNamespace(
        prior=lambda y: oracle.prior(),
        posterior=lambda x, y: model.posterior(x - y),
        likelihood=lambda z, y: td.Independent(td.Normal(oracle.likelihood(z).mean + y, 0.7), 1),
    )
    plain = inference_gaps(model, x, num_samples=50, steps=30)
    # In chunks of one image the noise of an image would differ; here the rows must not mix.
    shifted = inference_gaps(conditional, x + shift, shift, num_samples=50, steps=30)
    torch.testing.assert_close(plain.elbo_best, shifted.elbo_best)
    torch.testing.assert_close(plain.log_px, shifted.log_px)
    chunks = inference_gaps(model, x, num_samples=50, steps=30, max_rows=70)
    for name in ("elbo_best", "log_px"):
        off = estimate(getattr(chunks, name) - getattr(plain, name))
        assert abs(off.mean) < 5 * off.se


def test_the_model_and_the_session_are_left_alone():
    torch.manual_seed(3)
    model = mlp_vae((1, 6, 6), latent_dim=2, hidden=(8,)).eval()
    x = torch.rand(5, 1, 6, 6).round()
    weights = [p.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    with torch.no_grad():  # as an evaluation may be
        q, again = (refine(model, x, steps=5) for _ in range(2))
        start = model.posterior(x)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(q.mean, again.mean) and not q.mean.requires_grad
    assert not torch.equal(q.mean, start.mean)
    assert not torch.equal(q.mean, refine(model, x, steps=5, seed=1).mean)


def test_a_prior_without_a_closed_form_will_do(oracle, x):
    model = WithPosterior(oracle, bad_encoder(oracle))
    halves = td.Categorical(torch.tensor([0.5, 0.5], dtype=torch.float64))
    model.prior = lambda: td.MixtureSameFamily(halves, oracle.prior().expand((2,)))
    q = refine(model, x, **CLIMB)
    assert (oracle.elbo(x, oracle.best_diagonal(x)) - oracle.elbo(x, q)).mean() < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 3}, "an even number"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"seed": 0.5}, "seed is 0.5"),
    ],
)
def test_bad_numbers_get_a_sentence(oracle, x, options, message):
    with pytest.raises(ValueError, match=message):
        refine(WithPosterior(oracle, oracle.best_diagonal), x, **options)


def test_only_diagonal_normals_are_refined(oracle, x):
    with pytest.raises(TypeError, match="MultivariateNormal; Independent"):
        refine(oracle, x)
    with pytest.raises(TypeError, match="without a prior"):
        refine(None, x)


def test_one_image_is_shown_without_a_standard_error(oracle, x):
    gaps = inference_gaps(
        WithPosterior(oracle, oracle.best_diagonal), x[:1], num_samples=2, steps=1
    )
    assert "amortization gap" in repr(gaps) and "±" not in repr(gaps)
