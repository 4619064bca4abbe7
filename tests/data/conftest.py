"""A cache folder of its own for each test, and a small data set in the layout of MNIST."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import struct
import threading
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """An empty cache folder, and no choice of data from outside."""
    for name in ("COURSE_DATA", "COURSE_DATASET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def idx(values: Tensor) -> bytes:
    """The IDX file of a uint8 tensor."""
    head = bytes((0, 0, 8, values.dim())) + struct.pack(f">{values.dim()}I", *values.shape)
    return head + values.numpy().tobytes()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@dataclass
class Release:
    """Forty training and twenty test images, as files and as tensors."""

    images: dict[str, Tensor]
    labels: dict[str, Tensor]
    files: dict[str, bytes]
    packed: dict[str, bytes]

    def write(self, root, folder="MNIST"):
        raw = root / folder / "raw"
        raw.mkdir(parents=True)
        for name, data in self.files.items():
            (raw / name).write_bytes(data)
        return raw


@pytest.fixture
def release(monkeypatch):
    """A small stand-in for MNIST, whose checksums the library expects while the test runs."""
    from torchvision import datasets

    from course_lib.data import mnist

    g = torch.Generator().manual_seed(0)
    numbers = {"train": 40, "test": 20}
    images = {
        s: torch.randint(256, (n, 28, 28), dtype=torch.uint8, generator=g)
        for s, n in numbers.items()
    }
    labels = {
        s: torch.randint(10, (n,), dtype=torch.uint8, generator=g) for s, n in numbers.items()
    }
    tensors = (images["train"], labels["train"], images["test"], labels["test"])
    files = {name: idx(tensor) for name, tensor in zip(NAMES, tensors, strict=True)}
    packed = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in files.items()}
    monkeypatch.setitem(mnist.MD5, "mnist", {name: md5(data) for name, data in files.items()})
    monkeypatch.setitem(mnist.MORE_MIRRORS, "mnist", [])
    monkeypatch.setattr(datasets.MNIST, "resources", [(n, md5(d)) for n, d in packed.items()])
    return Release(images, labels, files, packed)


@dataclass
class Mirror:
    """What a server on loopback serves, and what it was asked for."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None  # bytes after which the connection breaks
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def mirror():
    """Start servers on loopback: ``mirror(files, cut=None) -> Mirror``."""
    servers = []

    def start(files=None, cut=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[-1]
                served.asked.append(name)
                if name not in served.files:
                    self.send_error(404)
                    return
                body = served.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: served.cut])

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        served = Mirror(f"http://127.0.0.1:{server.server_port}/", dict(files or {}), cut)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return served

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
