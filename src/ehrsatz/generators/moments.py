"""Linear predictions of every column from those before it, under any order, out of one matrix of second moments.

Each level channel is shown by indicators (few levels) or by the coordinates of a correspondence analysis (many), each
value channel by its normal score. With G + lambda I = L L' in the order asked for, the ridge regressions of all
columns on those before them are rows of L times L^-1, their spread is L's diagonal, and a row's leverages are running
sums of squares of L^-1 z: so one factorisation serves a whole order. Imported late, since it imports torch.

References
----------
Hoerl and Kennard, Ridge regression, Technometrics 12 (1970), doi:10.1080/00401706.1970.10488634.
Allen, Technometrics 16 (1974), doi:10.1080/00401706.1974.10489157 (residuals as of a fit without the row itself).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ehrsatz.codecs.signals import SignalCode
from ehrsatz.generators.linear import codes_of, learn_margin

Floats = NDArray[np.float64]

FEW = 14  # levels up to which linear predictions of a channel's indicators start its logits
_PENALTIES = (1e-3, 1e-2, 3e-2, 1e-1, 0.3)
_ROWS = 4_000  # rows on which the penalty is chosen
_CLIP = 1e-4
_MOST = 600  # design columns
_MOST_LEVERAGE = 0.8


@dataclass(frozen=True)
class Layout:
    """Places of the design's columns.

    Parameters
    ----------
    token : shape (Q,), token of each design column: 2 d for levels of column d, 2 d + 1 for its value.
    levels : design columns of each level channel, begin and end.
    values : design column of each value channel.
    """

    token: NDArray[np.int64]
    levels: tuple[tuple[int, int], ...]
    values: tuple[int, ...]

    @property
    def width(self) -> int:
        """Number of design columns."""
        return len(self.token)


def lay(code: SignalCode, widths: list[int]) -> Layout:
    """Return the places of the design's columns, from the number of columns of each level channel."""
    token: list[int] = []
    levels, values = [], []
    k = c = 0
    for d, one in enumerate(code.signals):
        for _ in one.sizes:
            levels.append((len(token), len(token) + widths[k]))
            token += [2 * d] * widths[k]
            k += 1
        if one.has_value:
            values.append(len(token))
            token.append(2 * d + 1)
            c += 1
    return Layout(np.array(token, dtype=np.int64), tuple(levels), tuple(values))


def learn_tables(code: SignalCode, levels: NDArray[np.int32], scores: Floats) -> list[Floats]:
    """Return how the entries of each level channel are shown, shapes (size, width)."""
    room = _MOST - len(code.values)
    sizes = [*code.sizes, *(20 for _ in code.values)]
    ranks = [np.argsort(np.argsort(scores[:, c], kind="stable"), kind="stable") for c in range(scores.shape[1])]
    coarse = [(20 * rank // max(len(rank), 1)).astype(np.int32) for rank in ranks]
    atoms = np.column_stack([levels, *coarse]).astype(np.int32)  # (R, K + C)
    codes = codes_of(atoms, sizes, [False] * len(code.sizes) + [True] * len(coarse))
    tables = []
    for k, size in enumerate(code.sizes):
        others = [one for j, one in enumerate(codes) if j != k]
        table = learn_margin(levels[:, k], size, False, others, _CLIP).table[:size]
        table = table if table.shape[1] <= room else table[:, :0]  # of very wide tables, later channels are left out
        room -= table.shape[1]
        tables.append(table)
    return tables


class Moments(nn.Module):
    """The design of rows, and all linear predictions under an order.

    Buffers: `table` (sum of sizes, Q), each entry's part of the design; `mean`, `scale` (Q,); `gram` (Q, Q), `n` and
    `penalty`; `gain` (K,), how far linear predictions of a level channel may be believed.
    """

    def __init__(self, code: SignalCode, layout: Layout) -> None:
        super().__init__()
        q, entries = layout.width, max(sum(code.sizes), 1)
        self.layout = layout
        self.register_buffer("table", torch.zeros(entries, q))
        self.register_buffer("mean", torch.zeros(q))
        self.register_buffer("scale", torch.ones(q))
        self.register_buffer("gram", torch.eye(q, dtype=torch.float64))
        self.register_buffer("facts", torch.tensor([1.0, 1.0], dtype=torch.float64))  # rows, penalty
        self.register_buffer("gain", torch.zeros(len(code.sizes)))
        starts = np.concatenate([[0], np.cumsum(code.sizes)])[:-1].astype(np.int64)
        self.register_buffer("starts", torch.from_numpy(starts), persistent=False)
        self.register_buffer("token", torch.from_numpy(layout.token), persistent=False)
        self.register_buffer("places", torch.tensor(layout.values, dtype=torch.int64), persistent=False)

    def learn(self, levels: Tensor, scores: Tensor, tables: list[Floats], order: Tensor) -> None:
        """Learn everything from all rows, levels (N, K) and normal scores (N, C)."""
        for k, (low, high) in enumerate(self.layout.levels):
            begin = int(self.starts[k])
            self.table[begin : begin + len(tables[k]), low:high] = torch.from_numpy(tables[k]).float()
        n = len(scores)
        total, square = torch.zeros(2, self.layout.width, dtype=torch.float64).unbind()
        for part in range(0, n, 4096):
            raw = self.raw(levels[part : part + 4096], scores[part : part + 4096]).double()
            total, square = total + raw.sum(0), square + (raw**2).sum(0)
        mean = total / n
        self.mean.copy_(mean)
        self.scale.copy_((square / n - mean**2).clamp_min(0).sqrt() + 1e-4)
        gram = torch.zeros_like(self.gram)
        for part in range(0, n, 4096):
            rows = self.design(levels[part : part + 4096], scores[part : part + 4096]).double()
            gram += rows.T @ rows
        self.gram.copy_(gram / n)
        some = self.design(levels[:_ROWS], scores[:_ROWS])
        errors = []
        for penalty in _PENALTIES:
            self.facts.copy_(torch.tensor([n, penalty], dtype=torch.float64))
            guess, leverage, _ = self.predict(some, order)
            errors.append(float((((some - guess) / (1 - leverage)) ** 2).mean(0).clamp_max(1.5).sum()))
        best = _PENALTIES[int(np.argmin(np.round(errors, 6)))] if self.layout.width else 1.0
        self.facts.copy_(torch.tensor([n, best], dtype=torch.float64))
        self._believe(some, order)

    def _believe(self, rows: Tensor, order: Tensor) -> None:
        """Regress each level channel on its linear prediction without the row itself: the slope is its gain."""
        guess, leverage, _ = self.predict(rows, order)
        without = rows - (rows - guess) / (1 - leverage)
        for k, (low, high) in enumerate(self.layout.levels):
            both, alone = (rows[:, low:high] * without[:, low:high]).sum(), (without[:, low:high] ** 2).sum()
            self.gain[k] = (both / alone.clamp_min(1e-9)).clamp(0.0, 1.0)

    def raw(self, levels: Tensor, scores: Tensor) -> Tensor:
        """Return the design before standardising, (B, Q)."""
        out = scores.new_zeros(len(scores), self.layout.width)
        if levels.shape[1]:
            out = nn.functional.embedding_bag(levels + self.starts, self.table, mode="sum")
        out[:, self.places] = scores
        return out

    def design(self, levels: Tensor, scores: Tensor) -> Tensor:
        """Return the standardised design, (B, Q)."""
        return (self.raw(levels, scores) - self.mean) / self.scale

    def factor(self, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the factor of an order: design columns in the order (Q,), L (Q, Q), and L without each token's own.

        Parameters
        ----------
        order : columns of the table, first to last, (D,).
        """
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        token = 2 * rank[self.token // 2] + self.token % 2
        sequence = torch.argsort(token, stable=True)
        gram = self.gram[sequence][:, sequence]
        gram = gram + self.facts[1] * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        lower = torch.linalg.cholesky(gram)
        token = token[sequence]
        return sequence, lower, lower * (token[:, None] > token[None, :])

    def predict(self, design: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return linear predictions (B, Q), leverages (B, Q) and spreads (Q,) under an order."""
        sequence, lower, before = self.factor(order)
        lower, before = lower.to(design.dtype), before.to(design.dtype)
        basis = torch.linalg.solve_triangular(lower, design[:, sequence].T, upper=False)  # (Q, B)
        guess = before @ basis
        running = torch.cumsum(basis**2, 0) / self.facts[0].to(basis.dtype)
        n_before = _n_before(self.token[sequence])
        leverage = torch.where(n_before[:, None] > 0, running[(n_before - 1).clamp_min(0)], torch.zeros_like(running))
        back = torch.argsort(sequence)
        spread = lower.diagonal()[back]
        return guess[back].T, leverage[back].T.clamp_max(_MOST_LEVERAGE), spread

    def coefficients(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """Return the regressions of all design columns on all design columns (Q, Q) and spreads (Q,)."""
        sequence, lower, before = self.factor(order)
        inverse = torch.linalg.solve_triangular(lower, torch.eye(len(lower), dtype=lower.dtype), upper=False)
        back = torch.argsort(sequence)
        return (before @ inverse)[back][:, back].float(), lower.diagonal()[back].float()


def _n_before(mine: Tensor) -> Tensor:
    """Return the number of design columns before each one's token, from tokens in sequence (Q,)."""
    starts = torch.arange(len(mine), device=mine.device)
    fresh = torch.ones_like(mine, dtype=torch.bool)
    fresh[1:] = mine[1:] != mine[:-1]
    return torch.cummax(torch.where(fresh, starts, torch.zeros_like(starts)), 0).values
