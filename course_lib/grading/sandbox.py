"""Run a Python program that nobody trusts: bubblewrap around it, limits on all it takes.

What it sees there is made by :mod:`course_lib.grading.isolation`: a read-only system, the
interpreter with its packages, and a copy of this library without the judges of the checks, which
know the right answers, and without this folder. There is no network, no file of the user, no other
process, and nothing written lasts.
What the program has to say comes through a pipe of its own, whose number is in ``ANSWERS``; its
stdout and stderr are read by nobody but for the errors of bubblewrap. ::

    outcome = run(["-c", "import os; os.write(int(os.environ['ANSWERS']), b'2')"], b"", Limits())
    outcome.status, outcome.output        # "done", b"2"

Started by root, the program runs as another user, because the kernel does not hold root to a
number of processes.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.grading.isolation import Ended, Limits, command_for, why_not

__all__ = ["Outcome", "Session", "run"]

_POLL = 0.1  # seconds
_PARTING = 2.0  # seconds between the last word and the end
_STDERR = 4000  # bytes


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes:
        status: ``"done"``, ``"timed_out"``, ``"memory"``, ``"output"`` (it said too much),
            ``"ended"`` (it left, or was ended, with an error), or ``"refused"`` (there is no
            sandbox; nothing was run).
        reason: a sentence about it.
        output: what came through its own pipe, cut at the limit.
        seconds: how long it took.
        peak_memory: the most memory that was seen in use, in bytes.
    """

    status: str
    reason: str
    output: bytes = b""
    seconds: float = 0.0
    peak_memory: int = 0


def run(
    program: Sequence[str], stdin: bytes, limits: Limits | None = None, *, unsafe: bool = False
) -> Outcome:
    """Run Python with the arguments ``program`` and bring back what it says.

    Args:
        program: such as ``["-c", "print(1)"]``; files are those that are seen inside.
        stdin: what it can read.
        limits: what it may take.
        unsafe: without a sandbox, with this user's rights.

    Returns:
        How it ended. Nothing that the program does is raised.
    """
    try:
        session = Session(program, limits, unsafe=unsafe)
    except Ended as refused:
        return Outcome(refused.status, str(refused))
    output = bytearray()
    try:
        with session:
            session.put(stdin)
            while chunk := session.take():
                output += chunk
            session.wait()
    except Ended as ended:
        status, reason = ended.status, str(ended)
    else:
        status, reason = "done", "It ran to its end."
    room = session.limits.output_bytes
    return Outcome(status, reason, bytes(output[:room]), session.seconds, session.peak_memory)


class Session:
    """A running program that is asked one thing after another; a context manager that ends it.

    The program's end follows that of the thread that made the session, so make and use it in one.

    Args:
        program: the arguments of Python.
        limits: what it may take.
        unsafe: without a sandbox, with this user's rights.

    Raises:
        Ended: ``status="refused"``, where there is no sandbox.
    """

    def __init__(
        self, program: Sequence[str], limits: Limits | None = None, *, unsafe: bool = False
    ) -> None:
        refusal = None if unsafe else why_not()
        if refusal:
            raise Ended("refused", refusal)
        self.limits = limits or Limits()
        self.peak_memory = 0
        self.seconds = 0.0
        self._over: Ended | None = None
        self._allowed = 0.0
        self._said = 0
        self._buffer = bytearray()
        self._errors = bytearray()
        self._start = time.monotonic()
        self._answers, theirs = os.pipe()
        try:
            self._scratch = tempfile.mkdtemp(prefix="course-unsafe-") if unsafe else None
            command, environment = command_for(program, self.limits, theirs, self._scratch)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=self._scratch or "/",
                pass_fds=(theirs,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._answers)
            raise
        finally:
            os.close(theirs)
        for pipe in (self._answers, self._process.stdin.fileno(), self._process.stderr.fileno()):
            os.set_blocking(pipe, False)
        self._errors_from = [self._process.stderr.fileno()]
        self._unsafe = unsafe
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def put(self, data: bytes) -> None:
        """Give the program all of its input, and no more after it."""
        self._write(data, None)
        self._process.stdin.close()

    def take(self) -> bytes:
        """Return what the program says next, and nothing at its end.

        Raises:
            Ended: it overran a limit.
        """
        if self._buffer:
            chunk, self._buffer = bytes(self._buffer), bytearray()
            return chunk
        if not self._read(None):
            return b""
        return self.take()

    def ask(self, line: bytes, seconds: float) -> bytes:
        """Give the program one line and return the next one that it says.

        Args:
            line: with no newline in it; an empty one only waits.
            seconds: how long to wait for the answer.

        Raises:
            Ended: the program is gone, overran a limit, or did not answer in time (it is ended).
        """
        deadline = time.monotonic() + seconds
        self._allowed = seconds
        if line:
            self._write(line + b"\n", deadline)
        while b"\n" not in self._buffer:
            if len(self._buffer) > self.limits.line_bytes:
                raise self._end("output", "It gave back more than a result can be.")
            if not self._read(deadline):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_PARTING)
                if self._process.poll() is not None:
                    self.wait()
                raise self._end("ended", "It ended the Python process.")
        answer, _, rest = self._buffer.partition(b"\n")
        self._buffer = bytearray(rest)
        return bytes(answer)

    def wait(self) -> None:
        """Wait for the end of the program.

        Raises:
            Ended: it did not end well, or overran a limit.
        """
        try:
            rest = self._start + self.limits.wall - time.monotonic() + 5
            self._process.wait(max(rest, 1))
        except subprocess.TimeoutExpired:
            raise self._end("timed_out", self._too_long(self.limits.wall)) from None
        self._drain_errors()
        if self._over:
            raise self._over
        code = self._process.returncode
        if code:
            # bubblewrap tells of a signal as a shell does
            number = -code if code < 0 else code - 128
            names = {one.value: one.name for one in signal.Signals}
            how = names.get(number, f"exit code {code}")
            last = self._errors.decode("utf-8", "replace").strip().splitlines()[-1:]
            said = f": {last[0][:300]}" if last else ""
            raise Ended("ended", f"It ended the Python process ({how}{said}).")

    def close(self) -> None:
        """End the program and all that it started."""
        self._closing.set()
        self._kill()
        self._process.wait()
        self._watcher.join()
        self.seconds = time.monotonic() - self._start
        for pipe in (self._process.stdin, self._process.stderr):
            with contextlib.suppress(OSError):  # what was not written has nowhere to go
                pipe.close()
        if self._answers is not None:
            os.close(self._answers)
            self._answers = None
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _write(self, data: bytes, deadline: float | None) -> None:
        pipe, rest = self._process.stdin.fileno(), memoryview(data)
        while rest:
            # It may be talking rather than listening, and would wait for us.
            readable, writable = self._select(pipe, deadline)
            if readable and not self._read(deadline):
                return  # nobody reads any more; whoever asks next will see
            if writable:
                try:
                    rest = rest[os.write(pipe, rest) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    return

    def _read(self, deadline: float | None) -> bool:
        """Add what comes to the buffer; False at the end."""
        while True:
            self._select(None, deadline)
            try:
                chunk = os.read(self._answers, 1 << 16)
            except BlockingIOError:
                if self._process.poll() is None:
                    continue
                return False  # something that it left behind holds the pipe
            self._said += len(chunk)
            self._buffer += chunk
            if self._said > self.limits.output_bytes:
                most = self.limits.output_bytes / 1e6
                raise self._end("output", f"It put out more than {most:,.0f} MB.")
            return bool(chunk)

    def _select(self, writing: int | None, deadline: float | None) -> tuple[bool, bool]:
        while True:
            if self._over:
                raise self._over
            if deadline is not None and time.monotonic() > deadline:
                raise self._end("timed_out", self._too_long(self._allowed))
            pipes = [self._answers, *self._errors_from]
            readable, writable, _ = select.select(
                pipes, [] if writing is None else [writing], [], _POLL
            )
            self._drain_errors()
            gone = self._process.poll() is not None
            if self._answers in readable or writable or gone:
                return self._answers in readable or gone, bool(writable)

    def _drain_errors(self) -> None:
        """Read stderr, so that nobody waits to write there, and keep the end of it."""
        for pipe in self._errors_from:
            try:
                for _ in range(100):
                    chunk = os.read(pipe, 1 << 16)
                    self._errors = (self._errors + chunk)[-_STDERR:]
                    if not chunk:
                        self._errors_from = []
                        break
            except BlockingIOError:
                continue

    def _too_long(self, seconds: float) -> str:
        return f"It was still running after {max(seconds, 0):.0f} s and was stopped."

    def _end(self, status: str, reason: str) -> Ended:
        self._over = self._over or Ended(status, reason)
        self._kill()
        return self._over

    def _kill(self) -> None:
        """Kill bubblewrap, and with it, by the kernel, all that is inside."""
        if self._process.poll() is None:
            self._process.kill()
        if self._unsafe:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _watch(self) -> None:
        """Hold the program to its time and its memory."""
        while not self._closing.wait(_POLL) and self._process.poll() is None:
            if time.monotonic() > self._start + self.limits.wall:
                self._end("timed_out", self._too_long(self.limits.wall))
                return
            pids = _tree(self._process.pid)
            used = sum(map(_resident, pids))
            if used > self.limits.memory:
                used = sum(map(_own_share, pids))  # what several share is counted once
            self.peak_memory = max(self.peak_memory, used)
            if used > self.limits.memory:
                most = self.limits.memory / 1e9
                self._end("memory", f"It took more than {most:.1f} GB of memory and was stopped.")
                return


def _tree(pid: int) -> list[int]:
    """Return a process and all that it started, as far as they are there."""
    found, waiting = [], [pid]
    while waiting and len(found) < 2000:
        one = waiting.pop()
        found.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                text = Path(f"/proc/{one}/task/{task}/children").read_text(encoding="ascii")
                waiting += map(int, text.split())
        except OSError:
            continue
    return found


def _resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _own_share(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return _resident(pid)
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
