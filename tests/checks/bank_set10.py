"""Answers to set 10: the peak signal-to-noise ratio."""

import math

import torch
import torch.nn.functional as F
from bank import right, wrong

# --- psnr ----------------------------------------------------------------------------------------


def _mse(x, y):
    return (x - y).square().flatten(1).mean(1)


@right("psnr")
def minus_ten_logs(x, y):
    return -10 * torch.log10(((x - y) ** 2).mean(dim=(1, 2, 3)))


@right("psnr")
def with_the_peak(x, y, data_range=1.0):
    mse = F.mse_loss(x, y, reduction="none").flatten(1).mean(dim=1)
    return 10 * torch.log10(data_range**2 / mse)


@right("psnr")
def twenty_logs_of_the_root(x, y):
    rmse = _mse(x, y).sqrt()
    return 20 * torch.log10(1 / rmse)


@right("psnr")
def by_norms(x, y):
    error = (x - y).flatten(1)
    return 20 * (math.log10(math.sqrt(error.shape[1])) - torch.linalg.norm(error, dim=1).log10())


@right("psnr")
def image_by_image(x, y):
    values = []
    for a, b in zip(x, y, strict=True):
        mse = torch.mean((a - b) ** 2)
        values.append(20 * math.log10(1.0) - 10 * torch.log10(mse))
    return torch.stack(values)


@right("psnr")
def natural_logs(x, y):
    mse = torch.einsum("bchw,bchw->b", x - y, x - y) / x[0].numel()
    return -10 * mse.log() / math.log(10)


@right("psnr")
def logs_as_tensors(x, y):
    mse = torch.nn.MSELoss(reduction="none")(x, y).mean((-3, -2, -1))
    return 10.0 * torch.log(1.0 / mse) / torch.log(torch.tensor(10.0, device=x.device))


@right("psnr")
def with_a_case_for_identical(x, y, identical=float("inf")):
    mse = _mse(x.double(), y.double())
    same = mse == 0
    return torch.where(same, identical, -10 * torch.log10(torch.where(same, 1.0, mse)))


@right("psnr")
def clamped_to_the_range(x, y):
    return -10 * _mse(x.clamp(0, 1), y.clamp(0, 1)).log10()


@wrong("psnr", "averaged_before_log")
def one_mse_for_the_batch(x, y):
    return -10 * torch.log10(F.mse_loss(x, y))


@wrong("psnr", "averaged_before_log")
def one_mse_repeated(x, y):
    return (-10 * torch.log10(F.mse_loss(x, y))).expand(len(x))


@wrong("psnr", "averaged_over_batch")
def mean_of_the_batch(x, y):
    return (-10 * _mse(x, y).log10()).mean()


@wrong("psnr", "wrong_axis")
def over_the_batch(x, y):
    return -10 * (x - y).square().flatten(1).mean(0).log10()


@wrong("psnr", "wrong_axis")
def over_the_channels(x, y):
    return -10 * (x - y).square().mean(1).log10()


@wrong("psnr", "peak_255")
def peak_of_bytes(x, y):
    return 10 * torch.log10(255**2 / _mse(x, y))


@wrong("psnr", "peak_255")
def scaled_to_bytes(x, y):
    return -10 * torch.log10(_mse(255 * x, 255 * y))


@wrong("psnr", "peak_of_image")
def peak_of_each_image(x, y):
    return 20 * torch.log10(x.flatten(1).amax(1) / _mse(x, y).sqrt())


@wrong("psnr", "peak_of_image")
def peak_of_the_batch(x, y):
    return 20 * torch.log10(x.max() / _mse(x, y).sqrt())


@wrong("psnr", "peak_of_image")
def range_of_each_image(x, y):
    flat = y.flatten(1)
    return 20 * torch.log10((flat.amax(1) - flat.amin(1)) / _mse(x, y).sqrt())


@wrong("psnr", "root_missing")
def twenty_logs_of_mse(x, y):
    return 20 * torch.log10(1 / _mse(x, y))


@wrong("psnr", "root_too_many")
def ten_logs_of_the_root(x, y):
    return 10 * torch.log10(1 / _mse(x, y).sqrt())


@wrong("psnr", "sign")
def sign(x, y):
    return 10 * torch.log10(_mse(x, y))


@wrong("psnr", "wrong_base")
def natural(x, y):
    return -10 * torch.log(_mse(x, y))


@wrong("psnr", "wrong_base")
def base_two(x, y):
    return -10 * torch.log2(_mse(x, y))


@wrong("psnr", "missing_ten")
def in_bels(x, y):
    return -_mse(x, y).log10()


@wrong("psnr", "no_log")
def only_mse(x, y):
    return _mse(x, y)


@wrong("psnr", "no_log")
def one_over_mse(x, y):
    return 1 / _mse(x, y)


@wrong("psnr", "absolute_error")
def absolute(x, y):
    return -20 * torch.log10((x - y).abs().flatten(1).mean(1))


@wrong("psnr", "absolute_error")
def absolute_ten(x, y):
    return -10 * torch.log10((x - y).abs().flatten(1).mean(1))


@wrong("psnr", "summed")
def sum_of_squares(x, y):
    return -10 * torch.log10((x - y).square().flatten(1).sum(1))


@wrong("psnr", "square_of_mean")
def square_of_the_mean(x, y):
    return -10 * torch.log10((x - y).flatten(1).mean(1).square())


@wrong("psnr", "square_of_mean")
def difference_of_means(x, y):
    return -20 * torch.log10((x.flatten(1).mean(1) - y.flatten(1).mean(1)).abs())


@wrong("psnr", "mean_of_logs")
def pixel_by_pixel(x, y):
    return (-10 * (x - y).square().flatten(1).log10()).mean(1)


@wrong("psnr", "mean_of_logs")
def channel_by_channel(x, y):
    return (-10 * (x - y).square().mean((2, 3)).log10()).mean(1)


@wrong("psnr", "mean_of_logs", "wrong_shape")
def each_channel(x, y):
    return -10 * (x - y).square().mean((2, 3)).log10()


@wrong("psnr", "spread_of_error")
def variance_of_the_error(x, y):
    return -10 * (x - y).flatten(1).var(1, unbiased=False).log10()


@wrong("psnr", "signal_power")
def signal_to_noise(x, y):
    return 10 * torch.log10(x.square().flatten(1).mean(1) / _mse(x, y))


@wrong("psnr", "signal_power")
def signal_to_noise_of_the_other(x, y):
    return 10 * torch.log10(y.square().flatten(1).mean(1) / _mse(x, y))


@wrong("psnr", "rounded")
def in_bytes(x, y):
    a, b = (255 * x).round() / 255, (255 * y).round() / 255
    return -10 * _mse(a, b).log10()


@wrong("psnr", "not_infinite")
def small_constant(x, y):
    return -10 * torch.log10(_mse(x, y) + 1e-10)


@wrong("psnr", "not_infinite")
def hundred_for_identical(x, y):
    mse = _mse(x, y)
    return torch.where(mse == 0, 100.0, -10 * torch.log10(mse))


@wrong("psnr", "not_infinite")
def clamped_below(x, y):
    return -10 * torch.log10(_mse(x, y).clamp(min=1e-12))


@wrong("psnr", "not_infinite")
def a_larger_constant(x, y):
    return -10 * torch.log10(_mse(x, y) + 1e-6)


@wrong("psnr", "detached")
def by_numbers(x, y):
    values = [-10 * math.log10(m) if m else math.inf for m in _mse(x, y).tolist()]
    return torch.tensor(values, dtype=x.dtype, device=x.device)


@wrong("psnr", "detached")
def target_frozen(x, y):
    return -10 * torch.log10(_mse(x, y.detach()))


@wrong("psnr", "wrong_type")
def one_float(x, y):
    return -10 * math.log10(F.mse_loss(x, y).item() or 1e-30)


@wrong("psnr", "modified_arguments")
def difference_in_place(x, y):
    with torch.no_grad():
        x.sub_(y)
    return -10 * torch.log10(x.square().flatten(1).mean(1))


@wrong("psnr", "not_infinite")
def infinite_by_division(x, y):
    return torch.stack([10 * torch.log10(torch.tensor(1 / m.item())) for m in _mse(x, y)])
