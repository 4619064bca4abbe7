"""What the neighbours are built from: a plain network and a masked layer."""

from itertools import pairwise

from torch import Tensor, nn

__all__ = ["Masked", "dense"]


def dense(*widths: int, zero: bool = False) -> nn.Sequential:
    """Return linear layers of these widths with a SiLU between each two.

    Args:
        widths: of the input, the hidden layers and the output.
        zero: let the last layer begin at zero, so that the network's output does.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    if zero:
        nn.init.zeros_(layers[-2].weight)
        nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])


class Masked(nn.Linear):
    """A linear layer that keeps only the connections where ``mask: [out, in]`` is true."""

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.mask, self.bias)
