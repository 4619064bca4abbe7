"""Several processes that train one model together, one for each core or GPU.

torchrun starts them and tells each its rank; :func:`joined` makes them a group, in which
:func:`course_lib.training.fit` splits every batch. Outside a group all of this is a team of one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

__all__ = [
    "LostProcess",
    "Team",
    "follow",
    "joined",
    "one_first",
    "sitting_out",
    "team",
    "total",
    "under_torchrun",
]

T = TypeVar("T")
_sits_out = False


class LostProcess(ConnectionError):
    """Another process of the run has ended or can't be reached."""


@dataclass(frozen=True)
class Team:
    """The processes that work together, as one of them sees it.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and shows progress."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """Return this process's part of a batch; parts differ by one row at most, or are empty."""
        return rows.tensor_split(self.size)[self.rank]

    def agree(self, decide: Callable[[], T]) -> T:
        """Return what ``decide`` gives in the first process, the only one that calls it.

        What it raises there is raised everywhere. The value travels pickled: keep it small.
        """
        if self.size == 1:
            return decide()
        said: list = [None, None]
        if self.first:
            try:
                said[0] = decide()
            except Exception as error:
                said[1] = error
        dist.broadcast_object_list(said)
        if said[1] is not None:
            raise said[1]
        return said[0]


def under_torchrun() -> bool:
    """Say whether torchrun started this process as one of several."""
    return dist.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1


def team() -> Team:
    """Return the team of this process, a team of one where no group was joined."""
    if dist.is_available() and dist.is_initialized():
        return Team(dist.get_rank(), dist.get_world_size())
    return Team()


def total(value: Tensor) -> Tensor:
    """Return the sum of ``value`` over all processes that do not sit out; without gradient."""
    if team().size > 1:
        value = torch.zeros_like(value) if _sits_out else value.detach().clone()
        dist.all_reduce(value)
    return value


@contextmanager
def sitting_out(sits_out: bool = True) -> Iterator[None]:
    """Take part in what is summed over the processes, and add nothing to it."""
    global _sits_out
    before, _sits_out = _sits_out, sits_out
    try:
        yield
    finally:
        _sits_out = before


def follow(*tensors: Tensor) -> None:
    """Overwrite the tensors, in place, with those of the first process."""
    if team().size > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


@contextmanager
def joined(device: torch.device | str = "cpu") -> Iterator[torch.device]:
    """Join the processes that torchrun started, and give the device of this one.

    With one process nothing happens. Otherwise gloo connects CPUs and NCCL connects GPUs, of which
    each process of a machine gets its own.

    Raises:
        ValueError: a machine has more processes than GPUs.
        LostProcess: inside, when another process ends before the work is done.
    """
    device = torch.device(device)
    if not under_torchrun():
        yield device
        return
    if device.type == "cuda":
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise ValueError(
                f"There are more processes than GPUs on this machine, which has {gpus}. Give "
                f"--nproc-per-node {gpus}, or --device cpu."
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    # When one process ends badly, torchrun ends the others in this way.
    before = signal.signal(signal.SIGTERM, _ended_by_torchrun)
    try:
        yield device
        dist.barrier()  # a process that leaves early would look like one that was lost
    except RuntimeError as error:
        if not _is_connection(error):
            raise
        raise _lost() from error
    finally:
        signal.signal(signal.SIGTERM, before)
        dist.destroy_process_group()


def one_first(work: Callable[[], T]) -> T:
    """Call ``work`` in every process, but first in one of each machine: it may fill a cache."""
    if team().size == 1:
        return work()
    ahead = int(os.environ.get("LOCAL_RANK", team().rank)) == 0
    if not ahead:
        dist.barrier()
    value = work()
    if ahead:
        dist.barrier()
    return value


def _lost() -> LostProcess:
    return LostProcess(
        "Another process of the run has ended or can't be reached (this was process "
        f"{int(os.environ['RANK']) + 1} of {os.environ['WORLD_SIZE']})."
    )


def _ended_by_torchrun(signum: int, frame: object) -> None:
    raise _lost()


def _is_connection(error: RuntimeError) -> bool:
    """Whether torch says that the others can't be reached, and no step of the work failed."""
    words = ("connection", "peer", "gloo", "nccl", "socket", "timed out", "wait timeout")
    return isinstance(error, dist.DistError) or any(w in str(error).lower() for w in words)
