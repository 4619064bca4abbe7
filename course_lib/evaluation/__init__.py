"""Honest numbers about a trained model, on data that it was not trained on."""

from course_lib.evaluation.gaps import Gaps, inference_gaps, refine
from course_lib.evaluation.latents import active_units, latent_rates, predicted_active
from course_lib.evaluation.likelihood import Estimate, Report, bits_per_dim, estimate, evaluate

__all__ = [
    "Estimate",
    "Gaps",
    "Report",
    "active_units",
    "bits_per_dim",
    "estimate",
    "evaluate",
    "inference_gaps",
    "latent_rates",
    "predicted_active",
    "refine",
]
