"""The probe of a training step: a small model of known parameters, and how a step moves them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch import distributions as D

from .guard import Guard, Problem
from .plain import encode, numbers, to_tensor


class SmallModel(nn.Module):
    """A linear VAE for images ``[B, 1, 28, 28]`` that works on 4 x 4 patches and notes every z.

    Its parameters are called ``mean``, ``mean_bias``, ``width``, ``width_bias`` (encoder), and
    ``image``, ``image_bias`` (decoder). ``level`` is added to every log variance; it is no
    parameter, so that the small steps of the parameters are exact.
    """

    def __init__(self, parameters: dict[str, Tensor], level: float) -> None:
        super().__init__()
        self.level = level
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value.clone()))
        self.latent_dim = parameters["mean_bias"].numel()
        self.drawn: list[Tensor] = []
        self.evaluating = False

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar, ``[B, L]``."""
        self.evaluating = self.evaluating or not self.training
        patches = nn.functional.avg_pool2d(x.reshape(-1, 1, 28, 28), 7).flatten(1)
        mu = patches @ self.mean + self.mean_bias
        return mu, patches @ self.width + self.width_bias + self.level

    def decode(self, z: Tensor) -> Tensor:
        """Return the logits of images, ``[B, 1, 28, 28]``."""
        self.drawn.append(z.detach().clone())
        patches = (z @ self.image + self.image_bias).reshape(-1, 1, 4, 4)
        return patches.repeat_interleave(7, 2).repeat_interleave(7, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, mu and logvar."""
        mu, logvar = self.encode(x)
        return self.decode(D.Normal(mu, (0.5 * logvar).exp()).rsample()), mu, logvar


def probe_step(plan: dict, train_step: Callable, guard: Guard) -> list[dict]:
    """Take one step for each call of the plan, always from the parameters that the call names.

    Gradients are left lying between the calls, as they are between the steps of a training loop.
    A record holds the returned value, the change of every parameter, what was decoded, how often the
    optimizer took a step, and whether the model worked in evaluation mode.
    """
    first = plan["calls"][0]
    model = SmallModel({k: to_tensor(v) for k, v in first["parameters"].items()}, first["level"])
    encoder = [p for name, p in model.named_parameters() if not name.startswith("image")]
    decoder = [p for name, p in model.named_parameters() if name.startswith("image")]
    optimizer = torch.optim.SGD(
        [{"params": encoder, "lr": first["rates"][0]}, {"params": decoder, "lr": first["rates"][1]}]
    )
    steps: list[None] = []
    optimizer.register_step_post_hook(lambda *_: steps.append(None))
    record = []
    for call in plan["calls"]:
        start = {name: to_tensor(plain) for name, plain in call["parameters"].items()}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(start[name])
        model.level = call["level"]
        model.drawn.clear()
        model.train()
        model.evaluating = False
        steps.clear()
        x = to_tensor(call["x"])
        before = x.clone()
        try:
            value = guard.call(train_step, model, optimizer, x)
            plain = guard.read(encode, value)
        except Problem as problem:
            record.append({"problem": problem.plain})
            break
        moved = {
            name: numbers(parameter.double() - start[name].double())
            for name, parameter in model.named_parameters()
        }
        record.append(
            {
                "value": plain,
                "moved": moved,
                "decoded": [encode(z) for z in model.drawn[: 2 * len(x)]],
                "changed": not torch.equal(x, before),
                "steps": len(steps),
                "evaluating": model.evaluating,
            }
        )
    return record
