"""Lossless compression with a VAE: bits-back coding, at a rate of -ELBO bits.

For an image: take z off a stack of bits with q(z|x), put x on it with p(x|z), then z with p(z). The
stack has grown by -log2 p(x|z) - log2 p(z) + log2 q(z|x) bits, which is -ELBO on average: the bits
that chose z are read back by whoever decodes. Images go in groups, so that networks and coder
work on arrays. What a group takes off must be there already, so groups begin with one image and
grow with the stack; below the first lie bits that were made up, which are part of the file.

The networks are evaluated in float64 and what the coder sees is rounded to a grid, so that a file
can be read with another number of threads or on another machine; a digest of the images tells if
that ever fails.

Sources: Townsend et al. 2019 (arXiv 1901.04866); Hinton & van Camp 1993. The coder (asymmetric
numeral systems, Duda 2009) is that of ``constriction``.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributions as td

from course_lib.distributions import NormalMixture
from course_lib.errors import check_images, check_model, check_whole
from course_lib.models.likelihoods import Bernoulli, DiscretizedLogistic

__all__ = ["Compressed", "compress", "decompress", "model_identity"]

MAGIC = b"course_lib bits-back 1\n"
CELLS = 2**16  # of a latent, equally likely under a normal with the prior's mean and deviation
ONE = 2**24  # chances of cells are multiples of 1/ONE
MAX_GROUP = 256
# Probabilities are multiples of 2^-20 and never 0 or 1: what that costs is about 1e-6 bits a pixel.
GRID = 2**20


@dataclass(frozen=True)
class Compressed:
    """What :func:`compress` made.

    Attributes:
        data: the file.
        num_images: how many images are in it.
        num_dims: pixels times channels of each.
        initial_bits: made-up bits below the first image, part of the file.
        header_bits: of the header and the seal: all that is not on the stack of bits.
    """

    data: bytes
    num_images: int
    num_dims: int
    initial_bits: int
    header_bits: int

    @property
    def bits_per_dim(self) -> float:
        """Of the whole file, header and initial bits included."""
        return 8 * len(self.data) / (self.num_images * self.num_dims)


def model_identity(model: nn.Module) -> str:
    """Return a digest of the weights: 16 hexadecimal digits that two models hardly ever share."""
    digest = hashlib.sha256(repr(getattr(model, "spec", None)).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + str(tuple(value.shape)).encode())
        digest.update(value.detach().cpu().contiguous().double().numpy().tobytes())
    return digest.hexdigest()[:16]


@torch.no_grad()
def compress(
    model: nn.Module, x: Tensor, *, max_group: int = MAX_GROUP, progress: bool = False
) -> Compressed:
    """Code images without loss.

    Args:
        model: a trained VAE with normal posterior and a Bernoulli or discretized logistic
            likelihood.
        x: images ``[N, C, H, W]``: 0 and 1 for a Bernoulli likelihood, else multiples of 1/255.
        max_group: the most images coded together; more is faster.
        progress: show a bar.

    Raises:
        TypeError: a likelihood, posterior or prior that this coder does not know.
        ValueError: images of another size, pixels that the likelihood does not know, or a model
            that returns NaN or infinity.
    """
    check_images(x)
    max_group = check_whole(max_group, "max_group")
    coding = _Coding(model)
    x = x.cpu()
    symbols = coding.symbols(x)
    # Enough for one image: drawing a latent takes 24 bits off and puts back what it did not use.
    words = 3 + coding.latents * 24 // 32
    stack = coding.ans(_made_up(words), seal=True)
    done, groups = 0, []
    with _bar(len(x), progress) as bar:
        while done < len(x):
            afford = (stack.num_bits() - 64) // (24 * coding.latents)
            size = max(1, min(afford, max_group, len(x) - done))
            group = slice(done, done + size)
            coding.push(stack, symbols[group], len(groups))
            groups.append(size)
            done += size
            bar.update(size)
    payload = stack.get_compressed().astype("<u4").tobytes()
    header = {
        "model": model_identity(model),
        "shape": list(x.shape),
        "levels": coding.levels,
        "groups": [[size, len(list(same))] for size, same in groupby(groups)],
        "initial_words": words,
        "images": _digest(symbols),
    }
    head = json.dumps(header, separators=(",", ":")).encode()
    body = MAGIC + struct.pack("<I", len(head)) + head + payload
    data = body + hashlib.sha256(body).digest()[:16]
    around = 8 * (len(data) - len(payload))
    return Compressed(data, len(x), math.prod(x.shape[1:]), 32 * words, around)


@torch.no_grad()
def decompress(model: nn.Module, data: bytes, *, progress: bool = False) -> Tensor:
    """Return the images ``[N, C, H, W]`` that :func:`compress` coded with this model.

    Raises:
        TypeError: ``data`` is not the content of a file.
        ValueError: the file is truncated, altered or of another kind, or coded with another model.
    """
    header, payload = _read(data)
    own = model_identity(model)
    if header["model"] != own:
        raise ValueError(
            f"The file was coded with model {header['model']} and this is model {own}; only the "
            "checkpoint that coded it can decode it."
        )
    coding = _Coding(model)
    stack = coding.ans(np.frombuffer(payload, "<u4").astype(np.uint32))
    sizes = [size for size, times in header["groups"] for _ in range(times)]
    parts: list[np.ndarray] = []
    with _bar(sum(sizes), progress) as bar:
        for number, size in reversed(list(enumerate(sizes))):
            parts.append(coding.pop(stack, size, number))
            bar.update(size)
    symbols = np.concatenate(parts[::-1])
    rest = stack.get_compressed(unseal=True)
    if _digest(symbols) != header["images"] or not np.array_equal(
        rest, _made_up(header["initial_words"])
    ):
        raise ValueError(
            "The file is whole, but decoding it here gave other images than were coded: the "
            "networks rounded differently on the two machines. Decode it where it was coded."
        )
    top = header["levels"] - 1
    return (torch.from_numpy(symbols).float() / top).reshape(header["shape"])


class _Coding:
    """A model as the stack sees it: pushes and pops whole groups of images."""

    def __init__(self, model: nn.Module):
        try:
            import constriction
        except ImportError:
            raise ImportError(
                "Compression needs the package constriction: pip install constriction."
            ) from None
        self.ans, self.families = constriction.stream.stack.AnsCoder, constriction.stream.model
        check_model(model)
        head = getattr(model, "head", None)
        if not isinstance(head, Bernoulli | DiscretizedLogistic):
            raise TypeError(
                f"The likelihood is {type(head).__name__}, and bits are about discrete pixels; a "
                "model with likelihood bernoulli or discretized_logistic was expected."
            )
        self.levels = getattr(head, "levels", 2)
        if self.levels not in (2, 256):
            raise TypeError(f"The pixels have {self.levels} levels; this coder knows 2 and 256.")
        # A copy, on the CPU and in float64: the caller's model stays as it is.
        self.model = copy.deepcopy(model).cpu().double().eval()
        self.shape = tuple(model.image_shape)
        p = self.model.prior()
        self.mixture = isinstance(p, NormalMixture)
        if not self.mixture:
            _check_normal(p, "prior")
        self.middle, self.spread = _repeatable(p.mean, p.stddev)
        self.latents = model.latent_dim
        self.even = self.families.Uniform()
        self.coin = self.families.Bernoulli(perfect=False)
        self.parts = self.families.Categorical(perfect=False)

    def symbols(self, x: Tensor) -> np.ndarray:
        """Pixels as whole numbers ``[N, pixels]``, uint8."""
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(
                f"x has shape {list(x.shape)}; the model was trained on images "
                f"[N, {', '.join(map(str, self.shape))}]."
            )
        top = self.levels - 1
        whole = torch.round(x * top)
        if not torch.allclose(x * top, whole, rtol=0, atol=1e-3):
            what = "0 or 1: binarize the images" if top == 1 else "multiples of 1/255"
            raise ValueError(f"x has pixels in between; this likelihood expects {what}.")
        return whole.flatten(1).to(torch.uint8).numpy()

    def push(self, stack, symbols: np.ndarray, group: int) -> None:
        k = self._pop_cells(stack, _cells, *self._posterior(symbols), group)
        z = self._values(k, len(symbols))
        self._push_pixels(stack, self._pixels(z), symbols)
        self._push_latents(stack, k, z)

    def pop(self, stack, count: int, group: int) -> np.ndarray:
        k = self._pop_latents(stack, count)
        z = self._values(k, count)
        symbols = self._pop_pixels(stack, self._pixels(z))
        self._push_cells(stack, k, _cells, *self._posterior(symbols), group)
        return symbols

    def _values(self, k: np.ndarray, count: int) -> Tensor:
        middle = (torch.from_numpy(k).double() + 0.5) / CELLS
        standard = torch.special.ndtri(middle).reshape(count, self.latents)
        return self.middle + self.spread * standard

    def _standard(self, d: td.Normal) -> tuple[Tensor, Tensor]:
        """Mean and deviation of normals ``[..., L]`` in the unit of the cells, ``[count]``."""
        mean, std = _repeatable((d.loc - self.middle) / self.spread, d.scale / self.spread)
        return mean.flatten(), std.flatten()

    def _posterior(self, symbols: np.ndarray) -> tuple[Tensor, Tensor]:
        # From the symbols both ways: a float32 pixel is not the double that a decoder computes.
        x = (torch.from_numpy(symbols).double() / (self.levels - 1)).reshape(-1, *self.shape)
        q = self.model.posterior(x)
        _check_normal(q, "posterior")
        return self._standard(q.base_dist)

    # the latents

    def _pop_cells(
        self, stack, cells, mean: Tensor, std: Tensor, group: int | None = None
    ) -> np.ndarray:
        """Draw a cell of every latent, ``[count]``: the one in which a number of 24 bits falls.

        How far into the cell it fell goes back onto the stack, so that -log2 P(cell) bits are used.
        Where a ``group`` is named, the numbers are shuffled first: what lies on the stack are the
        latents of the group before, and z would follow them instead of q(z|x).
        """
        u = stack.decode(self.even, np.full(len(mean), ONE, np.int32))
        u = torch.from_numpy((u.astype(np.int64) + _shift(group, len(u))) % ONE)
        # By bisection, which needs no guess: cells(k) <= u < cells(beyond) all the time.
        k, beyond = torch.zeros_like(u), torch.full_like(u, CELLS)
        for _ in range(CELLS.bit_length() - 1):
            middle = (k + beyond) // 2
            right = cells(middle, mean, std) <= u
            k, beyond = torch.where(right, middle, k), torch.where(right, beyond, middle)
        low, high = cells(k, mean, std), cells(beyond, mean, std)
        inside, room = (u - low).numpy().astype(np.int32), (high - low).numpy().astype(np.int32)
        several = room > 1  # of one place there is nothing to say
        stack.encode_reverse(inside[several], self.even, room[several])
        return k.numpy()

    def _push_cells(
        self, stack, k: np.ndarray, cells, mean: Tensor, std: Tensor, group: int | None = None
    ) -> None:
        """The inverse of :meth:`_pop_cells`."""
        at = torch.from_numpy(k)
        low, high = cells(at, mean, std), cells(at + 1, mean, std)
        room, u = (high - low).numpy().astype(np.int32), low.numpy().copy()
        several = room > 1
        u[several] += stack.decode(self.even, room[several])
        u = (u - _shift(group, len(u))) % ONE
        stack.encode_reverse(u.astype(np.int32), self.even, np.full(len(u), ONE, np.int32))

    def _push_latents(self, stack, k: np.ndarray, z: Tensor) -> None:
        if not self.mixture:
            self._push_cells(stack, k, _roomy_cells, *self._tiled(len(z)))
            return
        # Of a mixture, the component too is chosen by bits that come back: p(c|z) is known.
        c = stack.decode(self.parts, self._responsibilities(z))
        self._push_cells(stack, k, _roomy_cells, *self._component(c))
        stack.encode_reverse(c, self.parts, self._weights(len(z)))

    def _pop_latents(self, stack, count: int) -> np.ndarray:
        if not self.mixture:
            return self._pop_cells(stack, _roomy_cells, *self._tiled(count))
        c = stack.decode(self.parts, self._weights(count))
        k = self._pop_cells(stack, _roomy_cells, *self._component(c))
        stack.encode_reverse(c, self.parts, self._responsibilities(self._values(k, count)))
        return k

    def _tiled(self, count: int) -> tuple[Tensor, Tensor]:
        mean, std = self._standard(self.model.prior().base_dist)
        return mean.repeat(count), std.repeat(count)

    def _component(self, c: np.ndarray) -> tuple[Tensor, Tensor]:
        p = self.model.prior().component_distribution.base_dist
        return self._standard(td.Normal(p.loc[c], p.scale[c], validate_args=False))

    def _weights(self, count: int) -> np.ndarray:
        return _rounded(self.model.prior().mixture_distribution.probs.expand(count, -1))

    def _responsibilities(self, z: Tensor) -> np.ndarray:
        return _rounded(torch.softmax(self.model.prior().log_joint(z), -1))

    # the pixels

    def _pixels(self, z: Tensor) -> td.Distribution:
        p = self.model.likelihood(z).base_dist
        _check_finite(p.logits if self.levels == 2 else p.loc + p.log_scale)
        return p

    def _push_pixels(self, stack, p: td.Distribution, symbols: np.ndarray) -> None:
        if self.levels == 2:
            stack.encode_reverse(symbols.ravel().astype(np.int32), self.coin, _chances(p.probs))
            return
        planes = list(_planes(p, torch.from_numpy(symbols).long()))
        for bits, chances in reversed(planes):
            stack.encode_reverse(bits, self.coin, chances)

    def _pop_pixels(self, stack, p: td.Distribution) -> np.ndarray:
        count = p.batch_shape[0]
        if self.levels == 2:
            return stack.decode(self.coin, _chances(p.probs)).astype(np.uint8).reshape(count, -1)
        low = torch.zeros(p.batch_shape, dtype=torch.long).flatten(1)
        for width in _WIDTHS:
            bits = stack.decode(self.coin, _chances(_upper_half(p, low, width)))
            low = low + width * torch.from_numpy(bits.astype(np.int64)).reshape(low.shape)
        return low.numpy().astype(np.uint8)


_WIDTHS = (128, 64, 32, 16, 8, 4, 2, 1)  # half of the interval that a bit decides


def _planes(p, level: Tensor) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each bit of 8-bit pixels, the highest first, its values and chances of being 1."""
    for width in _WIDTHS:
        low = level // (2 * width) * (2 * width)
        bits = (level - low >= width).numpy().ravel().astype(np.int32)
        yield bits, _chances(_upper_half(p, low, width))


def _upper_half(p, low: Tensor, width: int) -> Tensor:
    """P(level >= low + width | low <= level < low + 2 width) under a discretized logistic.

    With a < m < b the logits of its CDF at the edges, that is
    sigmoid(-m) (1 - exp(m - b)) / (sigmoid(-a) (1 - exp(a - b))), in which nothing cancels.
    """
    loc, scale = p.loc.flatten(1), torch.exp(p.log_scale.flatten(1).clamp(-30, 30))

    def logit(edge: Tensor) -> Tensor:
        return ((edge - 0.5) / 255 - loc) / scale

    a = logit(low).masked_fill(low == 0, -math.inf)
    m = logit(low + width)  # never an end of the range
    b = logit(low + 2 * width).masked_fill(low == 256 - 2 * width, math.inf)
    ratio = torch.exp(torch.nn.functional.softplus(a) - torch.nn.functional.softplus(m))
    return ratio * torch.expm1(m - b) / torch.expm1(a - b)


def _chances(p: Tensor) -> np.ndarray:
    """Probabilities of ones on the coder's grid, never 0 or 1, ``[count]``."""
    whole = torch.round(torch.nan_to_num(p, nan=0.5) * GRID).clamp(1, GRID - 1)
    return (whole / GRID).numpy().ravel()


def _rounded(p: Tensor) -> np.ndarray:
    """Rows of probabilities as multiples of 1/GRID (the coder normalizes them)."""
    return np.ascontiguousarray((torch.round(p * GRID).clamp(min=1) / GRID).numpy())


def _cells(k: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The CDF of normals at the lower edge of cell ``k``, in units of 1/ONE, ``[count]``.

    A cell may be empty: none that is drawn is.
    """
    edge = torch.special.ndtri(k.double() / CELLS)  # -inf at 0, inf at CELLS
    return torch.round(torch.special.ndtr((edge - mean) / std) * ONE).long()


def _roomy_cells(k: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The same with room for every cell, since a prior has to code whatever was drawn."""
    edge = torch.special.ndtri(k.double() / CELLS)
    share = torch.special.ndtr((edge - mean) / std)
    return torch.round(share * (ONE - CELLS)).long() + k


def _repeatable(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Both without the last digits, in which machines differ; std above zero."""
    _check_finite(mean + std)
    mean, std = (torch.round(v * 2**20).clamp(-(2.0**40), 2.0**40) / 2**20 for v in (mean, std))
    return mean, std.clamp(min=2.0**-20)


def _check_finite(a: Tensor) -> None:
    if not a.isfinite().all():
        raise ValueError("The model returns NaN or infinity; was it trained, and on such images?")


def _check_normal(d: td.Distribution, name: str) -> None:
    if not isinstance(d, td.Independent) or not isinstance(d.base_dist, td.Normal):
        raise TypeError(
            f"The {name} is a {type(d).__name__}; independent normals were expected by this coder."
        )


def _made_up(words: int) -> np.ndarray:
    """The bits below the first image: from a fixed seed, so that a decoder can check them."""
    return np.random.PCG64(0).random_raw(words).astype(np.uint32)


def _shift(group: int | None, count: int) -> np.ndarray | int:
    """Numbers below ONE that shuffle the draws of a group, the same for coder and decoder."""
    if group is None:
        return 0
    return (np.random.PCG64(1 + group).random_raw(count) % ONE).astype(np.int64)


def _digest(symbols: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(symbols).tobytes()).hexdigest()[:16]


def _bar(total: int, progress: bool):
    from tqdm import tqdm

    return tqdm(total=total, unit="image", disable=not progress)


def _read(data: bytes) -> tuple[dict, bytes]:
    """Return header and payload of a file, or say what is wrong with it."""
    if not isinstance(data, bytes | bytearray):
        raise TypeError(
            f"data is a {type(data).__name__}; the bytes of a file were expected, such as "
            "compress(model, x).data or path.read_bytes()."
        )
    if not data.startswith(MAGIC):
        raise ValueError("The file was not written by compress, or its beginning is damaged.")
    body, seal = data[:-16], data[-16:]
    if len(data) < len(MAGIC) + 20 or hashlib.sha256(body).digest()[:16] != seal:
        raise ValueError("The file is truncated or altered. Restore it from a copy.")
    start = len(MAGIC) + 4
    (length,) = struct.unpack("<I", body[len(MAGIC) : start])
    return json.loads(body[start : start + length]), body[start + length :]
