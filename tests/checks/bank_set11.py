"""Answers to set 11: the net length of bits-back coding."""

import math

import numpy as np
import torch
from bank import right, wrong

# --- bits_back_length ----------------------------------------------------------------------------

LOG_2 = math.log(2)


@right("bits_back_length")
def over_log_2(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz - log_qz_x) / math.log(2)


@right("bits_back_length")
def minus_log_w(log_px_z, log_pz, log_qz_x, base=2.0):
    log_w = log_px_z + log_pz - log_qz_x
    return -log_w / math.log(base)


@right("bits_back_length")
def paid_minus_back(log_px_z, log_pz, log_qz_x):
    pixels = -log_px_z / LOG_2
    latents = -log_pz / LOG_2
    returned = -log_qz_x / LOG_2
    return pixels + latents - returned


@right("bits_back_length")
def distortion_and_rate(log_px_z, log_pz, log_qz_x):
    distortion, rate = -log_px_z, log_qz_x - log_pz
    return (distortion + rate) * math.log2(math.e)


@right("bits_back_length")
def image_by_image(log_px_z, log_pz, log_qz_x):
    bits = []
    for px, pz, q in zip(log_px_z, log_pz, log_qz_x, strict=True):
        bits.append((q - px - pz) / np.log(2))
    return torch.stack(bits)


@right("bits_back_length")
def stacked_with_signs(log_px_z, log_pz, log_qz_x):
    terms = torch.stack([log_px_z, log_pz, log_qz_x], dim=-1)
    signs = torch.tensor([-1.0, -1.0, 1.0], dtype=terms.dtype, device=terms.device)
    return torch.einsum("bt,t->b", terms, signs) / LOG_2


@right("bits_back_length")
def in_place_on_its_own(log_px_z, log_pz, log_qz_x):
    nats = log_qz_x.clone()
    nats -= log_px_z
    nats -= log_pz
    return nats.div_(LOG_2)


@right("bits_back_length")
def double_inside(log_px_z, log_pz, log_qz_x):
    nats = log_qz_x.double() - log_px_z.double() - log_pz.double()
    return nats / torch.log(torch.tensor(2.0, dtype=torch.float64, device=nats.device))


@right("bits_back_length")
def log_2_as_a_tensor(log_px_z, log_pz, log_qz_x):
    return (log_qz_x - log_px_z - log_pz) / torch.tensor(2.0).log().to(log_pz.device)


@right("bits_back_length")
def in_bytes_first(log_px_z, log_pz, log_qz_x):
    number_of_bytes = -(log_px_z + log_pz - log_qz_x) / math.log(256)
    return 8 * number_of_bytes


@right("bits_back_length")
def by_sub_and_neg(log_px_z, log_pz, log_qz_x, **unused):
    return torch.neg(torch.sub(torch.add(log_px_z, log_pz), log_qz_x)).div(LOG_2)


@wrong("bits_back_length", "missing_log_2")
def in_nats(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz - log_qz_x)


@wrong("bits_back_length", "multiplied_by_log_2")
def times_log_2(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz - log_qz_x) * math.log(2)


@wrong("bits_back_length", "wrong_base")
def decimal_digits(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz - log_qz_x) / math.log(10)


@wrong("bits_back_length", "wrong_base")
def by_log10_of_2(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz - log_qz_x) / math.log10(2)


@wrong("bits_back_length", "in_bytes")
def in_bytes(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz - log_qz_x) / LOG_2 / 8


@wrong("bits_back_length", "sign")
def elbo_in_bits(log_px_z, log_pz, log_qz_x):
    return (log_px_z + log_pz - log_qz_x) / LOG_2


@wrong("bits_back_length", "posterior_sign")
def all_three_paid(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz + log_qz_x) / LOG_2


@wrong("bits_back_length", "no_bits_back")
def nothing_comes_back(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz) / LOG_2


@wrong("bits_back_length", "prior_missing")
def latents_for_nothing(log_px_z, log_pz, log_qz_x):
    return (log_qz_x - log_px_z) / LOG_2


@wrong("bits_back_length", "pixels_only")
def only_the_pixels(log_px_z, log_pz, log_qz_x):
    return -log_px_z / LOG_2


@wrong("bits_back_length", "rate_only")
def only_the_rate(log_px_z, log_pz, log_qz_x):
    return (log_qz_x - log_pz) / LOG_2


@wrong("bits_back_length", "rate_sign")
def rate_subtracted(log_px_z, log_pz, log_qz_x):
    return (-log_px_z - (log_qz_x - log_pz)) / LOG_2


@wrong("bits_back_length", "mixed_units")
def pixels_in_bits_rate_in_nats(log_px_z, log_pz, log_qz_x):
    return -log_px_z / LOG_2 + (log_qz_x - log_pz)


@wrong("bits_back_length", "mixed_units")
def brackets_forgotten(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz) + log_qz_x / LOG_2


@wrong("bits_back_length", "mixed_units")
def what_comes_back_in_nats(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz) / LOG_2 + log_qz_x


@wrong("bits_back_length", "averaged_over_batch")
def mean_of_the_batch(log_px_z, log_pz, log_qz_x):
    return (-(log_px_z + log_pz - log_qz_x) / LOG_2).mean()


@wrong("bits_back_length", "summed_over_batch")
def length_of_the_file(log_px_z, log_pz, log_qz_x):
    return (-(log_px_z + log_pz - log_qz_x) / LOG_2).sum()


@wrong("bits_back_length", "averaged_over_batch")
def divided_by_the_batch(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz - log_qz_x) / LOG_2 / len(log_px_z)


@wrong("bits_back_length", "clamped")
def never_negative_back(log_px_z, log_pz, log_qz_x):
    paid = -(log_px_z + log_pz) / LOG_2
    return paid - (-log_qz_x / LOG_2).clamp(min=0)


@wrong("bits_back_length", "clamped")
def never_negative_rate(log_px_z, log_pz, log_qz_x):
    return (-log_px_z + (log_qz_x - log_pz).clamp(min=0)) / LOG_2


@wrong("bits_back_length", "clamped")
def absolute_rate(log_px_z, log_pz, log_qz_x):
    return (-log_px_z + (log_qz_x - log_pz).abs()) / LOG_2


@wrong("bits_back_length", "clamped")
def never_negative(log_px_z, log_pz, log_qz_x):
    return torch.relu(-(log_px_z + log_pz - log_qz_x) / LOG_2)


@wrong("bits_back_length", "clamped")
def sizes_of_all(log_px_z, log_pz, log_qz_x):
    return (log_px_z.abs() + log_pz.abs() - log_qz_x.abs()) / LOG_2


@wrong("bits_back_length", "rounded")
def whole_bits(log_px_z, log_pz, log_qz_x):
    return torch.ceil(-(log_px_z + log_pz - log_qz_x) / LOG_2)


@wrong("bits_back_length", "not_finite")
def logarithm_again(log_px_z, log_pz, log_qz_x):
    return -(torch.log2(log_px_z) + torch.log2(log_pz) - torch.log2(log_qz_x))


@wrong("bits_back_length", "log_of_logs")
def logarithm_of_the_sum(log_px_z, log_pz, log_qz_x):
    return -torch.log2(log_px_z + log_pz - log_qz_x)


@wrong("bits_back_length", "unstable")
def through_probabilities(log_px_z, log_pz, log_qz_x):
    return -torch.log2(log_px_z.exp() * log_pz.exp() / log_qz_x.exp())


@wrong("bits_back_length", "unstable")
def through_the_weight(log_px_z, log_pz, log_qz_x):
    return -torch.log2(torch.exp(log_px_z + log_pz - log_qz_x))


@wrong("bits_back_length", "unstable")
def through_the_weight_in_double(log_px_z, log_pz, log_qz_x):
    return -torch.log2(torch.exp((log_px_z + log_pz - log_qz_x).double()))


@wrong("bits_back_length", "unstable")
def term_by_term(log_px_z, log_pz, log_qz_x):
    return -(log_px_z.exp().log2() + log_pz.exp().log2() - log_qz_x.exp().log2())


@wrong("bits_back_length", "unstable")
def a_small_constant(log_px_z, log_pz, log_qz_x):
    return -torch.log2(torch.exp(log_px_z + log_pz - log_qz_x) + 1e-300)


@wrong("bits_back_length", "detached")
def by_numbers(log_px_z, log_pz, log_qz_x):
    nats = (log_qz_x - log_px_z - log_pz).tolist()
    bits = [n / LOG_2 for n in nats]
    return torch.tensor(bits, dtype=log_pz.dtype, device=log_pz.device)


@wrong("bits_back_length", "detached")
def posterior_frozen(log_px_z, log_pz, log_qz_x):
    return -(log_px_z + log_pz - log_qz_x.detach()) / LOG_2


@wrong("bits_back_length", "imprecise")
def short_constant(log_px_z, log_pz, log_qz_x):
    return 1.4427 * (log_qz_x - log_px_z - log_pz)


@wrong("bits_back_length", "wrong_dtype")
def in_float32(log_px_z, log_pz, log_qz_x):
    return ((log_qz_x - log_px_z - log_pz) / LOG_2).float()


@wrong("bits_back_length", "modified_arguments")
def adds_in_place(log_px_z, log_pz, log_qz_x):
    with torch.no_grad():
        log_px_z += log_pz
    return -(log_px_z - log_qz_x) / LOG_2


@wrong("bits_back_length", "nothing_returned")
def forgets_to_return(log_px_z, log_pz, log_qz_x):
    bits = -(log_px_z + log_pz - log_qz_x) / LOG_2  # noqa: F841


@wrong("bits_back_length", "wrong_shape")
def kept_axis(log_px_z, log_pz, log_qz_x):
    return (-(log_px_z + log_pz - log_qz_x) / LOG_2)[:, None]
