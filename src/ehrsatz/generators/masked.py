"""The network of `autoregressive`: every column's distribution given those before it, under any order, in one pass.

Inputs of a column are an embedding per level channel and smooth features per value channel; one masked matrix takes
them to a hidden layer per column, in which a column sees those before it alone. Level channels have logits, value
channels a mixture of normals on the scale of normal scores; both start at the margins and the linear predictions of
`moments`. Imported late, since it imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ehrsatz.codecs.signals import SignalCode
from ehrsatz.generators.moments import FEW, Layout, Moments

PARTS = 4  # of a value's mixture
BUMPS = (-1.8, -0.9, 0.0, 0.9, 1.8)
FEATURES = 1 + len(BUMPS)
_STARTS = ((0.0, -0.1, 1.4), (-0.45, -0.2, 0.0), (0.45, -0.2, 0.0), (0.0, 0.35, -0.5))  # offset, log spread, logit
_NARROW, _WIDE = -5.0, 1.5  # of the log spread
_SPREADS = (0.02, 1.0)  # of linear predictions
_SHARE = 0.1  # least factor by which linear predictions change a level's share


@dataclass(frozen=True)
class Bucket:
    """Level channels of similar size, and the padded size."""

    channels: tuple[int, ...]
    size: int


class Masked(nn.Module):
    """All conditionals of a table.

    Parameters
    ----------
    code : D columns, K level channels, C value channels.
    layout : of the linear design.
    margins : share of each entry of each level channel.
    width : hidden units per column.
    depth : residual layers per column.
    dropout : share of hidden units left out in training.
    """

    def __init__(
        self,
        code: SignalCode,
        layout: Layout,
        margins: list[NDArray[np.float64]],
        *,
        width: int,
        depth: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.code, self.width, self.n_columns = code, width, len(code.signals)
        self.moments = Moments(code, layout)
        self.dropout = nn.Dropout(dropout)
        # blocks of hidden units: one per level channel, then one per value channel
        self.columns = torch.tensor([*code.levels, *code.values], dtype=torch.int64)
        self._embed(code)
        n_inputs, n_blocks, h = len(self.source), len(self.columns), width
        self.first = nn.Parameter(torch.randn(n_inputs, self.n_columns * h) * max(n_inputs, 1) ** -0.5)
        self.bias = nn.Parameter(torch.randn(n_blocks, 1, h) * 0.3)
        # each block's own linear predictions, padded to the widest
        owned = [list(range(low, high)) for low, high in layout.levels] + [[place] for place in layout.values]
        most = max(map(len, owned), default=0)
        table = [one + [layout.width] * (most - len(one)) for one in owned]
        self.register_buffer("own", torch.tensor(table, dtype=torch.int64).view(n_blocks, most), persistent=False)
        self.guess = nn.Parameter(torch.randn(n_blocks, most, h) * max(most, 1) ** -0.5)
        self.layers = nn.ParameterList()
        for _ in range(depth):
            self.layers.append(nn.Parameter(torch.randn(n_blocks, h, h) * h**-0.5))
            self.layers.append(nn.Parameter(torch.zeros(n_blocks, 1, h)))
        self._heads(code, margins)

    def _embed(self, code: SignalCode) -> None:
        """Embedding tables, grouped by width, and the column of each input."""
        sizes = np.array(code.sizes, dtype=np.int64)
        wide = np.where(sizes <= 4, 4, np.where(sizes <= 32, 8, 16)) if len(sizes) else sizes
        self.groups: list[Tensor] = []
        self.tables = nn.ParameterList()
        source: list[int] = []
        for width in sorted(set(wide.tolist())):
            channels = np.flatnonzero(wide == width)
            starts = np.cumsum(sizes[channels]) - sizes[channels]
            self.register_buffer(f"starts_{len(self.groups)}", torch.from_numpy(starts), persistent=False)
            self.groups.append(torch.from_numpy(channels))
            self.tables.append(nn.Parameter(torch.randn(int(sizes[channels].sum()), width) * 0.7))
            source += [code.levels[k] for k in channels for _ in range(width)]
        source += [d for d in code.values for _ in range(FEATURES)]
        self.register_buffer("source", torch.tensor(source, dtype=torch.int64), persistent=False)
        self.register_buffer("bumps", torch.tensor(BUMPS), persistent=False)

    def _heads(self, code: SignalCode, margins: list[NDArray[np.float64]]) -> None:
        h, c = self.width, len(code.values)
        self.buckets: list[Bucket] = []
        self.place: dict[int, tuple[int, int]] = {}  # level channel -> bucket, place in it
        self.logits, self.offsets = nn.ParameterList(), nn.ParameterList()
        rest = list(range(len(code.sizes)))
        for most in (3, 8, FEW, 32, 128, 512, 2048, 1 << 30):
            channels = [k for k in rest if code.sizes[k] <= most]
            rest = [k for k in rest if code.sizes[k] > most]
            if not channels:
                continue
            size = max(code.sizes[k] for k in channels)
            margin = torch.full((len(channels), 1, size), -1e4)
            for i, k in enumerate(channels):
                share = np.maximum(margins[k], 1e-5)
                margin[i, 0, : code.sizes[k]] = torch.from_numpy(np.log(share / share.sum())).float()
                self.place[k] = (len(self.buckets), i)
            self.buckets.append(Bucket(tuple(channels), size))
            self.logits.append(nn.Parameter(torch.zeros(len(channels), h, size)))
            self.offsets.append(nn.Parameter(margin))
        self.mixture = nn.Parameter(torch.zeros(c, h, 3 * PARTS))
        self.start = nn.Parameter(torch.tensor(_STARTS).T.reshape(1, 1, -1).repeat(c, 1, 1))
        self.register_buffer("shares", torch.ones(sum(code.sizes), dtype=torch.float32), persistent=False)
        if code.sizes:
            self.shares.copy_(torch.from_numpy(np.concatenate([np.maximum(one, 1e-4) for one in margins])))

    # ------------------------------------------------------------------ parts
    def inputs(self, levels: Tensor, scores: Tensor, active: Tensor) -> Tensor:
        """Return the features of all columns, (B, P): zero would mean that a column is not seen."""
        parts = []
        for i, (channels, table) in enumerate(zip(self.groups, self.tables)):
            rows = levels[:, channels] + getattr(self, f"starts_{i}")
            parts.append(nn.functional.embedding(rows, table).flatten(1))
        if scores.shape[1]:
            parts.append(self.features(scores, active).flatten(1))
        return torch.cat(parts, 1)

    def features(self, scores: Tensor, active: Tensor) -> Tensor:
        """Return smooth features of normal scores (B, C) -> (B, C, F), 0 where there is none."""
        bumps = torch.exp(-1.5 * (scores[..., None] - self.bumps) ** 2)
        return torch.cat([scores[..., None], bumps], -1) * active[..., None]

    def hidden(self, inputs: Tensor, guess: Tensor, rank: Tensor) -> Tensor:
        """Return each block's hidden units given the columns of lower rank, (K + C, B, H)."""
        seen = (rank[self.source][:, None] < rank[None, :]).to(inputs.dtype)  # (P, D)
        weight = self.first * seen.repeat_interleave(self.width, 1)
        out = (inputs @ weight).view(len(inputs), self.n_columns, self.width).transpose(0, 1)  # (D, B, H)
        return self.deepen(out[self.columns], guess, slice(None))

    def deepen(self, out: Tensor, guess: Tensor, blocks: slice) -> Tensor:
        """Add linear predictions (B, Q) to the first layer of some blocks, (n, B, H), and apply the others."""
        padded = nn.functional.pad(guess, (0, 1))[:, self.own[blocks]].transpose(0, 1)  # (n, B, most)
        out = torch.baddbmm(out + self.bias[blocks], padded, self.guess[blocks])
        out = self.dropout(nn.functional.silu(out))
        for i in range(0, len(self.layers), 2):
            step = torch.baddbmm(self.layers[i + 1][blocks], out, self.layers[i][blocks])
            out = out + self.dropout(nn.functional.silu(step))
        return out

    def tilt(self, guess: Tensor) -> Tensor:
        """Return what linear predictions add to the logits of all entries, (B, sum of sizes); 0 for large channels."""
        return self.bend((guess * self.moments.scale) @ self.spell, slice(None))

    def settle(self) -> None:
        """Prepare `tilt` from the moments' tables, after they are learned or loaded."""
        entries, q = len(self.shares), self.moments.layout.width
        spell, trust = torch.zeros(q, entries), torch.zeros(entries)
        starts = self.moments.starts.tolist()
        for k, size in enumerate(self.code.sizes):
            if size > FEW:
                continue
            low, high = self.moments.layout.levels[k]
            shown = self.moments.table[starts[k] : starts[k] + size, low:high]  # (size, width): indicators
            spell[low:high, starts[k] : starts[k] + size] = shown.T
            hidden = shown.sum(1) == 0  # what no indicator shows shares the rest
            if hidden.any():
                part = self.shares[starts[k] : starts[k] + size] * hidden
                spell[low:high, starts[k] : starts[k] + size] -= part / part.sum()
            trust[starts[k] : starts[k] + size] = self.moments.gain[k]
        self.spell, self.trust = spell.to(self.shares.device), trust.to(self.shares.device)

    def level_logits(self, hidden: Tensor, tilt: Tensor) -> list[Tensor]:
        """Return logits per bucket, (channels, B, size)."""
        out = []
        starts = self.moments.starts
        for bucket, weight, offset in zip(self.buckets, self.logits, self.offsets):
            logits = torch.baddbmm(offset, hidden[list(bucket.channels)], weight)
            if bucket.size <= FEW:
                spots = starts[list(bucket.channels)][:, None] + torch.arange(bucket.size, device=tilt.device)
                spots = spots.clamp_max(tilt.shape[1] - 1)  # the padding's logits are far below all others
                logits = logits + tilt[:, spots].transpose(0, 1)
            out.append(logits)
        return out

    def logits_of(self, channel: int, hidden: Tensor, guess: Tensor) -> Tensor:
        """Return logits of one level channel, (B, size), from its block (B, H) and linear predictions (B, Q)."""
        bucket, i = self.place[channel]
        size, begin = self.code.sizes[channel], int(self.moments.starts[channel])
        logits = (hidden @ self.logits[bucket][i] + self.offsets[bucket][i])[:, :size]
        if size <= FEW:
            low, high = self.moments.layout.levels[channel]
            raw = guess[:, low:high] * self.moments.scale[low:high]
            change = raw @ self.spell[low:high, begin : begin + size]
            logits = logits + self.bend(change, slice(begin, begin + size))
        return logits

    def bend(self, change: Tensor, entries: slice) -> Tensor:
        """Return what changes of shares (B, n) of some entries add to their logits."""
        return torch.log((1 + self.trust[entries] * change / self.shares[entries]).clamp_min(_SHARE))

    def inputs_of(
        self, channel: int | None, value: int | None, levels: Tensor, scores: Tensor, active: Tensor
    ) -> Tensor:
        """Return the inputs of one column, in the order in which `source` names it."""
        parts = []
        if channel is not None:
            for i, channels in enumerate(self.groups):
                spot = torch.nonzero(channels == channel)
                if len(spot):
                    rows = levels[:, channel] + getattr(self, f"starts_{i}")[spot[0, 0]]
                    parts.append(nn.functional.embedding(rows, self.tables[i]))
        if value is not None:
            parts.append(self.features(scores[:, value : value + 1], active[:, value : value + 1])[:, 0])
        return torch.cat(parts, 1)

    def mixture_of(
        self, channels: slice, hidden: Tensor, guess: Tensor, spread: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return log weights, means and log spreads of some value channels, (C', B, M).

        Parameters
        ----------
        channels : C' value channels.
        hidden : their blocks, (C', B, H).
        guess, spread : their linear predictions (C', B), and the spread of what is left (C',), on the design's scale.
        """
        places = self.moments.places[channels]
        scale, mean = self.moments.scale[places], self.moments.mean[places]
        narrow = (spread * scale).clamp(*_SPREADS)[:, None, None]
        out = torch.baddbmm(self.start[channels], hidden, self.mixture[channels])  # (C', B, 3 M)
        offset, wide, logit = out.chunk(3, -1)
        means = (guess * scale[:, None] + mean[:, None])[..., None] + narrow * offset
        return logit.log_softmax(-1), means, wide.clamp(_NARROW, _WIDE) + narrow.log()

    def conditionals(
        self, levels: Tensor, scores: Tensor, active: Tensor, order: Tensor
    ) -> tuple[list[Tensor], tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
        """Return all conditionals of rows under an order.

        Returns
        -------
        Logits per bucket (channels, B, size); the mixtures of value channels (C, B, M); linear predictions of value
        channels and leverages, (C, B) each.
        """
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        moments, places = self.moments, self.moments.places
        with torch.no_grad():
            design = moments.design(levels, scores)
            guess, leverage, spread = moments.predict(design, order)
            tilt = self.tilt(guess)
        hidden = self.hidden(self.inputs(levels, scores, active), guess, rank)
        logits = self.level_logits(hidden, tilt)
        mixture = self.mixture_of(slice(None), hidden[levels.shape[1] :], guess[:, places].T, spread[places])
        middle = guess[:, places] * moments.scale[places] + moments.mean[places]
        return logits, mixture, middle.T, leverage[:, places].T

    def forward(
        self, levels: Tensor, scores: Tensor, target: Tensor, active: Tensor, order: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return negative log-likelihoods of level channels (B, K) and of value channels (B, C), to learn from.

        Parameters
        ----------
        levels : (B, K).
        scores : (B, C), normal scores as inputs.
        target : (B, C), normal scores as they are to be met: those of spikes are drawn within the spike's mass.
        active : (B, C), 1 where the column has a score.
        order : (D,), columns from first to last.
        """
        logits, mixture, middle, leverage = self.conditionals(levels, scores, active, order)
        # what a fit without the row would leave: so that the network learns spreads that hold for new rows
        wanted = middle + (target.T - middle) / (1 - leverage)
        return -self.of_levels(logits, levels), -normal_mixture(*mixture, wanted).T * active

    def log_mass(self, levels: Tensor, four: Tensor, order: Tensor, shares: Tensor) -> Tensor:
        """Return each row's log-likelihood, (B,): mass of atoms, times the density of places within bins.

        Parameters
        ----------
        levels : (B, K).
        four : (B, 4, C), as `walk.encode` gives them.
        order : (D,).
        shares : (B, C), share of each cell's atom among cells with a score.
        """
        scores, floor, reach, active = four.unbind(1)
        logits, (weight, means, narrow), _, _ = self.conditionals(levels, scores, active, order)
        ends = torch.special.ndtri(torch.stack([floor, floor + reach]).double().clamp(0, 1))  # (2, B, C)
        below, above = (
            torch.special.ndtr((end.T[..., None] - means.double()) * torch.exp(-narrow.double())) for end in ends
        )  # (C, B, M)
        spiked = ((above - below) * weight.double().exp()).sum(-1).clamp_min(1e-30).log()
        density = normal_mixture(weight, means, narrow, scores.T) + 0.5 * (scores.T**2 + log(2 * pi))
        value = torch.where(reach.T > 0, spiked, density + shares.T.clamp_min(1e-12).log()).T * active
        return self.of_levels(logits, levels).double().sum(1) + value.double().sum(1)

    def of_levels(self, logits: list[Tensor], levels: Tensor) -> Tensor:
        """Return log-likelihoods of level channels, (B, K), from logits per bucket."""
        out = self.bias.new_zeros(levels.shape)
        for bucket, part in zip(self.buckets, logits):
            channels = list(bucket.channels)
            out[:, channels] = part.log_softmax(-1).gather(-1, levels[:, channels].T[..., None])[..., 0].T
        return out


def normal_mixture(weight: Tensor, means: Tensor, narrow: Tensor, values: Tensor) -> Tensor:
    """Return log-densities of values (C, B) under mixtures of log weights, means and log spreads (C, B, M)."""
    apart = (values[..., None] - means) * torch.exp(-narrow)
    return torch.logsumexp(weight - 0.5 * apart**2 - narrow, -1) - 0.5 * log(2 * pi)


def small_width(n_columns: int, width: int) -> int:
    """Return hidden units per column such that the masked matrix stays within bounds on wide tables."""
    return max(4, min(width, ceil(8192 / max(n_columns, 1))))
