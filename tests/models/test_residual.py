"""The residual VAE: its shapes, how it starts, and activations that are computed twice."""

import pytest
import torch

from course_lib import bounds
from course_lib.checkpoints import load_model
from course_lib.models import LIKELIHOODS, build, residual_vae
from course_lib.models.residual import ResidualBlock, Segment
from course_lib.training import fit


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def small(shape=(3, 16, 16), **options):
    return residual_vae(shape, **{"latent_dim": 3, "width": 4, "blocks": 1} | options)


def levels(*shape, dtype=torch.float32):
    """Images of 8-bit pixels."""
    return torch.randint(256, shape).to(dtype) / 255


@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 28, 28), (3, 33, 20), (3, 64, 64), (2, 9, 50)], ids=str
)
def test_parts_are_distributions_with_declared_events(shape, likelihood):
    model = small(shape, likelihood=likelihood)
    x = torch.rand(2, *shape).round()
    assert model.prior().batch_shape == () and model.prior().event_shape == (3,)
    assert model.posterior(x).batch_shape == (2,) and model.posterior(x).event_shape == (3,)
    p = model.likelihood(torch.randn(2, 1, 3))
    assert p.batch_shape == (2, 1) and p.event_shape == shape
    assert p.sample().shape == p.mean.shape == (2, 1, *shape)
    assert bounds.terms(model, x).elbo.isfinite().all()
    assert model.sample(3).shape == (3, *shape) and model.reconstruct(x).shape == x.shape


def test_images_are_halved_to_about_four_and_channels_double_up_to_eight_times():
    model = residual_vae(width=16, blocks=3)
    x, seen = levels(1, 3, 64, 64), []
    for layer in model.encoder:
        x = layer(x)
        seen += [tuple(x.shape[1:])] if isinstance(layer, torch.nn.Conv2d) else []
    assert seen == [(16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4)]
    both = [m for m in model.modules() if isinstance(m, ResidualBlock)]
    assert len(both) == 2 * 4 * 3
    deep = residual_vae((3, 256, 256), width=2)
    widths = [m.out_channels for m in deep.encoder if isinstance(m, torch.nn.Conv2d)]
    assert widths == [2, 4, 8, 16, 16, 16]


@pytest.mark.parametrize("channels", [1, 6, 16, 20, 32])
def test_a_block_starts_as_the_identity_and_learns_to_be_none(channels):
    block = ResidualBlock(channels)
    x = torch.randn(2, channels, 5, 3)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block[-1].weight.grad.abs().max() > 0


def test_an_image_does_not_depend_on_its_batch_or_on_the_mode():
    """No statistics over the batch: one image at a time, in training or not, is the same."""
    model = small(width=16).double()
    for p in model.parameters():  # the blocks are no identities
        p.data.add_(0.1 * torch.randn_like(p))
    x = levels(4, 3, 16, 16, dtype=torch.float64)
    mu = model.encode(x)[0]
    params = model.decode(mu)
    model.eval()
    for i in range(4):
        alone = model.encode(x[i : i + 1])[0]
        torch.testing.assert_close(alone[0], mu[i], rtol=0, atol=1e-12)
        torch.testing.assert_close(model.decode(alone)[0], params[i], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [8, 64])
def test_the_posterior_starts_near_the_prior_and_pixels_in_the_middle(size):
    model = residual_vae((3, size, size), width=16)
    x = levels(16, 3, size, size)
    mu, logvar = model.encode(x)
    assert mu.abs().max() < 0.5 and logvar.abs().max() < 0.5
    params = model.decode(torch.randn(16, 64))
    assert params.square().mean().sqrt() < 0.2
    # Small, and still telling one image and one latent from another.
    assert mu.std(0).mean() > 1e-3 and params.std(0).mean() > 1e-3


def test_signals_keep_their_size_through_the_decoder():
    model = residual_vae((3, 64, 64), width=16)
    x = torch.randn(8, 64)
    for layer in model.decoder[:-1]:
        x = layer(x)
        assert 0.4 < x.square().mean().sqrt() < 2.5


def gradients(model, x):
    """Loss and gradients of one step, and the random state after it."""
    torch.manual_seed(1)
    loss = -bounds.terms(model, x).elbo.mean()
    grads = torch.autograd.grad(loss, list(model.parameters()))
    return [loss.detach(), *grads], torch.get_rng_state()


def pair(dtype=torch.float64, **options):
    """The same weights with activation checkpointing and without."""
    plain, twice = (small(checkpoint=c, **options).to(dtype) for c in (False, True))
    for p in plain.parameters():
        p.data.add_(0.1 * torch.randn_like(p))
    twice.load_state_dict(plain.state_dict())
    return plain, twice


@pytest.mark.parametrize("prior", ["standard", "vamp"])
def test_computing_twice_changes_no_value_no_gradient_and_no_random_number(prior):
    plain, twice = pair(prior=prior, components=2, blocks=2)
    x = levels(3, 3, 16, 16, dtype=torch.float64)
    (expected, state), (found, state_twice) = gradients(plain, x), gradients(twice, x)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-12 * max(1.0, a.abs().max().item()))
    assert torch.equal(state, state_twice)


def saved_bytes(model, x):
    """Bytes that wait for the backward pass, each storage counted once, weights not."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(t):
        storage = t.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        # What was counted is held, or another tensor could get its address.
        terms = bounds.terms(model, x)
    assert terms.elbo.requires_grad
    return sum(size for place, size in kept.items() if place not in weights)


def test_computing_twice_keeps_less():
    plain, twice = pair(torch.float32, shape=(3, 32, 32), width=16, blocks=2)
    x = levels(4, 3, 32, 32)
    assert saved_bytes(twice, x) < 0.5 * saved_bytes(plain, x)
    # In evaluation mode nothing is computed twice.
    assert saved_bytes(twice.eval(), x) == saved_bytes(plain.eval(), x)


def test_blocks_run_twice_in_training_with_gradients_and_else_once(monkeypatch):
    model = small(checkpoint=True)
    x, calls = levels(2, 3, 16, 16), []
    forward = torch.nn.GroupNorm.forward
    monkeypatch.setattr(
        torch.nn.GroupNorm, "forward", lambda self, x: calls.append(1) or forward(self, x)
    )

    def count(action):
        calls.clear()
        action()
        return len(calls)

    norms = sum(isinstance(m, torch.nn.GroupNorm) for m in model.modules())
    assert count(lambda: bounds.terms(model, x).elbo.sum().backward()) == 2 * norms
    with torch.no_grad():
        assert count(lambda: bounds.terms(model, x)) == norms
    model.eval()
    assert count(lambda: bounds.terms(model, x).elbo.sum().backward()) == norms


def test_fit_learns_and_its_file_makes_the_model_again(tmp_path):
    """Images of eight colors: the loss falls, and the means begin to tell the colors apart."""
    x = (torch.rand(64, 3, 1, 1) > 0.5).float().expand(64, 3, 8, 8) * 0.8 + 0.1
    x = (x * 255).round() / 255
    losses = []
    for checkpoint, bf16 in ((False, False), (True, False), (True, True)):
        torch.manual_seed(0)
        model = small((3, 8, 8), width=8, checkpoint=checkpoint)
        path = tmp_path / f"{checkpoint}{bf16}.pt"
        result = fit(
            model, x, epochs=15, batch_size=8, lr=1e-2, validation=0, bf16=bf16, device="cpu",
            checkpoint=path, progress=False,
        )  # fmt: skip
        losses.append([row["train_loss"] for row in result.history])
        assert losses[-1][-1] < 0.85 * losses[-1][0]
        assert (result.model.reconstruct(x) - x).square().mean() < 0.5 * x.var()
        again = load_model(path)
        assert again.spec == model.spec and again.spec["checkpoint"] is checkpoint
        segments = [m for m in again.modules() if isinstance(m, Segment)]
        assert segments and all(m.checkpoint is checkpoint for m in segments)
        torch.testing.assert_close(again.encode(x), result.model.encode(x), rtol=0, atol=0)
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-3)
    assert losses[2][0] == pytest.approx(losses[0][0], rel=0.02)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_autocast_leaves_densities_in_float32(checkpoint):
    model = small(checkpoint=checkpoint)
    with torch.autocast("cpu", torch.bfloat16):
        terms = bounds.terms(model, levels(2, 3, 16, 16))
    assert terms.distortion.dtype == terms.rate.dtype == torch.float32
    terms.elbo.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_build_makes_the_same_model():
    model = small((2, 9, 12), likelihood="gaussian", prior="mixture", components=3)
    again = build(model.spec)
    again.load_state_dict(model.state_dict())
    x = torch.rand(2, 2, 9, 12)
    torch.testing.assert_close(again.encode(x), model.encode(x), rtol=0, atol=0)
    assert again.spec == model.spec and again.learned_prior is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (3, 7, 64)}, r"height and width from 8 up .* conv_vae"),
        ({"image_shape": (64, 64)}, "channels, height, width"),
        ({"latent_dim": 0}, "latent_dim is 0"),
        ({"width": 2.5}, "width is 2.5"),
        ({"blocks": 0}, "blocks is 0; a whole number from 1 up"),
        ({"likelihood": "discretised_logistic"}, "Did you mean 'discretized_logistic'"),
        ({"prior": "vampp"}, "Did you mean 'vamp'"),
    ],
)
def test_bad_input_gets_a_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        residual_vae(**options)


def test_checkpoint_is_true_or_false():
    with pytest.raises(TypeError, match="checkpoint is 'run.pt'; True or False"):
        residual_vae(checkpoint="run.pt")
