"""A table's cells <-> one normal score per column: every column as a continuous one with a standard normal margin.

All atoms of a column, missing among them, lie side by side on [0, 1], each as wide as its share; a cell is a place
within its atom, known for numbers within bins and drawn anew for spikes and levels (dequantisation: Uria, Murray and
Larochelle, RNADE, NeurIPS 2013, arXiv:1306.0186). The normal quantile of the place is the score. Numbers keep their
order, with missing last; levels are sorted by what rows of a level are like on average (reciprocal averaging: Hill,
Applied Statistics 23 (1974), doi:10.2307/2347127), so that neighbours on the line are alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.category import CategoryCode
from ehrsatz.codecs.table import TableCode, frequencies

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

EDGE = 1e-6  # of ranks: scores lie within +-4.75
_ROUNDS = 3
_SMALL = 10.0  # rows at which a level's place is half believed


@dataclass(frozen=True)
class Scores:
    """Atom at each place of the line, missing as -1, and share of each, per column: shapes (A + 1,)."""

    orders: tuple[Ints, ...]
    shares: tuple[Floats, ...]

    @cached_property
    def ends(self) -> tuple[Floats, ...]:
        """Where on the line each place ends, per column."""
        return tuple(np.cumsum(share) for share in self.shares)

    def places(self, atoms: Ints, position: Floats, is_spread: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
        """Return where on the line cells begin, how far they reach, and the share of their atom, each (R, D).

        Parameters
        ----------
        atoms, position : shape (R, D).
        is_spread : shape (R, D), whether a cell has no position of its own; the others reach 0.
        """
        low, reach, share = np.zeros(atoms.shape), np.zeros(atoms.shape), np.ones(atoms.shape)
        for d, (order, mass, end) in enumerate(zip(self.orders, self.shares, self.ends)):
            place = np.empty(len(order), dtype=np.int64)
            place[order] = np.arange(len(order))  # -1 is the last index
            at = place[atoms[:, d]]
            share[:, d] = np.maximum(mass[at], EDGE)
            low[:, d] = end[at] - mass[at] * np.where(is_spread[:, d], 1.0, 1.0 - position[:, d])
            reach[:, d] = np.where(is_spread[:, d], mass[at], 0.0)
        return low, reach, share

    def cells(self, z: Floats) -> tuple[Ints, Floats]:
        """Return atoms and positions of scores, (R, D) each; atoms without mass are never met."""
        atoms, position = np.empty(z.shape, dtype=np.int32), np.empty(z.shape)
        for d, (order, mass, end) in enumerate(zip(self.orders, self.shares, self.ends)):
            rank = np.clip(ndtr(z[:, d]), 0.0, np.nextafter(1, 0)) * end[-1]
            full = np.flatnonzero(mass > 0)
            at = full[np.minimum(np.searchsorted(end[full], rank, side="right"), len(full) - 1)]
            atoms[:, d] = order[at]
            position[:, d] = np.clip((rank - (end[at] - mass[at])) / mass[at], 0, np.nextafter(1, 0))
        return atoms, position

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` reads."""
        orders: dict[str, NDArray[Any]] = {f"order/{d}": one for d, one in enumerate(self.orders)}
        return orders | {f"share/{d}": one for d, one in enumerate(self.shares)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], n_columns: int) -> Scores:
        """Read what `arrays` gave."""
        orders = tuple(arrays[f"order/{d}"].astype(np.int32) for d in range(n_columns))
        return cls(orders, tuple(arrays[f"share/{d}"].astype(np.float64) for d in range(n_columns)))


def learn_scores(code: TableCode, atoms: Ints) -> Scores:
    """Learn orders and shares from the atoms of a table's rows, shape (R, D)."""
    shares = [np.round(one, 9) for one in frequencies(code, atoms)]
    orders = [np.append(np.arange(len(one) - 1), -1).astype(np.int32) for one in shares]
    is_level = [isinstance(one, CategoryCode) for one in code.codes]
    for _ in range(_ROUNDS):
        z = _middles(orders, shares, atoms)
        for d in np.flatnonzero(is_level):
            others = np.delete(z, d, axis=1)
            if not others.shape[1] or len(shares[d]) <= 3:
                continue
            rows = np.where(atoms[:, d] < 0, len(shares[d]) - 1, atoms[:, d])
            count = np.bincount(rows, minlength=len(shares[d]))
            total = np.zeros((len(count), others.shape[1]))
            np.add.at(total, rows, others)
            mean = total / (count + _SMALL)[:, None]  # (A + 1, D - 1), drawn towards 0 where rows are few
            axis = np.linalg.svd(mean * np.sqrt(count)[:, None], full_matrices=False)[2][0]
            sign = np.sign(axis[np.argmax(np.abs(axis))])  # the same on every machine
            found = np.argsort(mean @ axis * sign, kind="stable")
            orders[d] = np.where(found == len(count) - 1, -1, found).astype(np.int32)
    sorted_shares = [np.append(one[:-1], one[-1])[order] for one, order in zip(shares, orders)]
    return Scores(tuple(orders), tuple(sorted_shares))


def _middles(orders: list[Ints], shares: list[Floats], atoms: Ints) -> Floats:
    """Score of the middle of each cell's atom, (R, D)."""
    z = np.zeros(atoms.shape)
    for d, (order, share) in enumerate(zip(orders, shares)):
        mass = share[order]
        middle = np.empty(len(order))
        middle[order] = ndtri(np.clip(np.cumsum(mass) - mass / 2, EDGE, 1 - EDGE))
        z[:, d] = middle[atoms[:, d]]
    return z
