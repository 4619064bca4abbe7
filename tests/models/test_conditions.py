"""Conditions: what they make of a context, how they say nothing, and what they refuse."""

import math

import pytest
import torch

from course_lib.data import strokes
from course_lib.models.conditions import Captions, Factors, Joined, Labels, Picture


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_labels_are_one_hot_and_minus_one_says_nothing():
    found = Labels(4)(torch.tensor([2, -1, 0]))
    assert found.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    y = torch.tensor([3, 1, 2])
    (hidden,) = Labels(4).hide(torch.tensor([True, False, True]), y)
    assert hidden.tolist() == [-1, 1, -1] and y.tolist() == [3, 1, 2]


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_labels_may_be_any_whole_numbers(dtype):
    labels, y = Labels(4), torch.tensor([2, 0])
    assert torch.equal(labels(y.to(dtype)), labels(y))
    (hidden,) = labels.hide(torch.tensor([True, False]), y.to(dtype))
    assert hidden.tolist() == [-1, 0] and labels(hidden).tolist() == [[0, 0, 0, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (torch.tensor([0, 10]), ValueError, "label is 10; the classes are 0 to 9"),
        (torch.tensor([-2]), ValueError, "label is -2"),
        (torch.tensor([1.0]), ValueError, "float32 with shape"),
        (torch.tensor([True]), ValueError, "bool with shape"),
        (torch.tensor(3), ValueError, "one for each image"),
        (torch.eye(10).long(), ValueError, r"shape \[10, 10\]; whole numbers"),
        ([1, 2], TypeError, "labels are a list; a torch tensor"),
    ],
)
def test_labels_that_are_none_are_refused(y, kind, message):
    with pytest.raises(kind, match=message):
        Labels(10)(y)


def test_factors_are_standardized_beside_a_flag():
    values = torch.randn(500, 2) * torch.tensor([3.0, 0.01]) + torch.tensor([10.0, -2.0])
    condition = Factors(values, ["size", "lean"])
    found = condition(values)
    assert found.shape == (500, condition.width) == (500, 4)
    torch.testing.assert_close(found[:, :2].mean(0), torch.zeros(2), rtol=0, atol=1e-4)
    torch.testing.assert_close(found[:, :2].std(0), torch.ones(2), rtol=0, atol=1e-4)
    assert (found[:, 2:] == 1).all()
    some = condition(torch.tensor([[math.nan, -2.0], [10.0, math.nan]]))
    assert some[:, 2:].tolist() == [[0, 1], [1, 0]] and some[0, 0] == some[1, 1] == 0
    (hidden,) = condition.hide(torch.tensor([True] + [False] * 499), values)
    assert hidden[0].isnan().all() and torch.equal(hidden[1:], values[1:])
    assert (condition(hidden)[0] == 0).all()


def test_factors_that_never_vary_stay_finite_and_units_are_saved():
    condition = Factors(torch.ones(5, 1))
    assert condition(torch.tensor([[1.0]])).tolist() == [[0, 1]]
    other = Factors(torch.randn(5, 1))
    other.load_state_dict(condition.state_dict())
    assert other.mean == 1


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (torch.zeros(3, 4), ValueError, r"shape \[3, 4\]; \[B, 2\].*each of size, lean"),
        (torch.zeros(2), ValueError, r"\[B, 2\] was expected"),
        (torch.tensor([[0.0, math.inf]]), ValueError, "factor is infinite.*NaN where nothing"),
        ([[0.0, 1.0]], TypeError, "factors are a list"),
    ],
)
def test_factors_that_are_none_are_refused(values, kind, message):
    with pytest.raises(kind, match=message):
        Factors(torch.randn(9, 2), ["size", "lean"])(values)


def test_factors_need_training_values():
    for bad in (torch.zeros(1, 2), torch.zeros(4), torch.tensor([[0.0], [math.nan]])):
        with pytest.raises(ValueError, match=r"finite training factors \[N, F\]"):
            Factors(bad)
    with pytest.raises(ValueError, match="1 names came with 2 factors"):
        Factors(torch.randn(4, 2), ["size"])


def test_captions_become_word_numbers():
    condition = Captions(["a", "red", "three"], width=4, length=4)
    assert condition.encode(["a red three", "", "Three a"]).tolist() == [
        [1, 2, 3, 0],
        [0, 0, 0, 0],
        [3, 1, 0, 0],
    ]
    assert torch.equal(condition.encode("a red"), condition.encode(["a red"]))


@pytest.mark.parametrize("color", [False, True])
def test_captions_of_strokes_can_all_be_read(color):
    texts = strokes.draw(300, size=8, color=color).captions[:]
    assert Captions(strokes.WORDS).encode(texts).max() <= len(strokes.WORDS)
    longest = "a small thin narrow purple seven leaning right on yellow"
    assert (Captions(strokes.WORDS).encode(longest) > 0).sum() == len(longest.split())


def test_order_matters_and_padding_and_neighbors_do_not():
    condition = Captions(["red", "on", "blue"], width=6, length=5)
    texts = ["red on blue", "blue on red", "on", ""]
    found = condition(condition.encode(texts))
    assert found.shape == (4, 6)
    assert not torch.allclose(found[0], found[1], atol=1e-3)
    assert (found[3] == 0).all() and (found[:3] != 0).any(1).all()
    for text, row in zip(texts, found, strict=True):
        alone = condition.encode([text])
        torch.testing.assert_close(condition(alone)[0], row)
        longer = torch.cat([alone, torch.zeros(1, 3, dtype=torch.int64)], 1)
        torch.testing.assert_close(condition(longer)[0], row)
    tokens = condition.encode(texts[:2])
    (hidden,) = condition.hide(torch.tensor([False, True]), tokens)
    assert torch.equal(hidden[0], tokens[0]) and (condition(hidden)[1] == 0).all()


def test_every_word_gets_a_gradient():
    condition = Captions(["red", "on", "blue"], width=6, length=5)
    condition(condition.encode(["red on blue"])).sum().backward()
    gradient = condition.embedding.weight.grad.abs().sum(1)
    assert gradient[0] == 0 and (gradient[1:] > 0).all()


@pytest.mark.parametrize(
    ("texts", "kind", "message"),
    [
        (["a thick sevn"], ValueError, "Unknown word 'sevn'. Did you mean 'seven'"),
        (["a " * 13], ValueError, "has 13 words; at most 12"),
        ([7], TypeError, "caption is a int; a str"),
    ],
)
def test_captions_that_can_not_be_read_are_refused(texts, kind, message):
    with pytest.raises(kind, match=message):
        Captions(strokes.WORDS).encode(texts)


@pytest.mark.parametrize(
    ("tokens", "kind", "message"),
    [
        (torch.tensor([[1, 4]]), ValueError, "go from 1 to 4; 0 to 3"),
        (torch.tensor([[-1, 2]]), ValueError, "go from -1 to 2"),
        (torch.tensor([1, 2]), ValueError, r"\[B, T\] were expected"),
        (torch.zeros(1, 2), ValueError, "float32"),
        (["a red three"], TypeError, "captions are a list"),
    ],
)
def test_word_numbers_that_are_none_are_refused(tokens, kind, message):
    with pytest.raises(kind, match=message):
        Captions(["a", "red", "three"])(tokens)


@pytest.mark.parametrize("words", [["a", "a"], ["a", "Red"]])
def test_a_vocabulary_has_different_small_words(words):
    with pytest.raises(ValueError, match="twice or in capitals"):
        Captions(words)


def test_picture_and_its_errors():
    condition = Picture((2, 4, 5), width=7)
    picture = torch.rand(3, 2, 4, 5)
    assert condition(picture).shape == (3, condition.width) == (3, 7)
    (hidden,) = condition.hide(torch.tensor([False, True, False]), picture)
    assert (hidden[1] == 0).all() and torch.equal(hidden[::2], picture[::2])
    with pytest.raises(ValueError, match=r"shape \[3, 1, 4, 5\]; \[B, 2, 4, 5\]"):
        condition(picture[:, :1])
    with pytest.raises(TypeError, match="picture is a float"):
        condition(0.5)


def test_joined_conditions_stand_side_by_side():
    labels, factors = Labels(3), Factors(torch.randn(9, 2))
    both = Joined(Joined(labels, factors), Labels(2))
    y, v, w = torch.tensor([2, 0]), torch.randn(2, 2), torch.tensor([1, 1])
    assert (both.tensors, both.width) == (3, 3 + 4 + 2)
    torch.testing.assert_close(
        both(y, v, w), torch.cat([labels(y), factors(v), torch.tensor([[0.0, 1], [0, 1]])], 1)
    )
    hidden = both.hide(torch.tensor([True, False]), y, v, w)
    assert (both(*hidden)[0] == 0).all() and torch.equal(both(*hidden)[1], both(y, v, w)[1])
    with pytest.raises(ValueError, match="No condition was given"):
        Joined()


def test_a_picture_of_another_type_is_refused():
    for picture in (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2, 1, 3, 3).double()):
        with pytest.raises(TypeError, match="The picture holds"):
            Picture((1, 3, 3))(picture)
