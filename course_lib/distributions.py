"""Distributions that ``torch.distributions`` lacks, lacks in float32, or has too slowly.

The three likelihoods are over single pixels; wrap them in ``torch.distributions.Independent(d, 3)``
to make an image ``[C, H, W]`` the event.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
    constraints,
)
from torch.distributions.utils import broadcast_all
from torch.nn import functional as F

__all__ = ["Bernoulli", "ContinuousBernoulli", "DiscretizedLogistic", "NormalMixture"]


def _parameters(*values: Tensor | float) -> tuple[Tensor, ...]:
    """Broadcast parameters, in at least float32: half precision has too few digits for a CDF."""
    values = broadcast_all(*values)
    return tuple(v.to(torch.promote_types(v.dtype, torch.float32)) for v in values)


class _Softplus(torch.autograd.Function):
    """log(1 + exp(a)) without log1p, which on a CPU costs torch ten times what a log does.

    With e = exp(-|a|) and u = 1 + e as rounded, log(1 + e) = log(u) + (e - (u - 1)) / u: what the
    rounding took is put back to first order, so that no digit is lost where e is small.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor) -> Tensor:
        e = a.abs().neg_().exp_()
        u = e + 1
        lost = e.sub_(u - 1)
        return u.log().add_(lost.div_(u)).add_(a.clamp(min=0))

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        return gradient * torch.sigmoid(a)


def _log_sigmoid(a: Tensor) -> Tensor:
    return -_Softplus.apply(-a) if a.device.type == "cpu" else F.logsigmoid(a)


class Bernoulli(TorchBernoulli):
    """torch's Bernoulli, whose ``log_prob`` takes a third of the time on a CPU.

    A value between 0 and 1 gives minus the binary cross-entropy, as with torch's own.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Return value * logits - softplus(logits), in nats."""
        if self.logits.device.type != "cpu":  # there torch's own is a single kernel
            return super().log_prob(value)
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return value * logits - _Softplus.apply(logits)


class _Grid(constraints.Constraint):
    """The grid {0, 1/(levels-1), ..., 1}, up to rounding of the stored pixel."""

    is_discrete = True

    def __init__(self, levels: int) -> None:
        self.levels = levels
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        index = value * (self.levels - 1)
        nearest = index.round()
        # 0.01 of a step: above the rounding of float32 at 16 bits per pixel, far below a step.
        return ((index - nearest).abs() < 0.01) & (nearest >= 0) & (nearest < self.levels)


class DiscretizedLogistic(Distribution):
    """A logistic density integrated over the bins of a pixel grid {0, 1/(levels-1), ..., 1}.

    P(x) = F(x + h) - F(x - h) with F the CDF of Logistic(mean, exp log_scale) and h half a step;
    the bins at 0 and 1 take the tails, so the levels sum to 1. Kingma et al. (2016), Salimans et
    al. (2017, equation 2). Probabilities are per pixel value: log2 gives bits per dimension.

    Args:
        mean: location of the logistic, any shape and any real value. Kept as ``loc``, because
            ``.mean`` is the exact mean of the discretized variable, which differs near 0 and 1.
        log_scale: log of the logistic's scale s (its standard deviation is pi s / sqrt 3), in
            units of the pixel range [0, 1]; a shape that broadcasts. Beyond +-66 (float32) or
            +-532 (float64) it acts as that bound, with zero gradient.
        levels: number of grid values, 256 for 8-bit images.
        validate_args: refuse values that are not on the grid. Where it is False, a value counts
            as the nearest level.
    """

    arg_constraints = {"loc": constraints.real, "log_scale": constraints.real}  # noqa: RUF012
    has_enumerate_support = True

    def __init__(
        self,
        mean: Tensor | float,
        log_scale: Tensor | float,
        levels: int = 256,
        validate_args: bool | None = None,
    ) -> None:
        if isinstance(levels, bool) or not isinstance(levels, int) or levels < 2:
            raise ValueError(
                f"levels is {levels!r}; a whole number from 2 up was expected, 256 for 8 bits."
            )
        self.levels = levels
        self.loc, self.log_scale = _parameters(mean, log_scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return _Grid(self.levels)

    def expand(
        self, batch_shape: torch.Size, _instance: Distribution | None = None
    ) -> DiscretizedLogistic:
        new = self._get_checked_instance(DiscretizedLogistic, _instance)
        new.levels = self.levels
        new.loc = self.loc.expand(batch_shape)
        new.log_scale = self.log_scale.expand(batch_shape)
        super(DiscretizedLogistic, new).__init__(torch.Size(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _validate_sample(self, value: Tensor) -> None:
        try:
            super()._validate_sample(value)
        except ValueError:
            inside = self.support.check(value)
            if inside.all():
                raise  # a wrong shape
            top = self.levels - 1
            raise ValueError(
                f"The value {value[~inside][0].item():g} is not on the grid {{0, 1/{top}, ..., 1}} "
                f"of {self.levels} levels; quantized pixels in [0, 1] were expected. "
                f"Use (x * {top}).round() / {top}, or the right number of levels."
            ) from None

    def _inverse_scale(self) -> Tensor:
        # 1/s must not overflow: inf * 0 in the backward pass is NaN.
        bound = 0.75 * math.log(torch.finfo(self.log_scale.dtype).max)
        return torch.exp(-self.log_scale.clamp(-bound, bound))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log P(value), in nats, the shape of ``value`` broadcast against the batch shape.

        Exact in the tails: with a and b the logits of F at the edges of the bin,
        sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), a sum of logs in which
        nothing cancels.
        """
        if self._validate_args:
            self._validate_sample(value)
        top = self.levels - 1
        level = torch.round(value * top)
        inverse_scale = self._inverse_scale()
        below_upper = _log_sigmoid(((level + 0.5) / top - self.loc) * inverse_scale)
        above_lower = _log_sigmoid((self.loc - (level - 0.5) / top) * inverse_scale)
        width = torch.log(-torch.expm1(-inverse_scale / top))
        inner = below_upper + above_lower + width
        return torch.where(level <= 0, below_upper, torch.where(level >= top, above_lower, inner))

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        u = torch.rand(
            self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device
        )
        x = self.loc + torch.logit(u) / self._inverse_scale()
        top = self.levels - 1
        return (x.clamp(0, 1) * top).round() / top

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return the grid, ``[levels, 1, ..., 1]``, or ``[levels, *batch]`` if ``expand``."""
        top = self.levels - 1
        grid = torch.arange(self.levels, dtype=self.loc.dtype, device=self.loc.device) / top
        grid = grid.reshape(-1, *(1 for _ in self.batch_shape))
        return grid.expand(-1, *self.batch_shape) if expand else grid

    @property
    def mean(self) -> Tensor:
        """The exact mean, one pass per level (no memory per level unless gradients are on)."""
        top = self.levels - 1
        inverse_scale = self._inverse_scale()
        total = torch.zeros_like(self.loc)
        for k in range(1, self.levels):  # E[K] = sum_k P(K >= k)
            total = total + torch.sigmoid((self.loc - (k - 0.5) / top) * inverse_scale)
        return total / top

    @property
    def variance(self) -> Tensor:
        """The exact variance, one pass per level."""
        top = self.levels - 1
        inverse_scale = self._inverse_scale()
        # Moments about the level nearest to loc, so that a small variance is not a difference
        # of large numbers: K - c = sum_{k > c} [K >= k] - sum_{k <= c} [K < k].
        center = torch.round(self.loc.detach().clamp(0, 1) * top)
        first, second = torch.zeros_like(self.loc), torch.zeros_like(self.loc)
        for k in range(1, self.levels):
            sign = torch.where(k > center, 1.0, -1.0).to(self.loc.dtype)
            tail = torch.sigmoid(sign * (self.loc - (k - 0.5) / top) * inverse_scale)
            first = first + sign * tail
            second = second + (2 * (k - center) - 1).abs() * tail
        return (second - first.square()) / top**2


class ContinuousBernoulli(Distribution):
    """The density on [0, 1] proportional to exp(logits x) (Loaiza-Ganem & Cunningham, 2019).

    The same density as ``torch.distributions.ContinuousBernoulli(logits=...)``, which in float32
    is not fit for training: it clamps probabilities to [1e-7, 1 - 1e-7] in the constant but not
    in the exponent, so that at logits = +-40 its density integrates to 0.4 (black pixels of
    MNIST go there), and near logits = 0 its constant loses its digits (at 0.006 the "variance"
    is -0.3). Here everything is a function of the logits and right to rounding for any of them.

    Args:
        logits: log(lambda / (1 - lambda)), any shape and any real value.
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012
    support = constraints.unit_interval
    # Below it, series in the logits; above it, closed forms. Both are right to rounding there.
    _small = 0.25

    def __init__(self, logits: Tensor | float, validate_args: bool | None = None) -> None:
        (self.logits,) = _parameters(logits)
        super().__init__(self.logits.shape, validate_args=validate_args)

    def expand(
        self, batch_shape: torch.Size, _instance: Distribution | None = None
    ) -> ContinuousBernoulli:
        new = self._get_checked_instance(ContinuousBernoulli, _instance)
        new.logits = self.logits.expand(batch_shape)
        super(ContinuousBernoulli, new).__init__(torch.Size(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _split(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return where |logits| is small, logits there and |logits| elsewhere, and the signs.

        Each branch sees a harmless value where the other one is taken: a NaN in an untaken branch
        would poison the gradient.
        """
        size = self.logits.abs()
        small = size < self._small
        return (
            small,
            torch.where(small, self.logits, torch.zeros_like(size)),
            torch.where(small, torch.ones_like(size), size),
            torch.sign(self.logits),
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, in nats (of a density: it may be positive)."""
        if self._validate_args:
            self._validate_sample(value)
        small, near, far, sign = self._split()
        # For |logits| = a, the density is a / (1 - exp(-a)) exp(-a d), d the distance to the
        # likelier end. Below: log((exp(l) - 1) / l) = l/2 + l^2/24 - l^4/2880 + ...
        distance = torch.where(sign > 0, 1 - value, value)
        closed = torch.log(far) - torch.log(-torch.expm1(-far)) - far * distance
        square = near.square()
        series = 1 / 24 - square * (
            1 / 2880 - square * (1 / 181440 - square * (1 / 9676800 - square / 479001600))
        )
        return torch.where(small, near * (value - 0.5) - square * series, closed)

    @property
    def mean(self) -> Tensor:
        small, near, far, sign = self._split()
        closed = 0.5 + sign * (1 / -torch.expm1(-far) - 0.5 - 1 / far)
        square = near.square()
        series = 1 / 12 - square * (
            1 / 720 - square * (1 / 30240 - square * (1 / 1209600 - square / 47900160))
        )
        return torch.where(small, 0.5 + near * series, closed)

    @property
    def variance(self) -> Tensor:
        small, near, far, _ = self._split()
        closed = 1 / far.square() - torch.exp(-far) / torch.expm1(-far).square()
        square = near.square()
        series = 1 / 12 - square * (
            1 / 240 - square * (1 / 6048 - square * (1 / 172800 - square * (9 / 47900160)))
        )
        return torch.where(small, series, closed)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        u = torch.rand(
            self._extended_shape(sample_shape), dtype=self.logits.dtype, device=self.logits.device
        )
        # The inverse CDF of the distance to the likelier end; at tiny logits it is u itself.
        size = self.logits.abs()
        rate = size.clamp(min=1e-20)
        distance = (torch.log1p(u * torch.expm1(-rate)) / -rate).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - distance, distance)


class NormalMixture(MixtureSameFamily):
    """A mixture of diagonal normals, its density by matrix products.

    The same distribution as ``MixtureSameFamily`` of ``Independent(Normal, 1)``, which makes a
    tensor of every value against every component and dimension; here nothing larger than values
    times components is made, which takes a tenth of the time for a hundred components.

    Args:
        logits: of the components, ``[M]``.
        means: ``[M, L]``.
        log_scales: log standard deviations, ``[M, L]``.
    """

    def __init__(self, logits: Tensor, means: Tensor, log_scales: Tensor) -> None:
        if means.dim() != 2 or log_scales.shape != means.shape or logits.shape != means.shape[:1]:
            raise ValueError(
                f"logits {list(logits.shape)}, means {list(means.shape)} and log_scales "
                f"{list(log_scales.shape)} do not fit; [M], [M, L] and [M, L] were expected."
            )
        self._log_scales = log_scales
        super().__init__(
            Categorical(logits=logits, validate_args=False),
            Independent(Normal(means, log_scales.exp(), validate_args=False), 1),
            validate_args=False,
        )

    def log_joint(self, value: Tensor) -> Tensor:
        """Return log p(c) + log p(value|c) of every component c, ``[..., M]``, ``value: [..., L]``.

        From sum_l (z_l - m_l)^2 / s_l^2 = z^2 . s^-2 - 2 z . (m s^-2) + m^2 . s^-2. Values and
        parameters of different precision meet in the higher one.
        """
        given = self.component_distribution.mean, self._log_scales, self.mixture_distribution.logits
        dtype = torch.promote_types(value.dtype, self._log_scales.dtype)
        value, means, log_scales, logits = (t.to(dtype) for t in (value, *given))
        # The three terms are large and cancel: the products must not be taken in 16 bits.
        with torch.autocast(value.device.type, enabled=False):
            precision = torch.exp(-2 * log_scales)
            constant = (
                logits
                - log_scales.sum(-1)
                - 0.5 * (means.square() * precision).sum(-1)
                - 0.5 * means.shape[-1] * math.log(2 * math.pi)
            )
            return constant + value @ (means * precision).T - 0.5 * value.square() @ precision.T

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of ``value: [..., L]``, ``[...]`` in nats."""
        return torch.logsumexp(self.log_joint(value), -1)
