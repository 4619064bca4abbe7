"""Run somebody's code so that nothing it does, and no loop it is in, ends the check."""

from __future__ import annotations

import ctypes
import linecache
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from .pristine import Pristine

_OWN_FOLDER = __file__.rpartition("guard")[0]
_AGAIN = 2e-5  # seconds
_IMPORT_GRACE = 30.0  # seconds
_INSIST = 3.0  # seconds


class Problem(Exception):
    """The learner's code did not come back with a value; ``.plain`` says how."""

    def __init__(self, **plain: object) -> None:
        super().__init__(plain)
        self.plain = plain


class _TimeIsUp(BaseException):
    """Raised inside the learner's code. No ``except Exception`` there catches it."""


class Guard:
    """A time allowance that several calls share.

    On the main thread a timer signal interrupts the code, again and again should it swallow the
    interruption. Elsewhere (and on Windows) the code runs in a thread of its own, which is
    interrupted at the next Python instruction and left behind if that never comes.

    Args:
        seconds: the allowance of all calls together.
        pristine: the context in which the caller works, lifted while the code runs.
    """

    def __init__(self, seconds: float, pristine: Pristine) -> None:
        self.seconds = seconds
        self._left = seconds
        self._pristine = pristine

    def call(self, work: Callable, *args: object) -> object:
        """Return ``work(*args)``.

        Raises:
            Problem: it raised (``kind="raised"``), left the program (``"exit"``), was stopped by
                the user (``"interrupted"``) or by the time limit (``"timeout"``).
        """
        with self._pristine.session():
            outcome = self._run(work, args)
        return self._value(outcome)

    def read(self, work: Callable, *args: object) -> object:
        """Return ``work(*args)``, where ``work`` is ours and handles what the learner's code made.

        As :meth:`call`, but with all functions as they were before the notebook replaced any.
        """
        return self._value(self._run(work, args))

    def _run(self, work: Callable, args: tuple) -> tuple[bool, object]:
        seconds = self._left if self._left > 0.01 else 0.01
        on_main = threading.current_thread() is threading.main_thread()
        run = _run_here if on_main and hasattr(signal, "setitimer") else _run_in_thread
        start = time.monotonic()
        outcome = run(work, args, seconds)
        self._left -= time.monotonic() - start
        return outcome

    def _value(self, outcome: tuple[bool, object]) -> object:
        done, value = outcome
        if done:
            return value
        raise self._problem(value)

    def _problem(self, error: object) -> Problem:
        if isinstance(error, _TimeIsUp):
            return Problem(kind="timeout", seconds=self.seconds)
        if isinstance(error, KeyboardInterrupt):
            return Problem(kind="interrupted")
        if isinstance(error, SystemExit):
            return Problem(kind="exit")
        done, text = self._run(str, (error,))  # the learner's code too
        return Problem(
            kind="raised",
            type=str(type(error).__name__)[:80],
            text=text[:500] if done and type(text) is str else "",
            **_place_of(error),
        )


def _attempt(work: Callable, args: tuple) -> tuple[bool, object]:
    try:
        return True, work(*args)
    except BaseException as error:
        return False, error


def _run_here(work: Callable, args: tuple, seconds: float) -> tuple[bool, object]:
    before = time.monotonic()

    def on_alarm(signum: int, frame: FrameType | None) -> None:
        if not _inside_attempt(frame, on_alarm):
            return
        if _importing(frame) and time.monotonic() < before + seconds + _IMPORT_GRACE:
            return  # the timer comes again
        # In quick succession from now on: one that the code swallows is followed by others, until
        # one falls between two of its try statements.
        signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        raise _TimeIsUp

    old_handler = signal.signal(signal.SIGALRM, on_alarm)
    old_delay, old_interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)
    try:
        return _attempt(work, args)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old_handler)
        if old_delay:  # somebody else's timer, such as a test runner's
            rest = old_delay - (time.monotonic() - before)
            signal.setitimer(signal.ITIMER_REAL, rest if rest > 0.001 else 0.001, old_interval)


def _run_in_thread(work: Callable, args: tuple, seconds: float) -> tuple[bool, object]:
    outcome: list[tuple[bool, object]] = []

    def body() -> None:
        try:
            outcome.append(_attempt(work, args))
        except _TimeIsUp:  # it came late, outside the attempt
            return

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(seconds)
    end = time.monotonic() + _IMPORT_GRACE
    while _importing(sys._current_frames().get(thread.ident)) and time.monotonic() < end:
        thread.join(0.05)
    _interrupt(thread)
    return outcome[0] if outcome else (False, _TimeIsUp())


def _interrupt(thread: threading.Thread) -> None:
    """End a thread, or give up on one that is not at work in Python, such as one that sleeps.

    As with the timer, an interruption that is swallowed is followed by others in quick succession;
    a loop that is left running slows down all that the session does afterwards.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    end = time.monotonic() + _INSIST
    try:
        while thread.is_alive() and time.monotonic() < end:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(_TimeIsUp)
            )
            time.sleep(0)  # shorter than any other pause, so that some fall into a handler
    finally:
        sys.setswitchinterval(interval)


def _inside_attempt(frame: FrameType | None, handler: Callable) -> bool:
    """Whether the code under trial is running, and not yet being interrupted."""
    outer = frame
    while outer is not None and outer.f_code is not _attempt.__code__:
        if outer.f_code is handler.__code__:
            return False
        outer = outer.f_back
    return outer is not None and outer is not frame


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported, which would be left in pieces by an interruption."""
    while frame is not None and frame.f_code is not _attempt.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _place_of(error: BaseException) -> dict[str, str]:
    """Return where it was raised: the innermost function, and the learner's last line."""
    line, inside, step = "", "", error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        inside = code.co_name
        if not code.co_filename.startswith(_OWN_FOLDER) and "site-packages" not in code.co_filename:
            line = linecache.getline(code.co_filename, step.tb_lineno).strip() or line
        step = step.tb_next
    return {"line": line[:200], "inside": str(inside)[:80]}
