"""Captions: words of a small vocabulary, each decided by its factor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course_lib.data.strokes import WORDS, caption, draw

NORMAL = {"class": 7, "slant": 0.0, "angle": 0.0, "width": 2.5, "scale": 0.92, "aspect": 1.0}


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ({}, "a seven"),
        ({"class": 8}, "an eight"),
        ({"width": 3.2, "slant": -0.2}, "a thick seven leaning left"),
        ({"scale": 0.83, "width": 1.6, "class": 3}, "a small thin three"),
        ({"scale": 1.0, "aspect": 0.85, "class": 8}, "a large narrow eight"),
        ({"aspect": 1.15, "slant": 0.15, "angle": 5.0}, "a wide seven leaning right"),
        ({"slant": 0.25, "angle": -8.0}, "a seven"),  # turned back upright
        ({"ink": 0.0, "paper": 0.65}, "a red seven on blue"),
    ],
)
def test_caption_says_what_the_factors_are(factors: dict, words: str) -> None:
    assert caption({**NORMAL, **factors}) == words


def test_captions_are_lazy_and_of_the_vocabulary() -> None:
    drawn = draw(3_000, size=8, color=True)
    captions = drawn.captions
    assert len(captions) == 3_000
    texts = [*captions, *draw(3_000, size=8).captions]  # "an eight" has no color
    assert {word for text in texts for word in text.split()} == set(WORDS)
    assert captions[7] == drawn.caption(7) == caption({k: v[7] for k, v in drawn.factors.items()})
    assert captions[-1] == captions[2_999]
    assert captions[5:8] == [captions[5], captions[6], captions[7]]
    assert drawn.captions[:50] == draw(50, size=30, color=True).captions[:]
    with pytest.raises(IndexError):
        captions[3_000]


def test_every_word_depends_on_its_factor_alone() -> None:
    drawn = draw(2_000, size=8)
    f = drawn.factors
    for word, is_so in (
        ("small", f["scale"] < 0.88),
        ("thick", f["width"] > 2.9),
        ("narrow", f["aspect"] < 0.9),
        ("seven", f["class"] == 7),
        ("left", f["slant"].double() + f["angle"].double() * np.pi / 180 < -0.1),
    ):
        said = torch.tensor([word in text.split() for text in drawn.captions])
        assert torch.equal(said, is_so), word
        assert 0.05 < said.double().mean() < 0.5, word


def test_a_caption_needs_its_factors() -> None:
    with pytest.raises(ValueError, match="factor.* class"):
        caption({name: value for name, value in NORMAL.items() if name != "class"})
    with pytest.raises(ValueError, match="class is 12"):
        caption({**NORMAL, "class": 12})
