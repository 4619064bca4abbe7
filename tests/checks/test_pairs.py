"""The judge of functions that return several tensors: each part is judged, and by its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import torch

from course_lib.checks import check, judge, plan, probe
from course_lib.checks.comparing import Row
from course_lib.checks.exercise import Exercise, call
from course_lib.checks.judging import exercises
from course_lib.checks.pairs import PairComparison


def _nearest(z, codebook):
    """The nearest row of the codebook, straight through, and its index."""
    index = torch.cdist(z, codebook).argmin(1)
    return z + (codebook[index] - z).detach(), index


def _codes_only(z, codebook):
    index = _nearest(z, codebook)[1]
    return codebook[index], index


def _calls(inputs):
    def one(batch, dtype):
        z = inputs.normal(batch, 3, dtype=dtype, grad=True)
        codebook = inputs.normal(5, 3, dtype=dtype, grad=True)
        weights = [inputs.away_from_zero(0.5, 1.5, batch, 3), None]
        return call(z, codebook, weights=weights, times=2)

    return [one(8, "float64"), one(6, "float32")]


_NEAREST = Exercise(
    "nearest",
    _calls,
    PairComparison(
        truth=_nearest,
        arguments=("z", "codebook"),
        table=(
            Row("swapped", lambda z, c: _nearest(z, c)[::-1], "The parts are swapped."),
            Row(
                "farthest",
                lambda z, c: (c[(far := torch.cdist(z, c).argmax(1))], far),
                "That is the farthest code.",
            ),
        ),
        gradients=(Row("not_straight", _codes_only, "No gradient passes through to z."),),
        what="a pair z_q, indices",
        parts={"z_q": "a tensor of shape [B, L]", "indices": "a tensor of integers of shape [B]"},
        integers=("indices",),
    ),
)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    exercises()["nearest"] = _NEAREST
    yield
    del exercises()["nearest"]


def _list(z, codebook):
    return list(_nearest(z, codebook))


def _short_indices(z, codebook):
    z_q, index = _nearest(z, codebook)
    return z_q, index.int()


@pytest.mark.parametrize("answer", [_nearest, _list, _short_indices])
def test_a_tuple_a_list_and_any_integer_dtype_pass(answer: Callable) -> None:
    result = check("nearest", answer, seed=1)
    assert result.passed, str(result)


def _changed(part: int, change: Callable) -> Callable:
    def answer(z, codebook):
        parts = list(_nearest(z, codebook))
        parts[part] = change(parts[part])
        return tuple(parts)

    return answer


def _writes(z, codebook):
    with torch.no_grad():
        z += 1
    return _nearest(z, codebook)


def _leaking(z, codebook):
    codes, index = _codes_only(z, codebook)
    return z - z.detach() + codes, index


WRONG = {
    "one tensor": (lambda z, c: _nearest(z, c)[0], "wrong_type", "one tensor of shape"),
    "three": (lambda z, c: (*_nearest(z, c), z), "wrong_type", "a tuple or list of 3"),
    "nothing": (lambda z, c: None, "nothing_returned", "a pair z_q, indices was expected"),
    "a dict": (lambda z, c: {"z_q": z}, "wrong_type", "the type dict"),
    "a number": (lambda z, c: 3.0, "wrong_type", "a Python float"),
    "None inside": (_changed(0, lambda v: None), "wrong_type", "The part z_q is None"),
    "a list inside": (_changed(1, lambda v: v.tolist()), "wrong_type", "The part indices is"),
    "complex inside": (_changed(0, lambda v: v + 0j), "wrong_dtype", "The part z_q is complex"),
    "float indices": (_changed(1, lambda v: v.double()), "wrong_dtype", "The part indices is a"),
    "true or false": (_changed(1, lambda v: v > 0), "wrong_dtype", "The part indices is a bool"),
    "swapped": (lambda z, c: _nearest(z, c)[::-1], "swapped", "The parts are swapped"),
    "a row of both": (lambda z, c: _NEAREST.judge.table[1].formula(z, c), "farthest", "farthest"),
    "a row of one": (
        lambda z, c: (_nearest(z, c)[0], _NEAREST.judge.table[1].formula(z, c)[1]),
        "farthest",
        "indices: That is",
    ),
    "scaled": (_changed(0, lambda v: 2 * v), "scaled", "z_q: Your value is 2 times"),
    "a kept axis": (_changed(1, lambda v: v[:, None]), "wrong_shape", "indices: The result"),
    "counts from one": (_changed(1, lambda v: v + 1), None, "indices: The value"),
    "float32": (_changed(0, lambda v: v.float()), "wrong_dtype", "z_q: The inputs are float64"),
    "noise": (_changed(0, lambda v: v + torch.rand(())), "not_deterministic", "z_q: The same"),
    "detached": (_changed(0, lambda v: v.detach()), "detached", "z_q: The value is right"),
    "not straight": (_codes_only, "not_straight", "z_q: No gradient passes"),
    "leaking": (_leaking, "wrong_gradient", "gradient for codebook is not"),
    "writing": (_writes, "modified_arguments", "It changes its argument z"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_fault_is_named_with_its_part(name: str) -> None:
    answer, mistake, says = WRONG[name]
    result = check("nearest", answer, seed=2)
    assert not result.passed
    assert result.mistake == mistake, str(result)
    assert says in result.message, str(result)


def test_a_wrong_pair_is_shown_beside_the_right_one() -> None:
    headings = [h for h, _ in check("nearest", WRONG["a row of both"][0], seed=2).details]
    assert headings[1:] == ["returned z_q", "expected z_q", "returned indices", "expected indices"]


def test_what_is_no_fault_of_a_part_is_not_said_of_one() -> None:
    assert check("nearest", _writes, seed=2).message.startswith("It changes its argument z")


def test_float_parts_may_be_swapped() -> None:
    def two(x):
        return x, 2 * x

    same = Row("same", two, "Right on these inputs, and so no explanation.")
    row = Row("swapped", lambda x: two(x)[::-1], "Turn them round.")
    parts = {"once": "a tensor of shape [B]", "twice": "a tensor of shape [B]"}
    judged = PairComparison(two, ("x",), (same, row), "a pair", parts=parts)
    exercises()["two"] = Exercise(
        "two", lambda inputs: [call(inputs.normal(4), weights=None)], judged
    )
    try:
        assert check("two", two, seed=1).passed
        assert check("two", lambda x: (2 * x, x), seed=1).mistake == "swapped"
        assert check("two", lambda x: (x, 2 * x + 1e-5), seed=1).mistake == "imprecise"
        assert check("two", lambda x: (2 * x, 2 * x), seed=1).message.startswith("once: ")
    finally:
        del exercises()["two"]


def test_an_argument_without_gradient_is_no_fault() -> None:
    """Only the first part depends on y; of the second part no gradient reaches it."""

    def two(x, y):
        return x * y, x.exp()

    def calls(inputs):
        weights = [inputs.normal(4), inputs.normal(4)]
        x, y = inputs.normal(4), inputs.normal(4, grad=True)
        return [call(each, y, weights=weights) for each in (x | {"grad": True}, x)]

    parts = {"product": "a tensor of shape [B]", "power": "a tensor of shape [B]"}
    judged = PairComparison(two, ("x", "y"), (), "a pair", parts=parts)
    exercises()["two"] = Exercise("two", calls, judged)
    try:
        assert check("two", two, seed=1).passed
        assert check("two", lambda x, y: (x * y, x.exp() + 0 * y), seed=1).passed
        frozen = check("two", lambda x, y: (x * y, x.exp().detach()), seed=1)
        assert frozen.mistake == "detached" and frozen.message.startswith("power: ")
        half = check("two", lambda x, y: (x.detach() * y, x.exp()), seed=1)
        assert half.mistake == "detached" and half.message.startswith("product: ")
    finally:
        del exercises()["two"]


def test_probe_and_judge_speak_json_only() -> None:
    made = plan("nearest", 7)
    sent = json.loads(json.dumps(made, allow_nan=False))
    assert sent == made
    report = json.loads(json.dumps(probe(sent, _nearest), allow_nan=False))
    assert judge(made, report).passed
    for junk in (None, [], {"kind": "tuple", "length": 2, "items": []}, {"kind": "tuple"}):
        report["record"][0][0]["value"] = junk
        assert not judge(made, report).passed
