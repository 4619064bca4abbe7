"""Many submissions graded side by side: in processes of this machine, or on a Dask cluster.

A :class:`Job` holds all that a grade needs, so a worker reads no file of the classroom. Grades come
as they are ready. A worker that dies costs its job a try, and no other job anything.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

import nbformat

from course_lib.grading import isolation
from course_lib.grading.assignments import Assignment
from course_lib.grading.isolation import Ended, Limits
from course_lib.grading.records import decides, from_plain, to_plain
from course_lib.grading.verdicts import MACHINE, Flag, Graded, grade, ungraded

__all__ = ["Job", "grade_here", "grade_on", "workers_that_fit"]

TRIES = 3
PATIENCE = 20  # seconds, for a scheduler to answer
PER_WORKER = 2_100_000_000  # bytes: a submission's limit, and the worker with torch beside it
_ONE_AT_A_TIME = threading.Lock()  # a Dask worker may have several threads


@dataclass(frozen=True)
class Job:
    """One submission to grade.

    Attributes:
        key: see :func:`course_lib.grading.records.key_of`.
        notebook: the cells, as JSON.
        assignment: the set.
        seed: of the hidden inputs.
        unsafe: without a sandbox.
        limits: what each of its processes may take.
        decides: a digest of the code that decides, which every worker must have.
    """

    key: str
    notebook: str
    assignment: Assignment
    seed: int
    unsafe: bool
    limits: Limits
    decides: bytes


def do(job: Job) -> dict:
    """Grade a job in this process.

    Returns:
        The grade in the kinds of JSON. An error of the grader itself is in it as a flag.

    Raises:
        Ended: ``status="refused"``: this machine has no sandbox, or another version of the course.
    """
    if job.decides != decides():
        raise Ended("refused", "A worker has another version of the course than this machine.")
    notebook = nbformat.from_dict(json.loads(job.notebook))
    options = {"seed": job.seed, "limits": job.limits, "unsafe": job.unsafe}
    try:
        with _ONE_AT_A_TIME:
            return to_plain(grade(notebook, job.assignment, **options))
    except Ended:
        raise
    except Exception as error:
        why = f"The grader failed on it, which is an error of the course: {error!r}"
        return to_plain(lost(job, why[:500]))


def lost(job: Job, why: str) -> Graded:
    """Return the grade of a job that no worker could finish: none, and a person is needed."""
    graded = ungraded(job.assignment, why, seed=job.seed)
    verdicts = tuple(replace(one, mistake=MACHINE) for one in graded.verdicts)
    return replace(graded, verdicts=verdicts, flags=(Flag(MACHINE, why, person=True),))


def workers_that_fit() -> int:
    """Return how many workers this machine has the processors and the memory for, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = next(int(one.split()[1]) for one in lines if one.startswith("MemAvailable:"))
        return max(min(cores or 1, kilobytes * 1024 // PER_WORKER), 1)
    return 1


# On this machine


class _Worker:
    """A process that grades one job after another, and the job that it has."""

    def __init__(self, made: dict[str, str]) -> None:
        # Not forked: torch has threads, and a copy of a process with threads may hang.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, made), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None

    def give(self, job: Job) -> None:
        self.job = job
        with contextlib.suppress(OSError):  # it is dead, as whoever waits for it will see
            self.pipe.send(job)

    def end(self) -> None:
        """End the process, and with it, by the kernel, the submission that it runs."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection, made: dict[str, str]) -> None:
    """Grade what comes until nothing comes any more; the work of a :class:`_Worker`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives the jobs
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    isolation.take_over(made)
    with contextlib.suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            try:
                pipe.send(do(job))
            except Ended as refused:
                pipe.send(str(refused))


def grade_here(jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, Graded]]:
    """Grade jobs in processes of this machine and yield each with its grade, as they are ready.

    Args:
        jobs: with keys that differ.
        workers: how many processes, from 1 up.

    Raises:
        Ended: ``status="refused"``, see :func:`do`.
    """
    waiting = deque(jobs)
    tries: Counter[str] = Counter()
    made = isolation.hand_down(unsafe=all(job.unsafe for job in waiting))
    team: list[_Worker] = []
    try:
        team += [_Worker(made) for _ in range(min(workers, len(waiting)))]
        while waiting or any(worker.job for worker in team):
            for worker in team:
                if worker.job is None and waiting:
                    worker.give(waiting.popleft())
            busy = [worker for worker in team if worker.job]
            ready = set(wait([one for w in busy for one in (w.pipe, w.process.sentinel)]))
            for worker in busy:
                if not ready & {worker.pipe, worker.process.sentinel}:
                    continue
                job, worker.job = worker.job, None
                try:
                    said = worker.pipe.recv()
                except (EOFError, OSError):  # the process is gone
                    worker.end()
                    team[team.index(worker)] = _Worker(made)
                    tries[job.key] += 1
                    if tries[job.key] < TRIES:
                        waiting.append(job)
                    else:
                        yield job, lost(job, _died(TRIES))
                    continue
                if isinstance(said, str):
                    raise Ended("refused", said)
                yield job, from_plain(said)
    finally:
        for worker in team:
            worker.end()


def _died(times: int) -> str:
    return (
        f"The process that graded it was ended {times} times, perhaps because the machine has too "
        "little memory. It is tried again when the command is given again."
    )


# On a cluster


def grade_on(address: str, jobs: Iterable[Job]) -> Iterator[tuple[Job, Graded]]:
    """Grade jobs on the workers of a Dask cluster and yield each with its grade, as they are ready.

    What a worker had in hand when it was lost is done by another one.

    Args:
        address: of the scheduler, such as ``"tcp://10.0.0.1:8786"``.
        jobs: with keys that differ.

    Raises:
        Ended: ``status="refused"``: there is no scheduler, it has no workers, or one of them has no
            sandbox or another version of the course.
    """
    try:
        from distributed import Client, as_completed
        from distributed.scheduler import KilledWorker
    except ImportError:
        need = "--scheduler needs the package distributed: pip install -e '.[grade,cluster]'."
        raise Ended("refused", need) from None
    jobs = {job.key: job for job in jobs}
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        said = str(error).splitlines()[:1]
        raise Ended("refused", f"No Dask scheduler answers at {address}: {said}.") from None
    with client:
        check_cluster(client, [job.unsafe for job in jobs.values()])
        # A grade that a worker has is in its memory only, and is here as soon as it is ready.
        futures = {
            client.submit(do, job, key=f"grade-{key}", pure=False, retries=TRIES - 1): job
            for key, job in jobs.items()
        }
        for future in as_completed(futures):
            job, error = futures[future], future.exception()
            if error is None:
                yield job, from_plain(future.result())
            elif isinstance(error, Ended):
                raise error
            elif isinstance(error, KilledWorker):
                yield job, lost(job, _died(TRIES))
            else:
                yield job, lost(job, f"The cluster failed on it: {error!r}"[:500])
            future.release()


def check_cluster(client: object, unsafe: Iterable[bool]) -> None:
    """Make sure that the workers can grade.

    Raises:
        Ended: ``status="refused"``: there are none, or one of them cannot.
    """
    workers = client.scheduler_info()["workers"]
    if not workers:
        raise Ended("refused", "The Dask cluster has no workers; start some: dask worker ADDRESS.")
    for address, (digest, reason) in client.run(_about_worker).items():
        if digest != decides():
            said = f"The worker {address} has another version of the course than this machine."
            raise Ended("refused", said)
        if reason and not all(unsafe):
            raise Ended("refused", f"The worker {address}: {reason}")


def _about_worker() -> tuple[bytes, str | None]:
    return decides(), isolation.why_not()
