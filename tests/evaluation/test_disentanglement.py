"""Scores of disentanglement on constructed codes whose scores are known beforehand."""

import math

import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch.distributions import Independent, MultivariateNormal, Normal

from course_lib.evaluation.disentanglement import (
    average_rate_parts,
    dci,
    mig,
    mutual_information,
    mutual_information_gap,
)

N = 4000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def factors():
    g = seeded()
    return {
        "slant": torch.rand(N, generator=g),
        "width": torch.randn(N, generator=g),
        "class": torch.randint(0, 5, (N,), generator=g),
    }


@pytest.fixture(scope="module")
def perfect(factors):
    """The factors in another order, scaled, turned around, bent."""
    return torch.stack(
        [-3 * factors["class"].float(), factors["slant"].exp(), 0.01 * factors["width"]], dim=1
    )


@pytest.fixture(scope="module")
def rotated(factors):
    """Two factors of one law turned by 45 degrees, so that each code holds half of both."""
    a, b = torch.randn(2, N, generator=seeded(1))
    return torch.stack([a + b, a - b], dim=1) / math.sqrt(2), {"a": a, "b": b}


def bias(bins_a, bins_b, rows=N):
    return (bins_a - 1) * (bins_b - 1) / (2 * rows)


def test_information_of_a_known_joint():
    """Four equally likely pairs of two: I = H for a copy, and 0 for two that are independent."""
    a, b = torch.arange(N) % 2, torch.arange(N) // 2 % 2
    mi, entropy = mutual_information(torch.stack([a, b], 1).double(), {"a": a, "b": b}, bins=2)
    log2 = math.log(2)
    torch.testing.assert_close(mi, torch.diag(torch.tensor([log2, log2], dtype=torch.float64)))
    torch.testing.assert_close(entropy, torch.tensor([log2, log2], dtype=torch.float64))


def test_information_is_that_of_scikit_learn(factors):
    bins = 10
    codes = torch.rand(N, 2, generator=seeded(8), dtype=torch.float64)
    codes[:, 1] += factors["slant"] + 0.3 * factors["class"]
    mi, entropy = mutual_information(codes, factors, bins)
    columns = {"slant": factors["slant"].double(), "width": factors["width"].double()}
    binned = {
        name: torch.bucketize(v, v.quantile(torch.arange(1, bins).double() / bins), right=True)
        for name, v in {**columns, 0: codes[:, 0].clone(), 1: codes[:, 1].clone()}.items()
    } | {"class": factors["class"]}
    for f, name in enumerate(factors):
        assert math.isclose(entropy[f], mutual_info_score(binned[name], binned[name]))
        for code in (0, 1):
            found = mutual_info_score(binned[code], binned[name])
            assert math.isclose(mi[code, f], found, abs_tol=1e-12)


def test_information_of_correlated_normals():
    """I = -log(1 - rho^2) / 2; bins lose a little of it and the bias adds a little."""
    a, e = torch.randn(2, 100_000, generator=seeded(2), dtype=torch.float64)
    for rho in (0.5, 0.9):
        z = rho * a + math.sqrt(1 - rho**2) * e
        mi, _ = mutual_information(z[:, None], {"a": a})
        exact = -0.5 * math.log(1 - rho**2)
        assert 0.93 * exact < mi.item() < exact + bias(20, 20, 100_000)


def test_bins_of_equal_count_give_the_entropy_of_the_bins(factors):
    mi, entropy = mutual_information(torch.randn(N, 2, generator=seeded()), factors, bins=8)
    assert mi.shape == (2, 3)
    assert math.isclose(entropy[0], math.log(8), abs_tol=1e-6)
    share = torch.bincount(factors["class"]) / N
    assert math.isclose(entropy[2], -(share * share.log()).sum(), rel_tol=1e-5)


def test_information_of_noise_is_the_bias_that_is_stated(factors):
    codes = torch.randn(N, 40, generator=seeded(3))
    mi, _ = mutual_information(codes, factors, bins=20)
    # 2 N I is chi-square with (a - 1)(b - 1) degrees of freedom: 361, 361 and 76; 40 times each.
    for f, classes in enumerate((20, 20, 5)):
        degrees = 19 * (classes - 1)
        se = math.sqrt(2 * degrees / 40) / (2 * N)
        assert abs(mi[:, f].mean().item() - bias(20, classes)) < 5 * se


def test_stretching_bending_and_turning_a_latent_changes_nothing(factors, perfect):
    noisy = perfect + 0.3 * perfect.std(0) * torch.randn(perfect.shape, generator=seeded(4))
    noisy = noisy.double()
    before, _ = mutual_information(noisy, factors)
    bent, _ = mutual_information((noisy / noisy.std(0)).sinh(), factors)
    torch.testing.assert_close(before, bent, rtol=0, atol=1e-12)
    # Turned around, a value on an edge falls into the other bin.
    turned, _ = mutual_information(-noisy, factors)
    torch.testing.assert_close(before, turned, rtol=0, atol=0.02)


def test_the_gap_by_hand():
    mi = torch.tensor([[0.9, 0.1], [0.2, 0.3], [0.5, 0.3]])
    assert math.isclose(
        mutual_information_gap(mi, torch.tensor([2.0, 1.0])), (0.4 / 2 + 0.0) / 2, abs_tol=1e-7
    )


def test_perfect_codes(factors, perfect):
    assert mig(perfect, factors) > 1 - bias(20, 20) - 0.01  # what a latent without any seems to say
    result = dci(perfect, factors)
    assert result.disentanglement > 0.98
    assert result.completeness > 0.98
    assert result.informativeness > 0.98
    assert result.importance.argmax(0).tolist() == [1, 2, 0]
    torch.testing.assert_close(result.importance.sum(0), torch.ones(3, dtype=torch.float64))


def test_latents_that_say_nothing_cost_nothing(factors, perfect):
    more = torch.cat([perfect, torch.randn(N, 3, generator=seeded(5)), torch.zeros(N, 1)], dim=1)
    assert mig(more, factors) > 0.95
    result = dci(more, factors)
    assert min(result.disentanglement, result.completeness) > 0.98


def test_random_codes(factors):
    codes = torch.randn(N, 6, generator=seeded(6))
    # Not above what the largest of six biased estimates of nothing can be.
    _, entropy = mutual_information(codes, factors)
    spread = torch.tensor([math.sqrt(2 * 19 * k) for k in (19, 19, 4)]) / (2 * N)
    assert mig(codes, factors) < (5 * spread / entropy).mean()
    result = dci(codes, factors)
    assert result.disentanglement < 0.05
    assert result.completeness < 0.05
    assert result.informativeness < 0.05
    assert (result.scores < 0.1).all()


def test_two_factors_turned_by_45_degrees(rotated):
    codes, factors = rotated
    assert mig(codes, factors) < 0.03
    result = dci(codes, factors)
    assert result.informativeness > 0.95
    assert result.disentanglement < 0.1
    assert result.completeness < 0.1


def test_a_latent_given_twice(factors, perfect):
    twice = torch.cat([perfect, perfect], dim=1)
    assert mig(twice, factors) == 0
    result = dci(twice, factors)
    assert result.disentanglement > 0.98  # each latent still knows one factor only
    # A factor's importance is shared by two of six latents: at least 1 - log 2 / log 6 complete.
    assert result.completeness < 0.8
    assert result.informativeness > 0.98


def test_a_seed_decides_and_the_session_is_left_alone(factors, perfect):
    before = torch.get_rng_state()
    a, b = (dci(perfect[:500], {"width": factors["width"][:500]}, seed=3) for _ in range(2))
    assert torch.equal(a.importance, b.importance)
    assert a.informativeness == b.informativeness
    assert torch.equal(before, torch.get_rng_state())
    assert str(a).startswith("D ")


class Aggregate:
    """Posteriors whose means are handed in as the data; q(z) is then normal with a known law."""

    def __init__(self, std, latents=2):
        self.std, self.latents = std, latents

    def prior(self):
        zero = torch.zeros(self.latents, dtype=torch.float64)
        return Independent(Normal(zero, torch.ones_like(zero)), 1)

    def posterior(self, x):
        return Independent(Normal(x, self.std * torch.ones_like(x)), 1)

    def likelihood(self, z):
        return self.posterior(z)


def test_the_parts_of_the_rate_against_a_normal_aggregate():
    """q(z) = N(0, C): the three parts in closed form, from 3,000 examples."""
    std, rho = 0.6, 0.7
    C = torch.tensor([[1.5, rho], [rho, 1.2]], dtype=torch.float64)
    means = MultivariateNormal(torch.zeros(2).double(), C - std**2 * torch.eye(2))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = means.sample((3000,))
    parts = average_rate_parts(Aggregate(std), x, seed=1)
    log_det = torch.logdet(C)
    tc = -0.5 * (log_det - C.diagonal().log().sum())
    exact = {
        "mutual_information": 0.5 * (log_det - 4 * math.log(std)),
        "total_correlation": tc,
        "dimension_wise_kl": 0.5 * (C.diagonal() - 1 - C.diagonal().log()).sum(),
    }
    for name, value in exact.items():
        found = getattr(parts, name)
        se = found.std().item() / math.sqrt(len(x))
        # 3,000 components stand for the law; that adds an error of the same order.
        assert abs(found.mean().item() - value.item()) < 5 * se, name
    assert tc > 0.1


def test_the_parts_add_up_and_do_not_depend_on_blocks(monkeypatch):
    x = torch.randn(50, 3, generator=seeded(), dtype=torch.float64)
    whole = average_rate_parts(Aggregate(0.5, 3), x)
    monkeypatch.setattr("course_lib.evaluation.disentanglement._BLOCK", 450)
    torch.testing.assert_close(whole.rate, average_rate_parts(Aggregate(0.5, 3), x).rate)
    eps = torch.randn(x.shape, generator=seeded(), dtype=torch.float64)
    q, p = Aggregate(0.5, 3).posterior(x), Aggregate(0.5, 3).prior()
    z = x + 0.5 * eps
    torch.testing.assert_close(whole.rate, q.log_prob(z) - p.log_prob(z))


def test_few_values_are_a_bin_each_however_rare(perfect):
    """No quantile of 20 tells 3 % of ones from zeros."""
    rare = (torch.arange(N) % 100 < 3).float()
    codes = torch.stack([-rare, perfect[:, 1]], dim=1)
    mi, entropy = mutual_information(codes, {"rare": rare})
    expected = -(0.03 * math.log(0.03) + 0.97 * math.log(0.97))
    assert entropy.item() == pytest.approx(expected, rel=1e-9)
    assert mi[0].item() == pytest.approx(expected, rel=1e-9)
    assert mig(codes, {"rare": rare}) > 0.9
    steps = torch.arange(N).remainder(5).double()  # one value at each edge of five bins
    assert mutual_information(perfect, {"steps": steps}, bins=5)[1].item() == pytest.approx(
        math.log(5)
    )


def test_bad_input_gets_a_sentence(factors, perfect):
    with pytest.raises(ValueError, match="two latents or more"):
        mutual_information_gap(torch.ones(1, 2), torch.ones(2))
    with pytest.raises(ValueError, match="never changes"):
        mutual_information_gap(torch.ones(2, 1), torch.zeros(1))
    with pytest.raises(TypeError, match="float tensor"):
        mig(perfect.long(), factors)
    with pytest.raises(TypeError, match="factors is empty"):
        mig(perfect, {})
    with pytest.raises(ValueError, match="3999 rows"):
        mig(perfect, {"a": torch.rand(N - 1)})
    with pytest.raises(ValueError, match="'still' has a single value"):
        mig(perfect, {"still": torch.ones(N)})
    with pytest.raises(ValueError, match="slant holds NaN"):
        mig(perfect, {"slant": torch.full((N,), math.nan)})
    with pytest.raises(ValueError, match="bins is 1"):
        mig(perfect, factors, bins=1)
    with pytest.raises(ValueError, match="test_share is 1"):
        dci(perfect, factors, test_share=1)
