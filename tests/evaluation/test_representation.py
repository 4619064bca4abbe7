"""Probes against what is known of made-up codes, and what they refuse."""

import math
import re

import numpy as np
import pytest
import torch

from course_lib.evaluation.representation import codes, labeled_subset, pca_codes, probe
from course_lib.models import conditional_vae, mlp_vae
from course_lib.models.conditions import Labels


def blobs(count, distance, dims=2, classes=2, seed=0):
    """Unit normals whose means lie ``distance`` apart on one axis: ``x [N, dims]`` and classes."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    x = torch.randn(count, dims, generator=generator)
    x[:, 0] += distance * y
    return x, y


@pytest.mark.parametrize("count", [1, 7, 30, 31, 55, 60])
def test_a_subset_is_as_balanced_as_the_classes_allow(count):
    labels = torch.tensor([4] * 30 + [0] * 20 + [7] * 10)[torch.randperm(60)]
    rows = labeled_subset(labels, count, seed=3)
    assert len(rows.unique()) == count
    drawn = torch.bincount(labels[rows], minlength=8)[[4, 0, 7]]
    # The most balanced counts: fill up the smallest class first.
    left, best = count, []
    for size, classes in ((10, 3), (20, 2), (30, 1)):
        best.append(min(size, left // classes))
        left -= best[-1]
    assert (drawn.flip(0) - torch.tensor(best)).abs().max() <= 1 and drawn.sum() == count


def test_subsets_are_nested_and_depend_on_the_seed_alone():
    labels = torch.arange(100) % 10
    state = torch.random.get_rng_state()
    rows = labeled_subset(labels, 50, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(5)
    assert torch.equal(labeled_subset(labels, 20, seed=1), rows[:20])
    assert not torch.equal(labeled_subset(labels, 50, seed=2), rows)


def test_every_example_of_a_class_is_as_likely_as_another():
    labels, times = torch.tensor([0, 0, 0, 0, 1, 1]), 3000
    drawn = torch.stack([labeled_subset(labels, 2, seed) for seed in range(times)])
    share = torch.bincount(drawn.flatten(), minlength=6) / times
    expected = torch.tensor([0.25] * 4 + [0.5] * 2)
    assert ((share - expected).abs() < 5 * (expected * (1 - expected) / times).sqrt()).all()


@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_a_probe_comes_near_the_best_accuracy_and_not_above(method):
    """Two unit normals at distance 3: nobody is right more often than Phi(1.5)."""
    x, y = blobs(2000, 3.0)
    test_x, test_y = blobs(4000, 3.0, seed=1)
    found = probe(x, y, test_x, test_y, method)
    best = 0.5 * (1 + math.erf(1.5 / math.sqrt(2)))
    assert found.se == pytest.approx(math.sqrt(found.mean * (1 - found.mean) / 4000))
    assert best - 0.02 - 5 * found.se < found.mean < best + 5 * found.se


@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_codes_that_know_nothing_give_chance(method):
    generator = torch.Generator().manual_seed(0)
    x, test_x = torch.randn(2, 1500, 5, generator=generator)
    y, test_y = torch.randint(4, (2, 1500), generator=generator)
    found = probe(x, y, test_x, test_y, method, num_labels=400)
    assert abs(found.mean - 0.25) < 5 * found.se


@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_a_probe_sees_no_more_labels_than_it_was_given(method):
    x, y = blobs(300, 2.0, classes=3)
    test_x, test_y = blobs(200, 2.0, classes=3, seed=1)
    rows = labeled_subset(y, 30, seed=4)
    found = probe(x, y, test_x, test_y, method, 30, seed=4)
    other = y.roll(1)  # wrong labels for all the rest
    other[rows] = y[rows]
    kept = torch.zeros(300, dtype=torch.bool).index_fill(0, rows, True)
    elsewhere = torch.where(kept[:, None], x, 1e3 * torch.randn_like(x))
    hidden = elsewhere[rows], y[rows], test_x, test_y, method
    assert probe(*hidden, seed=4).mean == pytest.approx(found.mean, abs=0.02)
    more = probe(x, y, test_x, test_y, method, seed=4)
    assert more.mean > found.mean - 5 * found.se


def test_nearest_neighbor_by_hand():
    x = torch.tensor([[0.0, 0], [0, 1], [5, 0], [5, 1]])
    y = torch.tensor([0, 0, 1, 1])
    found = probe(x, y, torch.tensor([[1.0, 0], [4, 1], [4, 0]]), torch.tensor([0, 1, 0]), "knn")
    assert found.mean == pytest.approx(2 / 3)


@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_the_unit_of_the_codes_does_not_matter_and_nothing_random_is_left_behind(method):
    x, y = blobs(200, 1.5)
    test_x, test_y = blobs(500, 1.5, seed=1)
    state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = probe(x, y, test_x, test_y, method, 100)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    scaled = probe(1024 * x, y, 1024 * test_x, test_y, method, 100)
    assert scaled.mean == found.mean
    images = probe(x.reshape(-1, 1, 1, 2), y, test_x.reshape(-1, 1, 1, 2), test_y, method, 100)
    assert images.mean == found.mean


def test_pca_codes_are_projections_on_the_axes_of_the_training_data():
    x = torch.randn(300, 1, 2, 3, dtype=torch.float64) * torch.arange(1, 7).reshape(2, 3)
    test = torch.randn(50, 1, 2, 3, dtype=torch.float64) + 3
    rows, centered = x.flatten(1), x.flatten(1) - x.flatten(1).mean(0)
    axes = torch.linalg.svd(centered, full_matrices=False).Vh[:4]
    a, b = pca_codes(x, test, 4)
    for found, data in ((a, centered), (b, test.flatten(1) - rows.mean(0))):
        expected = data @ axes.T
        sign = (found.double() * expected).sum(0).sign()
        torch.testing.assert_close(found.double() * sign, expected, rtol=1e-4, atol=1e-4)
    alone = pca_codes(x, test[:1], 4)[1]
    torch.testing.assert_close(alone, b[:1])  # other test images play no part


def test_codes_are_posterior_means_in_the_order_of_the_images():
    x, y = torch.rand(25, 1, 4, 4).round(), torch.arange(25) % 3
    model = mlp_vae((1, 4, 4), 3, (8,))
    torch.testing.assert_close(codes(model, x, batch_size=10), model.posterior(x).mean.detach())
    model = conditional_vae(Labels(3), (1, 4, 4), 2, (8,))
    found = codes(model, x, y, batch_size=7)
    assert not found.requires_grad
    torch.testing.assert_close(found, model.posterior(x, y).mean.detach())


GOOD = (torch.randn(20, 3), torch.arange(20) % 2, torch.randn(6, 3), torch.arange(6) % 2)


@pytest.mark.parametrize(
    ("place", "value", "options", "kind", "sentence"),
    [
        (0, None, {"method": "logistics"}, ValueError, "Did you mean 'logistic'"),
        (0, None, {"num_labels": 21}, ValueError, "num_labels is 21; a whole number from 1 to 20"),
        (0, None, {"num_labels": 3}, ValueError, "a class with fewer than two"),
        (0, None, {"seed": 0.5}, ValueError, "seed is 0.5"),
        (0, torch.arange(20), {}, TypeError, "codes is torch.int64"),
        (0, torch.full((20, 3), math.nan), {}, ValueError, "finite numbers"),
        (0, torch.randn(19, 3), {}, ValueError, "labels has 20 rows for 19 images"),
        (1, torch.zeros(20), {}, TypeError, "labels is torch.float32"),
        (1, torch.zeros(20, dtype=torch.int64), {}, ValueError, "at least two classes"),
        (2, torch.randn(6, 4), {}, ValueError, "codes has 3 columns and test_codes 4"),
        (3, torch.arange(5), {}, ValueError, "test_labels has 5 rows for 6 images"),
    ],
)
def test_refusals(place, value, options, kind, sentence):
    arguments = list(GOOD)
    if value is not None:
        arguments[place] = value
    with pytest.raises(kind, match=re.escape(sentence)):
        probe(*arguments, **options)


def test_refusals_of_the_others():
    with pytest.raises(ValueError, match="count is 0; a whole number from 1 to 20"):
        labeled_subset(GOOD[1], 0)
    with pytest.raises(ValueError, match="dims is 4; a whole number from 1 to 3"):
        pca_codes(GOOD[0], GOOD[2], 4)
    with pytest.raises(ValueError, match="x has shape"):
        codes(mlp_vae((1, 2, 2), 1, (4,)), torch.zeros(0, 1, 2, 2))
    with pytest.raises(TypeError, match="model is a list"):
        codes([], torch.zeros(1, 1, 2, 2))
