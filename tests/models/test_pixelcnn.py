"""PixelCNN: nothing sees itself or what comes after, all before is seen, probabilities sum to 1."""

from itertools import product

import pytest
import torch

from course_lib.models.pixelcnn import GridDistribution, PixelCNN
from course_lib.training import fit


def shaken(num_codes=3, grid=(2, 3), width=6, layers=3):
    """A model in float64 with weights so large that its density is far from uniform."""
    model = PixelCNN(num_codes, grid, width, layers).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.4 * torch.randn_like(p))
    return model


def every_grid(num_codes, grid):
    """All grids there are, int64 ``[K^(H W), H, W]``."""
    values = list(product(range(num_codes), repeat=grid[0] * grid[1]))
    return torch.tensor(values).reshape(-1, *grid)


def seen_from(model, r, c):
    """Which places the logits of place (r, c) depend on, bool ``[H, W]``, by gradients."""
    codes = torch.randint(model.num_codes, (1, *model.grid))
    e = model.embedding(codes).movedim(-1, 1).detach().requires_grad_()
    logits = model.from_embedded(e)
    torch.testing.assert_close(logits, model.logits(codes))
    logits[0, :, r, c].square().sum().backward()
    return e.grad[0].abs().sum(0) > 0


@pytest.mark.parametrize("grid", [(5, 5), (2, 6), (6, 3), (1, 4)])
def test_each_place_sees_all_that_come_before_and_nothing_else(grid):
    """With as many layers as the longer side: causal, and without a blind spot."""
    model = shaken(grid=grid, layers=max(grid))
    order = torch.arange(grid[0] * grid[1]).reshape(grid)
    for r, c in product(*map(range, grid)):
        assert torch.equal(seen_from(model, r, c), order < order[r, c]), (r, c)


def test_few_layers_see_a_whole_rectangle():
    model = shaken(grid=(7, 9), layers=2)
    seen = seen_from(model, 5, 4)
    expected = torch.zeros(7, 9, dtype=torch.bool)
    expected[2:5, 2:7] = True  # three rows up, two columns to either side
    expected[5, 1:4] = True
    assert torch.equal(seen, expected)


@pytest.mark.parametrize(("num_codes", "grid"), [(3, (2, 3)), (2, (3, 3)), (5, (3, 1))])
def test_probabilities_of_all_grids_sum_to_one(num_codes, grid):
    log_p = shaken(num_codes, grid).log_prob(every_grid(num_codes, grid))
    assert log_p.exp().std() * len(log_p) > 0.3  # far from uniform, which would hide a mistake
    torch.testing.assert_close(log_p.exp().sum().item(), 1.0, rtol=0, atol=1e-10)


def test_density_is_that_of_the_chain_rule():
    """Each conditional read from the marginals of the joint table of all grids."""
    model = shaken(2, (2, 2))
    grids = every_grid(2, (2, 2))
    table = model.log_prob(grids).exp().reshape(2, 2, 2, 2).detach()
    marginals = [table.sum((1, 2, 3)), table.sum((2, 3)), table.sum(3), table]
    logits = model.logits(grids).log_softmax(1).exp().detach()
    for i, g in enumerate(grids):
        a, b, c, _ = g.flatten().tolist()
        first, second, third, fourth = logits[i].permute(1, 2, 0).reshape(4, 2)
        torch.testing.assert_close(first, marginals[0])
        torch.testing.assert_close(second, marginals[1][a] / marginals[0][a])
        torch.testing.assert_close(third, marginals[2][a, b] / marginals[1][a, b])
        torch.testing.assert_close(fourth, marginals[3][a, b, c] / marginals[2][a, b, c])


@pytest.mark.parametrize(("num_codes", "grid", "layers"), [(2, (2, 2), 3), (3, (1, 3), 1)])
def test_sampler_follows_the_density(num_codes, grid, layers):
    """Pearson's chi-square: its mean is its degrees of freedom, its variance twice that."""
    model, n = shaken(num_codes, grid, layers=layers), 20_000
    p = model.log_prob(every_grid(num_codes, grid)).exp().detach()
    weights = num_codes ** torch.arange(grid[0] * grid[1] - 1, -1, -1)
    counts = torch.bincount((model.sample(n).flatten(1) * weights).sum(1), minlength=len(p))
    chi2, freedom = ((counts - n * p) ** 2 / (n * p)).sum(), len(p) - 1
    assert chi2 < freedom + 5 * (2 * freedom) ** 0.5


def test_the_sampler_looks_at_a_window_and_draws_what_the_whole_grid_says():
    """On a grid much larger than the reach of its layers, against the slow sampler."""
    model = shaken(3, (5, 6), layers=1)
    torch.manual_seed(1)
    drawn, slow = model.sample(7), torch.zeros(7, 5, 6, dtype=torch.int64)
    torch.manual_seed(1)
    for r, c in product(range(5), range(6)):
        logits = model.logits(slow)[:, :, r, c]
        slow[:, r, c] = torch.distributions.Categorical(logits=logits).sample()
    assert torch.equal(drawn, slow) and len(drawn.flatten(1).unique(dim=0)) == 7


def test_as_a_prior_it_is_a_distribution_over_flattened_grids():
    model = shaken(3, (2, 3))
    p = model()
    assert isinstance(p, GridDistribution)
    assert (p.batch_shape, p.event_shape) == (torch.Size([]), torch.Size([6]))
    z = p.sample((4, 2))
    assert z.shape == (4, 2, 6) and z.dtype == torch.int64 and p.sample().shape == (6,)
    expected = model.log_prob(z.reshape(8, 2, 3)).reshape(4, 2)
    torch.testing.assert_close(p.log_prob(z), expected)


def test_it_learns_a_rule_that_only_the_place_above_to_the_right_tells():
    """x[1, c] = x[0, c + 1], and all else is a coin: the true entropy is known, and a blind spot
    there would cost ln 2 for each such place."""
    x = (torch.rand(4000, 1, 2, 6) < 0.5).float()
    x[:, 0, 1, :-1] = x[:, 0, 0, 1:]
    model = PixelCNN(2, (2, 6), 8, 2)

    def loss(model, x):
        return -model.log_prob(x[:, 0].long())

    row = fit(model, x, objective=loss, epochs=6, lr=1e-2, progress=False).history[-1]
    entropy = 7 * torch.log(torch.tensor(2.0)).item()
    assert entropy - 0.05 < row["valid_loss"] < entropy + 0.15


def test_bad_input_gets_a_sentence():
    model = PixelCNN(3, (2, 3), 4, 1)
    with pytest.raises(TypeError, match="int64 .* was expected"):
        model.log_prob(torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match=r"shape \[1, 3, 2\]"):
        model.log_prob(torch.zeros(1, 3, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="0 to 3; 0 to 2"):
        model.log_prob(torch.tensor([[[0, 1, 2], [3, 0, 0]]]))
    with pytest.raises(ValueError, match="num_codes is 1"):
        PixelCNN(1, (2, 3))
