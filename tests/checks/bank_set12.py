"""Answers to set 12: the anomaly score and the area under the ROC curve."""

import math

import numpy as np
import torch
from bank import right, wrong
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve
from torch.distributions import Normal, kl_divergence

from course_lib import bounds

# --- anomaly_score -------------------------------------------------------------------------------


def _log_w(model, x, num_samples):
    q = model.posterior(x)
    z = q.sample((num_samples,))
    return model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)


@right("anomaly_score")
def in_one_go(model, x, num_samples):
    q = model.posterior(x)
    z = q.rsample((num_samples,))
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    return math.log(num_samples) - torch.logsumexp(log_w, 0)


@right("anomaly_score")
@torch.no_grad()
def draw_by_draw(model, x, num_samples):
    q = model.posterior(x)
    logs = []
    for _ in range(num_samples):
        z = q.sample()
        log_w = model.likelihood(z).log_prob(x)
        log_w = log_w + model.prior().log_prob(z)
        logs.append(log_w - q.log_prob(z))
    return -(torch.stack(logs).logsumexp(dim=0) - np.log(num_samples))


@right("anomaly_score")
def by_the_library(model, x, num_samples):
    return -bounds.iwae(bounds.log_weights(model, x, num_samples))


@right("anomaly_score")
def double_and_shifted(model, x, num_samples, chunk=3):
    model.eval()
    done, parts = 0, []
    while done < num_samples:
        size = min(chunk, num_samples - done)
        parts.append(_log_w(model, x, size).double())
        done += size
    log_w = torch.cat(parts)
    top = log_w.amax(0)
    return -(top + (log_w - top).exp().mean(0).log())


@right("anomaly_score")
def images_repeated(model, x, num_samples):
    """The draws as a larger batch, for models that take no more than one batch axis."""
    many = x.repeat(num_samples, *[1] * (x.dim() - 1))
    q = model.posterior(many)
    z = q.sample()
    log_w = model.likelihood(z).log_prob(many) + model.prior().log_prob(z) - q.log_prob(z)
    return -torch.logsumexp(log_w.view(num_samples, len(x)), 0) + math.log(num_samples)


@right("anomaly_score")
def image_by_image(model, x, num_samples):
    scores = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    with torch.inference_mode():
        for i in range(len(x)):
            log_w = _log_w(model, x[i : i + 1], num_samples)[:, 0]
            scores[i] = -(torch.logsumexp(log_w, 0) - math.log(num_samples)).item()
    return scores


@right("anomaly_score")
def noise_by_hand(model, x, num_samples):
    q, p = model.posterior(x), model.prior()
    eps = torch.randn(num_samples, *q.mean.shape, dtype=x.dtype, device=x.device)
    z = q.mean + q.stddev * eps
    log_q = Normal(q.mean, q.stddev).log_prob(z).sum(-1)
    log_p = Normal(p.mean, p.stddev).log_prob(z).sum(-1)
    log_w = model.likelihood(z).log_prob(x) + log_p - log_q
    weight = torch.softmax(torch.zeros_like(log_w), 0)
    return -torch.logsumexp(log_w + weight.log(), 0)


@right("anomaly_score")
def two_at_a_time(model, x, num_samples=64):
    total = _log_w(model, x, 1)[0]
    for _ in range(num_samples - 1):
        total = torch.logaddexp(total, _log_w(model, x, 1)[0])
    return -(total - math.log(num_samples)).detach()


def _bound(log_w):
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


@wrong("anomaly_score", "sign")
def high_is_normal(model, x, num_samples):
    return _bound(_log_w(model, x, num_samples))


@wrong("anomaly_score", "missing_log_k")
def sum_of_weights(model, x, num_samples):
    return -torch.logsumexp(_log_w(model, x, num_samples), 0)


@wrong("anomaly_score", "missing_log_k")
def log_k_wrong_way(model, x, num_samples):
    return -torch.logsumexp(_log_w(model, x, num_samples), 0) - math.log(num_samples)


@wrong("anomaly_score", "mean_of_logs")
def minus_elbo(model, x, num_samples):
    return -_log_w(model, x, num_samples).mean(0)


@wrong("anomaly_score", "mean_of_logs")
def minus_elbo_with_kl(model, x, num_samples):
    q = model.posterior(x)
    z = q.rsample((num_samples,))
    return kl_divergence(q, model.prior()) - model.likelihood(z).log_prob(x).mean(0)


@wrong("anomaly_score", "mean_of_logs")
def minus_elbo_one_draw(model, x, num_samples):
    q = model.posterior(x)
    return kl_divergence(q, model.prior()) - model.likelihood(q.rsample()).log_prob(x)


@wrong("anomaly_score", "sum_of_logs")
def sum_over_k(model, x, num_samples):
    return -_log_w(model, x, num_samples).sum(0)


@wrong("anomaly_score", "log_q_sign")
def plus_log_q(model, x, num_samples):
    q = model.posterior(x)
    z = q.sample((num_samples,))
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) + q.log_prob(z)
    return -_bound(log_w)


@wrong("anomaly_score", "missing_log_q")
def joint_only(model, x, num_samples):
    z = model.posterior(x).sample((num_samples,))
    return -_bound(model.likelihood(z).log_prob(x) + model.prior().log_prob(z))


@wrong("anomaly_score", "missing_prior")
def no_prior(model, x, num_samples):
    q = model.posterior(x)
    z = q.sample((num_samples,))
    return -_bound(model.likelihood(z).log_prob(x) - q.log_prob(z))


@wrong("anomaly_score", "prior_sign")
def minus_prior(model, x, num_samples):
    q = model.posterior(x)
    z = q.sample((num_samples,))
    log_w = model.likelihood(z).log_prob(x) - model.prior().log_prob(z) + q.log_prob(z)
    return -_bound(log_w)


@wrong("anomaly_score", "standard_normal_prior")
def prior_by_heart(model, x, num_samples):
    q = model.posterior(x)
    z = q.sample((num_samples,))
    log_p = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
    return -_bound(model.likelihood(z).log_prob(x) + log_p - q.log_prob(z))


@wrong("anomaly_score", "kl_in_the_weights")
def kl_for_the_log_ratio(model, x, num_samples):
    q = model.posterior(x)
    z = q.sample((num_samples,))
    log_w = model.likelihood(z).log_prob(x) - kl_divergence(q, model.prior())
    return -_bound(log_w)


@wrong("anomaly_score", "reconstruction_only")
def reconstruction(model, x, num_samples):
    z = model.posterior(x).sample((num_samples,))
    return -model.likelihood(z).log_prob(x).mean(0)


@wrong("anomaly_score", "reconstruction_only")
def reconstruction_weights(model, x, num_samples):
    z = model.posterior(x).sample((num_samples,))
    return -_bound(model.likelihood(z).log_prob(x))


@wrong("anomaly_score", "reconstruction_only")
def reconstruction_at_the_mean(model, x, num_samples):
    return -model.likelihood(model.posterior(x).mean).log_prob(x)


@wrong("anomaly_score", "squared_error")
def squared_error(model, x, num_samples):
    mean = model.likelihood(model.posterior(x).mean).mean
    return (mean - x).square().flatten(1).sum(1)


@wrong("anomaly_score", "prior_draws")
def draws_of_the_prior(model, x, num_samples):
    z = model.prior().sample((num_samples, len(x)))
    return -_bound(model.likelihood(z).log_prob(x))


@wrong("anomaly_score", "kl_only")
def rate_alone(model, x, num_samples):
    return kl_divergence(model.posterior(x), model.prior())


@wrong("anomaly_score", "ignores_num_samples", "one_draw")
def one_draw_for_all_k(model, x, num_samples):
    q = model.posterior(x)
    z = q.sample().expand(num_samples, -1, -1)
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    return -_bound(log_w)


@wrong("anomaly_score", "ignores_num_samples", "one_draw")
def always_one(model, x, num_samples):
    return -_log_w(model, x, 1)[0]


@wrong("anomaly_score", "ignores_num_samples")
def always_ten(model, x, num_samples):
    return -_bound(_log_w(model, x, 10))


@wrong("anomaly_score", "ignores_num_samples")
def always_many(model, x, num_samples):
    return -_bound(_log_w(model, x, 200))


@wrong("anomaly_score", "too_few_samples")
def one_less(model, x, num_samples):
    return -_bound(_log_w(model, x, max(num_samples - 1, 1)))


@wrong("anomaly_score", "too_few_samples")
def half(model, x, num_samples):
    return -_bound(_log_w(model, x, max(num_samples // 2, 1)))


@wrong("anomaly_score", "no_noise")
def at_the_mean(model, x, num_samples):
    q = model.posterior(x)
    z = q.mean.expand(num_samples, *q.mean.shape)
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    return -_bound(log_w)


@wrong("anomaly_score", "shared_across_batch")
def noise_for_all_images(model, x, num_samples):
    q = model.posterior(x)
    eps = torch.randn(num_samples, 1, q.mean.shape[-1], dtype=x.dtype)
    z = q.mean + q.stddev * eps
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    return -_bound(log_w)


@wrong("anomaly_score", "wrong_noise")
def variance_as_scale(model, x, num_samples):
    q = model.posterior(x)
    z = q.mean + q.variance * torch.randn(num_samples, *q.mean.shape, dtype=x.dtype)
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    return -_bound(log_w)


@wrong("anomaly_score", "wrong_noise")
def uniform_noise(model, x, num_samples):
    q = model.posterior(x)
    z = q.mean + q.stddev * torch.rand(num_samples, *q.mean.shape, dtype=x.dtype)
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    return -_bound(log_w)


@wrong("anomaly_score", "maximum")
def best_draw(model, x, num_samples):
    return -_log_w(model, x, num_samples).amax(0)


@wrong("anomaly_score", "median")
def middle_draw(model, x, num_samples):
    return -_log_w(model, x, num_samples).median(0).values


@wrong("anomaly_score", "averaged_over_batch")
def mean_of_the_batch(model, x, num_samples):
    return -_bound(_log_w(model, x, num_samples)).mean()


@wrong("anomaly_score", "summed_over_batch")
def sum_of_the_batch(model, x, num_samples):
    return -_bound(_log_w(model, x, num_samples)).sum()


@wrong("anomaly_score", "standardized")
def standardized(model, x, num_samples):
    score = -_bound(_log_w(model, x, num_samples))
    return (score - score.mean()) / score.std()


@wrong("anomaly_score", "standardized")
def minus_the_mean(model, x, num_samples):
    score = -_bound(_log_w(model, x, num_samples))
    return score - score.mean()


@wrong("anomaly_score", "wrong_axis")
def over_the_images(model, x, num_samples):
    log_w = _log_w(model, x, num_samples)
    return -(torch.logsumexp(log_w, 1) - math.log(log_w.shape[1]))


@wrong("anomaly_score", "wrong_axis")
def over_everything(model, x, num_samples):
    return -_bound(_log_w(model, x, num_samples).flatten())


@wrong("anomaly_score", "wrong_count")
def log_of_the_batch(model, x, num_samples):
    return -torch.logsumexp(_log_w(model, x, num_samples), 0) + math.log(len(x))


@wrong("anomaly_score", "not_averaged")
def every_draw(model, x, num_samples):
    return -_log_w(model, x, num_samples)


@wrong("anomaly_score", "missing_log")
def probability(model, x, num_samples):
    return -_log_w(model, x, num_samples).exp().mean(0)


@wrong("anomaly_score", "per_pixel")
def in_nats_per_pixel(model, x, num_samples):
    return -_bound(_log_w(model, x, num_samples)) / x[0].numel()


@wrong("anomaly_score", "bits")
def in_bits(model, x, num_samples):
    return -_bound(_log_w(model, x, num_samples)) / math.log(2)


@wrong("anomaly_score", "unstable")
def plain_exponentials(model, x, num_samples):
    return -_log_w(model, x, num_samples).exp().mean(0).log()


@wrong("anomaly_score", "unstable")
def a_constant_inside(model, x, num_samples):
    return -(_log_w(model, x, num_samples).exp().mean(0) + 1e-300).log()


@wrong("anomaly_score", "reseeds")
def seeded(model, x, num_samples):
    torch.manual_seed(0)
    return -_bound(_log_w(model, x, num_samples))


@wrong("anomaly_score", "same_noise_each_call")
def generator_with_a_seed(model, x, num_samples):
    q = model.posterior(x)
    generator = torch.Generator().manual_seed(1)
    eps = torch.randn(num_samples, *q.mean.shape, dtype=x.dtype, generator=generator)
    z = q.mean + q.stddev * eps
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    return -_bound(log_w)


@wrong("anomaly_score", "encode_and_decode")
def by_encode(model, x, num_samples):
    mu, logvar = model.encode(x)
    return -model.decode(mu)


@wrong("anomaly_score", "encode_and_decode")
def by_calling(model, x, num_samples):
    return model(x)[0]


@wrong("anomaly_score", "wrong_type")
def a_list(model, x, num_samples):
    return in_one_go(model, x, num_samples).tolist()


@wrong("anomaly_score", "wrong_shape")
def squeezed(model, x, num_samples):
    return in_one_go(model, x, num_samples).squeeze()


@wrong("anomaly_score", "wrong_shape", "kept_axis")
def axis_kept(model, x, num_samples):
    return -torch.logsumexp(_log_w(model, x, num_samples), 0, keepdim=True) + math.log(num_samples)


@wrong("anomaly_score", "wrong_dtype")
def single_precision(model, x, num_samples):
    return in_one_go(model, x, num_samples).float()


@wrong("anomaly_score", "modified_arguments")
def cleans_the_images(model, x, num_samples):
    score = in_one_go(model, x, num_samples)
    x.clamp_(0, 1)
    return score


@wrong("anomaly_score", "nothing_returned")
def no_return(model, x, num_samples):
    in_one_go(model, x, num_samples)


# --- auroc ---------------------------------------------------------------------------------------


def _both(is_anomaly):
    if is_anomaly.all() or not is_anomaly.any():
        raise ValueError("Anomalies and ordinary examples are both needed to compare them.")


def _split(scores, is_anomaly):
    _both(is_anomaly)
    return scores[is_anomaly], scores[~is_anomaly]


@right("auroc")
def all_pairs(scores, is_anomaly):
    strange, usual = scores[is_anomaly], scores[~is_anomaly]
    if len(strange) == 0 or len(usual) == 0:
        raise ValueError(f"{len(strange)} anomalies and {len(usual)} others: one class is missing.")
    wins = (strange[:, None] > usual).double() + 0.5 * (strange[:, None] == usual).double()
    return wins.mean().item()


@right("auroc")
def by_sklearn(scores, is_anomaly):
    if is_anomaly.unique().numel() < 2:
        raise ValueError("one class is missing")
    return roc_auc_score(is_anomaly.numpy(), scores.numpy())


@right("auroc")
def two_loops(scores, is_anomaly, tie=0.5):
    total, pairs = 0.0, 0
    for s, a in zip(scores.tolist(), is_anomaly.tolist(), strict=True):
        for t, b in zip(scores.tolist(), is_anomaly.tolist(), strict=True):
            if a and not b:
                total += 1 if s > t else tie if s == t else 0
                pairs += 1
    if not pairs:
        raise ValueError("is_anomaly holds one class only; True and False are both needed.")
    return total / pairs


@right("auroc")
def average_ranks(scores, is_anomaly):
    _both(is_anomaly)
    values, inverse, counts = scores.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks = (last - (counts - 1) / 2)[inverse]
    n, m = int(is_anomaly.sum()), int((~is_anomaly).sum())
    return float((ranks[is_anomaly].sum() - n * (n + 1) / 2) / (n * m))


@right("auroc")
def area_under_steps(scores, is_anomaly):
    """The curve itself, with a point for each different score."""
    _both(is_anomaly)
    s, a = scores.numpy(), is_anomaly.numpy()
    thresholds = np.concatenate([[np.inf], np.unique(s)[::-1]])
    tpr = [(s[a] >= t).mean() for t in thresholds]
    fpr = [(s[~a] >= t).mean() for t in thresholds]
    return float(auc(fpr, tpr))


@right("auroc")
def by_signs(scores, is_anomaly):
    strange, usual = _split(scores, is_anomaly)
    return 0.5 + 0.5 * torch.sign(strange[:, None] - usual[None]).mean().item()


@right("auroc")
def searched(scores, is_anomaly):
    strange, usual = _split(scores, is_anomaly)
    usual = usual.sort().values
    below = torch.searchsorted(usual, strange, right=False)
    up_to = torch.searchsorted(usual, strange, right=True)
    return ((below + up_to).sum() / (2 * len(strange) * len(usual))).item()


@right("auroc")
def curve_of_sklearn(scores, is_anomaly):
    if len(set(is_anomaly.tolist())) != 2:
        raise ValueError("Both classes must be present")
    fpr, tpr, _ = roc_curve(is_anomaly, scores)
    return auc(fpr, tpr)


@wrong("auroc", "sign")
def low_is_strange(scores, is_anomaly):
    return 1 - all_pairs(scores, is_anomaly)


@wrong("auroc", "sign")
def negative_scores(scores, is_anomaly):
    return all_pairs(-scores, is_anomaly)


@wrong("auroc", "sign")
def swapped_classes(scores, is_anomaly):
    return all_pairs(scores, ~is_anomaly)


@wrong("auroc", "ties")
def ties_lost(scores, is_anomaly):
    strange, usual = _split(scores, is_anomaly)
    return (strange[:, None] > usual).double().mean().item()


@wrong("auroc", "ties")
def ties_won(scores, is_anomaly):
    strange, usual = _split(scores, is_anomaly)
    return (strange[:, None] >= usual).double().mean().item()


@wrong("auroc", "ties")
def ranks_of_argsort(scores, is_anomaly):
    strange, usual = _split(scores, is_anomaly)
    ranks = scores.argsort(stable=True).argsort().double() + 1
    n, m = len(strange), len(usual)
    return ((ranks[is_anomaly].sum() - n * (n + 1) / 2) / (n * m)).item()


@wrong("auroc", "ties")
def curve_example_by_example(scores, is_anomaly):
    """A point for each example, also between two that are tied."""
    _both(is_anomaly)
    a = is_anomaly[scores.argsort(descending=True, stable=True)].double()
    tpr = torch.cat([torch.zeros(1), a.cumsum(0) / a.sum()])
    fpr = torch.cat([torch.zeros(1), (1 - a).cumsum(0) / (1 - a).sum()])
    return torch.trapezoid(tpr, fpr).item()


@wrong("auroc", "accuracy")
def accuracy_at_zero(scores, is_anomaly):
    _both(is_anomaly)
    return ((scores > 0) == is_anomaly).double().mean().item()


@wrong("auroc", "accuracy")
def accuracy_at_the_mean(scores, is_anomaly):
    _both(is_anomaly)
    return ((scores > scores.mean()) == is_anomaly).double().mean().item()


@wrong("auroc", "accuracy")
def accuracy_at_the_median(scores, is_anomaly):
    _both(is_anomaly)
    return ((scores > scores.median()) == is_anomaly).double().mean().item()


@wrong("auroc", "one_threshold")
def thresholded_first(scores, is_anomaly):
    _both(is_anomaly)
    return float(roc_auc_score(is_anomaly, scores > 0))


@wrong("auroc", "one_threshold")
def thresholded_at_the_mean(scores, is_anomaly):
    _both(is_anomaly)
    return float(roc_auc_score(is_anomaly, scores > scores.mean()))


@wrong("auroc", "average_precision")
def average_precision(scores, is_anomaly):
    _both(is_anomaly)
    return float(average_precision_score(is_anomaly, scores))


@wrong("auroc", "folded")
def at_least_one_half(scores, is_anomaly):
    value = all_pairs(scores, is_anomaly)
    return max(value, 1 - value)


@wrong("auroc", "gini")
def gini(scores, is_anomaly):
    return 2 * all_pairs(scores, is_anomaly) - 1


@wrong("auroc", "not_divided")
def number_of_wins(scores, is_anomaly):
    return all_pairs(scores, is_anomaly) * int(is_anomaly.sum()) * int((~is_anomaly).sum())


@wrong("auroc", "wrong_count")
def divided_by_all_pairs(scores, is_anomaly):
    n, m = int(is_anomaly.sum()), int((~is_anomaly).sum())
    return all_pairs(scores, is_anomaly) * n * m / (n + m) ** 2


@wrong("auroc", "coarse", "squashed")
def hundred_thresholds(scores, is_anomaly):
    strange, usual = _split(scores, is_anomaly)
    grid = torch.linspace(float(scores.max()) + 1, float(scores.min()) - 1, 30, dtype=scores.dtype)
    tpr = (strange >= grid[:, None]).double().mean(1)
    fpr = (usual >= grid[:, None]).double().mean(1)
    return torch.trapezoid(tpr, fpr).item()


@wrong("auroc", "difference_of_means")
def how_far_apart(scores, is_anomaly):
    strange, usual = _split(scores, is_anomaly)
    return (strange.mean() - usual.mean()).item()


@wrong("auroc", "squashed")
def sigmoid_first(scores, is_anomaly):
    return all_pairs(torch.sigmoid(scores), is_anomaly)


@wrong("auroc", "squashed")
def to_single_precision(scores, is_anomaly):
    return all_pairs(scores.float(), is_anomaly)


@wrong("auroc", "no_value_error")
def nan_for_one_class(scores, is_anomaly):
    strange, usual = scores[is_anomaly], scores[~is_anomaly]
    wins = (strange[:, None] > usual).double() + 0.5 * (strange[:, None] == usual).double()
    return wins.mean().item()


@wrong("auroc", "no_value_error")
def one_half_for_one_class(scores, is_anomaly):
    if is_anomaly.all() or not is_anomaly.any():
        return 0.5
    return all_pairs(scores, is_anomaly)


@wrong("auroc", "no_value_error")
def only_missing_anomalies(scores, is_anomaly):
    if not is_anomaly.any():
        raise ValueError("There are no anomalies among the examples.")
    return nan_for_one_class(scores, is_anomaly)


@wrong("auroc", "no_sentence")
def without_a_sentence(scores, is_anomaly):
    if is_anomaly.all() or not is_anomaly.any():
        raise ValueError
    return all_pairs(scores, is_anomaly)


@wrong("auroc", "no_sentence")
def with_a_word(scores, is_anomaly):
    if is_anomaly.all() or not is_anomaly.any():
        raise ValueError("error")
    return all_pairs(scores, is_anomaly)


@wrong("auroc", "wrong_exception")
def divided_by_zero(scores, is_anomaly):
    strange, usual = scores[is_anomaly].tolist(), scores[~is_anomaly].tolist()
    wins = sum((s > t) + 0.5 * (s == t) for s in strange for t in usual)
    return wins / (len(strange) * len(usual))


@wrong("auroc", "wrong_exception")
def asserted(scores, is_anomaly):
    assert is_anomaly.any() and not is_anomaly.all(), "one class is missing in is_anomaly"
    return all_pairs(scores, is_anomaly)


@wrong("auroc", "no_sentence")
def by_accident(scores, is_anomaly):
    lowest = min(scores[is_anomaly].tolist())
    highest = max(scores[~is_anomaly].tolist())
    if lowest > highest:
        return 1.0
    return all_pairs(scores, is_anomaly)


@wrong("auroc", "refuses_both_classes", "raised")
def always_refuses(scores, is_anomaly):
    raise ValueError("One of the two classes is missing.")


@wrong("auroc", "not_a_float")
def a_tensor(scores, is_anomaly):
    return torch.tensor(all_pairs(scores, is_anomaly), dtype=torch.float64)


@wrong("auroc", "not_a_float", "wrong_type")
def a_number_of_numpy(scores, is_anomaly):
    return np.float32(all_pairs(scores, is_anomaly))


@wrong("auroc", "not_a_float", "wrong_type")
def an_array(scores, is_anomaly):
    return np.array(all_pairs(scores, is_anomaly))


@wrong("auroc", "arguments_swapped")
def sklearn_the_wrong_way_round(scores, is_anomaly):
    return float(roc_auc_score(scores, is_anomaly))


@wrong("auroc", "mask_subtracted")
def one_minus_a_mask(scores, is_anomaly):
    usual = scores[(1 - is_anomaly).bool()]
    return (scores[is_anomaly][:, None] > usual).double().mean().item()


@wrong("auroc", "not_deterministic", "ties")
def ties_by_chance(scores, is_anomaly):
    return all_pairs(scores + 1e-3 * torch.rand_like(scores), is_anomaly)


@wrong("auroc", "modified_arguments")
def sorted_in_place(scores, is_anomaly):
    value = all_pairs(scores, is_anomaly)
    scores.copy_(scores.sort().values)
    return value


@wrong("auroc", "nothing_returned")
def printed(scores, is_anomaly):
    print(all_pairs(scores, is_anomaly))
