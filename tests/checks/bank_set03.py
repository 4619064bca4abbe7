"""Answers to set 03: the KL divergence in closed form and by Monte Carlo."""

import torch
import torch.nn.functional as F
from bank import right, wrong
from torch import distributions as D

# --- kl_standard_normal --------------------------------------------------------------------------


@right("kl_standard_normal")
def usual(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)


@right("kl_standard_normal")
def by_distributions(mu, logvar):
    q = D.Normal(mu, (0.5 * logvar).exp())
    return D.kl_divergence(q, D.Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(-1)


@right("kl_standard_normal")
def independent_to_scalar_prior(mu, logvar):
    q = D.Independent(D.Normal(mu, torch.exp(logvar / 2)), 1)
    zeros = torch.zeros(mu.shape[-1], dtype=mu.dtype)
    p = D.Independent(D.Normal(zeros, torch.ones_like(zeros)), 1)
    return D.kl_divergence(q, p)


@right("kl_standard_normal")
def flattened_rows(mu, logvar):
    rows = [
        0.5 * (m @ m + v.exp().sum() - v.sum() - len(m))
        for m, v in zip(mu.reshape(-1, mu.shape[-1]), logvar.reshape(-1, mu.shape[-1]), strict=True)
    ]
    return torch.stack(rows).reshape(mu.shape[:-1])


@right("kl_standard_normal")
def einsum_form(mu, logvar, beta=1.0):
    squares = torch.einsum("...l,...l->...", mu, mu)
    return beta * 0.5 * (squares + (torch.expm1(logvar) - logvar).sum(-1))


@right("kl_standard_normal")
def temporaries(mu, logvar):
    mu, logvar = mu.to(torch.float64), logvar.to(torch.float64)
    terms = mu.square()
    terms += logvar.exp()
    terms -= logvar
    terms -= 1
    return terms.sum(dim=-1).mul(0.5)


@right("kl_standard_normal")
def cross_entropy_minus_entropy(mu, logvar):
    dims = mu.size(-1)
    entropy = 0.5 * (dims + logvar.sum(-1))
    return 0.5 * (mu**2 + logvar.exp()).sum(-1) - entropy


@wrong("kl_standard_normal", "missing_half")
def no_half(mu, logvar):
    return (mu**2 + logvar.exp() - logvar - 1).sum(-1)


@wrong("kl_standard_normal", "sign")
def negative(mu, logvar):
    return 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(-1)


@wrong("kl_standard_normal", "logvar_as_log_sigma")
def log_sigma(mu, logvar):
    return 0.5 * (mu**2 + (2 * logvar).exp() - 2 * logvar - 1).sum(-1)


@wrong("kl_standard_normal", "logvar_as_log_sigma")
def variance_as_scale(mu, logvar):
    return D.kl_divergence(D.Normal(mu, logvar.exp()), D.Normal(0.0, 1.0)).sum(-1)


@wrong("kl_standard_normal", "exp_forgotten")
def exp_forgotten(mu, logvar):
    return 0.5 * (mu**2 + logvar - logvar - 1).sum(-1)


@wrong("kl_standard_normal", "mu_not_squared")
def mu_not_squared(mu, logvar):
    return 0.5 * (mu + logvar.exp() - logvar - 1).sum(-1)


@wrong("kl_standard_normal", "missing_minus_one")
def minus_one_dropped(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - logvar).sum(-1)


@wrong("kl_standard_normal", "minus_one_outside")
def minus_one_outside(mu, logvar):
    return 0.5 * ((mu**2 + logvar.exp() - logvar).sum(-1) - 1)


@wrong("kl_standard_normal", "swapped_arguments")
def reverse(mu, logvar):
    return 0.5 * ((1 + mu**2) / logvar.exp() + logvar - 1).sum(-1)


@wrong("kl_standard_normal", "half_misplaced")
def half_binds_only_exp_plain(mu, logvar):
    return (mu**2 + 0.5 * logvar.exp() - logvar - 1).sum(-1)


@wrong("kl_standard_normal", "mean_instead_of_sum")
def mean_over_latents(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).mean(-1)


@wrong("kl_standard_normal", "not_summed")
def per_latent(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp())


@wrong("kl_standard_normal", "summed_over_batch")
def summed_over_batch(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@wrong("kl_standard_normal", "averaged_over_batch")
def averaged_over_batch(mu, logvar):
    return torch.mean(-0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=-1))


@wrong("kl_standard_normal", "mean_of_everything")
def mean_of_everything(mu, logvar):
    return -0.5 * torch.mean(1 + logvar - mu**2 - logvar.exp())


@wrong("kl_standard_normal", "kl_div_function")
def functional_kl_div(mu, logvar):
    return F.kl_div(mu, logvar, reduction="none").sum(-1)


@wrong("kl_standard_normal", "kl_div_function")
def functional_kl_div_default(mu, logvar):
    return F.kl_div(mu, logvar)


@wrong("kl_standard_normal", "logvar_sign")
def logvar_sign(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() + logvar - 1).sum(-1)


@wrong("kl_standard_normal", "missing_logvar_term")
def no_log_determinant(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1).sum(-1)


@wrong("kl_standard_normal", "std_for_variance")
def std_for_variance(mu, logvar):
    return 0.5 * (mu**2 + (0.5 * logvar).exp() - logvar - 1).sum(-1)


@wrong("kl_standard_normal", "summed_wrong_axis", "wrong_shape", "wrong_axis")
def first_axis(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=0)


@wrong("kl_standard_normal", "not_deterministic")
def one_sample(mu, logvar):
    q = D.Normal(mu, (0.5 * logvar).exp())
    z = q.rsample()
    return (q.log_prob(z) - D.Normal(0.0, 1.0).log_prob(z)).sum(-1)


@wrong("kl_standard_normal", "detached")
def detached(mu, logvar):
    mu, logvar = mu.data, logvar.data
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)


@wrong("kl_standard_normal", "wrong_dtype")
def half_precision(mu, logvar):
    return (-0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)).half()


@wrong("kl_standard_normal", "wrong_dtype")
def single_precision(mu, logvar):
    mu, logvar = mu.float(), logvar.float()
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)


# --- kl_normal -----------------------------------------------------------------------------------


@right("kl_normal")
def full_formula(mu_q, logvar_q, mu_p, logvar_p):
    return 0.5 * (
        logvar_p - logvar_q + (logvar_q.exp() + (mu_q - mu_p) ** 2) / logvar_p.exp() - 1
    ).sum(-1)


@right("kl_normal")
def normals(mu_q, logvar_q, mu_p, logvar_p):
    q = D.Normal(mu_q, (0.5 * logvar_q).exp())
    return D.kl_divergence(q, D.Normal(mu_p, (0.5 * logvar_p).exp())).sum(-1)


@right("kl_normal")
def multivariate_normals(mu_q, logvar_q, mu_p, logvar_p):
    q = D.MultivariateNormal(mu_q, torch.diag_embed(logvar_q.exp()))
    return D.kl_divergence(q, D.MultivariateNormal(mu_p, torch.diag_embed(logvar_p.exp())))


@right("kl_normal")
def by_ratio(mu_q, logvar_q, mu_p, logvar_p):
    ratio = logvar_q - logvar_p
    shift = (mu_p - mu_q) * torch.exp(-0.5 * logvar_p)
    return torch.einsum("...l->...", torch.expm1(ratio) - ratio + shift**2) / 2


@right("kl_normal")
def over_latents(mu_q, logvar_q, mu_p, logvar_p):
    total = 0
    for l in range(mu_q.shape[-1]):
        var_q, var_p = torch.exp(logvar_q[..., l]), torch.exp(logvar_p[..., l])
        diff = mu_q[..., l] - mu_p[..., l]
        total = total + torch.log(torch.sqrt(var_p / var_q)) + (var_q + diff**2) / (2 * var_p) - 0.5
    return total


@right("kl_normal")
def standardized(mu_q, logvar_q, mu_p, logvar_p):
    mu = (mu_q.double() - mu_p.double()) / (0.5 * logvar_p.double()).exp()
    return usual(mu, logvar_q.double() - logvar_p.double())


@wrong("kl_normal", "swapped_arguments")
def swapped(mu_q, logvar_q, mu_p, logvar_p):
    return full_formula(mu_p, logvar_p, mu_q, logvar_q)


@wrong("kl_normal", "missing_half")
def normal_no_half(mu_q, logvar_q, mu_p, logvar_p):
    return 2 * full_formula(mu_q, logvar_q, mu_p, logvar_p)


@wrong("kl_normal", "sign")
def normal_negative(mu_q, logvar_q, mu_p, logvar_p):
    return -full_formula(mu_q, logvar_q, mu_p, logvar_p)


@wrong("kl_normal", "logvar_as_log_sigma")
def normal_log_sigma(mu_q, logvar_q, mu_p, logvar_p):
    return full_formula(mu_q, 2 * logvar_q, mu_p, 2 * logvar_p)


@wrong("kl_normal", "missing_minus_one")
def normal_without_one(mu_q, logvar_q, mu_p, logvar_p):
    return full_formula(mu_q, logvar_q, mu_p, logvar_p) + 0.5 * mu_q.shape[-1]


@wrong("kl_normal", "minus_one_outside")
def normal_one_outside(mu_q, logvar_q, mu_p, logvar_p):
    ratio = (logvar_q.exp() + (mu_q - mu_p) ** 2) / logvar_p.exp()
    return 0.5 * ((logvar_p - logvar_q + ratio).sum(-1) - 1)


@wrong("kl_normal", "difference_not_squared")
def normal_difference_not_squared(mu_q, logvar_q, mu_p, logvar_p):
    ratio = (logvar_q.exp() + (mu_q - mu_p)) / logvar_p.exp()
    return 0.5 * (logvar_p - logvar_q + ratio - 1).sum(-1)


@wrong("kl_normal", "difference_not_scaled")
def normal_difference_not_scaled(mu_q, logvar_q, mu_p, logvar_p):
    ratio = (logvar_q - logvar_p).exp() + (mu_q - mu_p) ** 2
    return 0.5 * (logvar_p - logvar_q + ratio - 1).sum(-1)


@wrong("kl_normal", "difference_scaled_by_q")
def normal_difference_over_q(mu_q, logvar_q, mu_p, logvar_p):
    ratio = (logvar_q - logvar_p).exp() + (mu_q - mu_p) ** 2 / logvar_q.exp()
    return 0.5 * (logvar_p - logvar_q + ratio - 1).sum(-1)


@wrong("kl_normal", "logvar_sign")
def normal_log_ratio_turned(mu_q, logvar_q, mu_p, logvar_p):
    ratio = (logvar_q.exp() + (mu_q - mu_p) ** 2) / logvar_p.exp()
    return 0.5 * (logvar_q - logvar_p + ratio - 1).sum(-1)


@wrong("kl_normal", "missing_logvar_term")
def normal_without_log_ratio(mu_q, logvar_q, mu_p, logvar_p):
    ratio = (logvar_q.exp() + (mu_q - mu_p) ** 2) / logvar_p.exp()
    return 0.5 * (ratio - 1).sum(-1)


@wrong("kl_normal", "ignores_p")
def normal_ignores_p(mu_q, logvar_q, mu_p, logvar_p):
    return usual(mu_q, logvar_q)


@wrong("kl_normal", "mean_instead_of_sum")
def normal_mean(mu_q, logvar_q, mu_p, logvar_p):
    return full_formula(mu_q, logvar_q, mu_p, logvar_p) / mu_q.shape[-1]


@wrong("kl_normal", "not_summed")
def normal_per_latent(mu_q, logvar_q, mu_p, logvar_p):
    q = D.Normal(mu_q, (0.5 * logvar_q).exp())
    return D.kl_divergence(q, D.Normal(mu_p, (0.5 * logvar_p).exp()))


@wrong("kl_normal", "exp_forgotten")
def normal_exp_forgotten(mu_q, logvar_q, mu_p, logvar_p):
    ratio = (logvar_q + (mu_q - mu_p) ** 2) / logvar_p
    return 0.5 * (logvar_p - logvar_q + ratio - 1).sum(-1)


@wrong("kl_normal", "symmetric")
def normal_symmetric(mu_q, logvar_q, mu_p, logvar_p):
    forward = full_formula(mu_q, logvar_q, mu_p, logvar_p)
    return 0.5 * (forward + full_formula(mu_p, logvar_p, mu_q, logvar_q))


@wrong("kl_normal", "detached", "wrong_gradient")
def normal_p_detached(mu_q, logvar_q, mu_p, logvar_p):
    return full_formula(mu_q, logvar_q, mu_p.detach(), logvar_p.detach())


# --- kl_monte_carlo ------------------------------------------------------------------------------


@right("kl_monte_carlo")
def k1(q, p, num_samples):
    z = q.sample((num_samples,))
    return (q.log_prob(z) - p.log_prob(z)).mean(0)


@right("kl_monte_carlo")
def rsample_where_possible(q, p, num_samples):
    shape = torch.Size([num_samples])
    z = q.rsample(shape) if q.has_rsample else q.sample(shape)
    return torch.mean(q.log_prob(z) - p.log_prob(z), dim=0)


@right("kl_monte_carlo")
def k3(q, p, num_samples):
    z = q.sample((num_samples,))
    log_r = p.log_prob(z) - q.log_prob(z)
    return (log_r.exp() - 1 - log_r).mean(0)


@right("kl_monte_carlo")
def sample_by_sample(q, p, num_samples):
    total = 0
    for _ in range(num_samples):
        z = q.sample()
        total = total + q.log_prob(z) - p.log_prob(z)
    return total / num_samples


@right("kl_monte_carlo")
def without_gradient_of_q(q, p, num_samples):
    with torch.no_grad():
        z = q.sample([num_samples])
        log_q = q.log_prob(z)
    return torch.sub(log_q, p.log_prob(z)).sum(0).div(num_samples)


@right("kl_monte_carlo")
def in_chunks(q, p, num_samples, chunk=100):
    parts = []
    while num_samples > 0:
        count = min(chunk, num_samples)
        z = q.sample((count,))
        parts.append(q.log_prob(z) - p.log_prob(z))
        num_samples -= count
    return torch.cat(parts).mean(0)


@wrong("kl_monte_carlo", "sign")
def mc_negative(q, p, num_samples):
    z = q.sample((num_samples,))
    return (p.log_prob(z) - q.log_prob(z)).mean(0)


@wrong("kl_monte_carlo", "swapped_arguments")
def mc_swapped(q, p, num_samples):
    z = p.sample((num_samples,))
    return (p.log_prob(z) - q.log_prob(z)).mean(0)


@wrong("kl_monte_carlo", "samples_from_p")
def mc_samples_from_p(q, p, num_samples):
    z = p.sample((num_samples,))
    return (q.log_prob(z) - p.log_prob(z)).mean(0)


@wrong("kl_monte_carlo", "sum_instead_of_mean")
def mc_sum(q, p, num_samples):
    z = q.sample((num_samples,))
    return (q.log_prob(z) - p.log_prob(z)).sum(0)


@wrong("kl_monte_carlo", "k2")
def mc_k2(q, p, num_samples):
    z = q.sample((num_samples,))
    return (0.5 * (q.log_prob(z) - p.log_prob(z)) ** 2).mean(0)


@wrong("kl_monte_carlo", "absolute")
def mc_absolute(q, p, num_samples):
    z = q.sample((num_samples,))
    return (q.log_prob(z) - p.log_prob(z)).abs().mean(0)


@wrong("kl_monte_carlo", "clamped")
def mc_clamped(q, p, num_samples):
    z = q.sample((num_samples,))
    return (q.log_prob(z) - p.log_prob(z)).mean(0).clamp(min=0)


@wrong("kl_monte_carlo", "averaged_over_batch", "wrong_shape")
def mc_scalar(q, p, num_samples):
    z = q.sample((num_samples,))
    return (q.log_prob(z) - p.log_prob(z)).mean()


@wrong("kl_monte_carlo", "not_averaged", "wrong_shape")
def mc_not_averaged(q, p, num_samples):
    z = q.sample((num_samples,))
    return q.log_prob(z) - p.log_prob(z)


@wrong("kl_monte_carlo", "one_sample")
def mc_one_sample(q, p, num_samples):
    z = q.sample()
    return q.log_prob(z) - p.log_prob(z)


@wrong("kl_monte_carlo", "rsample_of_discrete")
def mc_rsample(q, p, num_samples):
    z = q.rsample((num_samples,))
    return (q.log_prob(z) - p.log_prob(z)).mean(0)


@wrong("kl_monte_carlo", "closed_form")
def mc_closed_form(q, p, num_samples):
    return D.kl_divergence(q, p)


@wrong("kl_monte_carlo", "density_ratio")
def mc_ratio_of_densities(q, p, num_samples):
    z = q.sample((num_samples,))
    return (q.log_prob(z).exp() - p.log_prob(z).exp()).mean(0)


@wrong("kl_monte_carlo", "missing_log_q")
def mc_cross_entropy(q, p, num_samples):
    z = q.sample((num_samples,))
    return -p.log_prob(z).mean(0)


@wrong("kl_monte_carlo", "detached")
def mc_no_grad(q, p, num_samples):
    with torch.no_grad():
        z = q.sample((num_samples,))
        return (q.log_prob(z) - p.log_prob(z)).mean(0)


@wrong("kl_monte_carlo", "reseeds")
def mc_seeded(q, p, num_samples):
    torch.manual_seed(0)
    z = q.sample((num_samples,))
    return (q.log_prob(z) - p.log_prob(z)).mean(0)


@wrong("kl_monte_carlo", "summed_over_batch", "wrong_shape")
def mc_batch_summed(q, p, num_samples):
    z = q.sample((num_samples,))
    return (q.log_prob(z) - p.log_prob(z)).mean(0).sum()


# --- answers that were judged wrongly once -------------------------------------------------------


@wrong("kl_standard_normal", "imprecise")
def standard_in_float32(mu, logvar):
    m, v = mu.float(), logvar.float()
    return (0.5 * (m**2 + v.exp() - v - 1)).sum(-1).to(mu.dtype)


@wrong("kl_standard_normal", "unstable", "free_bits")
def free_bits(mu, logvar):
    return (0.5 * (mu**2 + logvar.exp() - logvar - 1)).clamp(min=0.1).sum(-1)


@wrong("kl_standard_normal", "wrong_shape")
def squeezed_divergence(mu, logvar):
    return (0.5 * (mu**2 + logvar.exp() - logvar - 1)).sum(-1).squeeze()


@wrong("kl_standard_normal", "averaged_over_batch")
def every_row_over_batch_size(mu, logvar):
    return (0.5 * (mu**2 + logvar.exp() - logvar - 1)).sum(-1) / mu.shape[0]


@wrong("kl_standard_normal", "softplus_for_exp")
def softplus_scale(mu, logvar):
    q = D.Normal(mu, F.softplus(logvar))
    return D.kl_divergence(q, D.Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(-1)


@wrong("kl_standard_normal", "relu_before")
def relu_on_logvar(mu, logvar):
    logvar = F.relu(logvar)
    return (0.5 * (mu**2 + logvar.exp() - logvar - 1)).sum(-1)


@wrong("kl_normal", "kl_div_function")
def kl_div_of_the_means(mu_q, logvar_q, mu_p, logvar_p):
    return F.kl_div(mu_q, mu_p, reduction="none").sum(-1)


@wrong("kl_normal", "imprecise")
def normal_in_float32(mu_q, logvar_q, mu_p, logvar_p):
    a, b, c, d = (t.float() for t in (mu_q, logvar_q, mu_p, logvar_p))
    return (0.5 * (d - b + (b.exp() + (a - c) ** 2) / d.exp() - 1)).sum(-1).to(mu_q.dtype)


@right("kl_monte_carlo")
def draws_for_each_density(q, p, num_samples):
    first, second = q.sample((num_samples,)), q.sample((num_samples,))
    return q.log_prob(first).mean(0) - p.log_prob(second).mean(0)


def _log_ratios(q, p, num_samples):
    z = q.sample((num_samples,))
    return q.log_prob(z) - p.log_prob(z)


@wrong("kl_monte_carlo", "too_few_samples")
def half_of_the_samples(q, p, num_samples):
    return _log_ratios(q, p, max(num_samples // 2, 1)).mean(0)


@wrong("kl_monte_carlo", "wrong_count")
def one_degree_of_freedom_less(q, p, num_samples):
    return _log_ratios(q, p, num_samples).sum(0) / max(num_samples - 1, 1)


@wrong("kl_monte_carlo", "density_ratio")
def ratio_without_log(q, p, num_samples):
    return _log_ratios(q, p, num_samples).exp().mean(0)


@wrong("kl_monte_carlo", "k3_turned")
def ratio_turned(q, p, num_samples):
    r = _log_ratios(q, p, num_samples)
    return (r.exp() - 1 - r).mean(0)


@wrong("kl_monte_carlo", "wrong_dtype")
def whole_numbers(q, p, num_samples):
    return _log_ratios(q, p, num_samples).mean(0).long()
