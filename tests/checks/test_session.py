"""A check never raises, always ends, believes no claim, and leaves no trace in the session."""

from __future__ import annotations

import builtins
import dataclasses
import io
import math
import random
import signal
import sys
import threading
import time
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch

from course_lib import check
from course_lib.checks import judging


def right(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)


def wrong(mu, logvar):
    return 2 * right(mu, logvar)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the learner's code half a second."""
    known = dict(judging.exercises())
    known["kl_standard_normal"] = dataclasses.replace(known["kl_standard_normal"], seconds=0.5)
    monkeypatch.setattr(judging, "exercises", lambda: known)


# --- it never raises -----------------------------------------------------------------------------


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


class _EqualToAll:
    """Claims to be a tensor, and to equal everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None

    @property
    def __class__(self):
        return torch.Tensor

    def __getattr__(self, name: str) -> _EqualToAll:
        return self

    def __call__(self, *args: object) -> _EqualToAll:
        return self


class _LyingTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return True


def _raises(error: BaseException):
    def code(mu, logvar):
        raise error

    return code


@pytest.mark.parametrize(
    ("code", "mistake"),
    [
        (_raises(ZeroDivisionError("oops")), "raised"),
        (_raises(NotImplementedError()), "not_implemented"),
        (_raises(_Unprintable()), "raised"),
        (_raises(SystemExit(1)), "exit_called"),
        (_raises(KeyboardInterrupt()), "interrupted"),
        (_raises(GeneratorExit()), "raised"),
        (lambda mu, logvar: sys.exit(0), "exit_called"),
        (lambda mu, logvar: None, "nothing_returned"),
        (lambda mu: mu, "wrong_signature"),
        (lambda mu, logvar: 3.0, "wrong_type"),
        (lambda mu, logvar: right(mu, logvar).tolist(), "wrong_type"),
        (lambda mu, logvar: right(mu, logvar).detach().numpy(), "wrong_type"),
        (lambda mu, logvar: (right(mu, logvar),), "wrong_type"),
        (lambda mu, logvar: torch.zeros(3, 1, 4), "wrong_shape"),
        (lambda mu, logvar: right(mu, logvar).int(), None),
        (lambda mu, logvar: right(mu, logvar) * math.nan, "not_finite"),
        (lambda mu, logvar: torch.ones(2, 2).to_sparse(), "wrong_shape"),
        (lambda mu, logvar: right(mu, logvar).to(torch.complex64), "wrong_dtype"),
        (lambda mu, logvar: _EqualToAll(), "wrong_type"),
        (lambda mu, logvar: wrong(mu, logvar).as_subclass(_LyingTensor), "missing_half"),
        (lambda mu, logvar: right(mu, logvar).detach(), "detached"),
        (3, "not_callable"),
        (None, "not_callable"),
    ],
)
def test_whatever_the_code_does_gets_a_sentence(code: object, mistake: str | None) -> None:
    result = check("kl_standard_normal", code)
    assert not result.passed
    assert len(result.message) > 20
    if mistake:
        assert result.mistake == mistake, str(result)


def test_code_that_prints_and_warns_passes_quietly(capsys: pytest.CaptureFixture) -> None:
    def loud(mu, logvar):
        print("mu", mu)
        print("to stderr", file=sys.stderr)
        warnings.warn("careful", stacklevel=1)
        return right(mu, logvar)

    assert check("kl_standard_normal", loud).passed
    assert capsys.readouterr() == ("", "")


def test_what_failing_code_printed_is_shown() -> None:
    def loud(mu, logvar):
        print("here I am")
        return wrong(mu, logvar)

    assert "here I am" in str(check("kl_standard_normal", loud))


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    result = check("kl_standart_normal", right)
    assert not result.passed
    assert "'kl_standard_normal'" in result.message


# --- it always ends ------------------------------------------------------------------------------


def _loops(mu, logvar):
    while True:
        pass


def _loops_and_swallows(mu, logvar):
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


def _loops_at_the_end(mu, logvar):
    try:
        while True:
            pass
    finally:
        while True:
            pass


def _loops_with_handlers(mu, logvar):
    while True:
        try:
            try:
                while True:
                    time.sleep(0.001)
            except Exception:
                continue
            finally:
                mu = mu + 1
        except:  # noqa: E722 - this is how such code is written
            continue


def _sleeps(mu, logvar):
    time.sleep(1000)


def _prints_for_ever(mu, logvar):
    while True:
        print("x" * 1000)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(
    "code",
    [
        _loops,
        _loops_and_swallows,
        _loops_with_handlers,
        _loops_at_the_end,
        _sleeps,
        _prints_for_ever,
    ],
)
def test_an_endless_loop_is_stopped(code) -> None:
    handler = signal.getsignal(signal.SIGALRM)
    start = time.monotonic()
    result = check("kl_standard_normal", code)
    assert time.monotonic() - start < 20
    assert result.mistake == "timed_out"
    assert "0.5 s" in result.message
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("swallows", [False, True])
def test_an_endless_loop_is_stopped_in_another_thread(swallows: bool) -> None:
    """And not left running, for that slows down whatever comes after it."""
    over = threading.Event()  # what swallows everything is ended by chance, and here for certain

    def code(mu, logvar):
        while not over.is_set():
            try:
                while not over.is_set():
                    pass
            except BaseException:
                if not swallows:
                    raise

    before, interval = set(threading.enumerate()), sys.getswitchinterval()
    results = []
    thread = threading.Thread(target=lambda: results.append(check("kl_standard_normal", code)))
    thread.start()
    thread.join(30)
    assert [r.mistake for r in results] == ["timed_out"]
    assert sys.getswitchinterval() == interval
    assert swallows or set(threading.enumerate()) <= before
    over.set()


@pytest.mark.usefixtures("_quick")
def test_an_import_is_not_torn(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that takes longer to import than the time allowed is imported whole."""
    (tmp_path / "slow_module.py").write_text("import time\ntime.sleep(1.2)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def imports(mu, logvar):
        import slow_module

        assert slow_module.whole
        return right(mu, logvar)

    # What time is left for the other calls after the import is a matter of the machine.
    assert check("kl_standard_normal", imports).mistake in (None, "timed_out")
    assert sys.modules.pop("slow_module").whole


def test_another_timer_goes_on() -> None:
    rung = []
    old = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        assert check("kl_standard_normal", right).passed
        end = time.monotonic() + 10
        while not rung and time.monotonic() < end:
            time.sleep(0.01)
        assert rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_a_right_answer_passes_in_another_thread() -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append(check("kl_standard_normal", right)))
    thread.start()
    thread.join(30)
    assert results[0].passed


# --- it cannot be fooled -------------------------------------------------------------------------


def _patches() -> dict[str, tuple[object, str, object]]:
    always, never = (lambda *a, **k: True), (lambda *a, **k: False)
    return {
        "torch.allclose": (torch, "allclose", always),
        "torch.equal": (torch, "equal", always),
        "torch.isclose": (torch, "isclose", lambda a, b, **k: torch.ones_like(a, dtype=bool)),
        "torch.testing": (torch.testing, "assert_close", lambda *a, **k: None),
        "torch.isfinite": (torch, "isfinite", lambda a: torch.ones_like(a, dtype=bool)),
        "Tensor.all": (torch.Tensor, "all", always),
        "Tensor.abs": (torch.Tensor, "abs", lambda a: torch.zeros_like(a)),
        "Tensor.__eq__": (torch.Tensor, "__eq__", always),
        "Tensor.__le__": (torch.Tensor, "__le__", lambda a, b: torch.ones_like(a, dtype=bool)),
        "Tensor.tolist": (torch.Tensor, "tolist", lambda a: [0.0] * a.numel()),
        "builtins.all": (builtins, "all", always),
        "builtins.any": (builtins, "any", never),
        "builtins.abs": (builtins, "abs", lambda x: 0),
        "builtins.isinstance": (builtins, "isinstance", always),
        "builtins.zip": (builtins, "zip", lambda *a, **k: iter(())),
        "math.isclose": (math, "isclose", always),
        "math.isfinite": (math, "isfinite", always),
        "numpy.allclose": (np, "allclose", always),
    }


@pytest.mark.parametrize("name", _patches())
def test_patched_functions_change_no_verdict(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check("kl_standard_normal", right)  # all is imported before the notebook plays tricks
    place, attribute, fake = _patches()[name]
    with monkeypatch.context() as patch:
        patch.setattr(place, attribute, fake, raising=False)
        bad, detached = check("kl_standard_normal", wrong), check("kl_standard_normal", _cut)
        good = check("kl_standard_normal", right) if name.startswith(("torch", "numpy")) else None
        kept = getattr(place, attribute)
    assert kept is fake or name.startswith("Tensor"), "the session's own patch is gone"
    assert (bad.passed, bad.mistake) == (False, "missing_half"), name
    assert not detached.passed, name
    assert good is None or good.passed, str(good)


def _cut(mu, logvar):
    return right(mu, logvar).detach()


def test_code_that_patches_while_it_runs_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name in ((torch, "allclose"), (builtins, "all"), (torch.Tensor, "tolist")):
        monkeypatch.setattr(place, name, getattr(place, name))  # to be restored afterwards

    def sly(mu, logvar):
        torch.allclose = builtins.all = lambda *a, **k: True
        torch.Tensor.tolist = lambda self: [0.0] * self.numel()
        return wrong(mu, logvar)

    result = check("kl_standard_normal", sly)
    monkeypatch.undo()
    assert result.mistake == "missing_half"


def test_inputs_do_not_follow_the_sessions_seed() -> None:
    seen = []

    def spy(mu, logvar):
        seen.append(mu.detach().clone())
        return right(mu, logvar)

    for _ in range(2):
        torch.manual_seed(0)
        random.seed(0)
        check("kl_standard_normal", spy)
    half = len(seen) // 2
    assert not torch.equal(seen[0], seen[half])


# --- it leaves no trace --------------------------------------------------------------------------


def _vandal(mu, logvar):
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    torch.autograd.set_detect_anomaly(True)
    torch.set_default_device("meta")
    warnings.simplefilter("error")
    return right(mu, logvar)


def _state() -> tuple:
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_num_threads(),
        torch.is_anomaly_enabled(),
        list(warnings.filters),
        sys.stdout,
        sys.stderr,
        threading.active_count(),
    )


@pytest.mark.parametrize("name", ["kl_standard_normal", "reparameterize", "VAE", "train_step"])
def test_the_session_is_as_before(name: str) -> None:
    before = _state()
    check(name, _vandal)
    assert _state() == before


def test_random_numbers_go_on_as_without_the_check() -> None:
    def draws(mu, logvar):
        return mu + (0.5 * logvar).exp() * torch.randn_like(mu)

    torch.manual_seed(1)
    without = torch.randn(3)
    torch.manual_seed(1)
    assert check("reparameterize", draws).passed
    assert torch.equal(torch.randn(3), without)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(mode) -> None:
    with mode():
        assert check("kl_standard_normal", right).passed


def test_it_works_with_other_defaults() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert check("kl_standard_normal", right).passed
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_learners_tensors_get_no_gradient() -> None:
    scale = torch.ones((), requires_grad=True, dtype=torch.float64)
    assert check("kl_standard_normal", lambda mu, logvar: scale * right(mu, logvar)).passed
    assert scale.grad is None


# --- it shows itself -----------------------------------------------------------------------------


def test_a_result_shows_itself_in_a_notebook_and_elsewhere() -> None:
    bundle = check("kl_standard_normal", wrong)._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert "expected" in bundle["text/html"]
    assert "expected" in bundle["text/plain"]
    out = io.StringIO()
    with redirect_stdout(out):
        print(check("kl_standard_normal", right))
    assert "right" in out.getvalue()


def test_what_the_learner_wrote_is_escaped() -> None:
    result = check("kl_standard_normal", _raises(ValueError("<script>")))
    assert "<script>" not in result._repr_html_()
    assert "<script>" in str(result)


def test_a_picture_has_alternative_text() -> None:
    def uniform(mu, logvar):
        return mu + (0.5 * logvar).exp() * torch.rand_like(mu)

    result = check("reparameterize", uniform)
    assert result.mistake == "uniform_noise"
    assert "Histogram" in result.drawing.alt
    assert 'alt="Histogram' in result._repr_html_()
    assert len(result._repr_html_()) < 100_000
