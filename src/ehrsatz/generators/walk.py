"""Draw rows of `autoregressive` column after column: in any order, from what is known, within what is allowed.

Imported late, since it imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from ehrsatz.codecs.signals import SignalCode, decode_signals, encode_signals
from ehrsatz.codecs.table import TableCode
from ehrsatz.codecs.window import FREE, Window
from ehrsatz.generators.nets import BLOCK, draw_one

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

DRAWS = 3  # uniforms of a column: which level, which part of the mixture, where in it
_EDGE = 1e-6
_LITTLE = 1e-12  # mass of what is allowed though the network gives it none


def encode(code: SignalCode, table: TableCode, atoms: Ints, position: Floats) -> tuple[Ints, NDArray[np.float32]]:
    """Return level channels (R, K), and four numbers per value channel, (R, 4 C).

    These are, each of C columns: the normal score of the cell's rank; where the ranks that its atom stands for begin;
    how far they reach (0 in a bin, where the place is known); whether there is a score at all.
    """
    _, levels = encode_signals(code, atoms, position)
    if code.sizes:  # missing where nothing was missing in training: the last entry stands for it
        levels = np.minimum(levels, np.array(code.sizes, dtype=np.int32) - 1)
    n, c = len(atoms), len(code.values)
    out = np.zeros((4, n, c), dtype=np.float32)
    for i, d in enumerate(code.values):
        one, atom = code.signals[d], np.maximum(atoms[:, d], 0)
        floor = np.cumsum(one.smooth) - one.smooth
        active = (atoms[:, d] >= 0) & ~np.isin(atoms[:, d], one.heavy)
        spiked = table.codes[d].is_spike(atom)  # type: ignore[union-attr]
        rank = floor[atom] + one.smooth[atom] * np.where(spiked, 0.5, position[:, d])
        out[0, :, i] = ndtri(np.clip(rank, _EDGE, 1 - _EDGE)) * active
        out[1, :, i] = np.where(spiked, floor[atom], rank)
        out[2, :, i] = np.where(spiked, one.smooth[atom], 0.0)
        out[3, :, i] = active
    return levels, out.transpose(1, 0, 2).reshape(n, 4 * c)


@dataclass
class State:
    """Rows half drawn, all with B rows: channels, values to decode, the network's inputs, and atoms that are settled.

    `atoms` is FREE where `values` and `levels` say what is to be decoded.
    """

    levels: Tensor
    scores: Tensor
    active: Tensor
    inputs: Tensor
    design: Tensor
    values: Floats
    atoms: Ints
    position: Floats

    def copy(self) -> State:
        """Return a copy that may be changed."""
        parts = [getattr(self, one.name) for one in fields(self)]
        return State(*(part.clone() if isinstance(part, Tensor) else part.copy() for part in parts))

    def replace(self, rows: NDArray[np.bool_], other: State) -> None:
        """Take these rows of another state."""
        for one in fields(self):
            part = getattr(self, one.name)
            part[torch.from_numpy(rows) if isinstance(part, Tensor) else rows] = getattr(other, one.name)[rows]


class Walk:
    """Draws columns in one order.

    Parameters
    ----------
    net : the network, settled, on the CPU.
    code, table : signals and atoms of the D columns.
    order : columns, first to last, (D,).
    """

    def __init__(self, net: Any, code: SignalCode, table: TableCode, order: Sequence[int]) -> None:
        self.net, self.code, self.table, self.order = net, code, table, list(order)
        self.coefficients, self.spread = net.moments.coefficients(torch.tensor(self.order, dtype=torch.int64))
        self.level_of = {d: k for k, d in enumerate(code.levels)}
        self.value_of = {d: c for c, d in enumerate(code.values)}
        self.inputs_of = {d: torch.nonzero(net.source == d)[:, 0] for d in range(len(code.signals))}
        self.spiked = {
            d: table.codes[d].is_spike(np.arange(code.signals[d].n_atoms, dtype=np.int32))  # type: ignore[union-attr]
            for d in code.values
        }

    def begin(self, n: int, held: Mapping[int, tuple[Ints, Floats]]) -> State:
        """Return n rows of which these columns are known: atoms and positions, (n,) each, per column."""
        net, d = self.net, len(self.code.signals)
        atoms, position = np.full((n, d), -1, dtype=np.int32), np.full((n, d), 0.5)
        for column, (which, where) in held.items():
            atoms[:, column], position[:, column] = which, where
        levels, four = encode(self.code, self.table, atoms, position)
        scores, _, _, active = torch.from_numpy(four).view(n, 4, -1).unbind(1)
        known = torch.zeros(d)
        known[list(held)] = 1.0
        channels = torch.from_numpy(levels.astype(np.int64))
        free = np.array([column not in held for column in range(d)])
        return State(
            channels,
            scores.clone(),
            active.clone(),
            net.inputs(channels, scores, active) * known[net.source],
            net.moments.design(channels, scores) * known[net.moments.token // 2],
            np.zeros(scores.shape),
            np.where(free, FREE, atoms).astype(np.int32),
            position,
        )

    def begin_within(
        self, n: int, held: Mapping[int, tuple[Ints, Floats]], allowed: Mapping[int, Floats], u: Floats
    ) -> State:
        """Return n rows of which some columns are known and others lie within what is allowed.

        With one such column its distribution is cut, which is exact. With several, each is cut given those before it,
        and one of M candidates is chosen by how much of the later columns' distributions is allowed (sampling
        importance resampling): exact as M grows.

        Parameters
        ----------
        n, held : as in `begin`.
        allowed : column -> share of each atom's mass that is allowed, (n_atoms,), in the order of the walk.
        u : shape (n, M, 1 + 3 columns).
        """
        begun = self.begin(n, held)
        chosen, total = begun, np.zeros(n)
        for m in range(u.shape[1] if allowed else 0):
            state, weight = begun.copy(), np.ones(n)
            for j, (d, share) in enumerate(allowed.items()):
                mass = self.step(state, d, u[:, m, 1 + DRAWS * j :], allowed=share)
                weight *= mass if j else 1.0
            total += weight
            if m == 0:
                chosen = state
            else:
                chosen.replace(u[:, m, 0] * total < weight, state)
        return chosen

    def step(self, state: State, d: int, u: Floats, *, allowed: Floats | None = None, present: bool = False) -> Floats:
        """Draw column d of every row given all that is known, and return the mass of what was allowed, (B,).

        Parameters
        ----------
        state : changed in place.
        d : column.
        u : shape (B, 3 or more).
        allowed : share of each atom's mass that is allowed, (n_atoms,).
        present : whether the cell must not be missing; where the column is always missing it is so all the same.
        """
        net, moments = self.net, self.net.moments
        k, c, one = self.level_of.get(d), self.value_of.get(d), self.code.signals[d]
        first = state.inputs @ net.first[:, d * net.width : (d + 1) * net.width]  # (B, H)
        logits = np.zeros((len(u), 1))
        if k is not None:
            low, high = moments.layout.levels[k]
            guess = torch.zeros_like(state.design)
            guess[:, low:high] = state.design @ self.coefficients[low:high].T
            hidden = net.deepen(first[None], guess, slice(k, k + 1))[0]
            logits = net.logits_of(k, hidden, guess).double().numpy()
            if (present or allowed is not None) and one.has_missing and logits.shape[1] > 1:
                logits[:, -1] = -np.inf
        if allowed is not None:
            return self._cut(state, d, first, logits, allowed, u)
        if k is not None:
            state.levels[:, k] = torch.from_numpy(draw_one(logits, u[:, 0]).astype(np.int64))
            self._show_level(state, k)
        if c is not None:
            smooth = np.ones(len(u), dtype=bool) if k is None else state.levels[:, k].numpy() == 0
            weight, means, spread = self._mixture(state, c, first)
            part, rows = draw_one(np.log(weight), u[:, 1]), np.arange(len(u))
            value = means[rows, part] + spread[rows, part] * ndtri(np.clip(u[:, 2], 1e-9, 1 - 1e-9))
            state.values[:, c] = value
            self._show_value(state, c, self._centre(d, value) * smooth, smooth)
        self._show_inputs(state, d)
        return np.ones(len(u))

    def finish(self, state: State, spare: Floats) -> tuple[Ints, Floats]:
        """Return atoms and positions (B, D); spare (B, D), in [0, 1): places within atoms of which nothing is known."""
        levels = state.levels.numpy().astype(np.int32)
        atoms, position = decode_signals(self.code, self.table, state.values, levels, spare)
        settled = state.atoms != FREE
        return np.where(settled, state.atoms, atoms), np.where(settled, state.position, position)

    # ------------------------------------------------------------------ parts
    def _mixture(self, state: State, c: int, first: Tensor) -> tuple[Floats, Floats, Floats]:
        """Weights, means and spreads of a value's mixture, (B, M) each."""
        net, moments = self.net, self.net.moments
        place, block = moments.layout.values[c], len(self.code.sizes) + c
        guess = torch.zeros_like(state.design)
        guess[:, place] = state.design @ self.coefficients[place]
        hidden = net.deepen(first[None], guess, slice(block, block + 1))
        parts = net.mixture_of(slice(c, c + 1), hidden, guess[:, place][None], self.spread[place][None])
        weight, means, narrow = (one[0].double().numpy() for one in parts)
        return np.exp(weight), means, np.exp(narrow)

    def _cut(self, state: State, d: int, first: Tensor, logits: Floats, allowed: Floats, u: Floats) -> Floats:
        """Draw an atom of column d from its distribution within what is allowed; return the mass of that, (B,)."""
        one, k, c = self.code.signals[d], self.level_of.get(d), self.value_of.get(d)
        states = np.exp(logits - logits.max(1, keepdims=True))
        states /= states.sum(1, keepdims=True)
        if c is None:
            mass = states[:, : one.n_atoms].copy() if k is not None else np.ones((len(u), 1))
        else:
            if k is not None:  # what is not missing: the mixture is that of cells with a score
                state.levels[:, k] = 0
                self._show_level(state, k)
            weight, means, spread = self._mixture(state, c, first)
            ends = ndtri(np.concatenate([[0.0], np.minimum(np.cumsum(one.smooth), 1.0)]))
            below = np.einsum("bm,bma->ba", weight, ndtr((ends - means[..., None]) / spread[..., None]))
            mass = np.maximum(np.diff(below, axis=1), 0.0) * states[:, :1]  # (B, A + 1) -> (B, A)
            for i, atom in enumerate(one.heavy):
                mass[:, atom] = states[:, 1 + i]
        mass = mass * allowed
        total = mass.sum(1)
        margin = np.array(one.share) if one.share else np.ones(one.n_atoms)
        mass += _LITTLE * allowed * np.maximum(margin, _EDGE)
        with np.errstate(divide="ignore"):
            atoms = draw_one(np.log(mass), u[:, 0])
        column = SignalCode((one,)), TableCode((self.table.names[d],), (self.table.codes[d],))
        levels, four = encode(*column, atoms[:, None], u[:, 2, None])
        state.atoms[:, d], state.position[:, d] = atoms, u[:, 2]
        if k is not None:
            state.levels[:, k] = torch.from_numpy(levels[:, 0].astype(np.int64))
            self._show_level(state, k)
        if c is not None:
            self._show_value(state, c, four[:, 0].astype(np.float64), four[:, 3] > 0)
        self._show_inputs(state, d)
        return total

    def _show_level(self, state: State, k: int) -> None:
        moments = self.net.moments
        low, high = moments.layout.levels[k]
        raw = moments.table[state.levels[:, k] + moments.starts[k], low:high]
        state.design[:, low:high] = (raw - moments.mean[low:high]) / moments.scale[low:high]

    def _show_value(self, state: State, c: int, scores: Floats, active: NDArray[np.bool_]) -> None:
        moments = self.net.moments
        place = moments.layout.values[c]
        state.scores[:, c] = torch.from_numpy(scores).float()
        state.active[:, c] = torch.from_numpy(active).float()
        state.design[:, place] = (state.scores[:, c] - moments.mean[place]) / moments.scale[place]

    def _show_inputs(self, state: State, d: int) -> None:
        k, c = self.level_of.get(d), self.value_of.get(d)
        state.inputs[:, self.inputs_of[d]] = self.net.inputs_of(k, c, state.levels, state.scores, state.active)

    def _centre(self, d: int, value: Floats) -> Floats:
        """Return the scores that stand for what these decode to: of a spike, the middle of its mass."""
        one = self.code.signals[d]
        ends, full = np.cumsum(one.smooth), np.flatnonzero(one.smooth > 0)
        rank = np.clip(ndtr(value), 0, np.nextafter(1, 0)) * ends[-1]
        atom = full[np.minimum(np.searchsorted(ends[full], rank, side="right"), len(full) - 1)]
        middle = np.where(self.spiked[d][atom], ends[atom] - one.smooth[atom] / 2, rank)
        return ndtri(np.clip(middle, _EDGE, 1 - _EDGE))


def patterns(window: Window, n: int) -> list[tuple[frozenset[int], NDArray[np.bool_]]]:
    """Return groups of the n rows that know the same columns: the columns, and which rows, (n,)."""
    columns = sorted(window.fixed)
    if not columns:
        return [(frozenset(), np.ones(n, dtype=bool))]
    known = np.column_stack([window.fixed[column] != FREE for column in columns])
    found, which = np.unique(known, axis=0, return_inverse=True)
    return [
        (frozenset(column for column, is_known in zip(columns, one) if is_known), which.reshape(-1) == i)
        for i, one in enumerate(found)
    ]


def known_in_block(window: Window, column: int, wanted: slice, target: slice) -> tuple[Ints, Floats]:
    """Return known atoms and positions of a column at their places in a block; rows of other shards are missing."""
    atoms, position = np.full(BLOCK, -1, dtype=np.int32), np.full(BLOCK, 0.5)
    cells = window.fixed[column][target]
    atoms[wanted], position[wanted] = np.where(cells == FREE, -1, cells), window.position[column][target]
    return atoms, position
