"""Checks of set 10: the peak signal-to-noise ratio."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks.comparing import Comparison, Row
from course_lib.checks.exercise import Exercise, Inputs, call
from course_lib.checks.probes.plain import tensor


def _squares(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().flatten(1)


def _mse(x: Tensor, y: Tensor) -> Tensor:
    return _squares(x, y).mean(1)


def _decibel(ratio: Tensor) -> Tensor:
    return 10 * torch.log10(ratio)


def _psnr(x: Tensor, y: Tensor) -> Tensor:
    return -_decibel(_mse(x, y))


def _images(
    inputs: Inputs, *shape: int, dtype: str = "float64", grad: bool = True, low=0.1, high=0.8
) -> tuple[dict, dict]:
    """Return two batches of images that have nothing to do with each other."""
    x, y = (inputs.between(low, high, *shape, dtype=dtype, grad=grad) for _ in range(2))
    return x, y


def _near(
    inputs: Inputs, *shape: int, off: float, same: int, dtype: str = "float64", grad: bool = False
) -> tuple[dict, dict]:
    """Return images and nearly the same, off by about ``off``; the first ``same`` are identical."""
    size = math.prod(shape[1:])
    x = [inputs.uniform(0.3, 0.7) for _ in range(shape[0] * size)]
    y = [v + (i >= same * size) * off * inputs.choice((-1, 1)) for i, v in enumerate(x)]
    return tensor(x, list(shape), dtype, grad=grad), tensor(y, list(shape), dtype, grad=grad)


def _calls(inputs: Inputs) -> list[dict]:
    batch, channels = inputs.choice(((3, 2), (4, 3), (5, 2), (2, 3)))

    def weights(b: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, b)

    return [
        call(*_images(inputs, 3, 1, 2, 3, grad=False), times=2),
        call(
            *_images(inputs, batch, channels, 3, 2), weights=weights(batch), every_device=True
        ),
        call(*_images(inputs, 4, 1, 3, 5, dtype="float32"), weights=weights(4)),
        call(*_images(inputs, 5, 3, 2, 2), weights=weights(5)),
        call(*_near(inputs, 3, 1, 5, 3, off=0.05, same=0, grad=True), weights=weights(3)),
        call(*_images(inputs, 1, 1, 4, 4, grad=False)),
        call(*_near(inputs, 3, 1, 2, 2, off=0.1, same=1), tag="extreme"),
        call(*_near(inputs, 2, 1, 3, 2, off=0.1, same=2), tag="extreme"),
        call(*_near(inputs, 3, 1, 3, 3, off=0.2, same=2, dtype="float32"), tag="extreme"),
        call(*_near(inputs, 2, 1, 3, 3, off=1e-3, same=0, grad=True), tag="extreme", weights=weights(2)),
    ]  # fmt: skip


def _hidden(inputs: Inputs) -> list[dict]:
    def weights(b: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, b)

    black, grey = (tensor([v] * 18, [2, 1, 3, 3]) for v in (0.0, 0.5))
    return [
        call(*_images(inputs, 2, 1, 28, 28, low=0.0, high=1.0), weights=weights(2)),
        call(*_images(inputs, 7, 3, 4, 6), weights=weights(7)),
        call(*_images(inputs, 6, 1, 1, 1, grad=False)),
        call(black, grey),
        call(*_near(inputs, 4, 3, 5, 5, off=1e-3, same=3), tag="extreme"),
        call(*_near(inputs, 1, 1, 2, 2, off=0.1, same=1), tag="extreme"),
    ]


def _peak(peak: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, y: _psnr(x, y) + 2 * _decibel(peak(x, y))


def _largest(x: Tensor) -> Tensor:
    return x.flatten(1).amax(1)


def _range(x: Tensor) -> Tensor:
    return x.flatten(1).amax(1) - x.flatten(1).amin(1)


def _bytes(x: Tensor) -> Tensor:
    return (255 * x).round() / 255


_PEAK = (
    "The peak is the largest value that an image can have, which is 1 for every image. What this image "
    "happens to reach makes the numbers of different images incomparable."
)

_PSNR = (
    Row(
        "averaged_before_log",
        lambda x, y: -_decibel(_squares(x, y).mean()),
        "The squared error is averaged over the whole batch before the logarithm: one number, ruled by "
        "the worst images. Average over the pixels of each image, and return one value for each: [B].",
    ),
    Row(
        "averaged_before_log",
        lambda x, y: -_decibel(_squares(x, y).mean()).expand(len(x)),
        "The squared error is averaged over the whole batch, and every image gets the same value. "
        "Average over the pixels of each image.",
    ),
    Row(
        "averaged_over_batch",
        lambda x, y: _psnr(x, y).mean(),
        "You average over the batch at the end. Return one value per image: [B].",
    ),
    Row(
        "wrong_axis",
        lambda x, y: -_decibel(_squares(x, y).mean(0)),
        "The squared error is averaged over the images, for each pixel. Average over the pixels, for "
        "each image.",
    ),
    Row(
        "wrong_axis",
        lambda x, y: -_decibel((x - y).square().mean(1)),
        "The squared error is averaged over axis 1, the channels. Average over channels, rows and "
        "columns.",
    ),
    Row(
        "wrong_axis",
        lambda x, y: -_decibel((x - y).square().mean(0)),
        "The squared error is averaged over the images, for each pixel. Average over the pixels, for "
        "each image.",
    ),
    Row(
        "wrong_axis",
        lambda x, y: -_decibel((x - y).square().mean(-1)),
        "The squared error is averaged over the last axis only. Average over channels, rows and columns.",
    ),
    Row(
        "peak_255",
        lambda x, y: _psnr(x, y) + 20 * math.log10(255),
        "The peak is 255 here, which makes every value too high by 48.13 dB. These images lie between 0 "
        "and 1: the peak is 1.",
    ),
    Row(
        "peak_255",
        lambda x, y: _psnr(x, y) - 20 * math.log10(255),
        "The images are scaled to 255, and the peak is still 1. They lie between 0 and 1: leave them.",
    ),
    Row(
        "peak_255",
        lambda x, y: _psnr(x, y) + 10 * math.log10(255),
        "The peak is 255 here, and not squared besides. These images lie between 0 and 1: the peak is 1.",
    ),
    Row("peak_of_image", _peak(lambda x, y: _largest(x)), _PEAK),
    Row("peak_of_image", _peak(lambda x, y: _largest(y)), _PEAK),
    Row("peak_of_image", _peak(lambda x, y: x.max()), _PEAK),
    Row("peak_of_image", _peak(lambda x, y: y.max()), _PEAK),
    Row("peak_of_image", _peak(lambda x, y: _range(x)), _PEAK),
    Row("peak_of_image", _peak(lambda x, y: _range(y)), _PEAK),
    Row("peak_of_image", _peak(lambda x, y: torch.maximum(x.max(), y.max())), _PEAK),
    Row(
        "peak_of_image",
        lambda x, y: _decibel(_largest(x) / _mse(x, y)),
        f"The largest value of the image is the peak, and not squared besides. {_PEAK}",
    ),
    Row(
        "root_missing",
        lambda x, y: 2 * _psnr(x, y),
        "The factor 20 belongs to the root of the mean squared error, the factor 10 to the mean squared "
        "error itself. Yours is twice as large as it should be.",
    ),
    Row(
        "root_too_many",
        lambda x, y: _psnr(x, y) / 2,
        "The factor 10 belongs to the mean squared error, the factor 20 to its root. Yours is half as "
        "large as it should be.",
    ),
    Row(
        "sign",
        lambda x, y: -_psnr(x, y),
        "The sign is turned: a small error is a high PSNR.",
    ),
    Row(
        "wrong_base",
        lambda x, y: -10 * _mse(x, y).log(),
        "This is the natural logarithm. Decibels take the logarithm to the base 10: torch.log10.",
    ),
    Row(
        "wrong_base",
        lambda x, y: -10 * _mse(x, y).log2(),
        "This is the logarithm to the base 2. Decibels take the base 10: torch.log10.",
    ),
    Row(
        "missing_ten", lambda x, y: -_mse(x, y).log10(), "The factor 10 is missing: these are bels."
    ),
    Row(
        "no_log",
        lambda x, y: _mse(x, y),
        "This is the mean squared error. PSNR is -10 times its logarithm to the base 10.",
    ),
    Row(
        "no_log",
        lambda x, y: _mse(x, y).sqrt(),
        "This is the root of the mean squared error. PSNR is -20 times its logarithm to the base 10.",
    ),
    Row("no_log", lambda x, y: 1 / _mse(x, y), "The logarithm is missing: 10 log10 of this."),
    Row("no_log", lambda x, y: 10 / _mse(x, y), "The logarithm is missing."),
    Row("no_log", lambda x, y: -10 * _mse(x, y), "The logarithm is missing."),
    Row(
        "square_of_mean",
        lambda x, y: -_decibel((x - y).flatten(1).mean(1).square()),
        "The mean is taken before the square, so that errors of opposite sign cancel: two images of the "
        "same brightness would be identical. Square each pixel's error, then average.",
    ),
    Row(
        "absolute_error",
        lambda x, y: -2 * _decibel((x - y).abs().flatten(1).mean(1)),
        "The mean absolute error is used. PSNR is made of the mean squared error.",
    ),
    Row(
        "absolute_error",
        lambda x, y: -_decibel((x - y).abs().flatten(1).mean(1)),
        "The mean absolute error is used. PSNR is made of the mean squared error.",
    ),
    Row(
        "largest_error",
        lambda x, y: -2 * _decibel((x - y).abs().flatten(1).amax(1)),
        "The largest error of the image is used. PSNR is made of the mean squared error; the peak is "
        "that of the signal.",
    ),
    Row(
        "summed",
        lambda x, y: -_decibel(_squares(x, y).sum(1)),
        "The squared errors are summed over the pixels. Take their mean, or larger images look worse.",
    ),
    Row(
        "summed",
        lambda x, y: -_decibel(_squares(x, y).sum()),
        "The squared errors of the whole batch are summed. Take the mean over the pixels of each image.",
    ),
    Row(
        "mean_of_logs",
        lambda x, y: -_decibel(_squares(x, y)).mean(1),
        "The logarithm is taken for each pixel, and then averaged. Average the squared errors of an "
        "image first.",
    ),
    Row(
        "mean_of_logs",
        lambda x, y: -_decibel((x - y).square().flatten(2).mean(2)).mean(1),
        "The logarithm is taken for each channel, and then averaged. Average the squared errors over "
        "the channels, too.",
    ),
    Row(
        "mean_of_logs",
        lambda x, y: -_decibel((x - y).square().flatten(2).mean(2)),
        "There is one value for each channel. Average the squared errors over the channels, too: [B].",
    ),
    Row(
        "mean_of_logs",
        lambda x, y: -_decibel((x - y).square()),
        "There is one value for each pixel. Average the squared errors of an image first: [B].",
    ),
    Row(
        "spread_of_error",
        lambda x, y: -_decibel((x - y).flatten(1).var(1, unbiased=False)),
        "This is the variance of the error: a shift of the brightness does not count in it. Take the "
        "mean of the squares.",
    ),
    Row(
        "spread_of_error",
        lambda x, y: -_decibel((x - y).flatten(1).var(1)),
        "This is the variance of the error: a shift of the brightness does not count in it. Take the "
        "mean of the squares.",
    ),
    Row(
        "signal_power",
        lambda x, y: _psnr(x, y) + _decibel(x.square().flatten(1).mean(1)),
        "This is the signal-to-noise ratio, which divides the mean square of the image by that of the "
        "error. For the *peak* ratio the peak, 1, takes its place.",
    ),
    Row(
        "signal_power",
        lambda x, y: _psnr(x, y) + _decibel(y.square().flatten(1).mean(1)),
        "This is the signal-to-noise ratio, which divides the mean square of the image by that of the "
        "error. For the *peak* ratio the peak, 1, takes its place.",
    ),
    Row(
        "rounded",
        lambda x, y: _psnr(_bytes(x), _bytes(y)),
        "The images are rounded to 256 levels first. Compare them as they are.",
    ),
    Row(
        "kept_axis",
        lambda x, y: _psnr(x, y)[:, None],
        "There is an axis of length 1 too many. [B] is expected: leave out keepdim=True.",
    ),
    Row(
        "kept_axis",
        lambda x, y: _psnr(x, y)[:, None, None, None],
        "There are axes of length 1 too many. [B] is expected: leave out keepdim=True.",
    ),
)

_INFINITE = (
    "Identical images have no error, and their PSNR is inf, which -10 * torch.log10(0) gives by itself. "
    "Leave out constants that are added, clamps, and a highest value of your own."
)

psnr = Exercise(
    "psnr",
    _calls,
    Comparison(
        truth=_psnr,
        arguments=("x", "y"),
        table=_PSNR,
        what="a tensor of shape [B]",
        extreme=(
            "not_infinite",
            f"Right where the images differ, wrong where they are (nearly) the same. {_INFINITE}",
        ),
        errors=(
            (
                r"ZeroDivisionError|ValueError: (math domain error|expected a positive input)",
                "not_infinite",
                f"It stops where the images are identical. {_INFINITE} Python's own numbers refuse it.",
            ),
        ),
    ),
    hidden=_hidden,
)

EXERCISES = (psnr,)
