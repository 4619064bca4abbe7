"""Paths through the latents and directions in them, for images that are to be changed on purpose.

All of it is geometry on codes ``z``; what a step does to an *image* is for a decoder to say and for
:mod:`course_lib.evaluation` to measure.
"""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.errors import check_whole

__all__ = ["attribute_vector", "lerp", "slerp"]


def lerp(z0: Tensor, z1: Tensor, steps: int) -> Tensor:
    """Return points on the straight path from ``z0`` to ``z1``, ``[steps, L]``, ends included.

    Args:
        z0, z1: ``[L]``, floats of one type on one device.
        steps: 2 or more.

    Raises:
        TypeError: no tensors of floats, or of two types.
        ValueError: other shapes, values that are not finite, or fewer than two steps.
    """
    t = _times(z0, z1, steps)
    return (1 - t) * z0 + t * z1


def slerp(z0: Tensor, z1: Tensor, steps: int) -> Tensor:
    r"""Return points on the path that turns from ``z0`` to ``z1``, ``[steps, L]``.

    .. math:: z_t = \frac{\sin((1-t)\,\omega)\, z_0 + \sin(t\,\omega)\, z_1}{\sin\omega},
              \qquad \cos\omega = \frac{z_0 \cdot z_1}{|z_0||z_1|}

    Between codes of one norm the norm stays what it is. Codes in one direction have no angle
    between them, and the path is then the straight one.

    Args:
        z0, z1: ``[L]``, floats of one type on one device, neither zero nor opposite directions,
            between which no shortest turn is singled out.
        steps: 2 or more.

    Raises:
        TypeError: no tensors of floats, or of two types.
        ValueError: other shapes, values that are not finite, a code that is zero, opposite codes,
            or fewer than two steps.

    Source: Shoemake 1985, section 3.3; for latents White 2016 (arXiv 1609.04468), section 2.1.
    """
    t = _times(z0, z1, steps)
    n0, n1 = z0.norm(), z1.norm()
    if not (n0 > 0 and n1 > 0):
        raise ValueError(
            "A code is zero, which has no direction to turn from; two codes other than zero were "
            "expected. Use lerp."
        )
    u0, u1 = z0 / n0, z1 / n1
    # Half of the angle by its tangent: exact at both ends, where the arc cosine loses half of the
    # digits and its gradient is infinite.
    apart, along = (u1 - u0).norm(), (u1 + u0).norm()
    close = torch.finfo(z0.dtype).eps ** 0.5
    if along < close:
        raise ValueError(
            "The codes point in opposite directions, so that every turn between them is as short "
            "as any other. Go by way of a third code, or use lerp."
        )
    if apart < close:
        return (1 - t) * z0 + t * z1
    omega = 2 * torch.atan2(apart, along)
    return (((1 - t) * omega).sin() * z0 + (t * omega).sin() * z1) / omega.sin()


def attribute_vector(z: Tensor, has_attribute: Tensor) -> Tensor:
    """Return the mean code with the attribute minus the mean code without, ``[L]``.

    Whatever goes along with the attribute in the data is in it too.

    Args:
        z: codes ``[N, L]``, floats; of training images, such as ``model.posterior(x).mean``.
        has_attribute: booleans ``[N]``, such as ``labels == 3``.

    Raises:
        TypeError: no tensor of floats, or of booleans.
        ValueError: other shapes, values that are not finite, or all codes in one of the groups.

    Source: Larsen et al. 2016 (arXiv 1512.09300), section 4.2; White 2016, section 3.
    """
    _check_floats(z, "z", "[N, L]")
    if z.dim() != 2:
        raise ValueError(f"z has shape {list(z.shape)}; codes [N, L], a row each, were expected.")
    _check_finite(z, "z")
    if not isinstance(has_attribute, Tensor) or has_attribute.dtype != torch.bool:
        kind = _kind(has_attribute)
        raise TypeError(
            f"has_attribute is {kind}; booleans [N] were expected, from a comparison such as "
            "labels == 3."
        )
    if has_attribute.shape != z.shape[:1]:
        raise ValueError(
            f"has_attribute has shape {list(has_attribute.shape)} beside {len(z)} codes; "
            f"[{len(z)}] was expected."
        )
    count = int(has_attribute.sum())
    if count in (0, len(z)):
        has = "No code has" if count == 0 else f"All {count} codes have"
        raise ValueError(f"{has} the attribute; some with it and some without were expected.")
    return z[has_attribute].mean(0) - z[~has_attribute].mean(0)


def _times(z0: Tensor, z1: Tensor, steps: int) -> Tensor:
    """Check both codes and return the times from 0 to 1, ``[steps, 1]``."""
    for name, z in (("z0", z0), ("z1", z1)):
        _check_floats(z, name, "[L]")
    if z0.dim() != 1 or z0.shape != z1.shape:
        raise ValueError(
            f"z0 and z1 have shapes {list(z0.shape)} and {list(z1.shape)}; one code [L] each, of "
            "equal length, was expected, such as z[0] and z[1]."
        )
    if z0.dtype != z1.dtype:
        raise TypeError(f"z0 is {z0.dtype} and z1 {z1.dtype}; one type for both was expected.")
    for name, z in (("z0", z0), ("z1", z1)):
        _check_finite(z, name)
    steps = check_whole(steps, "steps", low=2)
    return torch.linspace(0, 1, steps, dtype=z0.dtype, device=z0.device)[:, None]


def _check_floats(z: object, name: str, shape: str) -> None:
    if not isinstance(z, Tensor) or not z.is_floating_point():
        raise TypeError(f"{name} is {_kind(z)}; a tensor of floats, {shape}, was expected.")


def _check_finite(z: Tensor, name: str) -> None:
    if not z.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinity; finite codes were expected.")


def _kind(value: object) -> str:
    kind = type(value).__name__
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else f"a {kind}"
