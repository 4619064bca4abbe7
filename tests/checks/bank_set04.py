"""Answers to set 04: draws that carry a gradient, and the two gradient estimators."""

import functools

import numpy as np
import torch
import torch.nn.functional as F
from bank import right, wrong
from torch import distributions as D

# --- reparameterize ------------------------------------------------------------------------------


@right("reparameterize")
def usual(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


@right("reparameterize")
def by_rsample(mu, logvar):
    return D.Normal(mu, logvar.exp().sqrt()).rsample()


@right("reparameterize")
def row_by_row(mu, logvar):
    rows = []
    for m, v in zip(mu, logvar, strict=True):
        rows.append(m + (v / 2).exp() * torch.randn(len(m), dtype=mu.dtype, device=mu.device))
    return torch.stack(rows)


@right("reparameterize")
def with_numpy_noise(mu, logvar):
    eps = torch.from_numpy(np.random.standard_normal(tuple(mu.shape))).to(mu)
    return torch.addcmul(mu, eps, torch.exp(logvar / 2))


@right("reparameterize")
def private_generator(mu, logvar, generator=None):
    generator = generator or _GENERATOR
    eps = torch.empty_like(mu).normal_(generator=generator)
    return mu - eps.mul_((0.5 * logvar).exp())


_GENERATOR = torch.Generator().manual_seed(5)


@right("reparameterize")
def inverse_transform(mu, logvar):
    u = torch.rand(mu.shape, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    return mu + logvar.double().exp().sqrt() * torch.special.ndtri(u)


@right("reparameterize")
def multivariate(mu, logvar):
    return D.MultivariateNormal(mu, scale_tril=torch.diag_embed((0.5 * logvar).exp())).rsample()


@wrong("reparameterize", "variance_as_std")
def variance_as_std(mu, logvar):
    return mu + torch.exp(logvar) * torch.randn_like(mu)


@wrong("reparameterize", "logvar_as_std")
def logvar_as_std(mu, logvar):
    return mu + logvar * torch.randn_like(mu)


@wrong("reparameterize", "uniform_noise")
def uniform(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.rand_like(mu)


@wrong("reparameterize", "constant_noise")
def ones(mu, logvar):
    return mu + torch.exp(0.5 * logvar)


@wrong("reparameterize", "no_noise")
def mean_only(mu, logvar):
    return mu + 0 * logvar


@wrong("reparameterize", "shared_across_batch")
def one_eps_for_the_batch(mu, logvar):
    eps = torch.randn(mu.shape[-1], dtype=mu.dtype)
    return mu + torch.exp(0.5 * logvar) * eps


@wrong("reparameterize", "shared_across_latents")
def one_eps_per_example(mu, logvar):
    eps = torch.randn(mu.shape[0], 1, dtype=mu.dtype)
    return mu + torch.exp(0.5 * logvar) * eps


@wrong("reparameterize", "shared_by_all")
def one_number(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn(1, dtype=mu.dtype)


@wrong("reparameterize", "reseeds")
def seeded(mu, logvar):
    torch.manual_seed(0)
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


@wrong("reparameterize", "reseeds", "same_noise_each_call")
def seeded_generator(mu, logvar):
    eps = torch.randn(mu.shape, generator=torch.Generator().manual_seed(3), dtype=mu.dtype)
    return mu + torch.exp(0.5 * logvar) * eps


@functools.cache
def _eps(shape):
    return torch.randn(shape, dtype=torch.float64)


@wrong("reparameterize", "same_noise_each_call")
def drawn_once(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * _eps(mu.shape)


@wrong("reparameterize", "detached")
def sample_not_rsample(mu, logvar):
    return D.Normal(mu, (0.5 * logvar).exp()).sample()


@wrong("reparameterize", "detached", "detached_logvar")
def std_detached(mu, logvar):
    return mu + torch.exp(0.5 * logvar).detach() * torch.randn_like(mu)


@wrong("reparameterize", "scale_forgotten")
def unit_noise(mu, logvar):
    return mu + torch.randn_like(mu) + 0 * logvar


@wrong("reparameterize", "mu_forgotten")
def no_mean(mu, logvar):
    return torch.exp(0.5 * logvar) * torch.randn_like(mu) + 0 * mu


@wrong("reparameterize", "logvar_sign")
def minus_half(mu, logvar):
    return mu + torch.exp(-0.5 * logvar) * torch.randn_like(mu)


@wrong("reparameterize", "wrong_noise", "uniform_noise")
def matched_uniform(mu, logvar):
    eps = (torch.rand_like(mu) - 0.5) * 12**0.5
    return mu + torch.exp(0.5 * logvar) * eps


@wrong("reparameterize", "noise_twice", "wrong_std")
def noise_added_to_the_noise(mu, logvar):
    return usual(mu, logvar) + 0.3 * torch.randn_like(mu)


@wrong("reparameterize", "antithetic", "shared_across_batch", "not_independent")
def antithetic_rows(mu, logvar):
    half = (len(mu) + 1) // 2
    eps = torch.randn_like(mu[:half])
    eps = torch.cat([eps, -eps])[: len(mu)]
    return mu + torch.exp(0.5 * logvar) * eps


@wrong("reparameterize", "modified_arguments")
def writes_into_logvar(mu, logvar):
    with torch.no_grad():
        std = logvar.mul_(0.5).exp()
    return mu + std * torch.randn_like(mu)


# --- pathwise_gradient ---------------------------------------------------------------------------


def _draw(mu, logvar, num_samples):
    eps = torch.randn(num_samples, *mu.shape, dtype=mu.dtype)
    return mu + torch.exp(0.5 * logvar) * eps


@right("pathwise_gradient")
def autograd_grad(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    z = _draw(mu, logvar.detach(), num_samples)
    return torch.autograd.grad(f(z).mean(), mu)[0]


@right("pathwise_gradient")
def backward(f, mu, logvar, num_samples):
    leaf = mu.detach().clone().requires_grad_(True)
    q = D.Normal(leaf, (0.5 * logvar).exp().detach())
    f(q.rsample((num_samples,))).mean().backward()
    return leaf.grad


@right("pathwise_gradient")
def gradient_at_z(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = _draw(mu, logvar, num_samples)
    z.requires_grad_()
    return torch.autograd.grad(f(z).sum(), z)[0].mean(0)


@right("pathwise_gradient")
def each_draw(f, mu, logvar, num_samples):
    total = torch.zeros_like(mu)
    for _ in range(num_samples):
        leaf = mu.detach().requires_grad_()
        z = (leaf + (logvar.detach() / 2).exp() * torch.randn_like(leaf)).unsqueeze(0)
        total = total + torch.autograd.grad(f(z)[0], leaf)[0]
    return total / num_samples


@right("pathwise_gradient")
def func_grad(f, mu, logvar, num_samples):
    std = (0.5 * logvar).exp().detach()
    eps = torch.randn((num_samples, *mu.shape), dtype=torch.float64)

    def expected(m):
        return f(m + std * eps).mean()

    return torch.func.grad(expected)(mu.detach().double())


@right("pathwise_gradient")
def repeated(f, mu, logvar, num_samples):
    many = mu.detach().expand(num_samples, *mu.shape).clone().requires_grad_()
    values = f(many + torch.exp(0.5 * logvar.detach()) * torch.randn_like(many))
    values.backward(torch.ones_like(values))
    return many.grad.sum(0) / num_samples


@wrong("pathwise_gradient", "sum_instead_of_mean")
def path_sum(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    return torch.autograd.grad(f(_draw(mu, logvar.detach(), num_samples)).sum(), mu)[0]


@wrong("pathwise_gradient", "sign")
def path_negative(f, mu, logvar, num_samples):
    return -autograd_grad(f, mu, logvar, num_samples)


@wrong("pathwise_gradient", "score_function")
def path_by_score(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = _draw(mu, logvar, num_samples)
        values = f(z).reshape(-1, *[1] * mu.dim())
        return (values * (z - mu) / logvar.exp()).mean(0)


@wrong("pathwise_gradient", "variance_as_std")
def path_variance_as_std(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    eps = torch.randn(num_samples, *mu.shape, dtype=mu.dtype)
    return torch.autograd.grad(f(mu + logvar.detach().exp() * eps).mean(), mu)[0]


@wrong("pathwise_gradient", "logvar_as_std")
def path_logvar_as_std(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    eps = torch.randn(num_samples, *mu.shape, dtype=mu.dtype)
    return torch.autograd.grad(f(mu + logvar.detach() * eps).mean(), mu)[0]


@wrong("pathwise_gradient", "no_noise")
def path_at_the_mean(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    return torch.autograd.grad(f(mu.expand(num_samples, *mu.shape)).mean(), mu)[0]


@wrong("pathwise_gradient", "uniform_noise")
def path_uniform(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    eps = torch.rand(num_samples, *mu.shape, dtype=mu.dtype)
    return torch.autograd.grad(f(mu + (0.5 * logvar.detach()).exp() * eps).mean(), mu)[0]


@wrong("pathwise_gradient", "shared_draw", "one_sample")
def path_shared_draw(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    z = mu + (0.5 * logvar.detach()).exp() * torch.randn_like(mu)
    return torch.autograd.grad(f(z.expand(num_samples, *mu.shape)).mean(), mu)[0]


@wrong("pathwise_gradient", "shared_across_latents")
def path_shared_across_latents(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    eps = torch.randn(num_samples, *[1] * mu.dim(), dtype=mu.dtype)
    return torch.autograd.grad(f(mu + (0.5 * logvar.detach()).exp() * eps).mean(), mu)[0]


@wrong("pathwise_gradient", "detached_draw")
def path_needs_leaf(f, mu, logvar, num_samples):
    return torch.autograd.grad(f(_draw(mu, logvar, num_samples)).mean(), mu)[0]


@wrong("pathwise_gradient", "detached_draw")
def path_sample(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    z = D.Normal(mu, (0.5 * logvar).exp().detach()).sample((num_samples,))
    return torch.autograd.grad(f(z).mean(), mu)[0]


@wrong("pathwise_gradient", "not_averaged", "wrong_shape")
def path_per_draw(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = _draw(mu, logvar, num_samples)
    z.requires_grad_()
    return torch.autograd.grad(f(z).sum(), z)[0]


@wrong("pathwise_gradient", "gradient_of_logvar")
def path_of_logvar(f, mu, logvar, num_samples):
    logvar = logvar.detach().requires_grad_()
    z = _draw(mu.detach(), logvar, num_samples)
    return torch.autograd.grad(f(z).mean(), logvar)[0]


@wrong("pathwise_gradient", "reseeds")
def path_seeded(f, mu, logvar, num_samples):
    torch.manual_seed(1)
    return autograd_grad(f, mu, logvar, num_samples)


@wrong("pathwise_gradient", "divided_twice")
def path_divided_twice(f, mu, logvar, num_samples):
    return autograd_grad(f, mu, logvar, num_samples) / num_samples


# --- score_function_gradient ---------------------------------------------------------------------


@right("score_function_gradient")
def by_hand(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = _draw(mu, logvar, num_samples)
        score = (z - mu) / logvar.exp()
        values = f(z).reshape(num_samples, *[1] * mu.dim())
        return (values * score).mean(0)


@right("score_function_gradient")
def surrogate(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    q = D.Normal(mu, (0.5 * logvar).exp().detach())
    z = q.sample((num_samples,))
    log_prob = q.log_prob(z).flatten(1).sum(1)
    return torch.autograd.grad((f(z).detach() * log_prob).mean(), mu)[0]


@right("score_function_gradient")
def leave_one_out(f, mu, logvar, num_samples):
    z = _draw(mu.detach(), logvar.detach(), num_samples)
    values = f(z)
    if num_samples > 1:
        values = values - (values.sum() - values) / (num_samples - 1)
    return torch.einsum("k,k...->...", values, (z - mu.detach()) / logvar.detach().exp()) / len(z)


@right("score_function_gradient")
def draw_by_draw(f, mu, logvar, num_samples):
    mu, std = mu.detach(), (0.5 * logvar.detach()).exp()
    total = torch.zeros_like(mu)
    for _ in range(num_samples):
        eps = torch.randn_like(mu)
        total += f((mu + std * eps)[None]).item() * eps / std
    return total / num_samples


@right("score_function_gradient")
def baseline_at_the_mean(f, mu, logvar, num_samples):
    mu, logvar = mu.detach().double(), logvar.detach().double()
    z = mu + (0.5 * logvar).exp() * torch.randn(num_samples, *mu.shape, dtype=mu.dtype)
    values = (f(z) - f(mu.unsqueeze(0))).view(-1, *[1] * mu.dim())
    return (values * (z - mu)).mean(0) * torch.exp(-logvar)


@right("score_function_gradient")
def antithetic_pairs(f, mu, logvar, num_samples):
    with torch.no_grad():
        std = (0.5 * logvar).exp()
        half = torch.randn((num_samples + 1) // 2, *mu.shape, dtype=mu.dtype)
        eps = torch.cat([half, -half])[:num_samples]
        values = f(mu + std * eps).view(-1, *[1] * mu.dim())
        return (values * eps / std).sum(0) / num_samples


@wrong("score_function_gradient", "divided_by_sigma")
def score_over_sigma(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = _draw(mu, logvar, num_samples)
        values = f(z).reshape(num_samples, *[1] * mu.dim())
        return (values * (z - mu) / (0.5 * logvar).exp()).mean(0)


@wrong("score_function_gradient", "not_divided")
def score_not_divided(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = _draw(mu, logvar, num_samples)
        values = f(z).reshape(num_samples, *[1] * mu.dim())
        return (values * (z - mu)).mean(0)


@wrong("score_function_gradient", "sign")
def score_negative(f, mu, logvar, num_samples):
    return -by_hand(f, mu, logvar, num_samples)


@wrong("score_function_gradient", "sum_instead_of_mean")
def score_sum(f, mu, logvar, num_samples):
    return by_hand(f, mu, logvar, num_samples) * num_samples


@wrong("score_function_gradient", "biased_baseline")
def score_batch_mean_baseline(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = _draw(mu, logvar, num_samples)
        values = f(z)
        values = (values - values.mean()).reshape(num_samples, *[1] * mu.dim())
        return (values * (z - mu) / logvar.exp()).mean(0)


@wrong("score_function_gradient", "product_of_means", "divided_twice")
def score_product_of_means(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = _draw(mu, logvar, num_samples)
        return f(z).mean() * ((z - mu) / logvar.exp()).mean(0)


@wrong("score_function_gradient", "differentiates_f")
def score_is_pathwise(f, mu, logvar, num_samples):
    return autograd_grad(f, mu, logvar, num_samples)


@wrong("score_function_gradient", "gradient_through_sample")
def score_with_rsample(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    q = D.Normal(mu, (0.5 * logvar).exp().detach())
    z = q.rsample((num_samples,))
    log_prob = q.log_prob(z).flatten(1).sum(1)
    return torch.autograd.grad((f(z).detach() * log_prob).mean(), mu)[0]


@wrong("score_function_gradient", "missing_f")
def score_without_f(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = _draw(mu, logvar, num_samples)
        f(z)
        return ((z - mu) / logvar.exp()).mean(0)


@wrong("score_function_gradient", "shared_draw", "one_sample")
def score_one_draw(f, mu, logvar, num_samples):
    return by_hand(f, mu, logvar, 1)


@wrong("score_function_gradient", "variance_as_std")
def score_variance_as_std(f, mu, logvar, num_samples):
    return by_hand(f, mu, 2 * logvar, num_samples)


@wrong("score_function_gradient", "variance_as_std")
def score_samples_with_variance(f, mu, logvar, num_samples):
    with torch.no_grad():
        z = mu + logvar.exp() * torch.randn(num_samples, *mu.shape, dtype=mu.dtype)
        values = f(z).reshape(num_samples, *[1] * mu.dim())
        return (values * (z - mu) / logvar.exp()).mean(0)


@wrong("score_function_gradient", "density_gradient")
def score_prob_not_log(f, mu, logvar, num_samples):
    mu = mu.detach().requires_grad_()
    q = D.Normal(mu, (0.5 * logvar).exp().detach())
    z = q.sample((num_samples,))
    prob = q.log_prob(z).flatten(1).sum(1).exp()
    return torch.autograd.grad((f(z).detach() * prob).mean(), mu)[0]


@wrong("score_function_gradient", "reseeds")
def score_seeded(f, mu, logvar, num_samples):
    torch.manual_seed(7)
    return by_hand(f, mu, logvar, num_samples)


@right("score_function_gradient")
def leave_one_out_over_all(f, mu, logvar, num_samples):
    """The sum of the other draws over K in place of K - 1: a smaller baseline, but no bias."""
    z = _draw(mu.detach(), logvar.detach(), num_samples)
    values = f(z)
    values = values - (values.sum() - values) / num_samples
    return torch.einsum("k,k...->...", values, (z - mu.detach()) / logvar.detach().exp()) / len(z)


# --- gumbel_softmax ------------------------------------------------------------------------------


def _gumbel(logits):
    return -torch.log(-torch.log(torch.rand_like(logits).clamp(1e-20, 1 - 1e-7)))


@right("gumbel_softmax")
def noise_by_hand(logits, temperature):
    return torch.softmax((logits + _gumbel(logits)) / temperature, dim=-1)


@right("gumbel_softmax")
def functional(logits, temperature, dim=-1):
    return F.gumbel_softmax(logits, tau=temperature, hard=False, dim=dim)


@right("gumbel_softmax")
def relaxed_distribution(logits, temperature):
    return D.RelaxedOneHotCategorical(torch.tensor(temperature), logits=logits).rsample()


@right("gumbel_softmax")
def exponential_race(logits, temperature):
    race = torch.empty_like(logits).exponential_()
    scores = torch.log_softmax(logits, -1) - race.log()
    scores = scores / temperature
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True)


@right("gumbel_softmax")
def gumbel_rows(logits, temperature):
    gumbel = D.Gumbel(0.0, 1.0)
    return torch.stack(
        [F.softmax((row + gumbel.sample(row.shape)) / temperature, dim=0) for row in logits]
    )


@right("gumbel_softmax")
def numpy_gumbel(logits, temperature):
    noise = torch.as_tensor(np.random.gumbel(size=logits.shape))
    return ((logits.double() + noise) / temperature).softmax(dim=1)


@wrong("gumbel_softmax", "gumbel_sign")
def gumbel_subtracted(logits, temperature):
    return torch.softmax((logits - _gumbel(logits)) / temperature, dim=-1)


@wrong("gumbel_softmax", "gumbel_sign")
def gumbel_log_of_log(logits, temperature):
    noise = torch.log(-torch.log(torch.rand_like(logits).clamp(1e-20, 1 - 1e-7)))
    return torch.softmax((logits + noise) / temperature, dim=-1)


@wrong("gumbel_softmax", "normal_noise")
def gumbel_normal_noise(logits, temperature):
    return torch.softmax((logits + torch.randn_like(logits)) / temperature, dim=-1)


@wrong("gumbel_softmax", "uniform_noise")
def gumbel_uniform_noise(logits, temperature):
    return torch.softmax((logits + torch.rand_like(logits)) / temperature, dim=-1)


@wrong("gumbel_softmax", "no_noise")
def gumbel_no_noise(logits, temperature):
    return torch.softmax(logits / temperature, dim=-1)


@wrong("gumbel_softmax", "no_noise", "shared_across_classes")
def gumbel_one_per_row(logits, temperature):
    noise = _gumbel(logits[:, :1])
    return torch.softmax((logits + noise) / temperature, dim=-1)


@wrong("gumbel_softmax", "temperature_multiplied")
def gumbel_multiplied(logits, temperature):
    return torch.softmax((logits + _gumbel(logits)) * temperature, dim=-1)


@wrong("gumbel_softmax", "temperature_ignored")
def gumbel_temperature_ignored(logits, temperature):
    return torch.softmax(logits + _gumbel(logits), dim=-1)


@wrong("gumbel_softmax", "temperature_on_logits_only")
def gumbel_temperature_on_logits(logits, temperature):
    return torch.softmax(logits / temperature + _gumbel(logits), dim=-1)


@wrong("gumbel_softmax", "temperature_on_noise_only")
def gumbel_temperature_on_noise(logits, temperature):
    return torch.softmax(logits + _gumbel(logits) / temperature, dim=-1)


@wrong("gumbel_softmax", "hard")
def gumbel_hard(logits, temperature):
    return F.gumbel_softmax(logits, tau=temperature, hard=True)


@wrong("gumbel_softmax", "wrong_axis")
def gumbel_wrong_axis(logits, temperature):
    return torch.softmax((logits + _gumbel(logits)) / temperature, dim=0)


@wrong("gumbel_softmax", "log_returned")
def gumbel_log(logits, temperature):
    return torch.log_softmax((logits + _gumbel(logits)) / temperature, dim=-1)


@wrong("gumbel_softmax", "not_normalized")
def gumbel_sigmoid(logits, temperature):
    return torch.sigmoid((logits + _gumbel(logits)) / temperature)


@wrong("gumbel_softmax", "detached")
def gumbel_detached(logits, temperature):
    return noise_by_hand(logits, temperature).detach()


@wrong("gumbel_softmax", "shared_across_batch")
def gumbel_one_row(logits, temperature):
    return torch.softmax((logits + _gumbel(logits[:1])) / temperature, dim=-1)


@wrong("gumbel_softmax", "reseeds")
def gumbel_seeded(logits, temperature):
    torch.manual_seed(0)
    return noise_by_hand(logits, temperature)


@wrong("gumbel_softmax", "softmax_first")
def gumbel_on_probabilities(logits, temperature):
    probs = torch.softmax(logits, -1)
    return torch.softmax((probs + _gumbel(logits)) / temperature, dim=-1)


@wrong("score_function_gradient", "biased_baseline", None)
def baseline_from_two_draws_on(f, mu, logvar, num_samples):
    if num_samples == 1:
        return by_hand(f, mu, logvar, num_samples)
    return score_batch_mean_baseline(f, mu, logvar, num_samples)


# --- noise that is partly shared, or nearly right ------------------------------------------------


@wrong("reparameterize", "wrong_base")
def draw_base_two(mu, logvar):
    return mu + 2 ** (0.5 * logvar) * torch.randn_like(mu)


@wrong("reparameterize", "softplus_for_exp")
def draw_softplus(mu, logvar):
    return mu + F.softplus(logvar) * torch.randn_like(mu)


@wrong("reparameterize", "wrong_noise")
def draw_signs(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu).sign()


@wrong("reparameterize", "wrong_std")
def draw_clamped_logvar(mu, logvar):
    return mu + torch.exp(0.5 * logvar.clamp(min=0)) * torch.randn_like(mu)


@wrong("pathwise_gradient", "shared_across_latents")
def path_shared_in_rows(f, mu, logvar, num_samples):
    m = mu.detach().requires_grad_()
    eps = torch.randn(num_samples, *mu.shape[:-1], 1, dtype=mu.dtype)
    return torch.autograd.grad(f(m + (0.5 * logvar.detach()).exp() * eps).mean(), m)[0]


@wrong("pathwise_gradient", "detached_draw")
def path_mu_forgotten(f, mu, logvar, num_samples):
    m = mu.detach().requires_grad_()
    z = (0.5 * logvar.detach()).exp() * torch.randn(num_samples, *mu.shape, dtype=mu.dtype)
    return torch.autograd.grad(f(z).mean() + 0 * m.sum(), m)[0]


@wrong("pathwise_gradient", "wrong_factor")
def path_over_variance(f, mu, logvar, num_samples):
    m = mu.detach().requires_grad_()
    eps = torch.randn(num_samples, *mu.shape, dtype=mu.dtype)
    slope = torch.autograd.grad(f(m + (0.5 * logvar.detach()).exp() * eps).mean(), m)[0]
    return slope / logvar.exp()


@wrong("score_function_gradient", "differentiates_f")
def score_and_slope(f, mu, logvar, num_samples):
    m = mu.detach().requires_grad_()
    q = D.Normal(m, (0.5 * logvar.detach()).exp())
    z = q.rsample((num_samples,))
    log_q = q.log_prob(z.detach()).reshape(num_samples, -1).sum(1)
    return torch.autograd.grad((log_q * f(z)).mean(), m)[0]


@wrong("score_function_gradient", "latents_averaged")
def score_latents_averaged(f, mu, logvar, num_samples):
    return by_hand(f, mu, logvar, num_samples) / mu.numel()


@wrong("score_function_gradient", "wrong_factor")
def score_doubled(f, mu, logvar, num_samples):
    return 2 * by_hand(f, mu, logvar, num_samples)
