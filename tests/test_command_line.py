"""``python -m course_lib``: train, sample, evaluate and the sentences for bad input."""

import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from course_lib.__main__ import main
from course_lib.checkpoints import read_checkpoint

TRAIN = ["train", "--limit", "200", "--epochs", "2", "--hidden", "16", "--latent-dim", "2"]


@pytest.fixture(autouse=True)
def _small_test_set(monkeypatch):
    """Evaluate on 50 test images; the data set itself is tested in its own room."""
    import course_lib.data

    load = course_lib.data.load
    monkeypatch.setattr(course_lib.data, "load", lambda *a, **k: load(*a, **{"num_test": 50} | k))


def test_train_sample_evaluate(tmp_path, capsys):
    out, png = tmp_path / "model.pt", tmp_path / "grid.png"
    assert main([*TRAIN, "--out", str(out)]) == 0
    assert "ELBO" in capsys.readouterr().out
    saved = read_checkpoint(out)
    assert saved["notes"] == {"data": "strokes", "size": 28, "color": False}
    assert saved["settings"]["data"].startswith("200x1x28x28")  # --limit

    assert main(["sample", str(out), str(png), "--num", "6", "--columns", "3"]) == 0
    assert Image.open(png).size == (3 * 30 + 2, 2 * 30 + 2)
    assert main(["sample", str(out), str(png)]) == 2
    assert "--overwrite" in capsys.readouterr().err

    (tmp_path / "folder.png").mkdir()
    assert main(["sample", str(out), str(tmp_path / "folder.png"), "--overwrite"]) == 2
    assert "is a folder" in capsys.readouterr().err

    assert main(["evaluate", str(out), "--samples", "3", "--limit", "1"]) == 0
    assert "1 images" in capsys.readouterr().out
    assert main(["evaluate", str(out), "--samples", "3", "--limit", "20"]) == 0
    text = capsys.readouterr().out
    assert "IWAE-3" in text and "±" in text and "20 images" in text

    assert main([*TRAIN, "--out", str(out)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*TRAIN, "--out", str(out), "--resume"]) == 0


def test_residual_in_color_from_training_to_evaluation(tmp_path, capsys):
    out, png = tmp_path / "model.pt", tmp_path / "grid.png"
    small = ["--limit", "60", "--epochs", "1", "--latent-dim", "2", "--width", "4", "--blocks", "1"]
    command = ["train", "--model", "residual", "--color", "--size", "32", *small]
    command += ["--likelihood", "discretized_logistic", "--out", str(out)]
    assert main([*command, "--checkpointing"]) == 0
    text = capsys.readouterr()
    assert "50 images" in text.out and "binarizes each color channel" not in text.err
    saved = read_checkpoint(out)
    assert saved["notes"] == {"data": "strokes", "size": 32, "color": True}
    expected = {"model": "residual", "width": 4, "blocks": 1, "checkpoint": True, "latent_dim": 2}
    assert {k: saved["spec"][k] for k in expected} == expected
    assert saved["settings"]["batch_size"] == 64 and saved["settings"]["clip_norm"] == 1e5
    assert main([*command, "--checkpointing", "--resume"]) == 0

    assert main(["sample", str(out), str(png), "--num", "4", "--columns", "2"]) == 0
    assert Image.open(png).size == (2 * 34 + 2, 2 * 34 + 2)
    assert main(["evaluate", str(out), "--samples", "3", "--limit", "20"]) == 0
    text = capsys.readouterr().out
    assert "IWAE-3" in text and "20 images" in text


def test_color_and_bernoulli_get_a_note_and_grey_none(tmp_path, capsys):
    few = ["train", "--limit", "60", "--epochs", "1", "--hidden", "4", "--size", "8"]
    assert main([*few, "--color", "--out", str(tmp_path / "color.pt")]) == 0
    assert "binarizes each color channel" in capsys.readouterr().err
    assert main([*few, "--no-color", "--out", str(tmp_path / "grey.pt")]) == 0
    assert "binarizes each color channel" not in capsys.readouterr().err
    assert read_checkpoint(tmp_path / "grey.pt")["notes"]["color"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--model", "cnov"], "Did you mean 'conv'"),
        (["train", "--quick", "--model", "conv"], "--quick is a recipe for the mlp"),
        (["train", "--final-share", "2"], "final_share is 2"),
        (["train", "--prior", "mixtur"], "Did you mean 'mixture'"),
        (["train", "--model", "conv", "--prior", "mixture"], "--prior is not for this model"),
        (["train", "--width", "8"], "--width is not for this model"),
        (["train", "--model", "hierarchical", "--latent-dim", "7"], "--latent-dim is not for this"),
        (["train", "--quick", "--final-share", "0.9"], "--final-share is the share of the epochs"),
        (["train", "--iwae", "1", "--final-share", "0.9"], "this run keeps to the ELBO"),
        (["train", "--model", "conv", "--blocks", "2"], "--blocks is not for this model"),
        (["train", "--checkpointing"], "--checkpointing is not for this model"),
        (["train", "--model", "residual", "--hidden", "9"], "--hidden is not for this model"),
        (["train", "--model", "residul"], "Did you mean 'residual'"),
        (["train", "--data", "cifar10"], "cifar-10-batches-py/data_batch_1 is missing"),
        (["train", "--beta", "4"], "--beta is about the ELBO"),
        (["train", "--patience", "3"], "--patience is about the ELBO"),
        (["reproduce", "iwae-500"], "Did you mean 'iwae-50'"),
        (["train", "--data", "minst"], "Did you mean 'mnist'"),
        (["train", "--likelihood", "gausian", "--limit", "20"], "Did you mean 'gaussian'"),
        (["train", "--device", "tpu9"], "device is 'tpu9'"),
        (["train", "--seed", str(2**70)], "at most 64 bits"),
        (["train", "--out", "."], ". is a folder"),
        (["train", "--validation", "1.0", "--limit", "20"], "validation is 1.0"),
        (["train", "--validation", "20", "--limit", "20"], "leaves no training data"),
        (["train", "--clip-norm", "-1", "--limit", "20"], "clip_norm is -1.0"),
        (["train", "--size", "-3"], "size is -3"),
        ([*TRAIN, "--latent-dim", "99999999999"], "not enough memory"),
        (["evaluate", "missing.pt"], "There is no checkpoint"),
        (["evaluate", "."], ". is a folder"),
        (["sample", "missing.pt", "a.jpg"], "does not end in .png"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "cifar10" in arguments:
        monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert main(arguments) == 2
    said = capsys.readouterr().err
    error = said.strip().splitlines()[-1]  # data that is drawn first shows a bar above it
    assert error.startswith("error: ") and message in error and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_not_be_written_is_refused_before_decoding(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    out = str(tmp_path / "file" / "again.npy")
    assert main(["decompress", "missing.vae", out, "--model", "missing.pt"]) == 2
    assert "can't be written: Not a directory" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", [[], ["train"], ["sample"], ["evaluate"], ["doctor"]])
def test_help_reads(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and "usage: python -m course_lib" in text and len(text) > 150


def test_ctrl_c_keeps_the_epochs_so_far_and_resume_ends_as_if_unbroken(tmp_path):
    """SIGINT to a real process while it trains, then the same command with --resume."""
    command = [sys.executable, "-m", "course_lib", *TRAIN, "--epochs", "200", "--ema", "0.9"]
    broken, whole = tmp_path / "broken.pt", tmp_path / "whole.pt"
    process = subprocess.Popen(
        [*command, "--out", broken],
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background with SIGINT ignored, and this is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not broken.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    error = process.communicate()[1]
    assert process.returncode == 130 and "The same command with --resume goes on" in error, error
    assert "Traceback" not in error and 1 <= read_checkpoint(broken)["epoch"] < 200
    for path in (broken, whole):
        subprocess.run([*command, "--out", path, "--resume"], check=True, capture_output=True)
    a, b = read_checkpoint(broken)["result"], read_checkpoint(whole)["result"]
    assert all(a[name].equal(b[name]) for name in b)


def test_numbers_are_checked(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--epochs", "0"])
    assert "not a whole number from 1 up" in capsys.readouterr().err


def test_the_command_line_comes_before_the_recipe(tmp_path):
    few = ["--limit", "60", "--epochs", "1", "--hidden", "4"]
    for arguments, expected in (
        ([], {"batch_size": 100, "latent_dim": 40, "prior": "mixture", "final_share": 0.4}),
        (["--prior", "standard"], {"batch_size": 100, "prior": "standard"}),
        (["--quick"], {"batch_size": 128, "prior": "standard", "final_share": 0.0}),
        (["--quick", "--iwae", "3", "--final-share", "1"], {"batch_size": 128, "final_share": 1.0}),
        (["--batch-size", "7", "--latent-dim", "3"], {"batch_size": 7, "latent_dim": 3}),
        (["--beta", "4", "--iwae", "1"], {"beta": 4.0, "final_share": 0.0}),
    ):
        out = tmp_path / f"{len(arguments)}{''.join(arguments[:1])}.pt"
        assert main(["train", *few, *arguments, "--out", str(out)]) == 0
        saved = read_checkpoint(out)
        assert saved["spec"]["hidden"] == [4] and saved["settings"]["epochs"] == 1
        found = saved["settings"] | saved["spec"]
        assert {k: found[k] for k in expected} == expected


def test_reproduce_prints_the_table(tmp_path, capsys):
    few = ["--data", "strokes", "--limit", "70", "--passes", "0.01", "--samples", "3"]
    assert main(["reproduce", "vae", *few, "--out", str(tmp_path / "runs")]) == 0
    assert "| VAE | 1 |" in capsys.readouterr().out
    assert (tmp_path / "runs" / "vae.pt").exists()
