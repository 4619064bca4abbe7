"""Scores against an oracle, AUROC against pairs and bootstrap, thresholds against their promise."""

import itertools
import math

import pytest
import torch
from torch import float64

from course_lib import bounds, models, oracles
from course_lib.evaluation import anomaly, evaluate
from course_lib.evaluation.anomaly import (
    alarm_rate,
    auroc,
    auroc_estimate,
    heat_map,
    likelihood_ratio,
    negative_elbo,
    negative_iwae,
    pixel_auroc,
    reconstruction_error,
    threshold,
    typicality,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.mlp_vae((1, 6, 5), 3, (16,))


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.rand(7, 1, 6, 5).round()


def by_pairs(scores, is_anomaly):
    pairs = itertools.product(scores[is_anomaly].tolist(), scores[~is_anomaly].tolist())
    wins = [1.0 if a > n else 0.5 if a == n else 0.0 for a, n in pairs]
    return sum(wins) / len(wins)


# --- scores --------------------------------------------------------------------------------------


def test_scores_are_bounds_with_the_sign_turned_one_for_each_image(model, x):
    report = evaluate(model, x, num_samples=5, seed=2)
    for score, expected in (
        (reconstruction_error(model, x, 5, 2), report.distortion),
        (negative_elbo(model, x, 5, 2), report.distortion + report.rate),
        (negative_iwae(model, x, 5, 2), -report.iwae),
    ):
        assert score.shape == (7,) and score.dtype == float64
        torch.testing.assert_close(score, expected)


def test_on_the_oracle_the_best_score_is_minus_the_log_evidence():
    torch.manual_seed(0)
    oracle = oracles.LinearGaussian.example(num_pixels=6, latent_dim=2)
    x = oracle.sample(50)
    exact = -oracle.log_evidence(x)
    # q is the exact posterior: every weight is p(x), whatever is drawn.
    torch.testing.assert_close(negative_iwae(oracle, x, 3), exact.double(), rtol=1e-6, atol=1e-6)
    close = 5 * bounds.log_weights(oracle, x, 2000).std(0).max() + 0.5
    assert ((negative_elbo(oracle, x, 2000) - exact).abs() < close).all()


def test_a_ratio_is_the_difference_and_of_a_model_with_itself_nothing(model, x):
    torch.manual_seed(5)
    background = models.mlp_vae((1, 6, 5), 2, (8,))
    ratio = likelihood_ratio(model, background, x, 4, seed=1)
    expected = negative_iwae(model, x, 4, 1) - negative_iwae(background, x, 4, 1)
    torch.testing.assert_close(ratio, expected)
    assert (likelihood_ratio(model, model, x, 4) == 0).all()


def test_typical_is_in_the_middle_and_both_ends_are_strange():
    validation = torch.tensor([90.0, 100.0, 110.0])
    strange = typicality(validation, torch.tensor([20.0, 100.0, 130.0]))
    assert strange.tolist() == [80.0, 0.0, 30.0] and strange.dtype == float64


# --- AUROC ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_the_share_of_pairs_in_the_right_order(ties):
    torch.manual_seed(0)
    is_anomaly = torch.rand(60) < 0.3
    scores = torch.randn(60, dtype=float64) + is_anomaly
    scores = scores.round() if ties else scores
    value = auroc(scores, is_anomaly)
    assert type(value) is float
    assert value == pytest.approx(by_pairs(scores, is_anomaly), abs=1e-12)
    assert auroc_estimate(scores, is_anomaly).mean == pytest.approx(value, abs=1e-12)
    assert auroc(-scores, is_anomaly) == pytest.approx(1 - value, abs=1e-12)


def test_auroc_tells_scores_apart_that_single_precision_does_not():
    scores = 1e8 + torch.tensor([0.0, 1e-2, 2e-2, 3e-2], dtype=float64)
    assert auroc(scores, torch.tensor([False, False, True, True])) == 1
    infinite = torch.tensor([0.0, math.inf, -math.inf])
    assert auroc(infinite, torch.tensor([False, True, False])) == 1


def test_the_standard_error_is_delongs_on_a_case_by_hand():
    scores = torch.tensor([3.0, 1.0, 0.0, 2.0, 1.0])
    is_anomaly = torch.tensor([True, True, False, False, False])
    # Placements: anomaly 3 beats all three, anomaly 1 beats one and ties one. Normal images
    # 0, 2, 1 are beaten by two, by one, and by one and a tie of the two anomalies.
    v, w = torch.tensor([1, 0.5], dtype=float64), torch.tensor([1, 0.5, 0.75], dtype=float64)
    found = auroc_estimate(scores, is_anomaly)
    assert found.mean == pytest.approx(0.75)
    assert found.se == pytest.approx(math.sqrt(v.var() / 2 + w.var() / 3))


@pytest.mark.parametrize(("m", "n", "shift"), [(80, 200, 1.0), (150, 50, 0.3)])
def test_the_standard_error_agrees_with_the_bootstrap_and_with_fresh_data(m, n, shift):
    torch.manual_seed(0)
    is_anomaly = torch.arange(m + n) < m
    scores = torch.randn(m + n, dtype=float64) + shift * is_anomaly
    draws = []
    for _ in range(400):
        strange = scores[:m][torch.randint(m, (m,))]
        usual = scores[m:][torch.randint(n, (n,))]
        draws.append(auroc_estimate(torch.cat([strange, usual]), is_anomaly).mean)
    bootstrap = torch.tensor(draws).std().item()
    se = auroc_estimate(scores, is_anomaly).se
    # A standard deviation of 400 draws is itself off by 3.5 %; the two methods differ by O(1/m).
    assert se == pytest.approx(bootstrap, rel=5 * 0.035 + 1 / min(m, n))
    fresh, errors = [], []
    for _ in range(400):
        new = auroc_estimate(torch.randn(m + n, dtype=float64) + shift * is_anomaly, is_anomaly)
        fresh.append(new.mean)
        errors.append(new.se)
    spread = torch.tensor(fresh).std().item()
    assert torch.tensor(errors).mean().item() == pytest.approx(spread, rel=5 * 0.035)


def test_classes_apart_do_not_make_the_error_zero():
    scores = torch.arange(12.0)
    found = auroc_estimate(scores, scores >= 8)
    assert found.mean == 1
    assert found.se == pytest.approx(math.sqrt(0.75 * 0.25 / 4))


def test_pixels_are_ranked_within_each_image():
    torch.manual_seed(0)
    masks = torch.rand(3, 1, 8, 8) < 0.2
    heat = torch.randn(3, 8, 8) + masks[:, 0] + 100 * torch.arange(3)[:, None, None]
    found = pixel_auroc(heat, masks)
    assert found.shape == (3,)
    for i in range(3):
        expected = by_pairs(heat[i].flatten(), masks[i].flatten())
        assert found[i].item() == pytest.approx(expected, abs=1e-9)


# --- thresholds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "a", "k"), [(19, 0.05, 19), (99, 0.05, 95), (100, 0.05, 96), (9, 0.1, 9), (9, 0.9, 1)]
)
def test_the_threshold_is_the_order_statistic(n, a, k):
    scores = torch.arange(1.0, n + 1)[torch.randperm(n)]
    assert threshold(scores, a) == k
    assert math.ceil((n + 1) * (1 - a) - 1e-9) == k


def test_the_promise_holds_on_average_over_validation_sets():
    torch.manual_seed(0)
    n, a, times = 50, 0.1, 4000
    validation = torch.randn(times, n, dtype=float64).exp()
    new = torch.randn(times, dtype=float64).exp()
    alarms = torch.tensor([new[i] > threshold(validation[i], a) for i in range(times)])
    expected = math.floor((n + 1) * a) / (n + 1)  # 5/51, a bit below 0.1
    se = math.sqrt(expected * (1 - expected) / times)
    assert abs(alarms.double().mean() - expected) < 5 * se
    # The plain quantile, the 45th of 50, raises too many: 6/51.
    naive = torch.tensor([new[i] > validation[i].sort().values[44] for i in range(times)])
    assert naive.double().mean() > alarms.double().mean() + 2 * se


def test_the_interval_is_exact_and_covers():
    assert alarm_rate(torch.zeros(20), 0.5)[:2] == (0.0, 0.0)
    assert alarm_rate(torch.zeros(20), 0.5).high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert alarm_rate(torch.ones(20), 0.5).low == pytest.approx(0.025 ** (1 / 20))
    assert alarm_rate(torch.ones(20), 1.0).rate == 0  # an alarm is *above* the threshold
    torch.manual_seed(0)
    hits = 0
    for row in torch.rand(1000, 40):
        found = alarm_rate(row, 0.9)
        hits += found.low <= 0.1 <= found.high
    assert hits / 1000 > 0.95 - 5 * math.sqrt(0.95 * 0.05 / 1000)
    assert str(alarm_rate(torch.arange(20.0), 18.5)).startswith("5.0% [0.1%, ")


# --- heat maps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "discretized_logistic"])
def test_a_map_adds_up_to_the_reconstruction_error(likelihood):
    torch.manual_seed(0)
    model = models.mlp_vae((3, 6, 5), 2, (8,), likelihood=likelihood)
    x = torch.rand(4, 3, 6, 5).round()
    heat = heat_map(model, x, 1000)
    assert heat.shape == (4, 6, 5) and heat.dtype == float64
    error = reconstruction_error(model, x, 1000, seed=1)
    with torch.no_grad():
        z = model.posterior(x).sample((500,))
        spread = model.likelihood(z).log_prob(x).std(0).double()
    assert ((heat.sum((1, 2)) - error).abs() < 5 * spread * math.sqrt(2 / 1000) + 1e-4).all()


class TwoPatterns(torch.nn.Module):
    """z > 0 means ink on the left half, z < 0 on the right; the encoder is fooled by any pixel."""

    prior_scale = torch.ones(1)

    def prior(self):
        return models.vae.normal(torch.zeros(1), self.prior_scale)

    def posterior(self, x):
        return models.vae.normal(0.3 * x[:, 0, 0, :1] - 0.1, torch.full((len(x), 1), 0.01))

    def likelihood(self, z):
        side = torch.tensor([1.0, 1, -1, -1]).expand(4, 4)
        logits = 4 * torch.tanh(3 * z)[..., None, None] * side
        return torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits), 3)

    class head:
        binary = True


def test_the_robust_map_explains_most_pixels_and_points_at_the_broken_ones():
    x = torch.zeros(1, 1, 4, 4)
    x[..., 2:] = 1  # the right half: z < 0
    x[0, 0, 0, :2] = 1  # and two broken pixels, which move q to z > 0
    model = TwoPatterns()
    plain, robust = heat_map(model, x, 8), heat_map(model, x, broken=0.5, steps=200)
    assert plain.flatten().argmax() > 1
    assert set(robust.flatten().topk(2).indices.tolist()) == {0, 1}
    # With nothing to limit their cost, the best logit is at most ln(14 / 2), half way to fitting.
    assert robust[0, 0, :2].min() > 1.2 * math.log(1 + 14 / 2)


def test_the_session_is_left_alone(model, x):
    torch.manual_seed(4)
    state = torch.get_rng_state()
    a, b = heat_map(model, x, seed=1), heat_map(model, x, broken=0.5)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a, heat_map(model, x, seed=1))
    assert torch.equal(b, heat_map(model, x, broken=0.5, seed=9))  # nothing is drawn
    assert all(p.grad is None for p in model.parameters())


S, Y = torch.arange(4.0), torch.tensor([True, False, True, False])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: auroc(S, torch.zeros(4).bool()), ValueError, "no anomalies among the 4 images"),
        (lambda: auroc(S, torch.ones(4).bool()), ValueError, "no normal images among the 4"),
        (lambda: auroc(S, Y.float()), ValueError, "is_anomaly is torch.float32"),
        (lambda: auroc(S, Y[:3]), ValueError, r"booleans \[4\] were expected"),
        (lambda: auroc(S / 0 - S / 0, Y), ValueError, "none NaN"),
        (lambda: auroc([1.0], Y), TypeError, "scores is a list"),
        (lambda: auroc(S, [True] * 4), TypeError, "is_anomaly is a list"),
        (lambda: auroc_estimate(S[:3], Y[:3] & (S[:3] < 1)), ValueError, "at least two of each"),
        (lambda: pixel_auroc(S, Y), ValueError, "a map"),
        (lambda: pixel_auroc([], Y), TypeError, "must be tensors"),
        (lambda: threshold(S, 0.1), ValueError, "at least 9 are needed"),
        (lambda: threshold(S, 5), ValueError, "false_alarm_rate is 5"),
        (lambda: alarm_rate(S, 1.0, level=1), ValueError, "level is 1"),
        (lambda: typicality(S / 0, S), ValueError, "score_validation has shape"),
        (lambda: typicality(S, [1.0]), TypeError, "score is a list"),
    ],
)
def test_bad_input_gets_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_heat_maps_refuse_what_they_cannot_take(model, x):
    with pytest.raises(ValueError, match="broken is 1"):
        heat_map(model, x, broken=1)
    grey = x * 0.5
    for refuses in (heat_map, reconstruction_error):  # the two add up, so both or none
        with pytest.raises(ValueError, match="grey pixels but the likelihood is Bernoulli"):
            refuses(model, grey)
    with pytest.raises(ValueError, match="grey pixels"):
        heat_map(model, grey, broken=0.5)
    with pytest.raises(TypeError, match="is a Normal|no model|without a prior"):
        heat_map(torch.nn.Linear(2, 2), x)
    model.likelihood = lambda z: torch.distributions.Normal(z, 1)
    with pytest.raises(TypeError, match="needs independent pixels"):
        heat_map(model, x)


def test_everything_public_is_named():
    assert set(anomaly.__all__) >= {"auroc", "heat_map", "negative_iwae", "threshold"}
