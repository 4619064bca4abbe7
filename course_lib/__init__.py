"""The companion library of a course on variational autoencoders for image generation.

The rooms, in the order of the course: ``data``, ``oracles``, ``distributions``,
``divergences``, ``bounds``, ``models``, ``training``, ``evaluation``, ``plotting``,
``widgets``. Importing this package imports nothing slow, not even torch, so that
``python -m course_lib doctor`` can speak where torch does not load.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__version__ = "0.1.0"
__all__ = ["__version__", "check", "default_device", "start"]


def default_device() -> torch.device:
    """Return the device in ``COURSE_DEVICE``, or else CUDA where there is one, or else the CPU."""
    import torch

    name = os.environ.get("COURSE_DEVICE")
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(
            f"COURSE_DEVICE is {name!r}; 'cpu', 'cuda' or 'cuda:N' was expected. "
            "Unset it to let the course choose."
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"COURSE_DEVICE is {name!r}, but torch finds no CUDA device here. "
            "Unset it, or set COURSE_DEVICE=cpu."
        )
    return device


def start(seed: int = 0) -> torch.device:
    """Make a notebook repeatable: seed torch, fix the number of threads, and choose the device.

    The number of threads changes the order of sums and so the last digits of a result; it is
    ``COURSE_THREADS`` (default 2) so that the stored outputs can be met again.

    Returns:
        The device to work on, see :func:`default_device`.
    """
    import torch

    text = os.environ.get("COURSE_THREADS", "2")
    if not text.isdigit() or int(text) == 0:
        raise ValueError(f"COURSE_THREADS is {text!r}; a whole number from 1 up was expected.")
    torch.set_num_threads(int(text))
    torch.manual_seed(seed)
    return default_device()


def __getattr__(name: str) -> object:
    # `check` pulls in every exercise set, which `import course_lib` should not pay for.
    if name == "check":
        from course_lib.checks import check

        return check
    raise AttributeError(f"module 'course_lib' has no attribute {name!r}")
