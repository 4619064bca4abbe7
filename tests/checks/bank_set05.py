"""Answers to set 05: the VAE as a class, its ELBO, and one step of training."""

import torch
import torch.nn.functional as F
from bank import right, wrong
from torch import distributions as D
from torch import nn

# --- elbo ----------------------------------------------------------------------------------------


def _bce(x, logits):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def _kl(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)


@right("elbo")
def usual(x, logits, mu, logvar):
    return -_bce(x, logits) - _kl(mu, logvar)


@right("elbo")
def with_distributions(x, logits, mu, logvar):
    likelihood = D.Independent(D.Bernoulli(logits=logits, validate_args=False), 3)
    q = D.Independent(D.Normal(mu, (0.5 * logvar).exp()), 1)
    p = D.Independent(D.Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    return likelihood.log_prob(x) - D.kl_divergence(q, p)


@right("elbo")
def image_by_image(x, logits, mu, logvar):
    values = []
    for i in range(x.shape[0]):
        bce = F.binary_cross_entropy_with_logits(logits[i], x[i], reduction="sum")
        kl = 0.5 * (mu[i].pow(2) + logvar[i].exp() - 1 - logvar[i]).sum()
        values.append(-(bce + kl))
    return torch.stack(values)


@right("elbo")
def softplus_form(x, logits, mu, logvar, beta=1.0):
    reconstruction = torch.einsum("bchw->b", x * logits - F.softplus(logits))
    return reconstruction - beta * _kl(mu, logvar)


@right("elbo")
def double_inside(x, logits, mu, logvar):
    x, logits, mu, logvar = (t.double() for t in (x, logits, mu, logvar))
    total = (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum((1, 2, 3))
    total -= _kl(mu, logvar)
    return total


@right("elbo")
def flat_views(x, logits, mu, logvar):
    x, logits = x.view(len(x), -1), logits.view(len(x), -1)
    rate = D.kl_divergence(D.Normal(mu, logvar.exp().sqrt()), D.Normal(0.0, 1.0)).sum(-1)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1) - rate


@wrong("elbo", "sign")
def elbo_as_loss(x, logits, mu, logvar):
    return _bce(x, logits) + _kl(mu, logvar)


@wrong("elbo", "kl_added")
def elbo_kl_added(x, logits, mu, logvar):
    return -_bce(x, logits) + _kl(mu, logvar)


@wrong("elbo", "no_kl")
def elbo_no_kl(x, logits, mu, logvar):
    return -_bce(x, logits)


@wrong("elbo", "no_reconstruction")
def elbo_no_reconstruction(x, logits, mu, logvar):
    return -_kl(mu, logvar)


@wrong("elbo", "missing_half")
def elbo_missing_half(x, logits, mu, logvar):
    return -_bce(x, logits) - 2 * _kl(mu, logvar)


@wrong("elbo", "pixels_averaged")
def elbo_pixels_averaged(x, logits, mu, logvar):
    return -_bce(x, logits) / 784 - _kl(mu, logvar)


@wrong("elbo", "both_averaged")
def elbo_both_averaged(x, logits, mu, logvar):
    return -_bce(x, logits) / 784 - _kl(mu, logvar) / mu.shape[1]


@wrong("elbo", "latents_averaged")
def elbo_latents_averaged(x, logits, mu, logvar):
    return -_bce(x, logits) - _kl(mu, logvar) / mu.shape[1]


@wrong("elbo", "kl_over_pixels")
def elbo_kl_over_pixels(x, logits, mu, logvar):
    return -_bce(x, logits) - _kl(mu, logvar) / 784


@wrong("elbo", "rescaled")
def elbo_per_pixel(x, logits, mu, logvar):
    return (-_bce(x, logits) - _kl(mu, logvar)) / 784


@wrong("elbo", "weighted_kl")
def elbo_kld_weight(x, logits, mu, logvar):
    return -_bce(x, logits) - 0.00025 * _kl(mu, logvar)


@wrong("elbo", "kl_summed_over_batch")
def elbo_kl_summed_over_batch(x, logits, mu, logvar):
    return -_bce(x, logits) - _kl(mu, logvar).sum()


@wrong("elbo", "kl_averaged_over_batch")
def elbo_kl_mean(x, logits, mu, logvar):
    return -_bce(x, logits) - _kl(mu, logvar).mean()


@wrong("elbo", "averaged_over_batch")
def elbo_mean(x, logits, mu, logvar):
    return (-_bce(x, logits) - _kl(mu, logvar)).mean()


@wrong("elbo", "summed_over_batch")
def elbo_sum(x, logits, mu, logvar):
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return -(bce + _kl(mu, logvar).sum())


@wrong("elbo", "sigmoid_twice")
def elbo_sigmoid_twice(x, logits, mu, logvar):
    return -_bce(x, torch.sigmoid(logits)) - _kl(mu, logvar)


@wrong("elbo", "swapped_bce_arguments")
def elbo_bce_swapped(x, logits, mu, logvar):
    return -_bce(logits, x) - _kl(mu, logvar)


@wrong("elbo", "logits_as_probabilities")
def elbo_logits_to_bce(x, logits, mu, logvar):
    bce = F.binary_cross_entropy(logits, x, reduction="none").flatten(1).sum(1)
    return -bce - _kl(mu, logvar)


@wrong("elbo", "squared_error")
def elbo_mse(x, logits, mu, logvar):
    return -F.mse_loss(logits.sigmoid(), x, reduction="none").flatten(1).sum(1) - _kl(mu, logvar)


@wrong("elbo", "swapped_kl")
def elbo_reverse_kl(x, logits, mu, logvar):
    return -_bce(x, logits) - 0.5 * ((1 + mu**2) / logvar.exp() + logvar - 1).sum(1)


@wrong("elbo", "logvar_as_log_sigma")
def elbo_log_sigma(x, logits, mu, logvar):
    return -_bce(x, logits) - _kl(mu, 2 * logvar)


@wrong("elbo", "missing_minus_one")
def elbo_minus_one_dropped(x, logits, mu, logvar):
    return -_bce(x, logits) - 0.5 * (mu**2 + logvar.exp() - logvar).sum(1)


@wrong("elbo", "unstable")
def elbo_sigmoid_then_bce(x, logits, mu, logvar):
    bce = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none")
    return -bce.flatten(1).sum(1) - _kl(mu, logvar)


@wrong("elbo", "binarized")
def elbo_rounds_pixels(x, logits, mu, logvar):
    return -_bce((x > 0.5).to(x), logits) - _kl(mu, logvar)


@wrong("elbo", "detached")
def elbo_kl_detached(x, logits, mu, logvar):
    return -_bce(x, logits) - _kl(mu, logvar).detach()


# --- VAE -----------------------------------------------------------------------------------------


def _noise(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


@right("VAE")
class PlainMLP(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.fc1 = nn.Linear(784, 100)
        self.fc_mu = nn.Linear(100, latent_dim)
        self.fc_logvar = nn.Linear(100, latent_dim)
        self.fc3 = nn.Linear(latent_dim, 100)
        self.fc4 = nn.Linear(100, 784)

    def encode(self, x):
        h = F.relu(self.fc1(x.view(-1, 784)))
        return self.fc_mu(h), self.fc_logvar(h)

    def decode(self, z):
        return self.fc4(F.relu(self.fc3(z))).view(-1, 1, 28, 28)

    def sample_z(self, mu, logvar):
        return _noise(mu, logvar)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(self.sample_z(mu, logvar)), mu, logvar


@right("VAE")
class Convolutional(nn.Module):
    def __init__(self, latent_dim, width=8):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(2 * width * 49, 2 * latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, 2 * width * 49),
            nn.Unflatten(1, (2 * width, 7, 7)),
            nn.SiLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
        )

    def encode(self, x):
        return self.encoder(x).chunk(2, dim=1)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = D.Normal(mu, (0.5 * logvar).exp()).rsample()
        return self.decoder(z), mu, logvar


@right("VAE")
class ZeroInitializedHeads(PlainMLP):
    """The last layer starts at zero, the bias at the mean image: all logits equal at first."""

    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        for layer in (self.fc4, self.fc_logvar):
            nn.init.zeros_(layer.weight)
        nn.init.constant_(self.fc4.bias, -2.0)

    def forward(self, x):
        mu, logvar = self.encode(x)
        eps = torch.randn(mu.shape, device=mu.device)
        h = F.relu(self.fc3(mu + eps * torch.exp(logvar / 2)))
        return self.fc4(h).reshape(x.shape), mu, logvar


@right("VAE")
class RawParameters(nn.Module):
    def __init__(self, latent_dim=20):
        super().__init__()
        self.a = nn.Parameter(torch.randn(784, 2 * latent_dim) / 28)
        self.b = nn.Parameter(torch.randn(latent_dim, 784) / latent_dim**0.5)
        self.c = nn.Parameter(torch.zeros(784))

    def encode(self, x):
        mu, logvar = (x.flatten(1) @ self.a).split(self.b.shape[0], dim=1)
        return mu, logvar

    def decode(self, z):
        return (z @ self.b + self.c).unflatten(-1, (1, 28, 28))

    def forward(self, x, temperature=1.0):
        mu, logvar = self.encode(x)
        z = mu + temperature * torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return (z @ self.b + self.c).view_as(x), mu, logvar


@right("VAE")
class SoftplusScaleAndTanh(nn.Module):
    """The scale comes out of a softplus and is turned into a log-variance; hidden units are tanh."""

    def __init__(self, latent_dim):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.Tanh(), nn.Dropout(0.1))
        self.mean, self.scale = nn.Linear(64, latent_dim), nn.Linear(64, latent_dim)
        self.up = nn.Sequential(nn.Linear(latent_dim, 64), nn.Tanh(), nn.Linear(64, 784))

    def encode(self, x):
        h = self.body(x)
        std = F.softplus(self.scale(h)) + 1e-3
        return self.mean(h), 2 * torch.log(std)

    def decode(self, z):
        return self.up(z).reshape(z.shape[0], 1, 28, 28)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(_noise(mu, logvar)), mu, logvar


@right("VAE")
class OneDrawOnAnAxisOfItsOwn(PlainMLP):
    def sample_z(self, mu, logvar):
        return D.Normal(mu, (0.5 * logvar).exp()).rsample((1,))


@right("VAE")
class ConvolutionalFromPixels(PlainMLP):
    """The decoder sees z as an image of one pixel."""

    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.fc3 = nn.ConvTranspose2d(latent_dim, 8, 7)
        self.fc4 = nn.ConvTranspose2d(8, 1, 4, stride=4)

    def decode(self, z):
        return self.fc4(F.relu(self.fc3(z.reshape(len(z), -1, 1, 1))))

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(_noise(mu, logvar)[:, :, None, None]), mu, logvar


@right("VAE")
class GenerousClamp(PlainMLP):
    def encode(self, x):
        mu, logvar = super().encode(x)
        return mu, logvar.clamp(-10, 10)


def _variant(name, exercise_mistakes, **methods):
    """Register a subclass of PlainMLP with some methods replaced, as a wrong answer."""
    cls = type(name, (PlainMLP,), methods)
    wrong("VAE", *exercise_mistakes)(cls)


def _forward_with(draw):
    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(draw(mu, logvar)), mu, logvar

    return forward


def _encode_with(change):
    def encode(self, x):
        return change(*PlainMLP.encode(self, x))

    return encode


def _decode_with(change):
    def decode(self, z):
        return change(PlainMLP.decode(self, z))

    return decode


_variant("SigmoidOutput", ["sigmoid_output"], decode=_decode_with(torch.sigmoid))
_variant("ReluOutput", ["relu_output"], decode=_decode_with(torch.relu))
_variant("TanhOutput", ["tanh_output"], decode=_decode_with(torch.tanh))
_variant("FlatLogits", ["wrong_shape", "flat_logits"], decode=_decode_with(lambda t: t.flatten(1)))
_variant("ReluOnLogvar", ["relu_on_logvar"], encode=_encode_with(lambda m, v: (m, torch.relu(v))))
_variant("ReluOnMu", ["relu_on_mu"], encode=_encode_with(lambda m, v: (torch.relu(m), v)))
_variant(
    "SoftplusOnLogvar",
    ["softplus_on_logvar", "positive_logvar", "relu_on_logvar"],
    encode=_encode_with(lambda m, v: (m, F.softplus(v))),
)
_variant(
    "VarianceReturned",
    ["variance_returned", "positive_logvar"],
    encode=_encode_with(lambda m, v: (m, v.exp())),
)
_variant("LogvarIsMu", ["logvar_is_mu"], encode=_encode_with(lambda m, v: (m, m.clone())))
_variant("TightClamp", ["clamped_logvar"], encode=_encode_with(lambda m, v: (m, v.clamp(-1, 1))))
_variant(
    "VarianceAsStd",
    ["variance_as_std"],
    forward=_forward_with(lambda m, v: m + v.exp() * torch.randn_like(m)),
)
_variant(
    "LogvarAsStd",
    ["logvar_as_std"],
    forward=_forward_with(lambda m, v: m + v * torch.randn_like(m)),
)
_variant(
    "UniformNoise",
    ["uniform_noise"],
    forward=_forward_with(lambda m, v: m + (0.5 * v).exp() * torch.rand_like(m)),
)
_variant(
    "SharedAcrossBatch",
    ["shared_across_batch"],
    forward=_forward_with(lambda m, v: m + (0.5 * v).exp() * torch.randn(m.shape[1])),
)
_variant(
    "SharedAcrossLatents",
    ["shared_across_latents"],
    forward=_forward_with(lambda m, v: m + (0.5 * v).exp() * torch.randn(len(m), 1)),
)
_variant("NoNoise", ["no_noise"], forward=_forward_with(lambda m, v: m + 0 * v))
_variant(
    "UniformNoiseOnAnotherAxis",
    ["uniform_noise"],
    forward=_forward_with(lambda m, v: (m + (0.5 * v).exp() * torch.rand_like(m))[None]),
)
_variant(
    "VarianceAsStdOnAnotherAxis",
    ["variance_as_std"],
    forward=_forward_with(lambda m, v: (m + v.exp() * torch.randn_like(m))[:, None]),
)
_variant("DetachedZ", ["detached_z"], forward=_forward_with(lambda m, v: _noise(m, v).detach()))
_variant(
    "SampleNotRsample",
    ["detached_z"],
    forward=_forward_with(lambda m, v: D.Normal(m, (0.5 * v).exp()).sample()),
)


def _mean_in_eval(self, x):
    mu, logvar = self.encode(x)
    return self.decode(_noise(mu, logvar) if self.training else mu), mu, logvar


def _swapped_outputs(self, x):
    mu, logvar = self.encode(x)
    return mu, logvar, self.decode(_noise(mu, logvar))


def _swapped_mu_logvar(self, x):
    mu, logvar = self.encode(x)
    return self.decode(_noise(mu, logvar)), logvar, mu


def _only_logits(self, x):
    return self.decode(_noise(*self.encode(x)))


def _probabilities(self, x):
    mu, logvar = self.encode(x)
    return torch.sigmoid(self.decode(_noise(mu, logvar))), mu, logvar


def _detached_moments(self, x):
    mu, logvar = self.encode(x)
    return self.decode(_noise(mu, logvar)), mu.detach(), logvar.detach()


_variant("MeanInEvaluation", ["no_noise_in_eval"], forward=_mean_in_eval)
_variant("OutputsInAnotherOrder", ["wrong_order", "wrong_shape"], forward=_swapped_outputs)
_variant("MuAndLogvarSwapped", ["wrong_order"], forward=_swapped_mu_logvar)
_variant("OnlyLogits", ["wrong_type", "wrong_count"], forward=_only_logits)
_variant("ProbabilitiesFromForward", ["sigmoid_output"], forward=_probabilities)
_variant("DetachedMoments", ["detached"], forward=_detached_moments)


@wrong("VAE", "hidden_layers")
class LayersInAList(PlainMLP):
    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.layers = [nn.Linear(784, 784)]

    def decode(self, z):
        h = PlainMLP.decode(self, z).flatten(1)
        for layer in self.layers:
            h = layer(h)
        return h.view(-1, 1, 28, 28)


@wrong("VAE", "latent_dim_ignored")
class LatentDimIgnored(PlainMLP):
    def __init__(self, latent_dim):
        super().__init__(20)


@wrong("VAE", "same_noise_each_call")
class NoiseDrawnInInit(PlainMLP):
    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.eps = torch.randn(512, latent_dim)

    def sample_z(self, mu, logvar):
        return mu + torch.exp(0.5 * logvar) * self.eps[: len(mu)]


@wrong("VAE", "mixed_batch")
class ScrambledView(PlainMLP):
    def encode(self, x):
        return PlainMLP.encode(self, x.permute(1, 2, 3, 0).reshape(x.shape))


@wrong("VAE", "not_a_module", "raised")
class NotAModule:
    def __init__(self, latent_dim):
        self.encoder = nn.Linear(784, latent_dim)

    def encode(self, x):
        h = self.encoder(x.flatten(1))
        return h, h


@wrong("VAE", "decoder_ignores_z")
class DecoderIgnoresZ(PlainMLP):
    def decode(self, z):
        return PlainMLP.decode(self, torch.zeros_like(z))


@wrong("VAE", "raised", "super_init_forgotten")
class NoSuperInit(PlainMLP):
    def __init__(self, latent_dim):
        self.fc1 = nn.Linear(784, 10)


@wrong("VAE", "batch_of_one", "raised")
class FailsOnOne(PlainMLP):
    def encode(self, x):
        return PlainMLP.encode(self, x.squeeze().permute(0, 1, 2))


# --- train_step ----------------------------------------------------------------------------------


@right("train_step")
def step(model, optimizer, x):
    model.train()
    optimizer.zero_grad()
    logits, mu, logvar = model(x)
    loss = -usual(x, logits, mu, logvar).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


@right("train_step")
def step_own_noise(model, optimizer, x):
    mu, logvar = model.encode(x)
    logits = model.decode(_noise(mu, logvar))
    loss = (_bce(x, logits) + _kl(mu, logvar)).sum() / x.shape[0]
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return float(loss)


@right("train_step")
def step_closure(model, optimizer, x):
    def closure():
        optimizer.zero_grad()
        loss = -usual(x, *model(x)).mean()
        loss.backward()
        return loss

    return optimizer.step(closure).detach().item()


@right("train_step")
def step_zero_after(model, optimizer, x, log=None):
    logits, mu, logvar = model.forward(x)
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = _kl(mu, logvar).mean()
    (bce + kl).backward()
    optimizer.step()
    optimizer.zero_grad()
    return bce.item() + kl.item()


def _step_at(draw):
    """Return a step that decodes ``draw(mu, logvar)``, of any number of draws for each image."""

    def train_step(model, optimizer, x):
        mu, logvar = model.encode(x)
        z = draw(mu, logvar)
        images = x[:, None] if z.dim() > 2 and len(z) == len(x) else x
        logits = model.decode(z).reshape(*z.shape[:-1], *x.shape[1:])
        bce = F.binary_cross_entropy_with_logits(logits, images.expand_as(logits), reduction="none")
        loss = bce.flatten(-3).sum(-1).mean() + _kl(mu, logvar).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return train_step


def _register_steps(mistakes, draws):
    for name, draw in draws.items():
        code = _step_at(draw)
        code.__name__ = name
        (wrong("train_step", *mistakes) if mistakes else right("train_step"))(code)


_register_steps(
    [],
    {
        "step_draws_first": lambda m, v: _noise(m, v)[None],
        "step_draws_second": lambda m, v: _noise(m, v)[:, None],
        "step_two_draws_first": lambda m, v: D.Normal(m, (0.5 * v).exp()).rsample((2,)),
        "step_two_draws_second": lambda m, v: torch.stack([_noise(m, v), _noise(m, v)], 1),
    },
)
_register_steps(
    ["no_noise"],
    {
        "step_mean_first": lambda m, v: m[None],
        "step_mean_second": lambda m, v: m[:, None],
        "step_mean_twice": lambda m, v: m[:, None].expand(-1, 2, -1),
    },
)
_register_steps(
    ["variance_as_std"],
    {"step_variance_as_std_first": lambda m, v: (m + v.exp() * torch.randn_like(m))[None]},
)


@right("train_step")
def step_row_by_row(model, optimizer, x):
    mu, logvar = model.encode(x)
    logits = torch.cat([model.decode(z) for z in _noise(mu, logvar)])
    loss = _mean_loss(x, logits, mu, logvar)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@right("train_step")
def step_by_autograd(model, optimizer, x):
    params = [p for group in optimizer.param_groups for p in group["params"]]
    loss = torch.stack([-usual(x[i : i + 1], *model(x[i : i + 1])) for i in range(len(x))]).mean()
    for p, g in zip(params, torch.autograd.grad(loss, params), strict=True):
        p.grad = g
    optimizer.step()
    return loss.item()


@right("train_step")
def step_maximizes_on_paper(model, optimizer, x):
    optimizer.zero_grad()
    value = with_distributions(x, *model(x)).mean()
    (-value).backward()
    optimizer.step()
    return -value.detach().cpu().numpy().item()


def _step(loss_of, returned=lambda loss, x: loss.item(), zero=True):
    def train_step(model, optimizer, x):
        if zero:
            optimizer.zero_grad()
        loss = loss_of(x, *model(x))
        loss.backward()
        optimizer.step()
        return returned(loss, x)

    return train_step


def _wrong_step(name, mistakes, *args, **kwargs):
    code = _step(*args, **kwargs)
    code.__name__ = name
    wrong("train_step", *mistakes)(code)


def _mean_loss(x, logits, mu, logvar):
    return -usual(x, logits, mu, logvar).mean()


_wrong_step("step_sum", ["summed_over_batch"], lambda x, *o: -usual(x, *o).sum())
_wrong_step(
    "step_sum_reported_as_mean",
    ["summed_over_batch"],
    lambda x, *o: -usual(x, *o).sum(),
    lambda loss, x: loss.item() / len(x),
)
_wrong_step(
    "step_returns_sum",
    ["returns_sum", "summed_over_batch"],
    _mean_loss,
    lambda loss, x: loss.item() * len(x),
)
_wrong_step(
    "step_returns_per_pixel",
    ["returns_per_pixel", "rescaled"],
    _mean_loss,
    lambda loss, x: loss.item() / 784,
)
_wrong_step("step_ascends", ["ascends"], lambda x, *o: usual(x, *o).mean())
_wrong_step("step_returns_elbo", ["returns_elbo", "sign"], _mean_loss, lambda loss, x: -loss.item())
_wrong_step("step_returns_tensor", ["wrong_type"], _mean_loss, lambda loss, x: loss.detach())
_wrong_step("step_without_zero_grad", ["no_zero_grad"], _mean_loss, zero=False)
_wrong_step("step_no_kl", ["no_kl"], lambda x, l, m, v: _bce(x, l).mean())
_wrong_step(
    "step_pixels_averaged",
    ["pixels_averaged"],
    lambda x, l, m, v: F.binary_cross_entropy_with_logits(l, x) + _kl(m, v).mean(),
)
_wrong_step(
    "step_kl_summed_over_batch",
    ["kl_summed_over_batch"],
    lambda x, l, m, v: _bce(x, l).mean() + _kl(m, v).sum(),
)
_wrong_step(
    "step_latents_averaged",
    ["latents_averaged"],
    lambda x, l, m, v: _bce(x, l).mean() - 0.5 * (1 + v - m**2 - v.exp()).mean(),
)
_wrong_step(
    "step_both_averaged",
    ["both_averaged"],
    lambda x, l, m, v: (
        F.binary_cross_entropy_with_logits(l, x) - 0.5 * (1 + v - m**2 - v.exp()).mean()
    ),
)
_wrong_step(
    "step_sigmoid_twice",
    ["sigmoid_twice"],
    lambda x, l, m, v: (_bce(x, l.sigmoid()) + _kl(m, v)).mean(),
)
_wrong_step(
    "step_missing_half",
    ["missing_half"],
    lambda x, l, m, v: (_bce(x, l) + 2 * _kl(m, v)).mean(),
)
_wrong_step(
    "step_constant_batch_size",
    ["constant_batch_size", "rescaled"],
    lambda x, *o: -usual(x, *o).sum() / 128,
)
_wrong_step(
    "step_mse",
    ["squared_error"],
    lambda x, l, m, v: ((l.sigmoid() - x).square().flatten(1).sum(1) + _kl(m, v)).mean(),
)


@wrong("train_step", "no_step")
def step_forgotten(model, optimizer, x):
    optimizer.zero_grad()
    loss = _mean_loss(x, *model(x))
    loss.backward()
    return loss.item()


@wrong("train_step", "no_step")
def step_without_backward(model, optimizer, x):
    optimizer.zero_grad()
    loss = _mean_loss(x, *model(x))
    optimizer.step()
    return loss.item()


@wrong("train_step", "no_step")
def step_zeroed_too_late(model, optimizer, x):
    loss = _mean_loss(x, *model(x))
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


@wrong("train_step", "clipped_gradient")
def step_clips(model, optimizer, x):
    optimizer.zero_grad()
    loss = _mean_loss(x, *model(x))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


@wrong("train_step", "value_after_step")
def step_value_after(model, optimizer, x):
    step(model, optimizer, x)
    with torch.no_grad():
        return _mean_loss(x, *model(x)).item()


@wrong("train_step", "no_noise")
def step_decodes_the_mean(model, optimizer, x):
    optimizer.zero_grad()
    mu, logvar = model.encode(x)
    loss = _mean_loss(x, model.decode(mu), mu, logvar)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("train_step", "detached_z")
def step_detached_z(model, optimizer, x):
    optimizer.zero_grad()
    mu, logvar = model.encode(x)
    loss = _mean_loss(x, model.decode(_noise(mu, logvar).detach()), mu, logvar)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("train_step", "variance_as_std")
def step_variance_as_std(model, optimizer, x):
    optimizer.zero_grad()
    mu, logvar = model.encode(x)
    loss = _mean_loss(x, model.decode(mu + logvar.exp() * torch.randn_like(mu)), mu, logvar)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("train_step", "shared_across_batch")
def step_shared_noise(model, optimizer, x):
    optimizer.zero_grad()
    mu, logvar = model.encode(x)
    eps = torch.randn(mu.shape[1])
    loss = _mean_loss(x, model.decode(mu + (0.5 * logvar).exp() * eps), mu, logvar)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("train_step", "several_steps")
def step_twice(model, optimizer, x):
    value = step(model, optimizer, x)
    step(model, optimizer, x)
    return value


@wrong("train_step", "optimizer_ignored", "wrong_step")
def step_by_hand(model, optimizer, x):
    loss = _mean_loss(x, *model(x))
    params = list(model.parameters())
    with torch.no_grad():
        for p, g in zip(params, torch.autograd.grad(loss, params), strict=True):
            p -= 1e-3 * g
    return loss.item()


@wrong("elbo", "minus_one_outside")
def elbo_minus_one_outside(x, logits, mu, logvar):
    rate = -0.5 * (1 + (logvar - mu**2 - logvar.exp()).sum(1))
    return -_bce(x, logits) - rate


@wrong("elbo", "kl_over_batch")
def elbo_kl_over_batch(x, logits, mu, logvar):
    return -_bce(x, logits) - _kl(mu, logvar) / len(x)


@right("VAE")
class LazyLayers(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.LazyLinear(64), nn.ReLU())
        self.heads = nn.LazyLinear(2 * latent_dim)
        self.decoder = nn.Sequential(nn.LazyLinear(64), nn.ReLU(), nn.LazyLinear(784))

    def encode(self, x):
        return self.heads(self.encoder(x)).chunk(2, -1)

    def decode(self, z):
        return self.decoder(z).view(-1, 1, 28, 28)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(_noise(mu, logvar)), mu, logvar


@right("VAE")
class LogvarOfEachLatent(PlainMLP):
    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.fc_logvar = None
        self.logvar = nn.Parameter(torch.zeros(latent_dim))

    def encode(self, x):
        mu = self.fc_mu(F.relu(self.fc1(x.view(-1, 784))))
        return mu, self.logvar.expand_as(mu)


@right("VAE")
class LogvarOfEachImage(PlainMLP):
    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.fc_logvar = nn.Linear(100, 1)

    def encode(self, x):
        mu, logvar = PlainMLP.encode(self, x)
        return mu, logvar.expand_as(mu)


@wrong("VAE", "logvar_from_mu")
class LogvarFromMu(PlainMLP):
    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.fc_logvar = nn.Linear(latent_dim, latent_dim)

    def encode(self, x):
        mu = self.fc_mu(F.relu(self.fc1(x.view(-1, 784))))
        return mu, self.fc_logvar(mu)


_variant(
    "DetachedStd",
    ["detached_std"],
    forward=_forward_with(lambda m, v: _noise(m, v.detach())),
)
_variant("TanhOnMu", ["tanh_on_mu"], encode=_encode_with(lambda m, v: (m.tanh(), v)))
_variant(
    "FixedBatchNoise",
    ["fixed_batch_size"],
    forward=_forward_with(lambda m, v: m + (0.5 * v).exp() * torch.randn(64, m.shape[1])),
)


@right("train_step")
def step_with_sampled_kl(model, optimizer, x):
    mu, logvar = model.encode(x)
    q = D.Normal(mu, (0.5 * logvar).exp())
    z = q.rsample()
    rate = (q.log_prob(z) - D.Normal(0.0, 1.0).log_prob(z)).sum(1)
    loss = (_bce(x, model.decode(z)) + rate).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("train_step", "detached_std")
def step_detached_std(model, optimizer, x):
    optimizer.zero_grad()
    mu, logvar = model.encode(x)
    loss = _mean_loss(x, model.decode(_noise(mu, logvar.detach())), mu, logvar)
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("train_step", "eval_mode")
def step_in_evaluation_mode(model, optimizer, x):
    model.eval()
    optimizer.zero_grad()
    loss = _mean_loss(x, *model(x))
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong("train_step", "weighted_kl")
def step_right_returns_weighted(model, optimizer, x):
    optimizer.zero_grad()
    logits, mu, logvar = model(x)
    _mean_loss(x, logits, mu, logvar).backward()
    optimizer.step()
    return float(_bce(x, logits).mean() + 4 * _kl(mu, logvar).mean())


@wrong("train_step", "optimizer_ignored")
def step_with_its_own_optimizer(model, optimizer, x):
    return step(model, torch.optim.Adam(model.parameters()), x)
