"""Any-order autoregressive network over mixed columns: each column given those before it, whatever the order.

Reference: Uria, Murray and Larochelle, A deep and tractable density estimator, ICML 2014, arXiv:1310.1757
(order-agnostic training); Tiwald et al., TabularARGN, 2025, arXiv:2501.12012 (embeddings of discretised columns, a
network per column, any order); Germain et al., MADE, ICML 2015, arXiv:1502.03509 (masks).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.category import CategoryCode
from ehrsatz.codecs.signals import Signal, SignalCode, decode_signals, encode_signals, learn_signals
from ehrsatz.codecs.table import TableCode, place_table
from ehrsatz.generators.network import COMMON, Network, Rows
from ehrsatz.generators.order import column_order, entropy
from ehrsatz.seeds import stream, uniforms
from ehrsatz.codecs.window import FREE, Window

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

_EDGE = 1e-6


class Autoregressive(Network):
    """Draw column after column, each from its distribution given those before it."""

    name = "autoregressive"
    conditions: ClassVar[bool] = True
    reference = "Order-agnostic NADE: Uria et al., ICML 2014, arXiv:1310.1757; TabularARGN, arXiv:2501.12012"
    ranges: ClassVar = {**COMMON, "width": (4, 1024), "depth": (0, 8), "dropout": (0.0, 0.9)}

    def __init__(
        self,
        *,
        width: int = 32,
        depth: int = 1,
        dropout: float = 0.1,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 3e-3,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    def _encode(self, frame: pl.DataFrame, table: Any, seed: int, before: Network | None) -> Rows:
        atoms, position = place_table(self.code_, frame)
        if before:
            self.signals_ = before.signals_
        else:
            rng = stream(seed, self.name, "signals")
            found = learn_signals(self.code_, atoms, np.zeros(atoms.shape), rng=rng)
            # codes of many levels stay whole: their logits are a small part of the work
            self.signals_ = SignalCode(
                tuple(replace(one, form="levels", hierarchy=None) if one.form == "tree" else one for one in found.signals)
            )
        levels, scores = encode(self.signals_, self.code_, atoms, position)
        return Rows(atoms, position, scores, levels)

    def _prepare(self, rows: Rows, seed: int) -> dict[str, Any]:
        from ehrsatz.generators import moments
        from ehrsatz.generators.nets import level_margins

        n_values = len(self.signals_.values)
        self._tables = moments.learn_tables(self.signals_, rows.levels, rows.values[:, :n_values])
        self._rows = rows
        sizes = list(self.code_.sizes)
        entropies = [entropy(rows.atoms[:, d], size) for d, size in enumerate(sizes)]
        order = column_order(sizes, entropies, [not isinstance(one, CategoryCode) for one in self.code_.codes])
        return {
            "order": order,
            "widths": [table.shape[1] for table in self._tables],
            "margins": [np.round(one, 6).tolist() for one in level_margins(self.signals_, rows.levels)],
        }

    def _build(self) -> torch.nn.Module:
        import torch

        from ehrsatz.generators import masked, moments

        margins = [np.array(one) for one in self.facts_["margins"]]
        net = masked.Masked(
            self.signals_,
            moments.lay(self.signals_, self.facts_["widths"]),
            margins,
            width=masked.small_width(len(self.code_.names), self.width),
            depth=self.depth,
            dropout=self.dropout,
        )
        if hasattr(self, "_rows"):  # at the first fit, not when a model is loaded
            values, levels = self._rows.tensors(torch.device("cpu"))
            order = torch.tensor(self.facts_["order"])
            with torch.no_grad():
                net.moments.learn(levels, values[:, : len(self.signals_.values)], self._tables, order)
            del self._rows, self._tables
            net.settle()
        return net

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n // 12, 32, 512))
        return Plan(
            epochs=int(np.clip(1200 * batch // n, 30, 100)), batch=batch, rate=self.rate, patience=12, average=0.98
        )

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        return trainee(self.net_, learn, held, plan, place, self.facts_["order"])

    def _width(self) -> int:
        return 3 * len(self.code_.names)

    def _generate(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, Ints]:
        raise AssertionError("draws in _draw")

    def _draw(self, n: int, seed: int, first: int, window: Window | None, name: str) -> tuple[Ints, Floats]:
        import torch

        from ehrsatz.generators import nets

        d = len(self.code_.names)
        atoms, position = np.full((n, d), -1, dtype=np.int32), np.full((n, d), 0.5)
        with nets.single(), torch.no_grad():
            self.net_.settle()
            order = list(self.facts_["order"])
            walk = Walk(self.net_, self.signals_, self.code_, order)
            for start, wanted, target in nets.blocks(first, n):
                u = uniforms(seed, self.name, name, n=nets.BLOCK, width=d + self._width(), first=start)
                one, spot = walk.draw(u[:, d:].reshape(nets.BLOCK, d, 3), u[:, :d])
                atoms[target], position[target] = one[wanted], spot[wanted]
        return atoms, position


# ---------------------------------------------------------------------- signals
def encode(code: SignalCode, table: TableCode, atoms: Ints, position: Floats) -> tuple[Ints, NDArray[np.float32]]:
    """Return level channels (R, K), and per value channel four numbers side by side, (R, 4 C).

    The normal score of the cell's rank; where the ranks that its atom stands for begin, and how far they reach (0 in a
    bin, where the place is known); and whether there is a score at all.
    """
    _, levels = encode_signals(code, atoms, position)
    n, c = len(atoms), len(code.values)
    out = np.zeros((4, n, c), dtype=np.float32)
    for i, d in enumerate(code.values):
        one = code.signals[d]
        share = one.smooth
        floor = np.cumsum(share) - share
        atom = np.maximum(atoms[:, d], 0)
        active = (atoms[:, d] >= 0) & ~np.isin(atoms[:, d], one.heavy)
        spiked = table.codes[d].is_spike(atom)
        rank = floor[atom] + share[atom] * np.where(spiked, 0.5, position[:, d])
        out[0, :, i] = ndtri(np.clip(rank, _EDGE, 1 - _EDGE)) * active
        out[1, :, i] = np.where(spiked, floor[atom], rank)
        out[2, :, i] = np.where(spiked, share[atom], 0.0)
        out[3, :, i] = active
    return levels, out.transpose(1, 0, 2).reshape(n, 4 * c)


# ---------------------------------------------------------------------- drawing
class Walk:
    """Draws rows column by column in one order."""

    def __init__(self, net: Any, code: SignalCode, table: TableCode, order: list[int]) -> None:
        import torch

        self.net, self.code, self.table, self.order = net, code, table, order
        self.coefficients, self.spread = net.moments.coefficients(torch.tensor(order))
        self.level_of = {d: k for k, d in enumerate(code.levels)}
        self.value_of = {d: c for c, d in enumerate(code.values)}
        self.inputs_of = {d: torch.nonzero(net.source == d)[:, 0] for d in range(len(code.signals))}
        self.bounds = {d: np.cumsum(code.signals[d].smooth) for d in code.values}
        self.spiked = {
            d: table.codes[d].is_spike(np.arange(code.signals[d].n_atoms, dtype=np.int32)) for d in code.values
        }

    def draw(self, u: Floats, spare: Floats) -> tuple[Ints, Floats]:
        """Draw rows from uniforms (B, D, 3); spare (B, D) says where within atoms of which nothing is known."""
        import torch

        from ehrsatz.generators.nets import draw_one

        net, code = self.net, self.code
        b, n_levels, n_values = len(u), len(code.sizes), len(code.values)
        h = net.width
        levels = torch.zeros(b, n_levels, dtype=torch.int64)
        scores, active = torch.zeros(b, n_values), torch.zeros(b, n_values)
        drawn = np.zeros((b, n_values))
        inputs = torch.zeros(b, len(net.source))
        design = torch.zeros(b, net.moments.layout.width)
        moments = net.moments
        for d in self.order:
            first = inputs @ net.first[:, d * h : (d + 1) * h]  # (B, H)
            guess = torch.zeros_like(design)
            k, c = self.level_of.get(d), self.value_of.get(d)
            smooth = np.ones(b, dtype=bool)
            if k is not None:
                low, high = moments.layout.levels[k]
                guess[:, low:high] = design @ self.coefficients[low:high].T
                hidden = net.deepen(first[None], guess, slice(k, k + 1))
                logits = net.logits_of(k, hidden[0], guess)
                levels[:, k] = torch.from_numpy(draw_one(logits.double().numpy(), u[:, d, 0]).astype(np.int64))
                raw = moments.table[levels[:, k] + moments.starts[k], low:high]
                design[:, low:high] = (raw - moments.mean[low:high]) / moments.scale[low:high]
                if c is not None:
                    smooth = levels[:, k].numpy() == 0
            if c is not None:
                place = moments.layout.values[c]
                guess = torch.zeros_like(design)
                guess[:, place] = design @ self.coefficients[place]
                block = slice(n_levels + c, n_levels + c + 1)
                hidden = net.deepen(first[None], guess, block)
                out = torch.baddbmm(net.start[c : c + 1], hidden, net.mixture[c : c + 1])
                middle = guess[:, place] * moments.scale[place] + moments.mean[place]
                spread = (self.spread[place] * moments.scale[place]).clamp(0.02, 1.0)
                weight, means, narrow = net.parts(out, middle[None], spread[None])
                part = draw_one(weight[0].double().numpy(), u[:, d, 1])
                rows = np.arange(b)
                z = means[0].double().numpy()[rows, part]
                z = z + np.exp(narrow[0].double().numpy()[rows, part]) * ndtri(np.clip(u[:, d, 2], 1e-9, 1 - 1e-9))
                drawn[:, c] = z
                scores[:, c] = torch.from_numpy(self.centre(d, z) * smooth).float()
                active[:, c] = torch.from_numpy(smooth).float()
                design[:, place] = (scores[:, c] - moments.mean[place]) / moments.scale[place]
            spots = self.inputs_of[d]
            inputs[:, spots] = net.inputs_of(k, c, levels, scores, active)
        return decode_signals(code, self.table, drawn, levels.numpy().astype(np.int32), spare)

    def centre(self, d: int, z: Floats) -> Floats:
        """Return the scores that stand for what these are decoded to: of a spike, the middle of its mass."""
        one, ends = self.code.signals[d], self.bounds[d]
        rank = np.clip(ndtr(z), 0, np.nextafter(1, 0)) * ends[-1]
        full = np.flatnonzero(one.smooth > 0)
        atom = full[np.minimum(np.searchsorted(ends[full], rank, side="right"), len(full) - 1)]
        middle = np.where(self.spiked[d][atom], ends[atom] - one.smooth[atom] / 2, rank)
        return ndtri(np.clip(middle, _EDGE, 1 - _EDGE))


# ---------------------------------------------------------------------- learning
def trainee(net: Any, learn: Rows, held: Rows, plan: Plan, place: torch.device, plain: list[int]) -> Trainee:
    """Return how the network learns: log-likelihood, half of the steps in the plain order."""
    import torch

    from ehrsatz.generators.nets import adam
    from ehrsatz.generators.training import clip

    class Learner:
        def __init__(self) -> None:
            self.net = net
            self.optimizers: list[torch.optim.Optimizer] = [adam(net.parameters(), plan.rate, decay=0.05)]
            self.learn, self.held = learn.tensors(place), held.tensors(place)
            self.n_values = learn.values.shape[1] // 4
            self.plain = torch.tensor(plain, device=place)
            net.settle()
            self.noise = torch.rand(len(held), self.n_values, device=place)
            self.orders = [self.plain, self.plain, some_order(self.plain)]

        def loss(self, values: torch.Tensor, levels: torch.Tensor, noise: torch.Tensor, order: torch.Tensor) -> Any:
            scores, floor, reach, active = values.view(len(values), 4, self.n_values).unbind(1)
            rank = (floor + reach * noise).clamp(_EDGE, 1 - _EDGE)
            of_levels, of_values = net(levels, scores, torch.special.ndtri(rank), active, order)
            return of_levels.sum(1) + of_values.sum(1)

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            values, levels = self.learn[0][rows], self.learn[1][rows]
            order = self.plain if torch.rand(()) < 0.5 else some_order(self.plain)
            noise = torch.rand(len(rows), self.n_values, device=place)
            loss = self.loss(values, levels, noise, order).mean()
            self.optimizers[0].zero_grad()
            loss.backward()
            clip(net.parameters(), 5.0)
            self.optimizers[0].step()
            return loss.detach()

        def score(self) -> float:
            parts = [self.loss(*self.held, self.noise, order) for order in self.orders]
            return float(torch.stack(parts).mean())

    return Learner()


def some_order(plain: torch.Tensor) -> torch.Tensor:
    """Return an order in which some columns come first, the rest keeps the plain order: what conditions ask for."""
    import torch

    n = len(plain)
    few = int(torch.randint(1, 4, ())) if torch.rand(()) < 0.5 else int(torch.randint(1, n + 1, ()))
    chosen = torch.zeros(n, dtype=torch.bool, device=plain.device)
    chosen[torch.randperm(n, device=plain.device)[:few]] = True
    return torch.cat([plain[chosen], plain[~chosen]])
