"""PSNR, sharpness, diversity and calibration, against closed forms and made answers."""

import math

import pytest
import torch
from torch import float64

from course_lib.evaluation.restoration import (
    coverage,
    diversity,
    psnr,
    ranks,
    reliability,
    sharpness,
)


def test_psnr_against_loops():
    torch.manual_seed(0)
    x, y = torch.rand(2, 3, 2, 4, 5, dtype=float64)
    expected = []
    for a, b in zip(x, y, strict=True):
        squares = [d**2 for d in (a - b).flatten().tolist()]
        expected.append(-10 * math.log10(sum(squares) / len(squares)))
    found = psnr(x, y)
    assert found.shape == (3,) and found.tolist() == pytest.approx(expected)
    assert torch.equal(psnr(y, x), found)


def test_psnr_of_known_errors():
    x = torch.full((1, 1, 4, 4), 0.5, dtype=float64)
    assert psnr(x, x + 0.1).item() == pytest.approx(20)
    assert psnr(x, x - 0.01).item() == pytest.approx(40)
    assert psnr(torch.zeros_like(x), torch.ones_like(x)).item() == 0
    assert psnr(x, x).tolist() == [math.inf]


def test_psnr_has_a_gradient():
    torch.manual_seed(0)
    x = torch.rand(2, 1, 3, 3, dtype=float64)
    y = torch.rand(2, 1, 3, 3, dtype=float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: psnr(x, y), y)


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("down", [False, True])
def test_an_edge_over_w_pixels_has_the_sharpness_one_over_w(width, down):
    ramp = ((torch.arange(20, dtype=float64) - 6) / width).clamp(0, 1).expand(1, 1, 20, 20)
    ramp = ramp.mT if down else ramp
    assert sharpness(ramp).item() == pytest.approx(1 / width)
    assert sharpness(0.5 * ramp).item() == pytest.approx(0.5 / width)  # of lower contrast
    assert sharpness(1 - ramp).item() == pytest.approx(1 / width)


def test_sharpness_does_not_count_ink():
    one, two = torch.zeros(2, 1, 1, 12, 12)
    one[..., 2:4, 2:4] = 1
    two[..., 2:4, 2:4] = two[..., 7:11, 7:11] = 1
    assert sharpness(one).item() == sharpness(two).item() == 1
    assert sharpness(torch.cat([one, two])).shape == (2,)


def test_constants_have_no_sharpness_but_a_gradient():
    x = torch.full((2, 1, 4, 4), 0.3, requires_grad=True)
    value = sharpness(x)
    assert value.tolist() == [0, 0]
    value.sum().backward()
    assert x.grad.isfinite().all()


def test_diversity_against_all_pairs():
    torch.manual_seed(0)
    samples = torch.rand(4, 3, 2, 5, 5, dtype=float64)
    pairs = [
        (samples[j] - samples[k]).square().flatten(1).mean(1) for j in range(4) for k in range(j)
    ]
    torch.testing.assert_close(diversity(samples), torch.stack(pairs).mean(0).sqrt())
    assert (diversity(samples[:1].expand(3, -1, -1, -1, -1)) == 0).all()


def made_answers(K, B, spread=0.1, own=0.1, seed=0):
    """Answers and originals around a common mean, with the standard deviations given."""
    g = torch.Generator().manual_seed(seed)
    shape = (1, 6, 6)
    scale = torch.linspace(0.2, 1, 36, dtype=float64).reshape(shape)  # some pixels are surer

    def draw(std, *lead):
        return 0.5 + std * scale * torch.randn(*lead, *shape, generator=g, dtype=float64)

    return draw(spread, K, B).clamp(0, 1), draw(own, B).clamp(0, 1)


def test_calibrated_answers_lie_on_the_diagonal():
    samples, x = made_answers(100, 300)
    r = reliability(samples, x, bins=5)
    assert r.count.sum() == x.numel() and r.predicted.diff().min() > 0
    assert r.predicted.max() > 2 * r.predicted.min()
    used = r.count > 500
    assert used.sum() >= 4
    off = (r.observed - r.predicted)[used]
    assert (off.abs() < 5 * r.se[used] + 0.02 * r.predicted[used]).all()
    # And what one answer is off is what two answers differ.
    one = (samples[0] - x).square().mean()
    assert diversity(samples).square().mean().item() == pytest.approx(one.item(), rel=0.1)


def test_few_answers_are_corrected_for_the_chance_of_their_mean():
    """One bin, so that choosing by an uncertain spread plays no part."""
    samples, x = made_answers(2, 2_000, seed=1)
    r = reliability(samples, x, bins=1)
    assert abs(r.observed - r.predicted).item() < 5 * r.se.item() + 0.01 * r.predicted.item()


@pytest.mark.parametrize(("spread", "larger"), [(0.05, True), (0.15, False)])
def test_answers_too_sure_lie_above_and_unsure_ones_below(spread, larger):
    samples, x = made_answers(50, 200, spread=spread)
    r = reliability(samples, x, bins=1)
    assert (r.observed - r.predicted > 5 * r.se).item() == larger
    assert (r.predicted - r.observed > 5 * r.se).item() == (not larger)


def test_what_was_left_out_of_the_spread_can_be_added():
    samples, x = made_answers(50, 400, spread=0.05)
    r = reliability(samples, x, bins=1)
    missing = (r.observed**2 - r.predicted**2).item()
    r = reliability(samples, x, bins=1, extra_variance=missing)
    assert r.predicted.item() == pytest.approx(r.observed.item(), rel=1e-6)


def test_noise_that_the_answers_leave_out_is_not_in_the_chance_of_their_mean():
    """Answers E[x|z] and originals with noise of a known sigma around one more of them."""
    (first, second, own), _ = made_answers(3, 2_000, spread=0.05)
    sigma, g = 0.1, torch.Generator().manual_seed(1)
    x = own + sigma * torch.randn(own.shape, generator=g, dtype=float64)
    r = reliability(torch.stack([first, second]), x.clamp(0, 1), bins=1, extra_variance=sigma**2)
    assert abs(r.observed - r.predicted).item() < 5 * r.se.item()


def test_the_standard_error_is_that_over_images():
    """All pixels of an image share its error: the pixels alone would promise far too much."""
    torch.manual_seed(0)
    samples = 0.5 + 0.01 * torch.randn(20, 400, 1, 5, 5, dtype=float64)
    shift = 0.05 * torch.randn(400, 1, 1, 1, dtype=float64)
    r = reliability(samples, (0.5 + shift).expand(-1, 1, 5, 5), bins=1)
    squares = (samples.mean(0) - 0.5 - shift).square().flatten(1).mean(1)
    expected = squares.std() / math.sqrt(400) / (2 * squares.mean().sqrt())
    assert r.se.item() == pytest.approx(expected.item(), rel=1e-6)


def test_ranks_against_loops():
    values = torch.tensor([[1.0, 5.0, 2.0], [3.0, 4.0, 2.5]])
    assert ranks(values, torch.tensor([2.0, 6.0, 0.0])).tolist() == [1, 2, 0]


def test_ties_are_broken_evenly():
    rank = ranks(torch.zeros(3, 8_000), torch.zeros(8_000))
    counts = torch.bincount(rank, minlength=4)
    assert len(counts) == 4
    assert ((counts - 2_000).abs() < 5 * math.sqrt(8_000 * 0.25 * 0.75)).all()
    assert torch.equal(rank, ranks(torch.zeros(3, 8_000), torch.zeros(8_000)))


def test_ranks_of_calibrated_answers_are_flat_and_cover_what_they_say():
    torch.manual_seed(0)
    values, truth = torch.randn(19, 5_000), torch.randn(5_000)
    rank = ranks(values, truth)
    counts = torch.bincount(rank, minlength=20)
    assert len(counts) == 20
    assert ((counts - 250).abs() < 5 * math.sqrt(250)).all()
    for level in (0.5, 0.8, 0.9):
        found = coverage(rank, 19, level)
        assert abs(found.mean - level) < 5 * found.se


def test_coverage_counts_the_ranks_of_the_middle():
    rank = torch.arange(20)
    assert coverage(rank, 19, 0.9).mean == pytest.approx(18 / 20)
    assert coverage(rank, 19, 0.5).mean == pytest.approx(10 / 20)
    assert coverage(torch.tensor([0, 19]), 19, 0.9).mean == 0
    assert coverage(torch.tensor([1, 18]), 19, 0.9).mean == 1


def test_answers_too_much_alike_cover_too_little():
    torch.manual_seed(0)
    rank = ranks(0.5 * torch.randn(19, 2_000), torch.randn(2_000))
    found = coverage(rank, 19, 0.9)
    assert found.mean < 0.9 - 5 * found.se


X = torch.full((2, 1, 4, 4), 0.5)
S = X.expand(3, -1, -1, -1, -1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: psnr(X, X[:1]), ValueError, "the same shape was expected"),
        (lambda: psnr(X, 3 * X), ValueError, "y has pixels from 1.5"),
        (lambda: psnr(X[0], X[0]), ValueError, r"x has shape \[1, 4, 4\]"),
        (lambda: sharpness(X.byte()), TypeError, "holds torch.uint8"),
        (lambda: diversity(X), ValueError, r"samples is \[2, 1, 4, 4\]; answers \[K, B"),
        (lambda: diversity(S[:1]), ValueError, "samples holds one answer"),
        (lambda: diversity(S + 1), ValueError, "samples has pixels"),
        (lambda: reliability(S, X[:1]), ValueError, "samples has shape"),
        (lambda: reliability(S[:, :1], X[:1]), ValueError, "at least two"),
        (lambda: reliability(S, X, bins=0), ValueError, "bins is 0"),
        (lambda: reliability(S, X, extra_variance=-1), ValueError, "extra_variance is -1"),
        (lambda: ranks(torch.zeros(3), torch.zeros(3)), ValueError, r"values is \[3\]"),
        (lambda: ranks(torch.zeros(3, 2), torch.zeros(3)), ValueError, "K answers for each truth"),
        (lambda: ranks(torch.zeros(3, 2) / 0, torch.zeros(2)), ValueError, "NaN or inf"),
        (lambda: coverage(torch.arange(20), 19, 0.93), ValueError, "no central interval covers"),
        (lambda: coverage(torch.arange(20), 18, 0.9), ValueError, "outside 0 to 18"),
        (lambda: coverage(torch.arange(20.0), 19, 0.9), ValueError, "result of ranks"),
        (lambda: coverage(torch.arange(20), 19, 1.0), ValueError, "level is 1.0"),
    ],
)
def test_bad_input_gets_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()
