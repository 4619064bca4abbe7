"""Run a Python program that nobody trusts: bubblewrap around it, limits on all it takes.

Inside there is a read-only system, the interpreter with its packages, and a filtered copy of this
library (:func:`view`): without the judges of the checks, which know the right answers, and without
this folder. There is no network, no file of the user, no other process, and nothing written lasts.
What the program has to say comes through a pipe of its own, whose number is in ``ANSWERS``; its
stdout and stderr are read by nobody but for the errors of bubblewrap. ::

    outcome = run(["-c", "import os; os.write(int(os.environ['ANSWERS']), b'2')"], b"", Limits())
    outcome.status, outcome.output        # "done", b"2"

Started by root, the program runs as another user, because the kernel does not hold root to a
number of processes.
"""

from __future__ import annotations

import atexit
import compileall
import contextlib
import functools
import json
import os
import select
import shutil
import signal
import site
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "Limits", "Outcome", "Session", "run", "view", "why_not"]

PACKAGE = Path(__file__).resolve().parents[1]
COURSE = PACKAGE.parent
LIBRARY = Path("/course")  # where the filtered copy is seen inside
HOME = "/home/student"
ADDRESSES = 8_000_000_000  # torch asks for 3 GB of addresses at its import and uses few of them
BEYOND = 500_000_000  # what a process may ask for beyond what it may use
TMPFS = 64_000_000
_POLL = 0.1  # seconds
_PARTING = 2.0  # seconds between the last word and the end
_STDERR = 4000  # bytes

_CHECKS = '''"""Stands in for the checks while a submission is graded."""


class _Later:
    passed, mistake, message = None, None, "This is checked when the submission is graded."

    def __repr__(self):
        return self.message


def check(name, answer=None, *, seed=None):
    """Say that the answer is checked later, outside."""
    return _Later()
'''


@dataclass(frozen=True)
class Limits:
    """What a program may take.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of computing, of one process.
        memory: bytes in use by all of its processes together; one process may ask for
            0.5 GB more than that.
        processes: processes and threads at a time.
        file_bytes: the size of one file.
        output_bytes: what it may say in all.
        line_bytes: what it may say at once, see :meth:`Session.ask`.
    """

    wall: float = 300.0
    cpu: float = 300.0
    memory: int = 1_500_000_000
    processes: int = 64
    file_bytes: int = 50_000_000
    output_bytes: int = 100_000_000
    line_bytes: int = 12_000_000


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


class Ended(Exception):
    """The program is gone, or was ended because it overran a limit; ``.status`` and the text."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


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
            command, environment = _command(program, self.limits, theirs, self._scratch)
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


# What is seen inside


@functools.cache
def view() -> Path:
    """Return a copy of this library without what a submission must not see, for anybody to read.

    Left out are the judges of ``course_lib.checks`` (the probes stay), and ``course_lib.grading``;
    ``course_lib.check`` only says that an answer is checked later. The program ``inside.py`` lies
    beside it. The copy lasts as long as this process.
    """
    place = Path(tempfile.mkdtemp(prefix="course-view-", dir=_for_all()))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    copied = place / PACKAGE.name

    def leave_out(folder: str, names: list[str]) -> list[str]:
        inside = Path(folder).relative_to(PACKAGE).parts
        if inside == ("checks",):
            return [name for name in names if name != "probes"]
        return ["grading"] if inside == () else []

    shutil.copytree(PACKAGE, copied, ignore=leave_out)
    (copied / "checks" / "__init__.py").write_text(_CHECKS, encoding="utf-8")
    shutil.copy2(Path(__file__).with_name("inside.py"), place / "inside.py")
    (place / "matplotlib").mkdir()
    for fonts in _font_lists():
        shutil.copy2(fonts, place / "matplotlib")
    compileall.compile_dir(place, quiet=2)
    for folder, _, files in os.walk(place):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(Path(folder) / name, 0o644)
    return place


def _font_lists() -> list[Path]:
    """Return matplotlib's list of fonts, which takes a second to make anew."""
    import matplotlib
    import matplotlib.font_manager  # makes the list where there is none

    return sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))


def _environment(home: str, library: Path, answers: int) -> dict[str, str]:
    return {
        "ANSWERS": str(answers),
        "COURSE_DEVICE": "cpu",
        "COURSE_NOTES": f"{home}/notes",
        "COURSE_CACHE": f"{home}/cache",
        "COURSE_THREADS": "1",
        "HOME": home,
        "LANG": "C.UTF-8",
        "LOGNAME": "student",
        "MKL_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": f"{home}/matplotlib",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(library),
        "TMPDIR": "/tmp",
        "USER": "student",
    }


_LIMITED = """
import json, resource, sys
for name, value in json.loads(sys.argv[1]).items():
    which = getattr(resource, name)
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
import os
os.execv(sys.executable, [sys.executable, "-s", *sys.argv[2:]])
"""


def _command(
    program: Sequence[str], limits: Limits, answers: int, scratch: str | None
) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs Python within the limits, and its environment."""
    rlimits = {
        "RLIMIT_AS": ADDRESSES,
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": int(limits.cpu),
        "RLIMIT_DATA": limits.memory + BEYOND,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_NPROC": limits.processes + (_threads_of_user() if scratch else 0),
    }
    python = [sys.executable, "-I", "-S", "-c", _LIMITED, json.dumps(rlimits), *program]
    if scratch is None:
        return _sandboxed(python, _environment(HOME, LIBRARY, answers)), {"PATH": _PATH}
    shutil.copytree(view() / "matplotlib", Path(scratch) / "matplotlib")
    return python, _environment(scratch, view(), answers)


def _threads_of_user() -> int:
    """Return how many threads this user has; the kernel counts them together with the program's."""
    count, own = 0, os.getuid()
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == own:
                count += len(os.listdir(f"/proc/{entry.name}/task"))
        except OSError:
            continue
    return count


def _sandboxed(python: list[str], environment: dict[str, str]) -> list[str]:
    """Return the command that runs another one in a sandbox."""
    user = _other_user() if os.geteuid() == 0 else None
    sources: dict[str, str] = {}  # what that user cannot reach, and where it can
    arguments = [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"),
        *("--new-session", "--cap-drop", "ALL", "--hostname", "sandbox", "--clearenv"),
        *("--size", str(TMPFS), "--tmpfs", "/tmp"),
        *("--size", str(TMPFS), "--tmpfs", HOME),
    ]
    for top in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(top):
            arguments += ["--symlink", os.readlink(top), top]
    for place in _system():
        source = place
        if user is not None and not _reachable(place):
            source = sources.setdefault(place, f"{_stage()}/{len(sources)}")
        arguments += ["--ro-bind", source, place]
        for hidden in (str(COURSE), str(PACKAGE)):
            if hidden.startswith(f"{place.rstrip('/')}/") and os.path.isdir(hidden):
                arguments += ["--tmpfs", hidden, "--remount-ro", hidden]
    arguments += ["--ro-bind", str(view()), str(LIBRARY)]
    for fonts in (view() / "matplotlib").iterdir():
        arguments += ["--ro-bind", str(fonts), f"{HOME}/matplotlib/{fonts.name}"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    arguments += ["--size", str(TMPFS), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    for name, value in environment.items():
        arguments += ["--setenv", name, value]
    arguments += ["--chdir", HOME, "--remount-ro", "/"]
    command = [shutil.which("bwrap") or "bwrap", *arguments, "--", *python]
    if user is None:
        return command
    drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
    command = [*drop, "--inh-caps=-all", "--", *command]
    if not sources:
        return command
    # Mounts that only this command sees.
    pairs = [part for pair in sources.items() for part in pair]
    return ["unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(len(sources)), *pairs, *command]


_MOUNT = """
set -e
n=$1; shift
while [ "$n" -gt 0 ]; do mount --rbind "$1" "$2"; shift 2; n=$((n-1)); done
exec "$@"
"""


def _system() -> list[str]:
    """Return the folders and files that are seen inside, a folder before those in it."""
    places = {"/usr", "/etc/ld.so.cache", "/etc/fonts", "/etc/localtime", "/etc/alternatives"}
    places.add("/sys/devices/system/cpu")  # torch asks how many there are
    places |= {top for top in ("/bin", "/sbin", "/lib", "/lib64") if not os.path.islink(top)}
    paths = sysconfig.get_paths()
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, paths["stdlib"], paths["purelib"]}
    python |= {paths["platlib"], paths["platstdlib"], *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        python.add(site.getusersitepackages())
    executable = sys.executable
    for _ in range(10):  # a chain of links, each in a folder that has to be there
        python.add(str(Path(executable).parent))
        if not os.path.islink(executable):
            break
        executable = os.path.join(os.path.dirname(executable), os.readlink(executable))
    python |= {os.path.realpath(place) for place in python}
    places |= {os.path.normpath(place) for place in python}
    kept: list[str] = []
    for place in sorted(places):
        below = any(place.startswith(f"{one}/") for one in kept)
        if os.path.exists(place) and place != "/" and not below:
            kept.append(place)
    return kept


def _other_user() -> int:
    """Return the number of a user that nobody is, another for each process that grades."""
    return 61_184 + os.getpid() % 4_000


def _reachable(place: str) -> bool:
    """Whether any user can go there and read it."""
    path = Path(place).resolve()
    through = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return through and path.stat().st_mode & needed == needed


def _for_all() -> str | None:
    """Return the folder for what the other user has to reach; None for the usual one."""
    if os.geteuid() != 0 or _reachable(tempfile.gettempdir()):
        return None
    return next(filter(_reachable, filter(os.path.isdir, ("/tmp", "/var/tmp", "/dev/shm"))), None)


@functools.cache
def _stage() -> str:
    """Return a folder with folders to mount others on."""
    place = Path(tempfile.mkdtemp(prefix="course-stage-", dir=_for_all()))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for number, source in enumerate(one for one in _system() if not _reachable(one)):
        mode = Path(source).stat().st_mode
        if not mode & stat.S_IROTH or (stat.S_ISDIR(mode) and not mode & stat.S_IXOTH):
            raise Ended(
                "refused",
                f"Submissions run as another user than root, and that user cannot read {source}. "
                f"Let everybody read it (chmod -R a+rX {source}), or do not start as root.",
            )
        if stat.S_ISDIR(mode):
            (place / str(number)).mkdir()
        else:
            (place / str(number)).touch()
    os.chmod(place, 0o755)
    return str(place)


@functools.cache
def why_not() -> str | None:
    """Return None where submissions can be run in a sandbox, and else a sentence: what to do."""
    if not sys.platform.startswith("linux"):
        return (
            "The sandbox needs Linux. Grade on a Linux machine (a virtual one, or WSL 2 on "
            "Windows), or give --unsafe for submissions of people whom you trust."
        )
    needed = ["bwrap", *(["setpriv", "unshare", "mount"] if os.geteuid() == 0 else [])]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        package = "bubblewrap" if missing == ["bwrap"] else "bubblewrap util-linux"
        return (
            f"The sandbox needs the program {missing[0]}, which is not installed here: "
            f"sudo apt install {package} (or dnf, pacman)."
        )
    try:
        command = _sandboxed([sys.executable, "-c", "pass"], _environment(HOME, LIBRARY, 2))
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": _PATH}
        )
    except Ended as refused:
        return str(refused)
    except (OSError, subprocess.SubprocessError) as error:
        return f"The sandbox does not start: {error}"
    if done.returncode == 0:
        return None
    said = (done.stderr.strip().splitlines() or ["no reason was given"])[-1][:300]
    return f"The sandbox does not start ({said}). {_cure()}"


_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _cure() -> str:
    """Return what to do where the kernel does not let bubblewrap make its namespaces."""
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor keeps user namespaces from programs that it does not know, as in Ubuntu "
            "24.04. Add the profile that comes with it, sudo apt install apparmor-profiles && sudo "
            "ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && "
            "sudo systemctl reload apparmor, or switch the rule off: sudo sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0."
        )
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return "Allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1."
    if _setting("user/max_user_namespaces") == "0":
        return "Allow user namespaces: sudo sysctl user.max_user_namespaces=10000."
    return (
        "In a container, user namespaces have to be allowed from outside (docker run "
        "--security-opt seccomp=unconfined --security-opt systempaths=unconfined)."
    )


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text(encoding="ascii").strip()
    except OSError:
        return ""
