"""A notebook's output for the live figures: somebody watches it, or nobody does."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.widgets import live


@pytest.fixture
def shown(monkeypatch) -> list:
    """What is displayed while nobody watches."""
    things: list = []
    monkeypatch.setattr("IPython.display.display", things.append)
    monkeypatch.setattr(live, "is_watched", lambda: False)
    return things


@pytest.fixture
def watched(shown, monkeypatch) -> list:
    """What is displayed while somebody watches: the still picture, then the live form."""
    monkeypatch.setattr(live, "is_watched", lambda: True)
    return shown


@pytest.fixture
def decoded():
    """Turn what a form shows into an image ``[C, H, W]``: one dot of each square of its PNG."""

    def decode(widget, height: int) -> torch.Tensor:
        text = re.search(r'src="data:image/png;base64,([^"]+)"', widget.value).group(1)
        dots = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
        zoom, rest = divmod(dots.shape[0], height)
        assert rest == 0 and zoom >= 1
        small = dots[::zoom, ::zoom]
        assert (np.repeat(np.repeat(small, zoom, 0), zoom, 1) == dots).all(), "not nearest neighbor"
        image = torch.from_numpy(small / 255.0)
        return image[None] if image.dim() == 2 else image.permute(2, 0, 1)

    return decode
