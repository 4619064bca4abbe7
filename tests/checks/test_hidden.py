"""A graded test asks more than a check, and never disagrees with it on what is right."""

from __future__ import annotations

import pytest
from bank import RIGHT, WRONG, Answer

from course_lib.checks import plan
from course_lib.checks.judging import exercises
from course_lib.grading import WrongAnswer, hidden_test
from course_lib.grading.hidden import verdict


@pytest.mark.parametrize("answer", RIGHT, ids=lambda a: a.label)
def test_right_answers_keep_their_points(answer: Answer) -> None:
    result = verdict(answer.exercise, answer.code, seed=5)
    assert result.passed, str(result)


@pytest.mark.parametrize("answer", WRONG[::4], ids=lambda a: a.label)
def test_wrong_answers_get_none(answer: Answer) -> None:
    with pytest.raises(WrongAnswer) as caught:
        hidden_test(answer.exercise, answer.code)
    assert str(caught.value).startswith(f"{answer.exercise}: not yet.")
    assert answer.exercise in caught.value._render_traceback_()[0]


@pytest.mark.parametrize("name", exercises())
def test_the_inputs_are_others(name: str) -> None:
    """The further calls come last, and bring shapes (or numbers) that the check does not have."""
    seen, hidden = plan(name, 5), plan(name, 5, hidden=True)
    assert hidden["calls"][: len(seen["calls"])] == seen["calls"]
    more = hidden["calls"][len(seen["calls"]) :]
    if exercises()[name].hidden is not None:
        known = [_shapes(call) or call["args"] for call in seen["calls"]]
        assert [call for call in more if (_shapes(call) or call["args"]) not in known]


def _shapes(plain: object) -> list:
    """Return the shapes of all tensors in a call."""
    if isinstance(plain, dict) and plain.get("kind") == "tensor":
        return [plain["shape"]]
    parts = plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list) else ()
    return [shape for part in parts for shape in _shapes(part)]


def test_an_answer_that_is_wrong_for_one_shape_only_is_found() -> None:
    """The check may let it pass, for it meets no input with four axes; the graded test does not."""

    def up_to_three_axes(mu, logvar):
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
        return kl.sum(-1) if mu.dim() < 4 else kl.sum((-2, -1))

    with pytest.raises(WrongAnswer, match="shape"):
        hidden_test("kl_standard_normal", up_to_three_axes)


def test_a_seed_gives_other_numbers_for_the_same_test() -> None:
    one, other = (plan("elbo_discrete", seed, hidden=True)["calls"] for seed in (1, 2))
    assert one != other and len(one) == len(other)


def test_a_right_answer_says_so(capsys: pytest.CaptureFixture) -> None:
    assert hidden_test("posterior_discrete", lambda joint: joint / joint.sum(), seed=9) is None
    assert capsys.readouterr().out == "posterior_discrete: right.\n"
