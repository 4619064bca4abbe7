"""Training speed on one device, a GPU above all: python tests/benchmarks/device.py [--device cuda]

    COURSE_DATA=... python tests/benchmarks/device.py --large 16384

The 784-400-20 VAE on MNIST at batch 128 and at a large batch: the ordinary loop over a tensor, and
``fit`` with what it can switch on; then the convolutional VAE, with its share of the rate that a
large matrix product reaches on the same device in the same precision. The first epoch of each is a
warm-up (compiling, recording) and is not counted. The loss of the last epoch is printed beside the
speed: a fast loop that trains worse would be no gain.
"""

from __future__ import annotations

import argparse
import datetime
import time
import warnings
from collections.abc import Callable

import torch
from speed import processor, tensor_loop
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from course_lib import bounds, default_device
from course_lib.data import load
from course_lib.models import conv_vae, mlp_vae
from course_lib.training import fit


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ordinary(x: Tensor, batch: int, epochs: int) -> tuple[float, float]:
    """Images per second and loss of the plain loop; an epoch ends by asking the device for it."""
    torch.manual_seed(0)
    run = tensor_loop(x.device, x, batch, epochs=1)
    run()
    start = time.perf_counter()
    for _ in range(epochs):
        loss = run()
    return epochs * len(x) / (time.perf_counter() - start), loss


def fitted(make: Callable, x: Tensor, batch: int, epochs: int, **switches) -> tuple[float, float]:
    """Images per second and loss of ``fit``; an epoch ends by asking the device for its loss."""
    torch.manual_seed(0)
    options = {"lr": 1e-3, "schedule": "constant", "validation": 0, "progress": False}
    history = fit(
        make(), x, epochs=epochs + 1, batch_size=batch, device=x.device, **options, **switches
    ).history
    seconds = sum(row["seconds"] for row in history[1:])
    return epochs * len(x) / seconds, history[-1]["train_loss"]


def flops_per_image(make: Callable, x: Tensor) -> float:
    """Floating point operations of matrix products and convolutions in a training step."""
    model, some = make().to(x.device), x[:64]
    with FlopCounterMode(display=False) as counter:
        bounds.terms(model, some).elbo.mean().backward()
    return counter.get_total_flops() / len(some)


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Operations per second of the best of some large matrix products."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(10):
        wait(device)
        start = time.perf_counter()
        a @ b
        wait(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--images", type=int, help="use the first so many only")
    parser.add_argument("--epochs", type=int, help="counted epochs (default: 10 on a GPU, 1)")
    parser.add_argument("--large", type=int, help="the large batch (default: 16384 on a GPU, 2048)")
    a = parser.parse_args()
    device = default_device(a.device)
    cuda = device.type == "cuda"
    epochs, large = a.epochs or (10 if cuda else 1), a.large or (16_384 if cuda else 2048)
    x = load(a.data, num_train=a.images, num_test=1).train.to(device)
    where = torch.cuda.get_device_name(device) if cuda else processor()
    print(f"{datetime.date.today()}, {where}, torch {torch.__version__}, {len(x):,} images\n")
    switches: dict[str, dict] = {"fit": {}, "fit, compile": {"compile": True}}
    if cuda:
        switches |= {
            "fit, graph": {"graph": True},
            "fit, compile, graph": {"compile": True, "graph": True},
            "fit, compile, graph, bf16": {"compile": True, "graph": True, "bf16": True},
        }
    warnings.filterwarnings("ignore", "data has grey pixels")  # all loops train on the same
    print("| 784-400-20 | batch | images/s | times the ordinary loop | loss |")
    print("|---|---|---|---|---|")
    for batch in (128, large):
        base, loss = ordinary(x, batch, epochs)
        print(f"| ordinary loop | {batch} | {base:,.0f} | 1.00 | {loss:.1f} |", flush=True)
        for name, options in switches.items():
            speed, loss = fitted(mlp_vae, x, batch, epochs, **options)
            cells = f"{batch} | {speed:,.0f} | {speed / base:.2f} | {loss:.1f}"
            print(f"| {name} | {cells} |", flush=True)
    work = flops_per_image(conv_vae, x)
    print(f"\nconvolutional VAE: {work / 1e6:.1f} million operations an image and step")
    print("| | batch | images/s | of the matrix product's rate | loss |\n|---|---|---|---|---|")
    precisions = {"float32": torch.float32} | ({"bf16": torch.bfloat16} if cuda else {})
    few = x if cuda else x[:5000]
    for name, dtype in precisions.items():
        peak = matmul_rate(device, dtype, 8192 if cuda else 2048)
        options = {"bf16": dtype is torch.bfloat16, "graph": cuda, "compile": cuda}
        for batch in (128, large):
            speed, loss = fitted(conv_vae, few, batch, epochs, **options)
            share = speed * work / peak
            print(f"| {name} | {batch} | {speed:,.0f} | {share:.0%} | {loss:.1f} |", flush=True)


if __name__ == "__main__":
    main()
