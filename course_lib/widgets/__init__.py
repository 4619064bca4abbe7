"""What a learner touches: predictions to write down and meet again, and a quiz.

Each shows itself and returns nothing. What a notebook stores of them is HTML that reads well on a
page without a kernel; a form appears only where somebody is there to fill it in.
"""

from .predictions import prediction, recall
from .questions import quiz

__all__ = ["prediction", "quiz", "recall"]
