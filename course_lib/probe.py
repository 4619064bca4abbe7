"""Facts about this machine for the doctor, gathered where a failing import can do no harm.

:func:`ask` runs :func:`look` in a process of its own: a torchvision that does not belong to its
torch raises at import, and a damaged torch can take Python down with it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

SECONDS = 300  # the first import of a fresh CUDA build from a slow disk takes a minute or two


def ask() -> dict:
    """Return what :func:`look` answers in another process; a crash or a hang has its own answer."""
    code = "import json; from course_lib.probe import look; print('\\n' + json.dumps(look()))"
    here = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
    try:
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return json.loads(run.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"torch_error": f"no answer in {SECONDS} seconds"}
    except (ValueError, IndexError):
        last = (run.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {"torch_error": f"Python stopped with status {run.returncode}: {last}"}


def look() -> dict:
    """Import torch, torchvision and the data room, and say what came of each.

    Returns:
        A dictionary for JSON. ``torch`` and ``torchvision`` hold the version that loaded,
        ``torch_error`` and ``torchvision_error`` why one did not; ``device``, ``threads``,
        ``data`` (name and state) and ``cache`` what the course would use; ``problems`` holds
        sentences about anything else that failed.
    """
    answer: dict = {"problems": []}
    try:
        import torch
    except Exception as error:
        answer["torch_error"] = _first_line(error)
        return answer
    answer["torch"] = str(torch.__version__)
    try:
        import torchvision

        # An import can succeed without the compiled operators; this call cannot.
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        answer["torchvision"] = str(torchvision.__version__)
    except Exception as error:
        answer["torchvision_error"] = _first_line(error)
    try:
        import course_lib

        answer["device"] = _device_name(course_lib.start())
        answer["threads"] = torch.get_num_threads()
    except Exception as error:
        answer["problems"].append(_first_line(error))
    try:
        from course_lib.data import cache, images

        answer["data"] = dict(images.available())
        answer["cache"] = str(cache.folder())
    except Exception as error:
        # A broken torchvision has its own sentence, and may well be the cause of this one.
        if "torchvision_error" not in answer:
            answer["problems"].append(f"The data cannot be looked at: {_first_line(error)}")
    return answer


def bf16() -> str:
    """Say whether the processor multiplies bf16 itself; elsewhere ``bf16=True`` is slow."""
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512", "bf16": "Arm"}
    flags: set[str] = set()
    if Path("/proc/cpuinfo").exists():
        flags = set(Path("/proc/cpuinfo").read_text().split())
    elif sys.platform == "darwin":
        asked = ["sysctl", "-n", "hw.optional.arm.FEAT_BF16"]
        if subprocess.run(asked, capture_output=True, text=True).stdout.strip() == "1":
            flags = {"bf16"}
    found = [label for flag, label in names.items() if flag in flags]
    return f"bf16 in hardware ({', '.join(found)})" if found else "no bf16 in hardware"


def find_compiler() -> str | None:
    """Return the path of the C++ compiler that ``torch.compile`` would call; None: it is not here.

    Source: the defaults of ``torch._inductor.config.cpp.cxx``.
    """
    default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX") or default)


def compiler() -> str:
    """Say whether ``compile=True`` can work: it needs a C++ compiler and Python's headers."""
    path = find_compiler()
    missing = [] if path else ["a C++ compiler"]
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.append("Python's headers")
    if not missing:
        return f"{Path(path).name}, so compile=True can be used"
    hint = " (Debian, Ubuntu: apt install g++ python3-dev)" if sys.platform == "linux" else ""
    return f"no compile=True without {' and '.join(missing)}{hint}; all else works"


def _device_name(device) -> str:
    import torch

    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        bf16_too = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        name = torch.cuda.get_device_name(device)
        return f"{device} ({name}, {memory:.0f} GiB, CUDA {torch.version.cuda}, {bf16_too})"
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        build = f"made for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
        return f"{device}; a GPU driver is here, but this torch ({build}) cannot use it"
    return str(device)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
