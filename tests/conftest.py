"""What every test stands on: one number of threads, folders of its own, and reasons to skip."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# No deadline, since the machine may be busy, and the same examples in every run.
hypothesis.settings.register_profile("course", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("course")


def pytest_configure(config: pytest.Config) -> None:
    """Give the run its own cache and notes; workers, kernels and other processes inherit them.

    The stored outputs of the notebooks were made on a CPU with the default data, so that is what
    the tests meet unless COURSE_DEVICE says otherwise.
    """
    if hasattr(config, "workerinput"):
        return  # the environment is the one that was made before the workers started
    own = Path(tempfile.mkdtemp(prefix="course-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(own, ignore_errors=True))
    os.environ["COURSE_CACHE"] = str(own / "cache")
    os.environ["COURSE_NOTES"] = str(own / "notes")
    os.environ.setdefault("COURSE_DEVICE", "cpu")
    os.environ.setdefault("COURSE_THREADS", "2")
    # Threads that spin while they wait stall each other on a machine that is busy otherwise.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.pop("COURSE_DATASET", None)


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    import torch

    torch.set_num_threads(int(os.environ["COURSE_THREADS"]))


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Start every test from one seed, so that it does not depend on the tests before it."""
    import torch

    torch.manual_seed(0)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")
    if item.get_closest_marker("browser"):
        if not any(map(shutil.which, BROWSERS)):
            pytest.skip(f"there is no browser ({', '.join(BROWSERS)})")
        if find_spec("playwright") is None:
            pytest.skip("playwright is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Yield Chromium; for tests marked ``browser``.

    Of a module, since playwright allows one at a time in a process.
    """
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, headless=True, args=list(CHROMIUM_FLAGS)
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Return the folder with torchvision's ``MNIST/raw``; skip where COURSE_DATA names none."""
    folder = Path(os.environ.get("COURSE_DATA") or "nowhere")
    if not (folder / "MNIST" / "raw").is_dir():
        pytest.skip("real MNIST is not here: COURSE_DATA names no folder with MNIST/raw")
    return folder


@pytest.fixture
def compiler() -> Iterator[None]:
    """Skip where torch.compile has no C++ compiler; undo what it does to all distributions."""
    import torch

    from course_lib.training_input import check_compiler

    try:
        check_compiler(torch.device("cpu"))
    except ValueError as reason:
        pytest.skip(str(reason))
    checks = torch.distributions.Distribution._validate_args
    yield
    torch.distributions.Distribution.set_default_validate_args(checks)
