"""The objective meter: what it says of a loss holds for the loss's gradient."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import distributions as td

from course_lib.bounds import objective_meter
from course_lib.distributions import ContinuousBernoulli

SIZES = {"image_shape": (1, 4, 5), "L": 3, "B": 6}  # D = 20
D, L, B = 20, 3, 6
REDUCTIONS = ("sum", "mean")

bce = F.binary_cross_entropy_with_logits


def kl(mu, logvar):
    """The KL of every latent to N(0, 1), [B, L]."""
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


def meter(loss_fn):
    return objective_meter(loss_fn, **SIZES)


def correct(recon, x, mu, logvar):
    return bce(recon, x, reduction="sum") / len(x) + kl(mu, logvar).sum(1).mean()


# What people write, what the meter must say of it, and the same in words: loss, beta, its formula,
# the unit, whether it is an ELBO, and the reductions.
FORMS = {
    "correct": (correct, 1, None, "nats per image", "exactly", {}),
    "sum of everything": (
        lambda r, x, m, s: bce(r, x, reduction="sum") + kl(m, s).sum(),
        1, None, "nats per batch", "up to scale", {"batch_reduction": "sum"},
    ),
    "BCE mean, KL summed": (
        lambda r, x, m, s: bce(r, x) + kl(m, s).sum(1).mean(),
        D, "D", "nats per pixel", "no", {"pixel_reduction": "mean"},
    ),
    "both mean": (
        lambda r, x, m, s: bce(r, x) + kl(m, s).mean(),
        D / L, "D / L", "nats per pixel", "no",
        {"pixel_reduction": "mean", "kl_reduction": "mean"},
    ),
    "KL summed over the batch": (
        lambda r, x, m, s: bce(r, x, reduction="sum") / len(x) + kl(m, s).sum(),
        B, "B", "nats per image", "no", {"kl_batch_reduction": "sum"},
    ),
    "BCE mean, KL / (B D)": (
        lambda r, x, m, s: bce(r, x) + kl(m, s).sum() / x.numel(),
        1, None, "nats per pixel", "up to scale", {"pixel_reduction": "mean", "kl_weight": 1 / D},
    ),
    "BCE sum / B, KL / D": (
        lambda r, x, m, s: bce(r, x, reduction="sum") / len(x) + kl(m, s).sum() / x.numel(),
        1 / D, "1 / D", "nats per image", "no", {"kl_weight": 1 / D},
    ),
    "no KL": (
        lambda r, x, m, s: bce(r, x, reduction="sum") / len(x),
        0, None, "nats per image", "no", {"kl_weight": 0},
    ),
    "KL mean over B L": (
        lambda r, x, m, s: bce(r, x, reduction="sum") / len(x) + kl(m, s).mean(),
        1 / L, "1 / L", "nats per image", "no", {"kl_reduction": "mean"},
    ),
    "1/2 forgotten": (
        lambda r, x, m, s: bce(r, x, reduction="sum") / len(x) + 2 * kl(m, s).sum(1).mean(),
        2, None, "nats per image", "no", {"kl_weight": 2},
    ),
    "kld_weight": (
        lambda r, x, m, s: F.mse_loss(r, x) + 0.00025 * kl(m, s).sum(1).mean(),
        0.00025 * D, "0.00025 · D", "0.00025 × nats per image", "up to scale and a constant",
        {"reconstruction": "mse", "pixel_reduction": "mean", "kl_weight": 0.00025},
    ),
    "MSE summed": (
        lambda r, x, m, s: F.mse_loss(r, x, reduction="sum") / len(x) + kl(m, s).sum(1).mean(),
        1, None, "nats per image", "up to a constant", {"reconstruction": "mse"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_both_ways_in_agree_on_the_common_forms(name):
    loss_fn, beta, formula, units, elbo, words = FORMS[name]
    probed, told = meter(loss_fn), objective_meter(D=D, L=L, B=B, **words)
    for found in (probed, told):
        assert found.beta == pytest.approx(beta, rel=1e-9, abs=1e-12)
        assert (found.units, found.elbo) == (units, elbo)
        assert found.is_elbo == (elbo != "no")
    assert probed.a == pytest.approx(told.a, rel=1e-9)
    assert probed.sigma2 == pytest.approx(told.sigma2)
    assert probed.constant == pytest.approx(0, abs=1e-9 * abs(probed.a))
    assert probed.reconstruction == told.reconstruction
    if "kl_weight" not in words:  # how a weight of 1/D was meant, a number does not tell
        assert told.formula == formula
    assert probed.formula == formula


@pytest.mark.parametrize("pixels", REDUCTIONS)
@pytest.mark.parametrize("latents", REDUCTIONS)
def test_it_agrees_with_implied_beta_of_the_exercises(pixels, latents):
    """implied_beta(pixel_reduction, kl_reduction, D, L) of set 06."""
    expected = (784 if pixels == "mean" else 1) / (20 if latents == "mean" else 1)
    found = objective_meter(pixel_reduction=pixels, kl_reduction=latents)
    assert found.beta == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kl_reduction", REDUCTIONS)
@pytest.mark.parametrize("error", ["bce", "mse"])
def test_torch_reductions(error, reduction, kl_reduction):
    """reduction= of torch's own losses goes over pixels and images at once."""
    function = bce if error == "bce" else F.mse_loss

    def loss_fn(recon, x, mu, logvar):
        return function(recon, x, reduction=reduction) + getattr(kl(mu, logvar), kl_reduction)()

    told = objective_meter(
        reconstruction=error, pixel_reduction=reduction, batch_reduction=reduction,
        kl_reduction=kl_reduction, kl_batch_reduction=kl_reduction, D=D, L=L, B=B,
    )  # fmt: skip
    probed = meter(loss_fn)
    assert (probed.a, probed.b) == pytest.approx((told.a, told.b), rel=1e-9)
    assert (probed.a_powers, probed.b_powers) == (told.a_powers, told.b_powers)
    assert str(probed).splitlines()[:2] == str(told).splitlines()[:2]


def gradients(value, *inputs):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, inputs)])


@pytest.mark.parametrize("weight", [0.00025, 1.0, 30.0])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_gaussian_of_a_squared_error(weight, reduction):
    """The loss's gradient is scale times that of minus the ELBO with the sigma of the meter."""
    torch.manual_seed(0)

    def loss_fn(recon, x, mu, logvar):
        return F.mse_loss(recon, x, reduction=reduction) + weight * kl(mu, logvar).sum(1).mean()

    found = meter(loss_fn)
    recon, x = torch.rand(2, B, 1, 4, 5, dtype=torch.float64)
    mu, logvar = torch.randn(2, B, L, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (recon, mu, logvar)]
    log_px_z = td.Normal(recon, math.sqrt(found.sigma2)).log_prob(x).sum((1, 2, 3))
    q = td.Independent(td.Normal(mu, (logvar / 2).exp()), 1)
    p = td.Independent(td.Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    minus_elbo = -(log_px_z - td.kl_divergence(q, p)).mean()
    loss = loss_fn(recon, x, mu, logvar)
    torch.testing.assert_close(
        gradients(loss, *inputs), found.scale * gradients(minus_elbo, *inputs), rtol=1e-9, atol=0
    )
    constant = found.scale * D / 2 * math.log(2 * math.pi * found.sigma2)
    assert (loss - found.scale * minus_elbo).item() == pytest.approx(-constant, rel=1e-9)


@pytest.mark.parametrize("name", [n for n, row in FORMS.items() if row[-1].get("reconstruction")
                                  is None])  # fmt: skip
def test_the_formula_of_a_cross_entropy_is_the_loss(name):
    torch.manual_seed(0)
    loss_fn = FORMS[name][0]
    found = meter(loss_fn)
    recon, x = torch.randn(B, 1, 4, 5).double(), torch.randint(2, (B, 1, 4, 5)).double()
    mu, logvar = torch.randn(2, B, L, dtype=torch.float64)
    distortion = -td.Bernoulli(logits=recon).log_prob(x).sum((1, 2, 3))
    expected = found.scale * (distortion + found.beta * kl(mu, logvar).sum(1)).mean()
    assert loss_fn(recon, x, mu, logvar).item() == pytest.approx(expected.item(), rel=1e-9)


def normal_nll(r, x, sigma):
    return -td.Normal(r, torch.tensor(sigma).double()).log_prob(x).sum() / len(x)


LIKELIHOODS = {
    "gaussian": (lambda r, x: normal_nll(r, x, 0.3), "mse", "exactly"),
    "gaussian, mean through a sigmoid": (
        lambda r, x: normal_nll(r.sigmoid(), x, 0.3), "mse", "exactly",
    ),
    "gaussian without log sigma": (
        lambda r, x: ((r - x) ** 2 / (2 * 0.3**2)).sum() / len(x), "mse", "up to a constant",
    ),
    "optimal sigma": (
        lambda r, x: normal_nll(r, x, (r - x).square().mean().sqrt().item()),
        "optimal sigma", "exactly",
    ),
    "log of the squared error": (
        lambda r, x: D / 2 * (r - x).square().mean().log(), "optimal sigma", "up to a constant",
    ),
    "probabilities": (
        lambda r, x: F.binary_cross_entropy(r, x, reduction="sum") / len(x), "bce", "exactly",
    ),
    "Bernoulli that refuses grey pixels": (
        lambda r, x: -td.Bernoulli(logits=r).log_prob(x).sum() / len(x), "bce", "exactly",
    ),
    "continuous Bernoulli": (
        lambda r, x: -ContinuousBernoulli(r).log_prob(x).sum() / len(x),
        "continuous bernoulli", "exactly",
    ),
    "float32 inside": (
        lambda r, x: bce(r.float(), x.float(), reduction="sum") / len(x), "bce", "exactly",
    ),
    "rows of pixels only": (
        lambda r, x: bce(r.view(-1, 20), x, reduction="sum") / len(x), "bce", "exactly",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_are_recognized_with_their_constants(name):
    term, kind, elbo = LIKELIHOODS[name]
    found = meter(lambda r, x, m, s: term(r, x) + kl(m, s).sum(1).mean())
    assert (found.reconstruction, found.elbo) == (kind, elbo)
    assert found.scale == pytest.approx(1, rel=1e-4)
    assert found.sigma2 == (pytest.approx(0.09, rel=1e-6) if kind == "mse" else None)


WRONG_KLS = {
    "logvar taken for log sigma": (
        lambda m, s: 0.5 * (m**2 + (2 * s).exp() - 1 - 2 * s), "logvar is taken for log sigma",
    ),
    "exp forgotten": (lambda m, s: 0.5 * (m**2 + s - 1 - s), "no exp(logvar)"),
    "mu not squared": (lambda m, s: 0.5 * (m + s.exp() - 1 - s), "mu is not squared"),
    "KL(p || q)": (lambda m, s: 0.5 * ((1 + m**2) / s.exp() - 1 + s), "KL(p || q)"),
    "1/2 binds only the exp": (
        lambda m, s: 0.5 * s.exp() + m**2 - 1 - s, "1/2 binds only the exp",
    ),
    "something else": (lambda m, s: m.abs() + s**2, "no multiple of the KL"),
    "free bits": (lambda m, s: kl(m, s).clamp(min=0.5), "no multiple of the KL"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_KLS)
def test_what_is_no_kl_is_told_and_named(name):
    formula, said = WRONG_KLS[name]
    found = meter(lambda r, x, m, s: bce(r, x, reduction="sum") / len(x) + formula(m, s).sum() / B)
    assert found.beta is None and found.b is None and found.elbo == "no"
    assert found.a == pytest.approx(1, rel=1e-6)
    assert said in str(found)


def test_a_constant_is_no_fault_of_the_gradient():
    """The KL whose -1 was dropped is L/2 too large, everywhere."""
    found = meter(lambda r, x, m, s: correct(r, x, m, s) + L / 2)
    assert found.beta == pytest.approx(1, rel=1e-9)
    assert found.constant == pytest.approx(L / 2, rel=1e-6)
    assert found.elbo == "up to a constant"


@pytest.mark.parametrize(
    ("loss_fn", "said"),
    [
        (lambda *a: -correct(*a), "with its own sign"),
        (lambda r, x, m, s: correct(r, x, m, s) - 2 * kl(m, s).sum(1).mean(), "the rate has its"),
        (lambda r, x, m, s: 2 * kl(m, s).sum(1).mean() - correct(r, x, m, s), "construction term"),
        (lambda r, x, m, s: correct(r.sigmoid(), x, m, s), "a sigmoid is taken before"),
        (lambda r, x, m, s: correct(x, r, m, s), "are swapped"),
        (lambda r, x, m, s: (r - x).abs().sum() / B + kl(m, s).sum() / B, "Laplace"),
        (lambda r, x, m, s: (r - x).pow(4).sum() + kl(m, s).sum(), "that the meter knows"),
        (lambda r, x, m, s: bce(r, x), "an autoencoder"),
    ],
)
def test_verdicts_on_what_is_no_elbo(loss_fn, said):
    found = meter(loss_fn)
    assert not found.is_elbo and said in str(found)


def test_a_loss_tied_to_its_sizes_is_measured_at_them():
    """x.view(-1, 784), / 784 and / 128 are common; then no formula is given."""

    def loss_fn(recon, x, mu, logvar):
        x = x.view(-1, 784)
        return F.binary_cross_entropy(recon, x, reduction="sum") / 128 + kl(mu, logvar).sum()

    found = objective_meter(loss_fn)
    assert found.beta == pytest.approx(128, rel=1e-9)
    assert found.formula is None and found.recon == "probabilities"


def test_it_reads_like_a_sentence():
    text = str(objective_meter(pixel_reduction="mean"))
    assert text == repr(objective_meter(pixel_reduction="mean"))
    for piece in ("0.001276 × (cross-entropy + 784 × rate)", "784 = D", "nats per pixel", "no: "):
        assert piece in text
    mse = str(objective_meter(reconstruction="mse", kl_weight=0.02))
    assert "σ = 0.1" in mse and "squared error / 0.02 + rate" in mse


def test_it_leaves_the_random_state_and_the_inputs_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()

    def loss_fn(recon, x, mu, logvar):
        value = correct(recon, x, mu, logvar)
        for t in (recon, x, mu, logvar):
            t.zero_()
        return value

    assert meter(loss_fn).elbo == "exactly"
    assert torch.equal(state, torch.get_rng_state())


def annealed():
    calls = []

    def loss_fn(recon, x, mu, logvar):
        calls.append(1)
        return correct(recon, x, mu, logvar) + len(calls) / 10 * kl(mu, logvar).sum()

    return loss_fn


@pytest.mark.parametrize(
    ("loss_fn", "error", "said"),
    [
        (lambda r, x: r.sum(), ValueError, "was called as loss_fn\\(recon, x, mu, logvar\\)"),
        (lambda r, x, m, s: (r @ m).sum(), ValueError, "The loss raised RuntimeError"),
        (lambda r, x, m, s: correct(r, x, m, s) + s.log().sum(), ValueError, "nan for recon"),
        (lambda r, x, m, s: bce(r, x, reduction="none"), TypeError, r"shape \[6, 1, 4, 5\]; one n"),
        (lambda r, x, m, s: (bce(r, x), kl(m, s)), TypeError, "gives a tuple"),
        (lambda r, x, m, s: {"loss": bce(r, x)}, TypeError, "gives a dict"),
        (lambda r, x, m, s: None, TypeError, "is a NoneType"),
        (lambda r, x, m, s: bce(r + 0.1 * torch.randn_like(r), x), ValueError, "two different"),
        (annealed(), ValueError, "two different"),
        (lambda r, x, m, s: bce(r, x) * kl(m, s).sum(), ValueError, "no sum of a term"),
        (lambda r, x, m, s: kl(m, s).sum(), ValueError, "the same for every reconstruction"),
        ("bce", TypeError, "is a str"),
    ],
)
def test_what_cannot_be_measured(loss_fn, error, said):
    with pytest.raises(error, match=said):
        meter(loss_fn)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"reconstruction": "bec"}, "Did you mean 'bce'"),
        ({"pixel_reduction": "average"}, "Unknown pixel_reduction 'average'"),
        ({"kl_batch_reduction": "men"}, "Did you mean 'mean'"),
        ({"D": 0}, "D is 0"),
        ({"L": 2.5}, "L is 2.5"),
        ({"B": -1}, "B is -1"),
        ({"kl_weight": "x"}, "kl_weight is 'x'"),
        ({"reconstruction_weight": 0}, "a number other than 0"),
        ({"image_shape": 28}, "image_shape is 28"),
        ({"image_shape": (1, 28, 28), "D": 100}, "with a product of D = 100"),
    ],
)
def test_unusable_words(words, said):
    with pytest.raises(ValueError, match=said):
        objective_meter(**words)
