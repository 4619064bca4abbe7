"""Answers to set 07: the IWAE bound, bits per dimension, and active units."""

import math

import numpy as np
import torch
from bank import right, wrong

# --- iwae_bound ----------------------------------------------------------------------------------


@right("iwae_bound")
def by_logsumexp(log_w):
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])


@right("iwae_bound")
def shifted_by_hand(log_w):
    top = log_w.max(dim=0, keepdim=True).values
    return (log_w - top).exp().mean(dim=0).log() + top.squeeze(0)


@right("iwae_bound")
def shifted_by_a_constant(log_w):
    top = log_w.detach().amax(0)
    return top + torch.log(torch.mean(torch.exp(log_w - top), 0))


@right("iwae_bound")
def image_by_image(log_w):
    K, B = log_w.shape
    log_k = torch.log(torch.tensor(K, dtype=log_w.dtype))
    return torch.stack([torch.logsumexp(log_w[:, b], 0) - log_k for b in range(B)])


@right("iwae_bound")
def two_at_a_time(log_w, base=None):
    total = log_w[0]
    for row in log_w[1:]:
        total = torch.logaddexp(total, row)
    return total - torch.log(torch.full_like(total, len(log_w)))


@right("iwae_bound")
def transposed_and_double(log_w):
    rows = log_w.double().T
    return (rows - math.log(rows.size(1))).logsumexp(-1)


@right("iwae_bound")
def last_of_cumulative(log_w):
    return torch.logcumsumexp(log_w, 0)[-1] - np.log(len(log_w))


@wrong("iwae_bound", "mean_of_logs")
def mean_of_logs(log_w):
    return log_w.mean(0)


@wrong("iwae_bound", "missing_log_k")
def no_log_k(log_w):
    return torch.logsumexp(log_w, 0)


@wrong("iwae_bound", "maximum")
def maximum(log_w):
    return log_w.max(0).values


@wrong("iwae_bound", "maximum")
def maximum_minus_log_k(log_w):
    return log_w.amax(0) - math.log(len(log_w))


@wrong("iwae_bound", "plus_log_k")
def plus_log_k(log_w):
    return torch.logsumexp(log_w, 0) + math.log(len(log_w))


@wrong("iwae_bound", "missing_log")
def mean_of_weights(log_w):
    return log_w.exp().mean(0)


@wrong("iwae_bound", "missing_exp", "not_finite")
def log_of_mean_of_logs(log_w):
    return log_w.mean(0).log()


@wrong("iwae_bound", "wrong_axis")
def over_the_batch(log_w):
    return torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])


@wrong("iwae_bound", "wrong_axis")
def over_the_last_axis_with_k(log_w):
    return torch.logsumexp(log_w, -1) - math.log(log_w.shape[0])


@wrong("iwae_bound", "wrong_count")
def log_b_for_log_k(log_w):
    return torch.logsumexp(log_w, 0) - math.log(log_w.shape[1])


@wrong("iwae_bound", "wrong_count")
def k_for_log_k(log_w):
    return torch.logsumexp(log_w, 0) - log_w.shape[0]


@wrong("iwae_bound", "divided_by_k")
def divided_by_k(log_w):
    return torch.logsumexp(log_w, 0) / log_w.shape[0]


@wrong("iwae_bound", "over_everything")
def over_everything(log_w):
    return torch.logsumexp(log_w.flatten(), 0) - math.log(log_w.numel())


@wrong("iwae_bound", "averaged_over_batch")
def averaged(log_w):
    return by_logsumexp(log_w).mean()


@wrong("iwae_bound", "sign")
def the_loss(log_w):
    return math.log(len(log_w)) - torch.logsumexp(log_w, 0)


@wrong("iwae_bound", "weighted_mean")
def self_normalized(log_w):
    return (torch.softmax(log_w, 0) * log_w).sum(0)


@wrong("iwae_bound", "shift_not_added_back")
def not_added_back(log_w):
    top = log_w.amax(0, keepdim=True)
    return (log_w - top).exp().mean(0).log()


@wrong("iwae_bound", "kept_axis")
def kept(log_w):
    return torch.logsumexp(log_w, 0, keepdim=True) - math.log(len(log_w))


@wrong("iwae_bound", "bits")
def in_bits(log_w):
    return by_logsumexp(log_w) / math.log(2)


@wrong("iwae_bound", "unstable")
def plain(log_w):
    return log_w.exp().mean(0).log()


@wrong("iwae_bound", "unstable")
def plain_with_a_constant(log_w):
    return torch.log(log_w.exp().mean(0) + 1e-30)


@wrong("iwae_bound", "unstable")
def one_shift_for_all(log_w):
    top = log_w.max()
    return (log_w - top).exp().mean(0).log() + top


@wrong("iwae_bound", "detached", "wrong_gradient")
def gradient_of_the_mean(log_w):
    """The right value, and the gradient of the ELBO."""
    value = by_logsumexp(log_w)
    mean = log_w.mean(0)
    return mean + (value - mean).detach()


@wrong("iwae_bound", "detached")
def no_gradient(log_w):
    with torch.no_grad():
        return by_logsumexp(log_w)


@wrong("iwae_bound", "modified_arguments")
def written_over(log_w):
    with torch.no_grad():
        log_w.sub_(math.log(len(log_w)))
    return torch.logsumexp(log_w, 0)


@wrong("iwae_bound", "wrong_type")
def numbers(log_w):
    return by_logsumexp(log_w).tolist()


# --- bits_per_dim --------------------------------------------------------------------------------


@right("bits_per_dim")
def divided(nats, num_dims):
    return nats / (num_dims * math.log(2))


@right("bits_per_dim")
def by_log2_of_e(nats, num_dims):
    return nats * math.log2(math.e) / num_dims


@right("bits_per_dim")
def by_tensors(nats, num_dims):
    nats = torch.as_tensor(nats, dtype=getattr(nats, "dtype", torch.float64))
    return nats / num_dims / torch.log(torch.tensor(2.0, dtype=torch.float64)).to(nats.device)


@right("bits_per_dim")
def by_numpy(nats, num_dims, base=2):
    return nats / num_dims / np.log(base)


@right("bits_per_dim")
def one_by_one(nats, num_dims):
    if isinstance(nats, float):
        return nats / num_dims / math.log(2)
    values = [value / math.log(2) / num_dims for value in nats.reshape(-1)]
    return torch.stack(values).reshape(nats.shape)


@right("bits_per_dim")
def scalar_tensor_for_a_number(nats, num_dims):
    if not torch.is_tensor(nats):
        nats = torch.tensor(nats)
    return nats.div(num_dims).mul(1 / math.log(2))


@wrong("bits_per_dim", "missing_log_2")
def nats_per_dim(nats, num_dims):
    return nats / num_dims


@wrong("bits_per_dim", "missing_dims")
def bits_in_all(nats, num_dims):
    return nats / math.log(2)


@wrong("bits_per_dim", "log_2_twice")
def log_2_twice(nats, num_dims):
    return nats / math.log(2) / num_dims / math.log(2)


@wrong("bits_per_dim", "dims_twice")
def dims_twice(nats, num_dims):
    return nats / math.log(2) / num_dims / num_dims


@wrong("bits_per_dim", "multiplied_by_log_2")
def wrong_way(nats, num_dims):
    return nats * math.log(2) / num_dims


@wrong("bits_per_dim", "multiplied_by_log_2")
def divided_by_log2_e(nats, num_dims):
    return nats / num_dims / math.log2(math.e)


@wrong("bits_per_dim", "wrong_base")
def ten(nats, num_dims):
    return nats / (num_dims * math.log(10))


@wrong("bits_per_dim", "wrong_base")
def log10_of_2(nats, num_dims):
    return nats / (num_dims * math.log10(2))


@wrong("bits_per_dim", "log_of_two_to_base_two", "missing_log_2")
def log2_of_2(nats, num_dims):
    return nats / (num_dims * math.log2(2))


@wrong("bits_per_dim", "sign")
def negative(nats, num_dims):
    return -nats / (num_dims * math.log(2))


@wrong("bits_per_dim", "multiplied_by_dims")
def times_dims(nats, num_dims):
    return nats * num_dims / math.log(2)


@wrong("bits_per_dim", "log_of_nats", "not_finite")
def log_of_nats(nats, num_dims):
    nats = torch.as_tensor(nats, dtype=getattr(nats, "dtype", torch.float64))
    return torch.log2(nats) / num_dims


@wrong("bits_per_dim", "log_of_dims")
def log_of_dims(nats, num_dims):
    return nats / math.log2(num_dims)


@wrong("bits_per_dim", "halved")
def halved(nats, num_dims):
    return nats / (2 * num_dims)


@wrong("bits_per_dim", "averaged_over_batch")
def averaged_bits(nats, num_dims):
    nats = torch.as_tensor(nats, dtype=getattr(nats, "dtype", torch.float64))
    return (nats / (num_dims * math.log(2))).mean()


@wrong("bits_per_dim", "numbers_fixed")
def only_mnist(nats, num_dims):
    return nats / (784 * math.log(2))


@wrong("bits_per_dim", "inverted")
def inverted(nats, num_dims):
    return num_dims * math.log(2) / nats


@wrong("bits_per_dim", "absolute_value")
def without_sign(nats, num_dims):
    return abs(nats) / (num_dims * math.log(2))


@wrong("bits_per_dim", "imprecise")
def rounded_constant(nats, num_dims):
    return nats / (num_dims * 0.6931)


@wrong("bits_per_dim", "wrong_type")
def as_numpy(nats, num_dims):
    return np.asarray(torch.as_tensor(nats).detach()) / (num_dims * np.log(2))


@wrong("bits_per_dim", "detached")
def detached_bits(nats, num_dims):
    nats = nats.detach() if torch.is_tensor(nats) else nats
    return nats / (num_dims * math.log(2))


@wrong("bits_per_dim", "raised", "nats_is_a_number")
def tensors_only(nats, num_dims):
    return nats.div(num_dims * math.log(2))


# --- active_units --------------------------------------------------------------------------------


@right("active_units")
def unbiased(mu, threshold=0.01):
    return int((mu.var(dim=0) > threshold).sum())


@right("active_units")
def biased(mu, threshold=0.01):
    return (mu.var(0, unbiased=False) > threshold).sum().item()


@right("active_units")
def latent_by_latent(mu, threshold=0.01):
    count = 0
    for l in range(mu.shape[1]):
        values = mu[:, l].double()
        if ((values - values.mean()) ** 2).mean() > threshold:
            count += 1
    return count


@right("active_units")
def by_numpy_and_back(mu, threshold=0.01, ddof=1):
    return int(np.count_nonzero(np.var(mu.detach().cpu().numpy(), axis=0, ddof=ddof) > threshold))


@right("active_units")
def by_lists(mu, threshold=0.01):
    return sum(v > threshold for v in mu.detach().double().var(0).tolist())


@right("active_units")
def by_covariance(mu, threshold=0.01):
    variances = torch.cov(mu.T).reshape(mu.shape[1], -1).diagonal()
    return len(torch.nonzero(variances > threshold))


@right("active_units")
def difference_of_squares(mu, threshold=0.01):
    with torch.no_grad():
        variance = torch.mean(mu**2, 0) - torch.mean(mu, 0) ** 2
    return torch.count_nonzero(variance.gt(threshold)).item()


@wrong("active_units", "wrong_axis")
def over_latents(mu, threshold=0.01):
    return int((mu.var(dim=1) > threshold).sum())


@wrong("active_units", "std_for_variance")
def std(mu, threshold=0.01):
    return int((mu.std(dim=0) > threshold).sum())


@wrong("active_units", "not_strict")
def at_least(mu, threshold=0.01):
    return int((mu.var(dim=0) >= threshold).sum())


@wrong("active_units", "mean_of_squares")
def mean_of_squares(mu, threshold=0.01):
    return int(((mu**2).mean(0) > threshold).sum())


@wrong("active_units", "mean_instead_of_variance")
def mean_of_mu(mu, threshold=0.01):
    return int((mu.mean(0).abs() > threshold).sum())


@wrong("active_units", "mean_instead_of_variance")
def mean_of_sizes(mu, threshold=0.01):
    return int((mu.abs().mean(0) > threshold).sum())


@wrong("active_units", "not_an_int")
def a_tensor(mu, threshold=0.01):
    return (mu.var(dim=0) > threshold).sum()


@wrong("active_units", "not_an_int")
def a_float(mu, threshold=0.01):
    return (mu.var(dim=0) > threshold).float().sum().item()


@wrong("active_units", "not_an_int")
def a_numpy_int(mu, threshold=0.01):
    return np.sum(mu.detach().numpy().var(0) > threshold)


@wrong("active_units", "threshold_ignored")
def fixed_threshold(mu, threshold=0.01):
    return int((mu.var(dim=0) > 0.01).sum())


@wrong("active_units", "threshold_ignored")
def other_default(mu, threshold=0.1):
    return int((mu.var(dim=0) > threshold).sum())


@wrong("active_units", "counts_inactive")
def inactive(mu, threshold=0.01):
    return int((mu.var(dim=0) < threshold).sum())


@wrong("active_units", "counts_inactive")
def inactive_or_equal(mu, threshold=0.01):
    return int((mu.var(dim=0) <= threshold).sum())


@wrong("active_units", "mean_of_variances")
def mean_of_variances(mu, threshold=0.01):
    return int(mu.var(dim=0).mean() > threshold)


@wrong("active_units", "mean_of_variances", "not_an_int")
def the_mean_variance(mu, threshold=0.01):
    return mu.var(dim=0).mean().item()


@wrong("active_units", "fraction")
def fraction(mu, threshold=0.01):
    return (mu.var(dim=0) > threshold).double().mean().item()


@wrong("active_units", "not_counted")
def which_ones(mu, threshold=0.01):
    return mu.var(dim=0) > threshold


@wrong("active_units", "not_counted", "counts_all")
def length_of_mask(mu, threshold=0.01):
    return len(mu.var(dim=0) > threshold)


@wrong("active_units", "not_counted")
def the_variances(mu, threshold=0.01):
    return mu.var(dim=0)


@wrong("active_units", "variance_of_everything", "mean_of_variances")
def one_variance(mu, threshold=0.01):
    return int(mu.var() > threshold)


@wrong("active_units", "elementwise")
def every_element(mu, threshold=0.01):
    return int((mu.abs() > threshold).sum())


@wrong("active_units", "elementwise")
def any_element(mu, threshold=0.01):
    return int((mu.abs() > threshold).any(0).sum())


@wrong("active_units", "sum_of_squares")
def not_divided(mu, threshold=0.01):
    return int((((mu - mu.mean(0)) ** 2).sum(0) > threshold).sum())


@wrong("active_units", "range_for_variance")
def spread(mu, threshold=0.01):
    return int((mu.amax(0) - mu.amin(0) > threshold).sum())


@wrong("active_units", "std_for_variance")
def threshold_squared(mu, threshold=0.01):
    return int((mu.var(0) > threshold**2).sum())


@wrong("active_units", "raised", "needs_detach")
def numpy_without_detach(mu, threshold=0.01):
    return int((mu.numpy().var(0) > threshold).sum())


@wrong("active_units", "wrong_signature")
def no_threshold(mu):
    return int((mu.var(dim=0) > 0.01).sum())


@wrong("active_units", "sum_of_variances")
def sum_of_variances(mu, threshold=0.01):
    return int(mu.var(0).sum() > threshold)
