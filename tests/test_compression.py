"""Bits-back coding: exact, at the rate of the ELBO, and strict with what it is given."""

import math

import pytest
import torch
from torch import distributions as td
from torch import nn

from course_lib.compression import compress, decompress, model_identity
from course_lib.data.strokes import draw
from course_lib.distributions import DiscretizedLogistic
from course_lib.evaluation import evaluate
from course_lib.models import VAE, conv_vae, likelihoods, mlp_vae
from course_lib.training import fit

pytest.importorskip("constriction")
SHAPE = (1, 8, 8)


def trained(likelihood="bernoulli", prior="standard"):
    """A small model that has learned something, and images that it has not seen."""
    torch.manual_seed(0)
    images = draw(1400, size=8).images.float() / 255
    if likelihood == "bernoulli":
        images = images.round()
    model = mlp_vae(SHAPE, 4, (32,), likelihood=likelihood, prior=prior)
    fit(model, images[:1000], epochs=60, progress=False)
    return model, images[1000:]


@pytest.mark.parametrize(
    ("likelihood", "prior"),
    [("bernoulli", "standard"), ("bernoulli", "mixture"), ("discretized_logistic", "standard")],
)
def test_round_trip_is_exact_and_costs_the_elbo(likelihood, prior):
    model, x = trained(likelihood, prior)
    coded = compress(model, x)
    assert torch.equal(decompress(model, coded.data), x)
    assert coded.num_images == 400 and coded.num_dims == 64
    assert coded.bits_per_dim == 8 * len(coded.data) / (400 * 64)
    report = evaluate(model, x, num_samples=200)
    bits = -report.elbo.mean().item() / math.log(2)
    assert coded.header_bits == 8 * (len(coded.data) - payload_bytes(coded.data))
    # The payload without the bits that were made up, beside -ELBO; the coder's state is 64 bits.
    spent = 8 * payload_bytes(coded.data) - coded.initial_bits
    assert abs(spent - 400 * bits) < 0.02 * 400 * bits + 64


def payload_bytes(data: bytes) -> int:
    from course_lib.compression import _read

    return len(_read(data)[1])


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("max_group", [1, 3])
@pytest.mark.parametrize("shape", [SHAPE, (3, 5, 7)])
def test_few_images_and_any_groups(count, max_group, shape):
    torch.manual_seed(0)
    model = conv_vae(shape, 3, width=4, hidden=8)
    x = (torch.rand(count, *shape) < 0.5).float()
    assert torch.equal(decompress(model, compress(model, x, max_group=max_group).data), x)


def test_the_worst_images_are_coded_too():
    """All black, all white and noise under a model that is sure of something else."""
    model, _ = trained()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    x = torch.cat([torch.zeros(2, *SHAPE), torch.ones(2, *SHAPE), torch.rand(4, *SHAPE).round()])
    assert torch.equal(decompress(model, compress(model, x).data), x)


def test_latents_far_from_every_component_of_the_prior_are_coded_in_time():
    """A narrow mixture far from the codes: cells with next to no room are found at once."""
    torch.manual_seed(0)
    model = mlp_vae(SHAPE, 3, (8,), prior="mixture", components=3)
    with torch.no_grad():
        model.learned_prior.means.fill_(3.0)
        model.learned_prior.log_scales.fill_(-5.0)
    x = (torch.rand(20, *SHAPE) < 0.5).float()
    assert torch.equal(decompress(model, compress(model, x).data), x)


def test_a_wide_prior_costs_no_more():
    """Codes and components several units from zero, where N(0, 1) has no cells left."""
    torch.manual_seed(0)
    images = draw(1400, size=8).images.float().div(255).round()
    model = mlp_vae(SHAPE, 4, (32,), prior="mixture", components=20)
    with torch.no_grad():
        for weights in (model.learned_prior.means, model.encoder[-1].weight):
            weights.mul_(10)
        model.learned_prior.log_scales.add_(math.log(10))
    fit(model, images[:1000], epochs=60, progress=False)
    x = images[1000:]
    assert model.posterior(x).mean.std(0).max() > 4
    coded = compress(model, x)
    assert torch.equal(decompress(model, coded.data), x)
    bits = -evaluate(model, x, num_samples=200).elbo.sum().item() / math.log(2)
    spent = 8 * payload_bytes(coded.data) - coded.initial_bits
    assert abs(spent - bits) < 0.02 * bits + 64


def test_a_model_with_dropout_is_coded_in_evaluation_mode():
    torch.manual_seed(0)
    wide = nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 8)
    back = nn.Linear(4, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, 64)
    networks = nn.Sequential(nn.Flatten(), *wide), nn.Sequential(*back, nn.Unflatten(-1, SHAPE))
    model = VAE(*networks, likelihoods.Bernoulli(), 4, SHAPE).train()
    x = (torch.rand(40, *SHAPE) < 0.5).float()
    assert torch.equal(decompress(model, compress(model, x).data), x)


def test_chances_of_the_bits_multiply_to_the_probability_of_a_pixel():
    from course_lib.compression import _WIDTHS, _upper_half

    loc = torch.tensor([[-0.3, 0.02, 0.5, 0.9, 1.4]], dtype=torch.float64)
    for log_scale in (-5.0, -3.0, 0.0):
        p = DiscretizedLogistic(loc, torch.full_like(loc, log_scale))
        for level in (0, 1, 127, 128, 254, 255):
            total = torch.zeros_like(loc)
            for width in _WIDTHS:
                low = level // (2 * width) * (2 * width)
                chance = _upper_half(p, torch.full_like(loc, low).long(), width)
                total += torch.log(chance if level - low >= width else 1 - chance)
            expected = p.log_prob(torch.full_like(loc, level / 255))
            likely = expected > -20  # below, 1 - chance has lost its digits, and the grid rules
            torch.testing.assert_close(total[likely], expected[likely], rtol=1e-6, atol=1e-6)


def test_damage_and_other_models_are_refused():
    model, x = trained()
    data = compress(model, x[:20]).data
    for bad in (data[:-1], data[: len(data) // 2], data[:30], data + b"x"):
        with pytest.raises(ValueError, match="truncated or altered"):
            decompress(model, bad)
    for place in (40, len(data) // 2, len(data) - 3):
        altered = bytearray(data)
        altered[place] ^= 4
        with pytest.raises(ValueError, match="truncated or altered"):
            decompress(model, bytes(altered))
    for other in (b"", b"PNG", data[3:]):
        with pytest.raises(ValueError, match="not written by compress"):
            decompress(model, other)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    with pytest.raises(ValueError, match="only the checkpoint that coded it"):
        decompress(model, data)


def test_the_model_is_left_as_it_was():
    model, x = trained()
    model.train()
    before = model_identity(model), torch.random.get_rng_state()
    compress(model, x[:3])
    assert model.training and next(model.parameters()).dtype == torch.float32
    assert model_identity(model) == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_it_can_be_read_with_another_number_of_threads():
    model, x = trained("discretized_logistic")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        data = compress(model, x[:50]).data
        torch.set_num_threads(2)
        assert torch.equal(decompress(model, data), x[:50])
    finally:
        torch.set_num_threads(threads)


def test_bad_input_gets_a_sentence():
    model = mlp_vae(SHAPE, 2, (4,))
    x = torch.rand(2, *SHAPE)
    with pytest.raises(ValueError, match="pixels in between; this likelihood expects 0 or 1"):
        compress(model, x)
    with pytest.raises(ValueError, match="expects multiples of 1/255"):
        compress(mlp_vae(SHAPE, 2, (4,), likelihood="discretized_logistic"), x)
    with pytest.raises(ValueError, match=r"was trained on images \[N, 1, 8, 8\]"):
        compress(model, torch.zeros(2, 1, 8, 9))
    with pytest.raises(TypeError, match="likelihood is Gaussian, and bits are about discrete"):
        compress(mlp_vae(SHAPE, 2, (4,), likelihood="gaussian"), x)
    with pytest.raises(ValueError, match="max_group is 0"):
        compress(model, x.round(), max_group=0)
    odd = mlp_vae(SHAPE, 2, (4,))
    odd.prior = lambda: td.Independent(td.Laplace(torch.zeros(2), torch.ones(2)), 1)
    with pytest.raises(TypeError, match="independent normals were expected"):
        compress(odd, x.round())
    levels = mlp_vae(SHAPE, 2, (4,), likelihood="discretized_logistic")
    levels.head = likelihoods.DiscretizedLogistic(16)
    with pytest.raises(TypeError, match="16 levels; this coder knows 2 and 256"):
        compress(levels, x.round())
    with pytest.raises(TypeError, match="the bytes of a file were expected"):
        decompress(model, compress(model, x.round()))


@pytest.mark.parametrize("part", ["encoder.1", "decoder.0", "learned_prior"])
def test_a_broken_model_gets_a_sentence(part):
    model = mlp_vae(SHAPE, 2, (4,), prior="mixture", components=3)
    with torch.no_grad():
        next(model.get_submodule(part).parameters()).fill_(math.nan)
    with pytest.raises(ValueError, match="returns NaN or infinity"):
        compress(model, torch.zeros(2, *SHAPE))
