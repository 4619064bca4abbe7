"""Answers to set 02: likelihoods, log-mean-exp and the discrete ELBO."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from bank import right, wrong
from torch.distributions import Bernoulli, Categorical, Independent, Normal

# --- log_bernoulli -------------------------------------------------------------------------------


@right("log_bernoulli")
def bce_with_logits(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


@right("log_bernoulli")
def distribution(logits, x):
    return Bernoulli(logits=logits).log_prob(x).sum(dim=tuple(range(1, x.dim())))


@right("log_bernoulli")
def independent(logits, x):
    return Independent(Bernoulli(logits=logits), logits.dim() - 1).log_prob(x)


@right("log_bernoulli")
def softplus_form(logits, x, reduce=True):
    terms = x * logits - F.softplus(logits)
    return terms.reshape(len(x), -1).sum(-1) if reduce else terms


@right("log_bernoulli")
def two_terms(logits, x):
    terms = x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)
    return torch.einsum("bd->b", terms.view(terms.shape[0], -1))


@right("log_bernoulli")
def rows(logits, x):
    result = []
    for one_logits, one_x in zip(logits, x, strict=True):
        result.append(-F.binary_cross_entropy_with_logits(one_logits, one_x, reduction="sum"))
    return torch.stack(result)


@right("log_bernoulli")
def where_on_pixels(logits, x):
    return torch.where(x > 0.5, F.logsigmoid(logits), F.logsigmoid(-logits)).flatten(1).sum(1)


@right("log_bernoulli")
def double_inside(logits, x):
    logits, x = logits.double(), x.double()
    total = logits.mul(x)
    total -= torch.logaddexp(logits, torch.zeros_like(logits))
    return total.flatten(1).sum(1)


@right("log_bernoulli")
def by_the_sign_of_the_pixel(logits, x):
    print("shapes", logits.shape, x.shape)
    return -F.softplus(-(2 * x - 1) * logits).sum(dim=[*range(1, x.ndim)])


@wrong("log_bernoulli", "sign")
def bce_not_negated(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


@wrong("log_bernoulli", "mean_instead_of_sum")
def mean_over_pixels(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).mean(1)


@wrong("log_bernoulli", "summed_over_batch")
def sum_of_everything(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


@wrong("log_bernoulli", "mean_of_everything")
def default_reduction(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x)


@wrong("log_bernoulli", "averaged_over_batch")
def sum_over_batch_size(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


@wrong("log_bernoulli", "not_summed")
def per_pixel(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none")


@wrong("log_bernoulli", "summed_one_axis_only")
def last_axis_only(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


@wrong("log_bernoulli", "summed_wrong_axis")
def over_the_batch(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(0)


@wrong("log_bernoulli", "swapped_arguments")
def arguments_swapped(logits, x):
    return -F.binary_cross_entropy_with_logits(x, logits, reduction="none").flatten(1).sum(1)


@wrong("log_bernoulli", "sigmoid_twice")
def double_sigmoid(logits, x):
    p = torch.sigmoid(logits)
    return -F.binary_cross_entropy_with_logits(p, x, reduction="none").flatten(1).sum(1)


@wrong("log_bernoulli", "logits_as_probabilities")
def logits_to_bce(logits, x):
    return -F.binary_cross_entropy(logits, x, reduction="none").flatten(1).sum(1)


@wrong("log_bernoulli", "logits_as_probabilities")
def logits_to_probs_by_hand(logits, x):
    return (x * torch.log(logits) + (1 - x) * torch.log(1 - logits)).flatten(1).sum(1)


@wrong("log_bernoulli", "logits_as_probabilities")
def logits_to_probs_argument(logits, x):
    return Bernoulli(logits).log_prob(x).flatten(1).sum(1)


@wrong("log_bernoulli", "unstable")
def sigmoid_then_log(logits, x):
    p = torch.sigmoid(logits)
    return (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)


@wrong("log_bernoulli", "unstable")
def sigmoid_then_bce(logits, x):
    p = torch.sigmoid(logits)
    return -F.binary_cross_entropy(p, x, reduction="none").flatten(1).sum(1)


@wrong("log_bernoulli", "unstable")
def epsilon_in_log(logits, x):
    p = torch.sigmoid(logits)
    terms = x * torch.log(p + 1e-8) + (1 - x) * torch.log(1 - p + 1e-8)
    return terms.flatten(1).sum(1)


@wrong("log_bernoulli", "unstable")
def naive_softplus(logits, x):
    return (x * logits - torch.log(1 + torch.exp(logits))).float().flatten(1).sum(1).double()


@wrong("log_bernoulli", "unstable")
def clamped_logits(logits, x):
    logits = logits.clamp(-20, 20)
    return (x * logits - F.softplus(logits)).flatten(1).sum(1)


@wrong("log_bernoulli", "missing_zero_pixels")
def only_the_ones(logits, x):
    return (x * F.logsigmoid(logits)).flatten(1).sum(1)


@wrong("log_bernoulli", "squared_error")
def squared_error(logits, x):
    return -((torch.sigmoid(logits) - x) ** 2).flatten(1).sum(1)


@wrong("log_bernoulli", "detached")
def through_numpy(logits, x):
    terms = (x * logits - F.softplus(logits)).detach().numpy()
    return torch.tensor(terms.reshape(len(terms), -1).sum(1))


@wrong("log_bernoulli", "wrong_type")
def numpy_result(logits, x):
    terms = (x * logits - F.softplus(logits)).detach().numpy()
    return np.asarray(terms.reshape(len(terms), -1).sum(1))


@wrong("log_bernoulli", "modified_arguments")
def in_place(logits, x):
    value = (x * logits - F.softplus(logits)).flatten(1).sum(1)
    with torch.no_grad():
        logits.sigmoid_()
    return value


@wrong("log_bernoulli", "bits")
def base_two(logits, x):
    return (x * logits - F.softplus(logits)).flatten(1).sum(1) / math.log(2)


# --- log_normal ----------------------------------------------------------------------------------

LOG_2PI = math.log(2 * math.pi)


@right("log_normal")
def formula(x, mu, logvar):
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 / logvar.exp()).sum(-1)


@right("log_normal")
def normal_distribution(x, mu, logvar):
    return Normal(mu, (0.5 * logvar).exp()).log_prob(x).sum(-1)


@right("log_normal")
def independent_normal(x, mu, logvar):
    return Independent(Normal(mu, torch.exp(logvar).sqrt()), 1).log_prob(x)


@right("log_normal")
def multivariate(x, mu, logvar):
    normal = torch.distributions.MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    return normal.log_prob(x)


@right("log_normal")
def standardized(x, mu, logvar):
    u = torch.sub(x, mu)
    u *= torch.exp(-0.5 * logvar)
    dims = x.shape[-1]
    return -0.5 * dims * LOG_2PI - 0.5 * logvar.sum(1) - 0.5 * torch.einsum("bl,bl->b", u, u)


@right("log_normal")
def normal_rows(x, mu, logvar):
    log_2pi = torch.log(torch.tensor(2 * torch.pi))
    total = x.new_zeros(x.shape[0])
    for l in range(x.shape[1]):
        term = log_2pi + logvar[:, l] + (x[:, l] - mu[:, l]).pow(2) * torch.exp(-logvar[:, l])
        total = total - term / 2
    return total


@right("log_normal")
def gaussian_nll(x, mu, logvar):
    nll = F.gaussian_nll_loss(mu, x, logvar.exp(), full=True, eps=1e-30, reduction="none")
    return -nll.sum(dim=1)


@wrong("log_normal", "missing_constant")
def no_constant(x, mu, logvar):
    return -0.5 * (logvar + (x - mu) ** 2 / logvar.exp()).sum(-1)


@wrong("log_normal", "missing_half")
def no_half(x, mu, logvar):
    return -(LOG_2PI + logvar + (x - mu) ** 2 / logvar.exp()).sum(-1)


@wrong("log_normal", "sign")
def positive(x, mu, logvar):
    return 0.5 * (LOG_2PI + logvar + (x - mu) ** 2 / logvar.exp()).sum(-1)


@wrong("log_normal", "variance_as_scale")
def exp_logvar_as_scale(x, mu, logvar):
    return Normal(mu, logvar.exp()).log_prob(x).sum(-1)


@wrong("log_normal", "exp_forgotten")
def logvar_as_variance(x, mu, logvar):
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 / logvar).sum(-1)


@wrong("log_normal", "exp_forgotten")
def logvar_as_scale(x, mu, logvar):
    return Normal(mu, logvar).log_prob(x).sum(-1)


@wrong("log_normal", "mean_instead_of_sum")
def mean_over_latents(x, mu, logvar):
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 / logvar.exp()).mean(-1)


@wrong("log_normal", "summed_over_batch")
def normal_scalar(x, mu, logvar):
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 / logvar.exp()).sum()


@wrong("log_normal", "not_summed")
def normal_per_latent(x, mu, logvar):
    return Normal(mu, (0.5 * logvar).exp()).log_prob(x)


@wrong("log_normal", "constant_once")
def constant_outside_the_sum(x, mu, logvar):
    return -0.5 * (LOG_2PI + (logvar + (x - mu) ** 2 / logvar.exp()).sum(-1))


@wrong("log_normal", "missing_logvar_term")
def no_log_sigma(x, mu, logvar):
    return -0.5 * (LOG_2PI + (x - mu) ** 2 / logvar.exp()).sum(-1)


@wrong("log_normal", "logvar_sign")
def plus_logvar(x, mu, logvar):
    return -0.5 * (LOG_2PI - logvar + (x - mu) ** 2 / logvar.exp()).sum(-1)


@wrong("log_normal", "precision_for_variance")
def times_variance(x, mu, logvar):
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 * logvar.exp()).sum(-1)


@wrong("log_normal", "not_squared")
def absolute_difference(x, mu, logvar):
    return -0.5 * (LOG_2PI + logvar + (x - mu).abs() / logvar.exp()).sum(-1)


@wrong("log_normal", "divided_by_sigma")
def over_std(x, mu, logvar):
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 / (0.5 * logvar).exp()).sum(-1)


@wrong("log_normal", "detached")
def without_gradient(x, mu, logvar):
    with torch.no_grad():
        return Normal(mu, (0.5 * logvar).exp()).log_prob(x).sum(-1)


@wrong("log_normal", "wrong_gradient", "detached")
def logvar_detached(x, mu, logvar):
    return Normal(mu, (0.5 * logvar.detach()).exp()).log_prob(x).sum(-1)


@wrong("log_normal", "nothing_returned")
def forgot_return(x, mu, logvar):
    Normal(mu, (0.5 * logvar).exp()).log_prob(x).sum(-1)


# --- log_mean_exp --------------------------------------------------------------------------------


@right("log_mean_exp")
def logsumexp_minus(a, dim):
    return torch.logsumexp(a, dim) - math.log(a.shape[dim])


@right("log_mean_exp")
def shifted(a, dim):
    top = a.max(dim, keepdim=True).values
    return (a - top).exp().mean(dim).log() + top.squeeze(dim)


@right("log_mean_exp")
def shifted_by_amax(a, dim, keepdim=False):
    top = a.amax(dim=dim, keepdim=True).detach()
    shifted = a - top
    shifted.exp_()
    result = torch.log(torch.mean(shifted, dim, keepdim=True)) + top
    return result if keepdim else result.squeeze(dim)


@right("log_mean_exp")
def constant_inside(a, dim):
    return torch.logsumexp(a - torch.log(torch.tensor(float(a.size(dim)))), dim=dim)


@right("log_mean_exp")
def running(a, dim):
    total = None
    for part in a.unbind(dim):
        total = part if total is None else torch.logaddexp(total, part)
    return total - np.log(a.shape[dim])


@right("log_mean_exp")
def by_softmax(a, dim):
    a = a.double()
    lse = a - torch.log_softmax(a, dim)
    return lse.select(dim, 0) - math.log(a.shape[dim])


@wrong("log_mean_exp", "missing_log_k")
def no_log_k(a, dim):
    return torch.logsumexp(a, dim)


@wrong("log_mean_exp", "mean_of_logs")
def mean_of_logs(a, dim):
    return a.mean(dim)


@wrong("log_mean_exp", "plus_log_k")
def plus_log_k(a, dim):
    return torch.logsumexp(a, dim) + math.log(a.shape[dim])


@wrong("log_mean_exp", "maximum")
def only_the_maximum(a, dim):
    return a.max(dim).values


@wrong("log_mean_exp", "missing_log")
def no_log(a, dim):
    return a.exp().mean(dim)


@wrong("log_mean_exp", "unstable")
def plain(a, dim):
    return a.exp().mean(dim).log()


@wrong("log_mean_exp", "unstable")
def plain_with_epsilon(a, dim):
    return torch.log(a.exp().mean(dim) + 1e-10)


@wrong("log_mean_exp", "unstable")
def shifted_by_the_minimum(a, dim):
    low = a.amin(dim, keepdim=True)
    return (a - low).exp().mean(dim).log() + low.squeeze(dim)


@wrong("log_mean_exp", "divided_by_k")
def divided_outside(a, dim):
    return torch.logsumexp(a, dim) / a.shape[dim]


@wrong("log_mean_exp", "shift_not_added_back")
def shift_lost(a, dim):
    return (a - a.amax(dim, keepdim=True)).exp().mean(dim).log()


@wrong("log_mean_exp", "wrong_axis")
def always_axis_zero(a, dim):
    return torch.logsumexp(a, 0) - math.log(a.shape[0])


@wrong("log_mean_exp", "wrong_axis")
def always_last_axis(a, dim):
    return torch.logsumexp(a, -1) - math.log(a.shape[-1])


@wrong("log_mean_exp", "wrong_count")
def counts_axis_zero(a, dim):
    return torch.logsumexp(a, dim) - math.log(a.shape[0])


@wrong("log_mean_exp", "wrong_count")
def counts_everything(a, dim):
    return torch.logsumexp(a, dim) - math.log(a.numel())


@wrong("log_mean_exp", "kept_axis", "wrong_shape")
def keeps_the_axis(a, dim):
    return torch.logsumexp(a, dim, keepdim=True) - math.log(a.shape[dim])


@wrong("log_mean_exp", "over_everything", "wrong_shape")
def over_all_axes(a, dim):
    return torch.logsumexp(a.flatten(), 0) - math.log(a.numel())


# --- elbo_discrete -------------------------------------------------------------------------------


@right("elbo_discrete")
def masked(joint, q):
    keep = q > 0
    return (q[keep] * (joint[keep].log() - q[keep].log())).sum()


@right("elbo_discrete")
def xlogy(joint, q):
    return (torch.xlogy(q, joint) - torch.special.xlogy(q, q)).sum()


@right("elbo_discrete")
def entropy_function(joint, q):
    return torch.dot(q, joint.log()) + torch.special.entr(q).sum()


@right("elbo_discrete")
def where_safe(joint, q):
    safe = torch.where(q > 0, q, torch.ones_like(q))
    return torch.einsum("k,k->", q, joint.log() - safe.log())


@right("elbo_discrete")
def looped(joint, q):
    total = torch.zeros((), dtype=torch.float64)
    for k in range(len(q)):
        if q[k] > 0:
            total = total + q[k] * torch.log(joint[k] / q[k])
    return total


@right("elbo_discrete")
def evidence_minus_kl(joint, q):
    posterior = joint / joint.sum()
    return joint.sum().log() - F.kl_div(posterior.log(), q, reduction="sum")


@right("elbo_discrete")
def with_categorical(joint, q):
    return (q * joint.log()).sum() + Categorical(probs=q).entropy()


@right("elbo_discrete")
def tiny_epsilon_in_q(joint, q):
    return (q * (torch.log(joint) - torch.log(q + 1e-12))).sum()


@wrong("elbo_discrete", "zero_times_log_zero")
def nan_at_zero(joint, q):
    return (q * (joint.log() - q.log())).sum()


@wrong("elbo_discrete", "sign")
def negative_elbo(joint, q):
    return -(torch.xlogy(q, joint) - torch.xlogy(q, q)).sum()


@wrong("elbo_discrete", "missing_entropy")
def no_entropy(joint, q):
    return (q * joint.log()).sum()


@wrong("elbo_discrete", "entropy_sign")
def entropy_subtracted(joint, q):
    return (torch.xlogy(q, joint) + torch.xlogy(q, q)).sum()


@wrong("elbo_discrete", "evidence")
def log_evidence(joint, q):
    return joint.sum().log() + 0 * q.sum()


@wrong("elbo_discrete", "log_outside")
def log_of_the_mean(joint, q):
    return torch.log((q * joint).sum()) - torch.xlogy(q, q).sum()


@wrong("elbo_discrete", "posterior_for_joint")
def posterior_instead_of_joint(joint, q):
    posterior = joint / joint.sum()
    return (torch.xlogy(q, posterior) - torch.xlogy(q, q)).sum()


@wrong("elbo_discrete", "unweighted")
def not_weighted(joint, q):
    keep = q > 0
    return (joint[keep].log() - q[keep].log()).mean()


@wrong("elbo_discrete", "not_summed")
def discrete_terms(joint, q):
    return torch.xlogy(q, joint) - torch.xlogy(q, q)


@wrong("elbo_discrete", "log_forgotten")
def joint_taken_for_its_log(joint, q):
    return (q * joint - torch.xlogy(q, q)).sum()


@wrong("elbo_discrete", "wrong_type")
def python_float(joint, q):
    return (torch.xlogy(q, joint) - torch.xlogy(q, q)).sum().item()


@wrong("elbo_discrete", "mean_instead_of_sum")
def discrete_mean(joint, q):
    return (torch.xlogy(q, joint) - torch.xlogy(q, q)).mean()


# --- posterior_discrete --------------------------------------------------------------------------


@right("posterior_discrete")
def normalized(joint):
    return joint / joint.sum()


@right("posterior_discrete")
def softmax_of_log(joint):
    return torch.softmax(joint.log(), 0)


@right("posterior_discrete")
def exp_of_difference(joint):
    log_joint = torch.log(joint)
    return torch.exp(log_joint - torch.logsumexp(log_joint, -1))


@right("posterior_discrete")
def categorical_probs(joint):
    return Categorical(probs=joint).probs


@right("posterior_discrete")
def in_a_loop(joint):
    evidence = sum(joint[k] for k in range(joint.shape[0]))
    return torch.stack([p / evidence for p in joint])


@right("posterior_discrete")
def lp_normalize(joint):
    return F.normalize(joint, p=1, dim=0)


@wrong("posterior_discrete", "softmax_of_probabilities")
def softmax(joint):
    return torch.softmax(joint, 0)


@wrong("posterior_discrete", "not_normalized")
def joint_itself(joint):
    return joint.clone()


@wrong("posterior_discrete", "divided_by_maximum")
def over_maximum(joint):
    return joint / joint.max()


@wrong("posterior_discrete", "log_posterior")
def log_posterior(joint):
    return (joint / joint.sum()).log()


@wrong("posterior_discrete", "divided_by_mean")
def over_mean(joint):
    return joint / joint.mean()


@wrong("posterior_discrete", "uniform")
def uniform(joint):
    return joint / joint / len(joint)


@wrong("posterior_discrete", "one_hot")
def most_likely(joint):
    return F.one_hot(joint.argmax(), len(joint)).double()


@wrong("posterior_discrete", "divided_by_norm")
def unit_vector(joint):
    return F.normalize(joint, dim=0)


@wrong("posterior_discrete", "evidence")
def only_the_evidence(joint):
    return joint.sum()


@wrong("posterior_discrete", "epsilon")
def epsilon_in_denominator(joint):
    return joint / (joint.sum() + 1e-8)


@wrong("posterior_discrete", "imprecise", "epsilon")
def large_epsilon_in_denominator(joint):
    return joint / (joint.sum() + 1e-5)


@wrong("posterior_discrete", "modified_arguments")
def normalizes_in_place(joint):
    with torch.no_grad():
        return joint.div_(joint.sum())


# --- answers that were judged wrongly once -------------------------------------------------------


@right("log_normal")
def constant_in_float32(x, mu, logvar):
    log_2pi = torch.log(torch.tensor(2 * math.pi))
    return -0.5 * (log_2pi + logvar + (x - mu) ** 2 / logvar.exp()).sum(-1)


@wrong("log_bernoulli", "wrong_shape")
def squeezed_pixels(logits, x):
    return (x * logits - F.softplus(logits)).flatten(1).sum(1).squeeze()


@wrong("log_bernoulli", "wrong_shape")
def two_or_four_axes(logits, x):
    terms = x * logits - F.softplus(logits)
    return terms.sum((1, 2, 3)) if terms.dim() == 4 else terms.sum(-1)


@wrong("log_bernoulli", "imprecise")
def float32_and_back(logits, x):
    terms = x.float() * logits.float() - F.softplus(logits.float())
    return terms.flatten(1).sum(1).to(logits.dtype)


@wrong("log_bernoulli", "swapped_arguments")
def bce_swapped_after_sigmoid(logits, x):
    return -F.binary_cross_entropy(x, torch.sigmoid(logits), reduction="none").flatten(1).sum(1)


@wrong("log_bernoulli", "logits_as_probabilities")
def bce_of_clamped_logits(logits, x):
    return -F.binary_cross_entropy(logits.clamp(0, 1), x, reduction="none").flatten(1).sum(1)


@wrong("log_bernoulli", "activation_before")
def relu_before(logits, x):
    return (
        -F.binary_cross_entropy_with_logits(F.relu(logits), x, reduction="none").flatten(1).sum(1)
    )


@wrong("log_bernoulli", "squared_error")
def mean_squared_error_as_loss(logits, x):
    return F.mse_loss(torch.sigmoid(logits), x)


@wrong("log_normal", "unstable")
def wide_clamp(x, mu, logvar):
    logvar = logvar.clamp(-10, 10)
    return Normal(mu, (logvar / 2).exp()).log_prob(x).sum(-1)


@wrong("log_normal", "unstable")
def log_of_the_product(x, mu, logvar):
    return Normal(mu, (logvar / 2).exp()).log_prob(x).exp().prod(-1).log()


@wrong("log_normal", "imprecise", "unstable")
def variance_plus_epsilon(x, mu, logvar):
    return Normal(mu, (logvar.exp() + 1e-6).sqrt()).log_prob(x).sum(-1)


@wrong("log_normal", "imprecise", "unstable")
def normal_in_float32(x, mu, logvar):
    q = Normal(mu.float(), (logvar.float() / 2).exp())
    return q.log_prob(x.float()).sum(-1).to(x.dtype)


@wrong("log_normal", "softplus_for_exp")
def softplus_of_logvar(x, mu, logvar):
    return Normal(mu, F.softplus(logvar)).log_prob(x).sum(-1)


@wrong("log_mean_exp", "wrong_shape")
def squeezed_result(a, dim):
    return (torch.logsumexp(a, dim) - math.log(a.shape[dim])).squeeze()


@wrong("log_mean_exp", "unstable")
def clamped_from_above(a, dim):
    return torch.logsumexp(a.clamp(max=80), dim) - math.log(a.shape[dim])


@wrong("log_mean_exp", "imprecise")
def mean_exp_in_float32(a, dim):
    return (torch.logsumexp(a.float(), dim) - math.log(a.shape[dim])).to(a.dtype)


@wrong("elbo_discrete", "zero_times_log_zero")
def small_values_left_out(joint, q):
    kept = q > 1e-2
    return (q[kept] * (joint[kept].log() - q[kept].log())).sum()


@wrong("elbo_discrete", "zero_times_log_zero")
def elbo_in_float32(joint, q):
    j, w = joint.float(), q.float()
    return (torch.xlogy(w, j) - torch.xlogy(w, w)).sum().to(joint.dtype)


@wrong("posterior_discrete", "imprecise")
def posterior_in_float32(joint):
    return (joint.float() / joint.float().sum()).to(joint.dtype)
