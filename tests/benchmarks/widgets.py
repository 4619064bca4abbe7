"""How soon the live figures answer: milliseconds from a slider's new value to the new picture.

    python tests/benchmarks/widgets.py

Measured in this process, without the way to the page and back. The latent explorer should stay
below 50 ms on a CPU, at the course's image size and with each kind of decoder; the figures with
axes are drawn by matplotlib and take longer.
"""

from __future__ import annotations

import statistics
import time

import torch

from course_lib import start
from course_lib.models import LIKELIHOODS, conv_vae, mlp_vae
from course_lib.widgets import betas, explainers, explorer, scrubber

REPEATS = 100


def answers(slider, picture, values: list[float]) -> list[float]:
    """Set the slider to each of the values in turn; return the milliseconds of each redraw."""
    took = []
    for value in values:
        before = picture.value
        begin = time.perf_counter()
        slider.value = value
        took.append(1000 * (time.perf_counter() - begin))
        assert picture.value != before, "the picture did not change"
    return took


def report(name: str, took: list[float]) -> None:
    print(f"| {name} | {statistics.median(took):.1f} | {max(took):.1f} |", flush=True)


def main() -> None:
    start(seed=0)
    x = torch.rand(500, 1, 28, 28).round()
    color = torch.rand(500, 3, 28, 28).round()
    values = torch.linspace(-2.9, 2.9, REPEATS).tolist()
    models = {f"mlp, {name}": mlp_vae(likelihood=name) for name in LIKELIHOODS}
    models["mlp, prior of 100 components"] = mlp_vae(prior="mixture")
    models["conv"] = conv_vae()
    models["conv, 3 channels"] = conv_vae((3, 28, 28))
    print("| redraw | median, ms | worst, ms |\n|---|---|---|")
    for name, model in models.items():
        data = x if model.image_shape[0] == 1 else color
        form = explorer.Explorer(model, explorer._space(model, data, 0), 0)
        report(
            f"explore_latents, {name}",
            answers(form.sliders[next(iter(form.sliders))], form.image, values),
        )
    z = torch.randn(2, 20)
    form = scrubber.Scrubber(models["conv"], z[0], z[1], 4.4)
    report(
        "scrub_interpolation, conv",
        answers(form.t, form.image, torch.linspace(0.01, 1, REPEATS).tolist()),
    )
    weights = {float(beta): mlp_vae() for beta in range(1, 6)}
    form = betas.Betas(betas._entries(weights, x), x)
    report("explore_beta", answers(form.beta, form.samples, [2.0, 3.0, 4.0, 5.0, 1.0] * 4))
    for name in ("kl_picture", "path_picture"):
        form = explainers.Knobs(getattr(explainers, name), 0.0, 0.0)
        report(f"knobs, {name}", answers(form.mu, form.image, values[::10]))


if __name__ == "__main__":
    main()
