"""Evaluation against the linear-Gaussian oracle, and in chunks."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import distributions as td

from course_lib.data import fixed_binarization
from course_lib.evaluation import bits_per_dim, estimate, evaluate
from course_lib.models import mlp_vae
from course_lib.oracles import LinearGaussian, WithPosterior


@pytest.fixture
def oracle():
    return LinearGaussian.example()


def loose(oracle):
    def q(x):
        best = oracle.best_diagonal(x).base_dist
        return td.Independent(td.Normal(best.loc, 1.4 * best.scale), 1)

    return WithPosterior(oracle, q)


def test_exact_posterior_gives_the_evidence(oracle):
    torch.manual_seed(0)
    x = oracle.sample(9)
    report = evaluate(oracle, x, num_samples=12, max_rows=20)
    torch.testing.assert_close(report.iwae, oracle.log_evidence(x), rtol=0, atol=1e-9)


def test_the_order_holds_and_more_samples_tighten(oracle):
    torch.manual_seed(1)
    x, model = oracle.sample(400), loose(oracle)
    one, many = (evaluate(model, x, num_samples=k) for k in (4, 200))
    truth = oracle.log_evidence(x)
    assert one.elbo.mean() < one.iwae.mean() < many.iwae.mean()
    gap = estimate(truth - many.iwae)
    assert -4 * gap.se < gap.mean < estimate(truth - one.iwae).mean
    assert torch.equal(one.rate, td.kl_divergence(model.posterior(x), oracle.prior()))


@pytest.mark.parametrize("max_rows", [1, 7, 50, 10_000])
def test_chunks_change_the_draws_but_not_the_estimate(oracle, max_rows):
    torch.manual_seed(2)
    x, model = oracle.sample(40), loose(oracle)
    whole = evaluate(model, x, num_samples=60, max_rows=100_000)
    parts = evaluate(model, x, num_samples=60, max_rows=max_rows, seed=1)
    for name in ("elbo", "iwae"):
        difference = estimate(getattr(whole, name) - getattr(parts, name))
        assert abs(difference.mean) < 5 * difference.se + 1e-9


def test_memory_is_bounded_by_rows(oracle):
    rows = []

    model = WithPosterior(oracle, oracle.best_diagonal)

    def spy(z):
        rows.append(z.shape[:-1].numel())
        return oracle.likelihood(z)

    model.likelihood = spy
    evaluate(model, oracle.sample(11), num_samples=70, max_rows=32)
    assert max(rows) <= 32 and sum(rows) == 11 * 70


def test_a_seed_decides_and_the_session_keeps_its_random_state():
    torch.manual_seed(3)
    model = mlp_vae((1, 6, 6), latent_dim=2, hidden=(8,))
    x = fixed_binarization(torch.rand(20, 1, 6, 6))
    state = torch.get_rng_state()
    a = evaluate(model, x, num_samples=5)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(3)  # what the session draws in between does not matter
    b, other = evaluate(model, x, num_samples=5), evaluate(model, x, num_samples=5, seed=1)
    assert torch.equal(a.iwae, b.iwae) and not torch.equal(a.iwae, other.iwae)
    assert "IWAE-5" in str(a) and "±" in str(a) and a.num_dims == 36


def test_the_rate_is_estimated_where_it_has_no_closed_form(oracle):
    """The prior as a mixture of two equal parts: the same density, without a registered KL."""
    torch.manual_seed(4)
    x, model = oracle.sample(200), loose(oracle)
    exact = td.kl_divergence(model.posterior(x), oracle.prior())
    halves = td.Categorical(torch.tensor([0.5, 0.5], dtype=torch.float64))
    model.prior = lambda: td.MixtureSameFamily(halves, oracle.prior().expand((2,)))
    report = evaluate(model, x, num_samples=50, max_rows=20)  # in chunks of 20, 20 and 10 draws
    difference = estimate(report.rate - exact)
    assert abs(difference.mean) < 5 * difference.se and difference.se < 0.1


def test_the_report_turns_the_sign_of_bits(oracle):
    torch.manual_seed(5)
    report = evaluate(oracle, oracle.sample(50), num_samples=2)
    bits = -report.elbo.mean().item() / (report.num_dims * math.log(2))
    line = str(report).splitlines()[1]
    assert line.startswith("ELBO") and line.endswith(f" {bits:.4f}")


def test_estimate_is_mean_and_standard_error():
    e = estimate(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert e.mean == 2.5 and e.se == pytest.approx(math.sqrt(5 / 3) / 2)
    assert str(e) == "2.50 ± 0.65"


def test_bits_per_dim():
    assert bits_per_dim(784 * math.log(2), 784) == pytest.approx(1.0)
    values = torch.tensor([0.0, 10 * math.log(2)], dtype=torch.float64)
    torch.testing.assert_close(bits_per_dim(values, 5), torch.tensor([0.0, 2.0]).double())


def test_bad_input_gets_a_sentence():
    model = mlp_vae((1, 6, 6), latent_dim=2, hidden=(8,))
    with pytest.raises(ValueError, match="grey pixels"):
        evaluate(model, torch.full((3, 1, 6, 6), 0.3))
    with pytest.raises(ValueError, match="is empty"):
        evaluate(model, torch.zeros(0, 1, 6, 6))
    with pytest.raises(ValueError, match="num_samples is 0"):
        evaluate(model, torch.zeros(2, 1, 6, 6), num_samples=0)
    with pytest.raises(ValueError, match="at least two"):
        estimate(torch.ones(1))
    with pytest.raises(ValueError, match="num_dims is 0"):
        bits_per_dim(1.0, 0)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (torch.zeros(2, 1, 6, 6).numpy(), {}, TypeError, "x is a ndarray"),
        ([0.0], {}, TypeError, "x is a list"),
        (torch.zeros(2, 1, 6, 6).byte(), {}, TypeError, r"x\.float\(\) / 255"),
        (torch.full((2, 1, 6, 6), math.nan), {}, ValueError, "without NaN"),
        (torch.full((2, 1, 6, 6), 255.0), {}, ValueError, "from 255 to 255"),
        (torch.zeros(6, 6), {}, ValueError, "unsqueeze"),
        (torch.zeros(2, 1, 7, 7), {}, ValueError, "this model was made for images"),
        (torch.zeros(2, 1, 6, 6), {"num_samples": 2.5}, ValueError, "num_samples is 2.5"),
        (torch.zeros(2, 1, 6, 6), {"max_rows": 0}, ValueError, "max_rows is 0"),
        (torch.zeros(2, 1, 6, 6), {"seed": 2**70}, ValueError, "at most 64 bits"),
    ],
)
def test_bad_examples_and_numbers_get_a_sentence(x, options, error, message):
    model = mlp_vae((1, 6, 6), latent_dim=2, hidden=(8,), likelihood="gaussian")
    with pytest.raises(error, match=message):
        evaluate(model, x, **options)


def test_oracles_get_the_sentence_for_nan_too(oracle):
    with pytest.raises(ValueError, match="NaN or infinite"):
        evaluate(oracle, oracle.sample(3) * math.nan)


def test_what_is_no_model_and_context_that_does_not_fit_are_refused(oracle):
    with pytest.raises(TypeError, match="mlp_vae itself, without a prior"):
        evaluate(mlp_vae, torch.zeros(2, 1, 6, 6))
    x, labels = oracle.sample(4), torch.zeros(4)
    with pytest.raises(TypeError, match="prior of this LinearGaussian does not take as many"):
        evaluate(oracle, x, labels)
    conditional = SimpleNamespace(
        prior=lambda y: oracle.prior(),
        posterior=lambda x, y: oracle.posterior(x),
        likelihood=lambda z, y: oracle.likelihood(z),
    )
    assert len(evaluate(conditional, x, labels, num_samples=2).iwae) == 4
    with pytest.raises(ValueError, match="4 images but 3 rows"):
        evaluate(conditional, x, labels[:3])


def test_one_image_is_shown_without_a_standard_error():
    model = mlp_vae((1, 6, 6), latent_dim=2, hidden=(8,))
    text = repr(evaluate(model, torch.zeros(1, 1, 6, 6), num_samples=2))
    assert "IWAE-2" in text and "±" not in text
