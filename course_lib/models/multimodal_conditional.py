"""One modality given others, as a model with a prior, a posterior and a likelihood of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributions as td

from course_lib.models.multimodal import MultimodalVAE

__all__ = ["Conditional"]


class Conditional(nn.Module):
    r"""What cross generation draws from: z from q(z|given), then x from p(x|z). A model as well.

    Its prior is q(z|given), its posterior q(z|x, given), its likelihood p(x|z) of the target, so
    that ``evaluate(conditional, x, *given)`` bounds the log of int q(z|given) p(x|z) dz from below.
    That is the density of what ``sample`` draws. It is log p(x|given) of the model only where
    q(z|given) is the model's own posterior.

    Args:
        model: the joint model, whose weights are shared.
        target: the name of the modality x.
        given: the names of those that are known.
    """

    def __init__(self, model: MultimodalVAE, target: str, *given: str):
        super().__init__()
        if not given or target in given:
            raise ValueError(
                f"target is {target!r} and given are {list(given)}; at least one other modality "
                "was expected to be given."
            )
        self.known, self.both = model.only(*given), model.only(target, *given)
        self.target = self.both.modalities[target]
        self.head = self.both.head

    def prior(self, *context: Tensor) -> td.Distribution:
        """q(z|given): batch shape ``[B]``, event shape ``[L]``."""
        return self.known.posterior(*context)

    def posterior(self, x: Tensor, *context: Tensor) -> td.Distribution:
        """q(z|x, given): batch shape ``[B]``, event shape ``[L]``."""
        return self.both.posterior(x, *context)

    def likelihood(self, z: Tensor, *context: Tensor) -> td.Distribution:
        """p(x|z) of the target alone."""
        return self.target.likelihood(z)

    @torch.no_grad()
    def sample(self, *context: Tensor) -> Tensor:
        """Draw one x for each row of what is given."""
        return self.likelihood(self.prior(*context).sample()).sample()
