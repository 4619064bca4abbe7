"""The explorers of the site, in Chromium: numbers against PyTorch, controls, and looks.

They are loaded from a small page in a folder (``file://``), as a reader without a server has them.
"""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from torch.autograd import grad
from torch.distributions import Normal, kl_divergence

from course_lib.checkpoints import write_checkpoint
from course_lib.evaluation import estimate
from course_lib.models import conv_vae, mlp_vae
from course_lib.widgets import explainers

SITE = Path(__file__).resolve().parents[2] / "docs" / "site"
STATIC = SITE / "_static"
SCRIPTS = ["decoder.js", "explorers.js", "kl.js", "latents.js", "reparameterization.js"]
FILES = [*SCRIPTS, "explorers.css", "weights/decoder.js"]
KINDS = ["latent-explorer", "kl-explorer", "reparameterization-explorer"]
PHONE, LAPTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
BACKGROUND = {"light": "#ffffff", "dark": "#14181e"}
# What the theme and the style sheet of the site say about elements that the explorers have too.
THEME = """
  .bd-article { max-width: 690px; margin: auto; padding: 0 12px }
  figure { margin: 0.5em; padding: 0.5em }
  figcaption { padding: 0.3em }
  .bd-article table { width: max-content }
  .bd-article th { max-width: 17rem }
  button, select { text-transform: none; line-height: inherit }
"""
float64 = torch.float64

_SPEC = importlib.util.spec_from_file_location("export_decoder", SITE / "export_decoder.py")
export_decoder = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(export_decoder)


@pytest.fixture(scope="module")
def exported() -> dict:
    return export_decoder.read(export_decoder.OUT)


@pytest.fixture(scope="module")
def model(exported):
    """A VAE whose decoder has the exported weights."""
    hidden = [layer["out"] for layer in exported["layers"][:-1]]
    vae = mlp_vae(latent_dim=exported["latents"], hidden=hidden[::-1])
    return export_decoder.rebuild(exported, vae).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the scripts and a page for each theme."""
    place = tmp_path_factory.mktemp("explorers")
    for name in FILES:
        (place / name).parent.mkdir(exist_ok=True)
        shutil.copy(STATIC / name, place / name)
    scripts = "".join(f'<script defer src="{name}"></script>' for name in SCRIPTS)
    places = "".join(f'<div class="{kind}"><p>still picture</p></div>' for kind in KINDS)
    for theme, color in BACKGROUND.items():
        (place / f"{theme}.html").write_text(
            f'<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>Explorers</title><link rel="stylesheet" href="explorers.css">{scripts}'
            f"<style>{THEME}</style>"
            f'<body style="font: 16px DejaVu Sans, sans-serif; background: {color}">'
            f'<article class="bd-article">{places}</article><div style="height: 2000px"></div>',
            encoding="utf-8",
        )
    return place


@pytest.fixture(scope="module")
def open_page(browser, folder):
    """A function that opens the page; the test fails where the console has an error."""
    complaints, contexts = [], []

    def open_it(theme: str = "light", viewport: dict = LAPTOP, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: r.url.startswith("file:") or complaints.append(r.url))
        page.goto((folder / f"{theme}.html").as_uri())
        page.locator('[data-explorer="ready"]').nth(2).wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def laptop(open_page):
    """One page for tests that read numbers; each sets what it needs."""
    return open_page()


@pytest.fixture
def page(open_page):
    """A page as it is at the start."""
    fresh = open_page()
    yield fresh
    fresh.close()


def ask(page, kind: str, code: str, argument: object = None):
    """Evaluate ``code``, in which ``e`` is the explorer and ``a`` the argument."""
    explorer = f"document.querySelector({json.dumps(f'div.{kind}')}).explorer"
    return page.evaluate(f"(a) => {{ const e = {explorer}; {code} }}", argument)


def by_rate(exported: dict) -> list[int]:
    """Active latents, those with the highest rate first."""
    rates = exported["rates"]
    return sorted(
        (k for k in range(len(rates)) if rates[k] > exported["active"]), key=lambda k: -rates[k]
    )


def tensor(values: list) -> torch.Tensor:
    return torch.tensor(values, dtype=float64)


def z_of(page) -> torch.Tensor:
    return torch.tensor(ask(page, "latent-explorer", "return e.z"), dtype=float64)


# --- the decoder ---------------------------------------------------------------------------------


def test_the_exported_file_is_small_and_says_how_it_was_made(exported):
    assert sum((STATIC / name).stat().st_size for name in FILES) <= 1_000_000
    assert exported["made"]["seed"] == export_decoder.SEED
    assert {k: exported["made"][k] for k in export_decoder.TRAINING} == export_decoder.TRAINING
    # What 8 bits cost: far less than the standard error of the ELBO, which is half a nat.
    loss = exported["loss"]
    assert abs(loss["elbo_change"]) + 3 * loss["elbo_change_se"] < 0.1
    assert loss["pixel_mean"] < 0.005


def test_the_page_says_what_was_measured(exported):
    said = (SITE / "explorers.md").read_text(encoding="utf-8").replace("−", "-")
    loss, made = exported["loss"], exported["made"]
    assert f"has {exported['latents']} latents" in said
    assert f"{made['epochs']} epochs on {made['images']:,} images of {made['data']}" in said
    assert f"{loss['elbo']:.1f} nats per image on {export_decoder.NUM_TEST:,} test images" in said
    assert f"by {loss['elbo_change']:.2f} nats and a pixel by {loss['pixel_mean']:.3f}" in said


@pytest.mark.browser
def test_the_picture_is_the_one_of_pytorch(laptop, model):
    z = torch.cat([torch.randn(60, model.latent_dim), 4 * torch.randn(4, model.latent_dim)])
    code = "return a.map((z) => Array.from(e.decoder.mean(z)))"
    shown = torch.tensor(ask(laptop, "latent-explorer", code, z.tolist()))
    wanted = model.mean_image(z).flatten(1)
    assert wanted.std() > 0.1  # pictures, not a grey square
    difference = (shown - wanted).abs().max().item()
    print(f"largest difference of a pixel {difference:.1e}")
    assert difference < 1e-3

    code = """e.show(a);
        const canvas = document.querySelector(".explorer-image");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return Array.from(data)"""
    drawn = torch.tensor(ask(laptop, "latent-explorer", code, z[0].tolist())).reshape(28, 28, 4)
    assert (drawn[..., :3] - 255 * wanted[0].reshape(28, 28, 1)).abs().max() <= 0.501
    assert (drawn[..., 3] == 255).all()


@pytest.mark.browser
def test_a_redraw_fits_into_a_frame(laptop):
    times = ask(
        laptop,
        "latent-explorer",
        """const times = [];
        for (let i = 0; i < 400; i += 1) {
          const z = Array.from({ length: e.decoder.latents }, (_, k) => 2 * Math.sin(i + k));
          const start = performance.now();
          e.show(z);
          document.body.getBoundingClientRect(); // layout belongs to it
          times.push(performance.now() - start);
        }
        return times""",
    )
    median = torch.tensor(times).median().item()
    print(f"a redraw takes {median:.2f} ms (median of {len(times)})")
    assert median < 16


@pytest.mark.browser
def test_active_latents_have_a_slider_each_in_order_of_their_rate(laptop, exported):
    rates = exported["rates"]
    order = by_rate(exported)
    labels = laptop.locator(".latent-explorer .explorer-slider label").all_inner_texts()
    said = [" ".join(label.split()) for label in labels]
    assert said == [f"z[{k}] {rates[k]:.2f} nats" for k in order]
    assert f"{sum(rates):.2f} nats per image" in laptop.locator(".latent-explorer").inner_text()
    code = "return new courseExplorers.Decoder({ ...courseDecoder, rates: a }).active"
    few = [0.2, 0.0, 0.05, 3.0] + [0.0] * (len(rates) - 4)
    assert ask(laptop, "latent-explorer", code, few) == [3, 0]


def test_rates_and_norms_are_those_of_the_model():
    vae = mlp_vae((1, 4, 4), latent_dim=3, hidden=(5,))
    with torch.no_grad():
        vae.encoder[-1].weight.zero_()
        vae.encoder[-1].bias.copy_(torch.tensor([1.0, 0.0, 2.0, 0.0, 0.0, 0.0]))
    content = export_decoder.export(vae, torch.rand(5, 1, 4, 4).round(), {})
    torch.testing.assert_close(content["rates"], [0.5, 0.0, 2.0])  # mu^2 / 2 at sigma = 1
    assert content["prior_norm"] == pytest.approx(math.sqrt(8 / math.pi))  # chi of three
    codes = export_decoder._read(content["codes"]["values"], torch.int8) * content["codes"]["scale"]
    torch.testing.assert_close(codes.reshape(5, 3), tensor([[1, 0, 2]] * 5).float())


@pytest.mark.parametrize("means", [[0.0, 0.0, 0.0], [0.0, 2.0, 0.4]])
def test_a_model_without_two_active_latents_is_refused(means):
    vae = mlp_vae((1, 4, 4), latent_dim=3, hidden=(5,))
    with torch.no_grad():
        vae.encoder[-1].weight.zero_()
        vae.encoder[-1].bias.copy_(torch.tensor([*means, 0.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match="of the 3 latents have .* needs two"):
        export_decoder.export(vae, torch.rand(5, 1, 4, 4).round(), {})


# --- the latent explorer -------------------------------------------------------------------------


@pytest.mark.browser
def test_keys_move_the_pad_and_do_not_turn_the_page(page, exported):
    across, up = by_rate(exported)[:2]
    page.evaluate("() => { document.onkeydown = (event) => { window.leaked = event.key } }")
    pad = page.locator(".explorer-pad")
    pad.focus()
    before = z_of(page)
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
        page.keyboard.press(key)
    moved = z_of(page) - before
    assert moved[across].item() == pytest.approx(0.2) and moved[up].item() == pytest.approx(-0.4)
    assert moved.count_nonzero() == 2
    value = pad.get_attribute("aria-valuetext").replace("−", "-")
    assert value == f"z[{across}] {z_of(page)[across]:.2f}, z[{up}] {z_of(page)[up]:.2f}"
    page.keyboard.press("Home")
    assert z_of(page)[[across, up]].tolist() == [0, 0]
    for _ in range(10):
        page.keyboard.press("Shift+ArrowLeft")
    assert z_of(page)[across] == -3  # and no further
    assert page.evaluate("window.leaked") == "Shift"  # alone; the theme turns pages by arrow keys


@pytest.mark.browser
def test_every_control_is_reached_by_the_tab_key_and_shows_it(page):
    wanted = page.locator(".explorer :is(input, select, button, .explorer-pad)").count()
    assert wanted > 20
    seen = set()
    for _ in range(wanted):
        page.keyboard.press("Tab")
        i, outline = page.evaluate(
            """() => [
              [...document.querySelectorAll(".explorer :is(input, select, button, .explorer-pad)")]
                .indexOf(document.activeElement),
              getComputedStyle(document.activeElement).outlineStyle,
            ]"""
        )
        assert outline == "solid"
        seen.add(i)
    assert seen == set(range(wanted))


@pytest.mark.browser
def test_sliders_follow_the_keyboard(page, exported):
    k = max(range(len(exported["rates"])), key=exported["rates"].__getitem__)
    page.get_by_role("button", name="back to zero").click()
    assert z_of(page).abs().sum() == 0
    slider = page.get_by_label(f"latent {k}, mean rate {exported['rates'][k]:.2f} nats")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert z_of(page)[k].item() == pytest.approx(0.05)
    assert z_of(page).count_nonzero() == 1
    assert slider.get_attribute("aria-valuetext") == "0.05"

    mu = page.get_by_label("mean of q").first
    mu.focus()
    page.keyboard.press("ArrowLeft")
    q = Normal(0.95, math.exp(-0.75))
    wanted = kl_divergence(q, Normal(0.0, 1.0)).item()
    assert f"area {wanted:.2f} nats" in page.locator(".kl-explorer figcaption").nth(1).inner_text()


@pytest.mark.browser
def test_draws_are_those_of_the_prior(page, model):
    button = page.get_by_role("button", name="draw from the prior")
    draws = []
    for _ in range(40):
        button.click()
        draws.append(z_of(page))
    values = torch.cat(draws)
    assert len(values.unique()) == len(values)
    assert abs(values.mean()) < 4 / math.sqrt(len(values))
    assert abs(values.var() - 1) < 4 * math.sqrt(2 / len(values))
    said = page.locator(".explorer-readout").inner_text().replace("−", "-")
    assert f"‖z‖ = {draws[-1].norm():.2f}" in said
    assert f"log p(z) = {model.prior().log_prob(draws[-1].float()):.2f} nats" in said
    assert "Draw 40" in page.get_by_role("status").inner_text()
    # Sliders stand where z is, beyond their first ends too.
    z = torch.linspace(-4.5, 4.5, model.latent_dim)
    ask(page, "latent-explorer", "e.show(a)", z.tolist())
    thumbs = page.locator(".latent-explorer input")
    places = thumbs.evaluate_all("all => all.map((i) => i.valueAsNumber)")
    assert sorted(places) == pytest.approx(z.tolist(), abs=0.026)


@pytest.mark.browser
def test_mouse_drags_and_axes_change_places(page, exported):
    order = by_rate(exported)
    box = page.locator(".explorer-pad").bounding_box()
    x, y, side = box["x"], box["y"], box["width"]
    page.mouse.move(x + side / 2, y + side / 2)
    page.mouse.down()
    page.mouse.move(x + side * 0.75, y + side * 0.25, steps=4)
    assert z_of(page)[order[:2]].tolist() == pytest.approx([1.5, 1.5], abs=0.05)
    page.mouse.move(x + side * 3, y + side * 0.5)  # a drag that leaves the pad goes on
    assert z_of(page)[order[:2]].tolist() == pytest.approx([3, 0], abs=0.05)
    page.mouse.up()
    page.mouse.move(x + side / 2, y + side / 2)
    assert z_of(page)[order[0]] == 3

    page.get_by_label("Across").select_option(f"z[{order[1]}]")
    assert page.get_by_label("Up", exact=True).input_value() == str(order[0])
    page.locator(".explorer-pad").focus()
    before = z_of(page)
    page.keyboard.press("ArrowLeft")
    assert (z_of(page) - before)[order[1]].item() == pytest.approx(-0.1)


@pytest.mark.browser
def test_a_finger_moves_the_point_and_not_the_page(open_page, exported):
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    order = by_rate(exported)
    box = page.locator(".explorer-pad").bounding_box()
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [
            {"x": box["x"] + a * box["width"], "y": box["y"] + b * box["height"]} for a, b in places
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.5, 0.9))
    for step in range(1, 9):
        touch("touchMove", (0.5 - step * 0.03, 0.9 - step * 0.09))
    touch("touchEnd")
    assert z_of(page)[order[:2]].tolist() == pytest.approx([-1.44, 1.92], abs=0.08)
    assert page.evaluate("scrollY") == 0
    page.close()


# --- the KL explorer -----------------------------------------------------------------------------


def pairs(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random knobs in their ranges, ``[n, 4]``, and the two normals that they mean."""
    low, high = tensor([-3, -4, -3, -4]), tensor([3, 2, 3, 2])
    knobs = low + (high - low) * torch.rand(n, 4, dtype=float64)
    q, p = (Normal(knobs[:, i], (knobs[:, i + 1] / 2).exp()) for i in (0, 2))
    return knobs, q, p


SET_KL = "e.set({ mu: a[0], logvar: a[1] }, { mu: a[2], logvar: a[3] });"


@pytest.mark.browser
def test_divergences_are_those_of_torch(laptop):
    knobs, q, p = pairs(200)
    code = f"return a.map((a) => {{ {SET_KL} return e.values().exact }})"
    exact = torch.tensor(ask(laptop, "kl-explorer", code, knobs.tolist()), dtype=float64)
    wanted = torch.stack([kl_divergence(q, p), kl_divergence(p, q)], -1)
    torch.testing.assert_close(exact, wanted, atol=1e-6, rtol=1e-12)
    by_hand = 0.5 * (
        knobs[:, 3] - knobs[:, 1]
        + (knobs[:, 1].exp() + (knobs[:, 0] - knobs[:, 2]) ** 2) / knobs[:, 3].exp() - 1
    )  # fmt: skip
    torch.testing.assert_close(exact[:, 0], by_hand, atol=1e-6, rtol=1e-12)
    cells = laptop.locator(".kl-explorer tbody tr td:nth-of-type(1)").all_inner_texts()
    assert cells == [f"{value:.3f}" for value in wanted[-1].tolist()]  # what was set last


@pytest.mark.browser
def test_the_area_that_is_drawn_is_the_divergence(laptop):
    for knobs in ([1.0, -1.5, 0.0, 0.0], [-0.5, 0.3, 1.0, -1.0], [0.0, 0.0, 0.0, 0.0]):
        now = ask(laptop, "kl-explorer", f"{SET_KL} return e.values()", knobs)
        z = tensor(now["z"])
        areas = torch.trapezoid(tensor(now["integrands"]), z)
        torch.testing.assert_close(areas, tensor(now["exact"]), atol=2e-3, rtol=0)
        q, p = (Normal(knobs[i], math.exp(knobs[i + 1] / 2)) for i in (0, 2))
        wanted = torch.stack([q.log_prob(z).exp(), p.log_prob(z).exp()])
        torch.testing.assert_close(tensor(now["densities"]), wanted)


@pytest.mark.browser
def test_estimates_have_the_mean_and_error_of_their_draws(page):
    page.locator(".kl-explorer select").select_option("10000")
    noise = ask(page, "kl-explorer", "return e.noise")
    noise = {name: tensor(eps) for name, eps in noise.items()}
    for eps in noise.values():
        assert len(eps) == 10_000
        assert abs(eps.mean()) < 0.04 and abs(eps.var() - 1) < 0.06
        assert abs((eps**4).mean() - 3) < 0.4
        share = Normal(0.0, 1.0).cdf(eps.sort().values)
        gap = (share - (torch.arange(10_000) + 0.5) / 10_000).abs().max()
        assert gap < 1.63 / 100  # Kolmogorov and Smirnov, 1 %
    assert abs(torch.corrcoef(torch.stack(list(noise.values())))[0, 1]) < 0.04

    knobs = [0.4, -0.6, -0.2, 0.1]
    now = ask(page, "kl-explorer", f"{SET_KL} return e.values()", knobs)
    q, p = (Normal(tensor(knobs[i]), math.exp(knobs[i + 1] / 2)) for i in (0, 2))
    cases = (q, p, noise["q"]), (p, q, noise["p"])
    for got, (a, b, eps) in zip(now["estimates"], cases, strict=True):
        z = a.mean + a.stddev * eps
        wanted = estimate(a.log_prob(z) - b.log_prob(z))
        assert got["mean"] == pytest.approx(wanted.mean, abs=1e-9)
        assert got["se"] == pytest.approx(wanted.se, abs=1e-9)
        assert abs(got["mean"] - kl_divergence(a, b)) < 4 * got["se"]

    page.locator(".kl-explorer").get_by_role("button", name="draw again").click()
    again = ask(page, "kl-explorer", "return e.noise")
    assert again["q"] != noise["q"].tolist()


# --- the reparameterization explorer -------------------------------------------------------------

FUNCTIONS = {
    "white": explainers.white_pixel,
    "square": lambda z: z**2,
    "wave": lambda z: torch.sin(10 * z),
}


def shown_values(page, function: str, mu: float, logvar: float) -> dict:
    code = "e.choose(a[0]); e.set(a[1], a[2]); return e.values()"
    return ask(page, "reparameterization-explorer", code, [function, mu, logvar])


@pytest.mark.browser
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("mu", "logvar"), [(0.5, -0.5), (-2.0, 1.2), (3.0, -4.0)])
def test_draws_and_gradients_are_those_of_autograd(laptop, function, mu, logvar):
    now = shown_values(laptop, function, mu, logvar)
    eps = explainers._eps()
    assert now["eps"] == eps.tolist()  # the eight of the notebook
    f = FUNCTIONS[function]
    mus, logvars = (torch.full((8,), v, dtype=float64, requires_grad=True) for v in (mu, logvar))
    z = mus + (logvars / 2).exp() * eps
    torch.testing.assert_close(tensor(now["z"]), z.detach())
    torch.testing.assert_close(tensor(now["f"]), f(z).detach())
    path = grad(f(z).sum(), (mus, logvars))
    fixed = z.detach()
    log_q = Normal(mus, (logvars / 2).exp()).log_prob(fixed)
    score = [f(fixed) * s for s in grad(log_q.sum(), (mus, logvars))]
    for name, wanted in (("pathwise", path), ("score function", score)):
        got = tensor(now["draws"][name])
        torch.testing.assert_close(got, torch.stack(list(wanted)), atol=1e-8, rtol=1e-8)
        for shown, values in zip(now["estimates"][name], wanted, strict=True):
            assert shown["mean"] == pytest.approx(estimate(values).mean)
            assert shown["se"] == pytest.approx(estimate(values).se)


@pytest.mark.browser
@pytest.mark.parametrize(("mu", "logvar"), [(0.5, -0.5), (-1.0, 1.0), (2.0, -3.0)])
def test_exact_derivatives_and_spreads(laptop, mu, logvar):
    variance = math.exp(logvar)
    damped = math.exp(-50 * variance)
    exact = {
        "white": [g.item() for g in explainers.exact_gradient(mu, logvar)],
        "square": [2 * mu, variance],
        "wave": [10 * math.cos(10 * mu) * damped, -50 * variance * math.sin(10 * mu) * damped],
    }
    for function, wanted in exact.items():
        now = shown_values(laptop, function, mu, logvar)["exact"]
        for name in ("pathwise", "score function"):  # both estimators are unbiased
            means = [moment["mean"] for moment in now[name]]
            assert means == pytest.approx(wanted, abs=1e-6), (function, name)
        ratios = [(now["score function"][k]["sd"] / now["pathwise"][k]["sd"]) ** 2 for k in (0, 1)]
        if function == "square":
            assert now["pathwise"][0]["sd"] == pytest.approx(2 * math.sqrt(variance))
            # E[z^4 e^2] / v - (2 mu)^2 for the score function
            second = (mu**4 + 18 * mu**2 * variance + 15 * variance**2) / variance
            assert now["score function"][0]["sd"] ** 2 == pytest.approx(second - 4 * mu**2)
            assert ratios[0] > 1
        if function == "wave" and logvar > -1:
            assert max(ratios) < 1  # what the page says about functions that turn fast


@pytest.mark.browser
def test_noise_stays_until_it_is_drawn_anew(page):
    place = page.locator(".reparameterization-explorer")
    first = ask(page, "reparameterization-explorer", "return e.values()")
    fixed = "[...document.querySelectorAll('.explorer-eps')].map((d) => d.getAttribute('cx'))"
    dots = page.evaluate(fixed)
    place.get_by_label("mean of q").fill("1.5")
    now = ask(page, "reparameterization-explorer", "return e.values()")
    assert now["eps"] == first["eps"] and page.evaluate(fixed) == dots
    shifts = [b - a for a, b in zip(first["z"], now["z"], strict=True)]
    assert shifts == pytest.approx([1.0] * 8)
    place.get_by_role("button", name="draw new ε").click()
    assert page.evaluate(fixed) != dots
    place.get_by_role("button", name="back to the start").click()
    assert ask(page, "reparameterization-explorer", "return e.values()") == first


# --- what is seen and heard ----------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("theme", BACKGROUND)
@pytest.mark.parametrize("viewport", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_everything_fits_and_can_be_read(open_page, theme, viewport):
    page = open_page(theme, viewport)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    outside = page.evaluate(
        """() => [...document.querySelectorAll(".explorer *")].filter((e) => {
          const frame = e.closest(".explorer").getBoundingClientRect();
          const { left, right, width } = e.getBoundingClientRect();
          return !e.closest("svg") && width && (left < frame.left - 1 || right > frame.right + 1);
        }).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert outside == []
    texts = (
        ".explorer-readout, .explorer-note, .explorer-value, .explorer-table th, .explorer button"
    )
    colors = {
        "text": computed(page, texts, "color") | computed(page, ".explorer-plot text", "fill"),
        "marks": computed(page, ".line.q, .line.p, .explorer-arrow", "stroke")
        | computed(page, ".explorer-here, .explorer-draw", "fill"),
    }
    assert all(map(len, colors.values()))
    for kind, least in (("text", 4.5), ("marks", 3.0)):  # WCAG 2.1, 1.4.3 and 1.4.11
        for color in colors[kind]:
            assert contrast(color, BACKGROUND[theme]) >= least, (kind, color)
    sizes = page.evaluate(
        """() => [...document.querySelectorAll(".explorer svg text")].map((t) => {
          const { a } = t.getScreenCTM(), b = t.getScreenCTM().b;
          return Math.hypot(a, b) * parseFloat(getComputedStyle(t).fontSize);
        })"""
    )
    assert min(sizes) >= 9.5  # CSS pixels
    page.close()


def computed(page, selector: str, name: str) -> set[str]:
    """The values of a property that all these elements have."""
    code = "(all, name) => all.map((e) => getComputedStyle(e)[name])"
    return set(page.locator(selector).evaluate_all(code, name))


def contrast(one: str, other: str) -> float:
    """The contrast of two colors as WCAG 2.1 defines it."""

    def luminance(color: str) -> float:
        if color.startswith("#"):
            parts = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        else:
            parts = [float(part) for part in color[color.index("(") + 1 : -1].split(",")[:3]]
        shares = [part / 255 for part in parts]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    a, b = sorted((luminance(one), luminance(other)), reverse=True)
    return (a + 0.05) / (b + 0.05)


@pytest.mark.browser
def test_pictures_and_controls_have_names(laptop):
    nameless = laptop.evaluate(
        """() => {
          const kinds = ":is(input, select, button, canvas, svg)";
          const all = document.querySelectorAll(`.explorer ${kinds}`);
          const named = (e) => e.getAttribute("aria-label") || e.labels?.length
            || (e.tagName === "BUTTON" && e.textContent.trim());
          return [...all].filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 80));
        }"""
    )
    assert nameless == []
    assert not laptop.get_by_text("still picture").count()


@pytest.mark.browser
def test_a_notebook_keeps_the_picture_that_it_stored(browser, folder):
    html = (folder / "light.html").read_text(encoding="utf-8")
    cell = '<div class="cell_output"><div class="kl-explorer"><p>still picture</p></div></div>'
    name = folder / "cell.html"
    name.write_text(html.split("<body")[0] + f"<body>{cell}", encoding="utf-8")
    page = browser.new_page()
    page.goto(name.as_uri())
    page.locator('[data-explorer="ready"]').wait_for()
    assert not page.get_by_text("still picture").is_visible()
    page.locator("summary").click()
    assert page.get_by_text("still picture").is_visible()
    page.close()


@pytest.mark.browser
def test_without_the_weights_the_still_picture_stays(browser, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "weights" / "decoder.js").unlink()
    page = browser.new_page()
    page.goto((tmp_path / "copy" / "light.html").as_uri())
    place = page.locator('.latent-explorer[data-explorer="failed"]')
    place.wait_for()
    assert "still picture" in place.inner_text()
    assert "weights of its decoder could not be loaded" in place.inner_text()
    assert page.locator('.kl-explorer[data-explorer="ready"]').count() == 1
    page.close()


# --- the command ---------------------------------------------------------------------------------


def test_the_command_makes_the_file_from_its_seed(exported):
    """Bit for bit on one machine with one number of threads; elsewhere sums are rounded otherwise
    and a run of training ends near, not at, the same weights."""
    x = export_decoder.held_out()
    again = export_decoder.export(export_decoder.train(), x, exported["made"])
    assert {k: again[k] for k in ("made", "height", "width", "latents", "activation")} == {
        k: exported[k] for k in ("made", "height", "width", "latents", "activation")
    }
    assert again["loss"]["elbo"] == pytest.approx(exported["loss"]["elbo"], abs=1.5)
    assert sum(again["rates"]) == pytest.approx(sum(exported["rates"]), abs=0.75)
    assert sorted(again["rates"]) == pytest.approx(sorted(exported["rates"]), abs=0.35)


def test_the_command_takes_a_checkpoint(tmp_path, capsys):
    vae = mlp_vae(latent_dim=4, hidden=(7, 5), activation="tanh")
    torch.nn.init.constant_(vae.encoder[-1].bias, 1.0)  # untrained, and yet its latents are active
    path = tmp_path / "run.pt"
    write_checkpoint(path, {"spec": vae.spec, "result": vae.state_dict()})
    out = [tmp_path / name for name in ("a.js", "b.js")]
    for name in out:
        assert export_decoder.main([str(path), "--out", str(name)]) == 0
    assert out[0].read_bytes() == out[1].read_bytes()
    said = capsys.readouterr().out
    assert f"{out[0].stat().st_size:,} bytes" in said and "ELBO" in said

    content = export_decoder.read(out[0])
    assert content["made"] == {"checkpoint": "run.pt"} and content["activation"] == "tanh"
    layers = [layer for layer in vae.decoder if isinstance(layer, torch.nn.Linear)]
    for layer, packed in zip(layers, content["layers"], strict=True):
        weight, bias = export_decoder.unpack(packed)
        assert torch.equal(bias, layer.bias)
        half_a_step = layer.weight.abs().amax(1, keepdim=True) / 127 / 2
        assert ((weight - layer.weight).abs() <= half_a_step * 1.001).all()
        assert len(weight.unique()) > 10


def test_models_that_the_page_cannot_run_are_refused(tmp_path, capsys):
    for vae, word in (
        (conv_vae(), "model"),
        (mlp_vae(likelihood="gaussian"), "likelihood"),
        (mlp_vae(prior="mixture"), "prior"),
        (mlp_vae(activation="gated"), "activation"),
        (mlp_vae((3, 28, 28)), "channels"),
    ):
        path = tmp_path / "run.pt"
        write_checkpoint(path, {"spec": vae.spec, "result": vae.state_dict()})
        assert export_decoder.main([str(path), "--out", str(tmp_path / "no.js")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and word in error and error.count("\n") == 1
        assert not (tmp_path / "no.js").exists()
    assert export_decoder.main([str(tmp_path / "none.pt"), "--out", str(tmp_path / "no.js")]) == 2
