"""The state of one training run, and its loop. The door is :func:`course_lib.training.fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from course_lib import processes
from course_lib.bounds import Terms
from course_lib.checkpoints import write_checkpoint
from course_lib.data import binarize
from course_lib.progress import Progress
from course_lib.randomness import seed_device
from course_lib.training_graph import GraphStep

__all__ = ["OPTIMIZERS", "Fit", "Objective", "Run"]

Objective = Callable[..., "Terms | Tensor"]
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass
class Fit:
    """What :func:`fit` returns.

    Attributes:
        model: the model handed in, trained, in evaluation mode.
        history: one row for each finished epoch: ``epoch``, ``beta``, ``lr``, ``seconds``, and
            ``train_loss``, ``train_distortion``, ``train_rate``, ``valid_loss``,
            ``valid_distortion``, ``valid_rate`` in nats per example (None where there is no
            validation split, or the objective gives a loss only). The training figures are
            averages over the epoch while the weights moved; the validation loss has beta = 1.
        stopped: why the run ended: ``"finished"``, ``"early"`` or ``"interrupted"``.
    """

    model: nn.Module
    history: list[dict] = field(default_factory=list)
    stopped: str = "finished"


class Run:
    """The state of one training run, and the loop."""

    def __init__(
        self,
        model: nn.Module,
        data: list[Tensor],
        rows: Tensor,
        valid: list[Tensor] | None,
        objectives: tuple[Objective, Objective | None],
        settings: dict,
        checkpoint: str | Path | None,
        notes: dict | None,
        after_epoch: Callable[[nn.Module, dict], None] | None,
    ):
        # The training rows are an index into the data, which spares a copy of them.
        self.model, self.data, self.rows, self.valid = model, data, rows, valid
        self.objective, self.final_objective = objectives
        self.settings = settings
        self.checkpoint, self.notes, self.after_epoch = checkpoint, notes, after_epoch
        self.device = rows.device
        self.team = processes.team()
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            raise ValueError("The model has no parameters that require a gradient.")
        # A graph reads the learning rate from a tensor, where each step finds its own.
        lr = settings["lr"]
        if settings["graph"]:
            lr = torch.tensor(lr, device=self.device)
        self.optimizer = OPTIMIZERS[settings["optimizer"]](
            parameters,
            lr=lr,
            weight_decay=settings["weight_decay"],
            fused=self.device.type in ("cpu", "cuda"),
            capturable=settings["graph"],
        )
        self.graphs: dict[Objective, GraphStep] = {}
        self.average = None
        if settings["ema"] is not None:
            average = get_ema_multi_avg_fn(settings["ema"])
            self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        self.compiled: dict[Objective, Objective] = {}
        if settings["compile"]:
            # Shapes are static: one graph for full batches; a short last batch runs uncompiled.
            # Noise comes from torch's own generator, so the run is the eager one, only faster.
            options = {"fallback_random": True}
            # torch.compile turns off the checks of every distribution in the process, for good.
            checks = torch.distributions.Distribution._validate_args
            for one in filter(None, objectives):
                self.compiled[one] = torch.compile(one, dynamic=False, options=options)
            torch.distributions.Distribution.set_default_validate_args(checks)
        self.shared: dict[Objective, nn.Module] = {}
        self.steps = math.ceil(len(rows) / settings["batch_size"])
        self.epoch, self.history = 0, []
        self.best: dict | None = None  # {"loss", "epoch", "weights"}, kept only with patience

    def go(self, display: Progress) -> Fit:
        stopped = "finished"
        try:
            while self.epoch < self.settings["epochs"] and stopped == "finished":
                if self._out_of_patience():
                    stopped = "early"
                    break
                self._one_epoch(display)
                self.save()
                display.epoch(self.history)
                if self.after_epoch is not None:
                    self.after_epoch(self._current().eval(), dict(self.history[-1]))
        except KeyboardInterrupt:
            if self.team.size > 1:
                raise  # the others are at other places of the run: no result can be agreed on
            stopped = "interrupted"
        self.model.load_state_dict(self._result())
        self.model.eval()
        return Fit(self.model, self.history, stopped)

    def _one_epoch(self, display: Progress) -> None:
        start = time.perf_counter()
        # Every epoch has a stream of its own, so a resumed run needs no state but its number. All
        # processes shuffle alike, and each then draws noise of its own.
        self._reseed(self.epoch, rank=0)
        self.model.train()
        batch_size, count = self.settings["batch_size"], len(self.rows)
        order = self.rows[torch.randperm(count).to(self.device)]
        if self.team.size > 1:
            self._reseed(self.epoch, self.team.rank)
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for step, index in enumerate(order.split(batch_size)):
            lr, beta = self._schedule(self.epoch + step / self.steps)
            self._set_rate(lr)
            sums += self._one_step(index, beta)
            if self.average is not None:
                self.average.update_parameters(self.model)
            # Asking a GPU for a number makes it wait, so there it is asked now and then.
            if self.device.type == "cpu" or step % 50 == 49 or step == self.steps - 1:
                self._check_finite(sums, step)
            display.batch()
        self.epoch += 1
        loss, distortion, rate = (processes.total(sums) / count).tolist()
        row = {"epoch": self.epoch, "beta": beta, "lr": lr}
        row |= _row("train", loss, distortion, rate)
        row |= _row("valid", *self._validate())
        self._check_epoch(row)
        self.history.append(row | {"seconds": time.perf_counter() - start})
        self._keep_best(row["valid_loss"])

    def _set_rate(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def _one_step(self, index: Tensor, beta: float) -> Tensor:
        """Take one step on the batch of these rows.

        Returns the sums of loss, distortion and rate over this process's share of it, ``[3]``.
        """
        size = self.settings["batch_size"]
        if not self.settings["graph"] or len(index) < size:
            return self._step(index, beta)
        objective = self._objective()
        if objective not in self.graphs:
            self.graphs[objective] = GraphStep(self._step, self.model, self.optimizer, size)
        return self.graphs[objective](index, beta)

    def _step(self, index: Tensor, beta: float | Tensor) -> Tensor:
        share = self.team.share(index)
        idle = len(share) == 0
        # Without a row in the last batch a process still takes the step, with weight 0.
        batch = [t.index_select(0, index[:1] if idle else share) for t in self.data]
        if self.settings["binarize"]:
            batch[0] = binarize(batch[0])
        objective = self._objective()
        if len(index) == self.settings["batch_size"]:
            objective = self.compiled.get(objective, objective)
        with self._precision(), processes.sitting_out(idle):
            value = self._evaluate(objective, batch)
        parts = _split(value, beta, len(batch[0]))
        if idle:
            parts = tuple(0 * part for part in parts)
        self.optimizer.zero_grad(set_to_none=True)
        # Gradients are averaged over the processes, so each adds its part of the mean times N.
        (parts[0].sum() * self.team.size / len(index)).backward()
        if self.settings["clip_norm"] is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings["clip_norm"])
        self.optimizer.step()
        return torch.stack([t.detach().sum() for t in parts])

    def _evaluate(self, objective: Objective, batch: list[Tensor]) -> Terms | Tensor:
        if self.team.size == 1:
            return objective(self.model, *batch)
        # Which weights an objective uses is found out at its first step, so each has a wrapper of
        # its own, and only one at a time: all would listen to the same gradients.
        asked = self._objective()
        if asked not in self.shared:
            self.shared.clear()
            self.shared[asked] = _data_parallel(self.model)
        return self.shared[asked](objective, *batch)

    @torch.no_grad()
    def _validate(self) -> tuple[float | None, ...]:
        if self.valid is None:
            return None, None, None
        self._reseed(-1, self.team.rank)  # the same noise for every epoch
        model = self._current().eval()
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        count = len(self.valid[0])
        own = [self.team.share(t) for t in self.valid]
        # As many rounds in every process, since an objective may ask all of them for a sum: one
        # that has no row left looks at another's, and adds nothing.
        for start in range(0, math.ceil(count / self.team.size), 1000):
            batch = [t[start : start + 1000] for t in own]
            idle = len(batch[0]) == 0
            if idle:
                batch = [t[:1] for t in self.valid]
            with self._precision(), processes.sitting_out(idle):
                value = self.objective(model, *batch)
            parts = _split(value, 1.0, len(batch[0]))
            if not idle:
                sums += torch.stack([t.sum() for t in parts])
        return tuple((processes.total(sums) / count).tolist())

    def _reseed(self, epoch: int, rank: int) -> None:
        seed_device(_stream(self.settings["seed"], epoch, rank), self.device)

    def _objective(self) -> Objective:
        """The objective of the epoch that is under way."""
        last = round(self.settings["final_share"] * self.settings["epochs"])
        final = self.epoch >= self.settings["epochs"] - last
        return self.final_objective if final and self.final_objective else self.objective

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings["bf16"])

    def _schedule(self, position: float) -> tuple[float, float]:
        """Learning rate and beta at ``position``, in epochs from the start of the run."""
        s = self.settings
        lr = s["lr"]
        if s["schedule"] == "cosine":
            lr *= 0.5 * (1 + math.cos(math.pi * position / s["epochs"]))
        rise = min(1.0, position / s["warmup_epochs"]) if s["warmup_epochs"] else 1.0
        return lr, s["beta"] * rise

    def _check_finite(self, sums: Tensor, step: int) -> None:
        loss, distortion, rate = sums.tolist()
        if math.isfinite(loss):
            return
        broken = self._broken()
        terms = (
            ""
            if math.isnan(distortion) and math.isnan(rate)
            else (f" (distortion {distortion:g}, rate {rate:g}, summed over the epoch)")
        )
        since = "" if self.device.type == "cpu" else f" or up to {step % 50} before it"
        raise FloatingPointError(
            f"The loss became {loss:g} in epoch {self.epoch + 1}, batch {step + 1} of "
            f"{self.steps}{since}{terms}; "
            + (f"not finite now: {', '.join(broken[:3])}" if broken else "all weights are finite")
            + ". Lower lr, set clip_norm, or look for a logarithm of zero or an exp that overflows."
        )

    def _check_epoch(self, row: dict) -> None:
        """Stop before a broken state is kept: the last step's damage shows in no training loss."""
        broken = self._broken()
        if broken or (self.valid is not None and not _is_finite(row["valid_loss"])):
            what = f"weights {', '.join(broken[:3])}" if broken else "validation loss"
            raise FloatingPointError(
                f"Not finite at the end of epoch {self.epoch}: {what}. Lower lr, set clip_norm, "
                "or look for a logarithm of zero or an exp that overflows."
            )

    def _broken(self) -> list[str]:
        return [n for n, p in self.model.named_parameters() if not p.isfinite().all()]

    def _keep_best(self, loss: float | None) -> None:
        if self.settings["patience"] is None:
            return
        if self.best is None or loss < self.best["loss"]:
            self.best = {"loss": loss, "epoch": self.epoch, "weights": deepcopy(self._weights())}

    def _out_of_patience(self) -> bool:
        patience = self.settings["patience"]
        return self.best is not None and self.epoch - self.best["epoch"] >= patience

    def _current(self) -> nn.Module:
        """The model to validate and return: the average where there is one."""
        return self.average.module if self.average is not None else self.model

    def _weights(self) -> dict:
        return self._current().state_dict()

    def _result(self) -> dict:
        return self.best["weights"] if self.best is not None else self._weights()

    def save(self) -> None:
        """Write the whole state; ``load_model`` reads its ``spec`` and ``result``."""
        if self.checkpoint is None or not self.team.first:
            return
        write_checkpoint(
            self.checkpoint,
            {
                "spec": getattr(self.model, "spec", None),
                "result": self._result(),
                "notes": self.notes,
                "settings": self.settings,
                "epoch": self.epoch,
                "history": self.history,
                "weights": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state_dict() if self.average is not None else None,
                "best": self.best,
            },
        )

    def restore(self, saved: dict) -> None:
        self.model.load_state_dict(saved["weights"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.settings["graph"]:
            for group in self.optimizer.param_groups:  # a tensor comes back on the CPU
                group["lr"] = group["lr"].to(self.device)
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.epoch, self.history, self.best = saved["epoch"], saved["history"], saved["best"]


def _split(
    value: Terms | Tensor, beta: float | Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Per-example loss, distortion and rate; the last two are NaN for an objective without them."""
    parts = value if isinstance(value, Terms) else (value,)
    for part in parts:
        if not isinstance(part, Tensor) or tuple(part.shape) != (count,):
            is_tensor = isinstance(part, Tensor)
            found = f"shape {list(part.shape)}" if is_tensor else f"a {type(part).__name__}"
            raise ValueError(
                f"The objective returned {found} for {count} examples; one loss per example, "
                f"[{count}], or bounds.Terms of two such tensors was expected. Don't average "
                "inside the objective."
            )
    if isinstance(value, Terms):
        return value.distortion + beta * value.rate, value.distortion, value.rate
    return value, torch.full_like(value, math.nan), torch.full_like(value, math.nan)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _row(name: str, *values: float | None) -> dict:
    """Name the three figures of a split; what an objective does not give is None, not NaN."""
    keys = (f"{name}_loss", f"{name}_distortion", f"{name}_rate")
    return {k: None if v is None or math.isnan(v) else v for k, v in zip(keys, values, strict=True)}


class _Step(nn.Module):
    """An objective as the forward pass of a module, which is what torch's data parallel wraps."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, objective: Objective, *batch: Tensor) -> Terms | Tensor:
        return objective(self.model, *batch)


def _data_parallel(model: nn.Module) -> nn.Module:
    """Make all processes go on from the first one's weights, and average their gradients."""
    gpus = [torch.cuda.current_device()] if next(model.parameters()).is_cuda else None
    return DistributedDataParallel(_Step(model), device_ids=gpus, static_graph=True)


def _stream(seed: int, epoch: int, rank: int = 0) -> int:
    """A seed for one epoch of one process; distinct for runs of fewer than a million epochs."""
    return (seed * 1_000_003 + epoch + 1 + rank * 0x5DEECE66D) % 2**63
