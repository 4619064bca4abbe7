"""Honest numbers about a trained model, on data that it was not trained on."""

from course_lib.evaluation.likelihood import Estimate, Report, bits_per_dim, estimate, evaluate

__all__ = ["Estimate", "Report", "bits_per_dim", "estimate", "evaluate"]
