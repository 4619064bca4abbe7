"""Seeds that leave the session's random state as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seed_device", "seeded"]


def seed_device(seed: int, device: torch.device) -> None:
    """Seed what draws for ``device``: the generator of the CPU and its own.

    ``torch.manual_seed`` seeds every GPU besides, and only those that are listed are put back.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from ``seed`` inside, and leave the session's random state as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_device(seed, device)
        yield
