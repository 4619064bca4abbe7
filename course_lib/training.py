"""One training loop for every model of the course."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib import bounds, default_device, processes
from course_lib.data import binarize as binarize_images
from course_lib.errors import check_model
from course_lib.progress import make_progress
from course_lib.randomness import seeded
from course_lib.training_input import (
    check_compiler,
    check_data,
    check_graph,
    check_plain,
    check_settings,
    count_validation,
    find_checkpoint,
    fingerprint,
    warn_of_grey,
)
from course_lib.training_run import Fit, Objective, Run

__all__ = ["Fit", "fit"]


def fit(
    model: nn.Module,
    data: Tensor | Sequence[Tensor],
    *,
    epochs: int = 10,
    batch_size: int = 128,
    lr: float = 2e-3,
    optimizer: str = "adam",
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    objective: Objective = bounds.terms,
    final_objective: Objective | None = None,
    final_share: float = 0.4,
    beta: float = 1.0,
    warmup_epochs: float = 0.0,
    binarize: bool = False,
    clip_norm: float | None = None,
    ema: float | None = None,
    validation: float | int = 0.05,
    patience: int | None = None,
    compile: bool = False,
    bf16: bool = False,
    graph: bool = False,
    device: torch.device | str | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    notes: dict | None = None,
    after_epoch: Callable[[nn.Module, dict], None] | None = None,
    progress: str | bool = "auto",
) -> Fit:
    """Minimize ``distortion + beta * rate``, averaged over batches, and return model and history.

    The session's random state is left as it was; the run depends on ``seed`` alone. Ctrl-C
    ends it and returns what there is. A run that was killed and is called again with
    ``resume=True`` gives bit for bit what the unbroken run gives (on one device and thread count).

    Inside :func:`course_lib.processes.joined` each process takes its share of every batch with
    noise of its own, and the gradient is that of the whole batch. ``model``, ``data`` and arguments
    must be the same in all. The first one writes the checkpoint and shows progress; a resumed run
    may have another number of processes. An objective that couples the examples of a batch, such as
    :func:`course_lib.bounds_objectives.total_correlation`, couples those of a share.

    Args:
        model: anything with ``prior``, ``posterior``, ``likelihood``, or what ``objective`` takes.
        data: training images ``[N, C, H, W]``, or a sequence of tensors of equal length whose
            first holds the images; the others go to the objective as context (labels, captions).
        epochs: passes over the data.
        batch_size: examples in a step; the last batch of an epoch may be smaller.
        lr: the learning rate, at its highest.
        optimizer: ``"adam"`` or ``"adamw"``.
        weight_decay: as torch's optimizers take it.
        schedule: ``"cosine"`` takes the learning rate to zero over the run; or ``"constant"``.
        objective: ``objective(model, x, *context)`` gives :class:`Terms`, or a loss ``[B]``.
        final_objective: takes the place of ``objective`` in the last epochs, such as
            :func:`course_lib.bounds_objectives.iwae_loss`; the validation loss keeps to
            ``objective``, so that it means the same in every row.
        final_share: the share of the epochs that ``final_objective`` gets.
        beta: weight of the rate. Only 1 makes the loss the negative ELBO.
        warmup_epochs: epochs over which beta rises linearly from 0.
        binarize: draw every image's binary pixels anew at each step (dynamic binarization);
            the validation images are drawn once.
        clip_norm: largest norm of the gradient.
        ema: decay of an exponential moving average of the weights; the average is then what is
            validated and returned.
        validation: share of the data (below 1), or number of examples, kept out for validation.
        patience: epochs without a better validation loss after which to stop; the best weights
            are then returned.
        compile: compile the objective with ``torch.compile`` (needs a C++ compiler on the CPU).
        bf16: compute the layers in bfloat16 (autocast); densities stay in float32.
        graph: on a GPU, record a step once as a CUDA graph and replay it: for small models, whose
            steps Python starts more slowly than the GPU takes them. The objective must not ask for
            a value, as ``.item()`` does.
        device: where to train; default: CUDA where there is one.
        seed: of the split, the order, the binarization and the noise.
        checkpoint: file that holds the whole state of the run after each epoch.
        resume: go on from ``checkpoint`` if it exists; without it an existing file is refused.
        notes: plain values to keep in the checkpoint, such as the name of the data set.
        after_epoch: called as ``after_epoch(model, row)`` with the newest weights (their average
            with ``ema``), in evaluation mode, and the newest row of the history; what it draws at
            random does not change the run.
        progress: ``"auto"``, ``"notebook"``, ``"bar"`` or ``False``.

    Raises:
        ValueError, TypeError: an argument is unusable; the sentence says what to do.
        FileExistsError: ``checkpoint`` exists and ``resume`` is False.
        OSError: ``checkpoint`` can't be written; found out before training where possible.
        FloatingPointError: the loss or a weight became NaN or infinite; the sentence says where.

    Warns:
        UserWarning: grey pixels meet a Bernoulli likelihood without ``binarize``.
    """
    tensors = check_data(data)
    if objective is bounds.terms or not isinstance(model, nn.Module):
        check_model(model, len(tensors) - 1)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, no torch.nn.Module with weights.")
    settings = {
        "epochs": epochs, "batch_size": batch_size, "lr": lr, "optimizer": optimizer,
        "weight_decay": weight_decay, "schedule": schedule, "beta": beta,
        "warmup_epochs": warmup_epochs, "binarize": binarize, "clip_norm": clip_norm, "ema": ema,
        "validation": validation, "patience": patience, "compile": compile, "bf16": bf16,
        "graph": graph, "seed": seed, "final_share": final_share,
    }  # fmt: skip
    settings = check_settings(settings)
    if final_objective is None:
        settings["final_share"] = 0.0
    elif settings["patience"] is not None:
        raise ValueError(
            "patience looks at the loss of the first objective, which may rise while "
            "final_objective is trained; give one or the other."
        )
    held_out = count_validation(settings["validation"], len(tensors[0]), settings["patience"])
    settings["data"] = fingerprint(tensors)
    device = default_device(device)
    if settings["compile"]:
        check_compiler(device)
    team = processes.team()
    if settings["graph"]:
        check_graph(device, team.size)
    if checkpoint is not None:
        check_plain(notes, "notes")
        check_plain(getattr(model, "spec", None), "model.spec")
    saved = team.agree(lambda: find_checkpoint(checkpoint, resume, settings, model))
    if not settings["binarize"]:
        warn_of_grey(model, tensors[0], stacklevel=2)

    with seeded(settings["seed"], device):
        order = torch.randperm(len(tensors[0])).to(device)
        data = [t.to(device) for t in tensors]
        valid = [t[order[:held_out]] for t in data] if held_out else None
        if valid and binarize:
            valid[0] = binarize_images(valid[0])
        run = Run(
            model.to(device), data, order[held_out:], valid, (objective, final_objective),
            settings, checkpoint, notes, after_epoch,
        )  # fmt: skip
        if saved is not None:
            run.restore(saved)
        total = settings["epochs"] * run.steps
        shown = progress if team.first else False
        with make_progress(shown, total, run.epoch * run.steps) as display:
            return run.go(display)
