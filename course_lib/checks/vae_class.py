"""The judge of a VAE class: shapes, gradients, independence of examples, and the noise in z."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.checks import faults, noise
from course_lib.checks.exercise import Exercise, Inputs
from course_lib.checks.result import Result

_IMAGE = [1, 28, 28]


def calls(inputs: Inputs) -> list[dict]:
    """Return the calls of the probe: one model as it comes, three with parameters drawn again."""

    def one(latent_dim: int, batch: int, times: int, scales: list[float]) -> dict:
        x = inputs.between(0.0, 1.0, batch, *_IMAGE, dtype="float32")
        x["data"] = [round(v, 2) for v in x["data"]]
        return {
            "latent_dim": latent_dim,
            "x": x,
            "z": inputs.normal(batch, latent_dim, std=2.0, dtype="float32"),
            "scales": scales,
            "seed": inputs.getrandbits(31),
            "times": times,
        }

    scales = [1.5, 2.0, 1.0, 3.0, 0.7, 0.5]
    return [one(2, 5, 2, []), one(16, 32, 8, scales), one(16, 8, 2, scales), one(3, 24, 2, scales)]


def judge(exercise: Exercise, calls: list[dict], record: list[dict]) -> Result:
    """Return the verdict on what the probe saw."""
    looks = [_Look(exercise, c, r) for c, r in zip(calls, record)]  # noqa: B905 - may end early
    for look in looks:
        fault = look.what_it_is() or look.form()
        if fault:
            return fault
    drawn = [look for look in looks if look.call["scales"]]
    if len(looks) != len(calls):
        raise ValueError("Models are missing.")
    verdict = _ranges(exercise, drawn) or next((f for f in map(_parts, looks) if f), None)
    if verdict is None:
        message = "Shapes, gradients, noise in training and evaluation, and outputs are right."
        return Result(exercise.name, True, None, message)
    return verdict


class _Look:
    """What was seen of one model."""

    def __init__(self, exercise: Exercise, call: dict, record: dict) -> None:
        self.exercise, self.call, self.record = exercise, call, record
        self.size, self.batch = call["latent_dim"], call["x"]["shape"][0]

    def failed(self, mistake: str | None, message: str, *details: tuple, drawing=None) -> Result:
        return faults.failed(self.exercise, mistake, message, *details, drawing=drawing)

    def what_it_is(self) -> Result | None:
        """Judge whether a model came about at all."""
        if not self.record["is_class"]:
            message = "A model was handed over. Hand over the class itself: VAE, without brackets."
            return self.failed("instance_given", message)
        if self.record.get("is_module") is False:
            message = (
                "It is no nn.Module, so it has no parameters to train. Write class VAE(nn.Module) "
                "and call super().__init__() first."
            )
            return self.failed("not_a_module", message)
        first = self.record.get("train_encode", {}).get("kind")
        stop = self.record.get("problem", {}).get("type")
        untouched = first == "none" or stop == "NotImplementedError"
        if self.record.get("parameters") == 0 and not untouched:
            message = (
                "The model has no parameters. Layers count when they are attributes (self.layer = "
                "nn.Linear(...)) or in an nn.ModuleList, not in a list or made in forward."
            )
            return self.failed("hidden_layers", message)
        return None

    def form(self) -> Result | None:
        """Judge types and shapes, in the order in which the parts were called."""
        pair, triple = ("mu", "logvar"), ("logits", "mu", "logvar")
        latent = [self.batch, self.size]
        image = [self.batch, *_IMAGE]
        first, one = [1, self.size], [1, *_IMAGE]
        expected = {
            "train_encode": (pair, [latent, latent], "encode(x)"),
            "train_decode": (None, [image], "decode(z)"),
            "train_forward": (triple, [image, latent, latent], "forward(x)"),
            "encode": (pair, [latent, latent], "encode(x)"),
            "encode_first": (pair, [first, first], "encode of one image"),
            "encode_second": (pair, [first, first], "encode of one image"),
            "decode": (None, [image], "decode(z)"),
            "decode_first": (None, [one], "decode of one z"),
            "decode_second": (None, [one], "decode of one z"),
            "one": (triple, [one, first, first], "forward of one image in evaluation mode"),
        }
        for name, (parts, shapes, what) in expected.items():
            if name in self.record:
                fault = self._form(self.record[name], parts, shapes, what)
                if fault:
                    return fault
        problem = self.record.get("problem")
        if problem:
            return self._stopped(problem)
        return None

    def _form(
        self, value: dict, parts: tuple[str, ...] | None, shapes: list, what: str
    ) -> Result | None:
        if parts is None:
            values, parts = [value], ("logits",)
        elif value.get("kind") != "tuple" or value.get("length") != len(parts):
            found = {"none": "None", "tensor": "one tensor"}.get(value.get("kind"))
            found = found or f"{value.get('length', 'no')} values"
            if value.get("kind") == "none":
                message = f"{what} returned None. Is the code written, and is there a return?"
                return self.failed("nothing_returned", message)
            message = f"{what} returned {found}; {', '.join(parts)} were expected."
            return self.failed("wrong_count", message)
        else:
            values = value["items"]
        for name, one, shape in zip(parts, values, shapes, strict=True):
            fault = faults.not_a_tensor(self.exercise, one, f"{name} {shape} from {what}")
            if fault and fault.mistake != "wrong_shape":
                return fault
            if one["shape"] != shape:
                return self._wrong_shape(name, one["shape"], shape, what, values)
            if not torch.isfinite(faults.plain_values(one)).all():
                if self.record.get("changed"):
                    return faults.changed(self.exercise, ["x"])
                return self.failed("not_finite", f"{name} from {what} holds NaN or infinity.")
        return None

    def _wrong_shape(
        self, name: str, got: list[int], want: list[int], what: str, values: list[dict]
    ) -> Result:
        details = (("returned", f"{name} of shape {got}"), ("expected", f"{want}"))
        if sorted(str(v.get("shape")) for v in values) == sorted(
            map(str, [[want[0], *_IMAGE], [want[0], self.size], [want[0], self.size]])
        ):
            message = "forward returns its values in another order: logits, mu, logvar are asked."
            return self.failed("wrong_order", message, *details)
        if name == "logits" and got == [want[0], 784]:
            message = f"The logits of {what} are flat. Give them the shape of images: reshape them."
            return self.failed("flat_logits", message, *details)
        if name != "logits" and got[:1] == want[:1] and got[1:] and got[-1] != self.size:
            message = (
                f"VAE({self.size}) gives {got[-1]} latents. Use the argument latent_dim in every "
                "layer that makes or takes z."
            )
            return self.failed("latent_dim_ignored", message, *details)
        message = f"{name} from {what} has the wrong shape."
        if want[0] == 1 and got == [n for n in want if n != 1]:
            message += " Look for squeeze() without an axis: it drops the batch axis too."
        return self.failed("wrong_shape", message, *details)

    def _stopped(self, problem: dict) -> Result:
        during = str(problem.get("during", ""))
        result = faults.stopped(self.exercise, problem)
        mistake, text = result.mistake, str(problem.get("text", ""))
        message = f"During {during}: {result.message}"
        if mistake == "not_implemented":
            message = result.message
        if mistake == "raised" and "before Module.__init__" in text:
            mistake = "super_init_forgotten"
            message = "super().__init__() is missing: call it first in __init__."
        elif mistake == "raised" and "more than 1 value per channel" in text:
            mistake = "batch_of_one"
            message = (
                "With a batch of one: batch normalization uses the statistics of the batch, in "
                "evaluation mode too. Let it keep running statistics."
            )
        elif mistake == "raised" and self._fixes_batch(text):
            mistake = "fixed_batch_size"
            message = (
                f"{message} A batch size is written into the code, and a batch of {self.batch} does "
                "not fit it. Use x.shape[0], -1 in view, or randn_like."
            )
        elif mistake == "raised" and f"({self.size}) must match" in text:
            mistake = "latent_dim_ignored"
            message = f"{message} Something has another size than the {self.size} latents."
        elif mistake == "raised" and ("one row" in during or "one image" in during):
            mistake = "batch_of_one"
            message = (
                f"With a batch of one: {result.message} Look for squeeze() without an axis, which "
                "drops the batch axis too."
            )
        elif mistake == "raised" and self.size != 2 and "shapes cannot be multiplied" in text:
            mistake = "latent_dim_ignored"
            message = (
                f"VAE({self.size}) does not fit together, though VAE(2) does: {result.message} Use "
                "latent_dim in every layer that makes or takes z."
            )
        elif mistake == "raised" and problem.get("type") == "AttributeError":
            missing = next((n for n in ("encode", "decode", "forward") if f"'{n}'" in text), None)
            if missing:
                mistake, message = "missing_method", f"The class has no method {missing}."
        return faults.failed(self.exercise, mistake, message, *result.details)

    def _fixes_batch(self, text: str) -> bool:
        shape = re.search(r"shape '\[(\d+), (1, 28, 28|784)\]' is invalid", text)
        unequal = re.search(r"tensor a \((\d+)\) must match .* dimension 0", text)
        found = shape or unequal
        return found is not None and (unequal is not None or int(found[1]) not in (1, self.batch))

    def pair(self, name: str) -> tuple[Tensor, Tensor]:
        mu, logvar = (faults.plain_values(v) for v in self.record[name]["items"])
        return mu, logvar

    def image(self, name: str) -> Tensor:
        return faults.plain_values(self.record[name])

    def runs(self, mode: str) -> list[dict]:
        runs = self.record[mode]
        if len(runs) != self.call["times"]:
            raise ValueError("Runs are missing.")
        return runs


def _ranges(exercise: Exercise, drawn: list[_Look]) -> Result | None:
    """Look for a last layer that cannot give every number, over models of random parameters."""
    mus, logvars = zip(*(look.pair("encode") for look in drawn), strict=True)
    mu, logvar = torch.cat([m.flatten() for m in mus]), torch.cat([v.flatten() for v in logvars])
    decoded = torch.cat([look.image("decode").flatten() for look in drawn])
    forward = torch.cat(
        [faults.plain_values(r["logits"]).flatten() for look in drawn for r in look.runs("eval")]
    )

    def failed(mistake: str, message: str, values: Tensor, what: str) -> Result:
        details = (("fed", "random images and z, models with random parameters"),
                   (f"{what} from", f"{values.min():.4g} to {values.max():.4g}"))  # fmt: skip
        return faults.failed(exercise, mistake, message, *details)

    if all((m == m[0]).all() for m in mus):
        return failed("encoder_ignores_x", "mu is the same for every image.", mu, "mu")
    if all((look.image("decode") == look.image("decode")[0]).all() for look in drawn):
        message = "decode gives the same image for every z."
        return failed("decoder_ignores_z", message, decoded, "logits")
    if torch.equal(mu, logvar):
        message = "mu and logvar are the same numbers. Each needs an output layer of its own."
        return failed("logvar_is_mu", message, mu, "mu")
    for logits in (decoded, forward):
        if logits.min() >= 0 and logits.max() <= 1 and logits.min() < logits.max():
            message = (
                "The outputs lie between 0 and 1, so they are probabilities. Logits are asked: leave "
                "out the last sigmoid; the likelihood applies it."
            )
            return failed("sigmoid_output", message, logits, "logits")
        if logits.min() >= 0 and logits.max() > 0:
            message = (
                "No logit is negative, so no pixel can be darker than one half. Let the last layer "
                "be linear, without ReLU."
            )
            return failed("relu_output", message, logits, "logits")
        if logits.max() <= 0 and logits.min() < 0:
            message = "No logit is positive. Return logits, not log-probabilities."
            return failed("log_sigmoid_output", message, logits, "logits")
        if _squashed([logits]):
            message = (
                "The outputs lie between -1 and 1, so no pixel can be near 0 or 1. Let the last layer "
                "be linear, without tanh."
            )
            return failed("tanh_output", message, logits, "logits")
        if _bound(logits, 5.0):
            message = "The logits are clamped in a narrow range, where their gradient vanishes."
            return failed("clamped_logits", message, logits, "logits")
    if mu.min() >= 0 and not (logvar.min() >= 0 and (logvar == 0).any()):
        message = (
            "mu is never negative. Let its layer be linear, without ReLU, softplus or sigmoid."
        )
        return failed("relu_on_mu", message, mu, "mu")
    if mu.min() < 0 and _clamped(mus, 1.0, 1.0):
        message = "mu is clamped in a narrow range, where its gradient vanishes."
        return failed("clamped_mu", message, mu, "mu")
    if (logvar == logvar[0]).all():
        message = "logvar is a constant. It is an output of the encoder, as mu is."
        return failed("constant_logvar", message, logvar, "logvar")
    if all((v == v[0]).all() for v in logvars):
        return None  # a parameter of the model, the same for every image
    if logvar.min() >= 0:
        if (logvar == 0).double().mean() > 0.02:
            message = (
                "logvar is never negative and often 0: there is a ReLU on it. Let the layer be "
                "linear: a posterior has to be able to be narrower than the prior."
            )
            if mu.min() >= 0:
                message += " Besides: mu is never negative either."
            return failed("relu_on_logvar", message, logvar, "logvar")
        message = (
            "logvar is always positive: it looks like a softplus, or like the variance itself. "
            "logvar is the logarithm of the variance and may be negative."
        )
        return failed("positive_logvar", message, logvar, "logvar")
    for name, values in (("mu", mus), ("logvar", logvars)):
        if _squashed(values):
            message = (
                f"{name} lies between -1 and 1: there is a tanh on it. Let its layer be linear, for a "
                "posterior may be far from the prior, and narrow."
            )
            return failed(
                f"tanh_on_{name}", message, torch.cat([v.flatten() for v in values]), name
            )
    if _affine(mus[-1], logvars[-1]):
        message = (
            "logvar is a linear function of mu: its layer takes mu, not the features of the image. "
            "Give both layers the same features."
        )
        return failed("logvar_from_mu", message, logvar, "logvar")
    if _clamped(logvars, 4.0, 1.5):
        message = (
            "logvar is clamped in a narrow range, where its gradient vanishes. Leave the clamp out, "
            "or make it much wider."
        )
        return failed("clamped_logvar", message, logvar, "logvar")
    return None


def _squashed(models: Sequence[Tensor]) -> bool:
    """Whether every model's values fill the interval from -1 to 1 and never leave it."""
    largest = [float(values.abs().max()) for values in models]
    values = torch.cat([v.flatten() for v in models])
    filled = (values.abs() > 0.9).double().mean() > 0.02
    both = values.max() > 0.95 and values.min() < -0.95
    return bool(min(largest) > 0.9 and max(largest) <= 1 + 1e-6 and filled and both)


def _affine(mu: Tensor, logvar: Tensor) -> bool:
    """Whether log variances, of far more images than latents, are an affine function of the means."""
    centred, wanted = mu - mu.mean(0), logvar - logvar.mean(0)
    if min(centred.norm(), wanted.norm()) < 1e-3 or not (wanted.norm(dim=0) > 1e-3).all():
        return False
    found = torch.linalg.lstsq(centred, wanted).solution
    return bool((centred @ found - wanted).norm() < 1e-4 * wanted.norm())


def _clamped(models: Sequence[Tensor], lower: float, upper: float) -> bool:
    """Whether a bound near zero is met by several images, and by several latents of a model."""
    if not _bound(torch.cat([v.flatten() for v in models]), lower, upper=upper):
        return False
    ends = (min(v.min() for v in models), max(v.max() for v in models))
    met = [v == end for v in models for end in ends]
    return any(int(m.any(0).sum()) > 1 and int(m.any(1).sum()) > 1 for m in met)


def _bound(values: Tensor, lower: float, *, upper: float | None = None) -> bool:
    """Whether many values are exactly a smallest or largest one that lies near zero."""
    upper = lower if upper is None else upper
    low, high = values.min(), values.max()
    at_low = (values == low).double().mean() > 0.02 and low > -lower
    at_high = (values == high).double().mean() > 0.02 and high < upper
    return bool(at_low or at_high)


def _parts(look: _Look) -> Result | None:
    return (
        _batch(look)
        or _reach(look)
        or _order(look)
        or _noise(look, "eval")
        or _noise(look, "train")
        or _reach_of_std(look)
        or _logits(look)
        or _changed(look)
    )


def _batch(look: _Look) -> Result | None:
    """Every row of the result belongs to its own row of the input."""
    mu, logvar = look.pair("encode")
    decoded = look.image("decode")
    for row, name in enumerate(("first", "second")):
        alone = [*look.pair(f"encode_{name}"), look.image(f"decode_{name}")]
        for part, whole, one in zip(
            ("encode",) * 2 + ("decode",), (mu, logvar, decoded), alone, strict=True
        ):
            if (whole[row] - one[0]).abs().max() > 1e-2 * (1e-3 + one.abs().max()):
                message = (
                    f"{part} gives another result for an example alone than for the same example in "
                    "a batch. Examples are mixed: look at view, reshape and permute, or use another "
                    "axis."
                )
                return look.failed("mixed_batch", message)
    return None


def _reach(look: _Look) -> Result | None:
    """Follow the gradients from the outputs to the parameters."""
    if look.record.get("hidden"):
        message = (
            f"{look.record['hidden']} learnable tensors are no parameters of the model, so no "
            "optimizer would find them. Layers count when they are attributes or in an "
            "nn.ModuleList, not in a list."
        )
        return look.failed("hidden_layers", message)
    reach = look.record["reach"]
    logvar = look.pair("encode")[1]
    if look.call["scales"] and not any(reach[2]) and (logvar == logvar[0, 0]).all():
        message = "logvar is a constant. It is an output of the encoder, as mu is."
        return look.failed("constant_logvar", message)
    for name, reached in zip(("logits", "mu", "logvar"), reach, strict=True):
        if not any(reached):
            message = (
                f"No gradient flows through {name}. Look for detach(), .data, .item(), no_grad(), "
                "or layers that are made anew in forward."
            )
            return look.failed("detached", message)
    logits, mu, _ = reach
    if any(m and not l for m, l in zip(mu, logits, strict=True)):
        message = (
            "No gradient flows from the logits back to mu: z was detached, or drawn with sample(). "
            "Use mu + exp(logvar / 2) * randn_like(mu), or rsample()."
        )
        return look.failed("detached_z", message)
    return None


def _reach_of_std(look: _Look) -> Result | None:
    """Follow the gradient from the logits to logvar, once the noise is known to be right."""
    logits, _, logvar = look.record["reach"]
    if look.call["times"] < 8 or not any(v and not l for v, l in zip(logvar, logits, strict=True)):
        return None
    message = (
        "No gradient flows from the logits back to logvar: the standard deviation was detached from "
        "the draw of z."
    )
    return look.failed("detached_std", message)


def _noise(look: _Look, mode: str) -> Result | None:
    """Judge the draws of z, where they could be seen, and else whether forward is random at all."""
    if not look.call["scales"]:
        return None
    runs = look.runs(mode)
    word = {"eval": "evaluation", "train": "training"}[mode]
    if any(run["z"] is None for run in runs):
        logits = [faults.plain_values(run["logits"]) for run in runs]
        if all(torch.equal(one, logits[0]) for one in logits):
            message = f"forward gives the same logits twice in {word} mode: no noise is drawn."
            return look.failed("no_noise_in_eval" if mode == "eval" else "no_noise", message)
        return None
    z, mu, logvar = (
        torch.stack([faults.plain_values(run[name]) for run in runs])
        for name in ("z", "mu", "logvar")
    )
    if look.call["times"] < 8:
        return None
    found = noise.diagnose(z, mu, logvar)
    if found is None:
        return None
    mistake, message = found.mistake, f"z in {word} mode: {found.sentence}"
    if mode == "eval" and mistake == "no_noise" and _noise(look, "train") is None:
        mistake = "no_noise_in_eval"
        message = (
            "In evaluation mode z is mu, so the loss looks better than it is. Draw z in both modes."
        )
    return look.failed(mistake, message, drawing=found.drawing)


def _order(look: _Look) -> Result | None:
    """forward has to return the mu and logvar of encode."""
    mu, logvar = look.pair("encode")
    last = look.runs("eval")[-1]
    forward_mu, forward_logvar = (faults.plain_values(last[n]) for n in ("mu", "logvar"))
    if _near(forward_mu, mu) and _near(forward_logvar, logvar):
        return None
    if _near(forward_mu, logvar) and _near(forward_logvar, mu):
        message = "forward and encode return mu and logvar in different orders."
        return look.failed("wrong_order", message)
    message = "forward returns another mu or logvar than encode for the same images."
    return look.failed("forward_differs", message)


def _logits(look: _Look) -> Result | None:
    """forward has to return the logits of decode."""
    if "decode_drawn" not in look.record:
        return None
    again = look.image("decode_drawn")[:2]
    logits = faults.plain_values(look.runs("eval")[-1]["logits"])
    if _near(logits, again):
        return None
    if _near(logits, torch.sigmoid(again)):
        message = "forward returns probabilities. Leave out the sigmoid: logits are asked."
        return look.failed("sigmoid_output", message)
    message = "forward returns other logits than decode gives for the same z."
    return look.failed("forward_differs", message)


def _changed(look: _Look) -> Result | None:
    if not look.record.get("changed"):
        return None
    return faults.changed(look.exercise, ["x"])


def _near(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-2 * (1e-3 + b.abs().max()))
