"""The judge of a training step: what it returned, and by which gradient it moved the parameters.

A step of SGD moves a parameter by minus the rate times the gradient, so the gradient can be read
off. The posterior of the probe's model is so narrow in the calls tagged ``"still"`` that its noise
does not matter, and loss and gradient are known; the noise is judged in the calls tagged
``"noisy"`` from what was decoded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks import faults, noise
from course_lib.checks.exercise import Exercise, Inputs
from course_lib.checks.probes.plain import tensor, to_tensor
from course_lib.checks.probes.training import SmallModel
from course_lib.checks.result import Result
from course_lib.checks.vae_terms import DISTORTIONS, RATES, Term

_LATENTS, _PATCHES, _PIXELS = 6, 16, 784
_LEARNING_RATES = [1e-3, 2.5e-4]
_DECODER = ("image", "image_bias")


def calls(inputs: Inputs) -> list[dict]:
    """Return the steps of the probe: five still ones of two batch sizes, then eight noisy ones."""

    def parameters(width: dict, width_bias: dict) -> dict:
        return {
            "mean": inputs.normal(_PATCHES, _LATENTS, std=0.5, dtype="float32"),
            "mean_bias": inputs.normal(_LATENTS, std=0.5, dtype="float32"),
            "width": width,
            "width_bias": width_bias,
            "image": inputs.normal(_LATENTS, _PATCHES, std=0.4, dtype="float32"),
            "image_bias": inputs.normal(_PATCHES, std=0.5, dtype="float32"),
        }

    def images(batch: int) -> dict:
        x = inputs.between(0.0, 1.0, batch, 1, 28, 28, dtype="float32")
        # Patches of different brightness, or the means of all images would be alike.
        bright = [inputs.random() for _ in range(batch * 16)]
        for k in range(len(x["data"])):
            b, row, column = k // 784, k % 784 // 28 // 7, k % 28 // 7
            x["data"][k] = round((x["data"][k] + bright[16 * b + 4 * row + column]) / 2, 3)
        return x

    still = [
        {
            "tag": "still",
            "level": -22.0,
            "parameters": parameters(
                inputs.normal(_PATCHES, _LATENTS, std=0.1, dtype="float32"),
                inputs.normal(_LATENTS, std=0.5, dtype="float32"),
            ),
            "x": images(batch),
            "rates": _LEARNING_RATES,
        }
        for batch in (5, 5, 3, 5, 3)
    ]
    signs = [(-1) ** k * inputs.uniform(0.9, 1.6) for k in range(_LATENTS)]
    noisy = {
        "tag": "noisy",
        "level": 0.0,
        "parameters": parameters(
            inputs.normal(_PATCHES, _LATENTS, std=0.15, dtype="float32"),
            tensor(signs, [_LATENTS], "float32"),
        ),
        "x": images(32),
        "rates": _LEARNING_RATES,
    }
    return [*still, *[noisy] * 8]


def judge(exercise: Exercise, calls: list[dict], record: list[dict]) -> Result:
    """Return the verdict on what the probe saw."""
    done = [one for one in record if "problem" not in one]
    problem = next((one["problem"] for one in record if "problem" in one), None)
    for one in done:
        fault = _value(exercise, one["value"])
        if fault:
            return fault
    if problem:
        return faults.stopped(exercise, problem, _ERRORS)
    if len(done) != len(calls):
        raise ValueError("Steps are missing.")
    still = [_Step(c, one) for c, one in zip(calls, done, strict=True) if c["tag"] == "still"]
    noisy = [(c, one) for c, one in zip(calls, done, strict=True) if c["tag"] == "noisy"]
    verdict = (
        _calls_made(exercise, done)
        or _noise(exercise, noisy)
        or _gradient(exercise, still)
        or _returned(exercise, still)
        or _wide(exercise, noisy)
    )
    if verdict:
        return verdict
    if any(one["changed"] for one in done):
        return faults.changed(exercise, ["x"])
    return Result(exercise.name, True, None, "The right loss, its gradient, and one step.")


_ERRORS = (
    (
        r"grad can be implicitly created only for scalar",
        "not_averaged",
        "backward() was called on one loss per image. Take the mean over the batch first: this is the "
        "one place where it belongs.",
    ),
    (
        r"does not require grad|does not have a grad_fn",
        "detached",
        "The loss has no gradient: it was computed without one, or made into a number too early.",
    ),
    (
        r"between 0 and 1",
        "logits_as_probabilities",
        "A function that takes probabilities got the logits. Use the one that takes logits.",
    ),
)


def _value(exercise: Exercise, value: dict) -> Result | None:
    kind = value.get("kind")
    if kind == "float":
        if math.isfinite(float(value["value"])):
            return None
        return faults.failed(exercise, "not_finite", "It returned NaN or infinity.")
    if kind == "none":
        message = "It returned None; the mean -ELBO as a float was expected. Is there a return?"
        return faults.failed(exercise, "nothing_returned", message)
    given = value.get("type", kind)
    message = (
        f"It returned a value of the kind {given}; a Python float was expected. loss.item() makes "
        "one, and lets go of the graph."
    )
    return faults.failed(exercise, "wrong_type", message)


def _calls_made(exercise: Exercise, done: list[dict]) -> Result | None:
    """Judge how often the optimizer took a step, and the mode of the model."""
    most = max(one["steps"] for one in done)
    if most > 1:
        message = f"optimizer.step() ran {most} times in one call. Take one step for each call."
        return faults.failed(exercise, "several_steps", message)
    if most == 0 and any(float(v) for one in done for m in one["moved"].values() for v in m):
        message = (
            "The parameters move, but not by the optimizer that was given. Let optimizer.step() move "
            "them, and make no other optimizer inside."
        )
        return faults.failed(exercise, "optimizer_ignored", message)
    if any(one["evaluating"] for one in done):
        message = (
            "The model works in evaluation mode, which switches dropout off and freezes batch "
            "normalization. Leave out model.eval(): a training step is taken in training mode."
        )
        return faults.failed(exercise, "eval_mode", message)
    return None


def _noise(exercise: Exercise, noisy: list[tuple[dict, dict]]) -> Result | None:
    """Judge the draws of z that were decoded."""
    draws = []
    for call, one in noisy:
        batch = call["x"]["shape"][0]
        z = _decoded(one, batch)
        if len(z) < batch:
            return None  # an unusual way to the logits: its loss and gradient tell the rest
        draws.append(z[:batch])
    call = noisy[0][0]
    model = _model(call)
    mu, logvar = (t.detach() for t in model.encode(to_tensor(call["x"]).double()))
    found = noise.diagnose(torch.stack(draws), mu, logvar)
    if found is None:
        return None
    message = f"The z that is decoded: {found.sentence}"
    return faults.failed(exercise, found.mistake, message, drawing=found.drawing)


def _decoded(one: dict, batch: int) -> Tensor:
    """Return all z that were decoded as rows ``[N, L]``, the first draw of every image first.

    They may come as ``[B, L]`` or ``[L]``, or with an axis of draws: ``[K, B, L]``, ``[B, K, L]``.
    """
    rows = [torch.zeros(0, _LATENTS, dtype=torch.float64)]
    for z in map(faults.plain_values, one["decoded"]):
        if z.shape[-1:] == (_LATENTS,):
            if z.dim() > 2 and z.shape[0] == batch != z.shape[-2]:
                z = z.movedim(0, -2)
            rows.append(z.reshape(-1, _LATENTS))
    return torch.cat(rows)


# --- reading a step ------------------------------------------------------------------------------


class _Step:
    """One still step: what was returned, the gradient that was used, and what they should be."""

    def __init__(self, call: dict, one: dict) -> None:
        self.x = to_tensor(call["x"]).double()
        self.batch = len(self.x)
        self.value = float(one["value"]["value"])
        self.model = _model(call)
        self.names = [name for name, _ in self.model.named_parameters()]
        self.leaves = [p for _, p in self.model.named_parameters()]
        self.drawn = self._draws(one)
        self.used, moved = [], []
        for name, leaf in zip(self.names, self.leaves, strict=True):
            rate = call["rates"][name in _DECODER]
            values = torch.tensor([float(v) for v in one["moved"][name]], dtype=torch.float64)
            moved.append(values.reshape(leaf.shape))
            self.used.append(-moved[-1] / rate)
        later = {n: p.detach() + m for n, p, m in zip(self.names, self.leaves, moved, strict=True)}
        self.distortion, self.rate = self.terms(self.model, DISTORTIONS[0], RATES[0])
        self.after = float(
            sum(self.terms(SmallModel(later, call["level"]).double(), DISTORTIONS[0], RATES[0]))
        )
        self.want = [
            d + r
            for d, r in zip(self.gradient(self.distortion), self.gradient(self.rate), strict=True)
        ]

    def _draws(self, one: dict) -> Tensor | None:
        """Return what was decoded, where it is one z for each image."""
        z = _decoded(one, self.batch)
        return z if len(z) == self.batch else None

    def at_draws(self, *, fixed_std: bool = False) -> list[Tensor]:
        """Return the mean -ELBO at the z that were decoded: with the KL, and with its estimate."""
        mu, logvar = self.model.encode(self.x)
        std = (0.5 * logvar).exp()
        eps = ((self.drawn - mu) / std).detach()
        z = mu + (std.detach() if fixed_std else std) * eps
        distortion = DISTORTIONS[0][1](self.x, self.model.decode(z)).flatten(1).sum(1)
        sampled = 0.5 * (z**2 - logvar - ((z - mu) / std) ** 2).sum(1)
        return [(distortion + rate).mean() for rate in (RATES[0][1](mu, logvar).sum(1), sampled)]

    @property
    def has_sampled_kl(self) -> bool:
        """Whether the value is the -ELBO with an estimate of its KL from the z that was decoded."""
        if self.drawn is None:
            return False
        # z lies so near mu that its float32 digits leave little of the noise.
        return abs(self.value - float(self.at_draws()[1])) < 0.2

    def terms(self, model: SmallModel, distortion: Term, rate: Term) -> tuple[Tensor, Tensor]:
        """Return the means over the batch of the distortion and of the rate, without noise."""
        mu, logvar = model.encode(self.x)
        logits = model.decode(mu)
        return (
            distortion[1](self.x, logits).flatten(1).sum(1).mean(),
            rate[1](mu, logvar).sum(1).mean(),
        )

    def gradient(self, of: Tensor) -> list[Tensor]:
        found = torch.autograd.grad(of, self.leaves, allow_unused=True, retain_graph=True)
        zipped = zip(found, self.leaves, strict=True)
        return [torch.zeros_like(leaf) if g is None else g for g, leaf in zipped]

    def weights(self, distortion: Term, rate: Term) -> list[float] | None:
        """Explain the gradient that was used by these terms.

        Returns:
            The weights of the distortion (in the decoder, in the encoder) and of the rate, or None
            where no weights explain it.
        """
        d, r = self.terms(self.model, distortion, rate)
        of_d, of_r = self.gradient(d), self.gradient(r)
        decodes = [name in _DECODER for name in self.names]
        parts = (
            [g if here else torch.zeros_like(g) for g, here in zip(of_d, decodes, strict=True)],
            [torch.zeros_like(g) if here else g for g, here in zip(of_d, decodes, strict=True)],
            of_r,
        )
        design = torch.stack([_flat(part) for part in parts], 1)
        used = _flat(self.used)
        if not (torch.isfinite(design).all() and torch.isfinite(used).all()):
            return None  # LAPACK would print a complaint to the terminal
        found = torch.linalg.lstsq(design, used[:, None]).solution.flatten()
        rest = (design @ found - used).norm()
        return found.tolist() if rest <= 0.01 * used.norm() + 1e-9 else None


def _model(call: dict) -> SmallModel:
    start = {name: to_tensor(plain).double() for name, plain in call["parameters"].items()}
    return SmallModel(start, call["level"]).double()


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])


def _near(a: list[Tensor], b: list[Tensor]) -> bool:
    """Whether two gradients agree within what a float32 step can show."""
    return all(
        bool((x - y).abs().max() <= 0.01 * y.abs().max() + 0.01) for x, y in zip(a, b, strict=True)
    )


# --- judging the gradient ------------------------------------------------------------------------


def _gradient(exercise: Exercise, steps: list[_Step]) -> Result | None:
    if all(_near(step.used, step.want) for step in steps):
        # The KL has a small part in the gradient: only its weight tells whether it is right.
        found = [step.weights(DISTORTIONS[0], RATES[0]) for step in steps]
        if any(w is None or max(abs(v - 1) for v in w) < 0.02 for w in found):
            return None
    mistake, message = (
        _kind_of_step(steps)
        or _weights(steps)
        or (
            "wrong_gradient",
            "The parameters do not move along the gradient of the mean -ELBO.",
        )
    )
    first = next((step for step in steps if not _near(step.used, step.want)), steps[0])
    details = (
        ("gradient used", f"norm {_flat(first.used).norm():.5g} (step / learning rate)"),
        ("expected", f"norm {_flat(first.want).norm():.5g}"),
        ("returned", f"{first.value:.6g}"),
        ("expected", f"{float(first.distortion + first.rate):.6g}"),
    )
    return faults.failed(exercise, mistake, message, *details)


def _kind_of_step(steps: list[_Step]) -> tuple[str, str] | None:
    """Look for a fault of the step itself, whatever the loss."""
    if all(_flat(step.used).abs().max() == 0 for step in steps):
        return "no_step", (
            "The parameters do not move. A step is zero_grad(), backward() and optimizer.step(), in "
            "this order."
        )
    if _near(steps[0].used, steps[0].want):
        heap = [a + b for a, b in zip(steps[0].want, steps[1].want, strict=True)]
        if _near(steps[1].used, heap):
            return "no_zero_grad", (
                "The second step is taken along the sum of two gradients: backward() adds to what "
                "lies in .grad. Call optimizer.zero_grad() first."
            )
    used, want = ([_flat(getattr(s, name)) for s in steps] for name in ("used", "want"))
    ratios = [float(u.norm() / w.norm()) for u, w in zip(used, want, strict=True)]
    aligned = [float(u @ w / (u.norm() * w.norm())) for u, w in zip(used, want, strict=True)]
    if min(aligned) > 0.999 and max(ratios) < 1:
        norms = [float(u.norm()) for u in used]
        if max(norms) < 1.01 * min(norms) and max(ratios) > 1.02 * min(ratios):
            return "clipped_gradient", (
                f"The gradient is clipped to the norm {norms[0]:.3g}. Nothing is to be clipped here."
            )
    limit = max(float(u.abs().max()) for u in used)
    clips = any(float(w.abs().max()) > 1.05 * limit for w in want)
    if clips and all(_near([u], [w.clamp(-limit, limit)]) for u, w in zip(used, want, strict=True)):
        return "clipped_gradient", (
            f"The gradient is clipped to values up to {limit:.3g}. Nothing is to be clipped here."
        )
    return None


def _weights(steps: list[_Step]) -> tuple[str, str] | None:
    """Explain the gradients by a wrong loss."""
    pairs = [(d, r) for d in DISTORTIONS for r in RATES]
    pairs.sort(key=lambda pair: bool(pair[0][0]) + bool(pair[1][0]))
    for distortion, rate in pairs:
        if distortion[0] and rate[0]:
            break
        first = steps[0].weights(distortion, rate)
        if first is None:
            continue
        found = [step.weights(distortion, rate) for step in steps]
        if any(weights is None for weights in found):
            continue
        named = _name_weights(found, [step.batch for step in steps])
        wrong = [part for part in (distortion, rate) if part[0]]
        if not wrong:
            return named
        also = f" Besides: {named[1]}" if named else ""
        return wrong[0][0], wrong[0][2] + also
    return None


def _name_weights(found: list[list[float]], batches: list[int]) -> tuple[str, str] | None:
    """Name weights (distortion in the decoder, in the encoder, rate), one triple for each step."""

    def are(decoder: float, encoder: float, rate: float, *, per_batch: float = 0.0) -> bool:
        wanted = (decoder, encoder, rate)
        return all(
            abs(w - t * b**per_batch) <= 0.02 * abs(t * b**per_batch) + 5e-4
            for weights, b in zip(found, batches, strict=True)
            for w, t in zip(weights, wanted, strict=True)
        )

    def are_with(rate_power: float, decoder: float, rate: float) -> bool:
        return all(
            abs(w[0] - decoder) <= 0.02 * decoder
            and abs(w[1] - decoder) <= 0.02 * decoder
            and abs(w[2] - rate * b**rate_power) <= 0.02 * rate * b**rate_power
            for w, b in zip(found, batches, strict=True)
        )

    pixel, latent = 1 / _PIXELS, 1 / _LATENTS
    if are(1, 1, 1):
        return None
    for mistake, wanted, sentence in (
        ("ascends", (-1, -1, -1), "The step goes uphill: the loss is -ELBO, and it is minimized."),
        ("no_kl", (1, 1, 0), "The KL has no part in the gradient."),
        ("no_reconstruction", (0, 0, 1), "The reconstruction has no part in the gradient."),
        (
            "pixels_averaged",
            (pixel, pixel, 1),
            "The distortion is averaged over the pixels and the KL is not: that weighs the KL by "
            "784, and the posterior collapses.",
        ),
        (
            "both_averaged",
            (pixel, pixel, latent),
            "Distortion and KL are averaged, one over pixels, the other over latents. Sum both, and "
            "average over the batch only.",
        ),
        ("latents_averaged", (1, 1, latent), "The KL is averaged over the latents. Sum it."),
        ("kl_over_pixels", (1, 1, pixel), "The KL is divided by the number of pixels."),
        ("kl_added", (1, 1, -1), "The KL has the wrong sign: the loss is distortion plus KL."),
        ("missing_half", (1, 1, 2), "The factor 1/2 of the KL is missing."),
        (
            "rescaled",
            (pixel, pixel, pixel),
            "The loss is divided by the number of pixels. Step on nats per image.",
        ),
        (
            "encoder_not_trained",
            (1, 0, 0),
            "Only the decoder gets a gradient: the encoder's outputs were detached.",
        ),
        ("detached_z", (1, 0, 1), "No gradient flows from the reconstruction to the encoder: z was "
         "detached, or drawn with sample()."),
    ):  # fmt: skip
        if are(*wanted):
            return mistake, sentence
    if are(1, 1, 1, per_batch=1):
        return "summed_over_batch", (
            "The loss is summed over the batch. Take the mean, or the step grows with the batch."
        )
    if are(1, 1, 1, per_batch=-1):
        return "divided_twice", "The mean over the batch is divided by the batch size once more."
    if are_with(1, 1, 1) or are_with(1, pixel, 1):
        return "kl_summed_over_batch", (
            "The KL is summed over the batch and the distortion is averaged. Average both."
        )
    sizes = [
        abs(w[0] - b) + abs(w[1] - b) + abs(w[2] - 1) for w, b in zip(found, batches, strict=True)
    ]
    if max(sizes) < 0.1:
        return "reconstruction_summed_over_batch", (
            "The distortion is summed over the batch and the KL is averaged. Average both."
        )
    if are_with(-1, 1, 1):
        return "kl_divided_twice", "The KL is divided by the batch size once too often."
    decoder, encoder, rate = (torch.tensor(column) for column in zip(*found, strict=True))
    size = torch.tensor(batches, dtype=torch.float32)
    together = bool(((encoder - rate).abs() < 0.05 * rate.abs()).all())
    if together and _constant(decoder / encoder) and abs(decoder[0] / encoder[0] - 1) > 0.02:
        return "optimizer_ignored", (
            "The parameters do not move by the optimizer's learning rates. Let optimizer.step() "
            "move them."
        )
    if together and _constant(rate / size) and _constant(decoder / rate):
        return "constant_batch_size", (
            f"The sum over the batch is divided by {float(size[0] / rate[0]):.4g}, whatever its size. "
            "The last batch is shorter: take the mean."
        )
    if together and _constant(rate):
        return "rescaled", f"The gradient is {float(rate[0]):.4g} times that of the mean -ELBO."
    if bool(((decoder - 1).abs() < 0.02).all()) and _constant(rate):
        return "weighted_kl", f"The KL is weighted by {float(rate[0]):.4g}. In the ELBO it is 1."
    return None


def _constant(values: Tensor) -> bool:
    return bool(values.max() - values.min() <= 0.05 * values.abs().max())


# --- judging the value ---------------------------------------------------------------------------


def _returned(exercise: Exercise, steps: list[_Step]) -> Result | None:
    def all_are(wanted: Callable[[_Step], Tensor | float]) -> bool:
        pairs = [(step.value, float(wanted(step))) for step in steps]
        return all(abs(v - w) <= 1e-4 * abs(w) + 1e-4 for v, w in pairs)

    if all_are(lambda s: s.distortion + s.rate) or all(s.has_sampled_kl for s in steps):
        return None
    mistake, message = next(
        ((name, sentence) for name, wanted, sentence in _VALUES if all_are(wanted)), (None, "")
    )
    if mistake is None:
        mistake, message = _value_of_terms(steps) or (None, "")
    message = message or "It is not the mean -ELBO, in nats per image."
    first = steps[0]
    want = float(first.distortion + first.rate)
    details = (("returned", f"{first.value:.6g}"), ("expected", f"{want:.6g}"))
    message = f"The step is right, but not the value that is returned. {message}"
    return faults.failed(exercise, mistake, message, *details)


_VALUES: tuple[tuple[str, Callable[[_Step], Tensor | float], str], ...] = (
    (
        "value_after_step",
        lambda s: s.after,
        "It is the loss after the step. Return the one before.",
    ),
    ("returns_elbo", lambda s: -s.distortion - s.rate, "It is the ELBO; -ELBO is asked."),
    (
        "returns_sum",
        lambda s: s.batch * (s.distortion + s.rate),
        "It is the sum over the batch. Return the mean, in nats per image.",
    ),
    (
        "returns_per_pixel",
        lambda s: (s.distortion + s.rate) / _PIXELS,
        "It is in nats per pixel. Nats per image are asked.",
    ),
    (
        "returns_per_batch",
        lambda s: (s.distortion + s.rate) / s.batch,
        "The mean is divided by the batch size once more.",
    ),
    (
        "returns_bits",
        lambda s: (s.distortion + s.rate) / math.log(2),
        "It is in bits. Nats are asked.",
    ),
    ("returns_distortion", lambda s: s.distortion, "It is the distortion without the KL."),
    ("returns_rate", lambda s: s.rate, "It is the KL without the distortion."),
)


def _value_of_terms(steps: list[_Step]) -> tuple[str, str] | None:
    """Explain the value by wrong weights, or by one wrong term."""
    values = torch.tensor([s.value for s in steps], dtype=torch.float64)
    batch = torch.tensor([s.batch for s in steps], dtype=torch.float64)
    d, r = (torch.stack([getattr(s, n).detach() for s in steps]) for n in ("distortion", "rate"))
    for of_d, of_r in itertools.product((0, 1, -1), repeat=2):
        design = torch.stack([d * batch**of_d, r * batch**of_r], 1)
        found = torch.linalg.lstsq(design, values[:, None]).solution.flatten()
        if (design @ found - values).abs().max() <= 1e-5 * values.abs().max() + 1e-5:
            return _name_value(*found.tolist(), of_d, of_r)
    for distortion, rate in itertools.product(DISTORTIONS, RATES):
        if bool(distortion[0]) == bool(rate[0]):
            continue
        wrong = distortion if distortion[0] else rate
        wanted = [float(sum(s.terms(s.model, distortion, rate))) for s in steps]
        if all(abs(v - w) <= 1e-4 * abs(w) for v, w in zip(values.tolist(), wanted, strict=True)):
            return wrong[0], wrong[2]
    return None


def _name_value(d: float, r: float, of_d: int, of_r: int) -> tuple[str, str]:
    """Name the weights of distortion and KL in the value, and the powers of the batch size."""
    for mistake, wanted, sentence in (
        ("kl_added", (1, -1, 0, 0), "The KL has the wrong sign: it is distortion plus KL."),
        ("missing_half", (1, 2, 0, 0), "The factor 1/2 of the KL is missing."),
        ("both_averaged", (1 / _PIXELS, 1 / _LATENTS, 0, 0), "Distortion and KL are averaged, one "
         "over pixels, the other over latents. Sum both."),
        ("pixels_averaged", (1 / _PIXELS, 1, 0, 0), "The distortion is averaged over the pixels."),
        ("latents_averaged", (1, 1 / _LATENTS, 0, 0), "The KL is averaged over the latents."),
        ("kl_over_pixels", (1, 1 / _PIXELS, 0, 0), "The KL is divided by the number of pixels."),
        ("kl_summed_over_batch", (1, 1, 0, 1), "The KL is summed over the batch."),
        ("reconstruction_summed_over_batch", (1, 1, 1, 0), "The distortion is summed over the "
         "batch."),
        ("kl_divided_twice", (1, 1, 0, -1), "The KL is divided by the batch size once too often."),
    ):  # fmt: skip
        near = all(abs(v - w) <= 1e-3 * abs(w) for v, w in zip((d, r), wanted[:2], strict=True))
        if near and wanted[2:] == (of_d, of_r):
            return mistake, sentence
    if (of_d, of_r) == (1, 1) and abs(d - r) <= 1e-3 * abs(d):
        return "constant_batch_size", (
            f"The sum over the batch is divided by {1 / d:.4g}, whatever its size. Take the mean."
        )
    if of_d == of_r == 0 and abs(d - 1) <= 1e-3:
        return "weighted_kl", f"The KL is weighted by {r:.4g}. In the ELBO it is 1."
    return "weighted_terms", f"The distortion is weighted by {d:.4g} and the KL by {r:.4g}."


# --- judging steps with a wide posterior ---------------------------------------------------------


def _wide(exercise: Exercise, noisy: list[tuple[dict, dict]]) -> Result | None:
    """Judge value and gradient at the very draws that were decoded, where there is one per image."""
    steps = [_Step(call, one) for call, one in noisy]
    if any(step.drawn is None for step in steps):
        return None

    def is_one_of(step: _Step, options: list[tuple[Tensor, Tensor]]) -> bool:
        for value, loss in options:
            right = abs(step.value - float(value)) <= 1e-3 * (1 + abs(float(value)))
            if right and _near(step.used, step.gradient(loss)):
                return True
        return False

    if all(is_one_of(step, [(t, t) for t in step.at_draws()]) for step in steps):
        return None
    fixed = all(
        is_one_of(step, list(zip(step.at_draws(), step.at_draws(fixed_std=True), strict=True)))
        for step in steps
    )
    if fixed:
        message = (
            "The gradient of the reconstruction reaches mu, but not logvar: the standard deviation "
            "was detached from the draw of z."
        )
        return faults.failed(exercise, "detached_std", message)
    message = (
        "The loss is right where the posterior is narrow, and not where it is as wide as the prior. "
        "Is something clamped, such as the KL or logvar?"
    )
    step = steps[0]
    details = (("returned", f"{step.value:.6g}"), ("expected", f"{float(step.at_draws()[0]):.6g}"))
    return faults.failed(exercise, "wrong_when_wide", message, *details)
