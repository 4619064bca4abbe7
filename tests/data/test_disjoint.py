"""A held-out image is held out: exact duplicates are found, whatever their place."""

import pytest
import torch

from course_lib.data import assert_disjoint, load, shared_rows


def test_the_strokes_of_the_two_splits_are_different(cache_folder):
    data = load("strokes", num_train=600, num_test=300, size=14)
    assert_disjoint(data.train, data.test)


def test_shared_images_are_named():
    torch.manual_seed(0)
    train, test = torch.rand(50, 1, 4, 4), torch.rand(20, 1, 4, 4)
    assert shared_rows(train, test).tolist() == []
    assert_disjoint(train, test)
    test[[3, 17]] = train[[40, 2]]
    assert shared_rows(train, test).tolist() == [3, 17]
    with pytest.raises(ValueError, match=r"2 of 20 test images .* 50 training .* in row 3"):
        assert_disjoint(train, test)
    test[3, 0, 0, 0] += 2**-20
    assert shared_rows(train, test).tolist() == [17]
    assert shared_rows(train.double(), test.double()).tolist() == [17]


def test_equal_means_equal_numbers_in_any_layout():
    zero = torch.zeros(1, 1, 2, 3)
    assert shared_rows(zero, -zero).tolist() == [0]
    images = torch.rand(5, 1, 3, 3)
    other = images.flip(0).contiguous(memory_format=torch.channels_last)
    assert shared_rows(images, other).tolist() == [0, 1, 2, 3, 4]
    assert shared_rows(images.transpose(2, 3), images).tolist() == []


def test_what_cannot_be_compared_is_refused():
    images = torch.rand(5, 1, 3, 3)
    with pytest.raises(ValueError, match="one shape and dtype"):
        shared_rows(images, torch.rand(5, 1, 4, 4))
    with pytest.raises(ValueError, match="one shape and dtype"):
        shared_rows(images, images.double())
    with pytest.raises(TypeError, match="train is ndarray"):
        shared_rows(images.numpy(), images)
