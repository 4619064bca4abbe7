"""The Fréchet distance, against its closed forms and scipy's matrix root; fractions."""

import math

import pytest
import torch
from torch import float64

from course_lib.evaluation import fraction, frechet_distance


def exactly(mean, covariance, count=200, seed=0):
    """Rows ``[N, D]`` whose sample mean and covariance are exactly these."""
    torch.manual_seed(seed)
    size = len(mean)
    x = torch.randn(count, size, dtype=float64)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(x.T)), x.T, upper=False).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def some_covariance(size, seed):
    torch.manual_seed(seed)
    root = torch.randn(size, size, dtype=float64)
    return root @ root.T + 0.1 * torch.eye(size, dtype=float64)


def test_closed_form_for_normals_along_the_axes():
    m1, m2 = torch.tensor([[0.0, 1.0, -2.0], [1.0, 1.0, 0.5]], dtype=float64)
    s1, s2 = torch.tensor([[1.0, 2.0, 0.5], [3.0, 1.0, 0.5]], dtype=float64)
    found = frechet_distance(
        exactly(m1, torch.diag(s1**2)), exactly(m2, torch.diag(s2**2), count=300, seed=1)
    )
    expected = (m1 - m2).square().sum() + (s1 - s2).square().sum()
    assert found == pytest.approx(expected.item(), rel=1e-9)


def test_closed_form_for_one_feature():
    a, b = torch.randn(50, 1, dtype=float64), 3 * torch.randn(70, 1, dtype=float64) + 2
    expected = (a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-9)


def test_the_matrix_root_agrees_with_that_of_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    for seed in range(3):
        c1, c2 = some_covariance(6, seed), some_covariance(6, seed + 10)
        zero = torch.zeros(6, dtype=float64)
        root = torch.as_tensor(linalg.sqrtm((c1 @ c2).numpy()).real)
        expected = (c1.trace() + c2.trace() - 2 * root.trace()).item()
        found = frechet_distance(exactly(zero, c1), exactly(zero, c2, seed=3))
        assert found == pytest.approx(expected, rel=1e-8)


def test_symmetric_zero_for_equal_sets_and_moved_by_a_translation():
    torch.manual_seed(0)
    a, b = torch.randn(100, 5), 2 * torch.randn(90, 5) + 1
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-6)
    shift = torch.tensor([3.0, 0.0, 0.0, 4.0, 0.0])
    assert frechet_distance(a, a + shift) == pytest.approx(25, rel=1e-5)
    assert frechet_distance(a + 100, b + 100) == pytest.approx(frechet_distance(a, b), rel=1e-4)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * frechet_distance(a, b), rel=1e-5)


def test_features_that_never_fire_do_no_harm():
    """A unit that is off for all images gives a covariance without an inverse."""
    torch.manual_seed(0)
    a, b = torch.randn(100, 4), torch.randn(100, 4)
    a[:, 2] = b[:, 2] = 0
    kept = [0, 1, 3]
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(a[:, kept], b[:, kept]))


def test_few_images_look_worse():
    """The bias that makes equal numbers of images necessary."""
    torch.manual_seed(0)
    real = torch.randn(20_000, 8, dtype=float64)
    few = [frechet_distance(torch.randn(20, 8, dtype=float64), real) for _ in range(10)]
    many = [frechet_distance(torch.randn(500, 8, dtype=float64), real) for _ in range(10)]
    assert min(few) > max(many)


GOOD = torch.eye(4).repeat(3, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((GOOD[:4], GOOD), ValueError, r"features has shape \[4, 4\].*more images than features"),
        ((GOOD, GOOD[0]), ValueError, r"other has shape \[4\]"),
        ((GOOD, GOOD * math.nan), ValueError, "finite features"),
        ((GOOD, GOOD[:, :3]), ValueError, "features has 4 columns and other 3"),
        (([[1.0]], GOOD), TypeError, "features is a list"),
    ],
)
def test_bad_features_get_a_sentence(arguments, error, message):
    with pytest.raises(error, match=message):
        frechet_distance(*arguments)


def test_a_fraction_and_its_standard_error():
    found = fraction(torch.tensor([True] * 30 + [False] * 70))
    assert found.mean == pytest.approx(0.3)
    assert found.se == pytest.approx(math.sqrt(0.3 * 0.7 / 100))


@pytest.mark.parametrize("value", [True, False])
def test_no_finite_number_of_images_shows_a_certainty(value):
    found = fraction(torch.full((100,), value))
    assert found.mean == float(value)
    assert found.se == pytest.approx(math.sqrt(0.01 * 0.99 / 100))
    assert fraction(torch.tensor([value])).se == 0.5


@pytest.mark.parametrize(
    ("hits", "error"),
    [
        (torch.ones(3), ValueError),
        (torch.ones(3, 1).bool(), ValueError),
        (torch.ones(0).bool(), ValueError),
        ([True], TypeError),
    ],
)
def test_hits_are_booleans(hits, error):
    with pytest.raises(error, match="hits is .* boolean"):
        fraction(hits)
