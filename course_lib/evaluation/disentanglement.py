"""Which latent says what about which true factor: mutual information, MIG, DCI, total correlation.

The scores ask whether each factor has a latent of its own. They need the true factors, so they
can be had for drawn data such as ``strokes`` only, and they depend on which factors are asked
about and on how these are parameterized. Everything is in nats unless it says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib import bounds
from course_lib.bounds_objectives import RateParts, kl_per_latent
from course_lib.errors import (
    check_examples,
    check_model,
    check_number,
    check_rows,
    check_seed,
    check_whole,
)
from course_lib.evaluation.likelihood import device_of

__all__ = [
    "DCI",
    "average_rate_parts",
    "dci",
    "mig",
    "mutual_information",
    "mutual_information_gap",
]

_BLOCK = 1 << 22  # float64 values in one block of average_rate_parts: 32 MB


def mutual_information(
    codes: Tensor, factors: Mapping[str, Tensor], bins: int = 20
) -> tuple[Tensor, Tensor]:
    """Return I(z_l; v_f) of each latent and factor, and H(v_f), from binned values, in nats.

    Codes and factors of floats are put into ``bins`` bins of equal count, so that the result does
    not change when a latent is stretched or bent, and hardly when it is turned around: values on an
    edge then go to the other side. Where there are at most ``bins`` different values each is a bin
    of its own, however rare; factors of whole numbers are taken as classes.

    A table of N pairs over a × b cells overestimates the information by about
    (a - 1)(b - 1) / (2 N) nats where the two are independent: 0.018 for 20 × 20 bins and 10,000
    examples, 1.8 for 100. Take fewer bins where there are few examples.

    Binning ranks a latent by its order alone. The posterior *means* of a latent that is switched
    off still differ in the tenth digit, and order is all that counts: so hand in draws of the
    posteriors, whose noise hides what the latent does not say.

    Args:
        codes: ``[N, L]`` floats, such as draws ``model.posterior(x).sample()``.
        factors: name to ``[N]``, floats or whole numbers.
        bins: 2 or more.

    Returns:
        ``mi: [L, F]`` and ``entropy: [F]``, float64, factors in the order of the mapping.

    Raises:
        TypeError, ValueError: not as said, NaN, or a factor with one value only.

    Source: Chen et al. 2018 (arXiv 1802.04942), section 4; with bins as in Locatello et al. 2019
    (arXiv 1811.12359), appendix C.
    """
    values, table = _check(codes, factors)
    bins = check_whole(bins, "bins", 2)
    binned = [_bin(column, bins) for column in values.T]
    classes = [_bin(v, bins) if v.dtype.kind == "f" else _number(v) for v in table.values()]
    mi = [[_information(z, v) for v in classes] for z in binned]
    entropy = [_information(v, v) for v in classes]
    return torch.tensor(mi, dtype=torch.float64), torch.tensor(entropy, dtype=torch.float64)


def mutual_information_gap(mi: Tensor, entropy: Tensor) -> float:
    """Return the mean over the factors of (largest - second largest information) / entropy.

    1 where one latent knows a factor completely and no other knows anything of it, for every
    factor; 0 where two latents know equally much.

    Args:
        mi: I(z_l; v_f), ``[L, F]`` with two latents or more.
        entropy: H(v_f), ``[F]``, above 0.

    Source: Chen et al. 2018 (arXiv 1802.04942), eq. 6.
    """
    if mi.dim() != 2 or len(mi) < 2 or entropy.shape != mi.shape[1:] or mi.numel() == 0:
        raise ValueError(
            f"mi has shape {list(mi.shape)} and entropy {list(entropy.shape)}; [L, F] with two "
            "latents or more and [F] were expected, since the gap is one between two latents."
        )
    if not (entropy > 0).all():
        raise ValueError(
            "entropy holds a value that is not above 0; such a factor never changes, "
            "or falls into one bin."
        )
    first, second = mi.topk(2, dim=0).values
    return ((first - second) / entropy).mean().item()


def mig(codes: Tensor, factors: Mapping[str, Tensor], bins: int = 20) -> float:
    """Return the mutual information gap of codes ``[N, L]``; see :func:`mutual_information`."""
    return mutual_information_gap(*mutual_information(codes, factors, bins))


@dataclass(frozen=True)
class DCI:
    """The three scores of :func:`dci`, each 1 at best, and what they were computed from.

    Attributes:
        disentanglement: does a latent matter to one factor only? A mean over the latents, each
            weighted by how much it matters at all.
        completeness: does a factor need one latent only? A mean over the factors.
        informativeness: how well all latents together foretell the factors of held-out rows, the
            mean of ``scores``.
        importance: how much each latent matters for each factor, ``[L, F]``, columns sum to 1
            (or to 0 for a factor that no latent foretells).
        scores: of each factor, ``[F]``: R² for floats, for classes the accuracy on the scale where
            0 is the commonest class and 1 is always right.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Tensor
    scores: Tensor

    def __str__(self) -> str:
        return (
            f"D {self.disentanglement:.2f}, C {self.completeness:.2f}, I {self.informativeness:.2f}"
        )


def dci(
    codes: Tensor,
    factors: Mapping[str, Tensor],
    *,
    test_share: float = 0.3,
    trees: int = 20,
    seed: int = 0,
) -> DCI:
    """Return disentanglement, completeness and informativeness of codes, by random forests.

    A forest learns each factor from all latents on one part of the rows. What it gains from splits
    at a latent is that latent's importance, and what it gets right on the other part is the
    informativeness. Importances say something only where this is well above 0.

    Args:
        codes: ``[N, L]`` floats.
        factors: name to ``[N]``, floats or whole numbers (classes).
        test_share: of the rows, for the informativeness.
        trees: in each forest.
        seed: of the split and the forests; the session's random state is left alone.

    Source: Eastwood & Williams 2018 (ICLR, "A framework for the quantitative evaluation of
    disentangled representations"), section 2; they use the lasso beside forests.
    """
    values, table = _check(codes, factors)
    test_share = check_number(test_share, "test_share", lambda s: 0 < s < 1, "a share below 1")
    trees, seed = check_whole(trees, "trees"), check_seed(seed)
    order = np.random.default_rng(seed % 2**63).permutation(len(values))
    held_out = max(1, round(test_share * len(values)))
    if len(values) - held_out < 2:
        raise ValueError(f"{len(values)} rows are too few to learn from some and test on others.")
    test, train = order[:held_out], order[held_out:]
    columns, scores = [], []
    for v in table.values():
        columns.append(_forest(values[train], v[train], trees, seed))
        scores.append(_score(columns[-1].predict(values[test]), v[test], v[train]))
    importance = np.stack([forest.feature_importances_ for forest in columns], axis=1)
    weight = importance.sum(1) / max(importance.sum(), 1e-300)
    return DCI(
        disentanglement=float((weight * (1 - _entropy(importance))).sum()),
        completeness=float((1 - _entropy(importance.T)).mean()),
        informativeness=float(np.mean(scores)),
        importance=torch.from_numpy(importance),
        scores=torch.tensor(scores, dtype=torch.float64),
    )


@torch.no_grad()
def average_rate_parts(model, x: Tensor, *context: Tensor, seed: int = 0) -> RateParts:
    """Return mutual information, total correlation and dimension-wise KL of each image, ``[N]``.

    One draw of each posterior; the aggregate q(z) is that of all N images, so nothing is estimated
    from batches. The averages estimate the three KL divergences for these N images. The mutual
    information cannot exceed log N, and near it there are too few images to see q(z): the total
    correlation is then too large.

    Args:
        model: one whose posterior and prior are products over the latents.
        x: held-out images ``[N, C, H, W]`` on any device.
        context: what the model is conditioned on.
        seed: of the draws; the session's random state is left alone.

    Returns:
        float64 on the CPU. The time grows with N² L: 2,000 images and 10 latents take a second.

    Source: Chen et al. 2018 (arXiv 1802.04942), eq. 2.
    """
    check_model(model, len(context))
    seed = check_seed(seed)
    check_examples(x)
    check_rows(context, len(x), "x")
    device = device_of(model, x)
    x, *context = (t.to(device) for t in (x, *context))
    q, p = model.posterior(x, *context), model.prior(*context)
    kl_per_latent(q, p)  # raises where one of them is no product over its latents
    mu, std = q.base_dist.mean.double().cpu(), q.base_dist.stddev.double().cpu()
    eps = torch.randn(mu.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    z, each = mu + std * eps, torch.distributions.Normal(mu, std)
    log_qz, log_qz_l = [], []
    for rows in z.split(max(1, _BLOCK // mu.numel())):
        log_q = each.log_prob(rows.unsqueeze(1))  # [block, N, L]
        log_qz.append(bounds.log_mean_exp(log_q.sum(-1), 1))
        log_qz_l.append(bounds.log_mean_exp(log_q, 1).sum(-1))
    log_qz_x, log_qz, log_qz_l = each.log_prob(z).sum(-1), torch.cat(log_qz), torch.cat(log_qz_l)
    log_pz = p.log_prob(z.to(q.mean)).double().cpu()
    return RateParts(log_qz_x - log_qz, log_qz - log_qz_l, log_qz_l - log_pz)


def _forest(values: np.ndarray, target: np.ndarray, trees: int, seed: int):
    """Return a forest that foretells the target: numbers by regression, classes by votes."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if target.dtype.kind == "f" else RandomForestClassifier
    # All latents are looked at for every split: where each split sees a random few, latents that
    # know nothing are split at for want of better ones, and seem to matter.
    forest = kind(trees, max_features=1.0, min_samples_leaf=5, random_state=seed % 2**32)
    return forest.fit(values, target)


def _score(found: np.ndarray, target: np.ndarray, seen: np.ndarray) -> float:
    """Return R² of numbers; of classes the accuracy, with that of the commonest one as zero."""
    if target.dtype.kind == "f":
        return float(1 - np.mean((found - target) ** 2) / np.mean((target - seen.mean()) ** 2))
    kinds, counts = np.unique(seen, return_counts=True)
    chance = np.mean(target == kinds[counts.argmax()])
    return float((np.mean(found == target) - chance) / max(1 - chance, 1e-12))


def _entropy(importance: np.ndarray) -> np.ndarray:
    """Return the entropy of each row as a share of the largest possible; 1 for a row of zeros."""
    total = importance.sum(1, keepdims=True)
    columns = importance.shape[1]
    share = np.where(total > 0, importance / np.where(total > 0, total, 1), 1 / columns)
    terms = np.where(share > 0, share * np.log(np.where(share > 0, share, 1)), 0)
    return -terms.sum(1) / max(math.log(columns), 1e-12)


def _bin(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each value, ``bins`` of equal count; equal values stay together.

    At most ``bins`` different values are a bin each: no quantile lies between a common value and a
    rare one.
    """
    kinds, number = np.unique(values, return_inverse=True)
    if len(kinds) <= bins:
        return number
    edges = np.quantile(values, np.arange(1, bins) / bins)
    return np.searchsorted(edges, values, side="right")


def _number(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _information(a: np.ndarray, b: np.ndarray) -> float:
    """Return the information of two columns of numbers from 0 up, from how often each pair comes.

    The same as scikit-learn's ``mutual_info_score``, whose checks take longer than the counting.
    """
    width = b.max() + 1
    joint = np.bincount(a * width + b, minlength=(a.max() + 1) * width).reshape(-1, width) / len(a)
    rows, columns = np.nonzero(joint)
    p, p_a, p_b = joint[rows, columns], joint.sum(1)[rows], joint.sum(0)[columns]
    return max(float((p * (np.log(p) - np.log(p_a) - np.log(p_b))).sum()), 0.0)


def _check(
    codes: Tensor, factors: Mapping[str, Tensor]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return codes ``[N, L]`` and each factor ``[N]`` as arrays; raise for anything else."""
    if not isinstance(codes, Tensor) or not codes.is_floating_point() or codes.dim() != 2:
        found = list(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
        raise TypeError(f"codes is {found}; a float tensor [N, L] was expected.")
    if not isinstance(factors, Mapping) or not factors:
        raise TypeError(
            f"factors is {'empty' if isinstance(factors, Mapping) else type(factors).__name__}; "
            '{"name": values [N]} was expected, such as load("strokes").test_factors.'
        )
    check_rows(list(factors.values()), len(codes), "codes")
    table = {}
    for name, value in {"codes": codes, **factors}.items():
        if name != "codes" and value.dim() != 1:
            raise ValueError(f"Factor {name!r} has shape {list(value.shape)}; [N] was expected.")
        if not value.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity; finite values were expected.")
        value = value.detach().cpu()
        table[name] = value.double().numpy() if value.is_floating_point() else value.numpy()
        if name != "codes" and (value == value[0]).all():
            raise ValueError(
                f"Factor {name!r} has a single value, so there is nothing to know. Leave it out."
            )
    return table.pop("codes"), table
