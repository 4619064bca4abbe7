"""Checks of set 12: the anomaly score of a model, and the area under the ROC curve."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks import anomaly_score as score
from course_lib.checks import faults
from course_lib.checks.comparing import Comparison
from course_lib.checks.comparing import Row as Formula
from course_lib.checks.exercise import Exercise, Inputs, call
from course_lib.checks.probes.plain import tensor
from course_lib.checks.result import Result

# A loop over images and draws makes some thousand calls of the model, which a busy machine slows down.
anomaly_score = Exercise(
    "anomaly_score", score.calls, score.judge, hidden=score.hidden, seconds=30.0
)

# --- auroc ---------------------------------------------------------------------------------------


def _sample(
    inputs: Inputs,
    usual: int,
    strange: int,
    *,
    shift: float = 0.8,
    level: float = 0.0,
    step: float | None = None,
    dtype: str = "float64",
) -> list[dict]:
    """Return scores and ``is_anomaly``; with ``step`` they are rounded to its multiples, and tie."""
    labels = [False] * usual + [True] * strange
    inputs.shuffle(labels)
    scores = [level + inputs.gauss(0, 1) + shift * one for one in labels]
    if step:
        scores = [step * round(s / step) for s in scores]
    size = [usual + strange]
    return [tensor(scores, size, dtype), tensor([float(v) for v in labels], size, "bool")]


def _auroc_calls(inputs: Inputs) -> list[dict]:
    usual, strange = inputs.choice(((19, 8), (23, 11), (17, 10), (21, 6)))

    def labels(values: list[bool]) -> dict:
        return tensor([float(v) for v in values], [len(values)], "bool")

    def spaced(step: float) -> list[dict]:
        """Scores at equal distances, of which most of the high ones are strange."""
        places = list(range(11))
        inputs.shuffle(places)
        scores = tensor([900.0 + step * k for k in places], [11])
        return [scores, labels([k in (2, 5, 7, 9, 10) for k in places])]

    return [
        call(*_sample(inputs, usual, strange), times=2),
        call(*_sample(inputs, 13, 9, step=0.5), times=2),
        call(*_sample(inputs, 7, 15, step=0.8, level=1.5)),
        call(*_sample(inputs, 16, 7, shift=-2.0, level=-0.5)),
        call(*_sample(inputs, 14, 6, dtype="float32", step=0.25, level=0.3)),
        call(*_sample(inputs, 1, 4)),
        call(tensor([0.7] * 9, [9]), labels([True] * 2 + [False] * 7)),
        call(*spaced(1e-6), tag="extreme"),
        call(*spaced(50.0), tag="extreme"),
        call(_sample(inputs, 3, 4)[0], labels([False] * 7), tag="one class"),
        call(_sample(inputs, 2, 3)[0], labels([True] * 5), tag="one class"),
    ]


def _auroc_hidden(inputs: Inputs) -> list[dict]:
    return [
        call(*_sample(inputs, 400, 300, step=0.1)),
        call(*_sample(inputs, 90, 2, level=100.0)),
        call(*_sample(inputs, 1, 1)),
        call(*_sample(inputs, 12, 8, shift=20.0)),
        call(*_sample(inputs, 30, 25, level=-5e4, step=1e-3), tag="extreme"),
        call(_sample(inputs, 1, 0)[0], tensor([1.0], [1], "bool"), tag="one class"),
    ]


def _wins(scores: Tensor, is_anomaly: Tensor, tie: float = 0.5) -> Tensor:
    strange, usual = scores[is_anomaly.bool()], scores[~is_anomaly.bool()]
    return (strange[:, None] > usual).double() + tie * (strange[:, None] == usual).double()


def _auc(scores: Tensor, is_anomaly: Tensor) -> Tensor:
    return _wins(scores, is_anomaly).mean()


def _mean(values: Tensor) -> Tensor:
    return values.double().mean()


def _at(threshold: Callable[[Tensor], float | Tensor], balanced: bool) -> Callable[..., Tensor]:
    """Accuracy at one threshold, or the mean of the rates of the two classes."""

    def formula(scores: Tensor, is_anomaly: Tensor) -> Tensor:
        right = (scores > threshold(scores)) == is_anomaly.bool()
        if balanced:
            return (_mean(right[is_anomaly.bool()]) + _mean(right[~is_anomaly.bool()])) / 2
        return _mean(right)

    return formula


def _ranked(stable_order: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """The area from ranks 1, 2, 3, ... that ignore ties."""

    def formula(scores: Tensor, is_anomaly: Tensor) -> Tensor:
        order = stable_order(scores, is_anomaly)
        ranks = torch.empty_like(scores).double()
        ranks[order] = torch.arange(1.0, len(scores) + 1, dtype=torch.float64)
        n, m = is_anomaly.sum(), (~is_anomaly.bool()).sum()
        return (ranks[is_anomaly.bool()].sum() - n * (n + 1) / 2) / (n * m)

    return formula


def _precision_recall(scores: Tensor, is_anomaly: Tensor) -> tuple[Tensor, Tensor]:
    called = scores >= scores.unique().flip(0)[:, None]
    hits = (called & is_anomaly.bool()).sum(1).double()
    zero = torch.zeros(1, dtype=torch.float64)
    precision = torch.cat([zero + 1, hits / called.sum(1)])
    return precision, torch.cat([zero, hits / is_anomaly.sum()])


def _average_precision(scores: Tensor, is_anomaly: Tensor) -> Tensor:
    precision, recall = _precision_recall(scores, is_anomaly)
    return (precision[1:] * recall.diff()).sum()


_TIES = (
    "A tie counts one half: where an anomaly and an ordinary example have the same score, the "
    "detector can only toss a coin. {}"
)
_THRESHOLDS = {
    "0": lambda s: 0.0,
    "1/2": lambda s: 0.5,
    "the mean score": torch.mean,
    "the median score": torch.median,
}
_POINTS = (10, 11, 20, 21, 50, 51, 100, 101, 200, 201, 500, 1000, 1001)


def _pairs(formula: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda s, a: formula(_wins(s, a), a.sum(), (~a.bool()).sum())


# fmt: off
_AUROC = (
    Formula("sign", lambda s, a: 1 - _auc(s, a), "This is one minus the area: the classes are swapped, or a low score counts as strange. Higher is stranger, and is_anomaly marks the strange ones."),
    Formula("ties", lambda s, a: _wins(s, a, 0.0).mean(), _TIES.format("Here a tie counts nothing.")),
    Formula("ties", lambda s, a: _wins(s, a, 1.0).mean(), _TIES.format("Here a tie counts as a win.")),
    Formula("ties", _ranked(lambda s, a: s.argsort(stable=True)), _TIES.format("Here tied examples get ranks in the order in which they happen to lie.")),
    Formula("ties", _ranked(lambda s, a: s.argsort(stable=True, descending=True).flip(0)), _TIES.format("Here tied examples get a place in the order in which they happen to lie.")),
    *(Formula("accuracy", _at(f, False), f"This is the accuracy at the threshold {name}. AUROC needs no threshold: it is the share of pairs (anomaly, ordinary) in which the anomaly has the higher score.") for name, f in _THRESHOLDS.items()),
    *(Formula("one_threshold", _at(f, True), f"The scores are cut at {name} before the area is taken, which leaves one point of the curve. Rank the scores themselves.") for name, f in _THRESHOLDS.items()),
    Formula("average_precision", _average_precision, "This is the average precision, the area under another curve, which depends on how many anomalies there are."),
    Formula("average_precision", lambda s, a: torch.trapezoid(*_precision_recall(s, a)), "This is the area under precision against recall. Plot the rate of hits against the rate of false alarms."),
    Formula("folded", lambda s, a: torch.maximum(_auc(s, a), 1 - _auc(s, a)), "The larger of the area and one minus the area is returned. Below one half a score is worse than guessing, and has to say so: with labels at hand any score can be turned."),
    Formula("gini", lambda s, a: 2 * _auc(s, a) - 1, "This is 2 AUROC - 1. Guessing has to give one half."),
    Formula("not_divided", lambda s, a: _wins(s, a).sum(), "This is the number of pairs that are won. Divide by the number of all pairs of an anomaly and an ordinary example."),
    Formula("wrong_count", _pairs(lambda w, n, m: w.sum() / (n + m) ** 2), "The pairs that are won are divided by N * N. Only pairs of an anomaly and an ordinary example count."),
    Formula("wrong_count", _pairs(lambda w, n, m: w.sum() / ((n + m) * (n + m - 1) / 2)), "The pairs that are won are divided by all pairs. Only pairs of an anomaly and an ordinary example count."),
    Formula("wrong_count", _pairs(lambda w, n, m: w.sum() / (n + m)), "The pairs that are won are divided by the number of examples. Divide by the number of pairs of an anomaly and an ordinary example."),
    Formula("difference_of_means", lambda s, a: s[a.bool()].mean() - s[~a.bool()].mean(), "This is the difference of the mean scores. AUROC uses their order only."),
)
# fmt: on


def _unexplained(seen: list) -> tuple[str, str] | None:
    """Name values that are right without ties, and values that are nearly right everywhere."""
    if any(one.got.shape != one.want.shape for one in seen):
        return None
    limits = [[float(_wins(*one.args, tie).mean()) for tie in (0.0, 1.0)] for one in seen]
    if all(
        low - 1e-9 <= one.got <= high + 1e-9 for one, (low, high) in zip(seen, limits, strict=True)
    ):
        return "ties", _TIES.format("Without ties your values are right.")
    off = [float((one.got - one.want).abs()) for one in seen]
    if max(off) < 0.3 and sum(off) / len(off) < 0.06:
        return (
            "coarse",
            "Nearly right, but not exact. Is the curve evaluated at a fixed grid of thresholds, or is its "
            "first point, (0, 0), missing? Each different score is a threshold; or count pairs.",
        )
    return None


class _Auroc(Comparison):
    """A comparison whose result is a Python float, and a ValueError where a class is missing."""

    def __call__(self, exercise: Exercise, calls: list[dict], record: list) -> Result:
        paired = list(zip(calls, record, strict=False))
        ordinary = [one for one in paired if one[0]["tag"] != "one class"]
        faults.finished_runs(
            [c for c in calls if c["tag"] != "one class"], [r for _, r in ordinary]
        )
        result = super().__call__(exercise, *map(list, zip(*ordinary, strict=True)))
        if not result.passed:
            return result
        refusals = [c for c in calls if c["tag"] == "one class"]
        if len(paired) < len(calls) or not refusals:
            raise ValueError("Calls are missing.")
        for one, runs in paired:
            if one["tag"] == "one class":
                fault = self._refused(exercise, one, runs[0])
                if fault:
                    return fault
        return result

    def _refused(self, exercise: Exercise, one: dict, run: dict) -> Result | None:
        problem = run.get("problem")
        if problem is None:
            message = (
                "Right where both classes are there. With one of them missing, no pair can be compared: "
                "raise a ValueError that says so, for anomalies and for ordinary examples. (Newer "
                "scikit-learn only warns and returns NaN.)"
            )
            return self._at(
                exercise, "no_value_error", message, one, str(run["value"].get("value"))
            )
        kind, text = str(problem.get("type")), str(problem.get("text", ""))
        if problem.get("kind") != "raised" or kind == "NotImplementedError":
            return faults.stopped(exercise, problem, fed=self._fed_call(one))
        shown = f"{kind}: {text}"
        if kind != "ValueError":
            message = (
                "With one class missing it stops with another exception than asked. Look for the missing "
                "class first, and raise a ValueError that says what is missing."
            )
            return self._at(exercise, "wrong_exception", message, one, shown)
        if len(text.split()) < 3 or any(part in text for part in _BY_ACCIDENT):
            message = (
                "With one class missing there is a ValueError, but not one that tells the reader so. "
                "Write a sentence: what is missing, and what was expected."
            )
            return self._at(exercise, "no_sentence", message, one, shown)
        return None

    def _at(
        self, exercise: Exercise, mistake: str, message: str, one: dict, came: str = ""
    ) -> Result:
        details = (("fed", self._fed_call(one)), *((("came back", came),) if came else ()))
        return faults.failed(exercise, mistake, message, *details)


_BY_ACCIDENT = (
    "empty sequence",
    "argument is empty",
    "zero-size array",
    "math domain",
    "to unpack",
    "could not broadcast",
)

auroc = Exercise(
    "auroc",
    _auroc_calls,
    _Auroc(
        truth=_auc,
        arguments=("scores", "is_anomaly"),
        table=_AUROC,
        what="a Python float",
        floating=True,
        praise="The right area, ties included, and a sentence where one class is missing.",
        fallback=_unexplained,
        extreme=(
            "squashed",
            "Right on ordinary scores, wrong where they are large or close together: something makes "
            "different scores equal, such as a sigmoid, exp, or .float(). Only their order counts.",
        ),
        errors=(
            (
                r"Error: (Subtraction|Negative), the `-` operator",
                "mask_subtracted",
                "A bool tensor cannot be subtracted from 1. The opposite of is_anomaly is ~is_anomaly.",
            ),
            (
                r"continuous format is not supported",
                "arguments_swapped",
                "scikit-learn takes the labels first and then the scores.",
            ),
            (
                r"^ValueError: .*(class|missing|anomal)",
                "refuses_both_classes",
                "It refuses examples in which both classes are there.",
            ),
        ),
    ),
    hidden=_auroc_hidden,
)

EXERCISES = (anomaly_score, auroc)
