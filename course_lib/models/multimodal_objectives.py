"""Objectives that train a :class:`MultimodalVAE` for every subset of its modalities.

Each is an ``objective(model, x, *context)`` for :func:`course_lib.training.fit` and returns
``bounds.Terms`` per example. ``bounds.terms`` itself trains the joint posterior of a product alone.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from course_lib import bounds
from course_lib.errors import check_whole
from course_lib.models.multimodal import MultimodalVAE

__all__ = ["stratified_terms", "subset_terms"]


def subset_terms(num_random: int = 1, targets: str = "own") -> Callable[..., bounds.Terms]:
    """Return an objective: the mean over subsets S of an ELBO with q(z|x_S).

    The subsets are all modalities together, each one alone, and ``num_random`` others, drawn anew
    at every step. That is MVAE's way to train the single experts of a product, which the joint ELBO
    leaves undetermined.

    Args:
        num_random: how many other subsets; where there are none (two modalities), none is drawn.
        targets: ``"own"`` as in the paper: q(z|x_S) must explain x_S, and each term is a bound on
            log p(x_S). ``"all"``: it must explain all modalities, and each term is a bound on
            log p(x_1, ..., x_M); this asks for cross generation in training.

    Returns:
        ``objective(model, x, *context, mask=None)``; their mean is no bound on the joint evidence
        with ``"own"``, and one with ``"all"``.

    Source: Wu & Goodman 2018 (arXiv 1802.05335), the sub-sampled training of section 2, where the
    bounds are added up.
    """
    num_random = check_whole(num_random, "num_random", 0)
    if targets not in ("own", "all"):
        raise ValueError(f"targets is {targets!r}; 'own' or 'all' was expected.")

    def objective(
        model: MultimodalVAE, x: Tensor, *context: Tensor, mask: Tensor | None = None
    ) -> bounds.Terms:
        if model.experts != "product":
            raise ValueError(
                f"The experts are joined by a {model.experts.replace('_', ' ')}, from which no "
                "gradient can be had draw by draw; use stratified_terms, or a product."
            )
        parts, there = model.check((x, *context), mask)
        mus, logvars, there = model.encode_each(*parts, mask=there)
        subsets = _choose(len(parts), num_random)
        posteriors = []
        for subset in subsets:
            inside = torch.zeros_like(there)
            inside[subset] = there[subset]
            posteriors.append(model.join(mus, logvars, inside))
        z = torch.stack([q.rsample() for q in posteriors])  # [S, B, L]
        rate = torch.stack([kl_divergence(q, model.prior()) for q in posteriors])
        distortion = torch.zeros_like(rate)
        for m, part in enumerate(parts):
            if part is not None:
                rows = [i for i, subset in enumerate(subsets) if targets == "all" or m in subset]
                p = model.modalities[model.names[m]].likelihood(z[rows])
                log_p = torch.where(there[m], p.log_prob(part), 0.0)
                index = torch.tensor(rows, device=z.device)
                distortion = distortion.index_add(0, index, -log_p.to(rate.dtype))
        return bounds.Terms(distortion.mean(0), rate.mean(0))

    return objective


def stratified_terms(
    model: MultimodalVAE, x: Tensor, *context: Tensor, mask: Tensor | None = None
) -> bounds.Terms:
    """Return the ELBO's terms for a mixture q, with one reparameterized draw of each component.

    With weights w_s, E_q[f] = sum_s w_s E_{q_s}[f]: the choice of the component, which has no
    gradient, is summed out, and the estimate varies less. Unbiased for the ELBO of the mixture:
    log q(z|...) is that of the whole mixture, not of the component that z came from.

    Source: Shi et al. 2019 (arXiv 1911.03393), section 3; Morningstar et al. 2021
    (arXiv 2003.01687).
    """
    experts = model.encode_each(x, *context, mask=mask)
    mus, logvars, logits = model.components(*experts)
    z = mus + torch.exp(0.5 * logvars) * torch.randn_like(mus)  # [S, B, L]
    weights = torch.softmax(logits, 0)
    log_px_z = model.likelihood(z, *context, mask=mask).log_prob(x)
    log_ratio = model.join(*experts).log_prob(z) - model.prior().log_prob(z)
    return bounds.Terms(-(weights * log_px_z).sum(0), (weights * log_ratio).sum(0))


def _choose(count: int, num_random: int) -> list[list[int]]:
    """All of ``count`` modalities, each alone, and some of the other subsets at random."""
    every = list(range(count))
    others = [list(s) for size in every[2:] for s in combinations(every, size)]
    drawn = torch.randperm(len(others))[:num_random].tolist()
    singles = [[m] for m in every] if count > 1 else []
    return [every, *singles, *(others[i] for i in drawn)]
