"""Models whose evidence, posterior and best q are exact, to hold every identity against.

An oracle obeys the contract of every model in the house: ``prior()``, ``posterior(x)`` and
``likelihood(z)`` return distributions with their event axes declared. Its data are vectors
``x: [B, D]`` instead of images, and everything is computed in float64. Parameters that require a
gradient keep it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

__all__ = ["DiscreteLatent", "LinearGaussian", "WithPosterior"]


def _parameter(name: str, value: object, shape: str, dims: int) -> Tensor:
    """Return a parameter as a finite float64 tensor with the right number of axes, or raise."""
    tensor = torch.as_tensor(value, dtype=torch.float64)
    if tensor.dim() != dims or tensor.numel() == 0:
        raise ValueError(
            f"{name} has shape {list(tensor.shape)}; a non-empty {shape} was expected."
        )
    if not tensor.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinity; finite values were expected.")
    return tensor


def _rows(name: str, value: Tensor, size: int, what: str) -> Tensor:
    """Return ``value`` in float64; raise unless it is a tensor ``[..., size]``."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; a torch tensor was expected.")
    if value.dim() == 0 or value.shape[-1] != size:
        raise ValueError(
            f"{name} has shape {list(value.shape)}; [..., {size}] was expected, "
            f"because this oracle has {size} {what}."
        )
    return value.to(torch.float64)


class LinearGaussian:
    """Probabilistic PCA (Tipping & Bishop, 1999): z ~ N(0, I_L), x | z ~ N(W z + b, sigma^2 I_D).

    Args:
        weight: W ``[D, L]``.
        bias: b ``[D]``.
        sigma: standard deviation of the pixel noise, one number above 0.
    """

    def __init__(self, weight: Tensor, bias: Tensor, sigma: float | Tensor) -> None:
        self.weight = _parameter("weight", weight, "matrix [D, L]", 2)
        self.bias = _parameter("bias", bias, "vector [D]", 1).to(self.weight.device)
        self.sigma = _parameter("sigma", sigma, "number", 0).to(self.weight.device)
        self.num_pixels, self.latent_dim = self.weight.shape
        if self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"bias has shape {list(self.bias.shape)}; [{self.num_pixels}] was expected, "
                "one value per row of weight."
            )
        if self.sigma <= 0:
            raise ValueError(
                f"sigma is {self.sigma.item():g}; a standard deviation above 0 was expected."
            )

    @classmethod
    def example(cls, seed: int = 0, *, num_pixels: int = 4, latent_dim: int = 2) -> LinearGaussian:
        """Return a model small enough to integrate, with correlated latents in the posterior."""
        generator = torch.Generator().manual_seed(seed)
        # A direction shared by all latents makes them compete to explain the same pixels.
        weight, shared = (
            torch.randn(num_pixels, n, generator=generator, dtype=torch.float64)
            for n in (latent_dim, 1)
        )
        bias = torch.randn(num_pixels, generator=generator, dtype=torch.float64)
        return cls(0.5 * weight + shared, bias, 0.7)

    def _precision(self) -> Tensor:
        """The precision ``[L, L]`` of z | x, the same for every x: I + W^T W / sigma^2."""
        identity = torch.eye(self.latent_dim, dtype=torch.float64, device=self.weight.device)
        return identity + self.weight.T @ self.weight / self.sigma**2

    def _posterior_mean(self, x: Tensor) -> Tensor:
        projected = (x - self.bias) @ self.weight / self.sigma**2
        rows = projected.reshape(-1, self.latent_dim)  # one factorization for all of them
        return torch.linalg.solve(self._precision(), rows, left=False).reshape(projected.shape)

    def prior(self) -> Independent:
        """p(z): batch ``[]``, event ``[L]``."""
        zero = torch.zeros(self.latent_dim, dtype=torch.float64, device=self.weight.device)
        return Independent(Normal(zero, torch.ones_like(zero)), 1)

    def likelihood(self, z: Tensor) -> Independent:
        """p(x | z) for ``z: [..., L]``: batch ``[...]``, event ``[D]``."""
        z = _rows("z", z, self.latent_dim, "latents")
        return Independent(Normal(z @ self.weight.T + self.bias, self.sigma), 1)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """The exact p(z | x) for ``x: [B, D]``: batch ``[B]``, event ``[L]``."""
        x = _rows("x", x, self.num_pixels, "pixels")
        return MultivariateNormal(self._posterior_mean(x), precision_matrix=self._precision())

    def evidence(self) -> LowRankMultivariateNormal:
        """p(x) = N(b, W W^T + sigma^2 I): batch ``[]``, event ``[D]``."""
        noise = (self.sigma**2).expand(self.num_pixels)
        return LowRankMultivariateNormal(self.bias, self.weight, noise)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x), ``[B]`` in nats, for ``x: [B, D]``."""
        return self.evidence().log_prob(_rows("x", x, self.num_pixels, "pixels"))

    def best_diagonal(self, x: Tensor) -> Independent:
        """The diagonal normal q that minimizes KL(q || p(z|x)): batch ``[B]``, event ``[L]``.

        It has the posterior's mean and the inverses of the diagonal of its *precision* as
        variances (Bishop, "Pattern Recognition and Machine Learning", section 10.1.2), so it is
        narrower than the posterior's own marginals.
        """
        x = _rows("x", x, self.num_pixels, "pixels")
        return Independent(Normal(self._posterior_mean(x), self._precision().diag().rsqrt()), 1)

    def mean_field_gap(self) -> Tensor:
        """KL(best_diagonal(x) || p(z|x)) in nats, a scalar: it is the same for every x.

        1/2 (sum_l log P_ll - log det P) with P the posterior's precision. No diagonal q brings
        the ELBO nearer to log p(x) than this.
        """
        precision = self._precision()
        return 0.5 * (precision.diag().log().sum() - torch.logdet(precision))

    def elbo(self, x: Tensor, q: Distribution) -> Tensor:
        """The exact ELBO of a normal q, ``[B]`` in nats.

        Args:
            x: ``[B, D]``.
            q: ``MultivariateNormal`` or ``Independent(Normal, 1)``, batch ``[B]``, event ``[L]``.
        """
        x = _rows("x", x, self.num_pixels, "pixels")
        mean, covariance = self._moments(q)
        log_px_z = self.likelihood(mean).log_prob(x)
        spread = torch.einsum("dl,...lm,dm->...", self.weight, covariance, self.weight)
        prior = MultivariateNormal(torch.zeros_like(mean[0]), torch.eye(mean.shape[-1]).to(mean))
        rate = kl_divergence(MultivariateNormal(mean, covariance), prior)
        return log_px_z - 0.5 * spread / self.sigma**2 - rate

    def _moments(self, q: Distribution) -> tuple[Tensor, Tensor]:
        """Return the mean ``[B, L]`` and covariance ``[B, L, L]`` of a normal q."""
        if isinstance(q, MultivariateNormal):
            covariance = q.covariance_matrix
        elif isinstance(q, Independent) and isinstance(q.base_dist, Normal):
            covariance = torch.diag_embed(q.variance)
        else:
            raise TypeError(
                f"q is a {type(q).__name__}; MultivariateNormal or Independent(Normal, 1) was "
                "expected, because expectations under other q are not in closed form."
            )
        if len(q.batch_shape) != 1 or q.event_shape != (self.latent_dim,):
            raise ValueError(
                f"q has batch shape {list(q.batch_shape)} and event shape {list(q.event_shape)}; "
                f"[B] and [{self.latent_dim}] were expected."
            )
        return q.mean.double(), covariance.double()

    def sample(self, n: int) -> Tensor:
        """Draw n vectors x from the model, ``[n, D]``."""
        return self.likelihood(self.prior().sample((n,))).sample()

    def e_step(self, x: Tensor) -> MultivariateNormal:
        """The q that maximizes the ELBO for these parameters: the posterior."""
        return self.posterior(x)

    def m_step(self, x: Tensor, q: Distribution) -> LinearGaussian:
        """The parameters (W, b, sigma) that together maximize the summed ELBO for this q.

        A linear regression of x on z, with the moments of q for those of z: Tipping & Bishop
        (1999, equations 27 and 28), where the bias is fixed at the mean of the data instead. Any
        normal q will do, so mean-field EM is ``m_step(x, best_diagonal(x))``.
        """
        x = _rows("x", x, self.num_pixels, "pixels")
        mean, covariance = self._moments(q)
        ones = torch.ones_like(mean[:, :1])
        inputs = torch.cat([mean, ones], 1)  # the bias is the weight of a latent that is always 1
        second_moment = inputs.T @ inputs
        second_moment[:-1, :-1] += covariance.sum(0)
        solution = torch.linalg.solve(second_moment, inputs.T @ x).T
        weight, bias = solution[:, :-1], solution[:, -1]
        residual = (x - mean @ weight.T - bias).square().sum()
        spread = torch.einsum("dl,nlm,dm->", weight, covariance, weight)
        return LinearGaussian(weight, bias, ((residual + spread) / x.numel()).sqrt())

    def em_step(self, x: Tensor) -> LinearGaussian:
        """One E step and one M step; the summed log evidence never decreases."""
        return self.m_step(x, self.e_step(x))

    @classmethod
    def maximum_likelihood(cls, x: Tensor, latent_dim: int) -> LinearGaussian:
        """The parameters with the highest likelihood, in closed form, where EM must arrive.

        Tipping & Bishop (1999), equations 7 and 8: principal axes of the data, and the mean of
        the discarded eigenvalues as sigma^2. W is unique up to a rotation of z.

        Args:
            x: ``[N, D]``.
            latent_dim: L, with 1 <= L < D.
        """
        x = torch.as_tensor(x, dtype=torch.float64)
        if x.dim() != 2 or not 1 <= latent_dim < x.shape[1]:
            raise ValueError(
                f"x has shape {list(x.shape)} and latent_dim is {latent_dim}; [N, D] and "
                "1 <= latent_dim < D were expected."
            )
        bias = x.mean(0)
        centered = x - bias
        values, vectors = torch.linalg.eigh(centered.T @ centered / len(x))  # ascending
        noise = values[:-latent_dim].mean()
        scale = (values[-latent_dim:] - noise).clamp(min=0).sqrt()
        return cls(vectors[:, -latent_dim:] * scale, bias, noise.clamp(min=0).sqrt())


class DiscreteLatent:
    """A mixture of K Bernoulli patterns: z in {0, ..., K-1}, x | z=k ~ Bernoulli(pixel_probs[k]).

    The latent is an integer index, a tensor of int64 without an event axis: the prior has batch
    ``[]`` and event ``[]``, and a draw for B examples is ``z: [B]``.

    Args:
        prior_probs: p(z=k), ``[K]``, summing to 1.
        pixel_probs: p(x_d = 1 | z=k), ``[K, D]``, in [0, 1]. Both kinds of probability are kept
            within 2.2e-16 of 0 and 1, so that every binary image has a finite log-probability.
    """

    def __init__(self, prior_probs: Tensor, pixel_probs: Tensor) -> None:
        pixel_probs = _parameter("pixel_probs", pixel_probs, "matrix [K, D]", 2)
        prior_probs = _parameter("prior_probs", prior_probs, "vector [K]", 1)
        self.num_states, self.num_pixels = pixel_probs.shape
        if prior_probs.shape != pixel_probs.shape[:1]:
            raise ValueError(
                f"prior_probs has shape {list(prior_probs.shape)}; [{self.num_states}] was "
                "expected, one value per row of pixel_probs."
            )
        total = prior_probs.sum().item()
        if (prior_probs < 0).any() or abs(total - 1) > 1e-6:
            raise ValueError(
                f"prior_probs sums to {total:g} with smallest value {prior_probs.min().item():g}; "
                "probabilities that sum to 1 were expected. Divide them by their sum."
            )
        if (pixel_probs < 0).any() or (pixel_probs > 1).any():
            raise ValueError(
                f"pixel_probs goes from {pixel_probs.min().item():g} to "
                f"{pixel_probs.max().item():g}; probabilities in [0, 1] were expected. "
                "Apply sigmoid to logits first."
            )
        eps = torch.finfo(torch.float64).eps
        self.prior_probs = prior_probs.to(pixel_probs.device) / total
        self.pixel_probs = pixel_probs.clamp(eps, 1 - eps)

    @classmethod
    def example(cls, seed: int = 0, *, num_states: int = 3, num_pixels: int = 6) -> DiscreteLatent:
        """Return a model small enough to enumerate (64 images) whose patterns overlap."""
        generator = torch.Generator().manual_seed(seed)
        prior = torch.rand(num_states, generator=generator, dtype=torch.float64) + 0.5
        logits = 1.5 * torch.randn(num_states, num_pixels, generator=generator, dtype=torch.float64)
        return cls(prior / prior.sum(), logits.sigmoid())

    def prior(self) -> Categorical:
        """p(z): batch ``[]``, event ``[]``."""
        return Categorical(probs=self.prior_probs)

    def likelihood(self, z: Tensor) -> Independent:
        """p(x | z) for integers ``z: [...]``: batch ``[...]``, event ``[D]``."""
        if not isinstance(z, Tensor) or z.is_floating_point() or z.dtype == torch.bool:
            kind = z.dtype if isinstance(z, Tensor) else type(z).__name__
            raise TypeError(
                f"z is {kind}; a tensor of integers, the index of the state, was expected."
            )
        if ((z < 0) | (z >= self.num_states)).any():
            raise ValueError(
                f"z goes from {z.min().item()} to {z.max().item()}; "
                f"states from 0 to {self.num_states - 1} were expected."
            )
        return Independent(Bernoulli(probs=self.pixel_probs[z.long()]), 1)

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, z=k) for every state, ``[..., K]`` in nats, for binary ``x: [..., D]``."""
        x = self._binary(x)
        on, off = self.pixel_probs.log(), torch.log1p(-self.pixel_probs)
        return self.prior().logits + x @ on.T + (1 - x) @ off.T

    def _binary(self, x: Tensor) -> Tensor:
        x = _rows("x", x, self.num_pixels, "pixels")
        if not ((x == 0) | (x == 1)).all():
            raise ValueError(
                "x has values other than 0 and 1; binary pixels were expected. "
                "Binarize it first, for example with course_lib.data.binarize(x)."
            )
        return x

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x), ``[B]`` in nats, by summing over the K states."""
        return self.log_joint(x).logsumexp(-1)

    def posterior(self, x: Tensor) -> Categorical:
        """The exact p(z | x) for ``x: [B, D]``: batch ``[B]``, event ``[]``."""
        return Categorical(logits=self.log_joint(x))

    def elbo(self, x: Tensor, q: Categorical | Tensor) -> Tensor:
        """The exact ELBO of any q, ``[B]`` in nats, by summing over the K states.

        Args:
            x: ``[B, D]``.
            q: q(z | x): ``Categorical`` with batch ``[B]``, or its probabilities ``[B, K]``, which
                may hold zeros.
        """
        probs = self._responsibilities(q)
        # xlogy gives 0 log 0 = 0.
        return (probs * self.log_joint(x) - torch.special.xlogy(probs, probs)).sum(-1)

    def _responsibilities(self, q: Categorical | Tensor) -> Tensor:
        """Return q's probabilities ``[..., K]`` in float64."""
        probs = q.probs if isinstance(q, Categorical) else q
        probs = _rows("q", probs, self.num_states, "states")
        if (probs < 0).any() or ((probs.sum(-1) - 1).abs() > 1e-6).any():
            raise ValueError(
                "q has rows that are not probabilities; values from 0 up that sum to 1 over the "
                "last axis were expected. Apply softmax to logits first."
            )
        return probs

    def sample(self, n: int) -> Tensor:
        """Draw n binary vectors x from the model, ``[n, D]``."""
        return self.likelihood(self.prior().sample((n,))).sample()

    def e_step(self, x: Tensor) -> Categorical:
        """The q that maximizes the ELBO for these parameters: the posterior."""
        return self.posterior(x)

    def m_step(self, x: Tensor, q: Categorical | Tensor) -> DiscreteLatent:
        """The parameters that maximize the summed ELBO for this q: weighted averages of x.

        Args:
            x: binary ``[N, D]``.
            q: the responsibilities, ``Categorical`` with batch ``[N]``, or ``[N, K]``. A state for
                which no example is responsible keeps its pattern.
        """
        x, probs = self._binary(x), self._responsibilities(q)
        if x.dim() != 2 or probs.shape != (len(x), self.num_states):
            raise ValueError(
                f"x has shape {list(x.shape)} and q {list(probs.shape)}; [N, {self.num_pixels}] "
                f"and [N, {self.num_states}] with the same N were expected."
            )
        count = probs.sum(0)
        pattern = (probs.T @ x) / count.clamp(min=torch.finfo(count.dtype).tiny).unsqueeze(-1)
        pattern = torch.where(count.unsqueeze(-1) > 0, pattern.clamp(0, 1), self.pixel_probs)
        return DiscreteLatent(count / count.sum(), pattern)

    def em_step(self, x: Tensor) -> DiscreteLatent:
        """One E step and one M step; the summed log evidence never decreases."""
        return self.m_step(x, self.e_step(x))


class WithPosterior:
    """The same model with another q(z|x), so that its bounds can be loose.

    Prior, likelihood, ``log_evidence`` and everything else are the model's own.

    Args:
        model: any model of the house.
        posterior_fn: takes what ``posterior`` takes (x, and any context) and returns q(z|x) with
            its event axes declared.
    """

    def __init__(self, model: Any, posterior_fn: Callable[..., Distribution]) -> None:
        if not callable(posterior_fn):
            raise TypeError(
                f"posterior_fn is a {type(posterior_fn).__name__}; a function of x that returns "
                "a distribution was expected, such as model.best_diagonal."
            )
        self.model = model
        self.posterior_fn = posterior_fn

    def posterior(self, x: Tensor, *context: Any) -> Distribution:
        """q(z|x) of ``posterior_fn``."""
        return self.posterior_fn(x, *context)

    def __getattr__(self, name: str) -> Any:
        # Only reached where the instance has no such attribute. Copying and pickling ask for
        # attributes before ``model`` is there, which would recurse.
        if name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)
