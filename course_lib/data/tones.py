"""A short tone for each image of ``strokes``: one more modality, with known factors.

A digit is heard as well as seen: the *pitch* says how far it leans (slant + angle, the ``lean`` of
captions and of the judge), the *length* says how wide the pen is. Nothing in the tone says which
digit it is. A tone is a function of these two numbers alone, as a waveform or as a small magnitude
spectrogram; :func:`read` takes both numbers back from a spectrogram, real or generated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from course_lib.errors import check_images

__all__ = [
    "LENGTHS",
    "PITCHES",
    "RATE",
    "SHAPE",
    "lean_and_width",
    "pitch_and_length",
    "read",
    "tones",
    "waveform",
]

RATE = 8000
"""Samples per second."""
WINDOW, HOP = 256, 128  # 32 ms, every 16 ms; Hann windows at half their length add up to one
FIRST_BIN, BINS, FRAMES = 8, 32, 16  # 250 to 1,219 Hz in steps of 31.25 Hz
SHAPE = (1, BINS, FRAMES)
"""Of a spectrogram: one channel, 32 frequencies from low to high, 16 times."""
SAMPLES = HOP * (FRAMES - 1) + WINDOW
RAMP = 0.004  # seconds in which the tone swells and fades, so that it does not click

PITCHES = (300.0, 1200.0)
"""Hz at the smallest and the largest lean, two octaves; the pitch is exponential in the lean."""
LEANS = (-0.25 - math.pi / 18, 0.35 + math.pi / 18)  # the ends of slant + angle in radians
LENGTHS = (0.06, 0.22)
"""Seconds for the thinnest and the thickest pen; linear in the width."""
WIDTHS = (1.5, 3.5)


def pitch_and_length(factors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return pitch in Hz and length in seconds for factors of ``strokes``, each ``[N]`` float32.

    Raises:
        ValueError: ``slant``, ``angle`` or ``width`` is missing.
    """
    missing = [name for name in ("slant", "angle", "width") if name not in factors]
    if missing:
        raise ValueError(
            f"No value for the factor(s) {', '.join(missing)}; a tone needs slant, angle and "
            "width. Take those of draw(...).factors or load('strokes').factors."
        )
    lean = factors["slant"].double() + factors["angle"].double() * (math.pi / 180)
    share = (lean - LEANS[0]) / (LEANS[1] - LEANS[0])
    pitch = PITCHES[0] * (PITCHES[1] / PITCHES[0]) ** share
    share = (factors["width"].double() - WIDTHS[0]) / (WIDTHS[1] - WIDTHS[0])
    length = LENGTHS[0] + (LENGTHS[1] - LENGTHS[0]) * share
    return pitch.float(), length.float()


def lean_and_width(pitch: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors that a pitch in Hz and a length in seconds stand for: the inverse."""
    share = torch.log(pitch / PITCHES[0]) / math.log(PITCHES[1] / PITCHES[0])
    lean = LEANS[0] + (LEANS[1] - LEANS[0]) * share
    share = (length - LENGTHS[0]) / (LENGTHS[1] - LENGTHS[0])
    return lean, WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * share


def waveform(pitch: Tensor, length: Tensor) -> Tensor:
    """Return the tones as sound pressure in [-1, 1], ``[N, 2176]`` float32 at :data:`RATE`.

    A sine of amplitude 1 that begins after 16 ms of silence, swells and fades within 4 ms.

    Args:
        pitch: Hz, ``[N]``.
        length: seconds, ``[N]``, from half to half of the ramps.

    Raises:
        ValueError: not two rows of equal length, or a value that does not fit in the spectrogram.
    """
    if pitch.shape != length.shape or pitch.dim() != 1 or len(pitch) == 0:
        raise ValueError(
            f"pitch and length have shapes {list(pitch.shape)} and {list(length.shape)}; two "
            "tensors [N] were expected."
        )
    for name, value, (low, high), unit in (
        ("pitch", pitch, PITCHES, "Hz"), ("length", length, LENGTHS, "seconds"),
    ):  # fmt: skip
        bad = value[~((value >= low * (1 - 1e-5)) & (value <= high * (1 + 1e-5)))]
        if len(bad):
            raise ValueError(f"A {name} is {bad[0]:g}; {low:g} to {high:g} {unit} was expected.")
    t = (torch.arange(SAMPLES, dtype=torch.float64) - HOP) / RATE  # 0 where the tone begins
    inside = torch.minimum(t, length.double()[:, None] - t)  # seconds to the nearer end
    envelope = torch.sin((inside / RAMP + 0.5).clamp(0, 1) * (math.pi / 2)).square()
    return (envelope * torch.sin(2 * math.pi * pitch.double()[:, None] * t)).float()


def spectrogram(wave: Tensor) -> Tensor:
    """Return magnitudes ``[N, 1, 32, 16]`` in [0, 1]: 1 is a steady tone on a bin's frequency.

    Args:
        wave: ``[N, 2176]``, as :func:`waveform` gives it.
    """
    if wave.dim() != 2 or wave.shape[1] != SAMPLES:
        raise ValueError(f"wave has shape {list(wave.shape)}; [N, {SAMPLES}] was expected.")
    window = torch.hann_window(WINDOW, device=wave.device)
    z = torch.stft(wave.float(), WINDOW, HOP, window=window, center=False, return_complex=True)
    size = z[:, FIRST_BIN : FIRST_BIN + BINS].abs() / (window.sum() / 2)  # z: [N, 129, 16]
    return size.clamp(max=1.0).unsqueeze(1)


def tones(factors: Mapping[str, Tensor]) -> Tensor:
    """Return the spectrograms of the tones of images of ``strokes``, ``[N, 1, 32, 16]`` in [0, 1].

    60,000 take seconds. The same factors give the same tone, up to the rounding of float32.
    """
    pitch, length = pitch_and_length(factors)
    pairs = zip(pitch.split(4096), length.split(4096), strict=True)
    return torch.cat([spectrogram(waveform(*pair)) for pair in pairs])


def read(x: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate pitch in Hz and length in seconds of spectrograms, each ``[N]``.

    The pitch is the center of mass of the energy around the strongest frequency. The length is the
    sum over time of the magnitude there, in units of the steady tone's: at half overlap the windows
    add up to one. On real tones both are right to about a tenth of a step of the spectrogram; on
    an image of anything else they are numbers without meaning.

    Args:
        x: ``[N, 1, 32, 16]`` with values in [0, 1].
    """
    check_images(x)
    if tuple(x.shape[1:]) != SHAPE:
        raise ValueError(f"x has shape {list(x.shape)}; [N, 1, {BINS}, {FRAMES}] was expected.")
    size = x.detach().cpu().double().squeeze(1)
    energy = size.square().sum(2)  # [N, 32]
    bins = torch.arange(BINS, dtype=torch.float64)
    peak = energy.argmax(1, keepdim=True)
    near = energy * ((bins - peak).abs() <= 2)
    total = near.sum(1).clamp(min=1e-12)
    pitch = (FIRST_BIN + (near * bins).sum(1) / total) * (RATE / WINDOW)
    course = size.gather(1, peak[:, :, None].expand(-1, 1, FRAMES)).squeeze(1)  # [N, 16]
    steady = course.topk(2, dim=1).values.mean(1)
    length = course.sum(1) / steady.clamp(min=1e-12) * (HOP / RATE)
    return pitch.float(), length.float()
