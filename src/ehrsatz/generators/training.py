"""The training room: one loop for every network, with early stopping, a schedule, checkpoints and clear failures.

A `Trainee` knows how to take a step on a batch and how to score itself on held-out rows; `train` does the rest:
shuffles, lowers the learning rate when the held-out score stalls (or along a cosine), clips nothing itself (a trainee
clips its gradients in its step), keeps the best state, stops early, writes checkpoints, halves the batch when memory
runs out, and on a loss that is no number goes back to the last good state and says so.

References
----------
Prechelt, Early stopping - but when?, Neural Networks: Tricks of the Trade (1998), doi:10.1007/3-540-49430-8_3.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ehrsatz.errors import DataError, DeviceError, TrainingWarning
from ehrsatz.generators.base import Progress
from ehrsatz.generators.checkpoint import Checkpoint
from ehrsatz.seeds import stream

_SMALLEST_BATCH = 8


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn.

    Parameters
    ----------
    epochs
        At most so many passes over the rows.
    batch
        Rows of a step.
    rate
        Learning rate at the start.
    schedule
        "plateau": the rate is halved when the held-out score has not improved for half the patience. "cosine": it
        falls to zero along a cosine over all epochs. "constant".
    patience
        Scores without improvement after which learning stops; 0 never stops early.
    every
        Epochs between two scores.
    warm
        Steps over which the rate rises at the start.
    average
        Decay of the moving average of the weights that is scored and kept; 0 for none.
    """

    epochs: int
    batch: int
    rate: float
    schedule: str = "plateau"
    patience: int = 10
    every: int = 1
    warm: int = 20
    average: float = 0.0


@dataclass
class History:
    """What happened: for the model's facts and for people."""

    epochs: int = 0
    best_epoch: int = 0
    best_score: float = math.inf
    losses: list[float] = field(default_factory=list)  # mean training loss of each epoch
    scores: list[float] = field(default_factory=list)  # held-out scores, one per `every` epochs
    batch: int = 0
    stopped: str = "all epochs"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, numbers rounded."""
        told = asdict(self)
        told["losses"] = [round(one, 5) for one in self.losses]
        told["scores"] = [round(one, 5) for one in self.scores]
        told["best_score"] = round(self.best_score, 5) if math.isfinite(self.best_score) else None
        return told


class Trainee(Protocol):
    """What `train` asks of a network that learns."""

    net: nn.Module
    optimizers: list[torch.optim.Optimizer]

    def step(self, rows: Tensor) -> Tensor:
        """Take one step on the rows of these numbers (B,) and return the loss, detached."""

    def score(self) -> float:
        """Return how bad the network is on held-out rows; lower is better; the same at each call."""


def train(
    trainee: Trainee,
    n_rows: int,
    plan: Plan,
    *,
    seed: int,
    progress: Progress,
    store: Checkpoint | None = None,
    watch: Callable[[int], str | None] | None = None,
) -> History:
    """Train until the held-out score stops improving; the best state is in the network afterwards.

    Parameters
    ----------
    trainee
        What learns.
    n_rows
        Rows to learn from.
    plan
        How long and how fast.
    seed
        Decides the order of the rows.
    progress
        Called once per epoch with loss and held-out score.
    store
        Where checkpoints are kept; training goes on from the last one there.
    watch
        Called after each score with the number of the epoch; returns a short text to show, or None.

    Raises
    ------
    DataError
        When the very first epoch gives no finite loss: then there is no good state to go back to.
    DeviceError
        When a GPU fails or is taken away.
    """
    history, average = History(batch=min(plan.batch, max(n_rows, 1))), Average(trainee.net, plan.average)
    best = average.state()
    pace = Pace(trainee, plan)
    if store is not None:
        found = store.load(trainee, average, pace, history)
        best = found if found is not None else best
    while history.epochs < plan.epochs and not history.stopped.startswith("no improvement"):
        epoch = history.epochs
        try:
            loss = _epoch(trainee, n_rows, history.batch, pace, average, stream(seed, "epoch", epoch), epoch)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                _check_device(error, history, store)
                raise
            if history.batch <= _SMALLEST_BATCH:
                raise DeviceError(
                    "Expected memory for the network and a few rows.",
                    f"It ran out with batches of {history.batch} rows.",
                    "Use a narrower network (--param width=...), fewer columns, or a machine with more memory.",
                ) from None
            history.batch = max(_SMALLEST_BATCH, history.batch // 2)
            _tell(f"Memory ran out: the batch was halved to {history.batch} rows, and learning goes on.")
            continue
        history.epochs += 1
        if math.isfinite(loss):
            history.losses.append(loss)
            due = history.epochs % plan.every == 0 or history.epochs == plan.epochs
            best = _judge(trainee, average, pace, history, plan, best) if due else best
        if not math.isfinite(loss) or (history.scores and not math.isfinite(history.scores[-1])):
            _diverged(history)
            break
        text = f"loss {loss:.3f}" + (f", held out {history.scores[-1]:.3f}" if history.scores else "")
        more = watch(history.epochs) if watch is not None else None
        progress(f"train\t{text}{', ' + more if more else ''}", history.epochs, plan.epochs)
        if store is not None:
            store.save(trainee, average, pace, history, best)
    trainee.net.load_state_dict(best)
    progress("train", plan.epochs, plan.epochs)
    return history


class Pace:
    """The learning rate: a factor on each optimizer's own rate."""

    def __init__(self, trainee: Trainee, plan: Plan) -> None:
        self.plan, self.optimizers = plan, trainee.optimizers
        self.rates = [[group["lr"] for group in one.param_groups] for one in self.optimizers]
        self.steps, self.slow, self.waited = 0, 1.0, 0

    def step(self, done: float) -> None:
        """Set the rates for the next step; done is the share of all epochs, in [0, 1]."""
        self.steps += 1
        factor = self.slow * min(1.0, self.steps / max(self.plan.warm, 1))
        if self.plan.schedule == "cosine":
            factor *= 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        for one, rates in zip(self.optimizers, self.rates):
            for group, rate in zip(one.param_groups, rates):
                group["lr"] = rate * factor

    def hear(self, improved: bool) -> bool:
        """Note whether the last score was the best so far; return whether to stop."""
        self.waited = 0 if improved else self.waited + 1
        half = max(self.plan.patience // 2, 1)
        if self.plan.schedule == "plateau" and self.waited and self.waited % half == 0:
            self.slow *= 0.5
        return 0 < self.plan.patience <= self.waited


class Average:
    """A moving average of a network's floating-point weights; with decay 0 the weights themselves."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net, self.decay, self.n = net, decay, 0
        self.kept = {name: one.detach().clone() for name, one in net.state_dict().items()} if decay else {}

    def update(self) -> None:
        """Take the present weights in."""
        if not self.decay:
            return
        self.n += 1
        decay = min(self.decay, (1 + self.n) / (10 + self.n))
        for name, one in self.net.state_dict().items():
            if one.is_floating_point():
                self.kept[name].mul_(decay).add_(one.detach(), alpha=1 - decay)
            else:
                self.kept[name].copy_(one)

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the averaged weights."""
        source = self.kept if self.decay else self.net.state_dict()
        return {name: one.detach().clone() for name, one in source.items()}


def clip(parameters: Any, most: float = 1.0) -> None:
    """Cut the gradient to a largest norm."""
    nn.utils.clip_grad_norm_(parameters, most)


def split_rows(n: int, seed: int, *, share: float = 0.15, least: int = 10, most: int = 5_000) -> tuple[Any, Any]:
    """Return row numbers to learn from and to hold out for early stopping, both sorted."""
    n_held = int(np.clip(round(share * n), min(least, n // 2), most))
    order = stream(seed, "held out").permutation(n)
    return np.sort(order[n_held:]), np.sort(order[:n_held])


def _epoch(
    trainee: Trainee, n_rows: int, batch: int, pace: Pace, average: Average, rng: np.random.Generator, epoch: int
) -> float:
    order = torch.from_numpy(rng.permutation(n_rows))
    trainee.net.train()
    total, n_steps = torch.zeros(()), 0
    starts = range(0, max(n_rows - batch // 2, 1), batch)  # a rest of less than half a batch waits for the next epoch
    for i, start in enumerate(starts):
        pace.step((epoch + i / len(starts)) / max(pace.plan.epochs, 1))
        loss = trainee.step(order[start : start + batch])
        average.update()
        total += loss.detach().cpu()
        n_steps += 1
    return float(total) / max(n_steps, 1)


def _judge(
    trainee: Trainee, average: Average, pace: Pace, history: History, plan: Plan, best: dict[str, Tensor]
) -> dict[str, Tensor]:
    trainee.net.eval()
    now = average.state()
    if average.decay:  # score the average, go on with the weights
        kept = {name: one.detach().clone() for name, one in trainee.net.state_dict().items()}
        trainee.net.load_state_dict(now)
    with torch.no_grad():
        score = float(trainee.score())
    if average.decay:
        trainee.net.load_state_dict(kept)
    history.scores.append(score)
    improved = score < history.best_score - 1e-4 * abs(score)
    if improved:
        history.best_score, history.best_epoch, best = score, history.epochs, now
    if pace.hear(improved):
        history.stopped = f"no improvement in {plan.patience} scores"
    return best


def _diverged(history: History) -> None:
    if history.best_epoch == 0:
        raise DataError(
            "Expected a finite loss.",
            f"It was no number in epoch {history.epochs}, before there was any good state.",
            "Lower the learning rate (--param rate=...), or use another generator.",
        )
    history.stopped = "the loss was no number"
    _tell(
        f"The loss was no number in epoch {history.epochs}: the state of epoch {history.best_epoch} is kept. "
        "Lower the learning rate (--param rate=...) if that is too early."
    )


def _is_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text


def _check_device(error: BaseException, history: History, store: Checkpoint | None) -> None:
    """Say so where a GPU failed; other errors are not ours to explain."""
    if "cuda" not in str(error).lower() and "cudnn" not in str(error).lower():
        return
    advice = "Run again with device=cpu" + (
        ": it goes on from the checkpoint." if store is not None else "; with a checkpoint it would go on from there."
    )
    raise DeviceError(
        "Expected the GPU to stay until learning ends.", f"It failed in epoch {history.epochs + 1}.", advice
    ) from None


def _tell(text: str) -> None:
    warnings.warn(TrainingWarning(text), stacklevel=3)
