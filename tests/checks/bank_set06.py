"""Answers to set 06: a Gaussian likelihood, its best sigma, and the beta of a loss."""

import math
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from bank import right, wrong
from torch import distributions as D

LOG_2PI = math.log(2 * math.pi)


def _as_tensor(sigma, x):
    return torch.as_tensor(sigma, dtype=x.dtype, device=x.device)


# --- gaussian_log_likelihood ---------------------------------------------------------------------


@right("gaussian_log_likelihood")
def by_distribution(x, mean, sigma):
    return D.Normal(mean, sigma).log_prob(x).flatten(1).sum(1)


@right("gaussian_log_likelihood")
def written_out(x, mean, sigma):
    sigma = _as_tensor(sigma, x)
    log_p = -0.5 * ((x - mean) / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)
    return log_p.reshape(len(x), -1).sum(dim=-1)


@right("gaussian_log_likelihood")
def independent(x, mean, sigma):
    pixels = D.Normal(mean, torch.ones_like(mean) * sigma)
    return D.Independent(pixels, x.dim() - 1).log_prob(x)


@right("gaussian_log_likelihood")
def image_by_image(x, mean, sigma):
    sigma = torch.ones_like(x) * sigma
    values = []
    for b in range(x.shape[0]):
        squares = torch.sum((x[b] - mean[b]) ** 2 / (2 * sigma[b] ** 2))
        values.append(-squares - torch.log(sigma[b] * math.sqrt(2 * math.pi)).sum())
    return torch.stack(values)


@right("gaussian_log_likelihood")
def nll_loss_without_floor(x, mean, sigma):
    var = (_as_tensor(sigma, x) ** 2).expand_as(x)
    loss = F.gaussian_nll_loss(mean, x, var, full=True, eps=1e-30, reduction="none")
    return -loss.flatten(1).sum(1)


@right("gaussian_log_likelihood")
def double_inside_and_einsum(x, mean, sigma, *, scale=1.0):
    sigma = torch.as_tensor(sigma, dtype=torch.float64).expand(x.shape).flatten(1)
    x, mean = x.double().flatten(1), mean.double().flatten(1)
    z = (x - mean) / sigma
    return scale * (
        -0.5 * torch.einsum("bd,bd->b", z, z) - sigma.log().sum(1) - x[0].numel() / 2 * LOG_2PI
    )


@right("gaussian_log_likelihood")
def a_dtype_forgotten_for_numbers(x, mean, sigma):
    if not isinstance(sigma, torch.Tensor):
        sigma = torch.tensor(sigma)
    terms = (x - mean).square()
    terms /= -2 * sigma.square()
    terms -= sigma.log()
    terms -= 0.5 * LOG_2PI
    return terms.sum(tuple(range(1, x.dim())))


@right("gaussian_log_likelihood")
def precision_form(x, mean, sigma):
    log_sigma = math.log(sigma) if isinstance(sigma, float) else torch.log(sigma)
    precision = sigma**-2
    return -((x - mean) ** 2 * precision / 2 + log_sigma + LOG_2PI / 2).flatten(start_dim=1).sum(1)


def _terms(x, mean, sigma):
    return D.Normal(mean, sigma).log_prob(x)


def _log(sigma, x):
    return _as_tensor(sigma, x).log()


@wrong("gaussian_log_likelihood", "missing_log_sigma")
def no_log_sigma(x, mean, sigma):
    return (-0.5 * ((x - mean) / sigma) ** 2 - 0.5 * LOG_2PI).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "missing_normalizer")
def only_the_square(x, mean, sigma):
    return (-0.5 * ((x - mean) / sigma) ** 2).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "variance_as_scale")
def variance_as_scale(x, mean, sigma):
    return D.Normal(mean, sigma**2).log_prob(x).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "sigma_as_variance")
def sigma_as_variance(x, mean, sigma):
    return D.Normal(mean, sigma**0.5).log_prob(x).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "sigma_as_variance", "missing_constant")
def nll_loss_with_sigma(x, mean, sigma):
    var = _as_tensor(sigma, x).expand_as(x)
    return -F.gaussian_nll_loss(mean, x, var, reduction="none").flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "divided_by_sigma")
def not_squared_sigma(x, mean, sigma):
    return (-0.5 * (x - mean) ** 2 / sigma - _log(sigma, x) - 0.5 * LOG_2PI).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "log_sigma_weight")
def log_variance_whole(x, mean, sigma):
    z = (x - mean) / sigma
    return (-0.5 * z**2 - 2 * _log(sigma, x) - 0.5 * LOG_2PI).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "log_sigma_weight")
def log_sigma_halved(x, mean, sigma):
    z = (x - mean) / sigma
    return (-0.5 * (z**2 + _log(sigma, x) + LOG_2PI)).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "missing_constant")
def no_constant(x, mean, sigma):
    return (-0.5 * ((x - mean) / sigma) ** 2 - _log(sigma, x)).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "missing_constant")
def nll_loss_not_full(x, mean, sigma):
    var = (_as_tensor(sigma, x) ** 2).expand_as(x)
    return -F.gaussian_nll_loss(mean, x, var, reduction="none").flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "missing_half")
def no_half(x, mean, sigma):
    return (-(((x - mean) / sigma) ** 2) - _log(sigma, x) - 0.5 * LOG_2PI).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "wrong_constant")
def constant_not_halved(x, mean, sigma):
    return (-0.5 * ((x - mean) / sigma) ** 2 - _log(sigma, x) - LOG_2PI).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "sign")
def negative(x, mean, sigma):
    return -_terms(x, mean, sigma).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "log_sigma_sign")
def log_sigma_added(x, mean, sigma):
    return (-0.5 * ((x - mean) / sigma) ** 2 + _log(sigma, x) - 0.5 * LOG_2PI).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "squared_error")
def squared_error(x, mean, sigma):
    return -((x - mean) ** 2).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "squared_error")
def mean_squared_error(x, mean, sigma):
    return -((x - mean) ** 2).flatten(1).mean(1)


@wrong("gaussian_log_likelihood", "squared_error")
def mse_loss(x, mean, sigma):
    return -F.mse_loss(mean, x)


@wrong("gaussian_log_likelihood", "mean_instead_of_sum")
def mean_over_pixels(x, mean, sigma):
    return _terms(x, mean, sigma).flatten(1).mean(1)


@wrong("gaussian_log_likelihood", "mean_instead_of_sum", "missing_log_sigma")
def mean_and_no_log_sigma(x, mean, sigma):
    return (-0.5 * ((x - mean) / sigma) ** 2 - 0.5 * LOG_2PI).flatten(1).mean(1)


@wrong("gaussian_log_likelihood", "not_summed")
def one_per_pixel(x, mean, sigma):
    return _terms(x, mean, sigma)


@wrong("gaussian_log_likelihood", "averaged_over_batch")
def averaged_over_batch(x, mean, sigma):
    return _terms(x, mean, sigma).flatten(1).sum(1).mean()


@wrong("gaussian_log_likelihood", "summed_over_batch")
def summed_over_batch(x, mean, sigma):
    return _terms(x, mean, sigma).sum()


@wrong("gaussian_log_likelihood", "mean_of_everything")
def mean_of_everything(x, mean, sigma):
    return _terms(x, mean, sigma).mean()


@wrong("gaussian_log_likelihood", "summed_one_axis_only")
def last_axis_only(x, mean, sigma):
    return _terms(x, mean, sigma).sum(-1)


@wrong("gaussian_log_likelihood", "constant_once")
def log_sigma_once(x, mean, sigma):
    squares = (((x - mean) / sigma) ** 2).flatten(1).sum(1)
    return -0.5 * squares - _log(sigma, x) - 0.5 * LOG_2PI


@wrong("gaussian_log_likelihood", "constant_once")
def two_pi_once(x, mean, sigma):
    rest = (-0.5 * ((x - mean) / sigma) ** 2 - _log(sigma, x)).flatten(1).sum(1)
    return rest - 0.5 * LOG_2PI


@wrong("gaussian_log_likelihood", "sigma_as_log")
def exponential_of_sigma(x, mean, sigma):
    return D.Normal(mean, _as_tensor(sigma, x).exp()).log_prob(x).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "probability_not_log")
def density(x, mean, sigma):
    return _terms(x, mean, sigma).flatten(1).sum(1).exp()


@wrong("gaussian_log_likelihood", "sigmoid_of_mean")
def sigmoid_of_mean(x, mean, sigma):
    return D.Normal(mean.sigmoid(), sigma).log_prob(x).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "ignores_sigma")
def unit_variance(x, mean, sigma):
    return D.Normal(mean, 1.0).log_prob(x).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "missing_square_term")
def no_square(x, mean, sigma):
    return (-_log(sigma, x) - 0.5 * LOG_2PI).expand_as(x).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "not_squared")
def absolute_difference(x, mean, sigma):
    z = (x - mean).abs() / sigma
    return (-0.5 * z - _log(sigma, x) - 0.5 * LOG_2PI).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "laplace")
def laplace(x, mean, sigma):
    return D.Laplace(mean, sigma).log_prob(x).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "bits")
def bits(x, mean, sigma):
    return _terms(x, mean, sigma).flatten(1).sum(1) / math.log(2)


@wrong("gaussian_log_likelihood", "sigma_is_a_number")
def log_of_a_number(x, mean, sigma):
    terms = -0.5 * ((x - mean) / sigma) ** 2 - torch.log(sigma) - 0.5 * LOG_2PI
    return terms.flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "sigma_is_a_number")
def method_of_a_number(x, mean, sigma):
    terms = -0.5 * ((x - mean) / sigma) ** 2 - sigma.log() - 0.5 * LOG_2PI
    return terms.flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "sigma_is_a_tensor")
def math_log_of_a_tensor(x, mean, sigma):
    terms = -0.5 * ((x - mean) / sigma) ** 2 - math.log(sigma) - 0.5 * LOG_2PI
    return terms.flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "sigma_is_a_tensor", "detached", "wrong_gradient")
def one_sigma_only(x, mean, sigma):
    sigma = float(sigma)
    return D.Normal(mean, sigma).log_prob(x).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "flattened_before_sigma")
def flattened_first(x, mean, sigma):
    x, mean = x.flatten(1), mean.flatten(1)
    return D.Normal(mean, sigma).log_prob(x).sum(-1)


@wrong("gaussian_log_likelihood", "detached", "wrong_gradient")
def sigma_detached(x, mean, sigma):
    sigma = sigma.detach() if isinstance(sigma, torch.Tensor) else sigma
    return D.Normal(mean, sigma).log_prob(x).flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "unstable")
def small_constant(x, mean, sigma):
    sigma = _as_tensor(sigma, x)
    terms = -0.5 * (x - mean) ** 2 / (sigma**2 + 1e-12) - sigma.log() - 0.5 * LOG_2PI
    return terms.flatten(1).sum(1)


@wrong("gaussian_log_likelihood", "unstable")
def floor_of_the_library(x, mean, sigma):
    var = (_as_tensor(sigma, x) ** 2).expand_as(x)
    return -F.gaussian_nll_loss(mean, x, var, full=True, reduction="none").flatten(1).sum(1)


# --- optimal_sigma -------------------------------------------------------------------------------


@right("optimal_sigma")
def root_of_mse(x, mean):
    return ((x - mean) ** 2).mean().sqrt()


@right("optimal_sigma")
def by_mse_loss(x, mean):
    return torch.sqrt(F.mse_loss(mean, x))


@right("optimal_sigma")
def by_norm(x, mean, eps=0.0):
    return torch.linalg.vector_norm(x - mean) / math.sqrt(x.numel()) + eps


@right("optimal_sigma")
def image_means_first(x, mean):
    x, mean = x.double(), mean.double()
    variances = torch.stack([(x[b] - mean[b]).pow(2).mean() for b in range(len(x))])
    return variances.mean() ** 0.5


@right("optimal_sigma")
def by_einsum(x, mean):
    r = (x - mean).flatten()
    return (torch.einsum("i,i->", r, r) / r.numel()).pow(0.5)


@right("optimal_sigma")
def exponential_of_log(x, mean):
    total = x.new_zeros(())
    for residual in (x - mean).reshape(len(x), -1):
        total += residual.square().sum()
    return torch.exp(0.5 * torch.log(total / x.numel()))


@wrong("optimal_sigma", "mse_instead_of_root")
def mse(x, mean):
    return ((x - mean) ** 2).mean()


@wrong("optimal_sigma", "per_example")
def one_per_image(x, mean):
    return ((x - mean) ** 2).flatten(1).mean(1).sqrt()


@wrong("optimal_sigma", "per_pixel")
def one_per_pixel_of_the_image(x, mean):
    return ((x - mean) ** 2).mean(0).sqrt()


@wrong("optimal_sigma", "root_before_mean")
def mean_of_roots(x, mean):
    return ((x - mean) ** 2).flatten(1).mean(1).sqrt().mean()


@wrong("optimal_sigma", "summed_over_pixels")
def sum_over_pixels(x, mean):
    return ((x - mean) ** 2).flatten(1).sum(1).mean().sqrt()


@wrong("optimal_sigma", "mean_over_last_axis", "per_example")
def last_axis(x, mean):
    return ((x - mean) ** 2).mean(-1).sqrt()


@wrong("optimal_sigma", "summed_over_batch")
def total(x, mean):
    return ((x - mean) ** 2).sum().sqrt()


@wrong("optimal_sigma", "unbiased")
def one_less(x, mean):
    return (((x - mean) ** 2).sum() / (x.numel() - 1)).sqrt()


@wrong("optimal_sigma", "std_of_residuals")
def std_of_residuals(x, mean):
    return (x - mean).std()


@wrong("optimal_sigma", "std_of_residuals")
def biased_std_of_residuals(x, mean):
    return (x - mean).std(unbiased=False)


@wrong("optimal_sigma", "std_of_data")
def std_of_pixels(x, mean):
    return x.std()


@wrong("optimal_sigma", "absolute_error")
def mean_absolute(x, mean):
    return (x - mean).abs().mean()


@wrong("optimal_sigma", "half_inside")
def half_of_mse(x, mean):
    return (0.5 * ((x - mean) ** 2).mean()).sqrt()


@wrong("optimal_sigma", "log_sigma")
def log_of_it(x, mean):
    return 0.5 * ((x - mean) ** 2).mean().log()


@wrong("optimal_sigma", "precision")
def inverse(x, mean):
    return ((x - mean) ** 2).mean().rsqrt()


@wrong("optimal_sigma", "not_squared", "not_finite")
def not_squared(x, mean):
    return (x - mean).mean().sqrt()


@wrong("optimal_sigma", "summed_over_pixels")
def divided_by_batch(x, mean):
    return (((x - mean) ** 2).sum() / len(x)).sqrt()


@wrong("optimal_sigma", "wrong_type")
def python_number(x, mean):
    return ((x - mean) ** 2).mean().sqrt().item()


@wrong("optimal_sigma", "detached")
def detached(x, mean):
    return ((x - mean) ** 2).mean().sqrt().detach()


@wrong("optimal_sigma", "unstable")
def a_floor(x, mean):
    return ((x - mean) ** 2).mean().clamp(min=1e-6).sqrt()


@wrong("optimal_sigma", "unstable", "imprecise")
def a_constant_added(x, mean):
    return (((x - mean) ** 2).mean() + 1e-8).sqrt()


@wrong("optimal_sigma", "wrong_dtype", "imprecise")
def single_precision(x, mean):
    return ((x.float() - mean.float()) ** 2).mean().sqrt()


# --- implied_beta --------------------------------------------------------------------------------


@right("implied_beta")
def two_factors(pixel_reduction, kl_reduction, D, L):
    beta = 1.0
    if pixel_reduction == "mean":
        beta *= D
    if kl_reduction == "mean":
        beta /= L
    return beta


@right("implied_beta")
def a_table(pixel_reduction, kl_reduction, D, L):
    return {
        ("sum", "sum"): 1,
        ("sum", "mean"): 1 / L,
        ("mean", "sum"): D,
        ("mean", "mean"): D / L,
    }[pixel_reduction, kl_reduction]


@right("implied_beta")
def weights_of_the_terms(pixel_reduction, kl_reduction, D, L):
    weight_pixels = {"sum": 1.0, "mean": 1.0 / D}[pixel_reduction]
    weight_kl = {"sum": 1.0, "mean": 1.0 / L}[kl_reduction]
    return weight_kl / weight_pixels


@right("implied_beta")
def a_scalar_tensor(pixel_reduction, kl_reduction, D, L):
    top = torch.tensor(D if pixel_reduction == "mean" else 1)
    return top / (L if kl_reduction == "mean" else 1)


@right("implied_beta")
def a_numpy_number(pixel_reduction, kl_reduction, D, L, scale=1):
    factors = np.array([D, 1 / L]) ** [pixel_reduction == "mean", kl_reduction == "mean"]
    return np.prod(factors) * scale


@right("implied_beta")
def measured(pixel_reduction, kl_reduction, D, L):
    """Read the weights off a loss of ones."""
    pixels, kl = torch.ones(D, dtype=torch.double), torch.ones(L, dtype=torch.double)
    pixels.requires_grad_()
    kl.requires_grad_()
    loss = getattr(pixels, pixel_reduction)() + getattr(kl, kl_reduction)()
    g_pixels, g_kl = torch.autograd.grad(loss, [pixels, kl])
    return float(g_kl[0] / g_pixels[0])


@right("implied_beta")
def exact(pixel_reduction, kl_reduction, D, L):
    ratio = Fraction(D if pixel_reduction == "mean" else 1, L if kl_reduction == "mean" else 1)
    return float(ratio)


@wrong("implied_beta", "inverted")
def upside_down(pixel_reduction, kl_reduction, D, L):
    return 1 / two_factors(pixel_reduction, kl_reduction, D, L)


@wrong("implied_beta", "ignores_kl_reduction")
def pixels_only(pixel_reduction, kl_reduction, D, L):
    return D if pixel_reduction == "mean" else 1


@wrong("implied_beta", "ignores_pixel_reduction")
def latents_only(pixel_reduction, kl_reduction, D, L):
    return 1 / L if kl_reduction == "mean" else 1.0


@wrong("implied_beta", "always_one")
def always_one(pixel_reduction, kl_reduction, D, L):
    return 1.0


@wrong("implied_beta", "product")
def product(pixel_reduction, kl_reduction, D, L):
    return (D if pixel_reduction == "mean" else 1) * (L if kl_reduction == "mean" else 1)


@wrong("implied_beta", "product")
def product_below(pixel_reduction, kl_reduction, D, L):
    return 1 / product(pixel_reduction, kl_reduction, D, L)


@wrong("implied_beta", "sum_and_mean_swapped")
def words_swapped(pixel_reduction, kl_reduction, D, L):
    return (D if pixel_reduction == "sum" else 1) / (L if kl_reduction == "sum" else 1)


@wrong("implied_beta", "d_and_l_swapped")
def letters_swapped(pixel_reduction, kl_reduction, D, L):
    return (L if pixel_reduction == "mean" else 1) / (D if kl_reduction == "mean" else 1)


@wrong("implied_beta", "arguments_swapped")
def reductions_swapped(pixel_reduction, kl_reduction, D, L):
    return two_factors(kl_reduction, pixel_reduction, D, L)


@wrong("implied_beta", "both_means_cancel")
def both_means_are_harmless(pixel_reduction, kl_reduction, D, L):
    if pixel_reduction == kl_reduction:
        return 1.0
    return D if pixel_reduction == "mean" else 1 / L


@wrong("implied_beta", "always_d_over_l")
def always_the_ratio(pixel_reduction, kl_reduction, D, L):
    return D / L


@wrong("implied_beta", "one_case_wrong")
def one_case_upside_down(pixel_reduction, kl_reduction, D, L):
    if (pixel_reduction, kl_reduction) == ("sum", "mean"):
        return L
    return two_factors(pixel_reduction, kl_reduction, D, L)


@wrong("implied_beta", "one_case_wrong")
def one_case_a_product(pixel_reduction, kl_reduction, D, L):
    if pixel_reduction == kl_reduction == "mean":
        return D * L
    return two_factors(pixel_reduction, kl_reduction, D, L)


@wrong("implied_beta", "numbers_fixed")
def only_mnist(pixel_reduction, kl_reduction, D, L):
    return two_factors(pixel_reduction, kl_reduction, 784, L)


@wrong("implied_beta", "whole_division")
def whole_division(pixel_reduction, kl_reduction, D, L):
    return (D if pixel_reduction == "mean" else 1) // (L if kl_reduction == "mean" else 1)


@wrong("implied_beta", "nothing_returned")
def a_case_forgotten(pixel_reduction, kl_reduction, D, L):
    if pixel_reduction == "mean":
        return D if kl_reduction == "sum" else D / L
    if kl_reduction == "mean":
        return 1 / L


@wrong("implied_beta", "wrong_type")
def a_word(pixel_reduction, kl_reduction, D, L):
    return f"{two_factors(pixel_reduction, kl_reduction, D, L)}"


@wrong("implied_beta", "wrong_type")
def both_weights(pixel_reduction, kl_reduction, D, L):
    return 1.0, two_factors(pixel_reduction, kl_reduction, D, L)


@wrong("implied_beta", "raised")
def other_words(pixel_reduction, kl_reduction, D, L):
    if pixel_reduction not in ("sum", "none"):
        raise ValueError(pixel_reduction)
    return two_factors(pixel_reduction, kl_reduction, D, L)
