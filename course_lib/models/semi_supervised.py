"""M2: a conditional VAE whose labels are latent where they are not given, with a classifier q(y|x).

The model is p(y) p(z) p(x|y,z) with p(y) uniform over C classes; q(y,z|x) = q(y|x) q(z|x,y).

Source: Kingma et al. 2014 (arXiv 1406.5298), sections 2 and 3; eq. numbers below are theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributions as td

from course_lib import bounds
from course_lib.data import binarize as binarize_images
from course_lib.errors import check_images, check_number, check_rows, check_whole
from course_lib.models.conditional import ConditionalVAE, conditional_vae
from course_lib.models.conditions import Labels
from course_lib.models.vae import check_shape, check_widths, dense, full_precision, initialize

__all__ = ["SemiSupervisedVAE", "m2_objective", "semi_supervised_vae"]


class SemiSupervisedVAE(ConditionalVAE):
    """A conditional VAE on labels, and a classifier that says them where nobody else does.

    ``prior``, ``posterior`` and ``likelihood`` take the labels ``y: [B]`` as context, as in any
    conditional VAE; with them, :func:`course_lib.bounds.terms` is the bound on log p(x|y).

    Args:
        classifier: images ``[B, pixels]`` to the logits of q(y|x), ``[B, num_classes]``.
        encoder, decoder, likelihood, latent_dim, image_shape: as for ``ConditionalVAE``.
        num_classes: C.
    """

    def __init__(
        self,
        classifier: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        latent_dim: int,
        image_shape: Sequence[int],
        num_classes: int = 10,
    ):
        condition = Labels(num_classes)
        super().__init__(encoder, decoder, likelihood, latent_dim, image_shape, condition)
        self.classifier, self.num_classes = classifier, condition.num_classes

    def classify(self, x: Tensor) -> td.Categorical:
        """q(y|x) for ``x: [B, C, H, W]``: batch shape ``[B]``."""
        self._check_images(x)
        return td.Categorical(logits=full_precision(self.classifier(x.flatten(1))))

    def labeled_bound(self, x: Tensor, y: Tensor) -> Tensor:
        """One-draw estimate of a bound on log p(x, y), ``[B]`` in nats (eq. 6, sign turned).

        That is the ELBO of x given y, plus log p(y) = -log C.
        """
        self._check_given(y)
        return bounds.terms(self, x, y).elbo - math.log(self.num_classes)

    def unlabeled_bound(self, x: Tensor) -> Tensor:
        """One-draw estimate of a bound on log p(x), ``[B]`` in nats (eq. 7, sign turned).

        sum_y q(y|x) labeled_bound(x, y) + H(q(y|x)): the sum over y is exact, so that a gradient
        reaches the classifier without draws of y. All C classes of all images go through the
        networks as one batch of B C rows.
        """
        q_y = self.classify(x)
        rows, classes = len(x), self.num_classes
        y = torch.arange(classes, device=x.device).repeat(rows)
        given_y = self.labeled_bound(x.repeat_interleave(classes, 0), y).reshape(rows, classes)
        return (q_y.probs * given_y).sum(1) + q_y.entropy()

    @torch.no_grad()
    def predict(self, x: Tensor, batch_size: int = 1000) -> Tensor:
        """Return the likeliest class of any number of images, int64 ``[N]``, on the CPU."""
        device = self.prior_mean.device
        parts = [self.classify(part.to(device)).logits.argmax(1) for part in x.split(batch_size)]
        return torch.cat(parts).cpu()

    def _check_given(self, y: Tensor) -> None:
        if isinstance(y, Tensor) and not torch.compiler.is_compiling() and (y < 0).any():
            raise ValueError(
                "A label is -1, which says nothing; labels were expected. For images without one "
                "there is unlabeled_bound(x)."
            )


def semi_supervised_vae(
    image_shape: Sequence[int] = (1, 28, 28),
    num_classes: int = 10,
    latent_dim: int = 50,
    hidden: Sequence[int] = (500,),
    likelihood: str = "bernoulli",
) -> SemiSupervisedVAE:
    """Return an M2 model of fully connected layers: 784-500-50 and back, as Kingma et al. have it.

    Args:
        image_shape: ``(C, H, W)``.
        num_classes: how many.
        latent_dim: L, of z.
        hidden: widths of the hidden layers of encoder and classifier; the decoder mirrors them.
        likelihood: a name in ``LIKELIHOODS``.
    """
    shape, hidden = check_shape(image_shape), check_widths(hidden)
    if check_whole(num_classes, "num_classes") < 2:
        raise ValueError(f"num_classes is {num_classes}; at least 2 classes were expected.")
    vae = conditional_vae(Labels(num_classes), shape, latent_dim, hidden, likelihood)
    classifier = initialize(nn.Sequential(*dense(math.prod(shape), *hidden, num_classes)))
    networks = classifier, vae.encoder, vae.decoder
    return SemiSupervisedVAE(*networks, vae.head, vae.latent_dim, shape, num_classes)


def m2_objective(
    x_labeled: Tensor,
    y_labeled: Tensor,
    alpha: float,
    *,
    weight: float = 1.0,
    batch_size: int = 100,
    binarize: bool = False,
) -> Callable[[SemiSupervisedVAE, Tensor], Tensor]:
    """Return the objective of M2 for :func:`course_lib.training.fit`, which gets unlabeled images.

    Labeled images, drawn anew at each step, come to every batch of B unlabeled ones, and the loss
    of each unlabeled image is

    -unlabeled_bound(x) + mean over labeled (x', y') of
    [-weight labeled_bound(x', y') - alpha log q(y'|x')].

    The last term is that of eq. 9: without it only unlabeled images would teach the classifier.
    The paper sums over N_u unlabeled and N_l labeled images and takes alpha = 0.1 (N_u + N_l);
    divided by N_u that is ``weight = N_l / N_u`` and ``alpha`` = 0.1 here. ``weight = 1`` lets the
    labeled images together count as much as the unlabeled, and with
    ``alpha = 0.1 * (N_u + N_l) / N_l`` the two labeled terms keep the paper's proportion.

    Args:
        x_labeled: images ``[N_l, C, H, W]``, on any device.
        y_labeled: their classes, int64 ``[N_l]``.
        alpha: weight of the cross-entropy of q(y|x), from 0 up.
        weight: of the labeled bound, from 0 up.
        batch_size: labeled images in a step; all of them where there are no more.
        binarize: draw binary pixels of the labeled images anew at each step, as ``fit`` does with
            the others under ``binarize=True``.

    Returns:
        ``objective(model, x) -> [B]``, in nats.
    """
    check_images(x_labeled, "x_labeled")
    check_rows([y_labeled], len(x_labeled), "x_labeled")
    if y_labeled.dtype != torch.int64 or y_labeled.dim() != 1 or (y_labeled < 0).any():
        raise ValueError(
            f"y_labeled is {y_labeled.dtype} with shape {list(y_labeled.shape)}; the class of each "
            "labeled image, int64 [N] from 0 up, was expected."
        )
    alpha = check_number(alpha, "alpha", lambda a: a >= 0, "a number from 0 up")
    weight = check_number(weight, "weight", lambda w: w >= 0, "a number from 0 up")
    batch_size = check_whole(batch_size, "batch_size")

    def objective(model: SemiSupervisedVAE, x: Tensor) -> Tensor:
        given, y = x_labeled.to(x.device), y_labeled.to(x.device)
        if len(y) > batch_size:
            rows = torch.randint(len(y), (batch_size,), device=x.device)
            given, y = given[rows], y[rows]
        if binarize:
            given = binarize_images(given)
        model.condition(y)  # it has the sentence for a label that is no class of this model
        labeled = alpha * F.cross_entropy(model.classify(given).logits, y)
        if weight > 0:
            labeled = labeled - weight * model.labeled_bound(given, y).mean()
        return labeled - model.unlabeled_bound(x)

    return objective
