"""What a function uses of the library is found by reading, and nothing else is."""

from __future__ import annotations

import pytest

from course_lib.grading.reading import read_source

IMPORTS = """
import sys, importlib, torch
import course_lib
import course_lib.models as m
from course_lib import bounds
from course_lib.divergences import kl_normal as theirs
"""


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("def f(mu): return theirs(mu)", {"course_lib.divergences.kl_normal"}),
        ("f = theirs", {"course_lib.divergences.kl_normal"}),
        ("from course_lib.divergences import kl as f", {"course_lib.divergences.kl"}),
        ("def f(mu): return bounds.rate(mu)", {"course_lib.bounds.rate"}),
        ("def f(mu): return course_lib.bounds.rate(mu)", {"course_lib.bounds.rate"}),
        ("def g(mu): return bounds.rate(mu)\ndef f(mu): return g(mu)", {"course_lib.bounds.rate"}),
        (
            "def f(mu):\n    from course_lib import oracles as o\n    return o",
            {"course_lib.oracles"},
        ),
        ("try:\n    from course_lib.x import f\nexcept Exception: pass", {"course_lib.x.f"}),
        ("class f(m.VAE): pass", {"course_lib.models.VAE"}),
        ("from course_lib.bounds import *\ndef f(): return rate", {"course_lib.bounds.*"}),
        ("def f(): return sys.modules['course_lib.bounds']", {"course_lib.bounds"}),
        ("def f(model: m.VAE) -> bounds.Terms: return model", set()),
        ("def f(bounds): return bounds.rate", set()),
        ("def f(mu):\n    theirs = mu\n    return theirs", set()),
        ("def g(mu): return theirs(mu)\ndef f(mu): return torch.exp(mu)", set()),
        ("def f(mu): return mu.rate()", set()),
        ("%matplotlib inline\n!ls\ndef f(mu): return bounds.rate(mu)", {"course_lib.bounds.rate"}),
    ],
)
def test_the_library(code, used):
    found, _ = read_source([IMPORTS, "this is (not Python", code]).uses("f")
    assert found == used


@pytest.mark.parametrize(
    ("code", "ways"),
    [
        ("def f(): return __import__('x')", {"__import__"}),
        ("def f(): return importlib.import_module('x')", {"importlib.import_module"}),
        ("def f():\n    import importlib as i\n    return i", {"importlib"}),
        ("def f(): return eval('1')", {"eval"}),
        ("def f(): return sys.modules['x']", {"sys.modules"}),
        ("def f(): return sys._getframe(1).f_back", {"sys._getframe", "f_back"}),
        ("def f(): return ().__class__.__base__.__subclasses__()", {"__subclasses__"}),
        ("def f(model): return model.eval().modules()", set()),
        ("def f(x): return torch.compile(x)", set()),
    ],
)
def test_ways_round_it(code, ways):
    _, found = read_source([IMPORTS, code]).uses("f")
    assert found == ways


def test_what_is_replaced():
    code = "torch.allclose = lambda *a: True\nsetattr(torch, 'equal', 1)\nmodel.x = 1\ny = 2"
    assert read_source([IMPORTS, code]).replaced == {"torch.allclose", "torch.equal"}


@pytest.mark.parametrize("code", ["(" * 9_000, "x = " + "-" * 9_000 + "1", "x = a" + ".b" * 9_000])
def test_code_that_is_too_deep_is_passed_over(code):
    assert read_source([code]).uses("x") == (set(), set())


def test_a_long_chain_of_conditions_is_passed_over():
    code = "if 1: pass\n" + "elif 1: pass\n" * 900
    assert read_source([code, "import course_lib as f"]).uses("f")[0] == {"course_lib"}
