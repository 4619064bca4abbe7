"""The half of a check that runs where the learner's code is.

``probe`` takes a plan (plain data, made elsewhere from a seed) and the learner's function, and
brings back plain data. It knows no answer: no formula of any exercise is in this folder, so that a
grader can put it beside code that it does not trust.
"""

from __future__ import annotations

from .calls import probe_calls
from .guard import Guard, Problem
from .pristine import Pristine
from .session import untouched
from .training import probe_step
from .vae import probe_vae

__all__ = ["Guard", "Pristine", "Problem", "probe", "untouched"]


def probe(plan: dict, function: object) -> dict:
    """Call the learner's function as ``plan`` says.

    Args:
        plan: plain data from ``course_lib.checks.plan``.
        function: the learner's function or class.

    Returns:
        ``{"record": ..., "printed": str}``, all of it fit for JSON. Nothing that the function does
        is raised.
    """
    if not callable(function):
        return {"problem": {"kind": "not_callable", "type": type(function).__name__}}
    with Pristine() as pristine, untouched(plan["seed"]) as printed:
        guard = Guard(plan["seconds"], pristine)
        record = _PROBES[plan["probe"]](plan, function, guard)
        return {"record": record, "printed": printed.text}


_PROBES = {"calls": probe_calls, "vae": probe_vae, "step": probe_step}
