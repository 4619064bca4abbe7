"""The multimodal VAE against closed forms and an oracle where every subset is exact."""

from itertools import combinations, product

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from course_lib import bounds, training
from course_lib.data import strokes, tones
from course_lib.evaluation import estimate, evaluate
from course_lib.models.conditions import Captions
from course_lib.models.multimodal import Modality, MultimodalVAE, product_of_experts
from course_lib.models.multimodal_conditional import Conditional
from course_lib.models.multimodal_objectives import stratified_terms, subset_terms
from course_lib.models.multimodal_parts import Words, caption_modality, multimodal_vae
from course_lib.oracles import LinearGaussian

SIGMA, SIZES, L = 0.6, {"a": 3, "b": 4}, 2
F64 = torch.float64


class NormalHead(nn.Module):
    def forward(self, mean):
        return Independent(Normal(mean, SIGMA), 1)


def weights() -> dict[str, torch.Tensor]:
    """W_m with orthogonal columns, so that the posterior of every subset is diagonal."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.linalg.qr(torch.randn(d, L, generator=generator, dtype=F64))[0]
        * torch.tensor([1.5, 0.7])
        for name, d in SIZES.items()
    }


def oracle(experts: str = "product", off: float = 0.0) -> MultimodalVAE:
    """Linear decoders and the encoders that are exact for a product, or off by a shift of mu."""
    parts = {}
    for name, w in weights().items():
        precision = w.square().sum(0) / SIGMA**2
        encoder, decoder = nn.Linear(len(w), 2 * L).double(), nn.Linear(L, len(w)).double()
        with torch.no_grad():
            decoder.weight.copy_(w)
            decoder.bias.fill_(0.3)
            encoder.weight.zero_()
            encoder.weight[:L] = (w / SIGMA**2 / precision).T
            encoder.bias[:L] = -encoder.weight[:L].sum(1) * 0.3 + off
            encoder.bias[L:] = -precision.log()
        parts[name] = Modality(encoder, decoder, NormalHead())
    return MultimodalVAE(parts, L, experts).double()


def truth(*names: str) -> LinearGaussian:
    w = torch.cat([weights()[name] for name in names])
    return LinearGaussian(w, torch.full((len(w),), 0.3, dtype=F64), SIGMA)


def drawn(n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return truth("a", "b").sample(n).split(list(SIZES.values()), dim=1)


def small(experts: str = "product") -> MultimodalVAE:
    """Three modalities of vectors with random networks, float64."""
    parts = {
        name: Modality(
            nn.Sequential(nn.Linear(d, 8), nn.Tanh(), nn.Linear(8, 2 * L)),
            nn.Sequential(nn.Linear(L, 8), nn.Tanh(), nn.Linear(8, d)),
            NormalHead(),
        )
        for name, d in {"a": 3, "b": 4, "c": 2}.items()
    }
    return MultimodalVAE(parts, L, experts).double()


def rows(b: int = 5) -> list[torch.Tensor]:
    return [torch.randn(b, d, dtype=F64) for d in (3, 4, 2)]


# --- the product ---------------------------------------------------------------------------------


def test_product_is_the_normalized_product_of_densities():
    mus, logvars = torch.randn(3, 1, 1, dtype=F64), torch.randn(3, 1, 1, dtype=F64)
    mask = torch.tensor([[True], [False], [True]])
    mu, logvar = product_of_experts(mus, logvars, mask)
    grid = torch.linspace(-20, 20, 40_001, dtype=F64)
    log_p = Normal(0, 1).log_prob(grid)
    for m in (0, 2):
        log_p = log_p + Normal(mus[m, 0, 0], (0.5 * logvars[m, 0, 0]).exp()).log_prob(grid)
    p = (log_p - log_p.max()).exp()
    p = p / p.sum()
    mean = (p * grid).sum()
    assert torch.allclose(mu.squeeze(), mean, atol=1e-8)
    assert torch.allclose(logvar.exp().squeeze(), (p * (grid - mean) ** 2).sum(), atol=1e-8)


def test_product_of_nothing_is_the_prior_and_of_equals_is_narrower():
    mus, logvars = torch.ones(2, 3, 4), torch.zeros(2, 3, 4)
    mask = torch.tensor([[False, True, True], [False, False, True]])
    mu, logvar = product_of_experts(mus, logvars, mask)
    assert torch.allclose(mu[:, 0], torch.tensor([0, 1 / 2, 2 / 3]))
    assert torch.allclose(logvar.exp()[:, 0], torch.tensor([1, 1 / 2, 1 / 3]))


@pytest.mark.parametrize("rubbish", [1e30, float("nan"), float("inf")])
def test_missing_experts_matter_neither_to_values_nor_to_gradients(rubbish):
    mus, logvars = torch.randn(2, 3, 5, 4, dtype=F64)
    mask = torch.rand(3, 5) < 0.5
    clean = product_of_experts(mus, logvars, mask)
    bad = [torch.where(mask[..., None], a, rubbish).requires_grad_() for a in (mus, logvars)]
    mu, logvar = product_of_experts(*bad, mask)
    assert torch.equal(mu, clean[0]) and torch.equal(logvar, clean[1])
    (mu.sum() + logvar.sum()).backward()
    for grad in (a.grad for a in bad):
        assert (grad[~mask] == 0).all() and (grad[mask] != 0).any()


@pytest.mark.parametrize("logvar", [-700.0, 700.0])
def test_product_survives_experts_that_are_sure_or_know_nothing(logvar):
    mu, out = product_of_experts(
        torch.full((2, 1, 1), 3.0, dtype=F64),
        torch.full((2, 1, 1), logvar, dtype=F64),
        torch.ones(2, 1, dtype=torch.bool),
    )
    assert mu.item() == pytest.approx(3.0 if logvar < 0 else 0.0)
    assert out.isfinite().all()


# --- the oracle: with exact experts the product is exact for every subset -------------------------


@pytest.mark.parametrize("names", [("a",), ("b",), ("a", "b")])
def test_product_of_exact_experts_is_the_posterior_of_every_subset(names):
    x = dict(zip(SIZES, drawn(), strict=True))
    chosen = [x[n] if n in names else None for n in SIZES]
    q, p = oracle().posterior(*chosen), truth(*names).posterior(torch.cat([x[n] for n in names], 1))
    assert torch.allclose(q.mean, p.mean, atol=1e-10)
    assert torch.allclose(torch.diag_embed(q.variance), p.covariance_matrix, atol=1e-10)


def test_joint_weights_all_equal_the_exact_evidence():
    a, b = drawn()
    exact = truth("a", "b").log_evidence(torch.cat([a, b], 1))
    log_w = bounds.log_weights(oracle(), a, 7, b)
    assert torch.allclose(log_w, exact.expand(7, -1), atol=1e-9)
    terms = bounds.terms(oracle(), a, b)
    assert terms.rate.shape == terms.distortion.shape == a.shape[:1]
    report = evaluate(oracle(), a, b, num_samples=3)
    assert torch.allclose(report.iwae, exact, atol=1e-9)


def test_parts_of_the_model_have_their_own_evidence():
    a, b = drawn()
    for names, x in {("a",): a, ("b",): b}.items():
        report = evaluate(oracle().only(*names), x, num_samples=3)
        assert torch.allclose(report.iwae, truth(*names).log_evidence(x), atol=1e-9)
    swapped = evaluate(oracle().only("b", "a"), b, a, num_samples=3).iwae
    assert torch.allclose(swapped, evaluate(oracle(), a, b, num_samples=3).iwae, atol=1e-9)
    assert torch.equal(  # None for the first is the same as leaving it out
        oracle().posterior(None, b).mean, oracle().only("b").posterior(b).mean
    )


def test_conditional_evidence_is_the_difference_and_what_cross_generation_draws_from():
    a, b = drawn()
    exact = truth("a", "b").log_evidence(torch.cat([a, b], 1)) - truth("b").log_evidence(b)
    model = oracle()
    joint, part = evaluate(model, a, b, num_samples=2), evaluate(model.only("b"), b, num_samples=2)
    assert torch.allclose(joint.iwae - part.iwae, exact, atol=1e-9)
    view = Conditional(model, "a", "b")
    assert torch.allclose(evaluate(view, a, b, num_samples=2).iwae, exact, atol=1e-9)
    draws = view.sample(b[:1].expand(3000, -1))
    p = truth("b").posterior(b[:1])
    w = weights()["a"]
    assert ((draws.mean(0) - (p.mean[0] @ w.T + 0.3)).abs() < 4 * draws.std(0) / 3000**0.5).all()
    cov = w @ p.covariance_matrix[0] @ w.T + SIGMA**2 * torch.eye(3)
    assert torch.allclose(draws.var(0), cov.diagonal(), rtol=4 * (2 / 3000) ** 0.5)


def test_conditional_bounds_stay_below_the_density_that_is_drawn_from():
    """With experts that are off, log int q(z|b) p(a|z) dz is still a normal density."""
    a, b = drawn(200)
    model = oracle(off=0.4)
    q = model.only("b").posterior(b)
    w = weights()["a"]
    cov = torch.einsum("dl,nl,el->nde", w, q.variance, w) + SIGMA**2 * torch.eye(3)
    exact = torch.distributions.MultivariateNormal(q.mean @ w.T + 0.3, cov).log_prob(a)
    view = Conditional(model, "a", "b")
    report = evaluate(view, a, b, num_samples=200)
    plain = evaluate(Plain(view), a, b, num_samples=200).elbo  # E_{q(z|b)} log p(a|z)
    gap, loose = estimate(exact - report.elbo), estimate(exact - plain)
    assert gap.mean > 4 * gap.se and loose.mean > gap.mean
    assert estimate(exact - report.iwae).mean < 0.1 * gap.mean
    wrong = exact - (
        truth("a", "b").log_evidence(torch.cat([a, b], 1)) - truth("b").log_evidence(b)
    )
    assert estimate(wrong).mean < -4 * estimate(wrong).se  # the shifted q(z|b) predicts worse


class Plain:
    """The conditional with q = p = q(z|given): no term but the distortion."""

    def __init__(self, view):
        self.prior, self.likelihood = view.prior, view.likelihood

    def posterior(self, x, *context):
        return self.prior(*context)


# --- mixtures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("present", [(0, 1, 2), (0, 2), (1,)])
@pytest.mark.parametrize("experts", ["mixture", "mixture_of_products"])
def test_mixtures_are_averages_of_densities(experts, present):
    model, parts = small(experts), rows()
    chosen = [x if m in present else None for m, x in enumerate(parts)]
    mus, logvars, mask = model.encode_each(*parts)
    densities, z = [], torch.randn(5, L, dtype=F64)
    sizes = (1,) if experts == "mixture" else (1, 2, 3)
    for s in (s for k in sizes for s in combinations(present, k)):
        mu, logvar = mus[s[0]], logvars[s[0]]
        if experts != "mixture":
            inside = torch.zeros_like(mask)
            inside[list(s)] = True
            mu, logvar = product_of_experts(mus, logvars, inside)
        densities.append(Independent(Normal(mu, (0.5 * logvar).exp()), 1).log_prob(z).exp())
    q = model.posterior(*chosen)
    assert q.batch_shape == (5,) and q.event_shape == (L,)
    assert torch.allclose(q.log_prob(z).exp(), torch.stack(densities).mean(0))


@pytest.mark.parametrize("experts", ["product", "mixture", "mixture_of_products"])
def test_a_masked_row_is_what_it_would_be_without_the_modality(experts):
    model, parts, z = small(experts), rows(8), torch.randn(8, L, dtype=F64)
    masks = torch.tensor(list(product([False, True], repeat=3))).T  # [3, 8], all subsets
    broken = [torch.where(m[:, None], x, torch.nan) for x, m in zip(parts, masks, strict=True)]
    q = model.posterior(*broken, mask=masks)
    log_p = model.likelihood(z, *broken[1:], mask=masks).log_prob(broken[0])
    assert torch.allclose(q.log_prob(z)[0], model.prior().log_prob(z[0]))  # nothing given
    for i in range(1, 8):
        chosen = [x[i : i + 1] if masks[m, i] else None for m, x in enumerate(parts)]
        alone = model.posterior(*chosen)
        assert torch.allclose(q.log_prob(z)[i], alone.log_prob(z[i]), atol=1e-10)
        joint = model.likelihood(z[i : i + 1], *chosen[1:], mask=masks[:, i : i + 1])
        assert torch.allclose(log_p[i], joint.log_prob(chosen[0]))
    objective = subset_terms() if experts == "product" else stratified_terms
    objective(model, *broken, mask=masks).elbo.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("experts", ["mixture", "mixture_of_products"])
def test_stratified_terms_estimate_the_elbo_of_the_mixture_with_less_noise(experts):
    model, parts = small(experts), rows(1)
    with torch.no_grad():  # experts that disagree, so that one of them is not the mixture
        for modality in model.modalities.values():
            modality.encoder[-1].weight[:L].mul_(5)
    many = [x.expand(4000, -1) for x in parts]
    with torch.no_grad():
        strata = stratified_terms(model, *many)
        plain = bounds.terms(model, *many)
        a, b = estimate(strata.elbo), estimate(plain.elbo)
        assert abs(a.mean - b.mean) < 4 * (a.se**2 + b.se**2) ** 0.5
        assert a.se < b.se
    with pytest.raises(ValueError, match="no reparameterized draw"):
        bounds.terms(model, *parts)


def test_mixture_is_no_further_from_the_prior_than_its_parts_on_average():
    model, parts = small("mixture"), rows(2000)
    mus, logvars, _ = model.encode_each(*parts)
    each = kl_divergence(Independent(Normal(mus, (0.5 * logvars).exp()), 1), model.prior()).mean(0)
    with torch.no_grad():
        rate = stratified_terms(model, *parts).rate
    assert estimate(each - rate).mean > 0


# --- objectives -----------------------------------------------------------------------------------


def test_own_targets_average_the_elbos_of_the_subsets():
    a, b = drawn(4)
    exact = [
        truth("a", "b").log_evidence(torch.cat([a, b], 1)),
        truth("a").log_evidence(a),
        truth("b").log_evidence(b),
    ]
    many = [x.repeat(3000, 1) for x in (a, b)]
    with torch.no_grad():
        terms = subset_terms()(oracle(), *many)
    found = terms.elbo.reshape(3000, 4)
    se = found.std(0) / 3000**0.5
    assert ((found.mean(0) - torch.stack(exact).mean(0)).abs() < 4 * se).all()


def test_all_targets_are_bounds_on_the_joint_evidence():
    a, b = drawn(500)
    with torch.no_grad():
        elbo = subset_terms(targets="all")(oracle(), a, b).elbo
    gap = estimate(truth("a", "b").log_evidence(torch.cat([a, b], 1)) - elbo)
    assert gap.mean > 4 * gap.se


def test_random_subsets_are_drawn_from_those_that_are_left():
    model, parts = small(), rows()
    torch.manual_seed(0)
    four = {round(subset_terms(1)(model, *parts).rate.sum().item(), 9) for _ in range(20)}
    none = {round(subset_terms(0)(model, *parts).rate.sum().item(), 9) for _ in range(5)}
    assert len(four) == 3 and len(none) == 1  # one of three pairs; the rate is exact


@pytest.mark.parametrize("experts", ["product", "mixture", "mixture_of_products"])
def test_training_learns_two_modalities_from_each_other(experts):
    """Image and caption of two kinds: after training each is made from the other."""
    torch.manual_seed(0)
    y = torch.arange(400) % 2
    x = torch.zeros(400, 1, 4, 4)
    x[y == 1, :, :2] = 1.0
    x[y == 0, :, 2:] = 1.0
    reader = Captions(["up", "down"], 8, 2)
    tokens = reader.encode(["down", "up"]).index_select(0, y)
    model = multimodal_vae((1, 4, 4), 2, experts, (16,))
    parts = {"image": model.modalities["image"], "caption": caption_modality(reader, 2, 16)}
    model = MultimodalVAE(parts, 2, experts)
    objective = subset_terms(targets="all") if experts == "product" else stratified_terms
    options = {
        "epochs": 14,
        "lr": 2e-2,
        "batch_size": 64,
        "validation": 0,
        "device": "cpu",
    }
    training.fit(model, [x, tokens], objective=objective, progress=False, **options)
    with torch.no_grad():
        made = Conditional(model, "image", "caption").sample(tokens)
        read = model.modalities["caption"].likelihood(model.posterior(x).sample()).mode
    assert (made == x).float().mean() > 0.95
    assert (read == tokens).all(1).float().mean() > 0.95


# --- captions, and the ready model ----------------------------------------------------------------


@pytest.fixture
def words():
    """p(caption|z) over two words and at most three of them: few enough to write all down."""
    modality = caption_modality(Captions(["x", "y"], 8, 3), L, 8).double()
    with torch.no_grad():
        for weight in modality.parameters():
            weight.copy_(torch.randn_like(weight))
    return modality.likelihood(torch.randn(4, L, dtype=F64))


EVERY = torch.tensor(list(product(range(3), repeat=3)))  # [27, 3]


def test_caption_probabilities_sum_to_one(words):
    log_p = words.log_prob(EVERY.unsqueeze(1))  # [27, 4]
    valid = torch.tensor([0 not in r or not any(r[r.index(0) :]) for r in EVERY.tolist()])
    assert torch.allclose(log_p.exp().sum(0), torch.ones(4, dtype=F64))
    assert (log_p[~valid] == -torch.inf).all() and log_p[valid].isfinite().all()
    assert valid.sum() == 1 + 2 + 4 + 8


def test_drawn_captions_have_these_probabilities(words):
    draws = words.sample((5000,))
    assert draws.shape == (5000, 4, 3)
    share = (draws.unsqueeze(2) == EVERY).all(-1).double().mean(0)  # [4, 27]
    p = words.log_prob(EVERY.unsqueeze(1)).exp().T
    assert ((share - p).abs() <= 4.5 * (p * (1 - p) / 5000).sqrt()).all()


def test_autocast_leaves_the_caption_probabilities_in_float32():
    head = Words(["a", "b"], 8, 3)
    state, before = torch.randn(20, 8), torch.randint(4, (20, 3))
    with torch.autocast("cpu", torch.bfloat16):
        log_p = head.log_next(state, before, torch.arange(3))
    assert log_p.dtype == torch.float32
    torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(20, 3), rtol=0, atol=1e-6)


def test_mode_is_the_likeliest_of_all(words):
    best = EVERY[words.log_prob(EVERY.unsqueeze(1)).argmax(0)]
    assert torch.equal(words.mode, best)


def test_a_caption_is_read_as_it_was_written():
    reader = Captions(strokes.WORDS, 8, 8)
    head = caption_modality(reader, 3).head
    texts = ["a small thin seven leaning left", "an eight"]
    assert head.texts(reader.encode(texts)) == texts


@pytest.mark.parametrize("experts", ["product", "mixture", "mixture_of_products"])
def test_the_model_of_three_obeys_the_contract_of_an_image_vae(experts):
    model = multimodal_vae((1, 12, 10), 4, experts, (16,)).eval()
    data = strokes.draw(6)
    x = torch.rand(6, 1, 12, 10).round()
    tokens = model.modalities["caption"].encoder[0].encode(data.captions)
    tone = tones.tones(data.factors)
    q, p = model.posterior(x, tokens, tone), model.likelihood(torch.randn(5, 6, 4), tokens, tone)
    assert q.batch_shape == (6,) and q.event_shape == (4,)
    assert p.batch_shape == (5, 6) and p.event_shape == x.shape[1:]
    assert p.log_prob(x).shape == (5, 6) and p.sample().shape == (5, *x.shape)
    assert evaluate(model, x, tokens, tone, num_samples=3).iwae.isfinite().all()
    assert evaluate(model, x, num_samples=3).iwae.isfinite().all()
    with pytest.raises(ValueError, match="grey"):
        evaluate(model, x * 0.5, num_samples=3)
    caption = model.only("caption", "tone")
    assert evaluate(caption, tokens, tone, num_samples=3).iwae.isfinite().all()
    view = Conditional(model, "caption", "image", "tone")
    assert evaluate(view, tokens, x, tone, num_samples=3).iwae.isfinite().all()
    assert model.sample(3).shape == model.sample(3, mean=True).shape == (3, 1, 12, 10)
    assert model.only("image").modalities["image"] is model.modalities["image"]
    spec = {k: v for k, v in model.spec.items() if k != "model"}
    again = multimodal_vae(**spec)
    assert again.spec == model.spec and again.experts == experts
    again.load_state_dict(model.state_dict())


# --- the door -------------------------------------------------------------------------------------


class Undeclared(nn.Module):
    def forward(self, mean):
        return Normal(mean, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MultimodalVAE({}, 2), ValueError, "No modality"),
        (lambda: small("produkt"), ValueError, "Did you mean 'product'"),
        (lambda: small().only("d"), ValueError, "Unknown modality"),
        (lambda: small().posterior(None), ValueError, "use prior"),
        (lambda: small().posterior(*rows(), rows()[0]), TypeError, "a, b, c, in this order"),
        (lambda: small().posterior(rows(3)[0], rows(4)[1]), ValueError, "3, 'b': 4"),
        (lambda: small().posterior(*rows(), mask=torch.ones(3, 5)), ValueError, "bool"),
        (lambda: small().posterior(*rows(), mask=torch.ones(5, 3) > 0), ValueError, "M, B"),
        (lambda: Conditional(small(), "a", "a"), ValueError, "target is 'a'"),
        (lambda: subset_terms(targets="each"), ValueError, "'own' or 'all'"),
        (lambda: subset_terms()(small("mixture"), *rows()), ValueError, "stratified_terms"),
        (
            lambda: MultimodalVAE(
                {"a": Modality(nn.Linear(3, 5), nn.Linear(2, 3), NormalHead())}, 2
            ).posterior(torch.zeros(4, 3)),
            ValueError,
            r"\[4, 4\] was expected",
        ),
        (
            lambda: Modality(nn.Linear(3, 4), nn.Linear(2, 3), Undeclared()).likelihood(
                torch.zeros(4, 2)
            ),
            ValueError,
            "Independent",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
