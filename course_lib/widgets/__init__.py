"""What a learner touches: predictions to write down and meet again, a quiz, and live figures.

Each shows itself and returns nothing. What a notebook stores of them is HTML that reads well on a
page without a kernel, or a picture; a form appears only where somebody is there to use it.
"""

from .betas import explore_beta
from .explainers import explore_kl, explore_reparameterization
from .explorer import explore_latents
from .predictions import prediction, recall
from .questions import quiz
from .scrubber import scrub_interpolation

__all__ = [
    "explore_beta",
    "explore_kl",
    "explore_latents",
    "explore_reparameterization",
    "prediction",
    "quiz",
    "recall",
    "scrub_interpolation",
]
