"""The neighbours: densities have mass one, samplers draw from them, bounds are bounds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import distributions as td

from course_lib.models import neighbours
from course_lib.models.neighbours import (
    GAN,
    RBM,
    Autoregressive,
    Dequantized,
    Diffusion,
    Flow,
    fit_gan,
)
from course_lib.models.neighbours.vectors import all_binary

MAX_LINES = 60


@pytest.fixture(autouse=True)
def _double():
    """Mathematics is checked in float64, parameters and buffers included."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def shake(model, scale=0.5):
    """Move every parameter, so that nothing is checked at a special point such as zero."""
    with torch.no_grad():
        for p in filter(lambda p: p.requires_grad, model.parameters()):
            p.add_(scale * torch.randn_like(p) / math.sqrt(max(1, p.shape[-1] if p.dim() else 1)))
    return model


def plane(low=-14.0, high=14.0, n=561):
    axis = torch.linspace(low, high, n)
    return torch.cartesian_prod(axis, axis), ((high - low) / (n - 1)) ** 2


def real_models():
    return {
        "flow": shake(Flow(2, 4, 8)),
        "autoregressive": shake(Autoregressive(2, 8, 3)),
        "rbm": shake(RBM(2, 3, binary=False)),
    }


def binary_models(dim):
    return {"autoregressive": shake(Autoregressive(dim, 9), 1.5), "rbm": shake(RBM(dim, 4), 1.0)}


def images(count=16, dim=6):
    return torch.rand(count, dim).round()


def test_each_file_can_be_read_at_one_sitting():
    folder = Path(neighbours.__file__).parent
    long = {f.name: len(f.read_text(encoding="utf-8").splitlines()) for f in folder.glob("*.py")}
    assert len(long) >= 6 and max(long.values()) <= MAX_LINES, long


# Densities and their samplers


@pytest.mark.parametrize("name", ["flow", "autoregressive", "rbm"])
def test_density_on_the_plane_integrates_to_one(name):
    model = real_models()[name]
    at, area = plane()
    with torch.no_grad():
        assert abs((model.log_prob(at).exp().sum() * area).item() - 1) < 1e-4


@pytest.mark.parametrize("name", ["flow", "autoregressive", "rbm"])
def test_sampler_on_the_plane_has_the_moments_of_the_density(name):
    model = real_models()[name]
    at, area = plane()
    with torch.no_grad():
        mass = model.log_prob(at).exp() * area
        x = model.sample(20_000, 50) if name == "rbm" else model.sample(20_000)

    def statistics(x):
        return torch.stack(
            [x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 1] ** 2, x[:, 0] * x[:, 1], x[:, 0].sin()], 1
        )

    drawn, exact = statistics(x), mass @ statistics(at)
    assert ((drawn.mean(0) - exact).abs() < 5 * drawn.std(0) / math.sqrt(len(x))).all()


@pytest.mark.parametrize("name", ["autoregressive", "rbm"])
def test_probabilities_of_all_binary_vectors_sum_to_one(name):
    x = all_binary(6, torch.zeros(()))
    assert len(x.unique(dim=0)) == 64
    log_p = binary_models(6)[name].log_prob(x)
    assert log_p.exp().std() > 1e-3  # far from uniform, which would hide a mistake
    torch.testing.assert_close(log_p.exp().sum(), torch.tensor(1.0), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["autoregressive", "rbm"])
def test_sampler_of_binary_vectors_has_their_probabilities(name):
    """Pearson's chi-square: its mean is its degrees of freedom, its variance twice that."""
    model, n = binary_models(4)[name], 20_000
    p = model.log_prob(all_binary(4, torch.zeros(()))).exp().detach()
    drawn = model.sample(n, 60) if name == "rbm" else model.sample(n)
    counts = torch.bincount((drawn @ 2.0 ** torch.arange(4)).long(), minlength=16)
    chi2 = ((counts - n * p) ** 2 / (n * p)).sum()
    assert chi2 < 15 + 5 * math.sqrt(2 * 15)


# Autoregressive


@pytest.mark.parametrize("components", [0, 2])
def test_a_conditional_sees_only_what_comes_before(components):
    model = shake(Autoregressive(5, 40, components), 1.0)

    def log_p(x):
        return model.conditionals(x).log_prob(torch.ones(1, 5))[0]

    x = torch.zeros(1, 5)
    for d in range(5):
        changed = x.clone()
        changed[0, d] = 1.0
        moved = (log_p(changed) - log_p(x)).abs() > 1e-9
        assert not moved[: d + 1].any() and moved[d + 1 :].all()


def test_autoregressive_completes_what_is_given():
    model = shake(Autoregressive(6, 20))
    given = images(7, 2)
    x = model.sample(7, given)
    assert x.shape == (7, 6) and (x[:, :2] == given).all()


# The restricted Boltzmann machine


@pytest.mark.parametrize("binary", [True, False])
def test_free_energy_and_log_z_are_those_of_the_energy(binary):
    """Against exp(-E(v, h)) written out and summed over h."""
    model = shake(RBM(3, 4, binary))
    h, v = all_binary(4, torch.zeros(())), images(5, 3) if binary else torch.randn(5, 3)
    s2 = 1.0 if binary else (2 * model.log_s).exp()
    quadratic = -v @ model.b if binary else ((v - model.b) ** 2).sum(1) / (2 * s2)
    energy = quadratic[:, None] - (v @ model.W @ h.T) / s2 - h @ model.c  # [B, 2^H]
    by_hand = -(-energy).logsumexp(1)
    torch.testing.assert_close(model.free_energy(v), by_hand, rtol=0, atol=1e-10)
    # p(h) p(v | h) is the same joint distribution, its constant included.
    a = (model.b + h @ model.W.T)[:, None]  # [2^H, 1, D]
    p_v = td.Bernoulli(logits=a) if binary else td.Normal(a, model.log_s.exp())
    joint = model.log_weights(h)[:, None] + p_v.log_prob(v).sum(-1)
    torch.testing.assert_close(joint.T, -energy, rtol=0, atol=1e-10)


@pytest.mark.parametrize("binary", [True, False])
def test_loss_has_the_gradient_of_contrastive_divergence(binary):
    """Hinton 2002: <v h> of the data minus <v h> of the reconstruction."""
    model = shake(RBM(4, 3, binary, cd_steps=2))
    v = images(9, 4) if binary else torch.randn(9, 4)
    torch.manual_seed(1)
    model.loss(v).mean().backward()
    torch.manual_seed(1)
    w = model.gibbs(v, 2)
    s2 = (2 * model.log_s).exp().detach()
    statistics = [(x.T @ model.h_logits(x).sigmoid()) / len(x) / s2 for x in (v, w)]
    torch.testing.assert_close(model.W.grad, statistics[1] - statistics[0], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(model.b.grad, (w - v).mean(0) / s2)


def test_contrastive_divergence_climbs_the_exact_likelihood():
    """Two patterns, each with noise: after CD-1 the model is far better than independent pixels."""
    pattern = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    x = (pattern[torch.arange(400) % 2] + (torch.rand(400, 6) < 0.05)) % 2
    model = RBM(6, 3)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(100):
        optimizer.zero_grad()
        model.loss(x).mean().backward()
        optimizer.step()
    assert model.log_prob(x).mean() > -6 * math.log(2) + 1


# Flow and dequantization


def test_flow_is_inverted_and_its_log_det_is_that_of_the_jacobian():
    model = shake(Flow(5, 4, 8), 1.0)
    x = torch.randn(3, 5)
    z, log_det = model.to_z(x)
    torch.testing.assert_close(model.to_x(z), x, rtol=0, atol=1e-10)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda v: model.to_z(v[None])[0][0], x[i])
        torch.testing.assert_close(log_det[i], jacobian.det().abs().log(), rtol=0, atol=1e-8)
    assert log_det.std() > 0.01
    expected = td.Normal(0.0, 1.0).log_prob(z).sum(1) + log_det
    torch.testing.assert_close(model.log_prob(x), expected)


def test_every_value_is_moved_by_some_coupling_and_seen_by_another():
    for dim in (2, 7):
        masks = Flow(dim, 6, 4).masks
        assert (masks.amax(0) == 1).all() and (masks.amin(0) == 0).all()
        assert (masks[::2] + masks[1::2] == 1).all()


def test_dequantized_log_det_is_the_derivative():
    model = Dequantized(Flow(4))
    x = images(8, 4)
    torch.manual_seed(1)
    w, log_det = model.spread(x)
    assert ((w > 0) == (x == 1)).all()
    torch.manual_seed(1)
    u = torch.rand(8, 4).requires_grad_()
    torch.testing.assert_close(w, torch.logit((x + u) / 2))
    (slope,) = torch.autograd.grad(torch.logit((x + u) / 2).sum(), u)
    torch.testing.assert_close(log_det, slope.log().sum(1))


def test_dequantized_bound_is_a_bound_on_what_its_sampler_draws():
    """Two pixels: P(x) is the flow's mass in a quadrant, found by quadrature."""
    model = Dequantized(shake(Flow(2, 4, 8)))
    axis = torch.linspace(-12, 12, 600)  # an even number: no point on the border
    at = torch.cartesian_prod(axis, axis)
    area = (axis[1] - axis[0]) ** 2
    with torch.no_grad():
        mass = model.density.log_prob(at).exp() * area
        for x in all_binary(2, mass):
            exact = mass[((at > 0) == (x == 1)).all(1)].sum()
            bounds = model.elbo(x.expand(4000, 2))
            assert bounds.mean() < exact.log() + 5 * bounds.std() / math.sqrt(4000)
            # The weights themselves are unbiased for P(x), so the bound's parts are all there.
            weights = bounds.exp()
            assert abs(weights.mean() - exact) < 5 * weights.std() / math.sqrt(4000) + 1e-3
            drawn = (model.sample(4000) == x).all(1).double().mean()
            assert abs(drawn - exact) < 5 * math.sqrt(exact * (1 - exact) / 4000) + 1e-3


# Diffusion


class Exact(Diffusion):
    """Diffusion of x ~ N(mean, scale^2 I) with the denoiser that cannot be bettered, E[x | z_t]."""

    mean, scale = 0.7, 0.6

    def denoise(self, z, t):
        alpha, sigma = self.alpha[t], self.sigma[t]
        gain = alpha * self.scale**2 / (alpha**2 * self.scale**2 + sigma**2)
        return self.mean + gain * (z - alpha * self.mean)


def test_noise_keeps_the_variance_and_steps_back_undo_it():
    """The mean and variance of q(z_s | z_t, x) from the joint normal of z_s and z_t."""
    model = Diffusion(2, 10)
    torch.testing.assert_close(model.alpha**2 + model.sigma**2, torch.ones(11, 1))
    torch.testing.assert_close(model.alpha**2 / model.sigma**2, model.snr)
    x, z = torch.randn(10, 2), torch.randn(10, 2)
    t = torch.arange(1, 11)
    found = model.step_back(z, x, t)
    ratio = model.alpha[t] / model.alpha[t - 1]  # z_t = ratio z_s + noise
    noise = model.sigma[t] ** 2 - (ratio * model.sigma[t - 1]) ** 2
    precision = 1 / model.sigma[t - 1] ** 2 + ratio**2 / noise
    mean = (model.alpha[t - 1] * x / model.sigma[t - 1] ** 2 + ratio * z / noise) / precision
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.stddev.expand_as(mean), precision.rsqrt().expand_as(mean))


@pytest.mark.parametrize("binary", [False, True])
def test_diffusion_loss_is_its_three_terms_written_out(binary):
    model = shake(Diffusion(3, 7, 8, binary))
    x, t = images(6, 3) if binary else torch.randn(6, 3), torch.tensor([1, 2, 3, 5, 6, 7])
    pm = 2 * x - 1 if binary else x
    torch.manual_seed(1)
    loss = model.loss(x, t)
    torch.manual_seed(1)
    z0 = model.alpha[0] * pm + model.sigma[0] * torch.randn_like(x)
    zt = model.alpha[t] * pm + model.sigma[t] * torch.randn_like(x)
    q, p = model.step_back(zt, pm, t), model.step_back(zt, model.denoise(zt, t), t)
    last = td.kl_divergence(td.Normal(model.alpha[7] * pm, model.sigma[7]), td.Normal(0.0, 1.0))
    step = td.kl_divergence(q, td.Normal(p.mean, p.stddev.expand_as(p.mean)))
    expected = -model.p_x(z0).log_prob(x) + last + 7 * step
    torch.testing.assert_close(loss, expected.sum(1))


def test_p_of_x_given_z0_is_proportional_to_the_noise():
    """By Bayes' rule with a flat prior: over -1 and 1, and over the line."""
    z = torch.tensor([[0.1, -0.4]])
    model = Diffusion(2, 5, 4, binary=True)
    q = [td.Normal(model.alpha[0] * v, model.sigma[0]).log_prob(z).exp() for v in (-1.0, 1.0)]
    torch.testing.assert_close(model.p_x(z).probs, q[1] / (q[0] + q[1]))
    model, x = Diffusion(2, 5, 4), torch.linspace(-1, 1, 7)[:, None]
    gap = model.p_x(z).log_prob(x) - td.Normal(model.alpha[0] * x, model.sigma[0]).log_prob(z)
    torch.testing.assert_close(gap, gap[:1].expand_as(gap))


def exact_gap(steps, dim=2):
    """E[log p(x) - ELBO] in nats: with a linear denoiser every expectation has a closed form."""
    model, variance = Exact(dim, steps), Exact.scale**2
    alpha, sigma = model.alpha[:, 0], model.sigma[:, 0]
    entropy = 0.5 * math.log(2 * math.pi * math.e * variance)
    code = 0.5 * torch.log(2 * math.pi * math.e / model.snr[0, 0])
    second = alpha[-1] ** 2 * (Exact.mean**2 + variance)
    last = 0.5 * (second + sigma[-1] ** 2 - 1 - 2 * sigma[-1].log())
    error = variance * sigma**2 / (alpha**2 * variance + sigma**2)  # of E[x | z_t]
    steps = 0.5 * (-model.snr[:, 0].diff() * error[1:]).sum()
    return dim * (code + last + steps - entropy)


def test_diffusion_bound_is_below_the_truth_and_closes_with_more_steps():
    truth = td.Normal(Exact.mean, Exact.scale)
    x = truth.sample((4000, 2))
    gaps = []
    for steps in (4, 60):
        gap = truth.log_prob(x).sum(1) - Exact(2, steps).elbo(x)
        error = gap.std() / math.sqrt(len(gap))
        assert gap.mean() > 5 * error
        assert abs(gap.mean() - exact_gap(steps)) < 5 * error
        gaps.append(gap.mean())
    assert gaps[1] < 0.5 < 1.0 < gaps[0]


def test_one_random_step_is_unbiased_for_the_bound():
    torch.manual_seed(2)
    x = td.Normal(Exact.mean, Exact.scale).sample((20_000, 2))
    difference = Exact(2, 12).loss(x) + Exact(2, 12).elbo(x)
    assert abs(difference.mean()) < 5 * difference.std() / math.sqrt(len(x))


def test_diffusion_sampler_undoes_the_noise():
    """With the best denoiser and many steps the samples have the moments of the data."""
    x = Exact(2, 300).sample(4000)
    assert abs(x.mean() - Exact.mean) < 5 * Exact.scale / math.sqrt(8000) + 0.01
    assert abs(x.std() - Exact.scale) < 5 * Exact.scale / math.sqrt(2 * 8000) + 0.02


# GAN


def test_gan_losses_are_their_formulas():
    model = shake(GAN(3, 2, 8))
    x, fake = torch.randn(5, 3), model.generate(5)
    real, made = torch.sigmoid(model.d(x))[:, 0], torch.sigmoid(model.d(fake))[:, 0]
    torch.testing.assert_close(model.d_loss(x, fake), -real.log() - (1 - made).log())
    torch.testing.assert_close(model.g_loss(fake), -made.log())
    assert not torch.autograd.grad(
        model.d_loss(x, fake).sum(), model.g.parameters(), allow_unused=True
    )[0]


class LogRatio(torch.nn.Module):
    """The logit of p / (p + q), plus a shift."""

    def __init__(self, p, q, shift):
        super().__init__()
        self.p, self.q, self.shift = p, q, shift

    def forward(self, x):
        return self.p.log_prob(x) - self.q.log_prob(x) + self.shift


def test_best_discriminator_reads_off_the_jensen_shannon_divergence():
    """D* = p / (p + q) gives 2 log 2 - 2 JSD (Goodfellow et al. 2014, theorem 1), and is best."""
    p, q, n = td.Normal(0.0, 1.0), td.Normal(1.5, 0.7), 40_000
    model = GAN(1, 1, 4)
    x, fake = p.sample((n, 1)), q.sample((n, 1))
    losses = {}
    for name, shift in {"best": 0.0, "credulous": 0.5, "suspicious": -0.5}.items():
        model.d = LogRatio(p, q, shift)
        losses[name] = model.d_loss(x, fake)
    grid = torch.linspace(-10, 10, 20_001)
    a, b = p.log_prob(grid).exp(), q.log_prob(grid).exp()
    middle = (a + b) / 2
    jsd = torch.trapezoid((torch.xlogy(a, a / middle) + torch.xlogy(b, b / middle)) / 2, grid)
    best = losses.pop("best")
    error = best.std() / math.sqrt(n)
    assert abs(best.mean() - (2 * math.log(2) - 2 * jsd)) < 5 * error
    assert all(loss.mean() > best.mean() + 5 * error for loss in losses.values())


def test_the_players_take_turns_and_leave_the_session_as_it_was():
    model, x = GAN(2, 2, 16), torch.randn(500, 2) * 0.3 + 2.0
    before = torch.get_rng_state()
    history = fit_gan(model, x, steps=200, lr=3e-3)
    assert (torch.get_rng_state() == before).all()
    assert history.shape == (200, 2) and history.isfinite().all()
    assert (model.sample(500).mean(0) - 2.0).abs().max() < 1.0  # it began near the origin
    torch.manual_seed(5)
    pixels = GAN(4, 2, 8, binary=True)
    assert ((pixels.generate(3) % 1) > 0).all()
    drawn = pixels.sample(50)
    assert ((drawn == 0) | (drawn == 1)).all()


# All of them


@pytest.mark.parametrize(
    "make",
    [
        lambda: Autoregressive(6, 16),
        lambda: Autoregressive(6, 16, 3),
        lambda: RBM(6, 3),
        lambda: RBM(6, 3, binary=False),
        lambda: Flow(6, 4, 8),
        lambda: Dequantized(Flow(6, 4, 8)),
        lambda: Diffusion(6, 5, 8),
        lambda: Diffusion(6, 5, 8, binary=True),
    ],
)
def test_loss_is_per_example_and_reaches_every_parameter(make):
    model = shake(make())
    x = images()
    loss = model.loss(x)
    assert loss.shape == (16,) and loss.isfinite().all()
    loss.mean().backward()
    still = [n for n, p in model.named_parameters() if p.requires_grad and not p.grad.any()]
    assert not still
    assert model.sample(3).shape == (3, 6)
    for name in ("log_prob", "elbo"):
        if hasattr(model, name):
            assert getattr(model, name)(x).shape == (16,)


def test_gan_losses_reach_every_parameter_of_their_player():
    model = shake(GAN(6, 2, 8, binary=True))
    model.d_loss(images(), model.generate(16)).mean().backward()
    assert all(p.grad.any() for p in model.d.parameters())
    model.g_loss(model.generate(16)).mean().backward()
    assert all(p.grad.any() for p in model.g.parameters())


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: Autoregressive(4, 8).log_prob(torch.zeros(2, 1, 2, 2)), r"x\.flatten\(1\)"),
        (lambda: Flow(4).loss(torch.zeros(2, 3)), r"vectors \[B, 4\] were expected"),
        (lambda: Diffusion(4).loss(torch.zeros(4)), r"x has shape \[4\]"),
        (lambda: RBM(4, 2).log_prob(torch.full((1, 4), 0.5)), "0 and 1"),
        (lambda: Dequantized(Flow(4)).elbo(torch.full((1, 4), 0.5)), "0 and 1"),
        (lambda: GAN(4, binary=True).d_loss(torch.rand(1, 4), torch.rand(1, 4)), "0 and 1"),
        (lambda: RBM(4, 21), "hidden is 21"),
        (lambda: Flow(1), "dim is 1"),
        (lambda: Autoregressive(0), "dim is 0"),
        (lambda: Diffusion(2, 0), "steps is 0"),
        (lambda: GAN(2).sample(0), "n is 0"),
        (lambda: fit_gan(GAN(2), torch.zeros(5, 2), steps=0), "steps is 0"),
    ],
)
def test_bad_input_gets_a_sentence(action, message):
    with pytest.raises(ValueError, match=message):
        action()


@pytest.mark.parametrize("x", [[[0.0, 1.0]], torch.zeros(2, 2).long()])
def test_values_of_another_kind_get_a_sentence(x):
    with pytest.raises(TypeError, match=r"tensor of floats \[B, 2\]"):
        Autoregressive(2).log_prob(x)


def test_on_images_the_gan_neither_collapses_nor_draws_noise():
    """Two easy kinds of image; without the noise before d the samples end up all alike."""
    torch.manual_seed(0)
    x = torch.zeros(400, 16)
    x[:200, :8], x[200:, 8:] = 1, 1
    flips = torch.rand_like(x) < 0.03
    x = torch.where(flips, 1 - x, x)
    torch.manual_seed(0)
    model = GAN(16, 4, 32, binary=True)
    fit_gan(model, x, steps=600, lr=2e-3)
    left = model.sample(400)[:, :8].mean(1)
    shares = torch.stack([(left > 0.75).double().mean(), (left < 0.25).double().mean()])
    assert (shares > 0.15).all() and shares.sum() > 0.8
