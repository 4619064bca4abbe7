"""Paths and directions in the latents, against geometry that is known in closed form."""

import math

import pytest
import torch
from torch import float64

from course_lib.editing import attribute_vector, lerp, slerp


def codes(count, size=6, dtype=float64):
    torch.manual_seed(0)
    return torch.randn(count, size, dtype=dtype)


def test_lerp_is_a_straight_line_in_equal_steps():
    z0, z1 = codes(2)
    path = lerp(z0, z1, 5)
    torch.testing.assert_close(path.diff(dim=0), ((z1 - z0) / 4).expand(4, -1))
    assert torch.equal(path[0], z0) and torch.equal(path[-1], z1)
    torch.testing.assert_close(lerp(z0, z1, 2), torch.stack([z0, z1]))


def test_slerp_on_the_unit_circle_is_an_even_turn():
    z0 = torch.tensor([1.0, 0.0], dtype=float64)
    z1 = torch.tensor([0.0, 1.0], dtype=float64)
    angles = torch.linspace(0, math.pi / 2, 7, dtype=float64)
    torch.testing.assert_close(slerp(z0, z1, 7), torch.stack([angles.cos(), angles.sin()], 1))


def test_slerp_keeps_a_norm_and_turns_in_equal_angles():
    z0, z1 = codes(2)
    z1 = z1 * z0.norm() / z1.norm()
    path = slerp(z0, z1, 9)
    torch.testing.assert_close(path.norm(dim=1), z0.norm().expand(9))
    along = torch.cosine_similarity(path[1:], path[:-1])
    torch.testing.assert_close(along, along[:1].expand(8))


def test_slerp_weighs_the_raw_codes_with_great_circle_weights():
    z0, z1 = codes(2)
    z1 = 3 * z1
    omega = torch.acos(torch.dot(z0, z1) / (z0.norm() * z1.norm()))
    t = torch.linspace(0, 1, 6, dtype=float64)[:, None]
    expected = (((1 - t) * omega).sin() * z0 + (t * omega).sin() * z1) / omega.sin()
    torch.testing.assert_close(slerp(z0, z1, 6), expected)


@pytest.mark.parametrize("dtype", [torch.float32, float64])
def test_slerp_of_equal_and_of_nearly_equal_codes(dtype):
    (z,) = codes(1, dtype=dtype)
    torch.testing.assert_close(slerp(z, z, 4), z.expand(4, -1), rtol=0, atol=5e-7)
    torch.testing.assert_close(slerp(z, 2 * z, 3)[1], 1.5 * z)
    moved = z.clone()
    moved[0] += 1e-3
    torch.testing.assert_close(slerp(z, moved, 5), lerp(z, moved, 5), rtol=0, atol=1e-6)
    # Nearly opposite, the turn goes through the one direction that is left.
    z0, z1 = torch.tensor([[1.0, 0.0], [-1.0, 1e-2]], dtype=dtype)
    torch.testing.assert_close(slerp(z0, z1, 3)[1][1].item(), 1.0, rtol=0, atol=1e-3)


@pytest.mark.parametrize("path", [lerp, slerp])
def test_paths_can_be_differentiated_and_leave_their_ends_alone(path):
    z0, z1 = codes(2).requires_grad_().unbind()
    before = z0.detach().clone()
    assert torch.autograd.gradcheck(lambda a, b: path(a, b, 4), (z0, z1))
    assert torch.equal(z0, before)
    same = before.clone().requires_grad_()
    path(same, same, 3).sum().backward()
    assert same.grad.isfinite().all()
    assert path(z0.float(), z1.float(), 3).dtype == torch.float32


def test_attribute_vector_is_the_difference_of_means():
    z = torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 10.0]])
    has = torch.tensor([True, True, False])
    torch.testing.assert_close(attribute_vector(z, has), torch.tensor([-8.0, -7.0]))
    torch.testing.assert_close(attribute_vector(z, ~has), torch.tensor([8.0, 7.0]))


def test_attribute_vector_of_a_normal_points_along_the_covariance():
    """E[z | w'z > 0] - E[z | w'z <= 0] = 2 sqrt(2 / pi) C w / sqrt(w' C w) for z ~ N(m, C)."""
    root, w = codes(3, 3), codes(4, 3)[3]
    torch.manual_seed(1)
    z = torch.randn(40_000, 3, dtype=float64) @ root
    has = z @ w > 0
    z = z + 5
    cov = root.T @ root
    expected = 2 * math.sqrt(2 / math.pi) * (cov @ w) / (w @ cov @ w).sqrt()
    se = (z[has].var(0) / has.sum() + z[~has].var(0) / (~has).sum()).sqrt()
    assert ((attribute_vector(z, has) - expected).abs() < 5 * se).all()


def test_attribute_vector_passes_gradients():
    z = codes(5).requires_grad_()
    has = torch.tensor([True, False, True, True, False])
    assert torch.autograd.gradcheck(lambda a: attribute_vector(a, has), (z,))


Z = torch.ones(3)


@pytest.mark.parametrize("path", [lerp, slerp])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], Z, 3), TypeError, "z0 is a list; a tensor of floats"),
        ((Z, torch.ones(3).long(), 3), TypeError, "z1 is a tensor of torch.int64"),
        ((Z, Z.double(), 3), TypeError, "one type for both"),
        ((Z, torch.ones(4), 3), ValueError, r"shapes \[3\] and \[4\]"),
        ((Z[None], Z[None], 3), ValueError, r"one code \[L\] each"),
        ((Z, Z * math.nan, 3), ValueError, "z1 holds NaN or infinity"),
        ((Z, Z, 1), ValueError, "steps is 1; a whole number from 2 up"),
        ((Z, Z, 2.5), ValueError, "steps is 2.5"),
    ],
)
def test_paths_refuse_what_they_can_not_join(path, arguments, error, message):
    with pytest.raises(error, match=message):
        path(*arguments)


def test_slerp_needs_two_directions_with_one_turn_between():
    with pytest.raises(ValueError, match="A code is zero.*Use lerp"):
        slerp(torch.zeros(3), Z, 3)
    with pytest.raises(ValueError, match="opposite directions"):
        slerp(Z, -2 * Z, 3)


HAS = torch.tensor([True, False, True])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1.0]], HAS), TypeError, "z is a list"),
        ((torch.ones(3), HAS), ValueError, r"codes \[N, L\]"),
        ((torch.ones(3, 2) * math.inf, HAS), ValueError, "NaN or infinity"),
        ((torch.ones(3, 2), HAS.float()), TypeError, "has_attribute is a tensor of torch.float32"),
        ((torch.ones(3, 2), [True, False, True]), TypeError, "has_attribute is a list"),
        ((torch.ones(4, 2), HAS), ValueError, r"shape \[3\] beside 4 codes"),
        ((torch.ones(3, 2), HAS & False), ValueError, "No code has the attribute"),
        ((torch.ones(3, 2), HAS | True), ValueError, "All 3 codes have the attribute"),
    ],
)
def test_attribute_vector_refuses_what_has_no_difference(arguments, error, message):
    with pytest.raises(error, match=message):
        attribute_vector(*arguments)
