"""What a function uses of the library is found by reading, and nothing else is."""

from __future__ import annotations

import time

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
        (
            "def f(m, course_lib=None):\n    import course_lib.x as d\n    return d",
            {"course_lib.x"},
        ),
        (
            "def f(m):\n    [0 for theirs in ()]\n    return theirs(m)",
            {"course_lib.divergences.kl_normal"},
        ),
        (
            "def f(m):\n    g = lambda theirs: m\n    return theirs(m)",
            {"course_lib.divergences.kl_normal"},
        ),
        (
            "def f(m):\n    def g(theirs): return m\n    return theirs(m)",
            {"course_lib.divergences.kl_normal"},
        ),
        ("def f(m, theirs=theirs): return theirs(m)", {"course_lib.divergences.kl_normal"}),
        ("f = lambda m, g=lambda theirs: 0: theirs(m)", {"course_lib.divergences.kl_normal"}),
        ("f = [theirs for theirs in theirs(1)]", {"course_lib.divergences.kl_normal"}),
        (
            "import torch as theirs_2\ndef f(m):\n    def g():\n        import torch as theirs\n"
            "    return theirs(m)",
            {"course_lib.divergences.kl_normal"},
        ),
        ("def f(m): return [theirs(m) for theirs in (torch.exp,)]", set()),
        ("def f(m): return (lambda theirs: theirs(m))(torch.exp)", set()),
        ("def f(m):\n    def theirs(m): return m\n    return theirs(m)", set()),
        ("def f(m):\n    [theirs := 1 for _ in m]\n    return theirs", set()),
        ("%time f = theirs", {"course_lib.divergences.kl_normal"}),
        ("if 1:\n    %time f = theirs", {"course_lib.divergences.kl_normal"}),
        ("x = %time f = theirs", {"course_lib.divergences.kl_normal"}),
        ("\n%%time\nf = theirs", {"course_lib.divergences.kl_normal"}),
        ("%%bash\nf = theirs", set()),
        ("x = 'a\x0cb'\nf = theirs", {"course_lib.divergences.kl_normal"}),
        ("f = lambda m: (1\n!= 0) and theirs(m)", {"course_lib.divergences.kl_normal"}),
        ("x = !ls\nf = theirs\nf?\n?f", {"course_lib.divergences.kl_normal"}),
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
        ("def f(): return torch.importlib.import_module('x')", {"torch.importlib.import_module"}),
        ("def f(): return torch.sys.modules['x']", {"torch.sys.modules"}),
        ("def f(): return torch.inspect.stack()", {"torch.inspect.stack"}),
        ("def f(): return [torch][0].builtins.exec", {"builtins"}),
        ("def f():\n    import sys as s\n    return s.modules['x']", {"sys.modules"}),
        ("def f(importlib=importlib): return importlib.x", {"importlib"}),
        ("def f(inspect, gc): return inspect * gc", set()),
        ("import gc, inspect\ndef f(): return gc.collect(), inspect.signature(max)", set()),
        ("def f(): return torch.nn.Linear(2, 2).eval()", set()),
        ("def f(model): return model.eval().modules()", set()),
        ("def f(x): return torch.compile(x)", set()),
    ],
)
def test_ways_round_it(code, ways):
    _, found = read_source([IMPORTS, code]).uses("f")
    assert found == ways


@pytest.mark.parametrize(
    ("code", "ways"),
    [
        ("globals()['f'] = lambda: 1", {"globals"}),
        ("if True:\n    exec('f = 1')", {"exec"}),
        ("class A:\n    globals()['f'] = 1", {"globals"}),
        ("@(lambda f: vars().update(g=f))\ndef h(): pass", {"vars"}),
        ("def g(): globals()['f'] = 1\ng()", {"globals"}),
        ("setattr(sys.modules['__main__'], 'f', 1)", {"sys.modules"}),
        ("get_ipython().run_line_magic('time', 'f = 1')", {"run_line_magic"}),
        ("shell = get_ipython()\nshell.run_cell_magic('time', '', 'f = 1')", {"run_cell_magic"}),
        ("get_ipython().run_line_magic('matplotlib', 'inline')", set()),
        ("%matplotlib inline\n!pip list\nimport gc\ngc.collect()\nx = 1", set()),
        ("try:\n    import importlib\nexcept ImportError:\n    pass", set()),
        ("def g(): return globals()", set()),
        ("model = torch.nn.Linear(2, 2).eval()\nmodel.eval()", set()),
    ],
)
def test_ways_round_it_at_the_top_level(code, ways):
    found = {name.rpartition(".")[2] for name in read_source([IMPORTS, code]).detours()}
    assert found == {name.rpartition(".")[2] for name in ways}


@pytest.mark.parametrize(
    ("code", "bound"),
    [
        ("def f(): pass", True),
        ("from torch import exp as f", True),
        ("for f in (1, 2): pass", True),
        ("%%time\nf, g = 1, 2", True),
        ("    %matplotlib inline\n    def f(): pass", True),
        ("x = 1 \\\n  + 2\n!ls\nf = 3", True),
        ("globals()['f'] = 1", False),
        ("%%writefile x.py\ndef f(): pass", False),
        ("def g():\n    f = 1", False),
    ],
)
def test_what_is_bound_where_it_can_be_read(code, bound):
    assert read_source([code]).binds("f") == bound


@pytest.mark.parametrize("line", [" " * 10**6, "x " * 500_000, "%time " * 150_000, "a." * 500_000])
def test_a_long_line_that_is_not_python_is_read_in_no_time(line):
    start = time.process_time()
    read_source([f"this is (not Python\n{line}="])
    assert time.process_time() - start < 5


def test_what_is_replaced():
    code = "torch.allclose = lambda *a: True\nsetattr(torch, 'equal', 1)\nmodel.x = 1\ny = 2"
    assert read_source([IMPORTS, code]).replaced == {"torch.allclose", "torch.equal"}


@pytest.mark.parametrize("code", ["(" * 9_000, "x = " + "-" * 9_000 + "1", "x = a" + ".b" * 9_000])
def test_code_that_is_too_deep_is_passed_over(code):
    assert read_source([code]).uses("x") == (set(), set())


def test_a_long_chain_of_conditions_is_passed_over():
    code = "if 1: pass\n" + "elif 1: pass\n" * 900
    assert read_source([code, "import course_lib as f"]).uses("f")[0] == {"course_lib"}
