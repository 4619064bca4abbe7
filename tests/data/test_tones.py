"""Tones: what is heard follows the factors, and is read back from the spectrogram."""

import math

import pytest
import torch

from course_lib.data import strokes, tones

DRAWN = strokes.draw(500)


def test_pitch_follows_the_lean_and_length_the_width_and_nothing_else():
    pitch, length = tones.pitch_and_length(DRAWN.factors)
    lean = DRAWN.factors["slant"] + DRAWN.factors["angle"] * math.pi / 180
    assert (pitch[lean.argsort()].diff() >= 0).all()
    assert (length[DRAWN.factors["width"].argsort()].diff() >= 0).all()
    changed = {**DRAWN.factors, "class": 9 - DRAWN.labels, "scale": DRAWN.factors["scale"].flip(0)}
    assert torch.equal(tones.tones(changed), tones.tones(DRAWN.factors))


def test_the_ends_of_the_factors_are_the_ends_of_the_tones():
    ends = {
        "slant": torch.tensor([-0.25, 0.35]),
        "angle": torch.tensor([-10.0, 10.0]),
        "width": torch.tensor([1.5, 3.5]),
    }
    pitch, length = tones.pitch_and_length(ends)
    assert torch.allclose(pitch, torch.tensor(tones.PITCHES))
    assert torch.allclose(length, torch.tensor(tones.LENGTHS))
    tones.waveform(pitch, length)  # both are accepted
    lean, width = tones.lean_and_width(pitch, length)
    assert torch.allclose(lean, torch.tensor(tones.LEANS), atol=1e-6)
    assert torch.allclose(width, ends["width"])


def test_the_waveform_is_a_sine_of_that_frequency_and_duration():
    pitch, length = torch.tensor([500.0, 1000.0]), torch.tensor([0.2, 0.1])
    wave = tones.waveform(pitch, length)
    assert wave.shape == (2, tones.SAMPLES) and wave.abs().max() <= 1
    for sound, f, seconds in zip(wave, pitch, length, strict=True):
        crossings = (sound[:-1] * sound[1:] < 0).sum()  # two in each period
        assert abs(crossings - 2 * f * seconds) < 2 * f * tones.RAMP + 2
        loud = (sound.abs() > 0.02).nonzero()[:, 0]
        assert abs((loud[-1] - loud[0]) / tones.RATE - seconds) < tones.RAMP
        assert (
            abs(sound.square().sum() * 2 / tones.RATE - seconds) < 0.01 * seconds + tones.RAMP / 2
        )


def test_spectrograms_are_small_images_in_0_to_1():
    x = tones.tones(DRAWN.factors)
    assert x.shape == (500, *tones.SHAPE) and x.dtype == torch.float32
    assert x.min() >= 0 and 0.9 < x.max() <= 1
    steady = tones.spectrogram(
        tones.waveform(torch.tensor([16 * tones.RATE / tones.WINDOW]), torch.tensor([0.2]))
    )
    assert steady[0, 0, 16 - tones.FIRST_BIN, 5] == pytest.approx(1, abs=1e-3)  # on the bin


def test_they_are_the_same_however_many_are_made():
    some = {name: value[:3] for name, value in DRAWN.factors.items()}
    assert torch.allclose(tones.tones(some), tones.tones(DRAWN.factors)[:3], atol=1e-6)


def test_pitch_and_length_are_read_back():
    pitch, length = tones.pitch_and_length(DRAWN.factors)
    heard, lasted = tones.read(tones.tones(DRAWN.factors))
    assert (heard - pitch).abs().max() < 0.1 * tones.RATE / tones.WINDOW
    assert (lasted - length).abs().max() < 0.2 * tones.HOP / tones.RATE


def test_reading_stands_noise_of_the_size_of_the_likelihood():
    pitch, length = tones.pitch_and_length(DRAWN.factors)
    x = tones.tones(DRAWN.factors)
    heard, lasted = tones.read((x + 0.1 * torch.randn_like(x)).clamp(0, 1))
    assert torch.corrcoef(torch.stack([heard, pitch]))[0, 1] > 0.98
    assert (heard - pitch).abs().median() < 0.5 * tones.RATE / tones.WINDOW
    assert torch.corrcoef(torch.stack([lasted, length]))[0, 1] > 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tones.pitch_and_length({"slant": torch.zeros(1)}), "angle, width"),
        (lambda: tones.waveform(torch.tensor([100.0]), torch.tensor([0.1])), "300 to 1200 Hz"),
        (lambda: tones.waveform(torch.tensor([500.0]), torch.tensor([0.5])), "0.06 to 0.22"),
        (lambda: tones.waveform(torch.zeros(2), torch.zeros(3)), "two tensors"),
        (lambda: tones.spectrogram(torch.zeros(2, 5)), "2176"),
        (lambda: tones.read(torch.zeros(2, 1, 28, 28)), "32, 16"),
    ],
)
def test_what_is_no_tone_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
