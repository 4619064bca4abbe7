"""A training step as one CUDA graph.

A small model's step is some hundred kernels of a few microseconds each, and Python takes longer to
start them than the GPU to run them. A graph records them once and starts all of them at once. What
is recorded are addresses: each replay reads the batch's row numbers, beta and the learning rate
from the same tensors, and finds weights and optimizer state where they were.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["GraphStep", "record"]

Step = Callable[[Tensor, Tensor], Tensor]


class GraphStep:
    """``step(index, beta)`` recorded for batches of one size; called like it, with a number beta.

    Args:
        step: from row numbers ``[B]`` and beta to what it returns on the device, weights and
            optimizer state being changed in place. It must not look at values on the way.
        model: whose weights and buffers the step changes.
        optimizer: made with ``capturable=True`` and a tensor as the learning rate.
        batch_size: B.
    """

    def __init__(
        self, step: Step, model: nn.Module, optimizer: torch.optim.Optimizer, batch_size: int
    ):
        device = next(model.parameters()).device
        self._index = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self._beta = torch.zeros((), device=device)
        # The steps of the warm-up are real ones, and nothing of them may be left.
        kept = _State(model, optimizer)
        self._replay = record(
            lambda: step(self._index, self._beta), optimizer, kept.put_back, device
        )

    def __call__(self, index: Tensor, beta: float) -> Tensor:
        self._index.copy_(index)
        self._beta.fill_(beta)
        return self._replay()


class _State:
    """The weights, buffers and optimizer state of a run, to be put back where they stand."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer):
        self._model, self._optimizer = model, optimizer
        self._weights = [t.clone() for t in self._tensors()]
        self._moments = {p: {k: v.clone() for k, v in s.items()} for p, s in self._moments_now()}

    def put_back(self) -> None:
        with torch.no_grad():
            for tensor, value in zip(self._tensors(), self._weights, strict=True):
                tensor.copy_(value)
            for p, state in self._moments_now():
                for name, tensor in state.items():
                    # What the first step of a run makes starts from zero.
                    tensor.copy_(self._moments[p][name]) if p in self._moments else tensor.zero_()

    def _tensors(self) -> list[Tensor]:
        return [t.detach() for t in (*self._model.parameters(), *self._model.buffers())]

    def _moments_now(self) -> list[tuple[Tensor, dict]]:
        return [(p, state) for p, state in self._optimizer.state.items() if state]


def record(
    step: Callable[[], Tensor],
    optimizer: torch.optim.Optimizer,
    put_back: Callable[[], None],
    device: torch.device,
) -> Callable[[], Tensor]:
    """Record ``step``; return a function that replays it and gives its result, always one tensor.

    ``put_back`` undoes what the steps of the warm-up did. ``device`` is the GPU that they run on.

    Raises:
        ValueError: the step asks the GPU for a value, which a graph can't.

    Source: "CUDA Graphs" in PyTorch's CUDA notes, for the order of these calls.
    """
    # Random state, streams and the recording are those of the current GPU, often the first one.
    with torch.cuda.device(device):
        random_state = torch.cuda.get_rng_state()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        put_back()
        torch.cuda.set_rng_state(random_state)
        # Gradients that the recorded backward pass makes live in the graph's own memory.
        optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                result = step()
        except RuntimeError as error:
            raise ValueError(
                "graph=True: the step can't be recorded, most likely since the model or the "
                f"objective asks for a value on the way ({str(error).splitlines()[0]}). Train with "
                "graph=False."
            ) from error

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
