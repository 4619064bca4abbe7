"""Answers to set 15: the product of experts with a prior expert, for every subset of modalities."""

import math

import torch
from bank import right, wrong

# --- product_of_experts --------------------------------------------------------------------------


@right("product_of_experts")
def precisions_add_up(mus, logvars, mask):
    T = torch.where(mask[..., None], torch.exp(-logvars), 0.0)
    total = 1 + T.sum(0)
    return (T * mus).sum(0) / total, -total.log()


@right("product_of_experts")
def in_logarithms(mus, logvars, mask):
    log_T = torch.where(mask.unsqueeze(-1), -logvars, -torch.inf)
    log_T = torch.cat([torch.zeros_like(logvars[:1]), log_T])
    share = torch.softmax(log_T, 0)[1:]
    return (share * torch.where(mask.unsqueeze(-1), mus, 0.0)).sum(0), -torch.logsumexp(log_T, 0)


@right("product_of_experts")
def prior_as_one_more_expert(mus, logvars, mask):
    """As the authors of MVAE write it: stack the prior on top, then multiply all."""
    zeros = torch.zeros_like(mus[:1])
    mus, logvars = torch.cat([zeros, mus]), torch.cat([zeros, logvars])
    mask = torch.cat([torch.ones_like(mask[:1]), mask])
    T = mask[:, :, None] / logvars.exp()
    var = 1 / T.sum(0)
    return (mus * T).sum(0) * var, var.log()


@right("product_of_experts")
def by_modality(mus, logvars, mask):
    precision = torch.ones_like(mus[0])
    weighted = torch.zeros_like(mus[0])
    for mu, logvar, there in zip(mus, logvars, mask, strict=True):
        T = (-logvar).exp() * there[:, None]
        precision = precision + T
        weighted = weighted + T * mu
    return weighted / precision, -precision.log()


@right("product_of_experts")
def row_by_row(mus, logvars, mask):
    rows = []
    for b in range(mus.shape[1]):
        T = logvars[mask[:, b], b].neg().exp()
        total = T.sum(0) + 1
        rows.append(((T * mus[mask[:, b], b]).sum(0) / total, -total.log()))
    return tuple(torch.stack(side) for side in zip(*rows, strict=True))


@right("product_of_experts")
def one_after_the_other(mus, logvars, mask):
    """The product of two normals, again and again, beginning with the prior."""
    mu, var = torch.zeros_like(mus[0]), torch.ones_like(mus[0])
    for m in range(len(mus)):
        var_m = logvars[m].exp()
        joint = var + var_m
        new_mu = (mu * var_m + mus[m] * var) / joint
        mu = torch.where(mask[m, :, None], new_mu, mu)
        var = torch.where(mask[m, :, None], var * var_m / joint, var)
    return mu, var.log()


@right("product_of_experts")
def by_einsum(mus, logvars, mask):
    T, there = torch.exp(-logvars), mask.to(mus.dtype)
    total = 1 + torch.einsum("mbl,mb->bl", T, there)
    return torch.einsum("mbl,mbl,mb->bl", T, mus, there) / total, torch.log(1 / total)


@right("product_of_experts")
def missing_experts_are_vague(mus, logvars, mask):
    logvars = logvars.masked_fill(~mask[..., None], 1e4)
    total = (-logvars).exp().sum(0) + 1
    return ((-logvars).exp() * mus).sum(0).div(total), total.log().neg()


@right("product_of_experts")
def natural_parameters(mus, logvars, mask, prior_precision=1.0):
    keep = mask.unsqueeze(-1)
    eta_2 = -0.5 * torch.exp(-logvars) * keep
    eta_1 = -2 * eta_2 * mus
    eta_1, eta_2 = eta_1.sum(0), eta_2.sum(0) - 0.5 * prior_precision
    return -eta_1 / (2 * eta_2), -torch.log(-2 * eta_2)


@right("product_of_experts")
def double_inside(mus, logvars, mask):
    mu, logvar = precisions_add_up(mus.double(), logvars.double(), mask)
    return mu.to(mus.dtype), logvar.to(mus.dtype)


@right("product_of_experts")
def a_list_with_the_mean_in_steps(mus, logvars, mask):
    logvar = torch.zeros_like(mus[0])
    for m in range(len(mus)):
        more = -torch.logaddexp(-logvar, -logvars[m])
        logvar = torch.where(mask[m].unsqueeze(-1), more, logvar)
    mu = sum(
        torch.exp(logvar - lv) * m * t[:, None] for m, lv, t in zip(mus, logvars, mask, strict=True)
    )
    return [mu, logvar]


@right("product_of_experts")
def in_place_on_its_own(mus, logvars, mask):
    T = logvars.clone().neg_().exp().clone()
    T[~mask] = 0
    total = T.sum(0).add_(1)
    return (T * mus).sum(0) / total, -total.log()


# --- the prior -----------------------------------------------------------------------------------


@wrong("product_of_experts", "prior_missing")
def no_prior(mus, logvars, mask):
    T = torch.where(mask[..., None], torch.exp(-logvars), 0.0)
    total = T.sum(0)
    return (T * mus).sum(0) / total, -total.log()


@wrong("product_of_experts", "prior_missing")
def no_prior_and_a_small_constant(mus, logvars, mask):
    T = torch.where(mask[..., None], torch.exp(-logvars), 0.0)
    total = T.sum(0) + 1e-8
    return (T * mus).sum(0) / total, -total.log()


@wrong("product_of_experts", "prior_missing")
def no_prior_in_the_mean(mus, logvars, mask):
    T = torch.where(mask[..., None], torch.exp(-logvars), 0.0)
    return (T * mus).sum(0) / T.sum(0), -(1 + T.sum(0)).log()


@wrong("product_of_experts", "prior_missing")
def no_prior_in_the_variance(mus, logvars, mask):
    T = torch.where(mask[..., None], torch.exp(-logvars), 0.0)
    return (T * mus).sum(0) / (1 + T.sum(0)), -T.sum(0).log()


@wrong("product_of_experts", "prior_per_expert")
def prior_with_each_expert(mus, logvars, mask):
    T = torch.where(mask[..., None], torch.exp(-logvars), 0.0)
    total = ((T + 1) * mask[..., None]).sum(0)
    return (T * mus).sum(0) / total, -total.log()


@wrong("product_of_experts", "prior_per_expert")
def prior_for_each_modality(mus, logvars, mask):
    T = torch.where(mask[..., None], torch.exp(-logvars), 0.0)
    total = (T + 1).sum(0)
    return (T * mus).sum(0) / total, -total.log()


# --- the mask ------------------------------------------------------------------------------------


@wrong("product_of_experts", "mask_ignored")
def all_of_them(mus, logvars, mask):
    return precisions_add_up(mus, logvars, torch.ones_like(mask))


@wrong("product_of_experts", "mask_inverted")
def the_others(mus, logvars, mask):
    T = torch.exp(-logvars).masked_fill(mask[..., None], 0.0)
    total = 1 + T.sum(0)
    return (T * mus).sum(0) / total, -total.log()


@wrong("product_of_experts", "missing_as_prior")
def parameters_times_mask(mus, logvars, mask):
    mus, logvars = mus * mask[..., None], logvars * mask[..., None]
    T = torch.exp(-logvars)
    return (T * mus).sum(0) / (1 + T.sum(0)), -(1 + T.sum(0)).log()


@wrong("product_of_experts", "missing_as_prior")
def zeros_as_parameters(mus, logvars, mask):
    keep = mask[..., None]
    return all_of_them(torch.where(keep, mus, 0.0), torch.where(keep, logvars, 0.0), mask)


@wrong("product_of_experts", "missing_as_prior")
def logvars_times_mask(mus, logvars, mask):
    return all_of_them(mus, logvars * mask[..., None], mask)


@wrong("product_of_experts", "mus_masked_only")
def mus_times_mask(mus, logvars, mask):
    return all_of_them(mus * mask[..., None], logvars, mask)


@wrong("product_of_experts", "missing_as_prior")
def zeros_without_the_prior(mus, logvars, mask):
    mus, logvars = mus * mask[..., None], logvars * mask[..., None]
    T = torch.exp(-logvars)
    return (T * mus).sum(0) / T.sum(0), -T.sum(0).log()


# --- something else is added ---------------------------------------------------------------------


@wrong("product_of_experts", "averaged")
def means_of_the_present(mus, logvars, mask):
    keep = mask[..., None]
    count = keep.sum(0)
    return (mus * keep).sum(0) / count, (logvars * keep).sum(0) / count


@wrong("product_of_experts", "averaged")
def means_with_the_prior(mus, logvars, mask):
    keep = mask[..., None]
    count = keep.sum(0) + 1
    return (mus * keep).sum(0) / count, (logvars * keep).sum(0) / count


@wrong("product_of_experts", "averaged")
def mean_of_the_means_only(mus, logvars, mask):
    keep = mask[..., None]
    mu = (mus * keep).sum(0) / keep.sum(0).clamp(min=1)
    return mu, in_logarithms(mus, logvars, mask)[1]


@wrong("product_of_experts", "averaged")
def mean_of_the_variances(mus, logvars, mask):
    var = (logvars.exp() * mask[..., None]).sum(0) / mask.sum(0)[:, None]
    return in_logarithms(mus, logvars, mask)[0], var.log()


@wrong("product_of_experts", "variances_added")
def sum_of_the_variances(mus, logvars, mask):
    var = 1 + (logvars.exp() * mask[..., None]).sum(0)
    return in_logarithms(mus, logvars, mask)[0], var.log()


@wrong("product_of_experts", "variances_added")
def sum_of_the_variances_without_prior(mus, logvars, mask):
    var = (logvars.exp() * mask[..., None]).sum(0)
    return in_logarithms(mus, logvars, mask)[0], var.log()


@wrong("product_of_experts", "logvars_added")
def product_of_the_variances(mus, logvars, mask):
    return in_logarithms(mus, logvars, mask)[0], (logvars * mask[..., None]).sum(0)


@wrong("product_of_experts", "mixture")
def moments_of_the_mixture(mus, logvars, mask):
    keep, count = mask[..., None], mask.sum(0)[:, None]
    mu = (mus * keep).sum(0) / count
    second = ((logvars.exp() + mus**2) * keep).sum(0) / count
    return mu, (second - mu**2).log()


@wrong("product_of_experts", "mixture")
def moments_of_the_mixture_with_prior(mus, logvars, mask):
    keep, count = mask[..., None], mask.sum(0)[:, None] + 1
    mu = (mus * keep).sum(0) / count
    second = (1 + ((logvars.exp() + mus**2) * keep).sum(0)) / count
    return mu, (second - mu**2).log()


@wrong("product_of_experts", "divided_by_count")
def mean_of_the_precisions(mus, logvars, mask):
    mu, logvar = in_logarithms(mus, logvars, mask)
    return mu, logvar + (1 + mask.sum(0)[:, None]).log()


@wrong("product_of_experts", "divided_by_count")
def mean_of_the_present_precisions(mus, logvars, mask):
    T = torch.exp(-logvars) * mask[..., None]
    total = (1 + T.sum(0)) / mask.sum(0)[:, None]
    return (T * mus).sum(0) / (1 + T.sum(0)), -total.log()


# --- precision, variance, standard deviation -----------------------------------------------------


def with_weights(T, mus, mask):
    T = T * mask[..., None]
    return (T * mus).sum(0) / (1 + T.sum(0)), 1 + T.sum(0)


@wrong("product_of_experts", "logvar_sign")
def variance_as_precision(mus, logvars, mask):
    mu, total = with_weights(logvars.exp(), mus, mask)
    return mu, -total.log()


@wrong("product_of_experts", "logvar_sign")
def variance_as_weight(mus, logvars, mask):
    mu, total = with_weights(logvars.exp(), mus, mask)
    return mu, total.log()


@wrong("product_of_experts", "std_as_variance")
def inverse_std(mus, logvars, mask):
    mu, total = with_weights(torch.exp(-0.5 * logvars), mus, mask)
    return mu, -total.log()


@wrong("product_of_experts", "std_as_variance")
def inverse_std_and_back(mus, logvars, mask):
    mu, total = with_weights(1 / torch.exp(0.5 * logvars), mus, mask)
    return mu, 2 * torch.log(1 / total)


@wrong("product_of_experts", "logvar_as_log_std")
def logvar_taken_for_log_std(mus, logvars, mask):
    mu, total = with_weights(torch.exp(-2 * logvars), mus, mask)
    return mu, -total.log()


@wrong("product_of_experts", "log_precision_returned")
def log_precision(mus, logvars, mask):
    mu, total = with_weights(torch.exp(-logvars), mus, mask)
    return mu, total.log()


@wrong("product_of_experts", "precision_returned")
def precision(mus, logvars, mask):
    return with_weights(torch.exp(-logvars), mus, mask)


@wrong("product_of_experts", "variance_returned")
def variance(mus, logvars, mask):
    mu, total = with_weights(torch.exp(-logvars), mus, mask)
    return mu, 1 / total


@wrong("product_of_experts", "std_returned")
def standard_deviation(mus, logvars, mask):
    mu, total = with_weights(torch.exp(-logvars), mus, mask)
    return mu, total.rsqrt()


@wrong("product_of_experts", "log_std_returned")
def log_standard_deviation(mus, logvars, mask):
    mu, total = with_weights(torch.exp(-logvars), mus, mask)
    return mu, -0.5 * total.log()


@wrong("product_of_experts", "not_normalised")
def sum_of_weighted_means(mus, logvars, mask):
    T = torch.exp(-logvars) * mask[..., None]
    return (T * mus).sum(0), -(1 + T.sum(0)).log()


# --- order, axes, kinds --------------------------------------------------------------------------


@wrong("product_of_experts", "swapped")
def logvar_first(mus, logvars, mask):
    return in_logarithms(mus, logvars, mask)[::-1]


@wrong("product_of_experts", "summed_wrong_axis")
def over_the_batch(mus, logvars, mask):
    T = torch.where(mask[..., None], torch.exp(-logvars), 0.0)
    total = 1 + T.sum(1)
    return (T * mus).sum(1) / total, -total.log()


@wrong("product_of_experts", "summed_wrong_axis")
def over_the_latents(mus, logvars, mask):
    T = torch.where(mask[..., None], torch.exp(-logvars), 0.0)
    total = 1 + T.sum(-1)
    return (T * mus).sum(-1) / total, -total.log()


@wrong("product_of_experts", "wrong_shape")
def kept_axis(mus, logvars, mask):
    return tuple(part[None] for part in in_logarithms(mus, logvars, mask))


@wrong("product_of_experts", "wrong_type")
def stacked(mus, logvars, mask):
    return torch.stack(in_logarithms(mus, logvars, mask))


@wrong("product_of_experts", "wrong_type")
def a_distribution(mus, logvars, mask):
    mu, logvar = in_logarithms(mus, logvars, mask)
    return torch.distributions.Normal(mu, torch.exp(0.5 * logvar))


@wrong("product_of_experts", "wrong_type")
def mean_only(mus, logvars, mask):
    return in_logarithms(mus, logvars, mask)[0]


@wrong("product_of_experts", "nothing_returned")
def forgets_to_return(mus, logvars, mask):
    mu, logvar = in_logarithms(mus, logvars, mask)


@wrong("product_of_experts", "mask_axis")
def mask_without_an_axis(mus, logvars, mask):
    return precisions_add_up(mus, torch.where(mask, logvars, 1e4), mask)


# --- arithmetic and gradients --------------------------------------------------------------------


@wrong("product_of_experts", "extreme_or_empty")
def small_constant_beside_the_variance(mus, logvars, mask):
    T = mask[..., None] / (logvars.exp() + 1e-9)
    total = 1 + T.sum(0)
    return (T * mus).sum(0) / total, -total.log()


@wrong("product_of_experts", "extreme_or_empty")
def one_minus_the_gain(mus, logvars, mask):
    """As a Kalman filter in its short form, whose difference cancels for a very sure expert."""
    mu, var = torch.zeros_like(mus[0]), torch.ones_like(mus[0])
    for m in range(len(mus)):
        gain = var / (var + logvars[m].exp()) * mask[m, :, None]
        mu = mu + gain * (mus[m] - mu)
        var = (1 - gain) * var
    return mu, var.log()


@wrong("product_of_experts", "extreme_or_empty")
def clamped_logvars(mus, logvars, mask):
    return in_logarithms(mus, logvars.clamp(-10, 10), mask)


@wrong("product_of_experts", "extreme_or_empty")
def zeros_where_nothing_is_there(mus, logvars, mask):
    mu, logvar = in_logarithms(mus, logvars, mask)
    nothing = ~mask.any(0)[:, None]
    return mu, logvar.masked_fill(nothing, -math.inf)


@wrong("product_of_experts", "small_constant")
def a_larger_constant(mus, logvars, mask):
    T = mask[..., None] / (logvars.exp() + 1e-5)
    total = 1 + T.sum(0)
    return (T * mus).sum(0) / total, -total.log()


@wrong("product_of_experts", "imprecise")
def float32_inside(mus, logvars, mask):
    mu, logvar = in_logarithms(mus.float(), logvars.float(), mask)
    return mu.to(mus.dtype), logvar.to(mus.dtype)


@wrong("product_of_experts", "wrong_dtype")
def float32_variance(mus, logvars, mask):
    mu, logvar = in_logarithms(mus, logvars, mask)
    return mu, logvar.float()


@wrong("product_of_experts", "shares_detached")
def shares_without_gradient(mus, logvars, mask):
    with torch.no_grad():
        T = torch.exp(-logvars) * mask[..., None]
        share = T / (1 + T.sum(0))
    return (share * mus).sum(0), in_logarithms(mus, logvars, mask)[1]


@wrong("product_of_experts", "detached")
def by_numbers(mus, logvars, mask):
    return tuple(part.detach() for part in in_logarithms(mus, logvars, mask))


@wrong("product_of_experts", "detached")
def variance_without_gradient(mus, logvars, mask):
    mu, logvar = in_logarithms(mus, logvars, mask)
    return mu, logvar.data


@wrong("product_of_experts", "modified_arguments")
def writes_zeros(mus, logvars, mask):
    with torch.no_grad():
        mus[~mask] = 0.0
        logvars[~mask] = 1e4
    return precisions_add_up(mus, logvars, mask)


@wrong("product_of_experts", "not_deterministic")
def a_draw(mus, logvars, mask):
    mu, logvar = in_logarithms(mus, logvars, mask)
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu), logvar
