"""The companion library of a course on variational autoencoders for image generation.

The rooms, in the order of the course: ``data``, ``oracles``, ``distributions``,
``divergences``, ``bounds``, ``models``, ``training``, ``evaluation``, ``editing``, ``plotting``,
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


def default_device(name: torch.device | str | None = None) -> torch.device:
    """Return the device to work on, after making sure that torch can use it.

    Args:
        name: the device, if the caller was given one; by default the one in ``COURSE_DEVICE``,
            or else CUDA where there is one, or else the CPU.

    Raises:
        ValueError: no such device, or none that works here.
    """
    import torch

    source, leave_out = "device", "Leave it out to let the course choose"
    if name is None:
        name = os.environ.get("COURSE_DEVICE")
        source, leave_out = "COURSE_DEVICE", "Unset it to let the course choose"
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"{source} is {name!r}; 'cpu', 'cuda' or 'cuda:N' was expected. {leave_out}."
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"{source} is {str(name)!r}, but torch finds no CUDA device here. "
            f"{leave_out}, or give 'cpu'."
        )
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"{source} is {str(name)!r}, but torch can't compute there "
            f"({str(error).splitlines()[0].split('. ')[0]}). {leave_out}, or give 'cpu'."
        ) from None
    return device


def start(seed: int = 0) -> torch.device:
    """Make a notebook repeatable: seed torch, fix the number of threads, and choose the device.

    The number of threads changes the order of sums and so the last digits of a result; it is
    ``COURSE_THREADS`` (default 2) so that the stored outputs can be met again.

    Returns:
        The device to work on, see :func:`default_device`.
    """
    import torch

    from course_lib.errors import check_seed

    text = os.environ.get("COURSE_THREADS", "2")
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"COURSE_THREADS is {text!r}; a whole number from 1 up was expected.")
    torch.set_num_threads(int(text))
    torch.manual_seed(check_seed(seed))
    return default_device()


def __getattr__(name: str) -> object:
    # `check` pulls in every exercise set, which `import course_lib` should not pay for.
    if name == "check":
        from course_lib.checks import check

        return check
    raise AttributeError(f"module 'course_lib' has no attribute {name!r}")
