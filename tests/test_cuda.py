"""The same numbers on CUDA as on the CPU, to float32's tolerance."""

import pytest
import torch

from course_lib import bounds
from course_lib.checkpoints import read_checkpoint
from course_lib.models import LIKELIHOODS, conv_vae, mlp_vae
from course_lib.training import fit

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("make", [mlp_vae, conv_vae])
@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
def test_densities_and_gradients_agree(make, likelihood):
    torch.manual_seed(0)
    model = make(likelihood=likelihood)
    x = torch.rand(16, 1, 28, 28).round()
    z = torch.randn(16, 20)

    def parts(device):
        model.to(device).zero_grad()
        q = model.posterior(x.to(device))
        log_px_z = model.likelihood(z.to(device)).log_prob(x.to(device))
        rate = torch.distributions.kl_divergence(q, model.prior())
        (rate - log_px_z).mean().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        return log_px_z.cpu(), rate.cpu(), gradient.cpu()

    for a, b in zip(parts("cpu"), parts("cuda"), strict=True):
        scale = a.abs().max()
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=2e-3)


def test_training_runs_and_learns_on_cuda():
    torch.manual_seed(0)
    x = (torch.rand(2000, 1, 28, 28) < 0.1).float()
    result = fit(mlp_vae(), x, epochs=3, device="cuda", progress=False, ema=0.9)
    first, last = result.history[0], result.history[-1]
    assert last["valid_loss"] < first["valid_loss"] - 5
    assert next(result.model.parameters()).is_cuda
    assert bounds.elbo(result.model, x[:4].cuda()).is_cuda


def test_a_resumed_run_is_the_unbroken_one_on_cuda(tmp_path):
    x = (torch.rand(500, 1, 28, 28) < 0.1).float()

    def train(**options):
        torch.manual_seed(0)
        return fit(mlp_vae(), x, epochs=4, device="cuda", progress=False, **options)

    def stop(model, row):
        if row["epoch"] == 2:
            raise InterruptedError

    whole, path = train(), tmp_path / "stop.pt"
    with pytest.raises(InterruptedError):
        train(checkpoint=path, after_epoch=stop)
    assert read_checkpoint(path)["epoch"] == 2
    resumed = train(checkpoint=path, resume=True)
    for a, b in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [row | {"seconds": 0} for row in resumed.history] == [
        row | {"seconds": 0} for row in whole.history
    ]


def noiseless(model, x):
    q = model.posterior(x)
    rate = torch.distributions.kl_divergence(q, model.prior())
    return rate - model.likelihood(q.mean).log_prob(x)


@pytest.mark.parametrize("compile", [False, True])
def test_a_recorded_step_is_the_step(compile):
    """The same batches without noise: as eager training, the short last batch included."""
    x = (torch.rand(500, 1, 28, 28) < 0.1).float()
    runs = []
    for graph in (False, True):
        torch.manual_seed(0)
        options = {"epochs": 3, "batch_size": 64, "clip_norm": 1.0, "ema": 0.9, "validation": 50}
        runs.append(
            fit(
                mlp_vae(), x, objective=noiseless, graph=graph, compile=compile and graph,
                device="cuda", progress=False, **options,
            )
        )  # fmt: skip
    for a, b in zip(*(r.model.parameters() for r in runs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    for a, b in zip(*(r.history for r in runs), strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second GPU")
def test_a_step_is_recorded_on_the_gpu_of_the_model():
    """Also where another GPU is the current one, whose random state is not the model's."""
    x, losses = (torch.rand(256, 1, 28, 28) < 0.1).float(), []
    for device in ("cuda:0", "cuda:1"):
        torch.manual_seed(0)
        options = {"epochs": 3, "batch_size": 64, "validation": 0}
        result = fit(mlp_vae(), x, graph=True, device=device, progress=False, **options)
        losses.append([row["train_loss"] for row in result.history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_replayed_step_draws_new_noise():
    seen = []

    def noisy(model, x):
        eps = torch.randn((), device="cuda")
        seen.append(eps)
        return noiseless(model, x) + 0 * x.sum((1, 2, 3)) + eps

    x = (torch.rand(256, 1, 28, 28) < 0.1).float()
    options = {"epochs": 4, "batch_size": 256, "validation": 0, "lr": 1e-12}
    result = fit(
        mlp_vae(), x, objective=noisy, graph=True, device="cuda", progress=False, **options
    )
    losses = [row["train_loss"] for row in result.history]
    assert max(losses) - min(losses) > 0.05  # weights stand still, so it is the noise


def test_what_asks_for_a_value_can_not_be_recorded():
    def asks(model, x):
        loss = noiseless(model, x)
        return loss if loss.sum().item() > 0 else -loss

    x = (torch.rand(128, 1, 28, 28) < 0.1).float()
    with pytest.raises(ValueError, match="graph=True: the step can't be recorded"):
        fit(mlp_vae(), x, objective=asks, graph=True, epochs=1, device="cuda", progress=False)


def test_bf16_agrees_with_float32_to_its_precision():
    """One epoch from the same weights: the losses differ by less than 1 %."""
    x = (torch.rand(2000, 1, 28, 28) < 0.1).float()
    losses = []
    for bf16 in (False, True):
        torch.manual_seed(0)
        result = fit(mlp_vae(), x, epochs=3, bf16=bf16, device="cuda", progress=False)
        losses.append(result.history[-1]["valid_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
