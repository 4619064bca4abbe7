"""What codes of images know about their classes: probes, with few labels and with many.

A probe is a simple classifier upon codes that are held fixed. What it gets right is a property of
the codes, of the probe and of the number of labels together, so compare codes only with the other
two equal, and put what the pixels themselves give beside it.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from course_lib.errors import (
    check_examples,
    check_model,
    check_rows,
    check_seed,
    check_whole,
    unknown,
)
from course_lib.evaluation.likelihood import Estimate, device_of
from course_lib.evaluation.samples import fraction

__all__ = ["codes", "labeled_subset", "pca_codes", "probe"]

METHODS = ("knn", "logistic")
_FOLDS, _SEARCHED = 3, 600  # folds, and the most labeled rows, for choosing C or k


def labeled_subset(labels: Tensor, count: int, seed: int = 0) -> Tensor:
    """Return the indices of ``count`` examples, as equal a number of each class as there can be.

    They come round by round, one of every class that has some left, so that the first 100 of
    1,000 are what ``count=100`` gives with the same seed.

    Args:
        labels: the class of each example, whole numbers ``[N]``.
        count: how many, at most N.
        seed: decides which; the session's random state is left alone.

    Returns:
        int64 ``[count]`` on the CPU, no index twice.
    """
    labels = _check_labels(labels, "labels").cpu()
    count, seed = check_whole(count, "count", 1, len(labels)), check_seed(seed)
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = labels[shuffled].sort(stable=True)
    sizes = torch.unique_consecutive(by_class.values, return_counts=True)[1]
    rounds = torch.empty_like(shuffled)  # how many of its class come before each example
    rounds[by_class.indices] = torch.cat([torch.arange(n) for n in sizes.tolist()])
    return shuffled[rounds.argsort(stable=True)[:count]]


@torch.no_grad()
def codes(model, x: Tensor, *context: Tensor, batch_size: int = 1000) -> Tensor:
    """Return the posterior mean of every image, ``[N, L]``, on the CPU.

    Args:
        model: anything with ``prior``, ``posterior`` and ``likelihood``.
        x: images ``[N, C, H, W]`` (or examples ``[N, ...]``) on any device.
        context: what the model is conditioned on, one row for each image.
        batch_size: images encoded at a time.
    """
    check_model(model, len(context))
    batch_size = check_whole(batch_size, "batch_size")
    check_examples(x)
    check_rows(context, len(x), "x")
    device, parts = device_of(model, x), []
    for start in range(0, len(x), batch_size):
        batch = [t[start : start + batch_size].to(device) for t in (x, *context)]
        parts.append(model.posterior(*batch).mean.cpu())
    return torch.cat(parts)


def pca_codes(train: Tensor, test: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Return the first ``dims`` principal components of training and test images.

    Mean and axes are those of the training images alone; labels play no part.

    Args:
        train: ``[N, ...]``, flattened to ``[N, D]``.
        test: ``[M, ...]`` with the same D.
        dims: L, at most the smaller of N and D.

    Returns:
        float32 ``[N, L]`` and ``[M, L]``, the component of the largest variance first.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    train, test = _check_codes(train, "train"), _check_codes(test, "test")
    _check_columns(train, test, "train", "test")
    dims = check_whole(dims, "dims", 1, min(train.shape))
    with threadpool_limits(1):
        pca = PCA(dims, random_state=0).fit(train.numpy())
        parts = [torch.from_numpy(pca.transform(rows.numpy())).float() for rows in (train, test)]
    return parts[0], parts[1]


def probe(
    codes: Tensor,
    labels: Tensor,
    test_codes: Tensor,
    test_labels: Tensor,
    method: str = "logistic",
    num_labels: int | None = None,
    seed: int = 0,
) -> Estimate:
    """Fit a probe on labeled training codes and return its accuracy on test codes.

    How strongly the logistic regression is regularized (C), how many neighbors vote (k), and
    whether every column is brought to the same variance or all keep their proportions, is chosen
    by cross-validation within the labeled rows, or within 600 of them where there are more. C is
    the variance of a prior over weights, so what fits a part of the rows fits all of them.

    Args:
        codes: training codes ``[N, ...]``, flattened to ``[N, D]``; images themselves will do.
        labels: their classes, whole numbers ``[N]``.
        test_codes: ``[M, ...]`` with the same D.
        test_labels: ``[M]``.
        method: ``"logistic"`` or ``"knn"``, both from scikit-learn.
        num_labels: how many of the labels the probe may see, see :func:`labeled_subset`; None for
            all of them. Each class needs two.
        seed: of the subset and of the folds.

    Returns:
        The share of test rows whose class is right, with its standard error *over test rows*. How
        much it depends on which rows were labeled, several seeds tell.

    Raises:
        ValueError: an unknown method; codes and labels that do not fit together; too few labels.
    """
    from threadpoolctl import threadpool_limits

    if method not in METHODS:
        raise unknown("probe", method, METHODS)
    codes, test_codes = _check_codes(codes, "codes"), _check_codes(test_codes, "test_codes")
    _check_columns(codes, test_codes, "codes", "test_codes")
    labels = _check_labels(labels, "labels", len(codes)).cpu()
    test_labels = _check_labels(test_labels, "test_labels", len(test_codes)).cpu()
    num_labels = len(labels) if num_labels is None else num_labels
    num_labels, seed = check_whole(num_labels, "num_labels", 1, len(labels)), check_seed(seed)
    rows = labeled_subset(labels, num_labels, seed)
    x, y = codes[rows], labels[rows]
    fewest = torch.unique(y, return_counts=True)[1]
    if len(fewest) < len(labels.unique()) or fewest.min() < 2 or len(fewest) < 2:
        raise ValueError(
            f"{num_labels} labels leave a class with fewer than two; at least two classes and two "
            "labeled rows of each were expected. Raise num_labels."
        )
    # One unit for all columns, so that the choices of C mean the same for codes of any scale.
    center, unit = x.mean(0), x.std(0).square().mean().sqrt().clamp(min=1e-12)
    x, test_x = ((part - center) / unit for part in (x, test_codes))
    model = _choose(method, x.numpy(), y.numpy(), seed)
    with threadpool_limits(1):
        predicted = model.predict(test_x.numpy())
    return fraction(torch.from_numpy(predicted) == test_labels)


def _choose(method: str, x, y, seed: int):
    """Return the scikit-learn pipeline, chosen by cross-validation and fitted on all of x, y."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    part = labeled_subset(torch.from_numpy(y), min(len(y), _SEARCHED), seed)
    smallest = int(torch.unique(torch.from_numpy(y)[part], return_counts=True)[1].min())
    folds = StratifiedKFold(min(_FOLDS, smallest), shuffle=True, random_state=seed % 2**32)
    if method == "logistic":
        last = LogisticRegression(max_iter=200, tol=1e-3)
        grid = {"probe__C": [1e-3, 1e-2, 0.1, 1.0]}
    else:
        last = KNeighborsClassifier()
        least = len(part) * (folds.n_splits - 1) // folds.n_splits  # rows that can be neighbors
        grid = {"probe__n_neighbors": [k for k in (1, 3, 5, 10) if k <= least]}
    pipeline = Pipeline([("scale", StandardScaler()), ("probe", last)])
    grid["scale__with_std"] = [False, True]
    # Threads of the BLAS wait by spinning: on a busy machine two take ten times as long as one.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early regularizes, too
        search = GridSearchCV(pipeline, grid, cv=folds, refit=False)
        best = search.fit(x[part], y[part]).best_params_
        return pipeline.set_params(**best).fit(x, y)


def _check_codes(rows: object, name: str) -> Tensor:
    """Return ``rows`` flattened to ``[N, D]``, float32 on the CPU, or raise."""
    if not isinstance(rows, Tensor) or not rows.is_floating_point():
        kind = rows.dtype if isinstance(rows, Tensor) else type(rows).__name__
        raise TypeError(f"{name} is {kind}; a float tensor, one row for each image, was expected.")
    if rows.dim() < 2 or rows.numel() == 0 or not rows.isfinite().all():
        raise ValueError(
            f"{name} has shape {list(rows.shape)}; finite numbers [N, ...] were expected, one row "
            "for each image."
        )
    return rows.detach().flatten(1).float().cpu()


def _check_columns(a: Tensor, b: Tensor, name_a: str, name_b: str) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{name_a} has {a.shape[1]} columns and {name_b} {b.shape[1]}; as many in both were "
            "expected, from one encoder."
        )


def _check_labels(labels: object, name: str, count: int | None = None) -> Tensor:
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.dim() != 1:
        found = (
            f"{labels.dtype} with shape {list(labels.shape)}"
            if isinstance(labels, Tensor)
            else f"a {type(labels).__name__}"
        )
        raise TypeError(f"{name} is {found}; the class of each image, int64 [N], was expected.")
    if len(labels) == 0 or count not in (None, len(labels)):
        raise ValueError(f"{name} has {len(labels)} rows for {count} images; one each, please.")
    return labels
