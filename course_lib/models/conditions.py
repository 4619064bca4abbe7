"""What a model can be conditioned on: modules from context to a vector ``[B, width]``.

Each has ``tensors``, how many tensors of context it takes (one row for each image), ``width``, and
``hide(rows, *context)``, which returns the context with nothing said for the rows that are True.
A hidden row is a value like any other: a model that saw some in training is unconditional on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import check_whole, unknown

__all__ = ["Captions", "Factors", "Joined", "Labels", "Picture"]


class Labels(nn.Module):
    """A class from 0 to ``num_classes - 1``, whole ``[B]``, as one-hot; -1 says nothing."""

    tensors = 1

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.num_classes = self.width = check_whole(num_classes, "num_classes")

    def forward(self, y: Tensor) -> Tensor:
        """Return ``[B, num_classes]``; a row of zeros where y is -1."""
        _check_tensor(y, "The labels are")
        if y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool:
            raise ValueError(
                f"The labels are {y.dtype} with shape {list(y.shape)}; whole numbers, one for each "
                "image, [B], were expected."
            )
        y = y.long()
        if not torch.compiler.is_compiling():
            bad = y[(y < -1) | (y >= self.num_classes)]
            if len(bad):
                raise ValueError(
                    f"A label is {bad[0].item()}; the classes are 0 to {self.num_classes - 1}, and "
                    "-1 where nothing is said."
                )
        hot = F.one_hot(y.clamp(min=0), self.num_classes) * (y >= 0)[:, None]
        return hot.to(torch.get_default_dtype())

    def hide(self, rows: Tensor, y: Tensor) -> tuple[Tensor]:
        return (torch.where(rows, -1, y.long()),)  # 8-bit labels know no -1


class Factors(nn.Module):
    """Several numbers at once, ``[B, F]`` float in any units; NaN says nothing of that one.

    They are standardized with the mean and standard deviation of training data, and each is
    accompanied by a flag that says whether it was given.

    Args:
        values: the factors of the training images, ``[N, F]``.
        names: of the factors, for messages.
    """

    tensors = 1

    def __init__(self, values: Tensor, names: Sequence[str] | None = None):
        super().__init__()
        if values.dim() != 2 or len(values) < 2 or not values.isfinite().all():
            raise ValueError(
                f"values has shape {list(values.shape)}; finite training factors [N, F] with at "
                "least two rows were expected."
            )
        self.names = list(names) if names is not None else [f"{i}" for i in range(values.shape[1])]
        if len(self.names) != values.shape[1]:
            raise ValueError(f"{len(self.names)} names came with {values.shape[1]} factors.")
        self.register_buffer("mean", values.float().mean(0))
        self.register_buffer("std", values.float().std(0).clamp(min=1e-6))
        self.width = 2 * len(self.names)

    def forward(self, values: Tensor) -> Tensor:
        """Return ``[B, 2F]``: standardized values beside flags."""
        _check_tensor(values, "The factors are")
        if values.dim() != 2 or values.shape[1] != len(self.names):
            raise ValueError(
                f"The factors have shape {list(values.shape)}; [B, {len(self.names)}] was "
                f"expected, a column for each of {', '.join(self.names)}."
            )
        if not torch.compiler.is_compiling() and values.isinf().any():
            raise ValueError(
                "A factor is infinite; finite numbers were expected, and NaN where nothing is said."
            )
        given = ~values.isnan()
        scaled = torch.where(given, (values - self.mean) / self.std, torch.zeros_like(values))
        return torch.cat([scaled, given.to(scaled.dtype)], dim=-1)

    def hide(self, rows: Tensor, values: Tensor) -> tuple[Tensor]:
        return (torch.where(rows[:, None], math.nan, values),)


class Captions(nn.Module):
    """A short caption, read word by word by a recurrent network (GRU) that learns with the model.

    The order of the words reaches the vector, unlike in a bag of words: "red on blue" and "blue
    on red" differ. A caption without words says nothing.

    Args:
        words: the vocabulary, such as ``course_lib.data.strokes.WORDS``.
        width: of the vector.
        length: the most words of a caption.
    """

    tensors = 1

    def __init__(self, words: Sequence[str], width: int = 64, length: int = 12):
        super().__init__()
        self.words = list(words)
        if len(set(self.words)) < len(self.words) or any(w != w.lower() for w in self.words):
            raise ValueError("words has a word twice or in capitals; different small ones needed.")
        self.width, self.length = check_whole(width, "width"), check_whole(length, "length")
        self._index = {word: i for i, word in enumerate(self.words, 1)}  # 0 fills up
        self.embedding = nn.Embedding(len(self.words) + 1, 32, padding_idx=0)
        self.read = nn.GRU(32, self.width, batch_first=True)

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Return the captions as word numbers, int64 ``[B, length]``, zeros after the last word.

        Raises:
            ValueError: a word outside the vocabulary, or too many words.
        """
        if isinstance(captions, str):
            captions = [captions]
        rows = torch.zeros(len(captions), self.length, dtype=torch.int64)
        for i, caption in enumerate(captions):
            if not isinstance(caption, str):
                raise TypeError(f"A caption is a {type(caption).__name__}; a str was expected.")
            words = caption.lower().split()
            if len(words) > self.length:
                raise ValueError(
                    f"{caption!r} has {len(words)} words; at most {self.length} were expected."
                )
            for j, word in enumerate(words):
                if word not in self._index:
                    raise unknown("word", word, self.words)
                rows[i, j] = self._index[word]
        return rows

    def forward(self, tokens: Tensor) -> Tensor:
        """Return ``[B, width]``: the state after the last word, zeros where there is none."""
        _check_tensor(tokens, "The captions are")
        if tokens.dim() != 2 or tokens.is_floating_point():
            raise ValueError(
                f"The captions are {tokens.dtype} with shape {list(tokens.shape)}; word numbers "
                "[B, T] were expected. Encode texts with the condition's encode([...])."
            )
        if not torch.compiler.is_compiling() and ((tokens < 0) | (tokens > len(self.words))).any():
            raise ValueError(
                f"The word numbers go from {tokens.min()} to {tokens.max()}; 0 to "
                f"{len(self.words)} were expected, as the condition's encode([...]) gives them."
            )
        states, _ = self.read(self.embedding(tokens))
        count = (tokens > 0).sum(1)
        last = states[torch.arange(len(tokens), device=tokens.device), (count - 1).clamp(min=0)]
        return last * (count > 0)[:, None].to(last.dtype)

    def hide(self, rows: Tensor, tokens: Tensor) -> tuple[Tensor]:
        return (torch.where(rows[:, None], 0, tokens),)


class Picture(nn.Module):
    """An image in another state, ``[B, C, H, W]``: small, noisy, or with its mask beside it.

    An all-zero picture says nothing. Where a black picture says something, hand in a mask as one
    more channel, as :func:`course_lib.data.degrade.hide` makes it.

    Args:
        shape: ``(C, H, W)`` of the condition, the mask counted.
        width: of the vector, from one hidden layer of the same width.
    """

    tensors = 1

    def __init__(self, shape: Sequence[int], width: int = 128):
        super().__init__()
        self.shape, self.width = tuple(shape), check_whole(width, "width")
        self.network = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(self.shape), self.width),
            nn.ReLU(),
            nn.Linear(self.width, self.width),
            nn.ReLU(),
        )

    def forward(self, picture: Tensor) -> Tensor:
        """Return ``[B, width]``."""
        _check_tensor(picture, "The picture is")
        if picture.dim() != 4 or tuple(picture.shape[1:]) != self.shape:
            raise ValueError(
                f"The picture has shape {list(picture.shape)}; "
                f"[B, {', '.join(map(str, self.shape))}] was expected by this model."
            )
        dtype = self.network[1].weight.dtype
        if picture.dtype != dtype:
            raise TypeError(
                f"The picture holds {picture.dtype}, but the weights of this model are {dtype}. "
                f"Convert it with .to({dtype}), and divide 8-bit pixels by 255."
            )
        return self.network(picture)

    def hide(self, rows: Tensor, picture: Tensor) -> tuple[Tensor]:
        return (torch.where(rows[:, None, None, None], 0.0, picture),)


class Joined(nn.Module):
    """Several conditions side by side; the context is theirs in the same order."""

    def __init__(self, *conditions: nn.Module):
        super().__init__()
        if not conditions:
            raise ValueError("No condition was given; at least one was expected.")
        self.conditions = nn.ModuleList(conditions)
        self.tensors = sum(c.tensors for c in conditions)
        self.width = sum(c.width for c in conditions)

    def _parts(self, context: Sequence[Tensor]) -> list[tuple[nn.Module, Sequence[Tensor]]]:
        parts, start = [], 0
        for condition in self.conditions:
            parts.append((condition, context[start : start + condition.tensors]))
            start += condition.tensors
        return parts

    def forward(self, *context: Tensor) -> Tensor:
        return torch.cat([condition(*part) for condition, part in self._parts(context)], dim=-1)

    def hide(self, rows: Tensor, *context: Tensor) -> tuple[Tensor, ...]:
        return tuple(t for c, part in self._parts(context) for t in c.hide(rows, *part))


def _check_tensor(value: object, what: str) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{what} a {type(value).__name__}; a torch tensor with one row for each image was "
            "expected."
        )
