"""Checkpoints are written whole or not at all, and a damaged one is named as such."""

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.checkpoints import load_model, read_checkpoint, write_checkpoint
from course_lib.files import replacing
from course_lib.models import mlp_vae


@pytest.fixture
def saved(tmp_path):
    model = mlp_vae((1, 6, 6), latent_dim=2, hidden=(8,))
    path = tmp_path / "model.pt"
    write_checkpoint(path, {"spec": model.spec, "result": model.state_dict()})
    return model, path


def test_round_trip(saved):
    model, path = saved
    x = torch.rand(2, 1, 6, 6)
    again = load_model(path)
    assert not again.training
    torch.testing.assert_close(again.encode(x), model.encode(x), rtol=0, atol=0)


@pytest.mark.parametrize("number", range(1, 40, 2))
def test_ctrl_c_at_any_write_is_ctrl_c(number, saved, monkeypatch):
    """torch turns what a file's write() raises into errors of its own."""
    model, path = saved
    before = path.read_bytes()

    @contextmanager
    def interrupted(path):
        with replacing(path) as file:
            yield _Interrupted(file, number)

    monkeypatch.setattr("course_lib.checkpoints.replacing", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, {"spec": None, "result": model.state_dict()})
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


class _Interrupted:
    """A file whose user presses Ctrl-C during one of its writes."""

    def __init__(self, file, number):
        self._file, self._left = file, number

    def write(self, content):
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt
        return self._file.write(content)

    def flush(self):
        self._file.flush()


@settings(max_examples=25, deadline=None)
@given(fraction=st.floats(0, 0.999))
def test_truncated_files_are_refused(tmp_path_factory, fraction):
    path = tmp_path_factory.mktemp("cut") / "model.pt"
    write_checkpoint(path, {"spec": None, "result": {"w": torch.arange(500.0)}})
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ValueError, match="truncated, damaged"):
        read_checkpoint(path)


def test_a_flipped_bit_in_the_weights_is_noticed(saved):
    model, path = saved
    content = bytearray(path.read_bytes())
    weight = model.encoder[1].weight.detach().numpy().tobytes()
    content[content.index(weight) + len(weight) // 2] ^= 0x10
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="truncated, damaged"):
        read_checkpoint(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match="written by something else"):
        read_checkpoint(path)
    path.write_text("not a checkpoint at all")
    with pytest.raises(ValueError, match="of another kind"):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="Train one with"):
        read_checkpoint(tmp_path / "missing.pt")


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    class Exploit:
        def __reduce__(self):
            return (open, (str(tmp_path / "proof"), "w"))

    path = tmp_path / "evil.pt"
    torch.save({"format": "course_lib checkpoint 1", "payload": Exploit()}, path)
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        read_checkpoint(path)
    assert not (tmp_path / "proof").exists()


def test_weights_of_another_model_are_refused(saved):
    with pytest.raises(ValueError, match="don't fit this model"):
        load_model(saved[1], mlp_vae((1, 6, 6), latent_dim=3, hidden=(8,)))


def test_an_unknown_model_must_be_handed_in(tmp_path):
    path = tmp_path / "own.pt"
    layer = torch.nn.Linear(2, 2)
    write_checkpoint(path, {"spec": None, "result": layer.state_dict()})
    with pytest.raises(ValueError, match="make it yourself"):
        load_model(path)
    assert load_model(path, torch.nn.Linear(2, 2)).weight.equal(layer.weight)
