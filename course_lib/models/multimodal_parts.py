"""Ready modalities (images, captions, tones), and the model of all three for ``strokes``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributions as td

from course_lib.data import tones
from course_lib.data.captions import WORDS
from course_lib.errors import check_whole
from course_lib.models.conditions import Captions
from course_lib.models.likelihoods import Gaussian
from course_lib.models.multimodal import Modality, MultimodalVAE
from course_lib.models.vae import VAE, dense, full_precision, initialize, mlp_vae

__all__ = ["WordSequence", "Words", "caption_modality", "image_modality", "multimodal_vae",
           "tone_modality"]  # fmt: skip


class Words(nn.Module):
    """A head for captions: each word from the word before it, its place, and a state made of z.

    Args:
        words: the vocabulary; word i of it has the number i + 1, and 0 ends a caption.
        width: of the state.
        length: the most words of a caption.
    """

    def __init__(self, words: Sequence[str], width: int = 64, length: int = 8):
        super().__init__()
        self.words, self.width = list(words), check_whole(width, "width")
        self.length = check_whole(length, "length")
        self.before = nn.Embedding(len(self.words) + 2, self.width)  # the last one: no word yet
        self.place = nn.Embedding(self.length, self.width)
        self.score = nn.Linear(self.width, len(self.words) + 1)

    def forward(self, state: Tensor) -> WordSequence:
        """Return p(words|state) for ``state: [..., width]``."""
        return WordSequence(self, state)

    def log_next(self, state: Tensor, before: Tensor, place: Tensor) -> Tensor:
        """Log p of every word and the end, ``[..., T, V + 1]``, after ``before: [..., T]``."""
        hidden = state.unsqueeze(-2) + self.before(before) + self.place(place)
        return torch.log_softmax(full_precision(self.score(torch.relu(hidden))), -1)

    def texts(self, tokens: Tensor) -> list[str]:
        """Return the captions of word numbers ``[N, T]``, up to the first 0."""
        rows = tokens.tolist()
        ends = [row.index(0) if 0 in row else len(row) for row in rows]
        return [
            " ".join(self.words[i - 1] for i in row[:end])
            for row, end in zip(rows, ends, strict=True)
        ]


class WordSequence(td.Distribution):
    """Captions as rows of word numbers ``[T]``, zeros after the last word.

    log p = sum_t log p(word_t|word before, t, state), up to and with the 0 that ends the caption.
    A word after a 0 has probability 0, so that the probabilities of all rows add up to 1.
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, head: Words, state: Tensor):
        self.net, self.state = head, state
        self.start = len(head.words) + 1  # stands before the first word
        super().__init__(state.shape[:-1], torch.Size([head.length]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of ``value: [..., T]`` broadcast against the batch shape, in nats."""
        if value.shape[-1:] != self.event_shape or value.is_floating_point():
            raise ValueError(
                f"The captions are {value.dtype} with shape {list(value.shape)}; word numbers "
                f"[..., {self.event_shape[0]}] were expected."
            )
        before = torch.cat([torch.full_like(value[..., :1], self.start), value[..., :-1]], -1)
        place = torch.arange(self.net.length, device=value.device)
        log_p = self.net.log_next(self.state, before, place)  # [..., T, V + 1]
        value = value.expand(log_p.shape[:-1])
        log_p = log_p.gather(-1, value.unsqueeze(-1)).squeeze(-1)
        ended = (before == 0).cumsum(-1) > 0
        after_end = torch.where(value == 0, 0.0, -torch.inf).to(log_p.dtype)
        return torch.where(ended, after_end, log_p).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw captions word by word, int64 ``[*sample_shape, *batch, T]``."""
        shape = torch.Size(sample_shape) + self.batch_shape
        state = self.state.expand(*shape, -1).reshape(-1, self.net.width)
        word = torch.full((len(state), 1), self.start, device=state.device)
        drawn, ended = [], torch.zeros_like(word, dtype=torch.bool)
        for t in range(self.net.length):
            log_p = self.net.log_next(state, word, word.new_tensor([t]))
            word = torch.multinomial(log_p[:, 0].exp(), 1).masked_fill(ended, 0)
            ended = ended | (word == 0)
            drawn.append(word)
        return torch.cat(drawn, 1).reshape(*shape, -1)

    @property
    @torch.no_grad()
    def mode(self) -> Tensor:
        """The likeliest caption, int64 ``[*batch, T]``, exact (Viterbi).

        What may follow depends on the word before alone, so the best caption that ends in a word
        is found from the best ones that end in each of the words before it.
        """
        net, size = self.net, len(self.net.words) + 1
        state = self.state.reshape(-1, net.width)
        words = torch.arange(size, device=state.device)  # 0 is "ended"
        best = net.log_next(state, words.new_full((1,), self.start), words[:1])[:, 0]  # [N, V + 1]
        only_end = torch.where(words == 0, 0.0, -torch.inf).to(best.dtype)
        came_from = []
        for t in range(1, net.length):
            step = net.log_next(state, words, words.new_full((1,), t))  # [N, from, to]
            step = torch.where(words[:, None] == 0, only_end, step)
            best, source = (best.unsqueeze(-1) + step).max(1)
            came_from.append(source)
        chosen = [best.argmax(1, keepdim=True)]
        for source in reversed(came_from):
            chosen.append(source.gather(1, chosen[-1]))
        return torch.cat(chosen[::-1], 1).reshape(*self.batch_shape, -1)


def image_modality(vae: VAE) -> Modality:
    """Return the encoder, decoder and likelihood of a VAE as a modality; its prior is not used."""
    return Modality(vae.encoder, vae.decoder, vae.head)


def caption_modality(reader: Captions, latent_dim: int, hidden: int = 128) -> Modality:
    """Return a modality of captions: read by a GRU, written word by word.

    Args:
        reader: whose vocabulary, width and length are used, and whose ``encode`` makes the rows.
        latent_dim: L.
        hidden: width of the layer between the reader and the latents.
    """
    network = initialize(nn.Sequential(*dense(reader.width, hidden, 2 * latent_dim)))
    encoder = nn.Sequential(reader, *network)
    decoder = initialize(nn.Sequential(*dense(latent_dim, hidden, reader.width)))
    return Modality(encoder, decoder, Words(reader.words, reader.width, reader.length))


def tone_modality(latent_dim: int, hidden: Sequence[int] = (128,), sigma: float = 0.25) -> Modality:
    """Return a modality of spectrograms of :mod:`course_lib.data.tones`: normal, sigma fixed.

    A learned sigma would fall to the rounding of these noiseless tones, and the nats of the tone
    would drown those of the image; 0.25 says how exactly a tone is meant to be heard.
    """
    vae = mlp_vae(tones.SHAPE, latent_dim, hidden, "gaussian")
    return Modality(vae.encoder, vae.decoder, Gaussian(sigma))


def multimodal_vae(
    image_shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 16,
    experts: str = "product",
    hidden: Sequence[int] = (256,),
    likelihood: str = "bernoulli",
) -> MultimodalVAE:
    """Return the model of ``image``, ``caption`` and ``tone`` of ``strokes``, in this order.

    Args:
        image_shape: ``(C, H, W)``.
        latent_dim: L.
        experts: a name in :data:`course_lib.models.multimodal.EXPERTS`.
        hidden: widths of the hidden layers for images and, the last one, for the others.
        likelihood: of the images, a name in ``LIKELIHOODS``.
    """
    vae = mlp_vae(image_shape, latent_dim, hidden, likelihood)
    parts = {
        "image": image_modality(vae),
        "caption": caption_modality(Captions(WORDS, 64, 8), latent_dim, vae.spec["hidden"][-1]),
        "tone": tone_modality(latent_dim, vae.spec["hidden"][-1:]),
    }
    model = MultimodalVAE(parts, latent_dim, experts)
    model.image_shape = vae.image_shape
    keep = ("image_shape", "latent_dim", "hidden", "likelihood")
    model.spec = {"model": "multimodal", "experts": experts, **{k: vae.spec[k] for k in keep}}
    return model
