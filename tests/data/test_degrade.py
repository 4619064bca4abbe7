"""What restoration starts from: averages, noise, masks, and bicubic interpolation."""

import math

import pytest
import torch
from torch import float64

from course_lib.data import degrade
from course_lib.data.degrade import add_noise, bicubic, downsample, half_mask, hide, square_mask


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.rand(3, 2, 12, 8, dtype=float64)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_small_pixel_is_the_average_of_its_block(x, factor):
    small = downsample(x, factor)
    assert small.shape == (3, 2, 12 // factor, 8 // factor)
    for row in range(small.shape[2]):
        for column in range(small.shape[3]):
            rows = slice(row * factor, (row + 1) * factor)
            columns = slice(column * factor, (column + 1) * factor)
            mean = x[:, :, rows, columns].mean((2, 3))
            torch.testing.assert_close(small[:, :, row, column], mean)


def test_white_stays_in_range():
    assert downsample(torch.ones(1, 1, 21, 21), 7).max() <= 1


def test_bicubic_keeps_constants_and_slopes_and_clamps_what_overshoots():
    grey = torch.full((1, 1, 7, 7), 0.3)
    torch.testing.assert_close(bicubic(grey, 28), torch.full((1, 1, 28, 28), 0.3))
    slope = torch.linspace(0.2, 0.8, 7).expand(1, 1, 7, 7)
    steps = bicubic(slope, 28)[0, 0, 14, 10:18].diff()  # inside, where no border is near
    assert (steps > 0).all() and steps.mean() == pytest.approx(0.1 / 4, rel=0.05)
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    free = torch.nn.functional.interpolate(edge, (32, 32), mode="bicubic")
    assert free.min() < 0 and free.max() > 1
    torch.testing.assert_close(bicubic(edge, 32), free.clamp(0, 1))


def test_noise_has_its_standard_deviation_and_is_not_clamped():
    x = torch.full((4, 1, 50, 50), 0.5)
    eps = (add_noise(x, 0.5, seed=1) - x) / 0.5
    n = eps.numel()
    assert abs(eps.mean()) < 5 / math.sqrt(n)
    assert abs(eps.var() - 1) < 5 * math.sqrt(2 / n)
    assert eps.abs().max() > 1  # beyond the pixel range
    assert torch.equal(add_noise(x, 0), x)


def test_a_seed_decides_and_the_session_does_not(x):
    torch.manual_seed(1)
    a = add_noise(x, 0.1, seed=3), square_mask(x, 3, seed=3)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    b = add_noise(x, 0.1, seed=3), square_mask(x, 3, seed=3)
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert not torch.equal(a[0], add_noise(x, 0.1, seed=4))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn from it


@pytest.mark.parametrize(
    ("side", "rows", "columns"),
    [
        ("top", slice(0, 6), slice(None)),
        ("bottom", slice(6, None), slice(None)),
        ("left", slice(None), slice(0, 4)),
        ("right", slice(None), slice(4, None)),
    ],
)
def test_half_of_the_image_is_hidden(x, side, rows, columns):
    expected = torch.zeros(3, 1, 12, 8, dtype=torch.bool)
    expected[:, :, rows, columns] = True
    assert torch.equal(half_mask(x, side), expected)


def test_the_middle_row_is_hidden_too():
    mask = half_mask(torch.zeros(1, 1, 5, 5), "bottom")
    assert mask[0, 0, :, 0].tolist() == [False, False, True, True, True]
    assert half_mask(torch.zeros(1, 1, 5, 5), "top")[0, 0, :, 0].sum() == 3


def test_squares_lie_inside_at_all_places():
    x = torch.zeros(2_000, 1, 5, 4)
    mask = square_mask(x, 3)
    assert (mask.sum((1, 2, 3)) == 9).all()
    assert (mask.any(3).sum(2) == 3).all() and (mask.any(2).sum(2) == 3).all()
    # Row 0 is hidden for one of 3 starts, column 0 for one of 2: each start is equally likely.
    for hidden, share in ((mask[:, 0, 0].any(1), 1 / 3), (mask[:, 0, :, 0].any(1), 1 / 2)):
        se = math.sqrt(share * (1 - share) / len(x))
        assert abs(hidden.float().mean() - share) < 5 * se
    assert square_mask(x[:2], 4).sum() == 2 * 16  # as high as the image is wide: one row is left


def test_hidden_pixels_are_gone_and_the_mask_stands_beside(x):
    mask = square_mask(x, 5, seed=1)
    seen = hide(x, mask)
    assert seen.shape == (3, 3, 12, 8) and seen.dtype == x.dtype
    assert torch.equal(seen[:, 2:].bool(), mask)
    everywhere = mask.expand_as(x)
    assert (seen[:, :2][everywhere] == 0).all()
    assert torch.equal(seen[:, :2][~everywhere], x[~everywhere])
    other = torch.where(everywhere, 1 - x, x)  # what was hidden leaves no trace
    assert torch.equal(hide(other, mask), seen)


GOOD = torch.full((2, 1, 6, 6), 0.5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: downsample(GOOD, 4), ValueError, "6 × 6 pixels can't be cut into blocks of 4 × 4"),
        (lambda: downsample(GOOD, 0), ValueError, "factor is 0; a whole number from 1"),
        (lambda: downsample(GOOD * 3, 2), ValueError, "Divide 8-bit images"),
        (lambda: bicubic(GOOD, 2.5), ValueError, "size is 2.5"),
        (lambda: bicubic(GOOD[0], 12), ValueError, r"x has shape \[1, 6, 6\]"),
        (lambda: add_noise(GOOD, -1), ValueError, "sigma is -1; a finite number from 0 up"),
        (lambda: add_noise(GOOD, math.inf), ValueError, "sigma is inf"),
        (lambda: add_noise(GOOD, 0.1, seed=0.5), ValueError, "seed is 0.5"),
        (lambda: half_mask(GOOD, "botom"), ValueError, "Did you mean 'bottom'"),
        (lambda: square_mask(GOOD, 7), ValueError, "size is 7; a whole number from 1 to 6"),
        (lambda: hide(GOOD, half_mask(GOOD).float()), ValueError, "mask is torch.float32"),
        (lambda: hide(GOOD, half_mask(GOOD)[:1]), ValueError, r"a bool tensor \[2, 1, 6, 6\]"),
        (lambda: hide(GOOD, [True]), TypeError, "mask is a list"),
    ],
)
def test_bad_input_gets_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_everything_public_is_named():
    assert set(degrade.__all__) >= {"add_noise", "bicubic", "downsample", "hide", "half_mask"}
