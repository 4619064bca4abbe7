"""VQ-VAE: the rounding and its gradient, the codebook, and a bound that enumeration confirms."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from course_lib import bounds
from course_lib.checkpoints import load_model
from course_lib.compression import compress
from course_lib.evaluation import evaluate
from course_lib.models import build
from course_lib.models.vector_quantized import (
    VQVAE,
    PointMass,
    perplexity,
    prior_objective,
    quantize,
    vq_loss,
    vq_objective,
    vq_vae,
)
from course_lib.training import fit

SHAPE = (1, 8, 8)  # a grid of 2 x 2 codes


def small(**options) -> VQVAE:
    return vq_vae(SHAPE, num_codes=3, code_dim=2, width=3, prior_width=4, prior_layers=2, **options)


def binary(count=6):
    return (torch.rand(count, *SHAPE) < 0.4).double()


# The functions of the exercise


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quantize_takes_the_nearest_row_and_passes_the_gradient_straight_through(dtype):
    z = torch.randn(7, 3, dtype=dtype, requires_grad=True)
    codebook = torch.randn(5, 3, dtype=dtype, requires_grad=True)
    z_q, indices = quantize(z, codebook)
    by_hand = [min(range(5), key=lambda k: ((row - codebook[k]) ** 2).sum().item()) for row in z]
    assert indices.dtype == torch.int64 and indices.tolist() == by_hand
    torch.testing.assert_close(z_q, codebook[indices])
    weights = torch.randn(7, 3, dtype=dtype)
    (z_q * weights).sum().backward()
    assert torch.equal(z.grad, weights) and codebook.grad is None


def test_the_two_terms_of_the_loss_and_their_gradients():
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    codes = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    loss = vq_loss(z, codes, 0.3)
    error = (z - codes).square().mean()
    torch.testing.assert_close(loss, 1.3 * error)
    loss.backward()
    slope = 2 * (z - codes).detach() / z.numel()
    torch.testing.assert_close(z.grad, 0.3 * slope)  # commitment only
    torch.testing.assert_close(codes.grad, -slope)  # codebook term only


def test_perplexity():
    assert perplexity(torch.tensor([3, 3, 3]), 5) == 1
    assert math.isclose(perplexity(torch.arange(8).reshape(2, 4), 8), 8)
    assert math.isclose(perplexity(torch.arange(4).repeat(3), 100), 4)
    skewed = torch.tensor([0, 0, 0, 1])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert math.isclose(perplexity(skewed, 2), math.exp(entropy))


# The model keeps the contract


@pytest.mark.parametrize("prior", ["uniform", "pixelcnn"])
def test_the_bound_is_below_the_exact_log_p_x_by_enumeration(prior):
    """log p(x) = log sum_z p(z) p(x|z) over all 81 grids; q is one of them, so the gap is
    -log p(z|x) at the code: exact equality, not only an inequality."""
    model, x = small(prior=prior).double().eval(), binary()
    grids = torch.tensor(list(product(range(3), repeat=4)))
    with torch.no_grad():
        log_joint = model.prior().log_prob(grids)[:, None] + model.likelihood(
            grids[:, None].expand(-1, len(x), -1)
        ).log_prob(x)
        exact, bound = log_joint.logsumexp(0), bounds.elbo(model, x)
        own = log_joint[:, torch.arange(len(x))].gather(0, _row(model.codes(x))[None])[0]
    assert (bound < exact).all()
    torch.testing.assert_close(bound, own)
    posterior = (own - exact).exp()
    torch.testing.assert_close(exact - bound, -posterior.log())
    report = evaluate(model, x, num_samples=3)
    torch.testing.assert_close(report.elbo, bound)
    torch.testing.assert_close(report.iwae, bound)  # every draw is the same
    if prior == "uniform":
        torch.testing.assert_close(report.rate, torch.full_like(bound, 4 * math.log(3)))


def _row(codes):
    return (codes * 3 ** torch.arange(3, -1, -1)).sum(1)


def test_shapes_of_the_three_distributions():
    model, x = small(prior="pixelcnn").double(), binary(5)
    q, p = model.posterior(x), model.prior()
    assert (q.batch_shape, q.event_shape) == ((5,), (4,))
    assert (p.batch_shape, p.event_shape) == ((), (4,))
    z = q.sample((2,))
    assert z.shape == (2, 5, 4) and (q.log_prob(z) == 0).all()
    assert (q.log_prob((z + 1) % 3) == -torch.inf).all()
    d = model.likelihood(z)
    assert (d.batch_shape, d.event_shape) == ((2, 5), SHAPE)
    assert model.sample(3).shape == (3, *SHAPE) and set(model.sample(3).unique().tolist()) <= {0, 1}
    assert torch.equal(model.reconstruct(x), model.likelihood(model.codes(x)).mean)
    assert model.features(x).shape == (5, 4, 2)


def test_rows_of_the_codebook_stand_where_the_encoder_put_them():
    """A decoder that copies shows that no axis was scrambled on the way through the codes."""
    copy, scale = torch.nn.Identity(), torch.nn.UpsamplingNearest2d(scale_factor=1)
    head = small().head
    model = VQVAE(copy, scale, head, (2, 3), 6, 2, (2, 2, 3)).double()
    x = torch.arange(12.0, dtype=torch.float64).reshape(1, 2, 2, 3)
    with torch.no_grad():
        model.codebook.copy_(x[0].flatten(1).T)
    assert model.codes(x).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert torch.equal(model.decode(model.codes(x)), x)


def test_training_through_the_bounds_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match="PointMass.*no gradient"):
        fit(small(), binary(40).float(), epochs=1, progress=False)
    with pytest.raises(TypeError, match="no mu and logvar"):
        small().encode(torch.zeros(1, *SHAPE))
    with pytest.raises(TypeError, match="int64"):
        small().likelihood(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="uniform prior, which has no weights"):
        prior_objective(small(), torch.zeros(1, *SHAPE))
    with pytest.raises(TypeError, match="prior|posterior"):
        compress(small(), binary(2).float())


# Its training


def test_the_objective_is_the_distortion_and_the_terms_of_vq_loss():
    model, x = small(decay=None).double().eval(), binary()
    z = model.features(x)
    codes = model.codebook[model.codes(x)]
    distortion = -model.likelihood(model.codes(x)).log_prob(x)
    each = (z - codes).square().sum((1, 2))
    torch.testing.assert_close(vq_objective(model, x), distortion + 1.25 * each)
    torch.testing.assert_close(1.25 * each.mean(), vq_loss(z, codes, 0.25) * z[0].numel())
    vq_objective(model, x).sum().backward()
    rows = model.codebook.grad  # the codebook learns from its own term alone
    slope = 2 * (codes - z).detach().flatten(0, 1)
    expected = torch.zeros_like(rows).index_add_(0, model.codes(x).flatten(), slope)
    torch.testing.assert_close(rows, expected)
    assert all(p.grad.abs().sum() > 0 for p in model.encoder.parameters())


def test_the_moving_averages_are_those_of_the_paper():
    model = small(decay=0.9, revive=False).double()
    kept = model.codebook[2].clone()
    usage, sums = torch.zeros(3).double(), torch.zeros(3, 2).double()
    for _ in range(3):
        z, k = torch.randn(50, 2, dtype=torch.float64), torch.randint(2, (50,))  # the third: unused
        model.update_usage(z, k)
        one_hot = F.one_hot(k, 3).double()
        usage = 0.9 * usage + 0.1 * one_hot.sum(0)
        sums = 0.9 * sums + 0.1 * one_hot.T @ z
    torch.testing.assert_close(model.codebook[:2], (sums / usage[:, None])[:2])
    assert torch.equal(model.codebook[2], kept)


def test_bf16_leaves_the_codebook_in_float32():
    model, z = small(decay=0.9), torch.randn(200, 2)
    near = z[:1] + 1e-3 * torch.randn(50, 2)  # in 16 bits all would be one code
    indices = quantize(near, near)[1]
    twin = small(decay=0.9)
    twin.load_state_dict(model.state_dict())
    chosen = torch.randint(3, (200,))
    model.update_usage(z, chosen)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantize(near, near)[1], indices)
        twin.update_usage(z, chosen)
    assert torch.equal(twin.codebook, model.codebook)
    x = binary(40).float()
    history = fit(model, x, objective=vq_objective, bf16=True, epochs=1, progress=False).history
    assert math.isfinite(history[0]["train_loss"])


def test_unused_codes_move_to_outputs_of_the_batch_and_used_ones_stay():
    model = small().double()
    z = torch.randn(30, 2, dtype=torch.float64)
    model.usage.copy_(torch.tensor([10.0, 0.1, 9.0]))  # a fair share is 10
    before = model.codebook.clone()
    model.revive_codes(z)
    assert torch.equal(model.codebook[[0, 2]], before[[0, 2]])
    assert (z == model.codebook[1]).all(1).any() and model.usage[1] == 1
    torch.testing.assert_close(model.sums[1], model.codebook[1])
    few = vq_vae(SHAPE, num_codes=50, code_dim=2, width=3)
    few.revive_codes(torch.randn(8, 2))  # fewer outputs than codes
    assert few.codebook.unique(dim=0).shape[0] == 8


def test_codes_are_revived_where_no_code_is():
    """Of 1,000 outputs 990 are paper and lie where a living code is; drawn evenly, 3 of 3 codes
    would land there almost always."""
    model = vq_vae(SHAPE, num_codes=4, code_dim=2, width=3).double()
    z = torch.zeros(1000, 2, dtype=torch.float64)
    z[:990] += 0.001 * torch.randn(990, 2, dtype=torch.float64)
    z[990:993, 0], z[993:997, 1], z[997:, 0] = 1.0, 1.0, -1.0
    with torch.no_grad():
        model.codebook[2] = 0.0
    model.usage[2] = 250
    model.revive_codes(z)
    found = model.codebook.round().tolist()
    assert sorted(found) == [[-1, 0], [0, 0], [0, 1], [1, 0]]


def test_codes_die_without_the_cure_and_live_with_it():
    """Codes that start far from all outputs are never chosen, and so never move."""
    x = (torch.rand(200, *SHAPE) < torch.rand(200, 1, 1, 1)).float()
    used = {}
    for revive in (False, True):
        torch.manual_seed(0)
        model = vq_vae(SHAPE, num_codes=16, code_dim=2, width=4, revive=revive)
        with torch.no_grad():
            model.codebook += 10.0
        fit(model, x, objective=vq_objective, epochs=3, batch_size=40, progress=False)
        used[revive] = perplexity(model.codes(x), 16)
    assert used[False] < 2 < 6 < used[True]


def test_validation_and_the_prior_leave_the_codes_alone(tmp_path):
    x = binary(80).float()
    model = small(prior="pixelcnn")
    fit(model, x, objective=vq_objective, epochs=2, progress=False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    vq_objective(model.eval(), x)
    assert torch.equal(model.usage, before["usage"])
    fit(model, x, objective=prior_objective, epochs=2, progress=False, checkpoint=tmp_path / "a.pt")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("learned_prior"), name
    again = load_model(tmp_path / "a.pt")
    assert torch.equal(bounds_of(again, x), bounds_of(model, x))


def bounds_of(model, x):
    with torch.no_grad():
        return bounds.elbo(model, x)


def test_specs_and_bad_input():
    model = small(prior="pixelcnn", decay=None, revive=False)
    again = build(model.spec)
    assert again.spec == model.spec and again.codebook.requires_grad
    assert vq_vae((3, 9, 5)).sample(2).shape == (2, 3, 9, 5)
    with pytest.raises(ValueError, match="Did you mean 'pixelcnn'"):
        vq_vae(prior="pixelcn")
    with pytest.raises(ValueError, match="decay is 1"):
        vq_vae(decay=1.0)
    with pytest.raises(ValueError, match="num_codes is 1"):
        vq_vae(num_codes=1)
    assert isinstance(model.posterior(binary(1).float()), PointMass)
