"""Watch a generator for lost modes: how many held-out rows lie among its rows, and how often its rows repeat.

References
----------
Naeem, Oh, Uh, Choi and Yoo, Reliable fidelity and diversity metrics for generative models, ICML 2020,
arXiv:2002.09797 (coverage: share of real rows whose k-th nearest real neighbour is farther than a generated row).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.codecs.category import CategoryCode
from ehrsatz.codecs.table import TableCode, frequencies

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

_K = 5
_ROWS = 400  # of each side


@dataclass(frozen=True)
class Seen:
    """Coverage of held-out rows by generated rows, the same by training rows, and shares of repeated rows."""

    coverage: float
    reachable: float
    repeated: float
    natural: float


class Watch:
    """Held-out rows, ready to be compared with generated ones.

    Parameters
    ----------
    code : the table's code.
    learn, held : atoms of the rows learned from and of held-out ones, shapes (R, D) and (S, D).
    """

    def __init__(self, code: TableCode, learn: Ints, held: Ints) -> None:
        both = np.concatenate([learn, held])
        self.place = [np.cumsum(share) - share / 2 for share in frequencies(code, both)]
        self.is_level = np.array([isinstance(one, CategoryCode) for one in code.codes])
        # more real rows than the held-out ones make the neighbourhood as narrow as the rows allow
        real = both[-min(len(both), _ROWS) :]
        self.real = self._scores(real)
        self.learned = self._scores(learn[: len(real)])
        self.n_wanted = len(real)
        gaps = _distances(self.real, self.real)
        np.fill_diagonal(gaps, np.inf)
        self.radius = np.sort(gaps, axis=1)[:, min(_K, len(real)) - 1]
        self.natural = _repeated(learn[: len(real)])
        other = np.minimum(gaps, gaps.T)  # rows of the data among themselves: nearest other row
        self.reachable = float((np.sort(other, axis=1)[:, min(1, len(real) - 1)] <= self.radius).mean())

    def look(self, atoms: Ints) -> Seen:
        """Compare generated rows, shape (R, D)."""
        near = _distances(self.real, self._scores(atoms)).min(axis=1)
        return Seen(float((near <= self.radius).mean()), self.reachable, _repeated(atoms), self.natural)

    def _scores(self, atoms: Ints) -> Floats:
        """Ranks of numbers, and levels as indicators of length 1/sqrt(2): unequal levels lie 1 apart; (R, F)."""
        columns: list[Floats] = []
        for d, place in enumerate(self.place):
            atom = atoms[:, d]
            if self.is_level[d]:
                shown = np.zeros((len(atoms), len(place)))
                shown[np.arange(len(atoms)), np.where(atom < 0, len(place) - 1, atom)] = 0.5**0.5
                columns.append(shown)
            else:
                columns.append(np.where(atom < 0, -0.5, place[np.maximum(atom, 0)])[:, None] * 2.0)
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(atoms), 1))


def _distances(a: Floats, b: Floats) -> Floats:
    """Squared Euclidean distances, shape (len(a), len(b))."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0.0)


def _repeated(atoms: Ints) -> float:
    """Share of rows that are like an earlier one in every atom."""
    return 1.0 - len(np.unique(atoms, axis=0)) / max(len(atoms), 1)
