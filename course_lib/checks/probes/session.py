"""What a check must leave as it found it: random state, settings of torch, output, warnings."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

import numpy as np
import torch


class Printed(io.TextIOBase):
    """A text stream that keeps the first characters and forgets the rest."""

    def __init__(self, most: int = 1000) -> None:
        self.text = ""
        self.most = most

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text[: max(self.most - len(self.text), 0)]
        return len(text)


@contextmanager
def one_thread() -> Iterator[None]:
    """Work on one thread: the tensors are small, and a busy machine would make them wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def untouched(seed: int) -> Iterator[Printed]:
    """Run the body in a session of its own and restore the learner's afterwards.

    Inside, the generators of torch, numpy and random start from ``seed``, gradients are on, the
    default dtype is float32 on the CPU, warnings are silent, and output goes to the value of the
    ``with`` statement.
    """
    restore = _settings()
    printed = Printed()
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(redirect_stdout(printed))
            stack.enter_context(redirect_stderr(printed))
            stack.enter_context(one_thread())
            torch.set_default_dtype(torch.float32)
            if torch.get_default_device().type != "cpu":
                torch.set_default_device(None)
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that learners use
            random.seed(seed)
            yield printed
    finally:
        restore()


def _settings():
    """Remember the session; return the function that restores it."""
    torch_state = torch.random.get_rng_state()
    cuda_state = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    numpy_state = np.random.get_state()  # noqa: NPY002
    python_state = random.getstate()
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    anomaly = torch.is_anomaly_enabled()

    def restore() -> None:
        torch.random.set_rng_state(torch_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state_all(cuda_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        if torch.are_deterministic_algorithms_enabled() != deterministic:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        if torch.is_anomaly_enabled() != anomaly:
            torch.autograd.set_detect_anomaly(anomaly)

    return restore
