"""Exercises whose arguments or results are no tensors: words, numbers, Python ints."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from course_lib import check
from course_lib.checks import judge, plan, probe
from course_lib.checks.exercise import word
from course_lib.checks.probes.arguments import build


def _count(mu, threshold=0.01):
    return int((mu.var(0) > threshold).sum())


def _beta(pixel_reduction, kl_reduction, D, L):
    return (D if pixel_reduction == "mean" else 1) / (L if kl_reduction == "mean" else 1)


def test_a_word_arrives_as_a_word() -> None:
    assert build(word("mean")) == "mean"


@pytest.mark.parametrize("form", [float, lambda v: torch.tensor(v), np.float64, torch.tensor])
def test_a_number_may_be_a_scalar_tensor_where_no_tensor_came_in(form) -> None:
    assert check("implied_beta", lambda *args: form(_beta(*args))).passed


@pytest.mark.parametrize(
    ("form", "mistake"),
    [
        (lambda v: torch.tensor([v]), "wrong_shape"),
        (str, "wrong_type"),
        (bool, "wrong_type"),
        (lambda v: (v,), "wrong_type"),
        (lambda v: math.nan, "not_finite"),
        (lambda v: 10**400, None),
        (lambda v: complex(v), "wrong_type"),
        (lambda v: None, "nothing_returned"),
    ],
)
def test_what_is_no_number_gets_a_sentence(form, mistake: str | None) -> None:
    result = check("implied_beta", lambda *args: form(_beta(*args)))
    assert not result.passed
    assert mistake is None or result.mistake == mistake, str(result)
    assert result.mistake != "unreadable"


@pytest.mark.parametrize(
    ("form", "mistake"),
    [
        (torch.tensor, "not_an_int"),
        (float, "not_an_int"),
        (np.int64, "not_an_int"),
        (np.float32, "not_an_int"),
        (bool, "not_counted"),
        (lambda v: torch.full((3, 2), v), "wrong_shape"),
        (lambda v: np.array([v]), "wrong_type"),
        (lambda v: math.inf, "not_an_int"),
        (lambda v: [v], "wrong_type"),
        (str, "wrong_type"),
        (lambda v: None, "nothing_returned"),
    ],
)
def test_an_int_is_a_python_int(form, mistake: str) -> None:
    result = check("active_units", lambda *args: form(_count(*args)))
    assert result.mistake == mistake, str(result)


def test_a_wrong_count_of_the_wrong_kind_is_told_why_it_is_wrong() -> None:
    """The type is mentioned when the value is right; before, it would distract."""
    result = check("active_units", lambda mu, threshold=0.01: (mu.std(0) > threshold).sum())
    assert result.mistake == "std_for_variance"
    assert check("active_units", lambda *args: torch.tensor(_count(*args))).mistake == "not_an_int"


@pytest.mark.parametrize("name", ["implied_beta", "active_units", "bits_per_dim"])
def test_a_claim_of_another_number_is_no_answer(name: str) -> None:
    """A report with a number of its own choice in every place."""
    answer = {"implied_beta": _beta, "active_units": _count}.get(
        name, lambda nats, num_dims: nats / (num_dims * math.log(2))
    )
    made = plan(name, 3)
    report = probe(made, answer)
    assert judge(made, report).passed
    for runs in report["record"]:
        runs[0]["value"] = {"kind": "float", "value": "inf"}
    assert not judge(made, report).passed


@pytest.mark.parametrize("form", [float, lambda v: torch.tensor(v, dtype=torch.float64)])
def test_a_python_number_gives_a_number_or_a_scalar(form) -> None:
    def bits(nats, num_dims):
        if torch.is_tensor(nats):
            return nats / (num_dims * math.log(2))
        return form(nats / (num_dims * math.log(2)))

    assert check("bits_per_dim", bits).passed


def test_a_tensor_does_not_give_a_number() -> None:
    result = check("bits_per_dim", lambda nats, num_dims: 1.0)
    assert result.mistake == "wrong_type"
