"""What is seeded inside a function leaves the random state of the session alone, GPUs included."""

import pytest
import torch

from course_lib.data import toys
from course_lib.evaluation import evaluate
from course_lib.evaluation.anomaly import heat_map
from course_lib.evaluation.gaps import refine
from course_lib.evaluation.judge import train_judge
from course_lib.models import mlp_vae
from course_lib.models.neighbours import GAN, fit_gan
from course_lib.randomness import seeded
from course_lib.training import fit

X = (torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.3).float()
LABELS = torch.arange(40) % 2


def small():
    return mlp_vae((1, 6, 6), latent_dim=2, hidden=(8,))


WORK = {
    "fit": lambda: fit(small(), X, epochs=1, device="cpu", progress=False),
    "evaluate": lambda: evaluate(small(), X, num_samples=2, progress=False),
    "heat_map": lambda: heat_map(small(), X),
    "refine": lambda: refine(small(), X, steps=2),
    "train_judge": lambda: train_judge(X, LABELS, epochs=1, progress=False),
    "fit_gan": lambda: fit_gan(GAN(2), toys.ring().sample((50,)), steps=2),
}


@pytest.mark.parametrize("name", WORK)
def test_the_state_of_the_session_stays_and_no_gpu_is_seeded(name, monkeypatch):
    torch.manual_seed(7)
    seen = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seen.append)
    before = torch.initial_seed()
    WORK[name]()
    assert torch.initial_seed() == before
    assert not seen, "torch.manual_seed was called: it seeds every GPU, and nothing puts them back"


def test_seeded_draws_are_those_of_manual_seed():
    torch.manual_seed(3)
    expected = torch.randn(5)
    torch.manual_seed(9)
    state = torch.get_rng_state()
    with seeded(3, torch.device("cpu")):
        assert torch.equal(torch.randn(5), expected)
    assert torch.equal(torch.get_rng_state(), state)
