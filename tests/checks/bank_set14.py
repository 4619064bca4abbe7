"""Answers to set 14: the ELBO of a VAE with two layers of latents."""

import math

import torch
from bank import right, wrong

# --- elbo_two_layers -----------------------------------------------------------------------------


@right("elbo_two_layers")
def five_terms(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 + log_pz2 - log_qz1_x - log_qz2_z1


@right("elbo_two_layers")
def joint_minus_posterior(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    joint = log_px_z1 + (log_pz1_z2 + log_pz2)
    posterior = log_qz1_x + log_qz2_z1
    return joint - posterior


@right("elbo_two_layers")
def minus_the_rates(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    rate_1 = log_qz1_x - log_pz1_z2
    rate_2 = log_qz2_z1 - log_pz2
    return log_px_z1 - rate_1 - rate_2


@right("elbo_two_layers")
def rates_mixed_and_still_right(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1, beta=1.0):
    return log_px_z1 - beta * ((log_qz1_x - log_pz2) + (log_qz2_z1 - log_pz1_z2))


@right("elbo_two_layers")
def image_by_image(*logs):
    values = []
    for px, p1, p2, q1, q2 in zip(*logs, strict=True):
        values.append(px + p1 + p2 - q1 - q2)
    return torch.stack(values)


@right("elbo_two_layers")
def stacked_with_signs(*logs):
    terms = torch.stack(logs, dim=-1)
    return torch.einsum("bt,t->b", terms, terms.new_tensor([1.0, 1.0, 1.0, -1.0, -1.0]))


@right("elbo_two_layers")
def summed_stacks(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    p = torch.stack([log_px_z1, log_pz1_z2, log_pz2]).sum(0)
    return p - torch.stack([log_qz1_x, log_qz2_z1]).sum(0)


@right("elbo_two_layers")
def in_place_on_its_own(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    total = log_px_z1.clone()
    total += log_pz1_z2
    total += log_pz2
    total -= log_qz1_x
    return total.sub_(log_qz2_z1)


@right("elbo_two_layers")
def double_inside(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    px, p1, p2, q1, q2 = (
        log.double() for log in (log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1)
    )
    return (px + p1 + p2 - q1 - q2).to(log_px_z1.dtype)


@right("elbo_two_layers")
def minus_the_loss(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1, **unused):
    loss = -log_px_z1 - log_pz1_z2 - log_pz2 + log_qz1_x + log_qz2_z1
    return torch.neg(loss)


@right("elbo_two_layers")
def mean_times_five(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    terms = torch.stack([log_px_z1, log_pz1_z2, log_pz2, -log_qz1_x, -log_qz2_z1])
    return 5 * terms.mean(0)


@right("elbo_two_layers")
def one_weight_in_logs(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    log_w = log_px_z1 + log_pz1_z2 + log_pz2 - log_qz1_x - log_qz2_z1
    return torch.logsumexp(log_w[None], 0) - math.log(1)


# --- a sign, a term ------------------------------------------------------------------------------


@wrong("elbo_two_layers", "sign")
def the_loss(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_qz1_x + log_qz2_z1 - log_px_z1 - log_pz1_z2 - log_pz2


@wrong("elbo_two_layers", "likelihood_sign")
def distortion_added(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return -log_px_z1 + log_pz1_z2 + log_pz2 - log_qz1_x - log_qz2_z1


@wrong("elbo_two_layers", "step_sign")
def step_subtracted(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 - log_pz1_z2 + log_pz2 - log_qz1_x - log_qz2_z1


@wrong("elbo_two_layers", "prior_sign")
def prior_subtracted(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 - (log_pz2 + log_qz1_x + log_qz2_z1)


@wrong("elbo_two_layers", "lower_posterior_sign")
def lower_posterior_added(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 + log_pz2 + log_qz1_x - log_qz2_z1


@wrong("elbo_two_layers", "upper_posterior_sign")
def brackets_forgotten(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 + log_pz2 - log_qz1_x + log_qz2_z1


@wrong("elbo_two_layers", "posteriors_added")
def all_added(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 + log_pz2 + log_qz1_x + log_qz2_z1


@wrong("elbo_two_layers", "rate_sign")
def rates_added(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + (log_qz1_x - log_pz1_z2) + (log_qz2_z1 - log_pz2)


@wrong("elbo_two_layers", "likelihood_missing")
def minus_the_rate(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_pz1_z2 + log_pz2 - log_qz1_x - log_qz2_z1


@wrong("elbo_two_layers", "rate_only")
def the_rate(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_qz1_x + log_qz2_z1 - log_pz1_z2 - log_pz2


@wrong("elbo_two_layers", "step_missing")
def no_step(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz2 - log_qz1_x - log_qz2_z1


@wrong("elbo_two_layers", "prior_missing")
def no_prior(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 - log_qz1_x - log_qz2_z1


@wrong("elbo_two_layers", "lower_posterior_missing")
def no_lower_posterior(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 + log_pz2 - log_qz2_z1


@wrong("elbo_two_layers", "upper_posterior_missing")
def no_upper_posterior(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 + log_pz2 - log_qz1_x


@wrong("elbo_two_layers", "posteriors_missing")
def joint_only(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 + log_pz2


@wrong("elbo_two_layers", "upper_rate_missing")
def layer_1_is_all(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 - (log_qz1_x - log_pz1_z2)


@wrong("elbo_two_layers", "lower_rate_missing")
def rate_of_layer_2_only(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 - (log_qz2_z1 - log_pz2)


@wrong("elbo_two_layers", "one_layer")
def bound_of_notebook_02(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz2 - log_qz1_x


@wrong("elbo_two_layers", "likelihood_only")
def reconstruction(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1.clone()


@wrong("elbo_two_layers", "lower_swapped")
def layer_1_swapped(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_qz1_x + log_pz2 - log_pz1_z2 - log_qz2_z1


@wrong("elbo_two_layers", "upper_swapped")
def layer_2_swapped(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 - log_pz2 - log_qz1_x + log_qz2_z1


@wrong("elbo_two_layers", "wrong_signs")
def half_of_it(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_pz1_z2 - log_qz2_z1


# --- reductions, cuts, weights -------------------------------------------------------------------


@wrong("elbo_two_layers", "averaged_over_batch")
def mean_of_the_batch(*logs):
    return five_terms(*logs).mean()


@wrong("elbo_two_layers", "averaged_over_batch")
def mean_of_each(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    rate = (log_qz1_x - log_pz1_z2).mean() + (log_qz2_z1 - log_pz2).mean()
    return log_px_z1.mean() - rate


@wrong("elbo_two_layers", "averaged_over_batch")
def divided_by_the_batch(*logs):
    return five_terms(*logs) / len(logs[0])


@wrong("elbo_two_layers", "averaged_over_batch")
def the_usual_loss(*logs):
    return -five_terms(*logs).mean()


@wrong("elbo_two_layers", "rate_averaged_over_batch")
def rate_of_the_batch(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 - (log_qz1_x - log_pz1_z2 + log_qz2_z1 - log_pz2).mean()


@wrong("elbo_two_layers", "summed_over_batch")
def sum_of_the_batch(*logs):
    return five_terms(*logs).sum()


@wrong("elbo_two_layers", "not_summed")
def one_column_each(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return torch.stack([log_px_z1, log_pz1_z2, log_pz2, -log_qz1_x, -log_qz2_z1], -1)


@wrong("elbo_two_layers", "averaged_over_terms")
def mean_of_the_terms(*logs):
    return one_column_each(*logs).mean(-1)


@wrong("elbo_two_layers", "averaged_over_layers")
def mean_of_the_rates(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    rates = torch.stack([log_qz1_x - log_pz1_z2, log_qz2_z1 - log_pz2])
    return log_px_z1 - rates.mean(0)


@wrong("elbo_two_layers", "larger_rate")
def larger_rate_only(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 - torch.maximum(log_qz1_x - log_pz1_z2, log_qz2_z1 - log_pz2)


@wrong("elbo_two_layers", "clamped")
def no_layer_below_zero(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    rate_1 = (log_qz1_x - log_pz1_z2).clamp(min=0)
    rate_2 = (log_qz2_z1 - log_pz2).clamp(min=0)
    return log_px_z1 - rate_1 - rate_2


@wrong("elbo_two_layers", "clamped")
def layer_1_not_below_zero(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 - torch.relu(log_qz1_x - log_pz1_z2) - (log_qz2_z1 - log_pz2)


@wrong("elbo_two_layers", "clamped")
def layer_2_not_below_zero(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 - (log_qz1_x - log_pz1_z2) - torch.relu(log_qz2_z1 - log_pz2)


@wrong("elbo_two_layers", "clamped")
def sum_not_below_zero(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    rate = log_qz1_x - log_pz1_z2 + log_qz2_z1 - log_pz2
    return log_px_z1 - rate.clamp(min=0)


@wrong("elbo_two_layers", "clamped")
def absolute_rates(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 - (log_qz1_x - log_pz1_z2).abs() - (log_qz2_z1 - log_pz2).abs()


@wrong("elbo_two_layers", "clamped")
def never_above_zero(*logs):
    return five_terms(*logs).clamp(max=0)


@wrong("elbo_two_layers", "clamped")
def no_log_above_zero(*logs):
    return five_terms(*(log.clamp(max=0) for log in logs))


@wrong("elbo_two_layers", "clamped")
def no_posterior_above_zero(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    q = log_qz1_x.clamp(max=0) + log_qz2_z1.clamp(max=0)
    return log_px_z1 + log_pz1_z2 + log_pz2 - q


@wrong("elbo_two_layers", "free_bits")
def free_nats(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    rates = torch.stack([log_qz1_x - log_pz1_z2, log_qz2_z1 - log_pz2])
    return log_px_z1 - rates.clamp(min=0.5).sum(0)


@wrong("elbo_two_layers", "in_bits")
def in_bits(*logs):
    return five_terms(*logs) / math.log(2)


@wrong("elbo_two_layers", "log_mean_weight")
def iwae_over_the_batch(*logs):
    return torch.logsumexp(five_terms(*logs), 0) - math.log(len(logs[0]))


@wrong("elbo_two_layers", "weights")
def exponential_at_the_end(*logs):
    return five_terms(*logs).exp()


# --- arithmetic and gradients --------------------------------------------------------------------


@wrong("elbo_two_layers", "unstable")
def through_probabilities(*logs):
    px, p1, p2, q1, q2 = (log.exp() for log in logs)
    return torch.log(px * p1 * p2 / (q1 * q2))


@wrong("elbo_two_layers", "unstable")
def through_the_weight(*logs):
    return five_terms(*logs).exp().log()


@wrong("elbo_two_layers", "unstable")
def through_the_weight_in_double(*logs):
    return five_terms(*logs).double().exp().log()


@wrong("elbo_two_layers", "unstable")
def a_small_constant(*logs):
    return torch.log(five_terms(*logs).exp() + 1e-10)


@wrong("elbo_two_layers", "not_finite")
def logarithm_again(*logs):
    return five_terms(*(log.log() for log in logs))


@wrong("elbo_two_layers", "detached")
def by_numbers(*logs):
    return torch.tensor(five_terms(*logs).tolist(), dtype=logs[0].dtype, device=logs[0].device)


@wrong("elbo_two_layers", "detached")
def no_grad_inside(*logs):
    with torch.no_grad():
        return five_terms(*logs)


@wrong("elbo_two_layers", "detached")
def upper_layer_frozen(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    rate_2 = (log_qz2_z1 - log_pz2).detach()
    return log_px_z1 + log_pz1_z2 - log_qz1_x - rate_2


@wrong("elbo_two_layers", "detached")
def learned_prior_frozen(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return five_terms(log_px_z1, log_pz1_z2.detach(), log_pz2, log_qz1_x, log_qz2_z1)


@wrong("elbo_two_layers", "detached")
def posteriors_frozen(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    return log_px_z1 + log_pz1_z2 + log_pz2 - (log_qz1_x + log_qz2_z1).data


@wrong("elbo_two_layers", "wrong_dtype")
def in_float32(*logs):
    return five_terms(*logs).float()


@wrong("elbo_two_layers", "imprecise")
def float32_inside(*logs):
    return five_terms(*(log.float() for log in logs)).to(logs[0].dtype)


@wrong("elbo_two_layers", "modified_arguments")
def adds_in_place(log_px_z1, log_pz1_z2, log_pz2, log_qz1_x, log_qz2_z1):
    with torch.no_grad():
        log_px_z1 += log_pz1_z2
    return log_px_z1 + log_pz2 - log_qz1_x - log_qz2_z1


@wrong("elbo_two_layers", "nothing_returned")
def forgets_to_return(*logs):
    elbo = five_terms(*logs)  # noqa: F841


@wrong("elbo_two_layers", "wrong_shape")
def kept_axis(*logs):
    return five_terms(*logs)[:, None]
