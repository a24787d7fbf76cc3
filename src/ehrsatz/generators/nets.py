"""Blocks that several networks share, and the ground they stand on: chance, threads, device, blocks of rows.

Imported late, since it imports torch. All chance of a network's training comes from one seeded state that is given
back afterwards; sampling draws from numpy's counter-based streams and never from torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from threading import RLock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ehrsatz.codecs.signals import SignalCode
from ehrsatz.errors import ScenarioError
from ehrsatz.seeds import stream

BLOCK = 256  # rows computed together when sampling, whole blocks always, so that shards agree to the last bit
_FEW_ENTRIES = 400
_MOST_LOGIT = 30.0  # where logits are cut in a likelihood
_guard = RLock()
_threads: list[int] = []


# ---------------------------------------------------------------------- ground
@contextmanager
def single() -> Iterator[None]:
    """Hold torch to one thread: sums in another order have other last bits."""
    with _guard:
        _threads.append(torch.get_num_threads())
        if len(_threads) == 1:
            torch.set_num_threads(1)
    try:
        yield
    finally:
        with _guard:
            before = _threads.pop()
            if not _threads:
                torch.set_num_threads(before)


@contextmanager
def chance(seed: int, *names: str | int) -> Iterator[None]:
    """Seed torch's own state for the body and give back what it was; one body at a time in a process."""
    with _guard, torch.random.fork_rng(), single():
        torch.manual_seed(int(stream(seed, *names).integers(2**62)))
        yield


def device_of(name: str) -> torch.device:
    """Return the device of a parameter: "auto" takes a GPU where there is one.

    Raises
    ------
    ScenarioError
        When a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_gpu else "cpu")
    if name not in {"cpu", "cuda"} or (name == "cuda" and not has_gpu):
        raise ScenarioError(
            "Expected 'device' to be auto, cpu or cuda.",
            "There is no GPU that torch can use." if name == "cuda" else "It is none of them.",
            "Use auto, which takes a GPU where there is one.",
        )
    return torch.device(name)


def blocks(first: int, n: int) -> list[tuple[int, slice, slice]]:
    """Return the blocks that hold rows first .. first + n - 1.

    Returns
    -------
    Per block: number of its first row, which of its rows are wanted, and where they go among the n.
    """
    out = []
    for start in range(first - first % BLOCK, first + n, BLOCK):
        low, high = max(start, first), min(start + BLOCK, first + n)
        out.append((start, slice(low - start, high - start), slice(low - first, high - first)))
    return out


def weights_of(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Return a module's parameters and buffers as arrays, by name."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


def load_weights(module: nn.Module, arrays: dict[str, NDArray[Any]]) -> None:
    """Put arrays, as `weights_of` gives them, into a module; ValueError where names or shapes differ."""
    wanted = module.state_dict()
    if set(wanted) != set(arrays) or any(tuple(wanted[name].shape) != arrays[name].shape for name in wanted):
        raise ValueError("other weights")
    module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})


def adam(
    parameters: Iterable[nn.Parameter], rate: float, *, decay: float = 1e-4, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Return AdamW in one fused step, with weight decay on matrices alone (Loshchilov and Hutter, ICLR 2019)."""
    both = list(parameters)
    groups = [
        {"params": [one for one in both if one.ndim > 1], "weight_decay": decay},
        {"params": [one for one in both if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([one for one in groups if one["params"]], lr=rate, betas=betas, fused=True)


# ---------------------------------------------------------------------- blocks
class Residual(nn.Module):
    """x + W2 silu(W1 norm(x)), with dropout; the second matrix starts at zero, so the block starts as the identity."""

    def __init__(self, width: int, *, hidden: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, hidden or width)
        self.second = nn.Linear(hidden or width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H) to (B, H)."""
        return x + self.second(self.dropout(nn.functional.silu(self.first(self.norm(x)))))


def perceptron(sizes: Sequence[int], *, dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    """Return linear layers of these sizes with SiLU (and normalisation, dropout) between them."""
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(n_in, n_out))
        if i < len(sizes) - 2:
            layers += [nn.LayerNorm(n_out)] if norm else []
            layers += [nn.SiLU(), nn.Dropout(dropout)] if dropout else [nn.SiLU()]
    return nn.Sequential(*layers)


class Entry(nn.Module):
    """Value and level channels -> one vector: a table row per entry of each level channel, a weight per value.

    The same as a linear layer on values and one-hot levels; of many entries the one-hot matrix is never built.
    """

    def __init__(self, code: SignalCode, width: int) -> None:
        super().__init__()
        self.n_values = len(code.values)
        starts = np.concatenate([[0], np.cumsum(code.sizes)]).astype(np.int64)
        self.register_buffer("starts", torch.from_numpy(starts[:-1].copy()), persistent=False)
        n_inputs = max(self.n_values + len(code.sizes), 1)
        self.table = nn.Embedding(max(int(starts[-1]), 1), width)
        self.value = nn.Linear(max(self.n_values, 1), width)
        nn.init.normal_(self.table.weight, std=n_inputs**-0.5)
        nn.init.normal_(self.value.weight, std=n_inputs**-0.5)
        nn.init.zeros_(self.value.bias)

    def forward(self, values: Tensor, levels: Tensor) -> Tensor:
        """Map values (B, C) and levels (B, K) to (B, H)."""
        out = self.value.bias.expand(len(levels), -1)
        if self.n_values:
            out = self.value(values)
        if levels.shape[1]:
            entries = levels + self.starts
            if len(self.table.weight) <= _FEW_ENTRIES:  # then a product with zeros and ones is the faster one
                shown = self.table.weight.new_zeros((len(levels), len(self.table.weight))).scatter_(1, entries, 1.0)
                return out + shown @ self.table.weight
            out = out + nn.functional.embedding_bag(entries, self.table.weight, mode="sum")
        return out


class Exit(nn.Module):
    """One vector -> a mean per value channel and logits per level channel, which start at the margins' logits."""

    def __init__(self, code: SignalCode, width: int, margins: Sequence[NDArray[np.float64]]) -> None:
        super().__init__()
        self.n_values, self.sizes = len(code.values), code.sizes
        self.layer = nn.Linear(width, self.n_values + sum(code.sizes))
        nn.init.normal_(self.layer.weight, std=0.1 * width**-0.5)
        nn.init.zeros_(self.layer.bias)
        if code.sizes:
            logits = np.concatenate([np.log(np.maximum(one, 1e-4)) for one in margins])
            with torch.no_grad():
                self.layer.bias[self.n_values :] = torch.from_numpy(logits).float()

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, H) to values (B, C) and all logits side by side (B, sum of sizes)."""
        out = self.layer(hidden)
        return out[:, : self.n_values], out[:, self.n_values :]


def level_margins(code: SignalCode, levels: NDArray[np.int32]) -> list[NDArray[np.float64]]:
    """Return the share of each entry of each level channel, from levels (R, K)."""
    n = max(len(levels), 1)
    return [np.bincount(levels[:, k], minlength=size)[:size] / n for k, size in enumerate(code.sizes)]


def cross_entropy(logits: Tensor, levels: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the negative log-likelihood of levels (B, K) under logits (B, sum of sizes), per channel: (B, K).

    All channels at once: the sums of exponentials are one product with a matrix of zeros and ones. Logits are cut to
    +-`_MOST_LOGIT`, so that no sum overflows.
    """
    if not sizes:
        return logits.new_zeros((len(levels), 0))
    starts, member = _membership(tuple(sizes), logits.device)
    cut = logits.clamp(-_MOST_LOGIT, _MOST_LOGIT)
    return (cut.exp() @ member).log() - cut.gather(1, levels + starts)


@lru_cache(maxsize=16)
def _membership(sizes: tuple[int, ...], place: torch.device) -> tuple[Tensor, Tensor]:
    """Number of each channel's first entry, shape (K,), and whose each entry is, shape (sum of sizes, K)."""
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
    member = np.zeros((sum(sizes), len(sizes)), dtype=np.float32)
    member[np.arange(sum(sizes)), np.repeat(np.arange(len(sizes)), sizes)] = 1.0
    return torch.from_numpy(starts).to(place), torch.from_numpy(member).to(place)


# ---------------------------------------------------------------------- drawing
def draw_levels(code: SignalCode, logits: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.int32]:
    """Draw a level per channel from logits (R, sum of sizes) and uniforms (R, K); places within their group alone."""
    out = np.zeros((len(logits), len(code.sizes)), dtype=np.int32)
    start = 0
    for k, size in enumerate(code.sizes):
        part = logits[:, start : start + size].astype(np.float64)
        if k in code.below:
            part = np.where(code.allowed(k, out[:, code.below[k]]), part, -np.inf)
        out[:, k] = draw_one(part, u[:, k])
        start += size
    return out


def draw_one(logits: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.int32]:
    """Draw one entry per row from logits (R, S) by uniforms (R,)."""
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    bounds = np.cumsum(weight, axis=1)
    drawn = (u[:, None] * bounds[:, -1:] >= bounds).sum(axis=1)
    last = logits.shape[1] - 1 - np.argmax(weight[:, ::-1] > 0, axis=1)  # rounding must not reach what is not allowed
    return np.minimum(drawn, last).astype(np.int32)
