"""Export the decoder that the latent explorer of the site runs in the page.

    python docs/site/export_decoder.py
    python docs/site/export_decoder.py runs/strokes-quick.pt

Without a checkpoint a small VAE is trained on strokes from a fixed seed (about half a minute on one
core). Weights are rounded to 8 bits, one scale for each row of a matrix, and what that costs is
measured on held-out images. The output is a script that assigns one object, not JSON: a page opened
from a folder (``file://``) may load a script and may not fetch a file.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.checkpoints import load_model
from course_lib.data import fixed_binarization, load
from course_lib.evaluation import evaluate, latent_rates
from course_lib.files import replacing
from course_lib.models import VAE, mlp_vae
from course_lib.training import fit

# In a folder of its own: scripts in _static are part of every page, this one is loaded when needed.
OUT = Path(__file__).parent / "_static" / "weights" / "decoder.js"
NAME = "globalThis.courseDecoder"  # what the script assigns to, and decoder.js reads
FORMAT = "course decoder 1"

# Two hidden layers: with one of 400 units the draws of the prior are visibly worse, at more bytes.
MODEL = {"latent_dim": 12, "hidden": (256, 256)}
TRAINING = {"epochs": 15, "batch_size": 128, "warmup_epochs": 3.0}
NUM_TRAIN, NUM_TEST, SEED = 30_000, 2_000, 0
ACTIVE = 0.1  # nats: a latent with a smaller mean rate gets no slider
NUM_CODES = 200  # posterior means of held-out images, the dots on the pad
CODE_SCALE = 1 / 25  # of an 8-bit code: up to ±5


def train(seed: int = SEED) -> VAE:
    """Return the model of the site: a VAE with a Bernoulli likelihood, trained on strokes."""
    images = load("strokes", num_train=NUM_TRAIN, num_test=1)
    torch.manual_seed(seed)
    model = mlp_vae(**MODEL)
    result = fit(
        model, images.train, **TRAINING, binarize=True, device="cpu", seed=seed, progress=False
    )
    return result.model


def held_out() -> Tensor:
    """Return the test images on which rates and losses are measured, ``[2000, 1, 28, 28]``."""
    return fixed_binarization(load("strokes", num_train=1, num_test=NUM_TEST).test)


def export(model: VAE, x: Tensor, made: dict) -> dict:
    """Return all that the page needs as plain values; weights are base64.

    Args:
        model: made by :func:`course_lib.models.mlp_vae`, Bernoulli, one channel, p(z) = N(0, I).
        x: held-out binary images ``[N, 1, H, W]``.
        made: how the model came about; kept as it is.

    Raises:
        ValueError: a model that the page can't run.
    """
    check_fit(model)
    rates = [round(rate, 4) for rate in latent_rates(model, x).mean(0).tolist()]
    active = sum(rate > ACTIVE for rate in rates)
    if active < 2:
        raise ValueError(
            f"{active} of the {model.latent_dim} latents have a mean rate above {ACTIVE} nats; the "
            "page needs two, one for each axis of its pad. Train a model that uses more of them."
        )
    layers = [_pack(layer) for layer in model.decoder if isinstance(layer, nn.Linear)]
    _, height, width = model.image_shape
    with torch.no_grad():
        codes = model.posterior(x[:NUM_CODES]).mean
    # The lengths of draws of N(0, I) follow a chi distribution; this is its mean.
    half = model.latent_dim / 2
    content = {
        "format": FORMAT,
        "made": made,
        "height": height,
        "width": width,
        "latents": model.latent_dim,
        "activation": model.spec["activation"],
        "active": ACTIVE,
        "rates": rates,
        "prior_norm": math.sqrt(2) * math.exp(math.lgamma(half + 0.5) - math.lgamma(half)),
        "codes": {"scale": CODE_SCALE, "values": _base64(_to_8_bits(codes, CODE_SCALE))},
        "layers": layers,
    }
    return content | {"loss": measure(model, rebuild(content, model), x)}


def check_fit(model: object) -> None:
    """Raise ValueError unless the page can run this model's decoder."""
    spec = getattr(model, "spec", None) or {}
    wanted = {"model": ("mlp",), "likelihood": ("bernoulli",), "prior": ("standard",)}
    wanted["activation"] = ("relu", "tanh")
    for name, good in wanted.items():
        if spec.get(name) not in good:
            raise ValueError(
                f"The {name} of this checkpoint is {spec.get(name)!r}; the page can run only "
                f"{' or '.join(good)}. Train one with `python -m course_lib train --quick`."
            )
    if spec["image_shape"][0] != 1:
        raise ValueError(
            f"This model makes images of {spec['image_shape'][0]} channels; the page shows one. "
            "Train on grey images."
        )


def rebuild(content: dict, model: VAE) -> VAE:
    """Return a copy of ``model`` whose decoder has the exported weights."""
    again = copy.deepcopy(model)
    own = [layer for layer in again.decoder if isinstance(layer, nn.Linear)]
    for layer, packed in zip(own, content["layers"], strict=True):
        weight, bias = unpack(packed)
        layer.weight.data, layer.bias.data = weight, bias
    return again


def unpack(packed: dict) -> tuple[Tensor, Tensor]:
    """Return weight ``[out, in]`` and bias ``[out]`` of a layer, float32, as the page does."""
    values = _read(packed["weight"], torch.int8).reshape(packed["out"], packed["in"])
    scale, bias = (_read(packed[name], torch.float32) for name in ("scale", "bias"))
    return values.float() * scale[:, None], bias


@torch.no_grad()
def measure(model: VAE, exported: VAE, x: Tensor) -> dict:
    """Return what rounding costs: nats per image (the same draws of z) and values of pixels."""
    before, after = (evaluate(m, x, num_samples=1).elbo for m in (model, exported))
    differences = (after - before).double()
    z = torch.randn(1000, model.latent_dim, generator=torch.Generator().manual_seed(0))
    pixels = (exported.mean_image(z) - model.mean_image(z)).abs()
    return {
        "elbo": round(before.double().mean().item(), 3),
        "elbo_change": round(differences.mean().item(), 4),
        "elbo_change_se": round(differences.std().item() / math.sqrt(len(x)), 4),
        "pixel_mean": round(pixels.mean().item(), 5),
        "pixel_largest": round(pixels.max().item(), 4),
    }


def write(content: dict, path: Path) -> int:
    """Write the script that assigns ``content``; return its size in bytes."""
    text = f"{NAME} = {json.dumps(content, indent=1)};\n".encode("ascii")
    with replacing(path) as file:
        file.write(text)
    return len(text)


def read(path: Path) -> dict:
    """Return what :func:`write` wrote."""
    text = path.read_text(encoding="ascii")
    return json.loads(text.removeprefix(f"{NAME} = ").removesuffix(";\n"))


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0, or 2 after bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, nargs="?", help="of an mlp VAE; default: train")
    parser.add_argument("--out", type=Path, default=OUT, help="the script (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the training (%(default)s)")
    arguments = parser.parse_args(argv)
    try:
        if arguments.checkpoint is None:
            model = train(arguments.seed)
            made = {"data": "strokes", "images": NUM_TRAIN, "seed": arguments.seed} | TRAINING
        else:
            model = load_model(arguments.checkpoint)
            made = {"checkpoint": arguments.checkpoint.name}
        content = export(model, held_out(), made)
        size = write(content, arguments.out)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    active, loss = sum(rate > ACTIVE for rate in content["rates"]), content["loss"]
    print(f"{arguments.out}: {size:,} bytes, {active} of {model.latent_dim} latents active")
    print(
        f"ELBO {loss['elbo']:.2f} nats per image on {NUM_TEST:,} test images; 8 bits change it by "
        f"{loss['elbo_change']:.4f} ± {loss['elbo_change_se']:.4f}, and a pixel of E[x|z] by "
        f"{loss['pixel_mean']:.5f} on average, {loss['pixel_largest']:.4f} at most"
    )
    return 0


def _pack(layer: nn.Linear) -> dict:
    weight, bias = layer.weight.detach().float().cpu(), layer.bias.detach().float().cpu()
    scale = (weight.abs().amax(1) / 127).clamp(min=1e-12)  # a row of zeros stays one
    return {
        "in": layer.in_features,
        "out": layer.out_features,
        "scale": _base64(scale),
        "bias": _base64(bias),
        "weight": _base64(_to_8_bits(weight, scale[:, None])),
    }


def _to_8_bits(values: Tensor, scale: Tensor | float) -> Tensor:
    return (values / scale).round().clamp(-127, 127).to(torch.int8)


def _base64(values: Tensor) -> str:
    array = values.contiguous().numpy()
    return b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def _read(text: str, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(b64decode(text)), dtype=dtype)


if __name__ == "__main__":
    raise SystemExit(main())
