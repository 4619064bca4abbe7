"""Honest numbers about a trained model, on data that it was not trained on."""

from course_lib.evaluation.gaps import Gaps, inference_gaps, refine
from course_lib.evaluation.judge import Judge, train_judge
from course_lib.evaluation.latents import active_units, latent_rates, predicted_active
from course_lib.evaluation.likelihood import Estimate, Report, bits_per_dim, estimate, evaluate
from course_lib.evaluation.samples import fraction, frechet_distance

__all__ = [
    "Estimate",
    "Gaps",
    "Judge",
    "Report",
    "active_units",
    "bits_per_dim",
    "estimate",
    "evaluate",
    "fraction",
    "frechet_distance",
    "inference_gaps",
    "latent_rates",
    "predicted_active",
    "refine",
    "train_judge",
]
