"""Several processes that train one model: the same steps, other noise, and one that is killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from course_lib import processes
from course_lib.bounds_objectives import free_bits
from course_lib.checkpoints import read_checkpoint
from course_lib.models import mlp_vae
from course_lib.models.vector_quantized import vq_objective, vq_vae
from course_lib.training import fit

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="gloo and signals as torchrun uses them are POSIX"
)

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


def launch(*command: str, **options) -> subprocess.Popen:
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*LAUNCH, *command], **pipe, **options)


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out + err


def images(count: int = 81) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(count, 1, 8, 8, generator=generator) < 0.3).float()


def noiseless(model, x):
    """-log p(x|z) at the posterior's mean plus the KL: a loss without chance."""
    q = model.posterior(x)
    rate = torch.distributions.kl_divergence(q, model.prior())
    return rate - model.likelihood(q.mean).log_prob(x)


def noiseless_again(model, x):
    return noiseless(model, x)


def asking(model, x):
    """A loss that asks all processes for a sum in every batch, which is 1 for a single image."""
    together = processes.total(x.new_tensor([len(x)]))
    return noiseless(model, x) + 0.1 * together.clamp(max=2)


def trained(make, objective, count=81, **options):
    torch.manual_seed(0)
    # Of 65 images a batch of 16 leaves one for the last step, and for one process none.
    options = {"batch_size": 16, "validation": 16, "epochs": 3, "lr": 1e-2} | options
    return fit(make(), images(count), objective=objective, device="cpu", progress=False, **options)


def small():
    return mlp_vae((1, 8, 8), latent_dim=3, hidden=(16,))


def small_vq(**options):
    return vq_vae((1, 8, 8), num_codes=6, code_dim=3, width=4, **options)


def small_vq_by_averages():
    return small_vq(revive=False)


def small_vq_at_the_limit():
    """A code that is dead in a batch of 15, where 2 % of a fair share is 0.2, but not in 14."""
    model = small_vq()
    model.usage.fill_(10.0)
    model.usage[0] = 0.199
    model.sums.copy_(model.usage[:, None] * model.codebook.detach())
    return model


def small_vq_by_loss():
    return small_vq(revive=False, decay=None)


RUNS = {
    "plain": lambda: trained(small, noiseless),
    "clipped, averaged": lambda: trained(small, noiseless, clip_norm=0.5, ema=0.9),
    "two objectives": lambda: trained(
        small, noiseless, final_objective=lambda m, x: noiseless(m, x)
    ),
    "patience": lambda: trained(small, noiseless, patience=1, lr=0.3, epochs=8),
    "codebook by averages": lambda: trained(small_vq_by_averages, vq_objective),
    "codebook by the loss": lambda: trained(small_vq_by_loss, vq_objective),
    "revived codes": lambda: trained(small_vq, vq_objective),
    "revived codes, uneven shares": lambda: trained(
        small_vq_at_the_limit, vq_objective, batch_size=15
    ),
    "one image to validate on": lambda: trained(small, asking, validation=1),
    "one image in the last round": lambda: trained(small, asking, count=2041, validation=2001),
}


def state(result) -> dict:
    return {
        "weights": {k: v.clone() for k, v in result.model.state_dict().items()},
        "history": result.history,
        "stopped": result.stopped,
    }


def worker(folder: Path) -> None:
    """What each of the two processes does: every run, and what it saw, into a file of its own."""
    with processes.joined("cpu"):
        torch.set_num_threads(1)
        team = processes.team()
        seen = {"team": (team.rank, team.size)}
        seen["runs"] = {name: state(run()) for name, run in RUNS.items()}
        seen["noise"] = noise = []

        def noisy(model, x):
            noise.append(torch.randn(4))
            return noiseless(model, x)

        trained(small, noisy, epochs=1, binarize=True)
        seen["free bits"] = free_bits_of(team.share(images(7)))
        seen["order"] = processes.one_first(lambda: time.time())
        try:
            team.agree(lambda: 1 / 0)
        except ZeroDivisionError:
            seen["agreed to fail"] = True
        path = folder / "run.pt"

        def stop(model, row):
            if row["epoch"] == 2:
                raise InterruptedError

        try:
            trained(small, noiseless, epochs=4, checkpoint=path, after_epoch=stop)
        except InterruptedError:
            seen["stopped"] = True
    torch.save(seen, folder / f"seen{team.rank}.pt")


def free_bits_of(x):
    """The rate under a floor that lies between the means of the two shares of some latent."""
    torch.manual_seed(1)
    return free_bits(0.07)(small(), x).rate.detach()


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
    code += "from pathlib import Path\nimport test_processes\n"
    (folder / "work.py").write_text(code + f"test_processes.worker(Path({str(folder)!r}))\n")
    finish(launch(str(folder / "work.py")))
    return folder, [torch.load(folder / f"seen{i}.pt", weights_only=False) for i in (0, 1)]


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_take_the_steps_of_one(name, seen):
    first, second = (one["runs"][name] for one in seen[1])
    alone = state(RUNS[name]())
    for key, value in first["weights"].items():
        assert torch.equal(value, second["weights"][key]), key
        if "revived" not in name:  # which rows are chosen is chance
            torch.testing.assert_close(value, alone["weights"][key], rtol=1e-4, atol=1e-5)
    assert [row["epoch"] for row in first["history"]] == [row["epoch"] for row in alone["history"]]
    assert first["stopped"] == second["stopped"] == alone["stopped"]
    for a, b in zip(first["history"], second["history"], strict=True):
        assert a | {"seconds": 0} == b | {"seconds": 0}
    if "revived" not in name:
        for key in ("train_loss", "valid_loss"):
            got, want = ([row[key] for row in one["history"]] for one in (first, alone))
            assert got == pytest.approx(want, rel=1e-4)


def test_each_process_draws_noise_of_its_own(seen):
    noise = [torch.stack(one["noise"]) for one in seen[1]]
    assert noise[0].shape == noise[1].shape and not (noise[0] == noise[1]).any()


def test_free_bits_look_at_the_whole_batch(seen):
    x = images(7)
    together = torch.cat([one["free bits"] for one in seen[1]])
    torch.testing.assert_close(together, free_bits_of(x))
    apart = torch.cat([free_bits_of(part) for part in x.tensor_split(2)])
    assert not torch.allclose(together, apart)  # else the floor decides nothing here


def test_the_team_is_numbered_and_fails_together(seen):
    assert [one["team"] for one in seen[1]] == [(0, 2), (1, 2)]
    assert all(one["agreed to fail"] and one["stopped"] for one in seen[1])
    assert seen[1][0]["order"] < seen[1][1]["order"]


def test_a_run_of_two_processes_is_resumed_by_one(seen):
    path = seen[0] / "run.pt"
    before = read_checkpoint(path)["history"]
    assert len(before) == 2
    resumed = trained(small, noiseless, epochs=4, checkpoint=path, resume=True)
    unbroken = trained(small, noiseless, epochs=4)
    assert resumed.history[:2] == before and len(resumed.history) == 4
    for a, b in zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_alone_there_is_a_team_of_one():
    with processes.joined("cpu") as device:
        team = processes.team()
        assert (team.rank, team.size, team.first) == (0, 1, True) and device.type == "cpu"
    x = torch.arange(3.0, requires_grad=True)
    assert processes.total(x) is x and team.agree(lambda: 7) == 7
    assert torch.equal(team.share(x), x)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds a process by /proc")
def test_a_killed_process_ends_the_run_with_a_sentence_and_a_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    train = ["train", "--limit", "600", "--epochs", "400", "--iwae", "1", "--device", "cpu"]
    train += ["--hidden", "32", "--latent-dim", "4", "--out", str(path)]
    running = launch("-m", "course_lib", *train, env=os.environ | {"COURSE_DATASET": "strokes"})
    deadline = time.monotonic() + 120
    while not path.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(_process_of_rank(1, running.pid), signal.SIGKILL)
    _, err = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "another process of the run has ended" in err.lower(), err
    assert "--resume goes on" in err and "process 1 of 2" in err
    done = read_checkpoint(path)["epoch"]
    assert 1 <= done < 400
    script = f"""
        from course_lib.training_run import Run
        from course_lib.__main__ import main
        one_epoch = Run._one_epoch
        def stop(self, display):
            if self.epoch == {done + 1}:
                raise KeyboardInterrupt
            one_epoch(self, display)
        Run._one_epoch = stop
        raise SystemExit(main({[*train, "--resume"]!r}))
    """
    code = [sys.executable, "-c", textwrap.dedent(script)]
    again = subprocess.run(code, capture_output=True, text=True, timeout=120)
    assert again.returncode == 130 and f"{done + 1} of 400 epochs" in again.stderr, again.stderr


def _process_of_rank(rank: int, parent: int) -> int:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
            status = (entry / "status").read_text()
        except OSError:
            continue
        if f"RANK={rank}".encode() in environ and f"PPid:\t{parent}\n" in status:
            return int(entry.name)
    raise AssertionError(f"no process of rank {rank} below {parent}")
