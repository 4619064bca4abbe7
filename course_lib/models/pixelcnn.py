"""PixelCNN: an autoregressive model of grids, of image pixels or of the codes of a VQ-VAE.

Sources: van den Oord et al. 2016 (arXiv 1601.06759), section 3, for the order and the masks; van
den Oord et al. 2016 (arXiv 1606.05328), section 2, for the gates and the two stacks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions import constraints

from course_lib.errors import check_whole

__all__ = ["GridDistribution", "PixelCNN"]


class PixelCNN(nn.Module):
    """log p(x) = sum over r, c of log p(x[r, c] | all rows above, and the row up to c - 1).

    A convolution sees only what comes before if its kernel stops there. One stack of such kernels
    has a blind spot: what lies above to the right is never reached. So there are two. The
    *vertical* stack reads the rows above in full width; the *horizontal* one reads its own row to
    the left, and takes in the vertical one. Padding and cropping do what masks would.

    Args:
        num_codes: K, the values of a place: 2 for binary images.
        grid: ``(H, W)``.
        width: channels.
        layers: gated layers; each reaches one row further up and one column to either side, so
            ``layers >= max(H, W)`` lets every place see all that come before.
    """

    def __init__(self, num_codes: int, grid: Sequence[int], width: int = 32, layers: int = 5):
        super().__init__()
        self.num_codes = check_whole(num_codes, "num_codes", 2)
        height, across = grid
        self.grid = check_whole(height, "the height"), check_whole(across, "the width")
        width, layers = check_whole(width, "width"), check_whole(layers, "layers")
        self.embedding = nn.Embedding(self.num_codes, width)
        self.layers = nn.ModuleList(_Gated(width) for _ in range(layers))
        self.out = nn.Sequential(
            nn.SiLU(), nn.Conv2d(width, width, 1), nn.SiLU(), nn.Conv2d(width, num_codes, 1)
        )

    def forward(self) -> GridDistribution:
        """Return the distribution over flattened grids, as a model's ``prior`` is called."""
        return GridDistribution(self)

    def logits(self, codes: Tensor) -> Tensor:
        """Return the logits of every place given those before it, ``[B, K, H, W]``.

        Args:
            codes: int64 ``[B, H, W]``, 0 to K - 1.
        """
        self._check(codes)
        return self.from_embedded(self._embed(codes))

    def from_embedded(self, e: Tensor) -> Tensor:
        """Return the same from codes that are vectors already, ``[B, width, H, W]``.

        The derivative in ``e`` shows which places an output depends on.
        """
        return self._horizontal(e, self._vertical(e))

    def log_prob(self, codes: Tensor) -> Tensor:
        """Return the exact log p(codes) for int64 ``[..., H, W]``, ``[...]`` in nats: one pass."""
        flat = codes.reshape(-1, *codes.shape[-2:])
        log_p = -F.cross_entropy(self.logits(flat), flat, reduction="none")
        return log_p.sum((1, 2)).reshape(codes.shape[:-2])

    @torch.no_grad()
    def sample(self, num: int) -> Tensor:
        """Draw int64 ``[num, H, W]``, place by place: H W passes, each over what it depends on."""
        (height, across), reach = self.grid, len(self.layers) + 1
        device = self.embedding.weight.device
        codes = torch.zeros(check_whole(num, "num"), height, across, dtype=torch.int64).to(device)
        for r in range(height):
            # The rows above are drawn, so their part is the same for the whole row.
            above = self._vertical(self._embed(codes[:, max(0, r - reach) : r + 1]))
            above = [v[:, :, -1:] for v in above]
            for c in range(across):
                part = slice(max(0, c - reach), c + 1)
                e = self._embed(codes[:, r : r + 1, part])
                logits = self._horizontal(e, [v[..., part] for v in above])[:, :, 0, -1]
                codes[:, r, c] = td.Categorical(logits=logits, validate_args=False).sample()
        return codes

    def _embed(self, codes: Tensor) -> Tensor:
        return self.embedding(codes).movedim(-1, 1)

    def _vertical(self, e: Tensor) -> list[Tensor]:
        """What each layer knows of the rows above, ``[B, 2 width, H, W]`` each."""
        v, above = F.pad(e, (0, 0, 1, 0))[:, :, :-1], []  # row r of v holds row r - 1
        for layer in self.layers:
            above.append(layer.vertical(F.pad(v, (1, 1, 1, 0))))
            v = _gate(above[-1])
        return above

    def _horizontal(self, e: Tensor, above: list[Tensor]) -> Tensor:
        """The logits, from the row itself up to the column before and what is known from above."""
        h = F.pad(e, (1, 0))[..., :-1]  # column c of h holds column c - 1
        for layer, known in zip(self.layers, above, strict=True):
            beside = layer.horizontal(F.pad(h, (1, 0))) + layer.across(known)
            h = h + layer.mix(_gate(beside))
        return self.out(h)

    def _check(self, codes: Tensor) -> None:
        if not isinstance(codes, Tensor) or codes.dtype != torch.int64:
            found = codes.dtype if isinstance(codes, Tensor) else type(codes).__name__
            raise TypeError(
                f"codes is {found}; int64 [B, H, W] was expected. Binary images [B, 1, H, W] "
                "become codes with x[:, 0].long()."
            )
        if codes.dim() != 3 or tuple(codes.shape[1:]) != self.grid:
            raise ValueError(
                f"codes has shape {list(codes.shape)}; grids [B, {self.grid[0]}, {self.grid[1]}] "
                "were expected."
            )
        low, high = codes.aminmax() if codes.numel() else (0, 0)
        if low < 0 or high >= self.num_codes:
            raise ValueError(
                f"codes go from {int(low)} to {int(high)}; 0 to {self.num_codes - 1} was expected."
            )


class _Gated(nn.Module):
    """The weights of one layer of both stacks; the vertical one feeds the horizontal one."""

    def __init__(self, width: int):
        super().__init__()
        self.vertical = nn.Conv2d(width, 2 * width, (2, 3))  # of the row and the one above it
        self.horizontal = nn.Conv2d(width, 2 * width, (1, 2))  # of the column and the one before
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.mix = nn.Conv2d(width, width, 1)


def _gate(a: Tensor) -> Tensor:
    filtered, gate = a.chunk(2, dim=1)
    return torch.tanh(filtered) * torch.sigmoid(gate)


class GridDistribution(td.Distribution):
    """A PixelCNN over grids that are flattened: batch shape ``[]``, event shape ``[H W]``."""

    arg_constraints: dict = {}  # noqa: RUF012
    support = constraints.independent(constraints.nonnegative_integer, 1)
    has_rsample = False

    def __init__(self, network: PixelCNN):
        self.network = network
        height, across = network.grid
        super().__init__(torch.Size(), torch.Size([height * across]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of int64 ``[..., H W]``, ``[...]`` in nats."""
        return self.network.log_prob(value.unflatten(-1, self.network.grid))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        shape = torch.Size(sample_shape)
        return self.network.sample(max(1, shape.numel())).reshape(*shape, *self.event_shape)
