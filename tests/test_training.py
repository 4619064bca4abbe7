"""The training loop: what it optimizes, what it returns, and that a killed run is not lost."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import bounds, probe
from course_lib.bounds_objectives import iwae_loss
from course_lib.checkpoints import load_model, read_checkpoint, write_checkpoint
from course_lib.models import VAE, mlp_vae
from course_lib.training import fit
from course_lib.training_input import check_compiler
from course_lib.training_run import OPTIMIZERS


def small_model(seed=0):
    torch.manual_seed(seed)
    return mlp_vae((1, 6, 6), latent_dim=2, hidden=(16,))


def blobs(n=300, seed=0):
    """Binary images of a bright upper or lower half, with noise: easy to learn."""
    generator = torch.Generator().manual_seed(seed)
    upper = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
    rows = torch.arange(6).reshape(1, 1, 6, 1) < 3
    p = 0.1 + 0.8 * (rows == upper).float().expand(n, 1, 6, 6)
    return (torch.rand(n, 1, 6, 6, generator=generator) < p).float()


def run(data=None, **kwargs):
    kwargs = {"epochs": 3, "batch_size": 64, "progress": False, "device": "cpu"} | kwargs
    return fit(small_model(), blobs() if data is None else data, **kwargs)


def weights(fit_or_model):
    model = getattr(fit_or_model, "model", fit_or_model)
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def test_the_loss_falls_and_the_history_adds_up():
    result = run(epochs=15, validation=0.2, lr=1e-2)
    first, last = result.history[0], result.history[-1]
    assert last["valid_loss"] < first["valid_loss"] - 1
    assert [row["epoch"] for row in result.history] == list(range(1, 16))
    for row in result.history:
        for split in ("train", "valid"):
            parts = row[f"{split}_distortion"] + row[f"{split}_rate"]
            assert row[f"{split}_loss"] == pytest.approx(parts, rel=1e-6)
    assert not result.model.training and result.stopped == "finished"


def test_training_matches_a_loop_written_by_hand():
    """One epoch, full batch, no validation: the same numbers as ten lines of plain torch."""
    data = blobs(64)
    fitted = run(data, epochs=2, validation=0, schedule="constant", lr=1e-2, seed=5)
    model = small_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(2):
        torch.manual_seed(5)
        kept = data[torch.randperm(64)]  # the order of the split
        torch.manual_seed(5 * 1_000_003 + epoch + 1)  # then a stream for each epoch
        x = kept[torch.randperm(64)]
        mu, logvar = model.encode(x)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        bce = nn.functional.binary_cross_entropy_with_logits(
            model.decode(z), x, reduction="none"
        ).sum((1, 2, 3))
        loss = (bce - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert fitted.history[epoch]["train_loss"] == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(weights(fitted), weights(model), rtol=1e-4, atol=1e-5)
    # Adam hides the scale of the loss, its gradient does not: a mean over the batch, not a sum.
    for p, expected in zip(fitted.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(p.grad, expected.grad, rtol=1e-3, atol=1e-5)


def test_validation_meets_the_same_noise_in_every_epoch():
    """With weights that stand still the validation loss does too, while the training loss moves."""
    history = run(lr=1e-12, validation=0.2, binarize=True).history
    assert len({round(row["valid_loss"], 4) for row in history}) == 1
    assert len({round(row["train_loss"], 4) for row in history}) == 3


def test_a_seed_decides_the_run_and_the_session_keeps_its_random_state():
    first, again, other = run(seed=3), run(seed=3), run(seed=4)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))
    model, state = small_model(), torch.get_rng_state()
    fit(model, blobs(), epochs=1, progress=False, device="cpu")
    assert torch.equal(state, torch.get_rng_state())


def test_validation_images_are_never_trained_on():
    """Each image has its own index painted in; the objective notes whom it met, and how."""
    data = (torch.arange(100).reshape(100, 1, 1, 1) / 128).expand(100, 1, 6, 6).contiguous()
    trained, validated = set(), set()

    def spy(model, x):
        (trained if torch.is_grad_enabled() else validated).update((x[:, 0, 0, 0] * 128).tolist())
        return bounds.terms(model, x)

    with pytest.warns(UserWarning, match="grey"):
        run(data, objective=spy, validation=30, epochs=2)
    assert len(validated) == 30 and len(trained) == 70 and not trained & validated


def test_dynamic_binarization_draws_anew_for_training_and_once_for_validation():
    data = torch.full((60, 1, 6, 6), 0.5)
    seen = {True: [], False: []}

    def spy(model, x):
        assert ((x == 0) | (x == 1)).all()
        seen[torch.is_grad_enabled()].append(x.clone())
        return bounds.terms(model, x)

    run(data, objective=spy, binarize=True, validation=20, epochs=2, batch_size=40)
    train, valid = seen[True], seen[False]
    assert not torch.equal(train[0], train[1]) and torch.equal(valid[0], valid[1])
    mean = torch.cat(train).mean().item()
    assert abs(mean - 0.5) < 5 * 0.5 / (2 * 40 * 36) ** 0.5


def test_the_final_objective_gets_the_last_epochs_and_the_first_one_validates():
    met = []

    def note(name):
        def objective(model, x):
            met.append((name, torch.is_grad_enabled()))
            return bounds.terms(model, x)

        return objective

    options = {"objective": note("first"), "final_objective": note("last"), "final_share": 0.4}
    run(**options, epochs=5, validation=0.2, batch_size=1000)
    trained = [name for name, gradient in met if gradient]
    assert trained == ["first"] * 3 + ["last"] * 2
    assert {name for name, gradient in met if not gradient} == {"first"}


@pytest.mark.parametrize("ema", [None, 0.5])
def test_after_each_epoch_the_model_of_that_epoch_is_shown(ema):
    shown = []

    def look(model, row):
        assert not model.training
        torch.manual_seed(0)
        torch.rand(3)  # what is drawn here must not change the run
        shown.append((row, weights(model).clone()))

    result = run(epochs=3, ema=ema, after_epoch=look)
    assert [row for row, _ in shown] == result.history
    assert torch.equal(shown[-1][1], weights(result)) and not torch.equal(shown[0][1], shown[1][1])
    assert torch.equal(weights(run(epochs=3, ema=ema)), weights(result))


def test_a_run_with_a_final_objective_resumes_to_the_same_weights(tmp_path):
    options = {"final_objective": iwae_loss(3), "final_share": 0.5, "epochs": 4, "seed": 2}
    whole = run(**options)

    def interrupted(model, x):
        interrupted.calls += 1
        if interrupted.calls == 9:  # five batches and a validation make an epoch
            raise KeyboardInterrupt
        return bounds.terms(model, x)

    interrupted.calls = 0
    path = tmp_path / "run.pt"
    stopped = run(**options, objective=interrupted, checkpoint=path)
    assert stopped.stopped == "interrupted" and len(stopped.history) == 1
    resumed = run(**options, checkpoint=path, resume=True)
    assert resumed.stopped == "finished" and len(resumed.history) == 4
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)


def test_beta_warms_up_over_epochs_and_the_learning_rate_falls():
    result = run(epochs=4, beta=2.0, warmup_epochs=2, batch_size=285, lr=1.0e-3)
    assert [row["beta"] for row in result.history] == [0.0, 1.0, 2.0, 2.0]
    rates = [row["lr"] for row in result.history]
    assert rates[0] == 1e-3 and rates == sorted(rates, reverse=True) and rates[-1] < 2e-4


@pytest.mark.parametrize("beta", [0, 3.0])
def test_beta_weighs_the_rate_in_training_and_not_in_validation(beta):
    for row in run(beta=beta, validation=0.2).history:
        weighted = row["train_distortion"] + beta * row["train_rate"]
        assert row["train_loss"] == pytest.approx(weighted, rel=1e-6)
        assert row["valid_loss"] == pytest.approx(row["valid_distortion"] + row["valid_rate"])


def test_figures_are_means_over_all_images_in_every_batch():
    """The loss of an image is its own pixel: 2500 for validation take three batches, one short."""
    data = blobs(2600)
    value = torch.linspace(0, 1, 2600).reshape(-1, 1, 1, 1)
    data[:, :, :1, :1] = value

    def objective(model, x):
        return x[:, 0, 0, 0] + 0 * bounds.terms(model, x.round()).rate

    with pytest.warns(UserWarning, match="grey"):
        row = run(data, objective=objective, validation=2500, epochs=1).history[0]
    total = 2500 * row["valid_loss"] + 100 * row["train_loss"]
    assert total == pytest.approx(value.sum().item(), rel=1e-6)


def test_the_switches_reach_the_model():
    """Training and evaluation mode, another order in each epoch, and bfloat16 in the layers."""
    first = []

    def spy(model, x):
        assert model.training == torch.is_grad_enabled()
        assert model.encoder(x).dtype == torch.bfloat16
        if model.training:
            first.append(x)
        return bounds.terms(model, x)

    run(objective=spy, validation=0.2, epochs=2, bf16=True, batch_size=240)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first[0].sum(0), first[1].sum(0))  # the same images


def test_adamw_takes_the_weights_down_and_adam_the_gradient_up():
    """Decay 0.1 at a rate of 1e-2: decoupled, a step scales the weights by 1 - 1e-3."""
    start = weights(small_model())
    options = {"epochs": 1, "validation": 0, "batch_size": 300, "lr": 1e-2}
    plain, decoupled, added = (
        weights(run(**options, optimizer=name, weight_decay=decay))
        for name, decay in (("adam", 0.0), ("adamw", 0.1), ("adam", 0.1))
    )
    torch.testing.assert_close(decoupled, plain - 1e-3 * start, rtol=0, atol=1e-6)
    assert (added - plain).abs().max() > 1e-3


def test_averaged_weights_are_the_average():
    """With decay d, the average after each step is d * average + (1 - d) * weights."""
    trail = []

    def spy(model, x):
        if torch.is_grad_enabled():
            trail.append(weights(model).clone())
        return bounds.terms(model, x)

    result = run(ema=0.5, objective=spy, validation=0, epochs=2, batch_size=100)
    plain = run(validation=0, epochs=2, batch_size=100)
    after = [*trail[1:], weights(plain)]  # the weights after each step
    average = after[0]
    for w in after[1:]:
        average = 0.5 * average + 0.5 * w
    torch.testing.assert_close(weights(result), average, rtol=1e-5, atol=1e-6)


def test_early_stopping_returns_the_best_weights():
    """Validation rows count up after the second epoch, so that one is the best."""
    losses = iter([5.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    kept = []

    def scripted(model, x):
        if torch.is_grad_enabled():
            return bounds.terms(model, x)
        kept.append(weights(model).clone())
        return torch.full((len(x),), next(losses))

    result = run(objective=scripted, validation=50, patience=2, epochs=6)
    assert result.stopped == "early" and len(result.history) == 4
    assert torch.equal(weights(result), kept[1])


def test_clipping_bounds_the_gradient():
    norms = []
    model = small_model()
    step = torch.optim.Adam.step

    def spy(self, *args, **kwargs):
        norms.append(nn.utils.get_total_norm([p.grad for p in model.parameters()]).item())
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", spy)
        fit(model, blobs(), epochs=1, clip_norm=0.01, progress=False, device="cpu")
    assert max(norms) <= 0.0101


def test_context_reaches_the_objective_row_by_row():
    x = blobs(50)
    labels = x.sum((1, 2, 3)).long()

    def objective(model, x, y):
        assert torch.equal(x.sum((1, 2, 3)).long(), y)
        return bounds.terms(model, x)

    run((x, labels), objective=objective, validation=10)


def test_interrupt_returns_the_history_so_far():
    calls = 0

    def interrupting(model, x):
        nonlocal calls
        calls += torch.is_grad_enabled()
        if calls == 12:  # five batches an epoch: in the middle of the third
            raise KeyboardInterrupt
        return bounds.terms(model, x)

    result = run(objective=interrupting, epochs=5)
    assert result.stopped == "interrupted" and len(result.history) == 2
    assert weights(result).isfinite().all()


def test_nan_stops_at_once_and_says_where(tmp_path):
    calls = 0

    def breaking(model, x):
        nonlocal calls
        calls += torch.is_grad_enabled()
        d, r = bounds.terms(model, x)
        return bounds.Terms(d, r * (float("nan") if calls == 8 else 1.0))

    path = tmp_path / "run.pt"
    with pytest.raises(FloatingPointError, match=r"epoch 2, batch 3 of 5 .*rate nan"):
        run(objective=breaking, checkpoint=path)
    assert calls == 8
    assert read_checkpoint(path)["epoch"] == 1  # the last whole epoch is still there


RESUME = """
    import sys, os, signal, torch
    from course_lib import bounds, training_run
    from course_lib.training import fit
    sys.path.insert(0, {folder!r})
    from test_training import blobs, small_model

    calls = 0
    def objective(model, x):
        global calls
        calls += 1
        if calls == {die}:
            os.kill(os.getpid(), signal.SIGKILL)
        return bounds.terms(model, x)

    torch.set_num_threads(1)
    fit(small_model(), blobs(), objective=objective, epochs=6, batch_size=50, binarize=True,
        validation=0.2, ema=0.9, warmup_epochs=2, clip_norm=5.0, patience=4, progress=False,
        device="cpu", checkpoint={path!r}, resume=True)
"""


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    """SIGKILL in three different epochs, the first before any checkpoint exists."""

    def launch(path, die):
        code = textwrap.dedent(RESUME).format(
            folder=os.path.dirname(__file__), path=str(path), die=die
        )
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    broken, whole = tmp_path / "broken.pt", tmp_path / "whole.pt"
    for die in (3, 9, 14):
        assert launch(broken, die).returncode == -signal.SIGKILL
    for path in (broken, whole):
        done = launch(path, -1)
        assert done.returncode == 0, done.stderr
    a, b = read_checkpoint(broken), read_checkpoint(whole)
    for part in ("weights", "result", "average"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in b[part]), part
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in a["history"]]
    assert strip == [{k: v for k, v in r.items() if k != "seconds"} for r in b["history"]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.pt", "whole.pt"]


def test_a_finished_run_resumes_to_itself(tmp_path):
    path = tmp_path / "run.pt"
    result = run(checkpoint=path)
    again = run(checkpoint=path, resume=True)
    assert torch.equal(weights(result), weights(again)) and again.history == result.history
    assert torch.equal(weights(load_model(path)), weights(result))


def test_an_existing_checkpoint_is_not_overwritten(tmp_path):
    path = tmp_path / "run.pt"
    run(checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="resume=True"):
        run(checkpoint=path)
    with pytest.raises(ValueError, match="lr was 0.002 and is 0.1"):
        run(checkpoint=path, resume=True, lr=0.1)
    with pytest.raises(ValueError, match="data was"):
        run(blobs(200), checkpoint=path, resume=True)
    assert path.read_bytes() == before


def test_compiled_training_gives_the_eager_result(compiler):
    # 300 images less none for validation, in batches of 128: the last one is short.
    eager, compiled = (run(compile=c, validation=0, batch_size=128) for c in (False, True))
    torch.testing.assert_close(weights(compiled), weights(eager), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="scale"):  # distributions still check their arguments
        torch.distributions.Normal(0.0, -1.0)


def test_the_compiler_is_the_one_that_torch_calls(monkeypatch, tmp_path):
    cpu, own = torch.device("cpu"), tmp_path / "own"
    default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    for name in {"g++", "clang++", "c++", "cl", "own"} - {default}:  # none that torch looks for
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler"):
        check_compiler(cpu)
    assert "without a C++ compiler" in probe.compiler()
    monkeypatch.setenv("CXX", str(own))
    check_compiler(cpu)
    assert "without a C++ compiler" not in probe.compiler()
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="CXX"):
        check_compiler(cpu)


def test_bfloat16_reaches_nearly_the_same_loss():
    kwargs = {"epochs": 10, "validation": 0.2, "lr": 1e-2}
    full, half = run(**kwargs), run(bf16=True, **kwargs)
    difference = half.history[-1]["valid_loss"] - full.history[-1]["valid_loss"]
    assert abs(difference) < 1.0  # nats, of about 14; a broken autocast stays near 25


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": "3"}, "epochs is '3'; a whole number from 1 up"),
        ({"epochs": True}, "epochs is True"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"beta": -1}, "beta is -1; a finite number from 0 up"),
        ({"beta": "high"}, "beta is 'high'; a finite number from 0 up"),
        ({"beta": float("inf")}, "beta is inf"),
        ({"warmup_epochs": float("inf")}, "warmup_epochs is inf"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"clip_norm": -1}, "clip_norm is -1; a positive number"),
        ({"clip_norm": 0}, "clip_norm is 0"),
        ({"ema": 1.0}, "between 0 and 1"),
        ({"final_share": 0.0}, "final_share is 0"),
        ({"final_objective": bounds.terms, "patience": 2}, "give one or the other"),
        ({"seed": 1.5}, "seed is 1.5; a whole number of at most 64 bits"),
        ({"seed": 2**70}, "at most 64 bits"),
        ({"bf16": "yes"}, "bf16 is 'yes'; True or False"),
        ({"device": "tpu9"}, "device is 'tpu9'; 'cpu', 'cuda' or 'cuda:N' was expected"),
        ({"device": "meta"}, "torch can't compute there"),
        ({"validation": 1.0}, "validation is 1.0; a share from 0 to below 1, or a whole number"),
        ({"validation": True}, "validation is True"),
        ({"validation": -0.1}, "validation is -0.1"),
        ({"validation": float("nan")}, "validation is nan"),
        ({"validation": "some"}, "validation is 'some'"),
        ({"validation": 300}, "leaves no training data"),
        ({"patience": 3, "validation": 0}, "patience needs a validation split"),
        ({"resume": True}, "resume=True needs checkpoint"),
        ({"progress": "baar"}, "Did you mean 'bar'"),
        ({"objective": lambda m, x: bounds.terms(m, x).elbo.mean()}, "one loss per example"),
        ({"objective": lambda m, x: bounds.terms(m, x).rate[1:]}, r"shape \[63\] for 64"),
        ({"objective": lambda m, x: 3}, "returned a int for 64 examples"),
        ({"objective": lambda m, x: bounds.Terms(*torch.ones(2))}, r"returned shape \[\]"),
        ({"data": torch.rand(9, 1, 7, 7).round()}, "this model was made for images"),
        ({"data": torch.rand(0, 1, 6, 6)}, "is empty"),
        ({"data": torch.rand(9, 6, 6)}, "images"),
        ({"data": torch.rand(9, 1, 6, 6) * 255}, "Divide 8-bit images by 255"),
        ({"data": (torch.rand(9, 1, 6, 6), torch.zeros(8))}, "9 images but 8 rows"),
    ],
)
def test_bad_input_gets_a_sentence(kwargs, message):
    with pytest.raises(ValueError, match=message):
        run(**kwargs)


def test_early_stopping_of_averaged_weights_returns_the_best_average(tmp_path):
    losses, kept = iter([5.0, 1.0, 2.0, 3.0]), []

    def scripted(model, x):
        if torch.is_grad_enabled():
            return bounds.terms(model, x)
        kept.append(weights(model).clone())
        return torch.full((len(x),), next(losses))

    result = run(objective=scripted, validation=50, patience=2, epochs=6, ema=0.5)
    plain = run(validation=50, epochs=6, lr=2e-3)
    assert result.stopped == "early" and torch.equal(weights(result), kept[1])
    assert not torch.equal(weights(result), weights(plain))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.zeros(9, 1, 6, 6, dtype=torch.uint8), r"x\.float\(\) / 255"),
        (torch.zeros(9, 1, 6, 6).numpy(), r"data is a ndarray; .* torch\.as_tensor"),
        (torch.zeros(9, 1, 6, 6).double(), r"float64, .* x\.to\(torch\.float32\)"),
        (7, "data is a int"),
        (SimpleNamespace(train=blobs(9)), r"data\.train"),
        ((blobs(9), torch.zeros(9)), "prior of this VAE does not take as many"),
    ],
)
def test_data_of_another_kind_are_refused(data, message):
    with pytest.raises(TypeError, match=message):
        run(data)


@pytest.mark.parametrize("model", [mlp_vae, None, VAE], ids=["function", "None", "class"])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match="a model with prior, posterior and likelihood"):
        fit(model, blobs(), progress=False)


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="finds no CUDA device here"):
        run(device="cuda")


def test_grey_pixels_and_a_bernoulli_get_one_warning():
    grey = torch.rand(60, 1, 6, 6)
    with pytest.warns(UserWarning, match="binarize=True") as caught:
        run(grey, epochs=2)
    assert len(caught) == 1 and caught[0].filename == __file__  # it points at the caller
    gaussian = mlp_vae((1, 6, 6), 2, (4,), likelihood="gaussian")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(grey, binarize=True)
        run(blobs())
        fit(gaussian, grey, epochs=1, progress=False, device="cpu")


def test_damage_by_the_last_step_is_not_kept(tmp_path):
    """The loss of the last batch was finite; its gradient is not, so the weights break unseen."""
    calls = 0

    def breaking(model, x):
        nonlocal calls
        calls += 1
        d, r = bounds.terms(model, x)
        infinite = torch.where(x.sum((1, 2, 3)) < 0, 1.0, torch.sqrt(0 * d)) * 0
        return bounds.Terms(d + infinite if calls == 10 else d, r)  # five batches an epoch

    path = tmp_path / "run.pt"
    with pytest.raises(FloatingPointError, match="at the end of epoch 2: weights encoder"):
        run(objective=breaking, checkpoint=path, validation=0)
    assert read_checkpoint(path)["epoch"] == 1


def test_a_validation_loss_that_is_nan_stops_the_run(tmp_path):
    def breaking(model, x):
        d, r = bounds.terms(model, x)
        return bounds.Terms(d if torch.is_grad_enabled() else d * float("nan"), r)

    with pytest.raises(FloatingPointError, match="end of epoch 1: validation loss"):
        run(objective=breaking, checkpoint=tmp_path / "run.pt", patience=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"notes": {"folder": Path("runs")}}, "notes is .* Convert a Path with str"),
        ({"notes": {"lr": np.float64(1)}}, "can't be read back"),
    ],
)
def test_what_a_checkpoint_cannot_give_back_is_refused_at_once(settings, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        run(checkpoint=tmp_path / "run.pt", **settings)
    assert list(tmp_path.iterdir()) == []


def test_numpy_numbers_make_a_checkpoint_that_reads(tmp_path):
    path = tmp_path / "run.pt"
    model = mlp_vae((1, 6, 6), np.int64(2), hidden=(np.int64(16),))
    numbers = {"lr": np.float64(1e-3), "seed": np.int64(3), "validation": np.float64(0.1)}
    fit(
        model, blobs(), epochs=np.int64(1), device="cpu", progress=False, checkpoint=path, **numbers
    )
    assert load_model(path).latent_dim == 2
    assert read_checkpoint(path)["settings"]["seed"] == 3


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("mine")

    def never(model, x):
        raise AssertionError("training began")

    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file"):
        run(checkpoint=tmp_path, objective=never)
    with pytest.raises(OSError, match="can't be written: Not a directory"):
        run(checkpoint=tmp_path / "file" / "run.pt", objective=never)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(AssertionError, match="began"):
        run(checkpoint=tmp_path / "new" / "run.pt", objective=never)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]  # no folder before the first epoch


def test_resuming_with_another_model_or_order_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    run(checkpoint=path)
    before = path.read_bytes()
    other = mlp_vae((1, 6, 6), latent_dim=3, hidden=(16,))
    own = mlp_vae((1, 6, 6), latent_dim=3, hidden=(16,))
    own.spec = None
    untouched = weights(own).clone()
    same_weights = mlp_vae((1, 6, 6), 2, (16,), likelihood="continuous_bernoulli")
    for model, message in (
        (other, "latent_dim is 2 there and 3 here"),
        (own, r"encoder\.3\.weight is \[4, 16\] there and \[6, 16\] here"),
        (same_weights, "likelihood is bernoulli there and continuous_bernoulli here"),
    ):
        kwargs = {"epochs": 3, "batch_size": 64, "progress": False, "device": "cpu"}
        with pytest.raises(ValueError, match=message):
            fit(model, blobs(), checkpoint=path, resume=True, **kwargs)
    assert torch.equal(weights(own), untouched)
    with pytest.raises(ValueError, match=r"data was .* slope"):
        run(blobs().flip(0), checkpoint=path, resume=True)
    assert path.read_bytes() == before


def test_a_checkpoint_without_a_run_is_not_resumed(tmp_path):
    path = tmp_path / "model.pt"
    model = small_model()
    write_checkpoint(path, {"spec": model.spec, "result": model.state_dict()})
    with pytest.raises(ValueError, match="no training run to go on from"):
        run(checkpoint=path, resume=True)


FULL = """
    import resource, sys
    from pathlib import Path
    sys.path.insert(0, {folder!r})
    from test_training import bounds, run

    path = Path({path!r})
    def objective(model, x):
        if path.exists():  # from the second epoch on there is room for 5000 bytes only
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
        return bounds.terms(model, x)

    try:
        run(objective=objective, checkpoint=path)
    except OSError as error:
        print(error)
"""


def test_a_full_disk_gets_a_sentence_and_leaves_the_last_checkpoint(tmp_path):
    pytest.importorskip("resource", reason="limits of a process are POSIX")
    path = tmp_path / "run.pt"
    code = textwrap.dedent(FULL).format(folder=os.path.dirname(__file__), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "could not be written" in done.stdout and "Make room" in done.stdout, done.stderr
    assert read_checkpoint(path)["epoch"] == 1 and list(tmp_path.iterdir()) == [path]


def test_a_recorded_step_is_the_step(monkeypatch, tmp_path):
    """All but the recording itself, for which a CPU has a stand-in that calls the step again."""

    def pretend(step, optimizer, put_back, device):
        state = torch.get_rng_state()
        for _ in range(3):
            step()
        put_back()
        torch.set_rng_state(state)
        optimizer.zero_grad(set_to_none=True)
        return step

    def adam(parameters, capturable, lr, **options):
        assert capturable == isinstance(lr, torch.Tensor)  # what a GPU needs, and a CPU refuses
        return torch.optim.Adam(parameters, lr=lr, **options)

    monkeypatch.setattr("course_lib.training_graph.record", pretend)
    monkeypatch.setattr("course_lib.training.check_graph", lambda device, processes: None)
    monkeypatch.setitem(OPTIMIZERS, "adam", adam)
    options = {"clip_norm": 1.0, "ema": 0.9, "binarize": True, "warmup_epochs": 2, "lr": 1e-2}
    options |= {"final_objective": iwae_loss(3), "final_share": 0.5, "epochs": 4}
    plain = run(**options)

    def stop(model, row):
        if row["epoch"] == 3:
            raise InterruptedError

    path = tmp_path / "run.pt"
    with pytest.raises(InterruptedError):
        run(**options, graph=True, checkpoint=path, after_epoch=stop)
    for recorded in (
        run(**options, graph=True),
        run(**options, graph=True, checkpoint=path, resume=True),
    ):
        torch.testing.assert_close(weights(recorded), weights(plain), rtol=1e-5, atol=1e-6)
        for a, b in zip(recorded.history, plain.history, strict=True):
            assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-5)


def test_a_graph_needs_a_gpu():
    with pytest.raises(ValueError, match="graph=True records .* runs on cpu"):
        run(graph=True)
    with pytest.raises(ValueError, match="graph is 3"):
        run(graph=3)


def test_epochs_are_timed():
    start = time.perf_counter()
    result = run()
    assert 0 < sum(row["seconds"] for row in result.history) <= time.perf_counter() - start
