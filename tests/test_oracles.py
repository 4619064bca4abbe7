"""The oracles: every identity by quadrature or enumeration, none by Monte Carlo.

Nothing here uses ``course_lib.bounds``: the oracles are what the bounds are tested against.
"""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from torch import distributions as td

from course_lib.oracles import DiscreteLatent, LinearGaussian, WithPosterior

DOUBLE = torch.float64
SEEDS = pytest.mark.parametrize("seed", [0, 1, 2])


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Thousands of tiny operations: threads that wait for each other would only cost time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def nodes(count, dims):
    """Gauss-Hermite nodes ``[count^dims, dims]`` and log weights for E under N(0, I)."""
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    points, log_w = torch.from_numpy(points), torch.from_numpy(weights / weights.sum()).log()
    grid = torch.cartesian_prod(*[points] * dims).reshape(-1, dims)
    total = torch.cartesian_prod(*[log_w] * dims).reshape(-1, dims).sum(-1)
    return grid, total


def wrong_q(oracle, x):
    """A q that is shifted and too wide, with its parameters."""
    best = oracle.best_diagonal(x)
    return td.Independent(td.Normal(best.mean + 0.3, 1.4 * best.stddev), 1)


def log_weight(oracle, x, z, q):
    return oracle.likelihood(z).log_prob(x) + oracle.prior().log_prob(z) - q.log_prob(z)


# linear-Gaussian


@SEEDS
def test_linear_gaussian_satisfies_bayes_rule_everywhere(seed):
    torch.manual_seed(seed)
    oracle = LinearGaussian.example(seed)
    x, z = oracle.sample(6), 2 * torch.randn(5, 6, 2, dtype=DOUBLE)
    joint = oracle.likelihood(z).log_prob(x) + oracle.prior().log_prob(z)
    factored = oracle.posterior(x).log_prob(z) + oracle.log_evidence(x)
    torch.testing.assert_close(joint, factored, rtol=0, atol=1e-10)
    dense = oracle.weight @ oracle.weight.T + oracle.sigma**2 * torch.eye(4, dtype=DOUBLE)
    reference = td.MultivariateNormal(oracle.bias, dense).log_prob(x)
    torch.testing.assert_close(oracle.log_evidence(x), reference, rtol=0, atol=1e-10)


def test_linear_gaussian_evidence_by_quadrature():
    torch.manual_seed(0)
    oracle = LinearGaussian.example()
    x = oracle.sample(4)
    # Nodes about a normal near the posterior; the weights carry the ratio to it.
    eps, log_nodes = nodes(60, 2)
    q = wrong_q(oracle, x)
    z = q.mean + q.stddev * eps[:, None]
    integral = torch.logsumexp(log_nodes[:, None] + log_weight(oracle, x, z, q), 0)
    torch.testing.assert_close(integral, oracle.log_evidence(x), rtol=0, atol=1e-10)


@SEEDS
def test_linear_gaussian_evidence_is_elbo_plus_gap(seed):
    """log p(x) = ELBO + KL(q || p(z|x)) to 1e-10, each of the three found another way."""
    torch.manual_seed(seed)
    oracle = LinearGaussian.example(seed)
    x = oracle.sample(5)
    q = wrong_q(oracle, x)
    eps, log_nodes = nodes(5, 2)  # exact for polynomials of degree 9; these have degree 2
    z = q.mean + q.stddev * eps[:, None]
    weights = log_nodes.exp()[:, None]
    elbo = (weights * log_weight(oracle, x, z, q)).sum(0)
    gap = (weights * (q.log_prob(z) - oracle.posterior(x).log_prob(z))).sum(0)
    assert (gap > 0.05).all()
    torch.testing.assert_close(elbo + gap, oracle.log_evidence(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(oracle.elbo(x, q), elbo, rtol=0, atol=1e-10)
    dense = td.MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    torch.testing.assert_close(
        td.kl_divergence(dense, oracle.posterior(x)), gap, rtol=0, atol=1e-10
    )
    torch.testing.assert_close(
        oracle.elbo(x, oracle.posterior(x)), oracle.log_evidence(x), rtol=0, atol=1e-10
    )


def test_linear_gaussian_bounds_are_ordered():
    """ELBO < IWAE-2 < IWAE-3 < log p(x), each expectation by quadrature over all K draws."""
    torch.manual_seed(0)
    oracle = LinearGaussian.example(num_pixels=2, latent_dim=1)
    x = oracle.sample(4)
    q = wrong_q(oracle, x)

    def expected_iwae(num_draws, count):
        eps, log_nodes = nodes(count, num_draws)
        z = q.mean + q.stddev * eps.T[:, :, None, None]  # [K, nodes, B, 1]
        log_w = log_weight(oracle, x, z, q)
        bound = torch.logsumexp(log_w, 0) - math.log(num_draws)
        return (log_nodes.exp()[:, None] * bound).sum(0)

    elbo, two, three = (expected_iwae(k, 40) for k in (1, 2, 3))
    torch.testing.assert_close(two, expected_iwae(2, 56), rtol=0, atol=1e-4)  # it has converged
    torch.testing.assert_close(elbo, oracle.elbo(x, q), rtol=0, atol=1e-10)
    assert (two - elbo > 1e-2).all()
    assert (three - two > 1e-3).all()
    assert (oracle.log_evidence(x) - three > 1e-3).all()


@SEEDS
def test_best_diagonal_is_the_optimum(seed):
    torch.manual_seed(seed)
    oracle = LinearGaussian.example(seed)
    x = oracle.sample(3)
    best = oracle.best_diagonal(x)
    assert best.batch_shape == (3,)
    assert best.event_shape == (2,)
    mu = best.mean.clone().requires_grad_()
    logvar = best.variance.log().requires_grad_()
    posterior = oracle.posterior(x)

    def gap(mu, logvar):
        return td.kl_divergence(
            td.MultivariateNormal(mu, torch.diag_embed(logvar.exp())), posterior
        )

    value = gap(mu, logvar)
    torch.testing.assert_close(value, oracle.mean_field_gap().expand(3), rtol=0, atol=1e-10)
    assert (value > 0.1).all()
    for gradient in torch.autograd.grad(value.sum(), (mu, logvar)):
        assert gradient.abs().max() < 1e-10
    for _ in range(20):
        shift_mu, shift_logvar = 0.1 * torch.randn(2, 3, 2, dtype=DOUBLE)
        assert (gap(mu + shift_mu, logvar + shift_logvar) > value).all()
    torch.testing.assert_close(
        oracle.elbo(x, best), oracle.log_evidence(x) - value, rtol=0, atol=1e-10
    )


def test_mean_field_gap_is_zero_for_one_latent():
    assert LinearGaussian.example(latent_dim=1).mean_field_gap().abs() < 1e-12


def test_linear_gaussian_samples_follow_the_evidence():
    torch.manual_seed(0)
    oracle, n = LinearGaussian.example(), 50_000
    x = oracle.sample(n)
    assert x.shape == (n, 4)
    evidence = oracle.evidence()
    se = evidence.stddev / math.sqrt(n)
    assert ((x.mean(0) - evidence.mean).abs() < 5 * se).all()
    covariance, truth = torch.cov(x.T), evidence.covariance_matrix
    variances = truth.diag()
    spread = ((truth**2 + variances * variances[:, None]) / n).sqrt()
    assert ((covariance - truth).abs() < 5 * spread).all()


def test_linear_gaussian_shapes_dtypes_and_gradients():
    oracle = LinearGaussian.example()
    assert oracle.prior().batch_shape == ()
    assert oracle.prior().event_shape == (2,)
    x = oracle.sample(3).float()
    assert oracle.log_evidence(x).dtype == DOUBLE
    z = oracle.posterior(x).rsample((7,))
    assert z.shape == (7, 3, 2)
    assert oracle.likelihood(z).batch_shape == (7, 3)
    assert oracle.likelihood(z).event_shape == (4,)
    weight = oracle.weight.clone().requires_grad_()
    bias = oracle.bias.clone().requires_grad_()
    sigma = oracle.sigma.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *p: LinearGaussian(*p).log_evidence(x.double()), (weight, bias, sigma)
    )
    assert torch.autograd.gradcheck(
        lambda *p: LinearGaussian(*p).mean_field_gap(), (weight, bias, sigma)
    )
    assert torch.equal(LinearGaussian.example(4).weight, LinearGaussian.example(4).weight)
    assert not torch.equal(LinearGaussian.example(4).weight, LinearGaussian.example(5).weight)


# EM of the linear-Gaussian oracle


@pytest.fixture
def data():
    torch.manual_seed(0)
    return LinearGaussian.example(num_pixels=5).sample(200)


def test_linear_gaussian_em_climbs_to_the_closed_form(data):
    best = LinearGaussian.maximum_likelihood(data, 2)
    oracle = LinearGaussian.example(7, num_pixels=5)
    values = [oracle.log_evidence(data).mean()]
    for _ in range(500):
        oracle = oracle.em_step(data)
        values.append(oracle.log_evidence(data).mean())
    steps = torch.stack(values).diff()
    assert (steps > -1e-12).all()
    assert steps[0] > 0.1
    torch.testing.assert_close(values[-1], best.log_evidence(data).mean(), rtol=0, atol=1e-7)
    torch.testing.assert_close(oracle.bias, data.mean(0), rtol=0, atol=1e-6)
    torch.testing.assert_close(oracle.sigma, best.sigma, rtol=0, atol=1e-3)
    torch.testing.assert_close(  # W itself is unique only up to a rotation
        oracle.evidence().covariance_matrix, best.evidence().covariance_matrix, rtol=0, atol=1e-2
    )


def test_closed_form_maximum_likelihood_is_a_fixed_point_of_em(data):
    best = LinearGaussian.maximum_likelihood(data, 2)
    again = best.em_step(data)
    torch.testing.assert_close(again.weight, best.weight, rtol=0, atol=1e-10)
    torch.testing.assert_close(again.bias, best.bias, rtol=0, atol=1e-10)
    torch.testing.assert_close(again.sigma, best.sigma, rtol=0, atol=1e-10)


def test_m_step_is_a_stationary_point_of_the_elbo(data):
    """Each half of EM maximizes the same ELBO: over q, then over the parameters."""
    oracle = LinearGaussian.example(7, num_pixels=5)
    for q in (oracle.e_step(data), oracle.best_diagonal(data)):
        new = oracle.m_step(data, q)
        params = [p.clone().requires_grad_() for p in (new.weight, new.bias, new.sigma)]
        elbo = LinearGaussian(*params).elbo(data, q).mean()
        for gradient in torch.autograd.grad(elbo, params):
            assert gradient.abs().max() < 1e-10
        assert elbo > oracle.elbo(data, q).mean() + 0.1


def test_mean_field_em_climbs_its_own_bound(data):
    oracle, values = LinearGaussian.example(7, num_pixels=5), []
    for _ in range(50):
        q = oracle.best_diagonal(data)
        values.append(oracle.elbo(data, q).mean())
        oracle = oracle.m_step(data, q)
    assert (torch.stack(values).diff() > -1e-12).all()


# discrete


def every_image(num_pixels):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=num_pixels)), dtype=DOUBLE)


@SEEDS
def test_discrete_evidence_and_posterior_by_enumeration(seed):
    oracle = DiscreteLatent.example(seed)
    x = every_image(6)
    evidence = oracle.log_evidence(x)
    assert abs(evidence.exp().sum().item() - 1) < 1e-12
    for k in range(3):
        z = torch.full((64,), k)
        joint = oracle.likelihood(z).log_prob(x) + oracle.prior().log_prob(z)
        torch.testing.assert_close(joint, oracle.log_joint(x)[:, k], rtol=0, atol=1e-12)
        factored = oracle.posterior(x).log_prob(z) + evidence
        torch.testing.assert_close(joint, factored, rtol=0, atol=1e-12)
    plain = sum(
        oracle.prior_probs[k]
        * torch.where(x == 1, oracle.pixel_probs[k], 1 - oracle.pixel_probs[k]).prod(-1)
        for k in range(3)
    )
    torch.testing.assert_close(evidence.exp(), plain, rtol=1e-12, atol=0)


@SEEDS
def test_discrete_evidence_is_elbo_plus_gap_and_bounds_are_ordered(seed):
    torch.manual_seed(seed)
    oracle = DiscreteLatent.example(seed)
    x = oracle.sample(8)
    q = td.Categorical(logits=torch.randn(8, 3, dtype=DOUBLE))
    log_w = oracle.log_joint(x) - q.logits  # [B, K]
    elbo = (q.probs * log_w).sum(-1)
    gap = td.kl_divergence(q, oracle.posterior(x))
    evidence = oracle.log_evidence(x)
    torch.testing.assert_close(elbo + gap, evidence, rtol=0, atol=1e-10)
    torch.testing.assert_close(oracle.elbo(x, q), elbo, rtol=0, atol=1e-12)
    torch.testing.assert_close(oracle.elbo(x, q.probs), elbo, rtol=0, atol=1e-12)
    torch.testing.assert_close(oracle.elbo(x, oracle.posterior(x)), evidence, rtol=0, atol=1e-10)
    bounds = [elbo]
    for num_draws in (2, 3, 4):  # over every tuple of states
        total = torch.zeros(8, dtype=DOUBLE)
        for states in itertools.product(range(3), repeat=num_draws):
            index = list(states)
            bound = torch.logsumexp(log_w[:, index], -1) - math.log(num_draws)
            total += q.probs[:, index].prod(-1) * bound
        bounds.append(total)
    bounds.append(evidence)
    assert (torch.stack(bounds).diff(dim=0) > 1e-6).all()


def test_discrete_elbo_of_a_q_with_zeros():
    oracle = DiscreteLatent.example()
    x = every_image(6)[:5]
    one_hot = torch.eye(3, dtype=DOUBLE)[[0, 1, 2, 0, 1]].requires_grad_()
    expected = oracle.log_joint(x)[range(5), [0, 1, 2, 0, 1]]
    torch.testing.assert_close(oracle.elbo(x, one_hot), expected)


def test_discrete_samples_follow_the_evidence():
    torch.manual_seed(0)
    oracle, n = DiscreteLatent.example(), 64_000
    x = oracle.sample(n)
    place = 2 ** torch.arange(5, -1, -1, dtype=DOUBLE)
    counts = torch.bincount((x @ place).long(), minlength=64)
    expected = n * oracle.log_evidence(every_image(6)).exp()
    chi2 = ((counts - expected).square() / expected).sum().item()
    assert expected.min() > 5
    assert chi2 < 63 + 5 * math.sqrt(2 * 63)


def test_discrete_em_climbs_and_its_halves_are_optimal():
    torch.manual_seed(0)
    x = DiscreteLatent.example(1).sample(300)
    oracle = DiscreteLatent.example(5)
    previous = oracle.log_evidence(x).mean()
    first = previous
    for _ in range(60):
        q = oracle.e_step(x)
        torch.testing.assert_close(
            oracle.elbo(x, q).mean(), oracle.log_evidence(x).mean(), rtol=0, atol=1e-10
        )
        oracle = oracle.m_step(x, q)
        value = oracle.log_evidence(x).mean()
        assert value > previous - 1e-12
        assert value >= oracle.elbo(x, q).mean() - 1e-12
        previous = value
    assert previous > first + 0.1
    # The parameters that the M step returns are stationary, in coordinates without constraints.
    q = DiscreteLatent.example(2).e_step(x)
    new = oracle.m_step(x, q)
    params = [new.prior_probs.log().requires_grad_(), new.pixel_probs.logit().requires_grad_()]
    elbo = DiscreteLatent(params[0].softmax(-1), params[1].sigmoid()).elbo(x, q).mean()
    for gradient in torch.autograd.grad(elbo, params):
        assert gradient.abs().max() < 1e-10


def test_discrete_m_step_with_patterns_at_the_edge():
    """Pixels that are always on, and a state that explains nothing, stay finite."""
    oracle = DiscreteLatent.example(num_pixels=2)
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=DOUBLE)
    q = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=DOUBLE)
    new = oracle.m_step(x, q)
    torch.testing.assert_close(new.pixel_probs[:2], x)
    assert torch.equal(new.pixel_probs[2], oracle.pixel_probs[2])
    everything = every_image(2)
    assert new.log_joint(everything).isfinite().all()
    z = torch.tensor([[0], [1], [2]])
    matched = new.likelihood(z).log_prob(everything) + new.prior().log_prob(z)
    torch.testing.assert_close(matched.T, new.log_joint(everything), rtol=0, atol=1e-12)
    assert new.em_step(x).log_evidence(x).mean() >= new.log_evidence(x).mean() - 1e-12


def test_discrete_shapes():
    oracle = DiscreteLatent.example()
    assert oracle.prior().batch_shape == oracle.prior().event_shape == ()
    x = oracle.sample(4)
    assert x.shape == (4, 6)
    assert oracle.log_joint(x.bool()).shape == (4, 3)
    q = oracle.posterior(x)
    assert q.batch_shape == (4,)
    z = q.sample((7,))
    assert z.shape == (7, 4)
    p = oracle.likelihood(z)
    assert (p.batch_shape, p.event_shape) == ((7, 4), (6,))
    assert p.log_prob(x).shape == (7, 4)


# another q


def test_with_posterior_changes_q_and_nothing_else():
    torch.manual_seed(0)
    oracle = LinearGaussian.example()
    model = WithPosterior(oracle, oracle.best_diagonal)
    x = oracle.sample(3)
    assert torch.equal(model.posterior(x).stddev, oracle.best_diagonal(x).stddev)
    assert torch.equal(model.log_evidence(x), oracle.log_evidence(x))
    assert torch.equal(model.prior().mean, oracle.prior().mean)
    z = model.posterior(x).mean
    assert torch.equal(model.likelihood(z).mean, oracle.likelihood(z).mean)
    assert model.latent_dim == 2
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied.log_evidence(x), oracle.log_evidence(x))
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = model.no_such_thing
    with pytest.raises(TypeError, match="posterior_fn is a MultivariateNormal"):
        WithPosterior(oracle, oracle.posterior(x))


def test_with_posterior_hands_on_the_context():
    seen = []
    model = WithPosterior(LinearGaussian.example(), lambda x, *c: seen.append(c))
    model.posterior(torch.zeros(1, 4), "label")
    assert seen == [("label",)]


# at the door


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LinearGaussian(torch.ones(3), torch.ones(3), 1.0), "weight has shape"),
        (lambda: LinearGaussian(torch.ones(3, 2), torch.ones(2), 1.0), "bias has shape"),
        (lambda: LinearGaussian(torch.ones(3, 2), torch.ones(3), 0.0), "sigma is 0"),
        (lambda: LinearGaussian(torch.ones(3, 2), torch.ones(3), math.nan), "sigma holds NaN"),
        (lambda: LinearGaussian(torch.ones(3, 2), torch.ones(3), torch.ones(3)), "sigma has shape"),
        (lambda: DiscreteLatent([0.5, 0.6], torch.ones(2, 3) / 2), "sums to 1.1"),
        (lambda: DiscreteLatent([1.5, -0.5], torch.ones(2, 3) / 2), "smallest value -0.5"),
        (lambda: DiscreteLatent([1.0], torch.ones(2, 3) / 2), "prior_probs has shape"),
        (lambda: DiscreteLatent([0.5, 0.5], torch.ones(2, 3) * 2), "goes from 2 to 2"),
        (lambda: LinearGaussian.example().posterior(torch.ones(2, 3)), r"\[..., 4\] was expected"),
        (lambda: LinearGaussian.example().likelihood(torch.ones(2, 3)), "2 latents"),
        (lambda: LinearGaussian.maximum_likelihood(torch.ones(9, 3), 3), "latent_dim is 3"),
        (lambda: DiscreteLatent.example().log_evidence(torch.ones(2, 6) / 2), "other than 0 and 1"),
        (lambda: DiscreteLatent.example().likelihood(torch.tensor([3])), "states from 0 to 2"),
        (lambda: DiscreteLatent.example().elbo(torch.ones(1, 6), torch.ones(1, 3)), "sum to 1"),
        (
            lambda: DiscreteLatent.example().m_step(torch.ones(2, 6), torch.eye(3)),
            "with the same N",
        ),
        (
            lambda: LinearGaussian.example().elbo(
                torch.ones(1, 4), td.Independent(td.Normal(torch.zeros(1, 3), 1.0), 1)
            ),
            r"\[B\] and \[2\] were expected",
        ),
    ],
)
def test_bad_values_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LinearGaussian.example().log_evidence([[0.0] * 4]), "x is a list"),
        (lambda: DiscreteLatent.example().likelihood(torch.tensor([1.0])), "z is torch.float32"),
        (
            lambda: LinearGaussian.example().elbo(
                torch.ones(1, 4), td.Laplace(torch.zeros(1, 2), 1.0)
            ),
            "q is a Laplace",
        ),
    ],
)
def test_bad_types_are_refused(build, message):
    with pytest.raises(TypeError, match=message):
        build()


@pytest.mark.cuda
def test_oracles_on_cuda_equal_the_cpu():
    torch.manual_seed(0)
    small, discrete = LinearGaussian.example(), DiscreteLatent.example()
    pairs = [
        (small, LinearGaussian(small.weight.cuda(), small.bias, small.sigma)),
        (discrete, DiscreteLatent(discrete.prior_probs, discrete.pixel_probs.cuda())),
    ]
    for here, there in pairs:
        x = here.sample(20)
        assert there.sample(2).is_cuda
        q = there.posterior(x.cuda())
        torch.testing.assert_close(there.elbo(x.cuda(), q).cpu(), here.log_evidence(x))
        stepped = there.em_step(x.cuda()).log_evidence(x.cuda()).cpu()
        torch.testing.assert_close(stepped, here.em_step(x).log_evidence(x))
