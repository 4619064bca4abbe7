"""The same numbers on CUDA as on the CPU, to float32's tolerance."""

import pytest
import torch

from course_lib import bounds
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
    stop = tmp_path / "stop.pt"
    runs = []
    for epochs in (4, 4):
        torch.manual_seed(0)
        runs.append(
            fit(
                mlp_vae(),
                x,
                epochs=epochs,
                device="cuda",
                progress=False,
                checkpoint=stop,
                resume=True,
            )
        )
    assert runs[0].history == runs[1].history
