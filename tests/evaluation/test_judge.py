"""The judge of images: what it learns on a few drawn digits, and what it leaves alone."""

import math

import pytest
import torch

from course_lib.data import strokes
from course_lib.evaluation import fraction
from course_lib.evaluation.judge import FACTORS, Judge, factor_table, train_judge

FEW = {"epochs": 1, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def drawn():
    """Training and test images of 14 x 14 pixels, ``(x, labels, factors)`` each."""
    parts = []
    for split, count in (("train", 2_000), ("test", 400)):
        d = strokes.draw(count, size=14, split=split)
        parts.append((d.images.float() / 255, d.labels, d.factors))
    return parts


@pytest.fixture(scope="module")
def judge(drawn):
    return train_judge(*drawn[0], epochs=8, progress=False, device="cpu")


def test_it_learns_classes_and_factors(judge, drawn):
    x, labels, factors = drawn[1]
    right = fraction(judge.classify(x) == labels)
    assert right.mean - 5 * right.se > 0.5  # guessing gives 0.1
    found, table = judge.estimate(x), factor_table(factors)
    for k, true in zip(FACTORS, table.T, strict=True):
        if k in ("width", "scale", "shift_y"):  # what a few passes find
            r = torch.corrcoef(torch.stack([found[k], true]))[0, 1]
            assert r > 0.5, k


def test_factors_come_back_in_their_own_units(judge, drawn):
    x, _, factors = drawn[1]
    found, table = judge.estimate(x), factor_table(factors)
    assert list(found) == list(FACTORS)
    for k, true in zip(FACTORS, table.T, strict=True):
        se = (found[k] - true).std() / len(x) ** 0.5
        assert abs(found[k].mean() - true.mean()) < 5 * se + 0.2 * true.std(), k
        assert found[k].std() < 1.5 * true.std()
    assert found["width"].min() > 1 and found["width"].max() < 4


def test_lean_is_slant_and_angle_together():
    factors = {k: torch.zeros(2) for k in FACTORS if k != "lean"}
    factors |= {"slant": torch.tensor([0.1, 0.0]), "angle": torch.tensor([0.0, 90.0])}
    table = factor_table(factors)
    assert table.shape == (2, 6) and table.dtype == torch.float32
    torch.testing.assert_close(table[:, 0], torch.tensor([0.1, math.pi / 2]))


def test_features_probabilities_and_classes_belong_together(judge, drawn):
    x = drawn[1][0]
    features, p = judge.features(x), judge.probabilities(x)
    assert features.shape == (400, 64) and not features.requires_grad
    torch.testing.assert_close(p.sum(1), torch.ones(400))
    torch.testing.assert_close(p, judge.classes(features).softmax(1).detach())
    assert torch.equal(p.argmax(1), judge.classify(x))
    # More images than are looked at in one piece, and doubles.
    many = x.repeat(4, 1, 1, 1).double()
    torch.testing.assert_close(judge.features(many)[-400:], features)


def test_it_comes_in_evaluation_mode(judge):
    assert not judge.training


def test_a_seed_decides_and_the_session_is_left_alone(drawn):
    x, labels, factors = drawn[0]
    x, labels, factors = x[:300], labels[:300], {k: v[:300] for k, v in factors.items()}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = train_judge(x, labels, factors, seed=1, **FEW)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again = train_judge(x, labels, factors, seed=1, **FEW)
    other = train_judge(x, labels, factors, seed=2, **FEW)
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.classes.weight, other.classes.weight)


def test_without_factors_there_is_nothing_to_estimate(drawn):
    x, labels, _ = drawn[0]
    judge = train_judge(x[:200], labels[:200], **FEW)
    assert judge.classify(x[:5]).shape == (5,)
    with pytest.raises(ValueError, match="knows no factors"):
        judge.estimate(x[:5])


def test_color_and_odd_sizes():
    judge = Judge((3, 9, 11), num_classes=4)
    assert judge.probabilities(torch.rand(2, 3, 9, 11)).shape == (2, 4)


def test_images_of_another_size_are_refused(judge):
    with pytest.raises(ValueError, match=r"trained on images \[B, 1, 14, 14\]"):
        judge.features(torch.rand(2, 1, 28, 28))
    with pytest.raises(ValueError, match="pixels from"):
        judge.classify(2 + torch.rand(2, 1, 14, 14))


X, Y = torch.rand(20, 1, 8, 8), torch.arange(20) % 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, Y[:5]), "20 images but 5 rows"),
        ((X, Y.tolist()), "20 images but a list without rows"),
        ((X, Y.float()), r"labels is torch.float32.*int64 \[N\]"),
        ((X, Y - 1), "from 0 up"),
        ((X[0], Y), "has shape"),
        ((X, Y, {"slant": torch.zeros(20)}), "lack angle, width"),
        ((X, Y, {k: torch.zeros(5) for k in ("slant", "angle", *FACTORS[1:])}), "5 rows"),
    ],
)
def test_training_data_that_do_not_fit_get_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        train_judge(*arguments, **FEW)
