"""The diffusion model as a hierarchical VAE: its ELBO is the one of any VAE."""

from __future__ import annotations

import math

import pytest
import torch

from course_lib import bounds
from course_lib.checkpoints import load_model
from course_lib.evaluation import estimate, evaluate
from course_lib.models.diffusion import diffusion_vae, one_step_loss
from course_lib.models.hierarchical import layer_rates
from course_lib.training import fit

SHAPE = (1, 1, 2)


def small(steps: int = 4):
    torch.manual_seed(0)
    return diffusion_vae(SHAPE, steps, hidden=8).double().eval()


def images(count: int) -> torch.Tensor:
    return torch.bernoulli(torch.full((count, *SHAPE), 0.5, dtype=torch.float64))


def test_noise_added_step_by_step_is_the_posterior():
    """q(z_0|x) q(z_1|z_0) ... and q(z_T|x) q(z_{T-1}|z_T, x) ... are one density."""
    model, x = small(), images(6)
    q, forward = model.posterior(x), model.noising(x)
    for z in (q.sample((3,)), forward.sample((3,))):
        torch.testing.assert_close(q.log_prob(z), forward.log_prob(z), rtol=1e-6, atol=1e-6)


def test_each_layer_is_the_image_with_noise():
    model, x = small(), images(1)
    z = model.posterior(x).sample((20_000,))[:, 0]
    pm = 2 * x.flatten() - 1
    for t, layer in enumerate(z.split(model.sizes, -1)):
        sigma = model.core.sigma[t].item()
        error = sigma / math.sqrt(len(z))
        assert ((layer.mean(0) - model.core.alpha[t] * pm).abs() < 5 * error).all()
        assert ((layer.std(0) / sigma - 1).abs() < 5 / math.sqrt(2 * len(z))).all()


def test_the_loss_of_one_step_estimates_the_elbo_of_any_vae():
    model, x = small(), images(1)
    with torch.no_grad():
        many = x.expand(40_000, *SHAPE)
        one, terms = -one_step_loss(model, many), bounds.terms(model, many).elbo
    error = math.hypot(one.std() / 200, terms.std() / 200)
    assert abs(one.mean() - terms.mean()) < 5 * error
    assert error < 0.15


def test_bounds_stay_below_the_evidence_of_its_own_samples():
    """With 2 binary pixels p(x) of the four images is the share of the samples."""
    model = small()
    torch.manual_seed(1)
    drawn = model.sample(40_000).flatten(1)
    every = torch.cartesian_prod(*2 * [torch.tensor([0.0, 1.0], dtype=torch.float64)])
    share = torch.stack([(drawn == row).all(1).double().mean() for row in every])
    report = evaluate(model, every.reshape(4, *SHAPE), num_samples=5000)
    error = ((1 - share) / share / len(drawn)).sqrt()
    assert (report.elbo < share.log()).all()
    assert (report.iwae < share.log() + 5 * error + 0.05).all()
    assert (report.iwae > report.elbo + 1).all()


def test_the_rates_of_the_layers_add_up():
    model, x = small(), images(5)
    torch.manual_seed(3)
    rates = layer_rates(model, x, 500).detach()
    assert rates.shape == (5, 5)
    report = evaluate(model, x, num_samples=4000)
    assert abs(rates.sum(0).mean() - report.rate.mean()) < 0.5
    # The noisiest layer is almost the prior; a KL averaged over draws is not negative.
    assert rates[-1].max() < 0.2 and rates.mean(1).min() > -0.1


def test_it_trains_samples_and_is_kept(tmp_path):
    torch.manual_seed(0)
    x = (torch.rand(600, 1, 1, 1) < 0.5).float().expand(-1, 1, 2, 3).clone()
    model = diffusion_vae((1, 2, 3), 10, hidden=32)
    options = {"epochs": 20, "batch_size": 20, "lr": 5e-3, "progress": False}
    run = fit(model, x, objective=one_step_loss, **options, checkpoint=tmp_path / "a.pt")
    report = evaluate(run.model, x[:100], num_samples=20)
    assert math.log(2) - 0.1 < -estimate(report.iwae).mean < 3 * math.log(2)
    drawn = load_model(tmp_path / "a.pt").sample(200).flatten(1)
    assert (drawn == drawn[:, :1]).all(1).double().mean() > 0.6  # by chance 1 of 32


def test_what_it_cannot_do_gets_a_sentence():
    with pytest.raises(TypeError, match="no code of an image"):
        small().reconstruct(images(2))
    with pytest.raises(ValueError, match="steps is 0"):
        diffusion_vae(steps=0)


def test_grey_images_get_the_words_of_any_bernoulli(tmp_path):
    grey, model = torch.rand(20, *SHAPE), diffusion_vae(SHAPE, 2, hidden=4)
    with pytest.warns(UserWarning, match="grey pixels"):
        run = fit(model, grey, epochs=1, progress=False, checkpoint=tmp_path / "a.pt")
    with pytest.raises(ValueError, match="grey pixels"):
        evaluate(run.model, grey, num_samples=2)
    assert load_model(tmp_path / "a.pt").head.binary
