"""A program in the sandbox sees little, reaches nothing, and takes no more than its limits."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from course_lib.grading import isolation, sandbox
from course_lib.grading.isolation import Ended, Limits
from course_lib.grading.sandbox import Session, run

ROOT = Path(__file__).resolve().parents[2]
reason = isolation.why_not()
needs_sandbox = pytest.mark.skipif(reason is not None, reason=str(reason))
SHORT = Limits(wall=20, cpu=20, memory=400_000_000, processes=20, output_bytes=1_000_000)
START = """
import json, os, sys, time
answers = int(os.environ["ANSWERS"])
def say(**fields):
    os.write(answers, json.dumps(fields).encode() + b"\\n")
def attempt(work, *args):
    try:
        return work(*args)
    except BaseException as error:
        return type(error).__name__
"""


def said(code: str, limits: Limits = SHORT, stdin: bytes = b"", **more) -> dict:
    outcome = run(["-c", START + code], stdin, limits, **more)
    assert outcome.status == "done", outcome
    return json.loads(outcome.output)


def ended(code: str, limits: Limits = SHORT, **more) -> sandbox.Outcome:
    outcome = run(["-c", START + code], b"", limits, **more)
    assert outcome.status != "done"
    assert outcome.reason.endswith(".")
    return outcome


@needs_sandbox
def test_input_and_output_are_pipes_of_their_own():
    found = said("print('x' * 100); say(read=len(sys.stdin.read()))", stdin=b"y" * 1_000_000)
    assert found == {"read": 1_000_000}


@needs_sandbox
def test_no_network(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), 5).close()
        found = said(
            f"""
import socket
say(names=attempt(socket.getaddrinfo, "example.org", 80),
    cards=[line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line],
    error=attempt(socket.create_connection, ("127.0.0.1", {port}), 2))
"""
        )
    assert found["cards"] == ["lo"]
    assert found["error"] == "ConnectionRefusedError"
    assert found["names"] == "gaierror"


@needs_sandbox
def test_nothing_of_the_user_is_seen(tmp_path):
    own = tmp_path / "gradebook.db"
    own.write_text("secret", encoding="utf-8")
    places = [str(own), str(ROOT / "solutions"), str(ROOT / "tests"), str(ROOT / "course_lib")]
    places += [str(ROOT / "exercises"), str(Path.home() / ".bashrc"), "/etc/passwd", "/etc/shadow"]
    places += ["/var", "/run", "/mnt", "/boot"]
    found = said(
        f"""
say(there=[p for p in {places!r} if os.path.exists(p)],
    processes=[p for p in os.listdir("/proc") if p.isdigit()],
    environment=sorted(os.environ), home=os.listdir(os.environ["HOME"]), tmp=os.listdir("/tmp"),
    root=os.getuid() == 0, descriptors=os.listdir("/proc/self/fd"))
"""
    )
    assert found["there"] == []
    assert len(found["processes"]) <= 3, "bubblewrap and this one"
    assert found["home"] in ([], ["matplotlib"])
    assert not found["root"]
    assert len(found["descriptors"]) <= 5, "three, the answers, and the folder that is read"
    assert not [n for n in found["environment"] if n.startswith(("PYTEST", "SSH", "COURSE_DATA"))]


@needs_sandbox
def test_nbgraders_exchange_is_not_seen(monkeypatch):
    """It lies below /usr, which is seen, and holds what the others have handed in."""
    place = Path(tempfile.mkdtemp(dir=sys.prefix))
    try:
        place.joinpath("inbound").mkdir()
        place.chmod(0o755)
        before = said(f"say(there=os.listdir({str(place)!r}))")
        monkeypatch.setattr(isolation, "EXCHANGE", str(place))
        after = said(f"say(there=os.listdir({str(place)!r}))")
    finally:
        shutil.rmtree(place)
    assert (before["there"], after["there"]) == (["inbound"], [])


@needs_sandbox
def test_only_a_part_of_the_library_is_seen():
    found = said(
        """
import course_lib, course_lib.errors, course_lib.divergences, course_lib.checks.probes, pkgutil
place = os.path.dirname(course_lib.__file__)
say(place=place, later=repr(course_lib.check("kl_normal", None)),
    checks=sorted(m.name for m in pkgutil.iter_modules([place + "/checks"])),
    grading=os.path.exists(place + "/grading"),
    truth=attempt(__import__, "course_lib.checks.set03_kl"),
    judge=attempt(__import__, "course_lib.checks.judging"))
""",
        Limits(wall=120),
    )
    assert found["place"] == "/course/course_lib"
    assert found["later"] == "This is checked when the submission is graded."
    assert found["checks"] == ["probes"]
    assert not found["grading"]
    assert found["truth"] == found["judge"] == "ModuleNotFoundError"


def test_the_copy_of_the_library_has_no_truths():
    place = isolation.view()
    names = {str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()}
    judges = [n for n in names if "checks" in n and "probes" not in n and "__init__" not in n]
    assert judges == []
    assert not [n for n in names if "grading" in n or "solution" in n]
    assert "inside.py" in names and "course_lib/models/vae.py" in names


@needs_sandbox
def test_nothing_can_be_written_but_what_is_thrown_away():
    places = ["/", "/usr", "/usr/lib", "/course", "/course/course_lib", "/etc", "/dev", "/sys"]
    found = said(
        f"""
def write(place, size=1):
    with open(place + "/written", "wb") as file:
        for _ in range(size // 1_000_000 + 1):
            file.write(b"x" * 1_000_000)
    return "written"
lines = [line.split(" - ")[0].split() for line in open("/proc/self/mountinfo")]
mounts = [fields[4] for fields in lines if "ro" not in fields[5].split(",")]
say(system=[attempt(write, p) for p in {places!r}],
    scratch=[attempt(write, p) for p in ("/tmp", os.environ["HOME"], "/dev/shm")],
    large=attempt(write, "/tmp", 40_000_000), filled=attempt(write, "/dev/shm", 90_000_000),
    mounts=mounts)
""",
        Limits(wall=30, file_bytes=30_000_000),
    )
    assert "written" not in found["system"]
    scratch = {"/tmp", "/home/student", "/dev/shm"}
    devices = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
    assert set(found["mounts"]) <= scratch | devices | {"/proc", "/dev/pts", "/dev/console"}
    assert found["scratch"] == ["written"] * 3
    assert found["large"] == "OSError"
    assert found["filled"] == "OSError"
    assert not Path("/tmp/written").exists()


@needs_sandbox
def test_scratch_space_is_small():
    found = said(
        """
count = 0
def fill():
    global count
    for _ in range(100):
        with open(f"/tmp/{count}", "wb") as file:
            file.write(b"x" * 10_000_000)
        count += 1
say(error=attempt(fill), count=count)
"""
    )
    assert found["error"] == "OSError" and found["count"] <= 7


@needs_sandbox
def test_no_privileges():
    found = said(
        """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
flags = {"user": 0x10000000, "mount": 0x20000}
say(unshare={n: libc.unshare(f) for n, f in flags.items()},
    mount=libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), chroot=attempt(os.chroot, "/tmp"),
    kill=attempt(os.kill, 1, 9), parent=attempt(os.kill, os.getppid(), 9),
    setuid=attempt(os.setuid, 0))
"""
    )
    assert found["unshare"] == {"user": -1, "mount": -1}
    assert found["mount"] == -1
    assert found["chroot"] == "PermissionError"
    assert found["setuid"] in ("PermissionError", "OSError")


@needs_sandbox
def test_a_fork_bomb_meets_its_limit():
    code = """
children = []
def bomb():
    while True:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
        children.append(pid)
say(error=attempt(bomb), count=len(children))
"""
    start = time.monotonic()
    found = said(code)
    assert found["error"] == "BlockingIOError"
    assert found["count"] < SHORT.processes
    assert time.monotonic() - start < 15, "its children went with it"


@needs_sandbox
def test_children_that_fork_on_and_on_are_stopped():
    before = _processes()
    outcome = ended("while True: attempt(os.fork)", Limits(wall=3, processes=20))
    assert outcome.status == "timed_out"
    time.sleep(0.5)
    assert not _processes() - before


def _processes() -> set[str]:
    """Return the processes that run one of these programs."""
    found = set()
    for entry in os.listdir("/proc"):
        try:
            line = Path("/proc", entry, "cmdline").read_bytes()
        except OSError:
            continue
        if b'answers = int(os.environ["ANSWERS"])' in line:
            found.add(entry)
    return found


@needs_sandbox
def test_memory_that_is_asked_for_is_refused():
    found = said("say(error=attempt(bytearray, 2_000_000_000))")
    assert found == {"error": "MemoryError"}


@needs_sandbox
def test_memory_of_several_processes_is_counted_together():
    code = """
for _ in range(5):
    if os.fork() == 0:
        data = bytearray(os.urandom(1)) * 150_000_000
        time.sleep(60)
time.sleep(60)
"""
    outcome = ended(code)
    assert outcome.status == "memory" and "0.4 GB" in outcome.reason
    assert outcome.peak_memory > SHORT.memory
    assert outcome.seconds < 15


@needs_sandbox
def test_memory_that_is_shared_is_counted_once():
    code = """
data = bytearray(os.urandom(1)) * 200_000_000
for _ in range(5):
    if os.fork() == 0:
        time.sleep(1)
        os._exit(0)
time.sleep(1.5)
say(fine=True)
"""
    assert said(code) == {"fine": True}


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("os._exit(7)", "ended", "exit code 7"),
        ("os.kill(os.getpid(), 11)", "ended", "SIGSEGV"),
        ("raise ValueError('because')", "ended", "because"),
        ("while True: os.write(answers, b'x' * 100_000)", "output", "more than 1 MB"),
    ],
)
def test_how_it_ended_is_told(code, status, words):
    outcome = ended(code)
    assert outcome.status == status and words in outcome.reason
    assert len(outcome.output) <= SHORT.output_bytes


@needs_sandbox
def test_a_flood_on_stdout_and_stderr_is_read_by_nobody():
    found = said(
        """
for _ in range(200):
    sys.stdout.write("x" * 1_000_000)
    sys.stderr.write("x" * 1_000_000)
say(fine=True)
"""
    )
    assert found == {"fine": True}


@needs_sandbox
@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import signal\nfor s in range(65): attempt(signal.signal, s, signal.SIG_IGN)\n"
        "while True: pass",
        "os.fork() or os.setsid()\nos.close(answers)\nos.close(2)\ntime.sleep(100)",
    ],
)
def test_an_endless_loop_is_stopped(code):
    before = _processes()
    outcome = ended(code, Limits(wall=1.5))
    assert outcome.status == "timed_out" and "still running after 2 s" in outcome.reason
    assert outcome.seconds < 10
    time.sleep(0.3)
    assert not _processes() - before


@needs_sandbox
def test_computing_is_limited_too():
    outcome = ended("while True: pass", Limits(wall=30, cpu=1))
    assert outcome.status == "ended" and "SIG" in outcome.reason


ECHO = START + "for line in sys.stdin: say(got=line.strip())"


@needs_sandbox
def test_a_session_is_asked_one_thing_after_another():
    with Session(["-c", ECHO], SHORT) as session:
        for word in ("one", "x" * 300_000, "three"):
            assert json.loads(session.ask(word.encode(), 10)) == {"got": word}


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("time.sleep(60)", "timed_out"),  # it neither reads nor speaks
        ("sys.stdin.readline(); os._exit(0)", "ended"),
        ("os.close(answers); time.sleep(60)", "ended"),
        ("while True: os.write(answers, b'x' * 10_000)", "output"),
        ("sys.stdin.readline(); os.fork() and os._exit(0); time.sleep(60)", "ended"),
    ],
)
def test_a_session_that_does_not_answer_is_ended(code, status):
    start = time.monotonic()
    limits = Limits(wall=30, line_bytes=100_000)
    with Session(["-c", START + code], limits) as session:
        with pytest.raises(Ended) as caught:
            session.ask(b"y" * 500_000, 2)
        with pytest.raises(Ended):
            session.ask(b"again", 2)
    assert caught.value.status == status
    assert time.monotonic() - start < 12


@needs_sandbox
def test_it_goes_when_the_one_who_asked_goes():
    code = f"""
import os, sys
from course_lib.grading.sandbox import Session
session = Session(["-c", {ECHO!r}])
session.ask(b"x", 20)
os.kill(os.getpid(), 9)
"""
    before = _processes()
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT)
    assert done.returncode == -9, "it was running until then"
    time.sleep(0.5)
    assert not [p for p in _processes() - before if b"Session" not in _line(p)]


def _line(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return b"Session"


def test_where_there_is_no_sandbox_nothing_is_run(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "why_not", lambda: "There is none.")
    mark = tmp_path / "mark"
    outcome = run(["-c", f"open({str(mark)!r}, 'w')"], b"", SHORT)
    assert (outcome.status, outcome.reason) == ("refused", "There is none.")
    assert not mark.exists()
    with pytest.raises(Ended, match="There is none"):
        Session(["-c", "pass"])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "AppArmor"),
        ("kernel/unprivileged_userns_clone", "unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "max_user_namespaces=10000"),
        ("", "container"),
    ],
)
def test_the_reason_says_what_to_do(monkeypatch, setting, words):
    values = {"kernel/apparmor_restrict_unprivileged_userns": "1"}
    monkeypatch.setattr(
        isolation, "_setting", lambda name: values.get(name, "0") if name == setting else ""
    )
    assert words in isolation._cure()


def test_a_missing_program_is_named(monkeypatch):
    monkeypatch.setattr(isolation.shutil, "which", lambda name: None)
    assert "apt install bubblewrap" in isolation.why_not.__wrapped__()
    monkeypatch.setattr(isolation.sys, "platform", "darwin")
    assert "Linux" in isolation.why_not.__wrapped__()


def test_a_sandbox_that_does_not_start_is_told(monkeypatch):
    failing = ["sh", "-c", "echo bwrap: No permissions >&2; exit 1"]
    monkeypatch.setattr(isolation.shutil, "which", lambda name: name)
    monkeypatch.setattr(isolation, "_sandboxed", lambda *_: failing)
    assert "bwrap: No permissions" in isolation.why_not.__wrapped__()


def test_an_old_bubblewrap_is_told(monkeypatch):
    failing = ["sh", "-c", "echo 'bwrap: Unknown option --disable-userns' >&2; exit 1"]
    monkeypatch.setattr(isolation.shutil, "which", lambda name: name)
    monkeypatch.setattr(isolation, "_sandboxed", lambda *_: failing)
    assert isolation.why_not.__wrapped__().endswith("bubblewrap 0.8 or newer is needed.")


def test_what_killed_processes_left_is_removed_and_what_is_in_use_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "_for_all", lambda: str(tmp_path))
    left = tmp_path / "course-test-left"
    left.mkdir()
    left.joinpath(".in-use").touch()
    first, second = isolation._folder("course-test-"), isolation._folder("course-test-")
    assert sorted(tmp_path.iterdir()) == sorted([first, second])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs submissions as another user")
def test_what_the_other_user_needs_is_where_it_can_go(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    assert not isolation._reachable(str(tmp_path)) and isolation._reachable("/usr")
    assert isolation._reachable(isolation.tempfile.gettempdir())
    monkeypatch.setattr(isolation.tempfile, "gettempdir", lambda: str(tmp_path))
    assert isolation._for_all() == "/tmp"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs submissions as another user")
def test_what_the_other_user_cannot_read_is_named(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.setattr(isolation, "_system", lambda: [str(tmp_path)])
    with pytest.raises(Ended, match="chmod -R a"):
        isolation._stage.__wrapped__()


def test_without_a_sandbox_the_limits_hold():
    code = "say(checks=os.listdir(sys.path[1] + '/course_lib/checks'), home=os.environ['HOME'])"
    found = said(code, unsafe=True)
    assert not [name for name in found["checks"] if name.startswith("set")]
    assert not Path(found["home"]).exists(), "it was only for this run"
    assert said("say(e=attempt(bytearray, 2_000_000_000))", unsafe=True) == {"e": "MemoryError"}
    assert ended("while True: pass", Limits(wall=1.5), unsafe=True).status == "timed_out"


def test_sessions_leave_nothing_open():
    count = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    threads = threading.active_count()
    for _ in range(2):
        run(["-c", "pass"], b"", SHORT, unsafe=True)
    assert threading.active_count() == threads
    if count:
        assert len(os.listdir("/proc/self/fd")) == count
