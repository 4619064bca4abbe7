"""Images per second of this library's training loop beside the loops that people use.

    make bench                                      # or:
    COURSE_DATA=... python tests/benchmarks/speed.py [--rounds 5] [--threads 2]
    COURSE_DATA=... python tests/benchmarks/speed.py --where    # what a step of fit spends where

Every contender trains the same 784-400-20 VAE (batch 128, Adam, learning rate 1e-3, grey MNIST,
summed cross-entropy plus KL) for two epochs a round; the contenders take turns, so that a drift of
the machine's speed meets all of them, and ratios are taken round by round. The first round warms
up (compilation, caches) and is not counted. The loss of the last epoch is printed beside the speed:
a fast loop that trains worse would be no gain. bf16 is left out where the processor has none.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import logging
import os
import platform
import statistics
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from torch import distributions as td
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST

from course_lib import default_device, probe
from course_lib.data import cache, load
from course_lib.models import mlp_vae
from course_lib.training import fit

BATCH = 128
EPOCHS = 2  # in a round: what a loop does once for all its epochs should not count for each
LAYERS = [(784, 400), (400, 40), (20, 400), (400, 784)]


class PlainVAE(nn.Module):
    """The network as it stands in most tutorials, with torch's default initialization."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return self.fc4(F.relu(self.fc3(z))), mu, logvar


def plain_loss(model, x):
    logits, mu, logvar = model(x)
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def copied_loop(device):
    """(a) A DataLoader over the data set with its per-image transform; one ``item`` a step."""
    model = PlainVAE().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    data = MNIST(os.environ.get("COURSE_DATA") or cache.folder(), transform=transforms.ToTensor())
    loader = DataLoader(data, batch_size=BATCH, shuffle=True)

    def run():
        for _ in range(EPOCHS):
            total = 0.0
            for x, _ in loader:
                x = x.view(-1, 784).to(device)
                optimizer.zero_grad()
                loss = plain_loss(model, x)
                loss.backward()
                total += loss.item()
                optimizer.step()
        return total / len(data)

    return run


def tensor_loop(device, images, batch=BATCH, epochs=EPOCHS):
    """(c) The same steps over a tensor in memory."""
    model = PlainVAE().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = images.flatten(1).to(device)

    def run():
        for _ in range(epochs):
            total = torch.zeros((), device=device)
            for index in torch.randperm(len(x), device=device).split(batch):
                optimizer.zero_grad()
                loss = plain_loss(model, x[index])
                loss.backward()
                total += loss.detach()
                optimizer.step()
        return total.item() / len(x)

    return run


def pythae_loop(images):
    """(b) pythae's VAE with its trainer, its output kept quiet; the same network."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.fc1, self.mu = nn.Linear(784, 400), nn.Linear(400, 20)
            self.logvar = nn.Linear(400, 20)

        def forward(self, x):
            h = F.relu(self.fc1(x.flatten(1)))
            return ModelOutput(embedding=self.mu(h), log_covariance=self.logvar(h))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

        def forward(self, z):
            x = torch.sigmoid(self.fc4(F.relu(self.fc3(z))))
            return ModelOutput(reconstruction=x.view(-1, 1, 28, 28))

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    model = VAE(config, Encoder(), Decoder())
    data = BaseDataset(images, torch.zeros(len(images)))
    logging.disable(logging.WARNING)

    def run():
        with tempfile.TemporaryDirectory() as folder:
            settings = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=EPOCHS,
                per_device_train_batch_size=BATCH,
                learning_rate=1e-3,
                optimizer_cls="Adam",
            )
            trainer = BaseTrainer(model=model, train_dataset=data, training_config=settings)
            trainer.train()
        model.eval()
        with torch.no_grad():
            return float(model({"data": images[:10_000]}).loss)

    return run


class TorchBernoulli(nn.Module):
    """The same likelihood as torch computes it, by log1p, which is slow on a CPU."""

    def forward(self, params):
        return td.Independent(td.Bernoulli(logits=params, validate_args=False), 3)


def course_loop(device, images, epochs=EPOCHS, likelihood=None, **switches):
    """This library's ``fit``, called anew for each round, on the same model throughout."""
    model = mlp_vae()
    if likelihood is not None:
        model.head = likelihood

    def run():
        result = fit(
            model, images, epochs=epochs, batch_size=BATCH, lr=1e-3, schedule="constant",
            validation=0, device=device, progress=False, **switches,
        )  # fmt: skip
        return result.history[-1]["train_loss"]

    return run


def matmul_rate(device) -> float:
    """Images per second if a training step were its matrix products and nothing else."""
    products = []
    for n_in, n_out in LAYERS:
        x, w = torch.randn(BATCH, n_in, device=device), torch.randn(n_out, n_in, device=device)
        g = torch.randn(BATCH, n_out, device=device)
        products += [lambda x=x, w=w: x @ w.T, lambda g=g, x=x: g.T @ x]
        if n_in != 784:  # the gradient with respect to the pixels is not needed
            products.append(lambda g=g, w=w: g @ w)

    def once():
        for product in products:
            product()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return BATCH / min(_seconds(once) for _ in range(200))


def print_where(device, images, steps: int = 300) -> None:
    """A step of ``fit`` by the profiler: milliseconds of each operation without what it calls."""
    images = images[: BATCH * steps]
    run = course_loop(device, images, epochs=1)
    run()
    wall = min(_seconds(run) for _ in range(3)) / steps * 1e3
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        run()
    rows = sorted(profiler.key_averages(), key=lambda e: -e.self_cpu_time_total)
    table = [(row.key, row.self_cpu_time_total / steps / 1e3) for row in rows]
    inside = sum(ms for _, ms in table)
    table = [*table[:12], (f"{len(table) - 12} smaller ones", sum(ms for _, ms in table[12:]))]
    for name, ms in table:
        print(f"{name:45} {ms:6.2f} ms {ms / inside:4.0%}")
    alone = BATCH / matmul_rate(device) * 1e3
    print(
        f"\nunder the profiler {inside:.2f} ms, without it {wall:.2f}, products alone {alone:.2f}"
    )


def _seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds")
    parser.add_argument("--threads", type=int, default=2, help="torch's threads on the CPU")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--where", action="store_true", help="where a step of fit on the CPU goes")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    device = torch.device(a.device) if a.device else default_device()
    images = load("mnist").train
    if a.where:
        print_where(torch.device("cpu"), images)
        return

    contenders = {"(a) DataLoader and ToTensor": copied_loop(device)}
    if importlib.util.find_spec("pythae") and device.type == "cpu":
        contenders["(b) pythae's trainer"] = pythae_loop(images)
    contenders |= {
        "(c) loop over a tensor": tensor_loop(device, images),
        "fit, with torch's Bernoulli": course_loop(device, images, likelihood=TorchBernoulli()),
        "fit": course_loop(device, images),
        "fit, compile": course_loop(device, images, compile=True),
    }
    if device.type == "cuda" or not probe.bf16().startswith("no"):
        contenders["fit, bf16"] = course_loop(device, images, bf16=True)
        contenders["fit, compile and bf16"] = course_loop(device, images, compile=True, bf16=True)
    speeds = {name: [] for name in contenders}
    losses, ceiling = {}, []
    for turn in range(a.rounds + 1):
        for name, run in contenders.items():
            seconds = _seconds(lambda r=run, n=name: losses.__setitem__(n, r()))
            print(f"round {turn}, {name}: {seconds:.1f} s", file=sys.stderr)
            if turn:
                speeds[name].append(EPOCHS * len(images) / seconds)
        if turn:
            ceiling.append(matmul_rate(device))

    where = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    print(f"{datetime.date.today()}, {where}, {a.threads} threads, torch {torch.__version__}")
    print(f"medians of {a.rounds} rounds; loss: nats per image, epoch {EPOCHS * (a.rounds + 1)}\n")
    print("| loop | images/s | times (a) | times (b) | of matmul rate | loss |")
    print("|---|---|---|---|---|---|")
    for name, values in speeds.items():
        cells = [f"{statistics.median(values):,.0f}"]
        for other in ("(a)", "(b)"):
            key = next((n for n in speeds if n.startswith(other)), None)
            ratios = [v / w for v, w in zip(values, speeds[key], strict=True)] if key else []
            cells.append(f"{statistics.median(ratios):.2f}" if ratios else "not installed")
        shares = [v / c for v, c in zip(values, ceiling, strict=True)]
        cells += [f"{statistics.median(shares):.0%}", f"{losses[name]:.1f}"]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"| matrix products alone | {statistics.median(ceiling):,.0f} | | | 100% | |")


if __name__ == "__main__":
    main()
